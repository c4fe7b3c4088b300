/* The rules of reading and seeking that all files of /proc share, sentence by sentence; offsets.c has those of one reader without surprises. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>

static char text[1 << 16], whole[1 << 16];

/* A child that has the name `before`, and that executes this program (which changes its name) or ends when it is told. */
struct child {
    pid_t pid;
    int orders, answers;
};

static struct child start(void)
{
    int down[2], up[2];
    char byte;
    if (pipe(down) || pipe(up))
        exit(1);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "before");
        dup2(down[0], 0);
        dup2(up[1], 1);
        close(down[1]);
        close(up[0]);
        if (write(1, "r", 1) != 1 || read(0, &byte, 1) != 1 || byte != 'x')
            _exit(0);
        execl("/proc/self/exe", "seq-rules", "wait", NULL);
        _exit(1);
    }
    close(down[0]);
    close(up[1]);
    struct child child = { pid, down[1], up[0] };
    if (read(child.answers, &byte, 1) != 1)
        exit(1);
    return child;
}

static void order(struct child *child, char what)
{
    char byte;
    if (write(child->orders, &what, 1) != 1 || (what == 'x' && read(child->answers, &byte, 1) != 1))
        exit(1);
}

static void finish(struct child *child)
{
    close(child->orders);
    close(child->answers);
    waitpid(child->pid, NULL, 0);
}

static int open_of(pid_t pid, const char *name, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return open(path, flags);
}

static void go_on_after_exec(void)
{
    struct child child = start();
    int comm = open_of(child.pid, "comm", O_RDONLY), status = open_of(child.pid, "status", O_RDONLY), fresh = open_of(child.pid, "comm", O_RDONLY);
    show_bytes("comm, begun", text, read(comm, text, 3));
    show_bytes("status, begun", text, read(status, text, 8));
    order(&child, 'x');
    show_bytes("comm goes on with what it had", text, read(comm, text, 100));
    show_bytes("comm is at its end", text, read(comm, text, 100));
    show_bytes("status goes on with what it had", text, read(status, text, 5));
    show_bytes("one that had not begun is new", text, read(fresh, text, 100));
    show_bytes("pread at 0 is new", text, pread(comm, text, 100, 0));
    show("seek to 3", lseek(comm, 3, SEEK_SET));
    show_bytes("elsewhere it is new", text, read(comm, text, 100));
    finish(&child);
    show_bytes("pread at 0 of one that has ended", text, pread(comm, text, 100, 0));
    show("read where it stands", read(comm, text, 100));
    show("seek to where it stands", lseek(comm, 0, SEEK_CUR));
    show("seek to another place", lseek(comm, 5, SEEK_SET));
    show("then it stands at", lseek(comm, 0, SEEK_CUR));
    show("seek to the start", lseek(comm, 0, SEEK_SET));
    show("read there", read(comm, text, 100));
    close(comm);
    close(status);
    close(fresh);
}

static void what_was_begun_outlives_its_process(void)
{
    struct child child = start();
    int status = open_of(child.pid, "status", O_RDONLY), maps = open_of(child.pid, "maps", O_RDONLY);
    show("status, begun", read(status, text, 8));
    show("maps, begun", read(maps, text, 1));
    finish(&child);
    ssize_t rest = read(status, text, sizeof text);
    show_fact("the rest of status is there", rest > 500 && text[rest - 1] == '\n');
    show("then", read(status, text, 10));
    ssize_t line = read(maps, text, sizeof text);
    show_fact("the rest of one line of maps is there", line > 20 && text[line - 1] == '\n' && memchr(text, '\n', line) == text + line - 1);
    show("then", read(maps, text, 10));
    close(status);
    close(maps);
}

static void refused_writes(void)
{
    static const char *const files[] = { "stat", "statm", "status", "maps", "smaps", "limits", "cmdline", "environ", "auxv", "mounts", "mountinfo", "io", "wchan", "oom_score" };
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        int fd = open_of(getpid(), files[i], O_RDWR);
        printf("%s\n", files[i]);
        if (show_ok("  open to read and write", fd) < 0)
            continue;
        show("  write", write(fd, "x", 1));
        show("  write of nothing", write(fd, "", 0));
        show("  pwrite", pwrite(fd, "x", 1, 0));
        show("  writev", writev(fd, &(struct iovec){ "x", 1 }, 1));
        show("  mmap", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
        show("  ftruncate", ftruncate(fd, 0));
        show("  fsync", fsync(fd));
        close(fd);
    }
    static const char *const written[] = { "comm", "uid_map", "setgroups", "oom_score_adj" };
    for (unsigned i = 0; i < sizeof written / sizeof *written; i++) {
        int fd = open_of(getpid(), written[i], O_RDWR);
        printf("pwrite to %s at 0: ", written[i]);
        show("", pwrite(fd, "0", 1, 0));
        close(fd);
    }
}

static void faults(void)
{
    /* The last ten bytes of a page, and nothing behind it. */
    char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(page + PAGE, PAGE);
    char *edge = page + PAGE - 10;
    static const char *const files[] = { "status", "maps", "auxv", "cmdline", "oom_score_adj" };
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        int fd = open_of(getpid(), files[i], O_RDONLY);
        printf("%s\n", files[i]);
        ssize_t length = pread(fd, whole, 40, 0);
        ssize_t got = read(fd, edge, 40);
        show("  ten bytes fit", got);
        show_fact("  they are the first", got <= 0 || !memcmp(edge, whole, got));
        show("  it stands at", lseek(fd, 0, SEEK_CUR));
        got = read(fd, text, 4);
        show_fact("  then come the next", got < 0 || (lseek(fd, 0, SEEK_CUR) <= length && !memcmp(text, whole + lseek(fd, 0, SEEK_CUR) - got, got)));
        show("  no byte fits", read(fd, page + PAGE, 5));
        struct iovec parts[3] = { { text, 3 }, { text + 10, 0 }, { edge + 5, 40 } };
        show("  preadv with a hole and an edge", preadv(fd, parts, 3, 0));
        show("  preadv at 4", preadv(fd, parts, 2, 4));
        close(fd);
    }
    munmap(page, PAGE);
}

static void offsets(void)
{
    static const char *const files[] = { "stat", "status", "maps", "mounts", "cmdline", "environ", "auxv", "oom_score_adj", "comm" };
    static const long far[] = { 1l << 31, (1l << 31) - 1, 1l << 32, 1l << 40, (1l << 62), 0x7fffffffffffffff, -1 };
    static const int whences[] = { SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE, 7 };
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        int fd = open_of(getpid(), files[i], O_RDONLY);
        printf("%s\n", files[i]);
        for (unsigned at = 0; at < sizeof far / sizeof *far; at++) {
            show("  pread far", pread(fd, text, 4, far[at]));
            show("  seek far", lseek(fd, far[at], SEEK_SET));
            show("  read there", read(fd, text, 4));
            show("  read nothing there", read(fd, text, 0));
            show("  back", lseek(fd, 0, SEEK_SET));
        }
        for (unsigned at = 0; at < sizeof whences / sizeof *whences; at++)
            show("  seek by another whence", lseek(fd, 2, whences[at]));
        show("  back beyond the start", lseek(fd, -100000, SEEK_CUR));
        struct pollfd one = { .fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDNORM };
        poll(&one, 1, 0);
        printf("  poll says %#x\n", one.revents);
        int epoll = epoll_create1(0);
        show("  epoll", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN }));
        close(epoll);
        close(fd);
    }
}

static void one_position(void)
{
    int fd = open("/proc/self/status", O_RDONLY), copy = dup(fd), other = open("/proc/self/status", O_RDONLY);
    show_bytes("first", text, read(fd, text, 5));
    show_bytes("by its copy", text, read(copy, text, 1));
    show_bytes("by another", text, read(other, text, 5));
    close(fd);
    close(copy);
    close(other);
}

/* A line longer than a page makes the buffer grow, and it stays so. */
static void growth(void)
{
    char home[] = "/tmp/seq-rules-XXXXXX", name[201];
    if (!mkdtemp(home) || chdir(home))
        exit(1);
    memset(name, 'd', 200);
    name[200] = 0;
    int depth = 0, made = 1;
    for (; depth < 22 && made; depth++)
        made = mkdir(name, 0700) == 0 && chdir(name) == 0;
    int file = open("file", O_RDWR | O_CREAT, 0600);
    show("directories", depth);
    show("truncate", ftruncate(file, PAGE));
    /* At the lowest address that may be: the first line. */
    void *low = mmap((void *)0x20000, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, file, 0);
    show_fact("mapped", low == (void *)0x20000);
    for (int i = 0; i < 400; i++)
        mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open("/proc/self/maps", O_RDONLY);
    ssize_t first = read(fd, text, sizeof text);
    char *end = memchr(text, '\n', first);
    show_fact("the long line comes whole", first > 4400 && end && end - text > 4400);
    show_fact("with others up to two pages", first <= 8192 && first > 7900 && text[first - 1] == '\n');
    ssize_t second = read(fd, text, sizeof text);
    show_fact("the next read has as much room", second > 7900 && second <= 8192 && text[second - 1] == '\n');
    show("the long line by one byte", (lseek(fd, 0, SEEK_SET), read(fd, text, 1)));
    show_fact("and its rest, with others again", read(fd, text, sizeof text) >= end - text);
    close(fd);
    munmap(low, PAGE);
    close(file);
    unlink("file");
    for (; depth > 0; depth--)
        if (chdir("..") || rmdir(name))
            break;
    show("directories left", depth);
    rmdir(home);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        char byte;
        return write(1, "n", 1) != 1 || read(0, &byte, 1) < 0;
    }
    go_on_after_exec();
    what_was_begun_outlives_its_process();
    refused_writes();
    faults();
    offsets();
    one_position();
    growth();
    return 0;
}
