/* The first process of a pid namespace: which signals reach it, whose parent it becomes, and what its end does to the others. */
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <sys/reboot.h>

static int pipes[2];

static pid_t clone_into(unsigned long flags, void (*body)(void))
{
    fflush(stdout);
    pid_t pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        body();
        fflush(stdout);
        _exit(0);
    }
    return pid;
}

static void sleep_on(void)
{
    for (;;)
        pause();
}

static void say(char byte)
{
    if (write(pipes[1], &byte, 1) < 0)
        _exit(1);
}

static void listen_for(char byte)
{
    char got = 0;
    while (got != byte)
        if (read(pipes[0], &got, 1) <= 0) {
            puts("nobody says it");
            return;
        }
}

static volatile sig_atomic_t caught, sender;

static void note(int number, siginfo_t *info, void *context)
{
    (void)context;
    caught = number;
    sender = info->si_pid;
}

static void catch_it(int number)
{
    struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };
    sigaction(number, &action, NULL);
}

/* Sends from a child of the first process, and shows what became of it. */
static void from_inside(const char *what, int number)
{
    caught = sender = 0;
    pid_t child = split();
    if (child == 0)
        _exit(kill(1, number) < 0);
    int status = -1;
    while (waitpid(child, &status, 0) < 0)
        ;
    printf("%s: sent %s, caught %d, sender %s\n", what, status ? "no" : "yes", caught == number, sender == child ? "the child" : "-");
}

static void init_and_signals(void)
{
    from_inside("SIGTERM from inside", SIGTERM);
    from_inside("SIGKILL from inside", SIGKILL);
    from_inside("SIGSTOP from inside", SIGSTOP);
    from_inside("SIGSEGV from inside", SIGSEGV);
    catch_it(SIGUSR1);
    from_inside("SIGUSR1 with a handler", SIGUSR1);
    raise(SIGTERM);
    raise(SIGKILL);
    puts("its own SIGTERM and SIGKILL do nothing");
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    from_inside("SIGTERM while blocked", SIGTERM);
    sigset_t pending;
    sigpending(&pending);
    show("it waits", sigismember(&pending, SIGTERM));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    sigpending(&pending);
    show("it waits when unblocked", sigismember(&pending, SIGTERM));
    alarm(1);
    pause();
    puts("not reached: SIGALRM has no handler");
}

static void init_that_tells(void)
{
    catch_it(SIGUSR1);
    say('r');
    for (;;) {
        while (caught != SIGUSR1)
            usleep(500);
        say(sender == 0 ? '0' : '?');
        caught = 0;
    }
}

static void init_that_faults(void)
{
    int *volatile nowhere = (int *)8;
    *nowhere = 1;
}

static void outside_and_signals(void)
{
    pid_t init = clone_into(CLONE_NEWPID, init_that_tells);
    listen_for('r');
    show("SIGTERM from outside", kill(init, SIGTERM));
    show("SIGUSR1 from outside", kill(init, SIGUSR1));
    listen_for('0');
    puts("its sender is 0");
    show("SIGSTOP from outside", kill(init, SIGSTOP));
    int status;
    show_fact("it stops", waitpid(init, &status, WUNTRACED) == init);
    show_wait("it is", status);
    kill(init, SIGCONT);
    show_fact("it goes on", waitpid(init, &status, WCONTINUED) == init);
    show_wait("it is", status);
    kill(init, SIGKILL);
    reap("SIGKILL from outside", init);
    reap("a fault", clone_into(CLONE_NEWPID, init_that_faults));
    init = clone_into(CLONE_NEWPID, init_and_signals);
    for (int tries = 0; tries < 60 && waitpid(init, &status, WNOHANG) == 0; tries++)
        usleep(50000);
    show_fact("the one without a handler for SIGALRM lives", kill(init, 0) == 0);
    kill(init, SIGKILL);
    reap("it", init);
}

static void init_with_family(void)
{
    pid_t child = split();
    if (child == 0) {
        pid_t grandchild = split();
        if (grandchild == 0) {
            for (int tries = 0; tries < 4000 && getppid() != 1; tries++)
                usleep(500);
            _exit(getppid());
        }
        _exit(0);
    }
    reap("the child", child);
    int status;
    pid_t orphan = wait(&status);
    show_fact("the orphan is ours", orphan > child);
    show_wait("it saw", status);
    /* A reaper nearer than the first process. */
    child = split();
    if (child == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        pid_t middle = split();
        if (middle == 0) {
            pid_t reaper = getppid();
            if (split() == 0) {
                for (int tries = 0; tries < 4000 && getppid() != reaper; tries++)
                    usleep(500);
                _exit(getppid() == reaper ? 11 : 12);
            }
            _exit(0);
        }
        waitpid(middle, NULL, 0);
        wait(&status);
        _exit(WEXITSTATUS(status));
    }
    reap("below a subreaper", child);
    for (int i = 0; i < 3; i++)
        if (split() == 0) {
            signal(SIGTERM, SIG_IGN);
            close(pipes[0]);
            if (i == 2)
                setsid();
            split();
            sleep_on();
        }
    usleep(20000);
    fflush(stdout);
    _exit(3);
}

static void *outlive(void *unused)
{
    usleep(50000);
    if (split() == 0)
        _exit(0);
    wait(NULL);
    puts("a thread outlives the first one and still forks");
    exit(8);
    return unused;
}

static void init_of_threads(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, outlive, NULL);
    syscall(SYS_exit, 0);
}

static void endings(void)
{
    int held[2];
    if (pipe(held) < 0)
        return;
    int mine = pipes[1];
    pipes[1] = held[1];
    pid_t init = clone_into(CLONE_NEWPID, init_with_family);
    close(held[1]);
    pipes[1] = mine;
    reap("the first process", init);
    /* Who still lived would hold the pipe open. */
    char byte;
    show("everybody is gone", read(held[0], &byte, 1));
    close(held[0]);
    reap("a process of threads", clone_into(CLONE_NEWPID, init_of_threads));

    /* A process put there from outside is a child of ours: the first process ends when we have waited for it. */
    pid_t self = split();
    if (self == 0) {
        init = clone_into(CLONE_NEWPID, sleep_on);
        setns(open(proc_path(init, "ns/pid"), O_RDONLY), CLONE_NEWPID);
        pid_t injected = split();
        if (injected == 0)
            sleep_on();
        kill(init, SIGKILL);
        wait_for_state(injected, "Z");
        usleep(20000);
        show("the first process has not ended", waitpid(init, NULL, WNOHANG));
        reap("the injected", injected);
        reap("the first process", init);
        _exit(0);
    }
    reap("with an injected process", self);
}

static int command;

static void restart(void)
{
    if (getpid() != 1)
        return;
    if (split() == 0) {
        show("reboot", reboot(command));
        _exit(0);
    }
    sleep_on();
}

static void restart_itself(void)
{
    if (getpid() == 1)
        show("reboot", reboot(command));
}

static void reboots(void)
{
    static const struct {
        const char *name;
        int command;
    } commands[] = { { "restart", RB_AUTOBOOT }, { "halt", RB_HALT_SYSTEM }, { "power off", RB_POWER_OFF } };
    for (unsigned i = 0; i < 3; i++) {
        command = commands[i].command;
        reap(commands[i].name, clone_into(CLONE_NEWPID, restart));
        reap(commands[i].name, clone_into(CLONE_NEWPID, restart_itself));
    }
    command = RB_ENABLE_CAD;
    reap("another command", clone_into(CLONE_NEWPID, restart_itself));
}

int main(void)
{
    if (pipe(pipes) < 0)
        return 1;
    outside_and_signals();
    endings();
    reboots();
    return 0;
}
