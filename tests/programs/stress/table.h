/* What the parts of this program share: the table that every process of it sees, and what a file below /proc/N must say of N. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    READERS = 4,
    BREEDERS = 4,
    /* How long one operation of a reader may take on a machine that does a lot else. */
    DEADLINE_S = 60,
    /* The ids and the mapping that mark a process by its number. */
    MARK_UID = 1000000,
    COMPLAINTS = 12,
};
#define MARK_AREA 0x10000000000ul

struct reader {
    _Atomic uint64_t began_ns;
    char what[256];
};

/* One page or two, shared by all but what was executed anew. */
struct table {
    _Atomic int is_over;
    _Atomic uint64_t reads, marks, errors, writes, born;
    _Atomic int complaints;
    char complaint[COMPLAINTS][256];
    struct reader readers[READERS];
};

static struct table *table;
static const char *self;

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ul + now.tv_nsec;
}

/* xorshift64: the same run for the same seed as far as scheduling allows. */
static uint64_t random_state;

static inline uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % below;
}

/* Keeps the first few things that are wrong for the process that reports. */
__attribute__((format(printf, 1, 2)))
static inline void complain(const char *format, ...)
{
    int at = atomic_fetch_add(&table->complaints, 1);
    if (at >= COMPLAINTS)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(table->complaint[at], sizeof table->complaint[at], format, arguments);
    va_end(arguments);
}
