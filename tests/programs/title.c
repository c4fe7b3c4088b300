/* A process title written over argv, as setproctitle(3) does: read by the process, by its child and by its parent. */
#include "check.h"

static char text[1 << 16];

static void everybody_reads(const char *what)
{
    int own = 0;
    ssize_t length = read_file("/proc/self/cmdline", text, sizeof text);
    show_bytes(what, text, length);
    own = length;
    pid_t target = getpid(), child = split();
    if (child == 0) {
        /* The child's memory is a copy: its reading must be of the parent's. */
        static char other[1 << 16];
        ssize_t seen = read_file(proc_path(target, "cmdline"), other, sizeof other);
        show_fact("  a child reads the same", seen == own && memcmp(other, text, own) == 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv, char **envp)
{
    if (argc < 2) {
        char *args[] = { "title", "first argument", "second", NULL };
        char *env[] = { "ONE=1", "SECOND=a longer value here", NULL };
        execve("/proc/self/exe", args, env);
        return show("execve", -1);
    }
    char *start = argv[0], *args_end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
    char *env_end = envp[1] + strlen(envp[1]) + 1;
    show_fact("environment follows arguments", args_end == envp[0]);
    show_fact("stat knows where arguments start", stat_number(getpid(), 48) == (unsigned long)start);
    show_fact("stat knows where arguments end", stat_number(getpid(), 49) == (unsigned long)args_end);
    show_fact("stat knows where the environment starts", stat_number(getpid(), 50) == (unsigned long)envp[0]);
    show_fact("stat knows where the environment ends", stat_number(getpid(), 51) == (unsigned long)env_end);
    everybody_reads("as started");

    memset(start, 0, args_end - start);
    strcpy(start, "short title");
    everybody_reads("title with the last byte still NUL");

    memset(start, 'x', args_end - start);
    everybody_reads("title without NUL runs into the environment");

    strcpy(start, "a title that is longer than all of the arguments");
    everybody_reads("title past the end of the arguments");

    memset(start, 'y', env_end - start);
    everybody_reads("title over the whole environment, no NUL");
    show_file("environ then", "/proc/self/environ");

    memset(start, 'z', args_end - start);
    start[3] = 0;
    everybody_reads("NUL early, last byte of the arguments not NUL");

    start[0] = 0;
    everybody_reads("title empty, last byte of the arguments not NUL");

    int fd = open("/proc/self/cmdline", O_RDONLY);
    strcpy(start, "abcdefghijklmnopqrstuvwxyz0123456789");
    show_bytes("four bytes at 0", text, pread(fd, text, 4, 0));
    show_bytes("four bytes at 20", text, pread(fd, text, 4, 20));
    show_bytes("far beyond", text, pread(fd, text, 4, 4000));
    show("end by lseek", lseek(fd, 0, SEEK_END));
    show("reading there", read(fd, text, 10));
    show("a position too large", lseek(fd, 1l << 32, SEEK_SET));
    close(fd);

    /* A child's new title is seen by its parent at once. */
    int pipes[2];
    if (pipe(pipes) < 0)
        return 1;
    pid_t child = split();
    if (child == 0) {
        memset(start, 0, args_end - start);
        strcpy(start, "worker");
        if (write(pipes[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    if (read(pipes[0], text, 1) != 1)
        return 1;
    show_file("title of a child", proc_path(child, "cmdline"));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    everybody_reads("own title stays");
    return 0;
}
