/* Reading by offsets: what read, pread and lseek give on files of /proc of each kind. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/uio.h>

static char text[1 << 20], whole[1 << 20];

static void one_record(const char *path)
{
    printf("%s\n", path);
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, whole, sizeof whole);
    show_fact("  one read gives all", length > 0 && read(fd, text, 100) == 0);
    show("  read of nothing", read(fd, text, 0));
    show("  a read with a bad address", (lseek(fd, 0, SEEK_SET), syscall(SYS_read, fd, 16, 100)));
    show("  seek to the start", lseek(fd, 0, SEEK_SET));
    ssize_t total = 0;
    for (int i = 0; i < 20; i++)
        total += read(fd, text + total, 1);
    show("  byte by byte", total);
    show_fact("  it is the same text", memcmp(text, whole, 5) == 0);
    show("  seek relative", lseek(fd, -15, SEEK_CUR));
    show_fact("  it is the text from there", read(fd, text, 4) == 4 && text[0] == whole[5]);
    show("  pread", pread(fd, text, 3, 2));
    show("  pread leaves the position", lseek(fd, 0, SEEK_CUR));
    show("  pread far beyond", pread(fd, text, 3, 100000));
    show("  pread before", pread(fd, text, 3, -1));
    show("  seek far beyond", lseek(fd, 100000, SEEK_SET));
    show("  read there", read(fd, text, 3));
    show("  seek to the end", lseek(fd, 0, SEEK_END));
    show("  seek before the start", lseek(fd, -5, SEEK_SET));
    show("  write", write(fd, "x", 1));
    struct pollfd one = { .fd = fd, .events = POLLIN | POLLOUT };
    show("  poll", poll(&one, 1, 0));
    printf("  events %#x\n", one.revents);
    struct iovec parts[2] = { { text, 3 }, { text + 100, 3 } };
    lseek(fd, 0, SEEK_SET);
    show("  readv", readv(fd, parts, 2));
    show_fact("  it is the start", !memcmp(text, whole, 3) && !memcmp(text + 100, whole + 3, 3));
    close(fd);
}

static void snapshot(void)
{
    /* A text once begun stays as it was until it is read from the start again. */
    int fd = open("/proc/self/status", O_RDONLY);
    prctl(PR_SET_NAME, "first");
    show_bytes("begin", text, read(fd, text, 8));
    prctl(PR_SET_NAME, "second");
    show_bytes("go on", text, read(fd, text, 4));
    lseek(fd, 0, SEEK_SET);
    show_bytes("from the start", text, read(fd, text, 12));
    prctl(PR_SET_NAME, "third");
    show_bytes("pread at another place", text, pread(fd, text, 5, 6));
    close(fd);
    fd = open("/proc/self/comm", O_RDONLY);
    show_bytes("comm", text, pread(fd, text, 100, 0));
    prctl(PR_SET_NAME, "fourth");
    show_bytes("comm again", text, pread(fd, text, 100, 0));
    close(fd);
}

static void many_records(void)
{
    /* Two hundred mappings that do not merge. */
    for (int i = 0; i < 200; i++)
        mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open("/proc/self/maps", O_RDONLY);
    ssize_t total = 0, got;
    int whole_lines = 1, within_a_page = 1, reads = 0;
    while ((got = read(fd, whole + total, sizeof whole - total)) > 0) {
        total += got;
        reads++;
        whole_lines &= whole[total - 1] == '\n';
        within_a_page &= got <= (ssize_t)PAGE;
    }
    show_fact("a large read gives a page at most", within_a_page && reads > 1);
    show_fact("and whole lines", whole_lines);
    lseek(fd, 0, SEEK_SET);
    ssize_t small = 0;
    while ((got = read(fd, text + small, 7)) > 0)
        small += got;
    show_fact("reading by sevens gives the same", small == total && !memcmp(text, whole, total));
    show_fact("pread in the middle", pread(fd, text, 100, 5000) == 100 && !memcmp(text, whole + 5000, 100));
    show_fact("seek to the middle", lseek(fd, 6000, SEEK_SET) == 6000 && read(fd, text, 50) == 50 && !memcmp(text, whole + 6000, 50));
    show("a size of one", (lseek(fd, 0, SEEK_SET), read(fd, text, 1)));
    ssize_t line = strchr(whole, '\n') - whole;
    show_fact("then the rest of the line is there", read(fd, text, line) == line && !memcmp(text, whole + 1, line));
    close(fd);
}

static void not_records(const char *path)
{
    printf("%s\n", path);
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, whole, sizeof whole);
    show_fact("  there is something", length > 10);
    show_fact("  then the end", read(fd, text, 100) == 0);
    show("  pread", pread(fd, text, 4, 3));
    show_fact("  it is that part", !memcmp(text, whole + 3, 4));
    show("  pread beyond", pread(fd, text, 4, 1 << 20));
    show("  pread far beyond", pread(fd, text, 4, 1ul << 40));
    show("  seek to the end", lseek(fd, 0, SEEK_END));
    show("  seek before the start", lseek(fd, -1, SEEK_SET));
    show("  seek beyond two gigabytes", lseek(fd, 1ul << 31, SEEK_SET));
    close(fd);
}

int main(void)
{
    one_record("/proc/self/stat");
    one_record("/proc/self/status");
    one_record("/proc/version");
    snapshot();
    many_records();
    not_records("/proc/self/cmdline");
    not_records("/proc/self/auxv");
    const char *const bounds[] = { "/proc/sys/kernel/ostype", "/proc/self/oom_score_adj", "/proc/self/environ", "/proc/self/auxv" };
    for (unsigned i = 0; i < sizeof bounds / sizeof *bounds; i++)
        show(bounds[i], lseek(open(bounds[i], O_RDONLY), 1ul << 40, SEEK_SET));
    int fd = open("/proc/self/stat", O_RDONLY);
    int epoll = epoll_create1(0);
    if (epoll >= 0)
        show("epoll of a file of /proc", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = EPOLLIN }));
    return 0;
}
