/* Namespaces that unshare(2), clone(2) and setns(2) make and join: who is in which, what each refuses, what a child inherits. */
#include "check.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <sys/utsname.h>

static const char *const NAMES[] = { "net", "uts", "ipc", "pid", "pid_for_children", "user", "mnt", "cgroup", "time", "time_for_children" };
#define COUNT (sizeof NAMES / sizeof NAMES[0])

static ino_t number_of(pid_t pid, const char *name)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, name);
    return stat(path, &status) ? 0 : status.st_ino;
}

struct set { ino_t number[COUNT]; };

static struct set set_of(pid_t pid)
{
    struct set set;
    for (size_t i = 0; i < COUNT; i++)
        set.number[i] = number_of(pid, NAMES[i]);
    return set;
}

/* Prints which namespaces differ. */
static void show_change(const char *what, struct set before, struct set after)
{
    printf("%s:", what);
    for (size_t i = 0; i < COUNT; i++)
        if (before.number[i] != after.number[i])
            printf(" %s", NAMES[i]);
    putchar('\n');
}

/* Runs `body` in a child and waits for it. */
static void in_child(const char *what, void (*body)(void))
{
    printf("-- %s\n", what);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        body();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (status)
        printf("ended with %#x\n", status);
}

static void unshare_each(void)
{
    static const struct { const char *name; int flag; } KINDS[] = {
        { "mnt", CLONE_NEWNS }, { "uts", CLONE_NEWUTS }, { "ipc", CLONE_NEWIPC }, { "net", CLONE_NEWNET },
        { "cgroup", CLONE_NEWCGROUP }, { "time", CLONE_NEWTIME },
        { "all", CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP | CLONE_NEWTIME },
        { "files", CLONE_FILES }, { "fs", CLONE_FS }, { "sysvsem", CLONE_SYSVSEM }, { "thread", CLONE_THREAD },
        { "sighand", CLONE_SIGHAND }, { "vm", CLONE_VM }, { "nothing", 0 },
    };
    for (size_t i = 0; i < sizeof KINDS / sizeof KINDS[0]; i++) {
        struct set before = set_of(getpid());
        show(KINDS[i].name, unshare(KINDS[i].flag));
        show_change("  changed", before, set_of(getpid()));
    }
    show("unknown flag", unshare(0x1000));
    show("parent settid", unshare(CLONE_PARENT_SETTID));
    show("vfork", unshare(CLONE_VFORK | CLONE_NEWUTS));
    show("high bits", syscall(SYS_unshare, 1ul << 40));
}

static void *wait_for(void *pipe_end)
{
    char byte;
    if (read(*(int *)pipe_end, &byte, 1) < 0)
        return "";
    return NULL;
}

static void with_a_thread(void)
{
    int ends[2];
    pthread_t thread;
    if (pipe(ends) || pthread_create(&thread, NULL, wait_for, &ends[0]))
        return;
    struct set before = set_of(getpid());
    show("thread", unshare(CLONE_THREAD));
    show("vm", unshare(CLONE_VM));
    show("uts", unshare(CLONE_NEWUTS));
    show("mnt", unshare(CLONE_NEWNS));
    show_change("changed", before, set_of(getpid()));
    int fd = open("/proc/self/ns/mnt", O_RDONLY);
    show("setns mnt with a root of its own", setns(fd, 0));
    close(fd);
    fd = open("/proc/self/ns/time", O_RDONLY);
    show("setns time", setns(fd, CLONE_NEWTIME));
    close(fd);
    close(ends[1]);
    pthread_join(thread, NULL);
}

static char stack[65536] __attribute__((aligned(16)));

static int end_at_once(void *unused)
{
    (void)unused;
    return 0;
}

static int show_own_change(void *before)
{
    show_change("  in the child", *(struct set *)before, set_of(getpid()));
    fflush(stdout);
    return 0;
}

static void try_clone(const char *what, int flags)
{
    struct set before = set_of(getpid());
    fflush(stdout);
    pid_t pid = clone(show_own_change, stack + sizeof stack, flags | SIGCHLD, &before);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    show_ok(what, pid);
}

static void clone_flags(void)
{
    try_clone("plain", 0);
    try_clone("uts", CLONE_NEWUTS);
    try_clone("mnt ipc net cgroup", CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP);
    try_clone("mnt and fs", CLONE_NEWNS | CLONE_FS);
    try_clone("ipc and sysvsem", CLONE_NEWIPC | CLONE_SYSVSEM);
    try_clone("sighand without vm", CLONE_SIGHAND);
    /* The low byte is the exit signal: no time namespace. */
    show_ok("newtime as a signal", clone(end_at_once, stack + sizeof stack, CLONE_NEWTIME, NULL) < 0 ? -1 : 0);
    while (waitpid(-1, NULL, __WALL) > 0)
        ;
    struct set before = set_of(getpid());
    struct clone_args args = { .flags = CLONE_NEWTIME | CLONE_NEWUTS, .exit_signal = SIGCHLD };
    fflush(stdout);
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0) {
        show_change("clone3 time uts", before, set_of(getpid()));
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    args.flags = CLONE_DETACHED;
    show_ok("clone3 detached", syscall(SYS_clone3, &args, sizeof args));
    args.flags = 1;
    show_ok("clone3 signal in flags", syscall(SYS_clone3, &args, sizeof args));
    args.flags = CLONE_NEWNS | CLONE_FS;
    show_ok("clone3 mnt and fs", syscall(SYS_clone3, &args, sizeof args));
}

static void clocks_of_children(void)
{
    struct set before = set_of(getpid());
    unshare(CLONE_NEWTIME);
    show_change("unshared", before, set_of(getpid()));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        show_change("child", before, set_of(getpid()));
        show_fact("child's clocks are its children's", number_of(getpid(), "time") == number_of(getpid(), "time_for_children"));
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    pid = vfork();
    if (pid == 0) {
        struct set mine = set_of(getpid());
        for (size_t i = 0; i < COUNT; i++)
            if (!strcmp(NAMES[i], "time"))
                _exit(mine.number[i] == before.number[i]);
        _exit(2);
    }
    int status;
    waitpid(pid, &status, 0);
    show("a vfork child keeps the clocks", WEXITSTATUS(status));
}

static void show_names(const char *what)
{
    struct utsname name;
    char host[128];
    uname(&name);
    read_file("/proc/sys/kernel/hostname", host, sizeof host);
    printf("%s: %s %s %s", what, name.nodename, name.domainname, host);
}

static void host_names(void)
{
    unshare(CLONE_NEWUTS);
    sethostname("outer", 5);
    setdomainname("example", 7);
    show_names("outer");
    int outer = open("/proc/self/ns/uts", O_RDONLY);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        unshare(CLONE_NEWUTS);
        show_names("copied");
        sethostname("inner", 5);
        int fd = open("/proc/sys/kernel/domainname", O_WRONLY);
        show("write", write(fd, "inner-domain\n", 13));
        close(fd);
        show_names("inner");
        show("back", setns(outer, CLONE_NEWUTS));
        show_names("joined");
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    show_names("outer again");
    show("too long", syscall(SYS_sethostname, "x", 65));
    show("negative", syscall(SYS_sethostname, "x", -1));
    show("bad address", syscall(SYS_sethostname, NULL, 1));
}

static void joining(void)
{
    static const struct { const char *name; int flag; } KINDS[] = {
        { "net", CLONE_NEWNET }, { "uts", CLONE_NEWUTS }, { "ipc", CLONE_NEWIPC }, { "pid", CLONE_NEWPID },
        { "user", CLONE_NEWUSER }, { "mnt", CLONE_NEWNS }, { "cgroup", CLONE_NEWCGROUP }, { "time", CLONE_NEWTIME },
    };
    struct set before = set_of(getpid());
    int fd[8];
    for (int i = 0; i < 8; i++)
        fd[i] = open(proc_path(getpid(), "ns/"), O_PATH), close(fd[i]),
        fd[i] = open(({ static char path[64]; snprintf(path, sizeof path, "/proc/self/ns/%s", KINDS[i].name); path; }), O_RDONLY);
    for (int i = 0; i < 8; i++) {
        printf("%s\n", KINDS[i].name);
        show("  its own", setns(fd[i], 0));
        show("  with its type", setns(fd[i], KINDS[i].flag));
        show("  with another type", setns(fd[i], KINDS[(i + 1) % 8].flag));
        show("  with two types", setns(fd[i], CLONE_NEWNET | CLONE_NEWUTS));
    }
    unshare(CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWCGROUP);
    show_change("left", before, set_of(getpid()));
    for (int i = 0; i < 8; i++)
        if (KINDS[i].flag != CLONE_NEWUSER)
            setns(fd[i], 0);
    show_change("after the way back", before, set_of(getpid()));
    show("no descriptor", setns(-1, 0));
    int other = open("/proc/self/ns/uts", O_PATH);
    show("O_PATH", setns(other, 0));
    other = open("/proc/self/ns", O_RDONLY | O_DIRECTORY);
    show("a directory", setns(other, 0));
    other = open("/proc/self/status", O_RDONLY);
    show("another file", setns(other, 0));
}

static void unprivileged(void)
{
    int own = open("/proc/self/ns/uts", O_RDONLY);
    int mnt = open("/proc/self/ns/mnt", O_RDONLY);
    show("setuid", setuid(1));
    show("uts", unshare(CLONE_NEWUTS));
    show("mnt", unshare(CLONE_NEWNS));
    show("time", unshare(CLONE_NEWTIME));
    show("files", unshare(CLONE_FILES));
    show("fs", unshare(CLONE_FS));
    show("setns uts", setns(own, 0));
    show("setns mnt", setns(mnt, 0));
    show("wrong type first", setns(mnt, CLONE_NEWUTS));
    show("sethostname", sethostname("x", 1));
    show("sethostname too long", syscall(SYS_sethostname, "x", 65));
    show_ok("clone", clone(end_at_once, stack + sizeof stack, CLONE_NEWUTS | SIGCHLD, NULL));
    show_ok("clone sysvsem", clone(end_at_once, stack + sizeof stack, CLONE_NEWIPC | CLONE_SYSVSEM | SIGCHLD, NULL));
}

static int share_files(void *file)
{
    (void)file;
    unshare(CLONE_FILES);
    close(3);
    unshare(CLONE_FS);
    return chdir("/proc");
}

static void files_and_directory(void)
{
    close(3);
    int fd = open("/", O_RDONLY);
    dup2(fd, 3);
    show("cwd", chdir("/"));
    pid_t pid = clone(share_files, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_FS | SIGCHLD, NULL);
    waitpid(pid, NULL, 0);
    show_fact("descriptor still open", fcntl(3, F_GETFD) >= 0);
    char cwd[64];
    printf("still in %s\n", getcwd(cwd, sizeof cwd));
}

static void of_a_zombie(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    siginfo_t info;
    waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
    char target[64];
    for (size_t i = 0; i < COUNT; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, NAMES[i]);
        show_ok(NAMES[i], readlink(path, target, sizeof target));
    }
    show_ok("mounts", open(proc_path(pid, "mounts"), O_RDONLY));
    show_ok("mountinfo", open(proc_path(pid, "mountinfo"), O_RDONLY));
    waitpid(pid, NULL, 0);
}

int main(void)
{
    in_child("unshare", unshare_each);
    in_child("with a thread", with_a_thread);
    in_child("clone", clone_flags);
    in_child("clocks of children", clocks_of_children);
    in_child("names", host_names);
    in_child("joining", joining);
    in_child("unprivileged", unprivileged);
    in_child("files and directory", files_and_directory);
    in_child("a zombie", of_a_zombie);
    return 0;
}
