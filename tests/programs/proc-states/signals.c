/* Signals in status and stat: pending, blocked, ignored, caught, queued. */
#include "state.h"

static void show_signals(const char *what, pid_t pid)
{
    static const char *const KEYS[] = { "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt" };
    printf("%s:", what);
    for (int i = 0; i < 5; i++)
        printf(" %s", status_value(pid, KEYS[i]));
    puts("");
}

static void block(int number)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void handler(int number)
{
    (void)number;
}

STATE(signals_blocked_and_pending)
{
    show_signals("none", getpid());
    block(SIGUSR1);
    block(SIGRTMIN);
    block(64);
    show_signals("blocked", getpid());
    kill(getpid(), SIGUSR1);
    show_signals("sent to the process", getpid());
    syscall(SYS_tgkill, getpid(), gettid(), 64);
    show_signals("sent to the thread", getpid());
}

STATE(signals_queued_several_times)
{
    union sigval value = { 7 };
    /* Queued signals are counted for a user: take one that nobody else is. */
    if (setresuid(61234, 61234, 61234) < 0)
        not_run("cannot become another user");
    block(SIGUSR1);
    block(SIGRTMIN + 1);
    unsigned long before = strtoul(status_value(getpid(), "SigQ"), NULL, 10);
    for (int i = 0; i < 5; i++)
        kill(getpid(), SIGUSR1);
    printf("an ordinary one: +%lu\n", strtoul(status_value(getpid(), "SigQ"), NULL, 10) - before);
    for (int i = 0; i < 5; i++)
        sigqueue(getpid(), SIGRTMIN + 1, value);
    printf("real-time ones: +%lu\n", strtoul(status_value(getpid(), "SigQ"), NULL, 10) - before);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 1);
    sigwaitinfo(&set, NULL);
    printf("one taken: +%lu\n", strtoul(status_value(getpid(), "SigQ"), NULL, 10) - before);
    printf("ShdPnd %s\n", status_value(getpid(), "ShdPnd"));
}

STATE(signals_ignored_and_caught)
{
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, handler);
    signal(SIGRTMIN + 2, handler);
    show_signals("set", getpid());
    signal(SIGHUP, SIG_DFL);
    show_signals("one back", getpid());
    show("SIGKILL cannot", signal(SIGKILL, SIG_IGN) == SIG_ERR ? -1 : 0);
    show("nor SIGSTOP", signal(SIGSTOP, handler) == SIG_ERR ? -1 : 0);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    show_signals("all blocked", getpid());
}

STATE(signals_of_a_child)
{
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, handler);
    block(SIGUSR2);
    kill(getpid(), SIGUSR2);
    pid_t child = child_after(NULL);
    show_signals("after fork", child);
    end(child);
}

ROLE(show_signals_of_role)
{
    show_signals("after exec", getpid());
}

STATE(signals_after_exec)
{
    struct sigaction action = { .sa_handler = SIG_IGN };
    block(SIGUSR2);
    kill(getpid(), SIGUSR2);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGTERM, handler);
    show_signals("before", getpid());
    /* The program sets all actions to the default when it starts: what is left is the mask and what is pending. */
    exec_role("show_signals_of_role", NULL, NULL);
}

static int lasting[2];
static pid_t other_thread;

static void *blocking_thread(void *unused)
{
    char byte;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    other_thread = gettid();
    if (read(lasting[0], &byte, 1) < 0)
        return unused;
    return NULL;
}

STATE(signals_of_two_threads)
{
    pthread_t thread;
    if (pipe(lasting) < 0)
        return;
    block(SIGUSR1);
    pthread_create(&thread, NULL, blocking_thread, NULL);
    while (!*(volatile pid_t *)&other_thread)
        usleep(1000);
    wait_for_state(other_thread, "S");
    syscall(SYS_tgkill, getpid(), other_thread, SIGWINCH);
    kill(getpid(), SIGUSR1);
    printf("own SigBlk %s\n", status_value(getpid(), "SigBlk"));
    printf("own SigPnd %s\n", status_value(getpid(), "SigPnd"));
    printf("own ShdPnd %s\n", status_value(getpid(), "ShdPnd"));
    printf("other SigBlk %s\n", status_value(other_thread, "SigBlk"));
    printf("other SigPnd %s\n", status_value(other_thread, "SigPnd"));
    printf("words of stat %s %s\n", stat_word(getpid(), 31), stat_word(getpid(), 32));
    printf("words of its stat %s %s\n", stat_word(other_thread, 31), stat_word(other_thread, 32));
}

STATE(signals_in_stat)
{
    block(SIGUSR1);
    block(SIGRTMIN);
    block(SIGSYS);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGWINCH, handler);
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    printf("pending %s blocked %s ignored %s caught %s\n", stat_word(getpid(), 31), stat_word(getpid(), 32), stat_word(getpid(), 33),
           stat_word(getpid(), 34));
}

STATE(exit_signal_in_stat)
{
    printf("own %s\n", stat_word(getpid(), 38));
    long child = syscall(SYS_clone, 0, 0, 0, 0, 0);
    if (child == 0)
        for (;;)
            pause();
    printf("without a signal %s\n", stat_word(child, 38));
    kill(child, SIGKILL);
    waitpid(child, NULL, __WALL);
    child = syscall(SYS_clone, SIGUSR1, 0, 0, 0, 0);
    if (child == 0)
        for (;;)
            pause();
    printf("another signal %s\n", stat_word(child, 38));
    signal(SIGUSR1, SIG_IGN);
    kill(child, SIGKILL);
    waitpid(child, NULL, __WALL);
}

static void fault(void)
{
    *(volatile int *)16 = 1;
}

STATE(exit_code_in_stat)
{
    pid_t child = split();
    if (child == 0)
        fault();
    wait_for_state(child, "Z");
    unsigned long code = stat_number(child, 52);
    printf("a fault: signal %lu\n", code & 0x7f);
    waitpid(child, NULL, 0);
    child = split();
    if (child == 0)
        raise(SIGTERM);
    wait_for_state(child, "Z");
    printf("SIGTERM: %s\n", stat_word(child, 52));
    waitpid(child, NULL, 0);
    child = split();
    if (child == 0)
        _exit(255);
    wait_for_state(child, "Z");
    printf("exit 255: %s\n", stat_word(child, 52));
}
