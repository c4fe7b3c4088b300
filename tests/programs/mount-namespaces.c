/* Mounts of a namespace: copies, roots, options, umount(2) with its flags, pivot_root(2), files of namespaces as mounts, and who is told.
 *
 * Everything happens below a tmpfs of its own in a mount namespace of its own.
 */
#include "check.h"
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statfs.h>

#define TOP "/tmp/procvisor-mounts"

/* Prints the mounts at `prefix` and below without their numbers: place, root, options, type, source, options of the file system. */
static void show_mounts(const char *what, const char *prefix)
{
    static char text[1 << 16];
    printf("%s\n", what);
    if (read_file("/proc/self/mountinfo", text, sizeof text) < 0) {
        printf("  %s\n", error_name());
        return;
    }
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char root[256], point[256], options[256], type[64], source[64], super[256];
        if (sscanf(line, "%*d %*d %*s %255s %255s %255s", root, point, options) != 3 || strncmp(point, prefix, strlen(prefix)))
            continue;
        sscanf(strstr(line, " - "), " - %63s %63s %255s", type, source, super);
        char *bracket = strchr(root, '[');
        if (bracket)
            strcpy(bracket, "[]");
        printf("  %s at %s %s - %s %s %.2s\n", root, point, options, type, source, super);
    }
}

static int tmpfs(const char *path)
{
    return mount("src", path, "tmpfs", 0, NULL);
}

static void in_child(const char *what, void (*body)(void))
{
    printf("-- %s\n", what);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("top", TOP, "tmpfs", 0, NULL) || chdir(TOP))
            printf("no namespace: %s\n", error_name());
        else
            body();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (status)
        printf("ended with %#x\n", status);
}

static int exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

static void copies(void)
{
    int up[2], down[2];
    char byte = 0;
    mkdir("a", 0755), mkdir("b", 0755), tmpfs("a"), mkdir("a/dir", 0755);
    if (pipe(up) || pipe(down))
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        show("chdir", chdir("a/dir"));
        show("unshare", unshare(CLONE_NEWNS));
        char cwd[256];
        printf("still in %s\n", getcwd(cwd, sizeof cwd) ? cwd : error_name());
        show("mount", tmpfs("/" TOP "/b"));
        mkdir(TOP "/b/mine", 0755);
        close(open("seen", O_CREAT | O_WRONLY, 0600));
        write(up[1], &byte, 1);
        read(down[0], &byte, 1);
        show_fact("its own is there", exists(TOP "/b/mine"));
        show_fact("the other's umount is not", exists(TOP "/a/dir"));
        show_mounts("the copy", TOP);
        fflush(stdout);
        _exit(0);
    }
    read(up[0], &byte, 1);
    show_fact("a copy's mount is not here", !exists("b/mine"));
    show_fact("the file system is shared", exists("a/dir/seen"));
    struct stat here, there;
    char path[64];
    stat("/proc/self/ns/mnt", &here);
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", pid);
    stat(path, &there);
    show_fact("another namespace", here.st_ino != there.st_ino);
    snprintf(path, sizeof path, "/proc/%d/cwd", pid);
    show_fact("its directory is on another mount", exists(path));
    show("umount", umount("a"));
    snprintf(path, sizeof path, "/proc/%d/root" TOP "/b/mine", pid);
    show_fact("seen through its root", exists(path));
    int fd = open(proc_path(pid, "ns/mnt"), O_RDONLY);
    fflush(stdout);
    write(down[1], &byte, 1);
    waitpid(pid, NULL, 0);
    pid = fork();
    if (pid == 0) {
        show("join it", setns(fd, CLONE_NEWNS));
        printf("now in %s\n", getcwd(path, sizeof path));
        show_fact("its mount is there", exists(TOP "/b/mine"));
        show_mounts("joined", TOP);
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void umounting(void)
{
    mkdir("a", 0755), tmpfs("a"), mkdir("a/dir", 0755);
    show("unknown flag", umount2("a", 16));
    show("no mount", umount2("a/dir", 0));
    show("not there", umount2("nothing", 0));
    int fd = open("a/dir", O_RDONLY | O_DIRECTORY);
    show("busy", umount2("a", 0));
    show("expire while busy", umount2("a", MNT_EXPIRE));
    close(fd);
    show("expire with force", umount2("a", MNT_EXPIRE | MNT_FORCE));
    show("expire with detach", umount2("a", MNT_EXPIRE | MNT_DETACH));
    show("expire", umount2("a", MNT_EXPIRE));
    show_fact("somebody looks", exists("a/dir"));
    show("expire after a look", umount2("a", MNT_EXPIRE));
    show("expire again", umount2("a", MNT_EXPIRE));
    show("gone", umount2("a", MNT_EXPIRE));
    tmpfs("a"), mkdir("a/sub", 0755), tmpfs("a/sub"), mkdir("a/sub/deep", 0755);
    fd = open("a/sub", O_RDONLY | O_DIRECTORY);
    int above = open("a", O_RDONLY | O_DIRECTORY);
    show("busy with a mount on it", umount2("a", 0));
    show("detach", umount2("a", MNT_DETACH));
    show_mounts("nothing left", TOP "/a");
    show_fact("the descriptor still works", faccessat(fd, "deep", F_OK, 0) == 0);
    show_fact("what was mounted is not below it any more", faccessat(above, "sub/deep", F_OK, 0) != 0);
    char text[256], path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, text, sizeof text);
    printf("it is called %.*s\n", (int)length, text);
    show("detached dot dot", faccessat(fd, "..", F_OK, 0));
    /* Linux 6.12 refuses a mount on it with EINVAL, 6.18 with ENOENT. */
    show_fact("mount on it", fchdir(fd) == 0 && mount("x", "deep", "tmpfs", 0, NULL) == 0);
    show("bind from it", mount(".", TOP "/a", NULL, MS_BIND, NULL));
    show("umount it", umount2(".", 0));
    show("chdir", chdir(TOP));
    close(fd), close(above);
    tmpfs("a");
    symlink("a", "link");
    show("by a link, not followed", umount2("link", UMOUNT_NOFOLLOW));
    show("by a link", umount2("link", 0));
    tmpfs("a"), tmpfs("a");
    show("rmdir of a mount point", rmdir("a"));
    show("rename of one", rename("a", "b"));
    show("the upper", umount("a"));
    show("the lower", umount("a"));
    show("none", umount("a"));
    tmpfs("a");
    close(open("a/file", O_CREAT | O_WRONLY, 0600));
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd = open("a/file", O_RDONLY), 0);
    close(fd);
    show("busy by a mapping", umount("a"));
    munmap(page, 4096);
    show("unmapped", umount("a"));
    show("force", (tmpfs("a"), umount2("a", MNT_FORCE)));
}

static void options(void)
{
    mkdir("a", 0755), mkdir("b", 0755);
    mount("ro", "a", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME, "size=64k");
    show_mounts("read-only", TOP "/a");
    show_ok("create", open("a/file", O_CREAT | O_WRONLY, 0600));
    show("mkdir", mkdir("a/dir", 0755));
    show("remount", mount(NULL, "a", NULL, MS_REMOUNT, NULL));
    show_mounts("remounted", TOP "/a");
    show_ok("create", open("a/file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    int fd = open("a/file", O_WRONLY);
    show("read-only while it is written", mount(NULL, "a", NULL, MS_REMOUNT | MS_RDONLY, NULL));
    show("the mount alone", mount(NULL, "a", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    for (int i = 3; i < 20; i++)
        close(i);
    show("bind", mount("a", "b", NULL, MS_BIND | MS_RDONLY | MS_NODEV, NULL));
    show_mounts("a bind takes the options of the original", TOP);
    show("remount the bind", mount(NULL, "b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV, NULL));
    show_mounts("the mount only", TOP);
    show_ok("write through it", open("b/file", O_WRONLY));
    show_ok("write through the other", fd = open("a/file", O_WRONLY));
    close(fd);
    show("remount the file system", mount(NULL, "b", NULL, MS_REMOUNT | MS_RDONLY | MS_NOEXEC, NULL));
    show_mounts("both, each with its own", TOP);
    show_ok("write", open("a/file", O_WRONLY));
    show("strict times", mount(NULL, "a", NULL, MS_REMOUNT | MS_STRICTATIME, NULL));
    show_mounts("strict", TOP "/a");
    show("no option about times keeps them", mount(NULL, "a", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID, NULL));
    show_mounts("kept", TOP "/a");
    show("relative times", mount(NULL, "a", NULL, MS_REMOUNT | MS_BIND | MS_RELATIME, NULL));
    show_mounts("relative", TOP "/a");
    show("remount no mount", mount(NULL, "a/file", NULL, MS_REMOUNT, NULL));
    show("remount no mount, bind", mount(NULL, "a/file", NULL, MS_REMOUNT | MS_BIND, NULL));
    mkdir("c", 0755);
    mount("x", "c", "tmpfs", MS_SYNCHRONOUS | MS_DIRSYNC, NULL);
    static char text[1 << 16];
    read_file("/proc/self/mounts", text, sizeof text);
    char *line = strstr(text, "x " TOP "/c");
    /* Options of tmpfs itself depend on how Linux was configured. */
    char *end = line ? strstr(line, "relatime") : NULL;
    printf("%.*s\n", end ? (int)(end - line) : 0, line);
}

static void pivoting(void)
{
    mkdir("new", 0755), mkdir("other", 0755), tmpfs("new");
    mkdir("new/old", 0755), mkdir("new/proc", 0755), mkdir("new/plain", 0755);
    mount("proc", "new/proc", "proc", 0, NULL);
    show("chroot", chroot(TOP));
    show("chdir", chdir("/"));
    show("not a mount", syscall(SYS_pivot_root, "/other", "/other"));
    show("not below the new one", syscall(SYS_pivot_root, "/new", "/other"));
    show("onto itself", syscall(SYS_pivot_root, "/", "/"));
    show("no such", syscall(SYS_pivot_root, "/nothing", "/new/old"));
    show("no directory", (close(open("/file", O_CREAT | O_WRONLY, 0600)), syscall(SYS_pivot_root, "/file", "/new/old")));
    mount(NULL, "/new", NULL, MS_SHARED, NULL);
    show("the new one is shared", syscall(SYS_pivot_root, "/new", "/new/old"));
    mount(NULL, "/new", NULL, MS_PRIVATE, NULL);
    fflush(stdout);
    int up[2], down[2];
    char byte = 0;
    if (pipe(up) || pipe(down))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        write(up[1], &byte, 1);
        read(down[0], &byte, 1);
        show_fact("others stand on the new root too", exists("/plain"));
        fflush(stdout);
        _exit(0);
    }
    read(up[0], &byte, 1);
    show("pivot", syscall(SYS_pivot_root, "/new", "/new/old"));
    fflush(stdout);
    write(down[1], &byte, 1);
    waitpid(pid, NULL, 0);
    show_fact("the new root", exists("/plain"));
    show_fact("the old one below it", exists("/old/other"));
    char cwd[64];
    printf("in %s\n", getcwd(cwd, sizeof cwd));
    show_mounts("from the new root", "/");
    show("umount the old one", umount2("/old", MNT_DETACH));
    show_mounts("without the old one", "/");
    show("umount the root", umount("/"));
    show_mounts("that makes it read-only", "/");
    show("stacked", (mount(NULL, "/", NULL, MS_REMOUNT, NULL), chdir("/plain"), tmpfs("/plain"), syscall(SYS_pivot_root, ".", ".")));
}

static void files_of_namespaces(void)
{
    close(open("file", O_CREAT | O_WRONLY, 0600)), mkdir("dir", 0755);
    close(open("mnt", O_CREAT | O_WRONLY, 0600));
    show("on a directory", mount("/proc/self/ns/uts", "dir", NULL, MS_BIND, NULL));
    struct stat before, after;
    char name[64];
    unshare(CLONE_NEWUTS);
    sethostname("mounted", 7);
    stat("/proc/self/ns/uts", &before);
    show("on a file", mount("/proc/self/ns/uts", "file", NULL, MS_BIND, NULL));
    unshare(CLONE_NEWUTS);
    sethostname("other", 5);
    stat("file", &after);
    show_fact("the same file", before.st_ino == after.st_ino && before.st_dev == after.st_dev);
    show_mounts("shown", TOP "/file");
    int fd = open("file", O_RDONLY);
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, text, sizeof text);
    printf("called %.*s\n", (int)length, text);
    show("join", setns(fd, CLONE_NEWUTS));
    close(fd);
    gethostname(name, sizeof name);
    printf("%s\n", name);
    show_ok("write", open("file", O_WRONLY));
    show_ok("bind the bind", mount("file", "mnt", NULL, MS_BIND, NULL));
    show("umount", umount("mnt"));
    show("umount", umount("file"));
    show("its own mount namespace", mount("/proc/self/ns/mnt", "mnt", NULL, MS_BIND, NULL));
    fflush(stdout);
    int up[2], down[2];
    char byte = 0;
    if (pipe(up) || pipe(down))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        unshare(CLONE_NEWNS);
        write(up[1], &byte, 1);
        read(down[0], &byte, 1);
        snprintf(path, sizeof path, "/proc/%d/ns/mnt", getppid());
        show("an older one", mount(path, "mnt", NULL, MS_BIND, NULL));
        fflush(stdout);
        _exit(0);
    }
    read(up[0], &byte, 1);
    show("a younger one", mount(proc_path(pid, "ns/mnt"), "mnt", NULL, MS_BIND, NULL));
    show_mounts("shown", TOP "/mnt");
    fflush(stdout);
    write(down[1], &byte, 1);
    waitpid(pid, NULL, 0);
    pid = fork();
    if (pid == 0) {
        unshare(CLONE_NEWNS);
        show_mounts("a copy leaves it out", TOP "/mnt");
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    mkdir("tree", 0755), tmpfs("tree"), mkdir("target", 0755);
    close(open("tree/mnt", O_CREAT | O_WRONLY, 0600));
    mount("mnt", "tree/mnt", NULL, MS_BIND, NULL);
    show("move a tree with one", mount("tree", "target", NULL, MS_MOVE, NULL));
    fd = open("mnt", O_RDONLY);
    show("join it", setns(fd, CLONE_NEWNS));
    printf("in %s\n", getcwd(name, sizeof name));
}

static void show_poll(const char *what, int fd)
{
    struct pollfd poll_fd = { .fd = fd, .events = POLLPRI };
    int ready = poll(&poll_fd, 1, 0);
    printf("%s: %d", what, ready);
    if (poll_fd.revents & POLLERR)
        printf(" POLLERR");
    if (poll_fd.revents & POLLPRI)
        printf(" POLLPRI");
    putchar('\n');
}

static void told(void)
{
    mkdir("a", 0755), mkdir("b", 0755);
    int info = open("/proc/self/mountinfo", O_RDONLY), mounts = open("/proc/self/mounts", O_RDONLY);
    int stats = open("/proc/self/mountstats", O_RDONLY);
    show_poll("at first", info);
    tmpfs("a");
    show_poll("mounted", info);
    show_poll("told once", info);
    show_poll("each descriptor", mounts);
    struct pollfd poll_stats = { .fd = stats, .events = POLLIN | POLLPRI };
    poll(&poll_stats, 1, 0);
    printf("mountstats: %#x\n", poll_stats.revents);
    mount(NULL, "a", NULL, MS_REMOUNT | MS_BIND | MS_NODEV, NULL);
    show_poll("remounted", info);
    mount("a", "b", NULL, MS_MOVE, NULL);
    show_poll("moved", info);
    umount("b");
    show_poll("umounted", info);
    umount("b");
    show_poll("nothing done", info);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        tmpfs("a");
        unshare(CLONE_NEWNS);
        int own = open("/proc/self/mountinfo", O_RDONLY);
        show_poll("the old namespace", info);
        tmpfs("b");
        show_poll("the new one only", info);
        show_poll("its own file", own);
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    pid = fork();
    if (pid == 0) {
        usleep(50000);
        umount("a");
        _exit(0);
    }
    struct pollfd wait_fd = { .fd = info, .events = POLLPRI };
    show("waited for", poll(&wait_fd, 1, 5000));
    printf("%#x\n", wait_fd.revents);
    waitpid(pid, NULL, 0);
}

static void kept_by_descriptors(void)
{
    mkdir("a", 0755);
    int up[2], down[2];
    char byte = 0;
    if (pipe(up) || pipe(down))
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        unshare(CLONE_NEWNS);
        tmpfs("a");
        mkdir("a/kept", 0755);
        write(up[1], &byte, 1);
        read(down[0], &byte, 1);
        _exit(0);
    }
    read(up[0], &byte, 1);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/root" TOP "/a", pid);
    int dir = open(path, O_RDONLY | O_DIRECTORY);
    int info = open(proc_path(pid, "mountinfo"), O_RDONLY);
    write(down[1], &byte, 1);
    waitpid(pid, NULL, 0);
    show_fact("a directory outlives its namespace", faccessat(dir, "kept", F_OK, 0) == 0);
    static char text[1 << 16];
    ssize_t length = read_fd(info, text, sizeof text - 1);
    text[length < 0 ? 0 : length] = 0;
    show_fact("mountinfo keeps the namespace", length > 0 && strstr(text, TOP "/a ") != NULL);
    show("nothing here", umount("a"));
    close(dir), close(info);
}

int main(void)
{
    /* Linux 6.18 numbers the namespaces of each processor on their own; which is older is known for those of one only. */
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    sched_setaffinity(0, sizeof first, &first);
    mkdir("/tmp", 0777);
    mkdir(TOP, 0755);
    in_child("copies", copies);
    in_child("umount", umounting);
    in_child("options", options);
    in_child("pivot_root", pivoting);
    in_child("files of namespaces", files_of_namespaces);
    in_child("told", told);
    in_child("kept", kept_by_descriptors);
    rmdir(TOP);
    return 0;
}
