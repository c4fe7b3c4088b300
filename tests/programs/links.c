/* The links of /proc: self, thread-self, exe, cwd, root; where they lead, and their inodes. */
#include "check.h"
#include <dirent.h>

static char text[8192];

static const char *link_of(const char *path)
{
    ssize_t length = readlink(path, text, sizeof text - 1);
    if (length < 0)
        return error_name();
    text[length] = 0;
    return text;
}

static void show_inode(const char *path)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        printf("%s: %s\n", path, error_name());
    else
        printf("%s: mode %o, size %ld, blocks %ld, block size %ld\n", path, status.st_mode, (long)status.st_size, (long)status.st_blocks,
               (long)status.st_blksize);
}

int main(void)
{
    pid_t own = getpid();
    char expected[64];
    snprintf(expected, sizeof expected, "%d", own);
    show_fact("self", strcmp(link_of("/proc/self"), expected) == 0);
    snprintf(expected, sizeof expected, "%d/task/%d", own, own);
    show_fact("thread-self", strcmp(link_of("/proc/thread-self"), expected) == 0);
    pid_t child = split();
    if (child == 0) {
        snprintf(expected, sizeof expected, "%d", getpid());
        show_fact("a child's self", strcmp(link_of("/proc/self"), expected) == 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    struct stat one, two;
    show_ok("stat of exe", stat("/proc/self/exe", &one));
    show_ok("stat of its target", stat(link_of("/proc/self/exe"), &two));
    show_fact("one file", one.st_ino == two.st_ino && one.st_dev == two.st_dev);
    show_fact("a regular one", S_ISREG(one.st_mode));
    char name[256];
    snprintf(name, sizeof name, "%s", link_of("/proc/self/exe"));
    show_fact("its name", strcmp(strrchr(name, '/'), "/links") == 0);
    printf("root is %s\n", link_of("/proc/self/root"));
    show_fact("stat of root", stat("/proc/self/root", &one) == 0 && stat("/", &two) == 0 && one.st_ino == two.st_ino);
    enter_scratch();
    char here[256];
    show_fact("cwd is getcwd", getcwd(here, sizeof here) && strcmp(link_of("/proc/self/cwd"), here) == 0);
    show_bytes("cut off", text, readlink("/proc/self/cwd", text, 5));
    show("no room", readlink("/proc/self/cwd", text, 0));
    close(open("file", O_CREAT | O_WRONLY, 0644));
    show_ok("a path through cwd", access("/proc/self/cwd/file", F_OK));
    show_ok("a path through root", access("/proc/self/root/proc/self/stat", F_OK));
    show("O_NOFOLLOW on exe", open("/proc/self/exe", O_RDONLY | O_NOFOLLOW));
    show("exe for writing", open("/proc/self/exe", O_WRONLY));
    show("a name that is none", access("/proc/self/nonsense", F_OK));
    show("no such process", access("/proc/4194304", F_OK));
    show("a pid with a zero before it", access("/proc/01", F_OK));
    show("pid 0", access("/proc/0", F_OK));
    show("below a file", access("/proc/self/stat/x", F_OK));
    show("create", open("/proc/new", O_CREAT | O_WRONLY, 0644));
    show("create below a process", open("/proc/self/new", O_CREAT | O_WRONLY, 0644));
    show("create what is there", open("/proc/self/stat", O_CREAT | O_EXCL | O_RDONLY, 0644));
    show("mkdir", mkdir("/proc/self/new", 0755));
    show("unlink", unlink("/proc/self/stat"));
    show("rmdir", rmdir("/proc/self/fd"));
    show("rename", rename("/proc/self/stat", "/proc/self/new"));
    show("chmod", chmod("/proc/self/stat", 0777));
    show("truncate", truncate("/proc/self/comm", 0));
    show_fact("mmap is refused", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, open("/proc/self/stat", O_RDONLY), 0) == MAP_FAILED && errno == ENODEV);
    const char *const inodes[] = { "/proc/self", "/proc/self/", "/proc/self/stat", "/proc/self/status", "/proc/self/statm",
                                   "/proc/self/cmdline", "/proc/self/environ", "/proc/self/comm", "/proc/self/maps", "/proc/self/auxv",
                                   "/proc/self/exe", "/proc/self/cwd", "/proc/self/root", "/proc/self/mounts", "/proc/thread-self",
                                   "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/stat", "/proc/version",
                                   "/proc/cpuinfo", "/proc/filesystems", "/proc/mounts" };
    for (unsigned i = 0; i < sizeof inodes / sizeof *inodes; i++)
        show_inode(inodes[i]);
    stat("/proc", &one);
    printf("/proc: inode %lu, mode %o\n", (unsigned long)one.st_ino, one.st_mode);
    stat("/proc/self/fd", &one);
    printf("fd: mode %o, size is the number of open ones: %s\n", one.st_mode, one.st_size >= 3 && one.st_size < 100 ? "yes" : "no");
    stat(proc_path(own, "stat"), &one);
    stat("/proc/self/stat", &two);
    show_fact("one inode by both names", one.st_ino == two.st_ino);
    show_fact("owned by us", one.st_uid == geteuid() && one.st_gid == getegid());
    DIR *directory = opendir("/proc");
    struct dirent *entry;
    int found = 0, numbers = 0, ordered = 1, previous = 0, after = 0;
    while ((entry = readdir(directory))) {
        int number = atoi(entry->d_name);
        if (number) {
            numbers++;
            ordered &= number > previous;
            previous = number;
        } else if (numbers) {
            after++;
        }
        found += number == own && entry->d_type == DT_DIR;
    }
    show("we are listed", found);
    show_fact("processes are in order", ordered && after == 0);
    closedir(directory);
    return 0;
}
