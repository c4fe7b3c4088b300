/* The directories of /proc: names, their order and look-up, modes, links, and what may not be done to them. */
#include "state.h"
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <utime.h>

/* Entries that depend on how a kernel is built or on what it has loaded; the others are in every one. */
static int is_optional(const char *name)
{
    static const char *const NAMES[] = { "sched", "autogroup", "timens_offsets", "map_files", "net", "numa_maps", "clear_refs", "pagemap", "attr", "stack", "schedstat",
                                         "cpuset", "coredump_filter", "timers", "syscall", "arch_status", "ksm_merging_pages", "ksm_stat", "latency", "make-it-fail", "fail-nth",
                                         "patch_state", "seccomp_cache", "cpu_resctrl_groups", "stack_depth" };
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (!strcmp(NAMES[i], name))
            return 1;
    return 0;
}

static void show_entries(const char *path)
{
    DIR *open = opendir(path);
    struct dirent *entry;
    if (!open) {
        printf("%s\n", error_name());
        return;
    }
    while ((entry = readdir(open)))
        if (!is_optional(entry->d_name))
            printf("%s %d\n", entry->d_name, entry->d_type);
    closedir(open);
}

STATE(entries_of_a_process_in_order)
{
    show_entries("/proc/self");
}

STATE(entries_of_a_task_in_order)
{
    show_entries("/proc/thread-self");
}

STATE(entries_of_ns_in_order)
{
    show_entries("/proc/self/ns");
}

STATE(entries_that_most_builds_have)
{
    static const char *const NAMES[] = { "timens_offsets", "map_files", "net", "clear_refs", "pagemap", "attr", "schedstat", "cpuset", "coredump_filter", "timers", "syscall" };
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        struct stat status;
        if (lstat(proc_path(getpid(), NAMES[i]), &status) < 0)
            printf("%s: %s\n", NAMES[i], error_name());
        else
            printf("%s: %o\n", NAMES[i], status.st_mode);
    }
}

STATE(modes_of_the_files_of_a_process)
{
    DIR *open = opendir("/proc/self");
    struct dirent *entry;
    while (open && (entry = readdir(open))) {
        struct stat status;
        if (is_optional(entry->d_name) || fstatat(dirfd(open), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        printf("%s %o %u:%u size %s blocks %ld block %ld\n", entry->d_name, status.st_mode, status.st_uid, status.st_gid, status.st_size ? "some" : "0",
               (long)status.st_blocks, (long)status.st_blksize);
    }
}

STATE(links_to_directories)
{
    struct stat status;
    stat("/proc/self/task", &status);
    show("task of one thread", status.st_nlink);
    stat("/proc/self/fd", &status);
    show("fd", status.st_nlink);
    stat("/proc/self/ns", &status);
    show("ns", status.st_nlink);
    stat("/proc/self/stat", &status);
    show("a file", status.st_nlink);
    stat("/proc", &status);
    show_fact("the top", status.st_nlink > 5 && status.st_ino == 1 && (status.st_mode & 07777) == 0555);
}

static int counted_threads[2];

static void *wait_there(void *unused)
{
    char byte;
    return read(counted_threads[0], &byte, 1) < 0 ? unused : NULL;
}

STATE(links_to_task_count_threads)
{
    pthread_t threads[3];
    struct stat status;
    if (pipe(counted_threads) < 0)
        return;
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, wait_there, NULL);
    stat("/proc/self/task", &status);
    show("four threads", status.st_nlink);
    printf("Threads %s, num_threads %s\n", status_value(getpid(), "Threads"), stat_word(getpid(), 20));
    close(counted_threads[1]);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    stat("/proc/self/task", &status);
    show("one", status.st_nlink);
}

STATE(tasks_in_order_with_a_short_buffer)
{
    pthread_t threads[5];
    char entries[64];
    if (pipe(counted_threads) < 0)
        return;
    for (int i = 0; i < 5; i++)
        pthread_create(&threads[i], NULL, wait_there, NULL);
    int fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY), count = 0, ordered = 1, last = 0;
    long got;
    while ((got = syscall(SYS_getdents64, fd, entries, 48)) > 0)
        for (long at = 0; at < got; count++) {
            struct dirent64 *entry = (struct dirent64 *)(entries + at);
            int number = atoi(entry->d_name);
            ordered &= number >= last;
            last = number;
            at += entry->d_reclen;
        }
    show("entries", count);
    show_fact("in order", ordered);
    show("too short a buffer", (lseek(fd, 0, SEEK_SET), syscall(SYS_getdents64, fd, entries, 10)));
    close(counted_threads[1]);
}

static int exists(const char *format, long number)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof path, format, number);
    return show_ok(format, stat(path, &status));
}

STATE(numbers_looked_up)
{
    exists("/proc/%ld", getpid());
    exists("/proc/0%ld", getpid());
    exists("/proc/00%ld", getpid());
    exists("/proc/+%ld", getpid());
    exists("/proc/-%ld", getpid());
    exists("/proc/%ldx", getpid());
    exists("/proc/ %ld", getpid());
    exists("/proc/%ld", 0);
    exists("/proc/%ld", 4194305);
    exists("/proc/%ld", 2147483647);
    exists("/proc/%ld", 2147483648);
    exists("/proc/%ld", 4294967295);
    exists("/proc/%ld", 4294967296 + getpid());
    exists("/proc/%ld", 99999999999);
    exists("/proc/self/task/%ld", getpid());
    exists("/proc/self/task/0%ld", getpid());
    exists("/proc/self/task/%ld", 0);
    exists("/proc/self/task/%ld", getppid());
}

static pid_t listed_thread;

static void *name_thread(void *unused)
{
    listed_thread = gettid();
    return wait_there(unused);
}

STATE(a_thread_is_found_but_not_listed)
{
    pthread_t thread;
    if (pipe(counted_threads) < 0)
        return;
    pthread_create(&thread, NULL, name_thread, NULL);
    while (!*(volatile pid_t *)&listed_thread)
        usleep(1000);
    struct stat status;
    show_ok("found", stat(proc_path(listed_thread, ""), &status));
    printf("Tgid is the process: %d, Pid the thread: %d\n", atoi(status_value(listed_thread, "Tgid")) == getpid(),
           atoi(status_value(listed_thread, "Pid")) == listed_thread);
    stat(proc_path(listed_thread, "task"), &status);
    show("its task lists the group", status.st_nlink);
    printf("threads in its stat %s\n", stat_word(listed_thread, 20));
    printf("exit signal in its stat %s\n", stat_word(listed_thread, 38));
    DIR *open = opendir("/proc");
    struct dirent *entry;
    int listed = 0, self = 0, twice = 0, last = 0;
    while ((entry = readdir(open))) {
        int number = atoi(entry->d_name);
        listed |= number == listed_thread;
        self |= number == getpid();
        twice |= number && number <= last;
        last = number ? number : last;
    }
    printf("listed %d, process listed %d, out of order %d\n", listed, self, twice);
    show("the thread below another process", access(proc_path(getppid(), "task"), F_OK));
}

STATE(changes_to_a_file_of_a_process)
{
    struct stat status;
    struct utimbuf times = { 1, 1 };
    const char *path = "/proc/self/stat";
    show_ok("chmod", chmod(path, 0777));
    show_ok("chown", chown(path, 5, 5));
    stat(path, &status);
    printf("owner %u:%u mode %o\n", status.st_uid, status.st_gid, status.st_mode);
    show_ok("truncate", truncate(path, 5));
    show_ok("utime", utime(path, &times));
    show_ok("unlink", unlink(path));
    show_ok("rename", rename(path, "/proc/self/other"));
    show_ok("rename to another", rename(path, "/proc/self/status"));
    show_ok("link", link(path, "stat"));
    show_ok("link within", link(path, "/proc/self/other"));
    show_ok("rename elsewhere", rename(path, "stat"));
    show_ok("setxattr", setxattr(path, "user.x", "y", 1, 0));
    show_ok("getxattr", getxattr(path, "user.x", text, 10));
    show("listxattr", listxattr(path, text, 100));
    show("mmap", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, open(path, O_RDONLY), 0) == MAP_FAILED ? -1 : 0);
}

STATE(changes_to_a_directory_of_a_process)
{
    show_ok("mkdir", mkdir("/proc/self/new", 0755));
    show_ok("mkdir of what is there", mkdir("/proc/self/fd", 0755));
    show_ok("rmdir", rmdir("/proc/self/fd"));
    show_ok("rmdir of the process", rmdir(proc_path(getpid(), "")));
    show_ok("symlink", symlink("x", "/proc/self/new"));
    show_ok("mknod", mknod("/proc/self/new", S_IFIFO | 0600, 0));
    show_ok("creat", open("/proc/self/new", O_CREAT | O_WRONLY, 0644));
    show_ok("creat of what is there", open("/proc/self/stat", O_CREAT | O_RDONLY, 0644) < 0 ? -1 : 0);
    show_ok("creat of what must not be there", open("/proc/self/stat", O_CREAT | O_EXCL | O_RDONLY, 0644));
    show_ok("chmod", chmod("/proc/self/task", 0777));
    show_ok("rename", rename("/proc/self/task", "/proc/self/fd"));
    show_ok("O_TMPFILE", open("/proc/self", O_TMPFILE | O_RDWR, 0600));
    show_ok("unlink of a directory", unlink("/proc/self/fd"));
    show_ok("unlink of a link", unlink("/proc/self/exe"));
    show_ok("unlink of a descriptor", unlink("/proc/self/fd/0"));
}

STATE(changes_at_the_top)
{
    show_ok("mkdir", mkdir("/proc/new", 0755));
    show_ok("creat", open("/proc/new", O_CREAT | O_WRONLY, 0644));
    show_ok("unlink of a file", unlink("/proc/uptime"));
    show_ok("unlink of self", unlink("/proc/self"));
    show_ok("rmdir of sys", rmdir("/proc/sys"));
    show_ok("symlink", symlink("x", "/proc/new"));
    show_ok("rename", rename("/proc/uptime", "/proc/new"));
    show_ok("a name that is not", open("/proc/nothing", O_RDONLY));
    show_ok("a file as a directory", open("/proc/uptime/x", O_RDONLY));
    show_ok("a file with a slash", open("/proc/uptime/", O_RDONLY));
    show_ok("mkdir below a process that is not", mkdir("/proc/4194305/x", 0755));
}

STATE(opening_with_odd_flags)
{
    show_ok("a directory for writing", open("/proc/self/task", O_WRONLY));
    show_ok("a file as a directory", open("/proc/self/stat", O_RDONLY | O_DIRECTORY));
    show_ok("a read-only file for writing", open("/proc/self/stat", O_WRONLY) < 0 ? -1 : 0);
    show_ok("truncating it", open("/proc/self/stat", O_WRONLY | O_TRUNC) < 0 ? -1 : 0);
    show_ok("O_DIRECT", open("/proc/self/stat", O_RDONLY | O_DIRECT));
    int fd = open("/proc/self/stat", O_PATH);
    show("read of O_PATH", read(fd, text, 10));
    show_ok("fstat of O_PATH", fstat(fd, &(struct stat){ 0 }));
    show("read of a directory", read(open("/proc/self/task", O_RDONLY), text, 10));
    show("getdents of a file", syscall(SYS_getdents64, open("/proc/self/stat", O_RDONLY), text, PAGE));
}

STATE(statfs_of_proc)
{
    struct statfs fs;
    show_ok("statfs", statfs("/proc/self/stat", &fs));
    printf("type %#lx block %ld blocks %lu free %lu files %lu names %ld fragment %ld\n", (long)fs.f_type, (long)fs.f_bsize, (long)fs.f_blocks, (long)fs.f_bfree,
           (long)fs.f_files, (long)fs.f_namelen, (long)fs.f_frsize);
}

STATE(inodes_stay_the_same)
{
    struct stat one, two;
    int fd = open("/proc/self/status", O_RDONLY);
    fstat(fd, &one);
    stat("/proc/self/status", &two);
    show_fact("by descriptor and by path", one.st_ino == two.st_ino && one.st_dev == two.st_dev);
    stat(proc_path(getpid(), "status"), &two);
    show_fact("by self and by number", one.st_ino == two.st_ino);
    stat("/proc/self/stat", &two);
    show_fact("another file has another", one.st_ino != two.st_ino);
    stat("/proc/self", &one);
    stat(proc_path(getppid(), ""), &two);
    show_fact("another process has another", one.st_ino != two.st_ino);
    stat("/proc/thread-self", &two);
    show_fact("a task has another", one.st_ino != two.st_ino);
    stat("/proc", &two);
    show_fact("all of one device", one.st_dev == two.st_dev);
    DIR *open_directory = opendir("/proc/self");
    struct dirent *entry;
    int same = 1;
    while ((entry = readdir(open_directory)))
        if (entry->d_name[0] != '.' && fstatat(dirfd(open_directory), entry->d_name, &one, AT_SYMLINK_NOFOLLOW) == 0)
            same &= one.st_ino == entry->d_ino;
    show_fact("listed as they are", same);
}

STATE(positions_in_a_directory)
{
    DIR *open = opendir("/proc/self");
    struct dirent *entry;
    char third[64] = "", again[64] = "";
    readdir(open), readdir(open);
    long place = telldir(open);
    if ((entry = readdir(open)))
        strcpy(third, entry->d_name);
    readdir(open);
    seekdir(open, place);
    if ((entry = readdir(open)))
        strcpy(again, entry->d_name);
    printf("%s %s\n", third, again);
    int fd = dirfd(open);
    show("SEEK_END", lseek(fd, 0, SEEK_END));
    show_fact("far away nothing is left", lseek(fd, 1 << 20, SEEK_SET) == 1 << 20 && syscall(SYS_getdents64, fd, text, PAGE) == 0);
    show("before", lseek(fd, -1, SEEK_SET));
    fd = open ? openat(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY) : -1;
    show_fact("at the top, by the number of a process", lseek(fd, 258 + getpid(), SEEK_SET) == 258 + getpid());
    syscall(SYS_getdents64, fd, text, PAGE);
    show_fact("is that process", atoi(((struct dirent64 *)text)->d_name) == getpid());
}
