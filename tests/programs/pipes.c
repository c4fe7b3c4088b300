/* Pipes: end of file, broken pipes, large and partial transfers, what poll and fcntl say. */
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>

static char block[1 << 20];

static void show_poll(const char *what, int fd, int events)
{
    struct pollfd one = { .fd = fd, .events = events };
    int ready = poll(&one, 1, 0);
    printf("%s: %d%s%s%s%s%s\n", what, ready, one.revents & POLLIN ? " in" : "", one.revents & POLLOUT ? " out" : "",
           one.revents & POLLHUP ? " hup" : "", one.revents & POLLERR ? " err" : "", one.revents & POLLNVAL ? " nval" : "");
}

int main(void)
{
    int pipes[2];
    char small[64];
    signal(SIGPIPE, SIG_DFL);
    show("pipe", pipe(pipes));
    show("pipe2 with nonsense", pipe2(pipes, 0x40));
    show_poll("empty, reading end", pipes[0], POLLIN);
    show_poll("empty, writing end", pipes[1], POLLOUT);
    show("write", write(pipes[1], "hello", 5));
    show_poll("filled, reading end", pipes[0], POLLIN);
    int waiting = 0;
    show("FIONREAD", ioctl(pipes[0], FIONREAD, &waiting));
    show("bytes", waiting);
    show("read a part", read(pipes[0], small, 2));
    show_bytes("read the rest", small, read(pipes[0], small, sizeof small));
    show("write to the reading end", write(pipes[0], "x", 1));
    show("read from the writing end", read(pipes[1], small, 1));
    show("lseek", lseek(pipes[0], 0, SEEK_CUR));
    show("read into nowhere", syscall(SYS_read, pipes[0], 16, 0));
    show("write of nothing", write(pipes[1], "", 0));

    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    show("read when empty", read(pipes[0], small, 1));
    fcntl(pipes[1], F_SETFL, O_NONBLOCK);
    show("capacity", fcntl(pipes[1], F_GETPIPE_SZ));
    long total = 0, wrote;
    while ((wrote = write(pipes[1], block, 4096)) > 0)
        total += wrote;
    show("write when full", wrote);
    show("bytes that fit", total);
    show_poll("full, writing end", pipes[1], POLLOUT);
    show("read a page", read(pipes[0], block, 4096));
    show_poll("a page free, writing end", pipes[1], POLLOUT);
    show("a write larger than what is free", write(pipes[1], block, 3 * 4096));
    show("another", write(pipes[1], block, 4096));
    close(pipes[1]);
    total = 0;
    while ((wrote = read(pipes[0], block, sizeof block)) > 0)
        total += wrote;
    show("read until the end", total);
    show("end of file", read(pipes[0], small, 1));
    show_poll("end of file", pipes[0], POLLIN);
    close(pipes[0]);
    show("read from a closed one", read(pipes[0], small, 1));
    show_poll("closed", pipes[0], POLLIN);

    show("pipe", pipe(pipes));
    close(pipes[0]);
    show_poll("no reader", pipes[1], POLLOUT);
    pid_t child = split();
    if (child == 0) {
        show("write", write(pipes[1], "x", 1));
        _exit(0);
    }
    reap("writing without a reader", child);
    signal(SIGPIPE, SIG_IGN);
    show("the same with SIGPIPE ignored", write(pipes[1], "x", 1));
    close(pipes[1]);

    /* A megabyte from child to parent, through blocking ends, with its order checked. */
    show("pipe", pipe(pipes));
    child = split();
    if (child == 0) {
        close(pipes[0]);
        for (unsigned i = 0; i < sizeof block; i++)
            block[i] = i * 7 + (i >> 8);
        long sent = write(pipes[1], block, sizeof block);
        _exit(sent == sizeof block ? 0 : 1);
    }
    close(pipes[1]);
    unsigned long sum = 0, at = 0;
    static char part[5000];
    while ((wrote = read(pipes[0], part, sizeof part)) > 0)
        for (long i = 0; i < wrote; i++, at++)
            sum += (unsigned char)part[i] != (unsigned char)(at * 7 + (at >> 8));
    printf("received %lu, wrong %lu\n", at, sum);
    reap("sender", child);
    close(pipes[0]);

    /* Writes of up to a page are whole, also with two writers. */
    show("pipe", pipe(pipes));
    for (int writer = 0; writer < 2; writer++) {
        if (split() == 0) {
            static char mine[512];
            memset(mine, 'A' + writer, sizeof mine);
            for (int i = 0; i < 200; i++)
                if (write(pipes[1], mine, sizeof mine) != sizeof mine)
                    _exit(1);
            _exit(0);
        }
    }
    close(pipes[1]);
    unsigned broken = 0, count[2] = { 0 };
    static char record[512];
    while (read_fd(pipes[0], record, sizeof record) == sizeof record) {
        for (unsigned i = 1; i < sizeof record; i++)
            broken += record[i] != record[0];
        count[record[0] - 'A']++;
    }
    printf("records %u and %u, broken %u\n", count[0], count[1], broken);
    while (wait(NULL) > 0)
        ;
    struct stat status;
    fstat(pipes[0], &status);
    show_fact("fstat says pipe", S_ISFIFO(status.st_mode));
    ssize_t length;
    char link[32], expected[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", pipes[0]);
    snprintf(expected, sizeof expected, "pipe:[%lu]", (unsigned long)status.st_ino);
    length = readlink(link, small, sizeof small);
    show_fact("its link has its inode", length == (ssize_t)strlen(expected) && !memcmp(small, expected, length));
    return 0;
}
