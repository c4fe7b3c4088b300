/* Orphans and zombies: who takes them, who is told, who may wait, and what a stopped group hears when nobody is left to continue it. */
#include "check.h"
#include <pthread.h>
#include <sched.h>

/* Flags of the task in /proc/PID/stat that its end decides: EXITING, POSTCOREDUMP, FORKNOEXEC, SIGNALED. */
static unsigned long end_flags(pid_t pid)
{
    return stat_number(pid, 9) & 0x44c;
}

static int stack[4096];

static int end_with(void *code)
{
    _exit((int)(intptr_t)code);
}

static void expect_parent(const char *what, pid_t pid, pid_t parent)
{
    for (int tries = 0; tries < 4000 && (pid_t)stat_number(pid, 4) != parent; tries++)
        usleep(500);
    show_fact(what, (pid_t)stat_number(pid, 4) == parent);
}

/* Forks a child that forks a grandchild, which tells its number by a pipe and runs `body`. */
static pid_t orphan(pid_t *middle, int flags, void (*body)(void), void (*wait_in_middle)(void))
{
    int pipes[2];
    if (pipe(pipes) < 0)
        return -1;
    *middle = split();
    if (*middle == 0) {
        pid_t pid = flags ? (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL) : fork();
        if (pid == 0) {
            pid = getpid();
            if (write(pipes[1], &pid, sizeof pid) < 0)
                _exit(1);
            close(pipes[0]);
            close(pipes[1]);
            body();
            _exit(0);
        }
        if (wait_in_middle)
            wait_in_middle();
        _exit(0);
    }
    pid_t pid = -1;
    if (read(pipes[0], &pid, sizeof pid) < 0)
        pid = -1;
    close(pipes[0]);
    close(pipes[1]);
    return pid;
}

static void sleep_on(void)
{
    for (;;)
        pause();
}

static void end_with_five(void)
{
    _exit(5);
}

static void sleep_a_little(void)
{
    usleep(100000);
}

static void subreapers(void)
{
    pid_t middle;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t grandchild = orphan(&middle, 0, sleep_on, NULL);
    reap("the middle", middle);
    expect_parent("its child is ours", grandchild, getpid());
    kill(grandchild, SIGKILL);
    reap("and ends", grandchild);

    /* One that ended while its parent lived, and one whose end was to be told by another signal. */
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    grandchild = orphan(&middle, SIGUSR1, end_with_five, sleep_a_little);
    wait_for_state(grandchild, "Z");
    printf("its exit signal: %s\n", stat_word(grandchild, 38));
    waitpid(middle, NULL, 0);
    printf("its exit signal when it is ours: %s\n", stat_word(grandchild, 38));
    while (sigtimedwait(&set, &info, &(struct timespec){ 0, 0 }) > 0)
        if (info.si_signo != SIGCHLD)
            show("an unexpected signal", info.si_signo);
    reap("it ended with", grandchild);
    sigprocmask(SIG_UNBLOCK, &set, NULL);

    /* A reaper that ignores SIGCHLD does not keep zombies that it gets. */
    signal(SIGCHLD, SIG_IGN);
    grandchild = orphan(&middle, 0, end_with_five, sleep_a_little);
    wait_for_state(grandchild, "Z");
    show("wait for the middle", waitpid(middle, NULL, 0));
    show("the zombie", kill(grandchild, 0));
    signal(SIGCHLD, SIG_DFL);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static pthread_barrier_t barrier;
static pid_t childs_of_thread[2], thread_id;

static void *make_children(void *unused)
{
    thread_id = syscall(SYS_gettid);
    for (int i = 0; i < 2; i++) {
        childs_of_thread[i] = fork();
        if (childs_of_thread[i] == 0) {
            prctl(PR_SET_PDEATHSIG, i ? SIGUSR2 : 0);
            sleep_on();
        }
    }
    usleep(50000);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}

static void show_children(const char *what, pid_t tid, const pid_t *children, int count)
{
    char path[64], text[256], want[256] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/children", tid);
    for (int i = 0; i < count; i++)
        sprintf(want + strlen(want), "%d ", children[i]);
    if (read_file(path, text, sizeof text) < 0)
        printf("%s: %s\n", what, error_name());
    else
        show_fact(what, strcmp(text, want) == 0);
}

static void children_of_threads(void)
{
    pthread_t thread;
    pid_t first = split();
    if (first == 0)
        sleep_on();
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, make_children, NULL);
    pthread_barrier_wait(&barrier);
    show_children("children of the first thread", getpid(), &first, 1);
    show_children("children of the second", thread_id, childs_of_thread, 2);
    show("the second's with __WNOTHREAD", waitpid(childs_of_thread[0], NULL, WNOHANG | __WNOTHREAD));
    show("without", waitpid(childs_of_thread[0], NULL, WNOHANG));
    show_fact("their parent is the process", (pid_t)stat_number(childs_of_thread[0], 4) == getpid());
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    reap("who asked is told of the thread's end", childs_of_thread[1]);
    pid_t both[2] = { first, childs_of_thread[0] };
    show_children("the first thread has the other", getpid(), both, 2);
    show("and may wait for it alone", waitpid(childs_of_thread[0], NULL, WNOHANG | __WNOTHREAD));
    kill(childs_of_thread[0], SIGKILL);
    kill(first, SIGKILL);
    reap("the one", childs_of_thread[0]);
    reap("the other", first);
}

static void *sleep_in_thread(void *unused)
{
    sleep_on();
    return unused;
}

static void flags_of_zombies(void)
{
    pid_t child = split();
    if (child == 0)
        _exit(0);
    wait_for_state(child, "Z");
    printf("flags after exit: %#lx\n", end_flags(child));
    reap("exit", child);
    child = split();
    if (child == 0)
        sleep_on();
    kill(child, SIGTERM);
    wait_for_state(child, "Z");
    printf("flags after a signal: %#lx\n", end_flags(child));
    reap("signal", child);
    child = split();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, sleep_in_thread, NULL);
        syscall(SYS_exit_group, 3);
    }
    wait_for_state(child, "Z");
    printf("flags after exit_group of the first thread: %#lx\n", end_flags(child));
    reap("exit_group", child);
}

static volatile sig_atomic_t hung_up, continued;

static void note(int number)
{
    if (number == SIGHUP)
        hung_up = 1;
    else
        continued = 1;
}

/* The middle is a session leader with a stopped job in a group of its own; when it ends, nobody could continue the job. */
static int report[2];

static void stop_in_own_group(void)
{
    struct sigaction action = { .sa_handler = note };
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGCONT, &action, NULL);
    setpgid(0, 0);
    raise(SIGSTOP);
    for (int tries = 0; tries < 2000 && !hung_up; tries++)
        usleep(500);
    char said[2] = { hung_up ? 'H' : '-', continued ? 'C' : '-' };
    if (write(report[1], said, 2) < 0)
        _exit(1);
}

static void orphaned_groups(void)
{
    pid_t middle;
    char said[3] = "";
    if (pipe(report) < 0)
        return;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t job = orphan(&middle, 0, stop_in_own_group, sleep_on);
    wait_for_state(job, "T");
    kill(middle, SIGKILL);
    reap("the shell", middle);
    /* Its new parent is of the same session and another group, so the group is not orphaned. */
    usleep(20000);
    printf("the job is %s\n", stat_word(job, 3));
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    kill(job, SIGKILL);
    reap("the job", job);

    pid_t shell = split();
    if (shell == 0) {
        setsid();
        prctl(PR_SET_CHILD_SUBREAPER, 0);
        job = orphan(&middle, 0, stop_in_own_group, sleep_on);
        wait_for_state(job, "T");
        kill(middle, SIGKILL);
        waitpid(middle, NULL, 0);
        _exit(0);
    }
    reap("a shell with a session of its own", shell);
    show("the job says", read(report[0], said, 2));
    printf("it was told: %s\n", said);
}

/* Runs as the program that a parent has become: what the child of before tells at its end. */
static int after_exec(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    printf("a child of the program before tells its end by SIG%s\n", sigabbrev_np(sigwaitinfo(&set, NULL)));
    show_fact("and is waited for as a clone child", waitpid(-1, NULL, __WCLONE) > 0);
    return 0;
}

static int sleep_a_while(void *unused)
{
    usleep(200000);
    return unused != NULL;
}

static int end_at_once(void *unused)
{
    return unused != NULL;
}

static void exit_signals(void)
{
    pid_t child = split();
    if (child == 0) {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        sigaddset(&set, SIGCHLD);
        sigprocmask(SIG_BLOCK, &set, NULL);
        clone(sleep_a_while, stack + 4096, SIGUSR1, NULL);
        execl("/proc/self/exe", "reaping", "after", NULL);
        _exit(1);
    }
    reap("an exec in between", child);
    /* A sibling tells its end as the one who made it does, whatever was asked for. */
    child = split();
    if (child == 0) {
        pid_t sibling = clone(end_at_once, stack + 4096, CLONE_PARENT | SIGUSR1, NULL);
        wait_for_state(sibling, "Z");
        _exit((int)stat_number(sibling, 38));
    }
    reap("a sibling's exit signal", child);
    show_fact("it is ours to wait for", waitpid(-1, NULL, 0) > 0);
}

static int everything(void)
{
    exit_signals();
    subreapers();
    children_of_threads();
    flags_of_zombies();
    orphaned_groups();
    pid_t child = clone(end_with, stack + 4096, 0, (void *)9);
    show("a clone child without a signal", waitpid(child, NULL, 0));
    int status = 0;
    show_fact("is waited for with __WALL", waitpid(child, &status, __WALL) == child);
    show_wait("it ended with", status);
    show("kill with a wrong signal of nobody", kill(1 << 21, 999));
    show("kill with a wrong signal", kill(getpid(), 999));
    show("tkill of thread 0", syscall(SYS_tkill, 0, 0));
    return 0;
}

/* In a VM this is the first process of all, whose children are never thought to be somebody's to continue. */
int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return after_exec();
    pid_t child = split();
    if (child == 0)
        return everything();
    reap("everything", child);
    return 0;
}
