/* /proc/PID/environ: the bytes that the program was started with, where they can be read, bound to the memory of open. */
#include "state.h"

ROLE(plain_environ)
{
    show_file("environ", "/proc/self/environ");
}

STATE(environ_of_odd_variables)
{
    char *env[] = { "A=1", "EMPTY=", "NOEQUALS", "", "TAB=\t\n", "BYTES=\xff\x80", NULL };
    role_in_child("plain_environ", NULL, env);
}

STATE(environ_that_is_empty)
{
    char *args[] = { "role:plain_environ", NULL }, *none[] = { NULL };
    pid_t child = split();
    if (child == 0) {
        execve("/proc/self/exe", args, none);
        _exit(1);
    }
    reap("ended", child);
}

ROLE(change_environ)
{
    setenv("NEW", "value", 1);
    setenv("ONE", "changed", 1);
    show_file("setenv changes nothing", "/proc/self/environ");
    memcpy(role_envp[1], "TWO", 3);
    show_file("writing in place does", "/proc/self/environ");
    role_envp[1][1] = 0;
    show_file("a NUL ends nothing", "/proc/self/environ");
    int fd = open("/proc/self/environ", O_RDONLY);
    show_bytes("a piece", text, pread(fd, text, 5, 5));
    show("behind", pread(fd, text, 5, 5000));
    show("SEEK_END", lseek(fd, 0, SEEK_END));
    show("write", write(open("/proc/self/environ", O_WRONLY), "x", 1));
}

STATE(environ_changed_by_its_program)
{
    char *env[] = { "ONE=1", "LAST=x", NULL };
    role_in_child("change_environ", NULL, env);
}

/* Three pages of environment behind ROLE, whose second page is at the address given back. */
static char *second_page_of_environment(void)
{
    return (char *)(((uintptr_t)role_envp[0] + PAGE) & ~(PAGE - 1));
}

static void with_pages(const char *role)
{
    static char value[16000] = "LARGE=";
    memset(value + 6, 'v', sizeof value - 7);
    char *env[] = { value, "LAST=1", NULL };
    role_in_child(role, NULL, env);
}

static void show_environ_hole(const char *second)
{
    long before = second - role_envp[0];
    int fd = open("/proc/self/environ", O_RDONLY);
    show_fact("up to the page", pread(fd, text, before, 0) == before);
    long across = read(fd, text, 20000);
    printf("across it: %s\n", across < 0 ? error_name() : across == 0 ? "nothing" : across < 8000 ? "a part" : "all");
    show_fact("the position has moved on", lseek(fd, 0, SEEK_CUR) > 0);
    show("in it", pread(fd, text, 10, before + 5));
    show_fact("behind it", pread(fd, text, 10, before + PAGE) == 10);
    /* Reading goes by pages of its own from where it starts. */
    show("from a little before it", pread(fd, text, 20000, before - 10));
}

ROLE(environ_none)
{
    char *second = second_page_of_environment();
    show_ok("mprotect", mprotect(second, PAGE, PROT_NONE));
    show_environ_hole(second);
}

STATE(environ_with_a_page_without_access)
{
    with_pages("environ_none");
}

ROLE(environ_file)
{
    char *second = second_page_of_environment();
    show_fact("mapped", mmap(second, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file_of("page", PAGE), 0) == second);
    show_environ_hole(second);
}

STATE(environ_with_a_page_of_a_file)
{
    with_pages("environ_file");
}

ROLE(environ_untouched)
{
    char *second = second_page_of_environment();
    show_fact("mapped", mmap(second, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == second);
    show_environ_hole(second);
}

STATE(environ_with_an_untouched_page)
{
    with_pages("environ_untouched");
}

ROLE(environ_whole)
{
    ssize_t length = read_file("/proc/self/environ", text, sizeof text);
    show("length", length);
    int fd = open("/proc/self/environ", O_RDONLY);
    show("one read", read(fd, text, sizeof text));
    show("then", read(fd, text, sizeof text));
    show("a bad pointer", syscall(SYS_pread64, fd, 16, 100, 0));
    char *at = region(2);
    mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    show("a buffer that ends", syscall(SYS_pread64, fd, at + PAGE - 100, 200, 0));
    show("a buffer that ends after a page", syscall(SYS_pread64, fd, at, 2 * PAGE, 0));
}

STATE(environ_of_several_pages)
{
    with_pages("environ_whole");
}

STATE(environ_is_bound_to_the_memory_of_open)
{
    int go[2];
    char byte;
    if (pipe2(go, O_CLOEXEC) < 0)
        return;
    pid_t child = split();
    if (child == 0) {
        close(go[1]);
        char *env[] = { "AFTER=exec", NULL };
        if (read(go[0], &byte, 1) == 0)
            exec_role("sleep_for_good", NULL, env);
        _exit(1);
    }
    int fd = open(proc_path(child, "environ"), O_RDONLY);
    show_fact("before", pread(fd, text, 100, 0) > 0);
    close(go[1]);
    for (int tries = 0; tries < 4000; tries++) {
        if (read_file(proc_path(child, "environ"), text, sizeof text) > 0 && strstr(text, "sleep_for_good"))
            break;
        usleep(500);
    }
    show("the old file", pread(fd, text, 100, 0));
    show_file("a new one", proc_path(child, "environ"));
    end(child);
}

STATE(environ_of_a_child_is_a_copy)
{
    pid_t child = child_after(NULL);
    if (environ[0])
        environ[0][0] = '#';
    ssize_t length = read_file(proc_path(child, "environ"), text, sizeof text);
    show_fact("the child's is as at fork", length > 0 && text[0] != '#');
    read_file("/proc/self/environ", text, sizeof text);
    show_fact("the own has changed", text[0] == '#');
    end(child);
}
