// Calls every system call with arguments that no sane program has, from children that may die of it.
// Passes when the kernel is still there, every child can be killed, and memory is back. Guest only: as root it would
// harm a host. Deterministic: the seed is fixed, or the first argument.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NUMBERS 513
#define CALLS_PER_NUMBER 60
#define MIXED_CHILDREN 150
#define CALLS_PER_MIX 400
#define DEADLINE_MS 3000

static uint64_t state;
static char *page, *read_only, *no_access;
static int fds[8];

static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static const uint64_t edges[] = {
    0, 1, 2, 3, 7, 8, 16, 63, 64, 255, 4095, 4096, 4097, 65536, 1u << 20, 1u << 30, 0x7fffffff, 0x80000000, 0xffffffff,
    0x100000000, 0x7fffffffffffffff, 0x8000000000000000, -1ull, -2ull, -100ull, -4095ull, -4096ull, 0x7fffffffefff,
    0x7ffffffff000, 0x7fffffffffff, 0x800000000000, 0xffff7fffffffffff, 0xffff800000000000, 0xffff888000000000,
    0xffffffff80000000, 0xffffffff80200000, 0xfffffffffffff000, 0xfee00000, 0xfec00000, 0x1000, 0x10000, 0x400000,
};

static uint64_t argument(void) {
    switch (next() % 12) {
    case 0: case 1: return edges[next() % (sizeof edges / sizeof *edges)];
    case 2: return next() >> (next() % 64);
    case 3: return next() % 32;
    case 4: return 1ull << (next() % 64);
    case 5: case 6: return fds[next() % 8];
    case 7: return (uint64_t)page + next() % 4096;
    case 8: return (uint64_t)page + 4096 - next() % 24;
    case 9: return (uint64_t)read_only + next() % 64;
    case 10: return (uint64_t)no_access + next() % 4096;
    default: return (uint64_t)page + 8 * (next() % 64);
    }
}

// Fills the writable page with things that calls look for: paths, ranges, times, small numbers.
static void fill(void) {
    uint64_t *words = (uint64_t *)page;
    for (int i = 0; i < 512; i++) words[i] = argument();
    for (int i = 0; i < 8; i++) {
        char *name = page + 2048 + 128 * i;
        static const char *names[] = {"a", "b", "a/b", ".", "..", "a/../b", "", "/proc/self"};
        strcpy(name, names[next() % 8]);
        struct iovec *range = (struct iovec *)(page + 1024 + 64 * i);
        range[0] = (struct iovec){(void *)argument(), next() % 5000};
        range[1] = (struct iovec){page, argument()};
    }
    if (next() % 4 == 0) memset(page + 3072, 'x', 1000);
}

static void on_signal(int number) { (void)number; }

static int is_left_out(long number) {
    // These end the child, or the machine as they should.
    return number == SYS_exit || number == SYS_exit_group || number == SYS_reboot;
}

static long self;

static void one_call(long number) {
    uint64_t a = argument(), b = argument(), c = argument(), d = argument(), e = argument(), f = argument();
    if (number == SYS_pause || number == SYS_rt_sigsuspend) {
        struct itimerval soon = {{0, 0}, {0, 5000}};
        setitimer(ITIMER_REAL, &soon, NULL);
    }
    syscall(number, a, b, c, d, e, f);
    // A child that it made is not to go on like its parent.
    if (syscall(SYS_gettid) != self) syscall(SYS_exit, 0);
}

static void prepare(uint64_t seed) {
    state = seed * 0x9e3779b97f4a7c15ull + 1;
    self = syscall(SYS_gettid);
    page = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    read_only = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    no_access = page + 4096;
    mprotect(no_access, 8192, PROT_NONE);
    int file = open("file", O_RDWR | O_CREAT, 0600);
    ftruncate(file, 10000);
    for (int i = 0; i < 3; i++) dup2(file, i);
    int ends[2];
    pipe2(ends, O_NONBLOCK);
    fds[0] = file; fds[1] = ends[0]; fds[2] = ends[1]; fds[3] = open(".", O_RDONLY | O_DIRECTORY);
    fds[4] = AT_FDCWD; fds[5] = open("file", O_PATH); fds[6] = open("/dev/null", O_RDWR); fds[7] = -1;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {{0, 20000}, {0, 20000}};
    setitimer(ITIMER_REAL, &often, NULL);
    fill();
}

static void child_of_number(long number, uint64_t seed) {
    prepare(seed);
    for (int i = 0; i < CALLS_PER_NUMBER; i++) {
        if (i % 8 == 0) fill();
        one_call(number);
    }
    _exit(0);
}

static void child_of_mix(uint64_t seed) {
    prepare(seed);
    for (int i = 0; i < CALLS_PER_MIX; i++) {
        if (i % 32 == 0) fill();
        long number = next() % 470;
        // Blocked signals or a closed timer would only make it wait for its killer.
        if (is_left_out(number) || number == SYS_pause || number == SYS_rt_sigsuspend) continue;
        one_call(number);
    }
    _exit(0);
}

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Waits until `child` is gone, with SIGKILL after a while. Adopted orphans are reaped as well.
static int finish(pid_t child, const char *what, long number) {
    long killed = 0, start = now_ms();
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == child) return 0;
        if (pid > 0) continue;
        if (pid < 0 && errno == ECHILD) return 0;
        long waited = now_ms() - start;
        if (waited > 300 && !killed) {
            kill(child, SIGKILL);
            killed = 1;
        }
        if (waited > DEADLINE_MS) {
            printf("%s %ld: SIGKILL does not end it\n", what, number);
            return 1;
        }
        usleep(waited < 20 ? 200 : 5000);
    }
}

static int remove_entry(const char *path, const struct stat *s, int type, struct FTW *walk) {
    (void)s; (void)type;
    if (walk->level > 0) remove(path);
    return 0;
}

static void clean(void) {
    // What lives yet was left behind by clone.
    if (getpid() == 1) kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0) {}
    nftw("/hostile", remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static unsigned long free_kib(void) {
    struct sysinfo info;
    sysinfo(&info);
    return info.freeram * info.mem_unit / 1024;
}

static int run_all(uint64_t seed) {
    int bad = 0;
    const char *only = getenv("ONLY"), *verbose = getenv("VERBOSE");
    for (long number = 0; number < NUMBERS; number++) {
        if (is_left_out(number) || (only && atol(only) != number)) continue;
        if (verbose) fprintf(stderr, "call %ld\n", number);
        pid_t child = fork();
        if (child == 0) child_of_number(number, seed * 1000 + number);
        bad += finish(child, "call", number);
    }
    if (only) return bad;
    clean();
    for (long i = 0; i < MIXED_CHILDREN; i++) {
        if (verbose) fprintf(stderr, "mix %ld\n", i);
        pid_t child = fork();
        if (child == 0) child_of_mix(seed * 1000000 + i);
        bad += finish(child, "mix", i);
    }
    clean();
    return bad;
}

int main(int count, char **arguments) {
    uint64_t seed = count > 1 ? strtoull(arguments[1], NULL, 0) : 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (mkdir("/hostile", 0777) != 0 || chdir("/hostile") != 0) return 1;
    int bad = run_all(seed);
    printf("first round: %s\n", bad ? "BAD" : "survived");
    unsigned long before = free_kib();
    bad += run_all(seed + 1);
    printf("second round: %s\n", bad ? "BAD" : "survived");
    unsigned long after = free_kib();
    long lost = (long)before - (long)after;
    if (lost > 1024) {
        printf("memory: %ld KiB lost\n", lost);
        bad++;
    } else {
        printf("memory: back\n");
    }
    return bad != 0;
}
