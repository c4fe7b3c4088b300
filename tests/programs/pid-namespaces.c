/* Pid namespaces, three deep: what each level calls itself and the others, what its /proc shows, and who may enter. */
#include "check.h"
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

static int level;

/* A child made with flags, which ends with what `body` returns. */
static pid_t clone_into(unsigned long flags, int (*body)(void *), void *argument)
{
    fflush(stdout);
    pid_t pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        int status = body(argument);
        fflush(stdout);
        _exit(status);
    }
    return pid;
}

/* The names below /proc that are numbers, in the order of the listing. */
static void show_processes(const char *what)
{
    DIR *dir = opendir("/proc");
    printf("%s:", what);
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        if (*entry->d_name >= '0' && *entry->d_name <= '9')
            printf(" %s", entry->d_name);
    puts("");
    if (dir)
        closedir(dir);
}

static int words(const char *text)
{
    int count = 0;
    for (const char *at = text; *at; count++) {
        at += strspn(at, " \t");
        at += strcspn(at, " \t");
    }
    return count;
}

static void show_status(pid_t pid)
{
    static const char *const keys[] = { "Tgid", "Pid", "PPid", "NStgid", "NSpid", "NSpgid", "NSsid" };
    printf("  status of %d:", pid);
    for (unsigned i = 0; i < 7; i++)
        printf(" %s %s,", keys[i], status_value(pid, keys[i]));
    printf(" stat");
    for (int word = 1; word <= 8; word++)
        if (word == 1 || word > 3)
            printf(" %s", stat_word(pid, word));
    puts("");
}

static void own_proc(void)
{
    show_ok("  mounts of its own", unshare(CLONE_NEWNS));
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    show("  mount proc", mount("proc", "/proc", "proc", 0, NULL));
}

static int number_in(int proc, const char *link)
{
    char text[32];
    ssize_t length = readlinkat(proc, link, text, sizeof text - 1);
    if (length < 0)
        return -errno;
    text[length] = 0;
    return atoi(text);
}

static siginfo_t last;

static void note(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    last = *info;
}

/* What the levels share: the /proc above each, and pipes by which each tells that it is there and hears that it may go on. */
struct above {
    int proc[4];
    int ready[4][2], go[4][2];
};

static void tell(const int *pipes)
{
    if (write(pipes[1], "x", 1) < 0)
        _exit(1);
}

static void hear(const int *pipes)
{
    char byte;
    while (read(pipes[0], &byte, 1) < 0)
        ;
}

static void signal_parent(void)
{
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t child = split();
    if (child == 0) {
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    sigwaitinfo(&set, &info);
    printf("  a child's signal comes from %d\n", info.si_pid);
    show("  waited for", waitpid(-1, NULL, 0));
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int inside(void *argument)
{
    struct above *above = argument;
    level++;
    printf("level %d: getpid %d, gettid %ld, getppid %d, getpgrp %d, getsid %d\n", level, getpid(), syscall(SYS_gettid), getppid(),
           getpgrp(), getsid(0));
    show_fact("  the old /proc has another number for it", number_in(above->proc[level - 1], "self") > 1);
    own_proc();
    show_processes("  processes");
    show("  self", number_in(AT_FDCWD, "/proc/self"));
    show_status(1);
    pid_t child = split();
    if (child == 0) {
        printf("  a child: getpid %d, getppid %d\n", getpid(), getppid());
        show_status(getpid());
        setsid();
        printf("  after setsid: getpgrp %d, getsid %d\n", getpgrp(), getsid(0));
        show_status(getpid());
        _exit(0);
    }
    siginfo_t info;
    show("  waitid", waitid(P_ALL, 0, &info, WEXITED | WNOWAIT));
    show("  fork gave", child);
    show("  it is", info.si_pid);
    show("  wait", wait(NULL));
    signal_parent();
    char text[128];
    read_file("/proc/loadavg", text, sizeof text);
    printf("  last number %s", strrchr(text, ' ') + 1);
    show("  kill of nobody here", kill(1000, 0));
    show("  kill of all others here", kill(-1, 0));
    show("  kill of the own group", kill(0, 0));
    show("  getpgid(0)", getpgid(0));
    show("  getsid(77)", getsid(77));
    show("  sched_getscheduler(1)", sched_getscheduler(1));
    show("  clone with CLONE_PARENT", clone_into(CLONE_PARENT, inside, NULL));

    if (level == 3) {
        struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };
        sigaction(SIGUSR2, &action, NULL);
        tell(above->ready[level]);
        hear(above->go[level]);
        printf("level %d was signalled by %d, code %d\n", level, last.si_pid, last.si_code);
        for (int i = 0; i < 3; i++)
            show_fact("  the outer /proc knows it", number_in(above->proc[i], "self") > 0);
        return 0;
    }
    above->proc[level] = open("/proc", O_RDONLY | O_DIRECTORY);
    child = clone_into(CLONE_NEWPID, inside, above);
    hear(above->ready[level + 1]);
    tell(above->ready[level]);
    hear(above->go[level]);
    printf("level %d again: the one below is %d\n", level, child);
    show_processes("  processes with those below");
    show_status(child);
    printf("  it has %d numbers\n", words(status_value(child, "NSpid")));
    show("  signal 0 downwards", kill(child, 0));
    show("  signal downwards", kill(child, SIGUSR2));
    tell(above->go[level + 1]);
    show("  the one below ended", waitpid(child, NULL, 0));
    return 0;
}

static int chosen_numbers(void *unused)
{
    (void)unused;
    int last = open("/proc/sys/kernel/ns_last_pid", O_RDWR);
    show("ns_last_pid", write(last, "41\n", 3));
    char text[16] = "";
    show("it reads", pread(last, text, sizeof text - 1, 0));
    printf("last number %s", text);
    pid_t child = split();
    if (child == 0)
        _exit(0);
    show("the next number", child);
    wait(NULL);
    show("none above the greatest", pwrite(last, "4194305", 7, 0));
    show("none below 0", pwrite(last, "-1", 2, 0));
    return 0;
}

static void three_levels(void)
{
    struct above above;
    above.proc[0] = open("/proc", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < 4; i++)
        if (pipe(above.ready[i]) < 0 || pipe(above.go[i]) < 0)
            return;
    pid_t child = clone_into(CLONE_NEWPID, inside, &above);
    hear(above.ready[1]);
    show_fact("clone", child > 1);
    tell(above.go[1]);
    int status;
    show_fact("wait gives our number", waitpid(child, &status, 0) == child);
    show_wait("it ended with", status);
}

static void *nothing(void *unused)
{
    return unused;
}

static long link_of(const char *name, char *text)
{
    ssize_t length = readlink(name, text, 63);
    text[length < 0 ? 0 : length] = 0;
    return length < 0 ? -1 : 0;
}

static int unsharing(void *unused)
{
    (void)unused;
    char own[64], children[64], again[64];
    link_of("/proc/self/ns/pid", own);
    link_of("/proc/self/ns/pid_for_children", children);
    show_fact("children stay here", strcmp(own, children) == 0);
    pid_t self = getpid();
    show("unshare", unshare(CLONE_NEWPID));
    show_fact("the own number stays", getpid() == self);
    link_of("/proc/self/ns/pid", again);
    show_fact("the own namespace stays", strcmp(own, again) == 0);
    show("pid_for_children before the first child", link_of("/proc/self/ns/pid_for_children", children));
    show("open it", open("/proc/self/ns/pid_for_children", O_RDONLY));
    show("unshare again", unshare(CLONE_NEWPID));
    show("clone again", clone_into(CLONE_NEWPID, unsharing, NULL));
    pthread_t thread;
    errno = pthread_create(&thread, NULL, nothing, NULL);
    printf("a thread: %s\n", error_name());
    int pipes[2], said[2];
    if (pipe(pipes) < 0 || pipe(said) < 0)
        return 1;
    pid_t init = split();
    if (init == 0) {
        char byte;
        printf("the first child is %d, its parent %d\n", getpid(), getppid());
        tell(said);
        close(pipes[1]);
        if (read(pipes[0], &byte, 1) < 0)
            _exit(1);
        _exit(0);
    }
    hear(said);
    show("pid_for_children after it", link_of("/proc/self/ns/pid_for_children", children));
    show_fact("it is another", strcmp(own, children) != 0);
    link_of(proc_path(init, "ns/pid"), again);
    show_fact("the child's", strcmp(again, children) == 0);
    pid_t second = split();
    if (second == 0) {
        printf("the second child is %d, its parent %d\n", getpid(), getppid());
        show("setns to where we came from", setns(open(proc_path(self, "ns/pid"), O_RDONLY), CLONE_NEWPID));
        _exit(0);
    }
    reap("the second child", second);
    close(pipes[1]);
    reap("the first child", init);
    show("fork when the first child has ended", fork());
    show("and again", fork());
    show("pid_for_children then", link_of("/proc/self/ns/pid_for_children", children));
    show("setns back", setns(open("/proc/self/ns/pid", O_RDONLY), CLONE_NEWPID));
    pid_t third = split();
    if (third == 0)
        _exit(getppid() == self ? 4 : 5);
    reap("fork after that", third);
    show("a thread's namespace", clone_into(CLONE_NEWPID | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, unsharing, NULL));
    return 0;
}

static int sleep_on(void *unused)
{
    for (;;)
        pause();
    return unused != NULL;
}

static int sit_below(void *unused)
{
    (void)unused;
    clone_into(CLONE_NEWPID, sleep_on, NULL);
    return sleep_on(NULL);
}

#define NS_GET_PARENT 0xb702

static void entering(void)
{
    char self[64], text[64];
    link_of("/proc/self/ns/pid", self);
    pid_t init = clone_into(CLONE_NEWPID, sit_below, NULL);
    pid_t below = 0;
    /* The one below is our great-grandchild: found by its place in the list of its parent's children. */
    while (below == 0) {
        char children[64] = "";
        snprintf(text, sizeof text, "/proc/%d/task/%d/children", init, init);
        read_file(text, children, sizeof children);
        below = atoi(children);
    }
    int one = open(proc_path(init, "ns/pid"), O_RDONLY | O_CLOEXEC), two = open(proc_path(below, "ns/pid"), O_RDONLY | O_CLOEXEC);
    show("setns two levels down", setns(two, CLONE_NEWPID));
    pid_t child = split();
    if (child == 0) {
        printf("who was put there is %d, its parent %d, its group %d\n", getpid(), getppid(), getpgrp());
        show("setns one level up", setns(one, CLONE_NEWPID));
        show("setns to its own", setns(two, 0));
        show("the parent of its namespace", ioctl(two, NS_GET_PARENT));
        show("setns as another kind", setns(two, CLONE_NEWUTS));
        _exit(6);
    }
    reap("it", child);
    show("setns one level down", setns(one, CLONE_NEWPID));
    int pipes[2];
    if (pipe(pipes) < 0)
        return;
    child = split();
    if (child == 0) {
        printf("who was put there is %d, its parent %d\n", getpid(), getppid());
        pid_t orphan = split();
        if (orphan == 0) {
            /* Its parent's reaper is the first process there, not ours. */
            for (int tries = 0; tries < 4000 && getppid() != 1; tries++)
                usleep(500);
            pid_t parent = getppid();
            _exit(write(pipes[1], &parent, sizeof parent) < 0);
        }
        _exit(0);
    }
    reap("it", child);
    pid_t adopter = -1;
    show_fact("its orphan speaks", read(pipes[0], &adopter, sizeof adopter) == sizeof adopter);
    show("the orphan's parent", adopter);
    int parent = ioctl(two, NS_GET_PARENT);
    struct stat a, b;
    fstat(parent, &a);
    fstat(one, &b);
    show_fact("the parent of the lower is the upper", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    kill(init, SIGKILL);
    reap("the first process", init);
    show("who was below", kill(below, 0));
    show("fork into the dead", fork());
    show("its link is still open", fstat(two, &a));
    show("setns into the dead", setns(two, CLONE_NEWPID));
    show("fork into the dead below", fork());
}

static int deeper(void *unused)
{
    (void)unused;
    pid_t child = clone_into(CLONE_NEWPID, deeper, NULL);
    if (child < 0) {
        show("the deepest level", -1);
        fflush(stdout);
        return 7;
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

int main(void)
{
    three_levels();
    pid_t child = split();
    if (child == 0)
        return unsharing(NULL);
    reap("unsharing", child);
    child = split();
    if (child == 0) {
        entering();
        return 0;
    }
    reap("entering", child);
    reap("chosen numbers", clone_into(CLONE_NEWPID, chosen_numbers, NULL));
    child = clone_into(CLONE_NEWPID, deeper, NULL);
    reap("all levels", child);
    return 0;
}
