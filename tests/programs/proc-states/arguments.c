/* /proc/PID/cmdline: where the arguments lie, who has written over them, and which of their pages can be read. */
#include "state.h"

/* How much of the arguments there is, and where it ends. */
static char *first, *past_args, *past_env;

static void find_arguments(void)
{
    first = role_argv[0];
    past_args = role_argv[role_argc - 1] + strlen(role_argv[role_argc - 1]) + 1;
    past_env = past_args;
    for (char **env = role_envp; *env; env++)
        past_env = *env + strlen(*env) + 1;
}

static void show_cmdline(const char *what)
{
    ssize_t length = read_file("/proc/self/cmdline", text, sizeof text);
    if (length <= 300) {
        show_bytes(what, text, length);
        return;
    }
    unsigned long sum = 0;
    for (ssize_t i = 0; i < length; i++)
        sum = sum * 31 + (unsigned char)text[i];
    printf("%s: %zd bytes, sum %lu\n", what, length, sum);
}

ROLE(plain_cmdline)
{
    show_cmdline("cmdline");
}

/* Runs a role with three arguments and an environment of two variables behind ROLE. */
static void with_title(const char *role)
{
    char *args[] = { "program", "first argument", "second", NULL };
    char *env[] = { "ONE=1", "TWO=a longer value", NULL };
    role_in_child(role, args, env);
}

STATE(cmdline_of_an_ordinary_program)
{
    with_title("plain_cmdline");
}

STATE(cmdline_without_arguments)
{
    char *none[] = { NULL };
    role_in_child("plain_cmdline", none, NULL);
}

STATE(cmdline_of_empty_arguments)
{
    char *empty[] = { "", "", "", NULL };
    role_in_child("plain_cmdline", empty, NULL);
}

STATE(cmdline_of_odd_bytes)
{
    char *odd[] = { "a b", "\t\n\\", "\xff\x80\x01", "", "'\"", NULL };
    role_in_child("plain_cmdline", odd, NULL);
}

STATE(cmdline_of_10000_bytes)
{
    static char long_one[10001];
    memset(long_one, 'l', sizeof long_one - 1);
    char *args[] = { "long", long_one, NULL };
    role_in_child("plain_cmdline", args, NULL);
}

STATE(cmdline_of_an_argument_as_long_as_a_page)
{
    static char page[PAGE];
    memset(page, 'p', sizeof page - 1);
    char *args[] = { page, NULL };
    role_in_child("plain_cmdline", args, NULL);
}

STATE(cmdline_of_5000_arguments)
{
    static char *many[5001];
    for (int i = 0; i < 5000; i++)
        many[i] = i % 3 ? "x" : "";
    role_in_child("plain_cmdline", many, NULL);
}

ROLE(overwrite_short)
{
    find_arguments();
    memset(first, 0, past_args - first);
    strcpy(first, "short");
    show_cmdline("last byte still NUL");
}

STATE(cmdline_overwritten_by_a_shorter_title)
{
    with_title("overwrite_short");
}

ROLE(overwrite_all)
{
    find_arguments();
    memset(first, 'x', past_args - first);
    show_cmdline("runs into the environment up to its first NUL");
}

STATE(cmdline_overwritten_without_a_nul_spills_into_the_environment)
{
    with_title("overwrite_all");
}

ROLE(overwrite_environment)
{
    find_arguments();
    memset(first, 'y', past_env - first);
    show_cmdline("both areas without a NUL");
    past_env[-1] = 0;
    show_cmdline("a NUL at the very end");
    show_fact("environ shows it too", read_file("/proc/self/environ", text, sizeof text) == past_env - past_args && text[0] == 'y');
}

STATE(cmdline_overwritten_through_the_whole_environment)
{
    with_title("overwrite_environment");
}

ROLE(overwrite_early_nul)
{
    find_arguments();
    memset(first, 'z', past_args - first);
    first[3] = 0;
    show_cmdline("title ends early, the NUL is part of it");
    first[0] = 0;
    show_cmdline("empty title");
}

STATE(cmdline_title_with_an_early_nul)
{
    with_title("overwrite_early_nul");
}

ROLE(title_by_parts)
{
    find_arguments();
    memset(first, 0, past_args - first);
    memset(first, 't', past_args - first);
    int fd = open("/proc/self/cmdline", O_RDONLY);
    show_bytes("at 0", text, pread(fd, text, 4, 0));
    show_bytes("across the end of the arguments", text, pread(fd, text, 9, past_args - first - 4));
    show("beyond the title", pread(fd, text, 9, past_env - first));
    show("at a page", pread(fd, text, 9, PAGE));
    for (int i = 0; read(fd, text + i, 1) == 1; i++)
        if (i > 100) {
            puts("more than 100 bytes");
            break;
        }
    show("position after bytes one by one", lseek(fd, 0, SEEK_CUR));
}

STATE(cmdline_title_is_read_by_parts)
{
    with_title("title_by_parts");
}

ROLE(title_of_pages)
{
    find_arguments();
    memset(first, 'p', past_args - first);
    int fd = open("/proc/self/cmdline", O_RDONLY);
    show("a title ends with its first page", pread(fd, text, sizeof text, 0));
    show("nothing behind", pread(fd, text, sizeof text, PAGE));
    past_args[-1] = 0;
    show_fact("without one there is no such end", pread(fd, text, sizeof text, 0) == past_args - first);
}

STATE(cmdline_title_longer_than_a_page)
{
    static char filler[10001];
    memset(filler, 'f', sizeof filler - 1);
    char *args[] = { "program", filler, NULL };
    role_in_child("title_of_pages", args, NULL);
}

ROLE(title_seen_by_others)
{
    find_arguments();
    pid_t child = child_after(NULL);
    memset(first, 0, past_args - first);
    strcpy(first, "parent");
    show_cmdline("parent's own");
    show_file("the child's is as at fork", proc_path(child, "cmdline"));
    end(child);
}

STATE(cmdline_of_parent_and_child_after_fork)
{
    with_title("title_seen_by_others");
}

/* What comes with 12000 bytes of arguments: three whole pages at least. */
static void with_pages(const char *role)
{
    static char filler[16001];
    memset(filler, 'f', sizeof filler - 1);
    char *args[] = { "pages", filler, "end", NULL };
    role_in_child(role, args, NULL);
}

static char *second_page(void)
{
    find_arguments();
    return (char *)(((uintptr_t)first + PAGE) & ~(PAGE - 1));
}

/* Whole pages are read, or nothing of them: a read at 0, in the page and behind it. */
static void show_hole(const char *second)
{
    int fd = open("/proc/self/cmdline", O_RDONLY);
    long before = second - first, all = past_args - first;
    long whole = pread(fd, text, sizeof text, 0);
    printf("from the start: %s\n", whole == all ? "all" : whole < 0 ? error_name() : whole <= before ? "up to the page" : "into the page");
    show("in the page", pread(fd, text, 100, before + 8));
    long behind = pread(fd, text, sizeof text, before + PAGE);
    printf("behind it: %s\n", behind == all - before - (long)PAGE ? "the rest" : behind < 0 ? error_name() : behind == 0 ? "nothing" : "a part");
    close(fd);
}

ROLE(hole_none)
{
    char *second = second_page();
    show_ok("mprotect", mprotect(second, PAGE, PROT_NONE));
    show_hole(second);
}

STATE(cmdline_with_a_page_without_access)
{
    with_pages("hole_none");
}

ROLE(hole_write_only)
{
    char *second = second_page();
    show_ok("mprotect", mprotect(second, PAGE, PROT_WRITE));
    show_hole(second);
}

STATE(cmdline_with_a_page_only_for_writing)
{
    with_pages("hole_write_only");
}

ROLE(hole_execute_only)
{
    char *second = second_page();
    show_ok("mprotect", mprotect(second, PAGE, PROT_EXEC));
    show_hole(second);
}

STATE(cmdline_with_a_page_only_for_execution)
{
    with_pages("hole_execute_only");
}

ROLE(hole_unmapped)
{
    char *second = second_page();
    show_ok("munmap", munmap(second, PAGE));
    show_hole(second);
}

STATE(cmdline_with_a_page_unmapped)
{
    with_pages("hole_unmapped");
}

ROLE(hole_untouched)
{
    char *second = second_page();
    show_fact("new memory", mmap(second, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == second);
    show_hole(second);
    int fd = open("/proc/self/cmdline", O_RDONLY);
    show_bytes("it reads as zeros", text, pread(fd, text, 4, second - first + 8));
    show_smaps("and stays untouched", getpid(), second, "Rss Size");
}

STATE(cmdline_with_an_untouched_page)
{
    with_pages("hole_untouched");
}

ROLE(hole_shared)
{
    char *second = second_page();
    show_fact("shared memory", mmap(second, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == second);
    memset(second, 's', PAGE);
    show_hole(second);
}

STATE(cmdline_with_a_page_of_shared_memory)
{
    with_pages("hole_shared");
}

static void map_file(int write_to_it)
{
    char *second = second_page();
    int fd = file_of("page", PAGE);
    show_fact("a file's page", mmap(second, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0) == second);
    if (write_to_it)
        second[9] = 'w';
    show_hole(second);
}

ROLE(hole_file)
{
    map_file(0);
}

STATE(cmdline_with_a_page_of_a_file)
{
    with_pages("hole_file");
}

ROLE(hole_written_file)
{
    map_file(1);
}

STATE(cmdline_with_a_written_private_page_of_a_file)
{
    with_pages("hole_written_file");
}

ROLE(last_page_missing)
{
    find_arguments();
    char *last = (char *)((uintptr_t)(past_args - 1) & ~(PAGE - 1));
    int fd = open("/proc/self/cmdline", O_RDONLY);
    /* The page also holds the environment and the end of the stack: nothing may touch it from here on. */
    memset(last, 'q', past_args - last);
    show_ok("mprotect", mprotect(last, PAGE, PROT_NONE));
    show_fact("plain arguments up to the page", pread(fd, text, sizeof text, 0) == last - first);
    show("nothing in it", pread(fd, text, 100, last - first));
}

STATE(cmdline_whose_last_byte_cannot_be_read)
{
    with_pages("last_page_missing");
}

STATE(cmdline_of_a_reaped_process_and_of_bad_pointers)
{
    pid_t child = child_after(NULL);
    int fd = open(proc_path(child, "cmdline"), O_RDONLY);
    show("a bad pointer", syscall(SYS_read, fd, 16, 100));
    show("no length", read(fd, (void *)16, 0));
    make_zombie(child);
    show("of a zombie", pread(fd, text, 100, 0));
    waitpid(child, NULL, 0);
    show("of a reaped process", pread(fd, text, 100, 0));
    show("beyond its end", pread(fd, text, 100, 1 << 20));
}

STATE(cmdline_lseek)
{
    int fd = open("/proc/self/cmdline", O_RDONLY);
    show("SEEK_SET far", lseek(fd, 0x801, SEEK_SET));
    show("read there", read(fd, text, 10));
    show("SEEK_END", lseek(fd, 0, SEEK_END));
    show("SEEK_END before", lseek(fd, -1, SEEK_END));
    show("two gigabytes less one", lseek(fd, 0x7fffffff, SEEK_SET));
    show("two gigabytes", lseek(fd, 0x80000000, SEEK_SET));
    show("SEEK_DATA", lseek(fd, 0, SEEK_DATA));
    show("SEEK_HOLE", lseek(fd, 0, SEEK_HOLE));
    show("pread beyond two gigabytes", pread(fd, text, 10, 0x80000000));
    show("write", write(fd, "x", 1));
    int writer = open("/proc/self/cmdline", O_WRONLY);
    if (writer >= 0)
        show("write as root", write(writer, "x", 1));
}
