/* The user whom a signal names as its sender, where sender and receiver have different user namespaces. */
#include "check.h"
#include <sched.h>
#include <sys/prctl.h>

static sigset_t set;

static void take(const char *what)
{
    const struct timespec ten = { .tv_sec = 10 };
    siginfo_t info;
    int number = sigtimedwait(&set, &info, &ten);
    if (number < 0)
        printf("%s: %s\n", what, error_name());
    else
        printf("%s: SIG%s from user %u, code %d\n", what, sigabbrev_np(number), info.si_uid, info.si_code);
}

static void put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        printf("%s: %s\n", path, error_name());
    close(fd);
}

static void tell(const int *pipes)
{
    if (write(pipes[1], "x", 1) < 0)
        _exit(1);
}

static void hear(const int *pipes)
{
    char byte;
    if (read(pipes[0], &byte, 1) < 0)
        _exit(1);
}

static void queue(pid_t pid, unsigned uid)
{
    siginfo_t info = { .si_signo = SIGUSR2, .si_code = SI_QUEUE };
    info.si_uid = uid;
    if (syscall(SYS_rt_sigqueueinfo, pid, SIGUSR2, &info) < 0)
        printf("not queued: %s\n", error_name());
}

static void inside(const int *up, const int *down)
{
    pid_t parent = getppid();
    show_ok("a user namespace", unshare(CLONE_NEWUSER));
    tell(up);
    take("from outside before there is a map");
    tell(up);
    hear(down);
    printf("users %d %d\n", getuid(), geteuid());
    kill(getpid(), SIGUSR1);
    take("from itself");
    tell(up);
    take("from outside");
    take("queued from outside as user 0");
    take("queued from outside as user 77");
    kill(parent, SIGUSR1);
    hear(down);
    queue(parent, 5);
    hear(down);
    queue(parent, 0);
    hear(down);
    pid_t child = split();
    if (child == 0)
        _exit(setuid(6));
    siginfo_t info;
    if (waitid(P_PID, child, &info, WEXITED) == 0)
        printf("waitid: user %u, status %d\n", info.si_uid, info.si_status);
    take("a child");
    child = split();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGUSR1);
        pid_t grandchild = split();
        if (grandchild == 0) {
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            tell(up);
            usleep(30000);
            take("its parent has ended");
            _exit(0);
        }
        hear(up);
        _exit(setuid(6));
    }
    reap("that one", child);
    take("a child");
    usleep(200000);
    _exit(0);
}

int main(void)
{
    int up[2], down[2];
    if (pipe(up) < 0 || pipe(down) < 0)
        return 1;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t child = split();
    if (child == 0)
        inside(up, down);
    hear(up);
    kill(child, SIGUSR1);
    hear(up);
    put(proc_path(child, "uid_map"), "5 0 1\n6 1000 1\n");
    put(proc_path(child, "setgroups"), "deny");
    put(proc_path(child, "gid_map"), "0 0 1\n");
    tell(down);
    hear(up);
    kill(child, SIGUSR1);
    usleep(20000);
    queue(child, 0);
    usleep(20000);
    queue(child, 77);
    take("from inside");
    tell(down);
    take("queued from inside as user 5");
    tell(down);
    take("queued from inside as user 0");
    tell(down);
    reap("it", child);
    take("its end");
    return 0;
}
