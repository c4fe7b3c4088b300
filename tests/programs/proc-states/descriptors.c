/* fd and fdinfo: what descriptors lead to, and what is told of them. */
#include "state.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static const char *fd_path(int fd)
{
    static char path[4][64];
    static unsigned next;
    char *it = path[next++ % 4];
    snprintf(it, sizeof path[0], "/proc/self/fd/%d", fd);
    return it;
}

static void show_mode(const char *what, int fd)
{
    struct stat status;
    if (lstat(fd_path(fd), &status) < 0)
        printf("%s: %s\n", what, error_name());
    else
        printf("%s: mode %o size %ld\n", what, status.st_mode, (long)status.st_size);
}

static void show_info(const char *what, int fd)
{
    char path[64], lines[4096];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    printf("%s\n", what);
    if (read_file(path, lines, sizeof lines) < 0)
        printf("  %s\n", error_name());
    for (char *line = lines; *line; line += strcspn(line, "\n") + 1) {
        if (!strncmp(line, "ino:", 4) || !strncmp(line, "mnt_id:", 7))
            printf("  %.*s\n", (int)strcspn(line, "\t"), line);
        else
            printf("  %.*s\n", (int)strcspn(line, "\n"), line);
    }
}

STATE(fd_of_files_by_their_mode)
{
    static const struct {
        int flags;
        const char *name;
    } WAYS[] = { { O_RDONLY, "read" }, { O_WRONLY, "write" }, { O_RDWR, "both" }, { O_PATH, "path" }, { O_WRONLY | O_APPEND, "append" }, { 3, "neither" } };
    close(file_of("file", 10));
    for (unsigned i = 0; i < sizeof WAYS / sizeof *WAYS; i++) {
        int fd = open("file", WAYS[i].flags);
        show_link(WAYS[i].name, fd_path(fd));
        show_mode(WAYS[i].name, fd);
    }
}

STATE(fd_of_a_deleted_file)
{
    int fd = file_of("file", 10);
    unlink("file");
    show_link("link", fd_path(fd));
    struct stat status;
    show_ok("stat", stat(fd_path(fd), &status));
    show("links", status.st_nlink);
    int again = open(fd_path(fd), O_RDONLY);
    show_bytes("opened again", text, read(again, text, 100));
    show("a hard link to it", linkat(AT_FDCWD, fd_path(fd), AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
}

STATE(fd_of_a_renamed_file_and_directory)
{
    mkdir("folder", 0755);
    int folder = open("folder", O_RDONLY | O_DIRECTORY), fd = file_of("folder/file", 1);
    rename("folder", "other");
    show_link("folder", fd_path(folder));
    show_link("file", fd_path(fd));
    rename("other/file", "file");
    show_link("moved", fd_path(fd));
    show_ok("through the link", chdir(fd_path(folder)));
    show_link("cwd", "/proc/self/cwd");
}

STATE(fd_of_a_pipe)
{
    int ends[2];
    char one[64] = "", two[64] = "";
    if (pipe(ends) < 0)
        return;
    show_fact("both have a link", readlink(fd_path(ends[0]), one, 63) > 0 && readlink(fd_path(ends[1]), two, 63) > 0);
    show_fact("the same one", !strcmp(one, two));
    show_fact("of this form", !strncmp(one, "pipe:[", 6) && one[strlen(one) - 1] == ']');
    struct stat status;
    fstat(ends[0], &status);
    show_fact("with the inode", strtoul(one + 6, NULL, 10) == status.st_ino);
    show_mode("read end", ends[0]);
    show_mode("write end", ends[1]);
    if (write(ends[1], "hello", 5) != 5)
        return;
    int again = open(fd_path(ends[0]), O_RDONLY);
    show_bytes("the read end opened again", text, read(again, text, 10));
    int writer = open(fd_path(ends[0]), O_WRONLY);
    show_fact("and for writing", writer >= 0 && write(writer, "x", 1) == 1);
    show("as a directory", open(fd_path(ends[0]), O_RDONLY | O_DIRECTORY));
    show_info("fdinfo", ends[0]);
}

STATE(fd_of_a_fifo)
{
    mkfifo("fifo", 0600);
    int fd = open("fifo", O_RDWR);
    show_link("link", fd_path(fd));
    unlink("fifo");
    show_link("deleted", fd_path(fd));
    int again = open(fd_path(fd), O_RDONLY | O_NONBLOCK);
    show_fact("opened again", again >= 0);
}

STATE(fd_of_epoll)
{
    int epoll = epoll_create1(0), ends[2];
    struct epoll_event event = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x1234 };
    if (pipe(ends) < 0)
        return;
    show_link("link", fd_path(epoll));
    show_mode("mode", epoll);
    show_ok("add", epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", epoll);
    ssize_t length = read_file(path, text, sizeof text);
    char *line = strstr(text, "tfd:");
    show_fact("a line for what it waits for", length > 0 && line);
    if (line)
        show_bytes("up to the position", line, strstr(line, " pos:") ? strstr(line, " pos:") - line : 10);
    show("opened by its link", open(fd_path(epoll), O_RDONLY));
    show("epoll_ctl of a proc file", epoll_ctl(epoll, EPOLL_CTL_ADD, open("/proc/self/stat", O_RDONLY), &event));
    show_ok("epoll_ctl of mounts", epoll_ctl(epoll, EPOLL_CTL_ADD, open("/proc/self/mounts", O_RDONLY), &event));
}

STATE(fd_of_eventfd)
{
    int fd = eventfd(17, EFD_NONBLOCK);
    show_link("link", fd_path(fd));
    show_mode("mode", fd);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    read_file(path, text, sizeof text);
    char *line = strstr(text, "eventfd-count:");
    show_bytes("count", line ? line : "none", line ? (ssize_t)strcspn(line, "\n") : 4);
    show("as a directory", open(fd_path(fd), O_RDONLY | O_DIRECTORY));
    show("opened by its link", open(fd_path(fd), O_RDONLY));
}

STATE(fd_of_devices)
{
    show_link("null", fd_path(open("/dev/null", O_RDWR)));
    show_link("zero", fd_path(open("/dev/zero", O_RDONLY)));
    show_info("fdinfo", open("/dev/null", O_RDWR));
}

STATE(fd_of_files_of_proc)
{
    char expected[64];
    int fd = open("/proc/self/cmdline", O_RDONLY);
    snprintf(expected, sizeof expected, "/proc/%d/cmdline", getpid());
    ssize_t length = readlink(fd_path(fd), text, PAGE);
    show_fact("the path has the number", length > 0 && !memcmp(text, expected, length));
    show_info("fdinfo", fd);
    pid_t child = child_after(NULL);
    fd = open(proc_path(child, "stat"), O_RDONLY);
    snprintf(expected, sizeof expected, "/proc/%d/stat", child);
    end(child);
    length = readlink(fd_path(fd), text, PAGE);
    show_fact("of a process that has gone it says deleted", length > 10 && !memcmp(text + length - 10, " (deleted)", 10));
}

STATE(fdinfo_of_flags)
{
    static const int FLAGS[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_APPEND, O_RDONLY | O_CLOEXEC, O_RDONLY | O_NONBLOCK, O_RDWR | O_CREAT | O_TRUNC,
                                 O_RDONLY | O_NOFOLLOW, O_PATH, O_PATH | O_NOFOLLOW | O_CLOEXEC, O_WRONLY | O_SYNC, O_WRONLY | O_DSYNC, O_RDONLY | O_NOATIME };
    close(file_of("file", 10));
    for (unsigned i = 0; i < sizeof FLAGS / sizeof *FLAGS; i++) {
        int fd = open("file", FLAGS[i], 0644);
        show_info("", fd);
        close(fd);
    }
}

STATE(fdinfo_of_positions)
{
    int fd = file_of("file", 5000), copy = dup(fd);
    show_info("written", fd);
    lseek(fd, 123, SEEK_SET);
    show_info("the copy shares it", copy);
    lseek(fd, 1l << 40, SEEK_SET);
    show_info("far away", fd);
    fcntl(copy, F_SETFD, FD_CLOEXEC);
    show_info("closed at exec", copy);
    show_info("the other not", fd);
    fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK);
    show_info("flags changed", copy);
    close(fd);
    show_info("closed", fd);
}

STATE(fdinfo_of_directories)
{
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    show_info("directory", fd);
    fd = open(".", O_PATH);
    show_info("path", fd);
}

static void list(const char *what, const char *path)
{
    DIR *open = opendir(path);
    struct dirent *entry;
    printf("%s:", what);
    /* The numbers in order: descriptors are listed so. The one that lists comes last. */
    int own = open ? dirfd(open) : -1, ordered = 1, last = -1;
    while (open && (entry = readdir(open))) {
        if (entry->d_name[0] == '.')
            continue;
        int fd = atoi(entry->d_name);
        ordered &= fd > last;
        last = fd;
        if (fd != own)
            printf(" %d", fd);
    }
    printf("%s\n", ordered ? "" : " not in order");
    if (open)
        closedir(open);
}

static void only_standard_descriptors(void)
{
    for (int fd = 3; fd < 64; fd++)
        close(fd);
}

STATE(fd_is_listed)
{
    only_standard_descriptors();
    dup2(0, 10);
    dup2(0, 7);
    dup2(0, 300);
    list("fd", "/proc/self/fd");
    list("fdinfo", "/proc/self/fdinfo");
    list("by the task", "/proc/thread-self/fd");
    close(7);
    list("one less", "/proc/self/fd");
    struct stat status;
    stat("/proc/self/fd", &status);
    show("size of the directory", status.st_size);
    printf("FDSize %s\n", status_value(getpid(), "FDSize"));
}

STATE(fd_table_grows)
{
    only_standard_descriptors();
    printf("FDSize %s\n", status_value(getpid(), "FDSize"));
    dup2(0, 256);
    printf("FDSize %s\n", status_value(getpid(), "FDSize"));
    dup2(0, 1000);
    printf("FDSize %s\n", status_value(getpid(), "FDSize"));
    close(1000);
    printf("FDSize %s\n", status_value(getpid(), "FDSize"));
    pid_t child = child_after(NULL);
    printf("a child's FDSize %s\n", status_value(child, "FDSize"));
    end(child);
}

STATE(fd_by_odd_names)
{
    static const char *const NAMES[] = { "00", "01", "-1", "+1", "1x", " 1", "99999", "4294967296", "2147483648", "0x1", "" };
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        char path[64];
        struct stat status;
        snprintf(path, sizeof path, "/proc/self/fd/%s", NAMES[i]);
        show_ok(NAMES[i], lstat(path, &status));
    }
}

STATE(fd_kept_open_by_path)
{
    int fd = file_of("file", 10);
    int link = open(fd_path(fd), O_PATH | O_NOFOLLOW);
    show_fact("a link held", link >= 0 && readlinkat(link, "", text, PAGE) > 0);
    close(fd);
    show("when the descriptor is closed", readlinkat(link, "", text, PAGE));
    struct stat status;
    show_ok("fstat of it", fstat(link, &status));
    int again = open("/dev/null", O_RDONLY);
    show_fact("another descriptor of that number", again == fd);
    ssize_t length = readlinkat(link, "", text, PAGE);
    show_text("leads there", text, length);
}

STATE(fd_directory_of_another_after_its_end)
{
    pid_t child = child_after(NULL);
    int fds = open(proc_path(child, "fd"), O_RDONLY | O_DIRECTORY);
    show_fact("opened", fds >= 0 && faccessat(fds, "0", F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    make_zombie(child);
    show("zombie: getdents", syscall(SYS_getdents64, fds, text, PAGE) > 48);
    show("zombie: a link", readlinkat(fds, "0", text, PAGE));
    waitpid(child, NULL, 0);
    show("reaped: getdents", (lseek(fds, 0, SEEK_SET), syscall(SYS_getdents64, fds, text, PAGE)));
    show("reaped: a link", readlinkat(fds, "0", text, PAGE));
}

STATE(dev_fd_leads_to_it)
{
    int fd = file_of("file", 10);
    char path[64];
    snprintf(path, sizeof path, "/proc/thread-self/fd/%d", fd);
    int again = open(path, O_RDONLY);
    show_bytes("opened again it starts at 0", text, read(again, text, 100));
    struct stat one, two;
    fstat(fd, &one);
    stat(path, &two);
    show_fact("the same file", one.st_ino == two.st_ino && one.st_dev == two.st_dev);
    chmod("file", 0);
    show_fact("root still opens it", open(path, O_RDWR) >= 0);
}
