/* What many areas cost: reading maps and smaps to the end in pieces of 4 KiB, and changing one area among the others.
 *
 * mapsbench AREAS: makes so many areas of a page each that do not merge, every 16th one touched, then prints a line for each
 * operation: NAME NANOSECONDS, per area for the reads (the whole file divided by the number of areas), per call for the rest.
 * The same binary is to be run on two kernels.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, PIECE = 4096, CHANGES = 2000, LEAST_READS = 3 };

static char buffer[PIECE];

static double now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void read_whole(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail(path);
    long got;
    while ((got = read(fd, buffer, sizeof buffer)) > 0)
        ;
    if (got < 0)
        fail(path);
    close(fd);
}

/* The best of some whole reads. */
static void measure_read(const char *name, const char *path, long areas)
{
    double best = 1e18;
    for (int turn = 0; turn < LEAST_READS; turn++) {
        double start = now_ns();
        read_whole(path);
        double spent = now_ns() - start;
        best = spent < best ? spent : best;
    }
    printf("%s %.0f\n", name, best / areas);
}

int main(int argc, char **argv)
{
    long areas = argc > 1 ? atol(argv[1]) : 0;
    if (areas < 16)
        return 2;
    /* Every second page of a range without access gets rights of its own: two areas for each pair of pages. */
    char *base = mmap(NULL, areas * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        fail("mmap");
    double start = now_ns();
    for (long at = 0; at < areas; at += 2)
        if (mprotect(base + at * PAGE, PAGE, PROT_READ | PROT_WRITE))
            fail("mprotect");
    printf("split %.0f\n", (now_ns() - start) / (areas / 2));
    for (long at = 0; at < areas; at += 16)
        base[at * PAGE] = 1;
    measure_read("maps", "/proc/self/maps", areas);
    measure_read("smaps", "/proc/self/smaps", areas);
    measure_read("smaps_rollup", "/proc/self/smaps_rollup", areas);
    start = now_ns();
    for (long turn = 0; turn < CHANGES; turn++) {
        char *page = base + (turn * 7919 % (areas / 2) * 2) * PAGE;
        if (munmap(page, PAGE))
            fail("munmap");
        if (mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
            fail("mmap again");
    }
    printf("munmap+mmap %.0f\n", (now_ns() - start) / CHANGES);
    start = now_ns();
    for (long turn = 0; turn < CHANGES; turn++) {
        char *page = base + (turn * 7919 % (areas / 2) * 2) * PAGE;
        if (mprotect(page, PAGE, PROT_READ) || mprotect(page, PAGE, PROT_READ | PROT_WRITE))
            fail("mprotect one");
    }
    printf("mprotect %.0f\n", (now_ns() - start) / CHANGES / 2);
    start = now_ns();
    for (long turn = 0; turn < CHANGES; turn++) {
        void *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED || munmap(page, PAGE))
            fail("mmap anywhere");
    }
    printf("mmap-anywhere+munmap %.0f\n", (now_ns() - start) / CHANGES);
    return 0;
}
