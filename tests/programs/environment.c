/* /proc/PID/environ: the bytes that the program was started with, bound at open to the memory of then. */
#include "check.h"

static char text[1 << 16];

static void start_again(const char *step, char **env)
{
    char *args[] = { "environment", (char *)step, NULL };
    execve("/proc/self/exe", args, env);
    show("execve", -1);
    _exit(1);
}

static void small(char **envp)
{
    show_file("as started", "/proc/self/environ");
    setenv("NEW", "value", 1);
    setenv("A", "another", 1);
    show_file("setenv changes nothing", "/proc/self/environ");
    memcpy(envp[0], "Z=9", 3);
    show_file("writing over it does", "/proc/self/environ");
    int fd = open("/proc/self/environ", O_RDONLY);
    show_bytes("part", text, pread(fd, text, 3, 4));
    show("beyond the end", pread(fd, text, 3, 4000));
    show("the end by lseek", lseek(fd, 0, SEEK_END));
    show("write to it", write(fd, "x", 1));
    int writer = open("/proc/self/environ", O_RDWR);
    show_fact("it cannot be opened or written for writing", writer < 0 || write(writer, "x", 1) < 0);
    close(fd);

    /* A child's file stays bound to the memory that it had at open. */
    int to_child[2];
    if (pipe(to_child) < 0)
        return;
    pid_t child = split();
    if (child == 0) {
        char byte;
        close(to_child[1]);
        if (read(to_child[0], &byte, 1) < 0)
            _exit(1);
        char *env[] = { "AFTER=exec", NULL };
        start_again("pause", env);
    }
    fd = open(proc_path(child, "environ"), O_RDONLY);
    show_bytes("child before exec", text, pread(fd, text, 100, 0));
    close(to_child[1]);
    wait_for_state(child, "S");
    for (int tries = 0; tries < 2000 && strcmp(stat_word(child, 3), "S") == 0; tries++) {
        if (read_file(proc_path(child, "environ"), text, sizeof text) > 0 && strcmp(text, "AFTER=exec") == 0)
            break;
        usleep(1000);
    }
    show("the old file after exec", pread(fd, text, 100, 0));
    show_file("a new file after exec", proc_path(child, "environ"));
    kill(child, SIGKILL);
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    show("the old file when it is a zombie", pread(fd, text, 100, 0));
    waitpid(child, NULL, 0);
    show("the old file when it is reaped", pread(fd, text, 100, 0));
    show("a new file when it is reaped", open(proc_path(child, "environ"), O_RDONLY));
}

static void large(char **envp)
{
    char *second = (char *)(((uintptr_t)envp[0] + PAGE) & ~(PAGE - 1));
    long in_first = second - envp[0];
    int fd = open("/proc/self/environ", O_RDONLY);
    show("all of a large one", pread(fd, text, sizeof text, 0));
    show_ok("mprotect of its second page", mprotect(second, PAGE, PROT_NONE));
    show_fact("the first page alone", pread(fd, text, in_first, 0) == in_first);
    /* Linux loses what it had copied when a later part cannot be read. */
    long lost = pread(fd, text, sizeof text, 0);
    show_fact("a read into the hole fails or gives nothing", lost <= 0);
    show_fact("a read behind the hole", pread(fd, text, 10, in_first + PAGE) == 10);
    close(fd);
}

int main(int argc, char **argv, char **envp)
{
    if (argc < 2) {
        char *env[] = { "A=1", "EMPTY=", "NOEQUALS", "", "TAB=\t", "LAST=one", NULL };
        pid_t child = split();
        if (child == 0)
            start_again("small", env);
        reap("small", child);
        static char value[12000] = "LARGE=";
        memset(value + 6, 'v', sizeof value - 7);
        char *big[] = { value, NULL };
        child = split();
        if (child == 0)
            start_again("large", big);
        reap("large", child);
        char *none[] = { NULL };
        child = split();
        if (child == 0)
            start_again("none", none);
        reap("none", child);
        return 0;
    }
    if (!strcmp(argv[1], "small"))
        small(envp);
    else if (!strcmp(argv[1], "large"))
        large(envp);
    else if (!strcmp(argv[1], "none"))
        show_file("no environment", "/proc/self/environ");
    else
        pause();
    return 0;
}
