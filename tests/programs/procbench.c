/* What reading /proc costs: open, read to the end and close of each file of /proc/self, and readlink of the links.
 *
 * Prints a line for each: NAME MEDIAN MIN MAX BATCHES BYTES, times in nanoseconds for one open+read+close, each sample the mean of a batch
 * of at least two milliseconds. The same binary is to be run on two kernels. `getppid` is the cost of entering the kernel alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BATCHES = 21 };

static char buffer[1 << 16];

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static long enter_only(const char *path)
{
    (void)path;
    return syscall(SYS_getppid);
}

static long read_whole(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    long total = 0, got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        total += got;
    if (got < 0)
        total = -errno;
    close(fd);
    return total;
}

static long read_link(const char *path)
{
    long length = readlink(path, buffer, sizeof buffer);
    return length < 0 ? -errno : length;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, long (*once)(const char *), const char *path)
{
    double samples[BATCHES];
    long bytes = once(path), rounds = 1;
    if (bytes < 0) {
        printf("%s error %s\n", name, strerror(-bytes));
        return;
    }
    for (int sample = 0; sample < BATCHES;) {
        double start = now_ns();
        for (long i = 0; i < rounds; i++)
            once(path);
        double spent = now_ns() - start;
        if (sample == 0 && spent < 2e6) {
            rounds *= 2;
            continue;
        }
        samples[sample++] = spent / rounds;
    }
    qsort(samples, BATCHES, sizeof *samples, ascending);
    printf("%s %.0f %.0f %.0f %d %ld\n", name, samples[BATCHES / 2], samples[0], samples[BATCHES - 1], BATCHES, bytes);
    fflush(stdout);
}

int main(void)
{
    static const char *const files[] = { "stat", "status", "statm", "cmdline", "environ", "maps", "auxv", "comm", "mounts" };
    static const char *const links[] = { "exe", "cwd", "root" };
    char path[64];
    measure("getppid", enter_only, "");
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/proc/self/%s", files[i]);
        measure(files[i], read_whole, path);
    }
    for (unsigned i = 0; i < sizeof links / sizeof *links; i++) {
        snprintf(path, sizeof path, "/proc/self/%s", links[i]);
        measure(links[i], read_link, path);
    }
    return 0;
}
