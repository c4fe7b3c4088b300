/* Where a process waits: wchan and syscall of one that sleeps in each of many ways, runs, is stopped, has ended. */
#include "check.h"
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/syscall.h>

static int ends[2], event, epoll;

static void show_wchan(const char *what, pid_t pid)
{
    char text[256], args[6][32], stack[32], next[32];
    ssize_t length = read_file(proc_path(pid, "wchan"), text, sizeof text);
    show_bytes(what, text, length);
    length = read_file(proc_path(pid, "syscall"), text, sizeof text);
    int number = -2;
    int words = sscanf(text, "%d %31s %31s %31s %31s %31s %31s %31s %31s", &number, args[0], args[1], args[2], args[3], args[4],
                       args[5], stack, next);
    if (words == 0)
        show_bytes("  syscall", text, length);
    else
        printf("  syscall %d with %d words\n", number, words);
}

static void pause_here(void) { pause(); }
static void sleep_for(void) { sleep(100); }
static void sleep_old(void) { syscall(SYS_nanosleep, &(struct timespec){ 100, 0 }, NULL); }
static void sleep_until(void)
{
    struct timespec when;
    clock_gettime(CLOCK_REALTIME, &when);
    when.tv_sec += 100;
    clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &when, NULL);
}
static void read_pipe(void) { char byte; (void)!read(ends[0], &byte, 1); }
static void write_pipe(void) { static char bytes[1 << 17]; (void)!write(ends[1], bytes, sizeof bytes); }
static void open_fifo(void) { open("fifo", O_RDONLY); }
static void read_event(void) { uint64_t count; (void)!read(event, &count, 8); }
static void poll_event(void) { poll(&(struct pollfd){ event, POLLIN, 0 }, 1, -1); }
static void poll_for(void) { poll(&(struct pollfd){ event, POLLIN, 0 }, 1, 100000); }
static void select_event(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(event, &set);
    select(event + 1, &set, NULL, NULL, NULL);
}
static void wait_epoll(void) { struct epoll_event one; epoll_wait(epoll, &one, 1, -1); }
static void wait_futex(void) { int word = 0; syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL); }
static void suspend(void) { sigset_t none; sigemptyset(&none); sigsuspend(&none); }
static void wait_signal(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigwaitinfo(&set, NULL);
}
static void wait_child(void) { if (fork() == 0) pause(); wait(NULL); }
static void wait_vfork(void) { if (vfork() == 0) { pause(); _exit(0); } }
static void stop(void) { raise(SIGSTOP); }

static const struct {
    const char *what;
    void (*act)(void);
    const char *state;
} WAYS[] = {
    { "pause", pause_here, "S" }, { "clock_nanosleep", sleep_for, "S" }, { "nanosleep", sleep_old, "S" },
    { "clock_nanosleep until", sleep_until, "S" }, { "read of a pipe", read_pipe, "S" }, { "write to a pipe", write_pipe, "S" },
    { "open of a fifo", open_fifo, "S" }, { "read of an eventfd", read_event, "S" }, { "poll", poll_event, "S" },
    { "poll with a timeout", poll_for, "S" }, { "select", select_event, "S" }, { "epoll_wait", wait_epoll, "S" },
    { "futex", wait_futex, "S" }, { "sigsuspend", suspend, "S" }, { "sigwaitinfo", wait_signal, "S" },
    { "wait", wait_child, "S" }, { "vfork", wait_vfork, "SD" }, { "stop", stop, "T" },
};

int main(void)
{
    enter_scratch();
    mkfifo("fifo", 0600);
    show_ok("pipe", pipe(ends));
    event = eventfd(0, 0);
    epoll = epoll_create1(0);
    struct epoll_event readable = { .events = EPOLLIN };
    epoll_ctl(epoll, EPOLL_CTL_ADD, event, &readable);
    for (unsigned i = 0; i < sizeof WAYS / sizeof *WAYS; i++) {
        pid_t child = split();
        if (child == 0) {
            setpgid(0, 0);
            WAYS[i].act();
            _exit(0);
        }
        setpgid(child, child);
        usleep(30000);
        wait_for_state(child, WAYS[i].state);
        show_wchan(WAYS[i].what, child);
        kill(-child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    pid_t child = split();
    if (child == 0) {
        sleep(100);
        _exit(0);
    }
    usleep(30000);
    kill(child, SIGSTOP);
    wait_for_state(child, "T");
    show_wchan("a sleeper that was stopped", child);
    kill(child, SIGKILL);
    wait_for_state(child, "Z");
    show_wchan("a zombie", child);
    int gone_wchan = open(proc_path(child, "wchan"), O_RDONLY), gone_syscall = open(proc_path(child, "syscall"), O_RDONLY);
    waitpid(child, NULL, 0);
    char text[256];
    show("wchan of one that is reaped", read(gone_wchan, text, sizeof text));
    show("syscall of one that is reaped", read(gone_syscall, text, sizeof text));
    show_wchan("the reader itself", getpid());
    char line[256];
    int fd = open("/proc/self/syscall", O_RDONLY);
    ssize_t length = read(fd, line, 200);
    line[length] = 0;
    unsigned long number, first, second, third;
    sscanf(line, "%lu %lx %lx %lx", &number, &first, &second, &third);
    show_fact("it shows the read", number == SYS_read && (int)first == fd && (char *)second == line && third == 200);
    child = split();
    if (child == 0)
        for (volatile unsigned long n = 0;; n++)
            ;
    usleep(20000);
    show_wchan("one that runs", child);
    kill(child, SIGKILL);
    reap("it", child);
    /* Nobody's business but those who may trace. */
    child = split();
    if (child == 0)
        pause();
    wait_for_state(child, "S");
    if (split() == 0) {
        show_ok("become somebody else", setresgid(1, 1, 1) | setresuid(1, 1, 1));
        show_file("wchan of root's", proc_path(child, "wchan"));
        show("syscall of root's", open(proc_path(child, "syscall"), O_RDONLY));
        prctl(PR_SET_DUMPABLE, 1);
        show("its own", open("/proc/self/syscall", O_RDONLY) >= 0);
        _exit(0);
    }
    wait(NULL);
    kill(child, SIGKILL);
    reap("it", child);
    return 0;
}
