/* Sessions and process groups, as their calls and /proc/PID/stat show them. */
#include "check.h"

static void show_place(const char *what)
{
    pid_t own = getpid();
    printf("%s: own group %s, own session %s, stat agrees %s, tty %s, its group %s\n", what, getpgrp() == own ? "yes" : "no",
           getsid(0) == own ? "yes" : "no",
           (pid_t)stat_number(own, 5) == getpgrp() && (pid_t)stat_number(own, 6) == getsid(0) ? "yes" : "no",
           getsid(0) == own ? stat_word(own, 7) : "-", getsid(0) == own ? stat_word(own, 8) : "-");
}

int main(void)
{
    pid_t child = split();
    int status;
    if (child == 0) {
        show_place("a child");
        show_fact("setsid", setsid() == getpid());
        show_place("after setsid");
        show("setsid again", setsid());
        show("setpgid of a leader", setpgid(0, 0));
        pid_t first = split();
        if (first == 0)
            for (;;)
                pause();
        show("setpgid", setpgid(first, first));
        show_fact("getpgid", getpgid(first) == first);
        show_fact("stat", (pid_t)stat_number(first, 5) == first);
        pid_t second = split();
        if (second == 0)
            for (;;)
                pause();
        show("setpgid into it", setpgid(second, first));
        show_fact("both are there", getpgid(second) == first && (pid_t)stat_number(second, 6) == getpid());
        show("setpgid into nothing", setpgid(second, 1 << 21));
        show("setpgid of a stranger", setpgid(1 << 21, 0));
        show("setpgid with nonsense", setpgid(second, -1));
        show("a signal to the group", kill(-first, SIGUSR1));
        show_fact("wait for one of the group", waitpid(-first, &status, 0) > 0);
        show_wait("it was", status);
        show_fact("and the other", waitpid(-first, &status, 0) > 0);
        show_wait("it was", status);
        show("the group is gone", kill(-first, 0));
        show("getsid of nobody", getsid(1 << 21));
        show("getpgid of nobody", getpgid(1 << 21));
        _exit(0);
    }
    reap("child", child);

    /* A child that has run another program is no longer its parent's to move. */
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return 1;
    child = split();
    if (child == 0) {
        char *args[] = { "sessions", NULL };
        char *env[] = { "SLEEP=1", NULL };
        execve("/proc/self/exe", args, env);
        _exit(1);
    }
    close(pipes[1]);
    char byte;
    show("the pipe closes at exec", read(pipes[0], &byte, 1));
    show("setpgid after exec", setpgid(child, child));
    kill(child, SIGKILL);
    reap("child", child);

    /* A group that nobody controls any more is hung up when one of it is stopped. */
    if (pipe(pipes) < 0)
        return 1;
    child = split();
    if (child == 0) {
        setsid();
        pid_t middle = fork();
        if (middle == 0) {
            setpgid(0, 0);
            if (fork() == 0) {
                raise(SIGSTOP);
                for (;;)
                    pause();
            }
            for (;;)
                pause();
        }
        setpgid(middle, middle);
        usleep(50000);
        close(pipes[0]);
        close(pipes[1]);
        _exit(0);
    }
    close(pipes[1]);
    reap("leader of a session", child);
    show("everybody of its stopped orphans is gone", read(pipes[0], &byte, 1));
    return 0;
}

__attribute__((constructor)) static void sleeper(void)
{
    if (getenv("SLEEP"))
        for (;;)
            pause();
}
