/* The directories of a process: what stands there, in which order, with which mode and links; who owns it; what cannot be done to it. */
#include "check.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/xattr.h>

/* Linux has these where it was built for them; README and ARCHITECTURE.md say why they are not here. */
static const char *const LEFT_OUT[] = { "sched",  "autogroup", "numa_maps", "stack", "arch_status", "ksm_merging_pages", "ksm_stat",
                                        "latency", "patch_state", "seccomp_cache", "cpu_resctrl_groups", "make-it-fail", "fail-nth",
                                        "stack_depth" };

static int is_left_out(const char *name)
{
    for (unsigned i = 0; i < sizeof LEFT_OUT / sizeof *LEFT_OUT; i++)
        if (!strcmp(name, LEFT_OUT[i]))
            return 1;
    return 0;
}

static void list(const char *path)
{
    printf("%s\n", path);
    DIR *dir = opendir(path);
    if (!dir) {
        printf("  %s\n", error_name());
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        struct stat status;
        if (entry->d_name[0] == '.' || is_left_out(entry->d_name))
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
            printf("  %s %s\n", entry->d_name, error_name());
        else
            /* What the network directory holds depends on what the kernel was built for. */
            printf("  %s %o, %s%lu links, type %d, inode %s\n", entry->d_name, status.st_mode,
                   strcmp(entry->d_name, "net") ? "" : "not ", strcmp(entry->d_name, "net") ? (unsigned long)status.st_nlink : 0,
                   entry->d_type, status.st_ino == entry->d_ino ? "as listed" : "another");
    }
    closedir(dir);
}

static void *live(void *argument)
{
    (void)argument;
    pause();
    return NULL;
}

static void counts(void)
{
    struct stat status;
    stat("/proc/self", &status);
    printf("links of the directory %lu\n", (unsigned long)status.st_nlink);
    stat("/proc/thread-self", &status);
    printf("links of the thread's %lu\n", (unsigned long)status.st_nlink);
    stat("/proc/self/task", &status);
    printf("links of task %lu\n", (unsigned long)status.st_nlink);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, live, NULL);
    stat("/proc/self/task", &status);
    printf("links of task with three more %lu\n", (unsigned long)status.st_nlink);
    stat("/proc/self/fd", &status);
    long before = status.st_size;
    int fd = dup(0), other = dup(0);
    stat("/proc/self/fd", &status);
    printf("two more descriptors: size grows by %ld\n", (long)status.st_size - before);
    close(fd);
    close(other);
    stat("/proc/self/fdinfo", &status);
    printf("size of fdinfo %ld\n", (long)status.st_size);
}

static void cannot(void)
{
    enter_scratch();
    static const char *const PATHS[] = { "/proc/self/stat", "/proc/self/comm", "/proc/self/fd", "/proc/self/task",
                                         "/proc/self/attr/current", "/proc/self/fdinfo/0", "/proc/self/map_files", "/proc/self/exe" };
    for (unsigned i = 0; i < sizeof PATHS / sizeof *PATHS; i++) {
        const char *path = PATHS[i];
        char value[16];
        struct stat before, after;
        printf("%s\n", path);
        lstat(path, &before);
        if (i < 7)
            show("  chmod", chmod(path, 0777));
        show("  chown", lchown(path, 1, 1));
        lstat(path, &after);
        show_fact("  is still its own", before.st_uid == after.st_uid && before.st_mode == after.st_mode);
        if (i < 7) {
            show("  truncate", truncate(path, 0));
            show("  utimes", utimensat(AT_FDCWD, path, NULL, 0));
            show("  setxattr", setxattr(path, "user.x", "y", 1, 0));
            show("  getxattr", getxattr(path, "user.x", value, sizeof value));
            show("  listxattr", listxattr(path, value, 0) > 0 ? -2 : listxattr(path, value, 0));
        }
        show("  unlink", unlink(path));
        show("  rmdir", rmdir(path));
        show("  rename away", rename(path, "there"));
        show("  rename inside", rename(path, "/proc/self/there"));
        show("  link", link(path, "there"));
        show("  link inside", link(path, "/proc/self/there"));
        show("  times are one", before.st_atime == before.st_mtime && before.st_mtime == before.st_ctime);
    }
    show("symlink", symlink("x", "/proc/self/there"));
    show("mknod", mknod("/proc/self/there", S_IFREG, 0));
    show("mkdir in task", mkdir("/proc/self/task/there", 0755));
    show("create in fd", open("/proc/self/fd/there", O_CREAT | O_RDWR, 0600));
    show("create in attr", open("/proc/self/attr/there", O_CREAT | O_RDWR, 0600));
    show("open a file to be truncated", open("/proc/self/comm", O_WRONLY | O_TRUNC) < 0 ? -1 : 0);
    show("a directory for writing", open("/proc/self/task", O_WRONLY));
    show("a temporary file", open("/proc/self", O_TMPFILE | O_RDWR, 0600));
    static const char *const MAPPED[] = { "status", "maps", "cmdline", "environ", "mem", "pagemap", "oom_score_adj" };
    for (unsigned i = 0; i < sizeof MAPPED / sizeof *MAPPED; i++) {
        int fd = open(proc_path(getpid(), MAPPED[i]), O_RDONLY);
        printf("mmap of %s", MAPPED[i]);
        show("", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
        close(fd);
    }
    static const char *const WRITTEN[] = { "stat", "status", "statm", "maps", "smaps", "cmdline", "environ", "auxv", "limits", "io", "mounts",
                                           "mountinfo", "mountstats", "cgroup", "cpuset", "oom_score", "sessionid", "wchan", "syscall",
                                           "schedstat", "timers", "pagemap", "personality" };
    for (unsigned i = 0; i < sizeof WRITTEN / sizeof *WRITTEN; i++) {
        int fd = open(proc_path(getpid(), WRITTEN[i]), O_RDWR);
        printf("write to %s", WRITTEN[i]);
        show("", write(fd, "x", 1));
        printf("pwrite to it");
        show("", pwrite(fd, "x", 1, 0));
        close(fd);
    }
}

static void owners(void)
{
    static const char *const FILES[] = { "", "task", "fd", "fdinfo", "ns", "attr", "map_files", "stat", "status", "environ", "oom_score_adj",
                                         "exe", "cwd", "fd/0", "fdinfo/0", "ns/user", "attr/current", "comm", "mem", "pagemap", "task/self" };
    for (int dumpable = 1; dumpable >= 0; dumpable--) {
        prctl(PR_SET_DUMPABLE, dumpable);
        printf("dumpable %d:", dumpable);
        for (unsigned i = 0; i + 1 < sizeof FILES / sizeof *FILES; i++) {
            struct stat status;
            if (lstat(proc_path(getpid(), FILES[i]), &status) < 0)
                printf(" %s %s", FILES[i], error_name());
            else
                printf(" %s %d:%d", FILES[i], status.st_uid, status.st_gid);
        }
        puts("");
        static const char *const OPENED[] = { "environ", "auxv", "maps", "smaps", "status", "io", "mem", "pagemap", "personality", "syscall",
                                              "fd", "fdinfo", "map_files", "clear_refs", "mountstats", "timers" };
        for (unsigned i = 0; i < sizeof OPENED / sizeof *OPENED; i++) {
            int fd = open(proc_path(getpid(), OPENED[i]), strcmp(OPENED[i], "clear_refs") ? O_RDONLY : O_WRONLY);
            printf("  open %s: %s\n", OPENED[i], fd < 0 ? error_name() : "ok");
            close(fd);
        }
    }
}

static void show_info(const char *what, int fd)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    read_file(path, text, sizeof text);
    printf("%s\n", what);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (!strncmp(line, "mnt_id", 6) || !strncmp(line, "ino", 3) || !strncmp(line, "eventfd-id", 10))
            continue;
        /* The inode and device that an epoll instance waits on. */
        char *number = strstr(line, " ino:");
        if (number)
            *number = 0;
        for (char *c = line; *c; c++)
            if (*c == '\t')
                *c = '~';
        printf("  %s\n", line);
    }
    struct stat status;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    lstat(path, &status);
    char target[256];
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = 0;
    for (char *c = target; *c; c++)
        if (*c >= '0' && *c <= '9')
            *c = 'N';
    char *digits = strchr(target, ':');
    if (digits && digits[1] == '[')
        digits[2] = 0;
    for (char *c = target; (c = strstr(c, "NN"));)
        memmove(c, c + 1, strlen(c));
    printf("  link %o, size %ld, %s\n", status.st_mode, (long)status.st_size, target);
}

static void descriptors(void)
{
    close(open("file", O_CREAT | O_WRONLY, 0644));
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    char text[100];
    (void)!read(fd, text, 10);
    show_info("read only, close on exec", fd);
    close(fd);
    fd = open("/dev/null", O_WRONLY | O_APPEND | O_NONBLOCK);
    show_info("to append, not blocking", fd);
    close(fd);
    fd = open("/dev/null", O_RDWR);
    show_info("both", fd);
    close(fd);
    fd = open("/dev/null", O_PATH);
    show_info("a path only", fd);
    close(fd);
    fd = open("/", O_RDONLY | O_DIRECTORY);
    show_info("a directory", fd);
    close(fd);
    int ends[2];
    (void)!pipe(ends);
    show_info("read end of a pipe", ends[0]);
    show_info("write end", ends[1]);
    int event = eventfd(5, EFD_SEMAPHORE | EFD_CLOEXEC);
    show_info("eventfd", event);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event one = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x123456789 };
    epoll_ctl(epoll, EPOLL_CTL_ADD, event, &one);
    show_info("epoll", epoll);
    show("fdinfo of one that is not open", open("/proc/self/fdinfo/99", O_RDONLY));
    fd = open("/proc/self/fdinfo/0", O_RDONLY);
    int copy = dup(ends[0]);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", copy);
    int info = open(path, O_RDONLY);
    close(copy);
    show("fdinfo of one closed since", read(info, text, sizeof text));
    close(info);
    pid_t child = split();
    if (child == 0)
        pause();
    wait_for_state(child, "S");
    if (split() == 0) {
        show_ok("become somebody else", setresgid(1, 1, 1) | setresuid(1, 1, 1));
        show("list another's fd", open(proc_path(child, "fd"), O_RDONLY | O_DIRECTORY));
        show("list its fdinfo", open(proc_path(child, "fdinfo"), O_RDONLY | O_DIRECTORY));
        show("one of it", open(proc_path(child, "fdinfo/0"), O_RDONLY));
        show("readlink of one", readlink(proc_path(child, "fd/0"), text, sizeof text));
        show("list its map_files", open(proc_path(child, "map_files"), O_RDONLY | O_DIRECTORY));
        show("list its ns", open(proc_path(child, "ns"), O_RDONLY | O_DIRECTORY));
        static const char *const DIRS[] = { "/proc/%d", "/proc/%d/task/%d" };
        for (int d = 0; d < 2; d++) {
            char path[64];
            snprintf(path, sizeof path, DIRS[d], child, child);
            DIR *dir = opendir(path);
            struct dirent *entry;
            printf("what others get of %s\n", d ? "a thread" : "a process");
            while ((entry = readdir(dir))) {
                if (entry->d_name[0] == '.' || is_left_out(entry->d_name) || entry->d_type == DT_LNK)
                    continue;
                int fd = openat(dirfd(dir), entry->d_name, strcmp(entry->d_name, "clear_refs") ? O_RDONLY : O_WRONLY);
                ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text);
                printf("  %s: open %s", entry->d_name, fd < 0 ? error_name() : "ok");
                printf(", read %s\n", fd < 0 ? "-" : length < 0 ? error_name() : length ? "content" : "end");
                close(fd);
            }
            closedir(dir);
        }
        owners();
        _exit(0);
    }
    wait(NULL);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

int main(void)
{
    list("/proc/self/");
    list("/proc/thread-self/");
    list("/proc/self/attr/");
    pid_t child = split();
    if (child == 0) {
        counts();
        _exit(0);
    }
    waitpid(child, NULL, 0);
    cannot();
    descriptors();
    return 0;
}
