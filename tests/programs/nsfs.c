/* The files that stand for namespaces: what they are, how long they live, their ioctl requests, where they can be mounted. */
#include "check.h"
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <utime.h>

#ifndef NS_GET_MNTNS_ID
#define NS_GET_MNTNS_ID _IO(0xb7, 0x5)
#endif

static const char *const NAMES[] = { "net", "uts", "ipc", "pid", "user", "mnt", "cgroup", "time" };
#define COUNT (sizeof NAMES / sizeof NAMES[0])

static const char *path_of(const char *name)
{
    static char path[2][64];
    static int next;
    char *text = path[next++ % 2];
    snprintf(text, sizeof path[0], "/proc/self/ns/%s", name);
    return text;
}

static void one(const char *name)
{
    struct stat link, first, second;
    printf("-- %s\n", name);
    lstat(path_of(name), &link);
    printf("link %o, size %ld\n", link.st_mode, (long)link.st_size);
    int fd = show_ok("open", open(path_of(name), O_RDONLY)) == -1 ? -1 : open(path_of(name), O_RDONLY);
    fstat(fd, &first);
    stat(path_of(name), &second);
    printf("mode %o, nlink %ld, uid %d, gid %d, size %ld, blocks %ld, blksize %ld\n", first.st_mode, (long)first.st_nlink,
           first.st_uid, first.st_gid, (long)first.st_size, (long)first.st_blocks, (long)first.st_blksize);
    show_fact("same device and number", first.st_dev == second.st_dev && first.st_ino == second.st_ino);
    char text[64], wanted[64];
    ssize_t length = readlink(path_of(name), text, sizeof text - 1);
    text[length < 0 ? 0 : length] = 0;
    snprintf(wanted, sizeof wanted, "%s:[%lu]", name, (unsigned long)first.st_ino);
    show_fact("the link names the number", !strcmp(text, wanted));
    char own[64];
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    length = readlink(own, text, sizeof text - 1);
    text[length < 0 ? 0 : length] = 0;
    show_fact("so does the descriptor's", !strcmp(text, wanted));
    struct statfs fs;
    show("fstatfs", fstatfs(fd, &fs));
    show_fact("it is nsfs", fs.f_type == NSFS_MAGIC);
    printf("block size %ld, names %ld, blocks %ld, files %ld\n", (long)fs.f_bsize, (long)fs.f_namelen, (long)fs.f_blocks, (long)fs.f_files);
    show_ok("open again by the descriptor", open(own, O_RDONLY));
    show_ok("open to write", open(path_of(name), O_WRONLY));
    show_ok("open to read and write", open(path_of(name), O_RDWR));
    show_ok("open to append", open(path_of(name), O_WRONLY | O_APPEND));
    show_ok("open and truncate", open(path_of(name), O_RDONLY | O_TRUNC));
    show_ok("open and create", open(path_of(name), O_RDONLY | O_CREAT, 0600));
    show_ok("open and create alone", open(path_of(name), O_RDONLY | O_CREAT | O_EXCL, 0600));
    show_ok("open the link", open(path_of(name), O_RDONLY | O_NOFOLLOW));
    show_ok("open a directory", open(path_of(name), O_RDONLY | O_DIRECTORY));
    show_ok("below it", open("/proc/self/ns/uts/x", O_RDONLY));
    show("read", read(fd, text, 1));
    show("pread", pread(fd, text, 1, 0));
    show("write", write(fd, text, 1));
    show("lseek", lseek(fd, 0, SEEK_SET));
    show_ok("mmap", (long)mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == -1 ? -1 : 0);
    show("truncate", truncate(path_of(name), 0));
    show("ftruncate", ftruncate(fd, 0));
    show("fchmod", fchmod(fd, 0600));
    show("fchown", fchown(fd, 1, 1));
    show("utime", utime(path_of(name), NULL));
    show("access read", access(path_of(name), R_OK));
    show("access write", access(path_of(name), W_OK));
    show("access execute", access(path_of(name), X_OK));
    show("rename", rename(path_of(name), "/proc/self/ns/x"));
    show("unlink", unlink(path_of(name)));
    show("link", linkat(AT_FDCWD, path_of(name), AT_FDCWD, "/tmp/procvisor-nsfs-link", AT_SYMLINK_FOLLOW));
    printf("type %#x\n", ioctl(fd, NS_GET_NSTYPE));
    int user = ioctl(fd, NS_GET_USERNS);
    show_ok("user", user);
    if (user >= 0) {
        struct stat owner, own_user;
        fstat(user, &owner);
        stat("/proc/self/ns/user", &own_user);
        show_fact("the owner is the own user namespace", owner.st_ino == own_user.st_ino && owner.st_dev == own_user.st_dev);
        printf("flags %#x, close on exec %d\n", fcntl(user, F_GETFL), fcntl(user, F_GETFD));
    }
    show_ok("parent", ioctl(fd, NS_GET_PARENT));
    uid_t uid = 7;
    show("owner uid", ioctl(fd, NS_GET_OWNER_UID, &uid));
    printf("uid %d\n", uid);
    show("owner uid to a bad address", ioctl(fd, NS_GET_OWNER_UID, NULL));
    show("unknown request of its kind", ioctl(fd, _IO(0xb7, 99)));
    show("terminal's request", ioctl(fd, 0x5401, text));
    show("FIONREAD", ioctl(fd, 0x541b, &uid));
    show("FIOCLEX", ioctl(fd, FIOCLEX));
    close(fd);
}

static void outlives_its_tasks(void)
{
    printf("-- life\n");
    fflush(stdout);
    int up[2], down[2];
    if (pipe(up) || pipe(down))
        return;
    pid_t pid = fork();
    if (pid == 0) {
        unshare(CLONE_NEWUTS);
        sethostname("kept", 4);
        char byte = 0;
        write(up[1], &byte, 1);
        read(down[0], &byte, 1);
        _exit(0);
    }
    char byte;
    read(up[0], &byte, 1);
    int fd = open(proc_path(pid, "ns/uts"), O_RDONLY);
    struct stat before, after, other;
    fstat(fd, &before);
    stat("/proc/self/ns/uts", &other);
    show_fact("another number", before.st_ino != other.st_ino);
    show_fact("the same device", before.st_dev == other.st_dev);
    write(down[1], &byte, 1);
    waitpid(pid, NULL, 0);
    show("fstat after its last task", fstat(fd, &after));
    show_fact("the same file", before.st_ino == after.st_ino && before.st_ctim.tv_sec == after.st_ctim.tv_sec
                                   && before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        char name[64];
        show("join", setns(fd, CLONE_NEWUTS));
        gethostname(name, sizeof name);
        printf("name %s\n", name);
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    close(fd);
}

static void directory(void)
{
    struct stat status;
    printf("-- directory\n");
    stat("/proc/self/ns", &status);
    printf("mode %o, nlink %ld\n", status.st_mode, (long)status.st_nlink);
    show_ok("no such", open("/proc/self/ns/nothing", O_RDONLY));
    show_ok("create", open("/proc/self/ns/nothing", O_WRONLY | O_CREAT, 0600));
    fflush(stdout);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        char text[64];
        show("setuid", setuid(1));
        show_ok("readlink of root's", readlink(proc_path(parent, "ns/uts"), text, sizeof text));
        show_ok("open of root's", open(proc_path(parent, "ns/uts"), O_RDONLY));
        show_ok("stat of root's", stat(proc_path(parent, "ns/uts"), &status));
        show_ok("lstat of root's", lstat(proc_path(parent, "ns/uts"), &status));
        show_ok("list root's", open(proc_path(parent, "ns"), O_RDONLY | O_DIRECTORY));
        show_ok("no such of root's", open(proc_path(parent, "ns/nothing"), O_RDONLY));
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

int main(void)
{
    mkdir("/tmp", 0777);
    for (size_t i = 0; i < COUNT; i++)
        one(NAMES[i]);
    outlives_its_tasks();
    directory();
    return 0;
}
