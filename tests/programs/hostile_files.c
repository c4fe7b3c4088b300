// Files, pipes and mappings used against each other: buffers that are mappings of the very file, ranges of absurd size,
// mappings over everything, the terminal and poll with garbage. Each line is a result, the same on any Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void *volatile bad = (void *)8;

static int temporary(void) {
    int file = open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
    if (file < 0) {
        char name[] = "/tmp/hostileXXXXXX";
        file = mkstemp(name);
        unlink(name);
    }
    return file;
}

#define SHOW(name, call) do { errno = 0; long r_ = (long)(call); \
    printf("%s: %ld%s%s\n", name, r_, r_ < 0 ? " " : "", r_ < 0 ? strerrorname_np(errno) : ""); } while (0)

// read and write between a file and its own mapping.
static void own_mapping(void) {
    int file = temporary();
    ftruncate(file, 4 * 4096);
    char *map = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    memset(map, 'a', 4 * 4096);
    SHOW("read into itself", pread(file, map + 100, 3000, 50));
    SHOW("read into itself over pages", pread(file, map + 4000, 8000, 0));
    SHOW("write from itself", pwrite(file, map + 10, 8000, 3000));
    SHOW("write from beyond", pwrite(file, map + 4 * 4096 + 10, 100, 0));
    lseek(file, 0, SEEK_END);
    SHOW("append from itself", write(file, map, 4 * 4096));
    SHOW("read to beyond", pread(file, map + 8 * 4096 - 10, 100, 0));
    char *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
    SHOW("read into private", pread(file, private, 4096, 0));
    SHOW("write from private", pwrite(file, private, 4096, 0));
    struct iovec ranges[3] = {{map, 10}, {(void *)0x800000000000, 10}, {map, 10}};
    SHOW("readv", preadv(file, ranges, 3, 0));
    ranges[1].iov_base = bad;
    SHOW("readv partly", preadv(file, ranges, 3, 0));
    SHOW("sendfile to itself", sendfile(file, file, NULL, 0));
    munmap(map, 8 * 4096);
    close(file);
}

static void pipes(void) {
    int ends[2], file = temporary();
    pipe2(ends, O_NONBLOCK);
    ftruncate(file, 4096);
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    memset(map, 'x', 4096);
    SHOW("pipe write bad", write(ends[1], bad, 100));
    SHOW("pipe read empty bad", read(ends[0], bad, 100));
    SHOW("pipe write half", write(ends[1], map + 4000, 200));
    SHOW("pipe read bad", read(ends[0], bad, 10));
    SHOW("pipe read good", read(ends[0], map, 4096));
    static char block[70000];
    SHOW("pipe fill", write(ends[1], block, sizeof block));
    SHOW("pipe full", write(ends[1], block, 10));
    SHOW("pipe full bad", write(ends[1], bad, 10));
    SHOW("pipe read over hole", read(ends[0], map + 4000, 9000));
    SHOW("pipe shrink", fcntl(ends[1], F_SETPIPE_SZ, 4096));
    SHOW("pipe odd size", fcntl(ends[1], F_SETPIPE_SZ, -1));
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    SHOW("pipe alone", write(ends[1], bad, 10));
    close(ends[1]);
    close(file);
}

// Every loop over a range must not go over what is not there.
static void absurd_sizes(void) {
    int file = temporary();
    SHOW("huge truncate", ftruncate(file, 1ll << 60));
    SHOW("seek data", lseek(file, 0, SEEK_DATA));
    SHOW("seek hole", lseek(file, 0, SEEK_HOLE));
    pwrite(file, "x", 1, 1ll << 50);
    SHOW("seek far data", lseek(file, 0, SEEK_DATA) == 1ll << 50);
    SHOW("seek far hole", lseek(file, 1ll << 50, SEEK_HOLE) == (1ll << 50) + 4096);
    SHOW("punch all", fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1ll << 59));
    SHOW("seek no data", lseek(file, 0, SEEK_DATA));
    SHOW("punch past the end", fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (1ll << 60) - 100, 5000));
    pwrite(file, "x", 1, 4096);
    ftruncate(file, 4097);
    SHOW("punch behind the end", fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4200, 50));
    SHOW("huge shrink", ftruncate(file, 1ll << 40));
    SHOW("negative truncate", ftruncate(file, -1));
    close(file);
    uint64_t len = 1ull << 45;
    char *map = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    SHOW("huge map", map != MAP_FAILED);
    SHOW("huge protect", mprotect(map, len, PROT_READ));
    SHOW("huge advice", madvise(map, len, MADV_DONTNEED));
    char *moved = mremap(map, len, len - 4096, MREMAP_MAYMOVE);
    SHOW("huge remap", moved == map);
    char *place = mmap(NULL, 1ull << 44, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    SHOW("huge move", mremap(map, 1ull << 44, 1ull << 44, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
    SHOW("huge sync", msync(place, 1ull << 44, MS_SYNC));
    pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
    SHOW("huge unmap", munmap(place, 1ull << 44));
    SHOW("munmap all", munmap(map, len));
    map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    place = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *map = 1;
    SHOW("remap of all", mremap(map, 1ull << 52, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, place));
    SHOW("remap of wrapping", mremap(map, -8192ull, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, place));
    SHOW("remap of kernel", mremap((void *)0xffff888000000000, 4096, 8192, MREMAP_MAYMOVE));
    place = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    SHOW("remap of nothing onto itself", mremap(place, 0, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, place));
}

static void child_shows(const char *name, void (*run)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        run();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) printf("%s: killed by %d\n", name, WTERMSIG(status));
}

static void unmap_stack(void) {
    char here;
    munmap((void *)((uint64_t)&here & ~0xfffffull), 4 << 20);
    here = 1;
}
static void unmap_everything(void) { munmap((void *)0x10000, 0x7ffffffff000 - 0x10000); }
static void protect_everything(void) {
    for (uint64_t at = 0x10000; at < 1ull << 47; at += 1ull << 36) mprotect((void *)at, 1ull << 36, PROT_NONE);
    char here;
    mprotect((void *)((uint64_t)&here & ~4095ull), 4096, PROT_NONE);
    here = 1;
}
static void map_over_code(void) {
    uint64_t here = (uint64_t)map_over_code & ~4095ull;
    mmap((void *)(here - 65536), 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
static void grow_stack_into_map(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_STACK, &limit);
    char here;
    uint64_t below = ((uint64_t)&here & ~4095ull) - (1 << 20);
    mmap((void *)below, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    for (volatile char *at = &here;; at -= 2048) *at = 1;
}
static void random_maps(void) {
    uint64_t state = 7777, base = 0x200000000000;
    int file = temporary();
    ftruncate(file, 64 * 4096);
    for (int i = 0; i < 20000; i++) {
        state ^= state << 13; state ^= state >> 7; state ^= state << 17;
        void *at = (void *)(base + state % 128 * 4096);
        uint64_t len = (1 + (state >> 8) % 40) * 4096;
        int prot = (state >> 16) % 8;
        switch ((state >> 20) % 8) {
        case 0: mmap(at, len, prot, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); break;
        case 1: mmap(at, len, prot, MAP_FIXED | MAP_SHARED | MAP_ANONYMOUS, -1, 0); break;
        case 2: mmap(at, len, prot, MAP_FIXED | (state >> 30 & 1 ? MAP_SHARED : MAP_PRIVATE), file, state % 64 * 4096); break;
        case 3: munmap(at, len); break;
        case 4: mprotect(at, len, prot); break;
        case 5: mremap(at, len, (1 + (state >> 40) % 40) * 4096, (state >> 50) % 2 ? MREMAP_MAYMOVE : MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(base + (state >> 52) % 128 * 4096)); break;
        case 6: madvise(at, len, (int[]){MADV_DONTNEED, MADV_WILLNEED, MADV_FREE, 22, 23}[(state >> 24) % 5]); break;
        default: {
            // Through the kernel, so that nothing faults here.
            char byte;
            pread(file, at, len, 0);
            pwrite(file, at, 100, state % 200000);
            (void)byte;
        }
        }
        if (i % 500 == 0) {
            pid_t child = fork();
            if (child == 0) { pread(file, (void *)base, 128 * 4096, 0); _exit(0); }
            waitpid(child, NULL, 0);
            ftruncate(file, state % (64 * 4096));
        }
    }
    printf("random maps: done\n");
}

// Directories deeper than any kernel stack: made, left, removed from below.
static void deep_directories(void) {
    char top[] = "/tmp/hostileXXXXXX";
    mkdtemp(top);
    chdir(top);
    int depth = 0;
    while (depth < 5000 && mkdir("d", 0700) == 0 && chdir("d") == 0) depth++;
    SHOW("deep directories", depth);
    char name[4096];
    SHOW("deep getcwd", syscall(SYS_getcwd, name, sizeof name));
    int inside = open(".", O_RDONLY);
    chdir("/");
    close(inside);
    chdir(top);
    for (int i = 0; i < depth; i++) chdir("d");
    for (int i = 0; i < depth; i++) { chdir(".."); rmdir("d"); }
    chdir("/");
    SHOW("deep removal", rmdir(top));
}

static void symlink_loops(void) {
    char top[] = "/tmp/hostileXXXXXX";
    mkdtemp(top);
    chdir(top);
    symlink("b", "a");
    symlink("a", "b");
    SHOW("symlink loop", open("a", O_RDONLY));
    char from[32], to[32];
    for (int i = 0; i < 100; i++) {
        sprintf(from, "%d", i);
        sprintf(to, "%d", i + 1);
        symlink(to, from);
    }
    close(open("100", O_CREAT | O_RDWR, 0600));
    SHOW("long chain", open("0", O_RDONLY));
    SHOW("short chain", close(open("65", O_RDONLY)));
    unlink("a"); unlink("b");
    for (int i = 0; i <= 100; i++) { sprintf(from, "%d", i); unlink(from); }
    chdir("/");
    SHOW("links removal", rmdir(top));
}

static void polls(void) {
    int ends[2];
    pipe(ends);
    struct pollfd many[200];
    volatile nfds_t too_many = 100000000;
    for (int i = 0; i < 200; i++) many[i] = (struct pollfd){ends[i % 2 ? 0 : 1], -1, -1};
    SHOW("poll many", poll(many, 200, 0));
    SHOW("poll bad", poll(bad, 5, 0));
    SHOW("poll too many", poll(many, too_many, 0));
    for (int i = 0; i < 200; i++) many[i].fd = ends[0];
    SHOW("poll same", poll(many, 200, 10));
    many[0].fd = 12345;
    SHOW("poll no file", poll(many, 1, 0));
    SHOW("poll no file events", many[0].revents);
    fd_set set;
    memset(&set, 0xff, sizeof set);
    struct timeval none = {0, 0};
    SHOW("select bad files", select(1024, &set, NULL, NULL, &none));
    SHOW("select negative", select(-1, &set, NULL, NULL, &none));
    SHOW("select bad set", select(10, bad, NULL, NULL, &none));
    struct timeval odd = {-1, 0};
    SHOW("select bad time", select(0, NULL, NULL, NULL, &odd));
    SHOW("ppoll bad mask", syscall(SYS_ppoll, many, 1, &(struct timespec){0, 0}, bad, 8));
    SHOW("ppoll mask size", syscall(SYS_ppoll, many, 1, &(struct timespec){0, 0}, &set, 9));
}

// Requests of terminals on everything that is none, and on whatever terminal there is.
static void ioctls(void) {
    int ends[2];
    pipe(ends);
    int files[] = {ends[0], ends[1], open("/dev/null", O_RDWR), open("/", O_RDONLY), temporary()};
    int refused = 0;
    uint64_t arguments[] = {0, 8, 0x7ffffffff000, 0x800000000000, 0xffffffff80200000};
    int tty = open("/dev/tty", O_RDWR | O_NONBLOCK);
    int console = getpid() == 1 || getppid() == 1 ? open("/dev/console", O_RDWR | O_NONBLOCK | O_NOCTTY) : -1;
    for (unsigned request = 0x5400; request < 0x5480; request++)
        for (int i = 0; i < 5; i++) {
            for (int j = 0; j < 5; j++)
                if (request != FIONBIO && request != FIOCLEX && request != FIONCLEX && request != FIOASYNC &&
                    ioctl(files[j], request, arguments[i]) < 0) refused++;
            if (console >= 0) ioctl(console, request, arguments[i]);
        }
    struct termios odd;
    memset(&odd, 0xff, sizeof odd);
    if (console >= 0) {
        struct termios old;
        tcgetattr(console, &old);
        for (int i = 0; i < 100; i++) {
            memset(&odd, i * 37, sizeof odd);
            tcsetattr(console, TCSANOW, &odd);
            char buffer[100];
            read(console, buffer, sizeof buffer);
            read(console, bad, 100);
            write(console, bad, 100);
        }
        tcsetattr(console, TCSANOW, &old);
    }
    (void)tty;
    printf("ioctls: %s\n", refused > 3000 ? "refused" : "taken");
}

int main(void) {
    child_shows("own mapping", own_mapping);
    child_shows("pipes", pipes);
    child_shows("absurd sizes", absurd_sizes);
    child_shows("unmap stack", unmap_stack);
    child_shows("unmap everything", unmap_everything);
    child_shows("protect everything", protect_everything);
    child_shows("map over code", map_over_code);
    child_shows("grow stack into map", grow_stack_into_map);
    child_shows("random maps", random_maps);
    child_shows("deep directories", deep_directories);
    child_shows("symlink loops", symlink_loops);
    child_shows("polls", polls);
    child_shows("ioctls", ioctls);
    return 0;
}
