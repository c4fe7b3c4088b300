/* Descriptors: dup, fcntl, poll, directories, and what /proc/self/fd shows of them. */
#include "check.h"
#include <dirent.h>
#include <poll.h>
#include <sys/resource.h>

/* The numbers below /proc/self/fd without the one that the listing itself needs. */
static void show_open(const char *what)
{
    DIR *directory = opendir("/proc/self/fd");
    printf("%s:", what);
    struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory))
            printf(" %s", entry->d_name);
    printf("\n");
    closedir(directory);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        show_open("after exec");
        return 0;
    }
    /* Whatever the parent left open is of no interest. */
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    enter_scratch();
    show_open("at first");
    int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
    show("open", fd);
    show("write", write(fd, "0123456789", 10));
    int copy = dup(fd);
    show("dup", copy);
    show("both have one position", lseek(copy, 0, SEEK_CUR));
    show("dup2", dup2(fd, 20));
    show("dup2 to itself", dup2(fd, fd));
    show("dup2 from nothing", dup2(77, 21));
    show("dup3 to itself", dup3(fd, fd, 0));
    show("dup3 with O_CLOEXEC", dup3(fd, 21, O_CLOEXEC));
    show("F_DUPFD from 30", fcntl(fd, F_DUPFD, 30));
    show("F_DUPFD_CLOEXEC from 30", fcntl(fd, F_DUPFD_CLOEXEC, 30));
    show("flags of 20", fcntl(20, F_GETFD));
    show("flags of 21", fcntl(21, F_GETFD));
    show("flags of nothing", fcntl(22, F_GETFD));
    show_open("now open");
    show("F_GETFL", fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    show("F_SETFL", fcntl(fd, F_SETFL, O_APPEND));
    show("seen through the copy", fcntl(copy, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    lseek(fd, 0, SEEK_SET);
    show("append", write(fd, "abc", 3));
    show("position then", lseek(fd, 0, SEEK_CUR));
    show("close", close(copy));
    show("close again", close(copy));

    struct rlimit limit = { 25, 25 }, old;
    getrlimit(RLIMIT_NOFILE, &old);
    limit.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    show("beyond the limit", dup2(fd, 25));
    show("F_DUPFD beyond it", fcntl(fd, F_DUPFD, 25));
    setrlimit(RLIMIT_NOFILE, &old);

    show("a second open", copy = open("file", O_RDONLY));
    show("has its own position", lseek(copy, 0, SEEK_CUR));
    show("write to it", write(copy, "x", 1));
    struct pollfd polls[2] = { { .fd = fd, .events = POLLIN | POLLOUT }, { .fd = -1, .events = POLLIN } };
    show("poll of a file", poll(polls, 2, -1));
    printf("events %#x, %#x\n", polls[0].revents, polls[1].revents);
    int proc = open("/proc/self/stat", O_RDONLY);
    polls[0].fd = proc;
    show("poll of a file of /proc", poll(polls, 1, 0));
    printf("events %#x\n", polls[0].revents);
    close(proc);

    pid_t child = split();
    if (child == 0) {
        char *args[] = { "descriptors", "again", NULL };
        execv("/proc/self/exe", args);
        _exit(1);
    }
    reap("child", child);
    child = split();
    if (child == 0) {
        lseek(fd, 3, SEEK_SET);
        close(fd);
        _exit(0);
    }
    reap("child", child);
    show("a child moves the position", lseek(fd, 0, SEEK_CUR));

    char link[256], here[256];
    ssize_t length = readlink("/proc/self/fd/3", link, sizeof link - 1);
    link[length < 0 ? 0 : length] = 0;
    show_fact("getcwd", getcwd(here, sizeof here) != NULL);
    strcat(here, "/file");
    show_fact("the link is the file's path", strcmp(link, here) == 0);
    unlink("file");
    length = readlink("/proc/self/fd/3", link, sizeof link - 1);
    link[length < 0 ? 0 : length] = 0;
    show_fact("deleted is said", strcmp(link, strcat(here, " (deleted)")) == 0);
    show("opening it through /proc", proc = open("/proc/self/fd/3", O_RDONLY));
    char text[32];
    show_bytes("its bytes", text, read(proc, text, sizeof text));
    struct stat one, two;
    fstat(fd, &one);
    show_ok("stat through the link", stat("/proc/self/fd/3", &two));
    show_fact("is the same inode", one.st_ino == two.st_ino && one.st_dev == two.st_dev);
    show("links of it", one.st_nlink);
    show_ok("lstat of the link", lstat("/proc/self/fd/3", &two));
    printf("its mode %o, size %ld\n", two.st_mode, (long)two.st_size);
    int writer = open("/proc/self/comm", O_WRONLY);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", writer);
    show_ok("lstat of a write-only one", lstat(path, &two));
    printf("its mode %o\n", two.st_mode);
    show("stat of one that is not open", stat("/proc/self/fd/99", &two));
    show("stat of no number", stat("/proc/self/fd/03", &two));
    return 0;
}
