/* Making and joining user namespaces, and what rights inside are worth: over files, processes, ids and namespaces. Needs root. */
#include "check.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

static char buffer[1 << 14];

static pid_t split_with(unsigned long flags)
{
    fflush(stdout);
    return syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = write(fd, text, strlen(text));
    close(fd);
    return result < 0 ? -1 : 0;
}

static void map(pid_t pid, const char *text)
{
    if (put(proc_path(pid, "uid_map"), text) || put(proc_path(pid, "gid_map"), text))
        printf("map: %s\n", error_name());
}

static void show_caps(const char *what)
{
    printf("%s: CapInh %s", what, status_value(getpid(), "CapInh"));
    printf(" CapPrm %s", status_value(getpid(), "CapPrm"));
    printf(" CapEff %s", status_value(getpid(), "CapEff"));
    printf(" CapBnd %s", status_value(getpid(), "CapBnd"));
    printf(" CapAmb %s", status_value(getpid(), "CapAmb"));
    printf(" securebits %#x dumpable %d\n", prctl(PR_GET_SECUREBITS), prctl(PR_GET_DUMPABLE));
    fflush(stdout);
}

static ino_t inode_of(const char *path)
{
    struct stat status;
    return stat(path, &status) ? 0 : status.st_ino;
}

static void show_stat(const char *what, const char *path)
{
    struct stat status;
    if (lstat(path, &status))
        printf("%s: %s\n", what, error_name());
    else
        printf("%s: %d:%d\n", what, status.st_uid, status.st_gid);
}

static void in_child(const char *what, void (*work)(void))
{
    puts(what);
    pid_t pid = split();
    if (pid == 0) {
        work();
        fflush(stdout);
        _exit(0);
    }
    reap(" end", pid);
}

static void become(uid_t uid, gid_t gid)
{
    if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid) || prctl(PR_SET_DUMPABLE, 1))
        printf("become: %s\n", error_name());
}

static void *sleep_on(void *nothing)
{
    for (;;)
        pause();
    return nothing;
}

static void flags(void)
{
    show("with FS", split_with(CLONE_NEWUSER | CLONE_FS));
    show("with THREAD", split_with(CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM));
    ino_t before = inode_of("/proc/self/ns/user");
    prctl(PR_SET_KEEPCAPS, 1);
    show("unshare", unshare(CLONE_NEWUSER));
    show_fact("another namespace", inode_of("/proc/self/ns/user") != before);
    show_caps("inside");
    show("unshare without maps", unshare(CLONE_NEWUSER));
    pthread_t thread;
    pthread_create(&thread, NULL, sleep_on, NULL);
    show("unshare with threads", unshare(CLONE_NEWUSER));
    int own = open("/proc/self/ns/user", O_RDONLY);
    show("setns with threads", setns(own, CLONE_NEWUSER));
}

static void chrooted(void)
{
    mkdir("root", 0755);
    show("chroot", chroot("root"));
    show("unshare", unshare(CLONE_NEWUSER));
    show("clone", split_with(CLONE_NEWUSER));
}

static void depth(void)
{
    int made = 0;
    for (int level = 0; level < 40; level++) {
        int go[2];
        if (pipe(go))
            return;
        pid_t pid = split_with(CLONE_NEWUSER);
        if (pid < 0) {
            printf("level %d: %s\n", made + 1, error_name());
            return;
        }
        if (pid) {
            map(pid, "0 0 1");
            if (write(go[1], "x", 1) != 1)
                puts("no go");
            waitpid(pid, NULL, 0);
            fflush(stdout);
            if (level)
                _exit(0);
            return;
        }
        char byte;
        if (read(go[0], &byte, 1) != 1)
            _exit(1);
        made++;
    }
}

static void join(void)
{
    int initial = open("/proc/self/ns/user", O_RDONLY);
    pid_t pid = made(split_with(CLONE_NEWUSER));
    if (pid == 0)
        sleep_on(NULL);
    map(pid, "0 1000 10");
    int below = open(proc_path(pid, "ns/user"), O_RDONLY);
    show("own", setns(initial, CLONE_NEWUSER));
    show("wrong kind", setns(below, CLONE_NEWUTS));
    pid_t user = split();
    if (user == 0) {
        become(1000, 100);
        show("as another user", setns(below, CLONE_NEWUSER));
        fflush(stdout);
        _exit(0);
    }
    reap("user", user);
    pid_t sharer = made(split_with(CLONE_FS));
    if (sharer == 0) {
        show("with shared root", setns(below, CLONE_NEWUSER));
        show("unshare", unshare(CLONE_FS));
        show("as root", setns(below, 0));
        show_fact("same namespace", inode_of("/proc/self/ns/user") == inode_of(proc_path(pid, "ns/user")));
        show_caps("joined");
        printf("uid %d\n", getuid());
        show("setuid", setuid(0));
        printf("uid %d\n", getuid());
        show("back", setns(initial, CLONE_NEWUSER));
        show("again", setns(below, CLONE_NEWUSER));
        int parent = ioctl(below, NS_GET_PARENT), owner = ioctl(below, NS_GET_USERNS);
        printf("parent from inside: %s, %s\n", parent < 0 ? error_name() : "open", owner < 0 ? error_name() : "open");
        fflush(stdout);
        _exit(0);
    }
    reap("sharer", sharer);
    int parent = ioctl(below, NS_GET_PARENT);
    struct stat one, other;
    fstat(parent, &one);
    fstat(initial, &other);
    show_fact("the parent is the initial one", one.st_ino == other.st_ino);
    show("parent of the initial", ioctl(initial, NS_GET_PARENT));
    uid_t uid = 77;
    show("owner", ioctl(below, NS_GET_OWNER_UID, &uid));
    printf("owner %d\n", uid);
    end_child(pid);
    show("join what has no process", setns(below, CLONE_NEWUSER));
}

static int go[2];

/* Root of a namespace that has 1000 to 1009 as its 0 to 9, over files of 0, 1000, 1005 and 2000. */
static void over_files(void)
{
    static const uid_t owners[] = { 0, 1000, 1005, 2000 };
    for (unsigned i = 0; i < 4; i++) {
        char name[16];
        sprintf(name, "of-%d", owners[i]);
        close(open(name, O_CREAT | O_WRONLY, 0600));
        if (chown(name, owners[i], owners[i]))
            puts("chown");
    }
    close(open("mixed", O_CREAT | O_WRONLY, 0600));
    if (chown("mixed", 1005, 2000) || chmod(".", 0777))
        puts("chown");
    if (pipe(go))
        return;
    pid_t pid = made(split_with(CLONE_NEWUSER));
    if (pid == 0) {
        char byte;
        if (read(go[0], &byte, 1) != 1)
            _exit(1);
        show("become root", setresgid(0, 0, 0) | setresuid(0, 0, 0));
        for (unsigned i = 0; i < 5; i++) {
            char name[16];
            sprintf(name, i == 4 ? "mixed" : "of-%d", owners[i % 4]);
            show_stat(name, name);
            show_ok("  open", open(name, O_RDWR));
            show("  chmod", chmod(name, 0640));
            show("  chown to 3", chown(name, 3, -1));
            show("  chgrp to 3", chown(name, -1, 3));
            show("  chown to 10", chown(name, 10, -1));
            show("  chgrp to 65534", chown(name, -1, 65534));
            show("  chown to nothing", chown(name, -1, -1));
            show_stat("  then", name);
            show("  access", access(name, R_OK));
        }
        show_ok("new", open("new", O_CREAT | O_WRONLY, 06755));
        show_stat("new", "new");
        show("device", mknod("device", S_IFCHR | 0600, makedev(1, 3)));
        show("pipe", mknod("fifo", S_IFIFO | 0600, 0));
        show("kill of init", kill(getppid(), 0));
        show("setuid to 5", setresuid(-1, 5, -1));
        show("setuid to 10", setresuid(-1, 10, -1));
        show("setgid to 10", setgid(10));
        show("setgroups to 10", setgroups(1, (gid_t[]){ 10 }));
        show("setfsuid to 10", syscall(SYS_setfsuid, 10));
        show("host name", sethostname("other", 5));
        show("unshare of names", unshare(CLONE_NEWUTS));
        show("root again", setresuid(-1, 0, -1));
        show("unshare of names", unshare(CLONE_NEWUTS));
        show("host name", sethostname("other", 5));
        show("mounts", unshare(CLONE_NEWNS));
        show("chroot", chroot("/"));
        struct stat status;
        printf("/proc/1 belongs to %d\n", stat("/proc/1/stat", &status) ? -1 : (int)status.st_uid);
        show("environ of the parent", open(proc_path(getppid(), "environ"), O_RDONLY));
        fflush(stdout);
        _exit(0);
    }
    map(pid, "0 1000 10");
    if (write(go[1], "x", 1) != 1)
        return;
    reap("inside", pid);
    show_stat("new, from outside", "new");
}

/* Who owns the files of a process that became undumpable inside, and who may look. */
static void undumpable(void)
{
    if (pipe(go))
        return;
    int done[2];
    if (pipe(done))
        return;
    pid_t pid = made(split_with(CLONE_NEWUSER));
    if (pid == 0) {
        char byte;
        if (read(go[0], &byte, 1) != 1)
            _exit(1);
        show("become 5", setresgid(5, 5, 5) | setresuid(5, 5, 5));
        show_caps("state");
        show_stat("environ of its own", "/proc/self/environ");
        char path[32];
        sprintf(path, "/proc/self/fd/%d", open("/proc/self/exe", O_RDONLY));
        char *args[] = { "user-namespace", "idle", NULL };
        char *env[] = { NULL };
        sprintf(buffer, "%d", done[1]);
        args[1] = buffer;
        fflush(stdout);
        execve(path, args, env);
        printf("exec: %s\n", error_name());
        _exit(1);
    }
    map(pid, "0 1000 10");
    if (write(go[1], "x", 1) != 1)
        return;
    char byte;
    close(done[1]);
    if (read(done[0], &byte, 1) != 1)
        puts("it never came");
    struct stat status;
    printf("outside sees owners %d", stat(proc_path(pid, ""), &status) ? -1 : (int)status.st_uid);
    printf(" and %d:%d\n", stat(proc_path(pid, "environ"), &status) ? -1 : (int)status.st_uid, status.st_gid);
    printf("Uid %s\n", status_value(pid, "Uid"));
    end_child(pid);
}

static void limits(void)
{
    char text[32];
    ssize_t length = read_file("/proc/sys/user/max_user_namespaces", text, sizeof text);
    show_fact("a limit is there", length > 0 && atoi(text) > 0);
    show("unshare", unshare(CLONE_NEWUSER));
    show("deny", put("/proc/self/setgroups", "deny"));
    map(getpid(), "0 0 1");
    show_file("inside", "/proc/sys/user/max_user_namespaces");
    show("lower", put("/proc/sys/user/max_user_namespaces", "1"));
    show_file("lowered", "/proc/sys/user/max_user_namespaces");
    pid_t pid = made(split_with(CLONE_NEWUSER));
    if (pid == 0)
        sleep_on(NULL);
    pid_t more = split_with(CLONE_NEWUSER);
    if (more == 0)
        _exit(0);
    show("two", more);
    end_child(pid);
    /* Linux takes its time to free what has ended. */
    for (int tries = 0; tries < 2000; tries++) {
        pid = split_with(CLONE_NEWUSER);
        if (pid == 0)
            sleep_on(NULL);
        if (pid > 0)
            break;
        usleep(1000);
    }
    show_fact("one again", pid > 0);
    end_child(pid);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        prctl(PR_SET_DUMPABLE, 0);
        show_stat("environ of its own, undumpable", "/proc/self/environ");
        show("open", open("/proc/self/environ", O_RDONLY) < 0 ? -1 : 0);
        fflush(stdout);
        if (write(atoi(argv[1]), "x", 1) == 1)
            sleep_on(NULL);
        return 0;
    }
    enter_scratch();
    chmod(".", 0755);
    in_child("flags", flags);
    in_child("chrooted", chrooted);
    in_child("depth", depth);
    in_child("join", join);
    in_child("over files", over_files);
    in_child("undumpable", undumpable);
    in_child("limits", limits);
    return 0;
}
