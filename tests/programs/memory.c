/* mmap, mprotect, munmap, brk and copy on write, and what maps says of them (addresses relative to a reserved range). */
#include "check.h"
#include <setjmp.h>
#include <sys/uio.h>

static char *range;
static const unsigned long RANGE = 64 * PAGE;
static char text[1 << 16];

/* The lines of maps within the range, in pages from its start. */
static void show_range(const char *what)
{
    printf("%s\n", what);
    read_file("/proc/self/maps", text, sizeof text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long low, high;
        char *rest;
        low = strtoul(line, &rest, 16);
        high = strtoul(rest + 1, &rest, 16);
        if (low >= (unsigned long)range && high <= (unsigned long)range + RANGE)
            printf("  %lu-%lu%s\n", (low - (unsigned long)range) / PAGE, (high - (unsigned long)range) / PAGE, rest);
    }
}

static sigjmp_buf away;
static volatile int expected, fault_code;
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (!expected) {
        printf("an unexpected fault, code %d\n", info->si_code);
        _exit(1);
    }
    fault_code = info->si_code;
    siglongjmp(away, number);
}

static __attribute__((noinline)) void touch(const char *what, volatile char *address, int write)
{
    expected = 1;
    int number = sigsetjmp(away, 1);
    if (number == 0) {
        if (write)
            *address = 1;
        else
            (void)*address;
        printf("%s: fine\n", what);
    } else {
        printf("%s: SIG%s code %d\n", what, sigabbrev_np(number), fault_code);
    }
    expected = 0;
}

static void *map_at(unsigned long page, unsigned long pages, int protection)
{
    return mmap(range + page * PAGE, pages * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static int grow(int depth)
{
    volatile char frame[16384];
    frame[0] = depth;
    return depth ? grow(depth - 1) + frame[0] : frame[0];
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    range = mmap(NULL, RANGE + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    range += PAGE;
    munmap(range - PAGE, PAGE);
    munmap(range + RANGE, PAGE);
    show_range("reserved");
    touch("read of reserved", range, 0);

    map_at(4, 8, PROT_READ | PROT_WRITE);
    show_range("eight pages of it readable and writable");
    touch("write to the last", range + 11 * PAGE, 1);
    touch("read behind", range + 12 * PAGE, 0);
    show_ok("mprotect of two in the middle", mprotect(range + 6 * PAGE, 2 * PAGE, PROT_READ));
    show_range("split");
    touch("write to one of the two", range + 6 * PAGE, 1);
    touch("read from it", range + 6 * PAGE, 0);
    show_ok("mprotect back", mprotect(range + 6 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE));
    show_range("merged again");
    show_ok("munmap of one", munmap(range + 5 * PAGE, PAGE));
    show_range("a hole");
    touch("read in the hole", range + 5 * PAGE, 0);
    show("mprotect across the hole", mprotect(range + 4 * PAGE, 4 * PAGE, PROT_READ));
    show_range("the part before the hole has changed");
    show_ok("munmap across everything", munmap(range + 4 * PAGE, 8 * PAGE));
    show_ok("munmap of what is not mapped", munmap(range + 4 * PAGE, 8 * PAGE));
    show_range("gone");

    show("munmap of nothing", munmap(range, 0));
    show("munmap not at a page", munmap(range + 1, PAGE));
    show("mprotect not at a page", mprotect(range + 1, PAGE, PROT_READ));
    show("mprotect of what is not mapped", mprotect(range + 4 * PAGE, PAGE, PROT_READ));
    show_fact("mmap of nothing is EINVAL", mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    show_fact("mmap without a kind is EINVAL", mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    show_fact("mmap of a bad file is EBADF", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0) == MAP_FAILED && errno == EBADF);
    show_fact("mmap beyond all addresses is ENOMEM",
              mmap(NULL, 1ul << 60, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
    show_fact("MAP_FIXED not at a page is EINVAL",
              mmap(range + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
    show_fact("MAP_FIXED_NOREPLACE over something is EEXIST",
              mmap(range, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
    char *hinted = mmap(range + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    show_fact("a hint that is free is taken", hinted == range + 4 * PAGE);
    munmap(hinted, PAGE);

    /* Copy on write after fork. */
    char *private = map_at(20, 2, PROT_READ | PROT_WRITE);
    char *shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    strcpy(private, "parent");
    strcpy(shared, "parent");
    pid_t child = split();
    if (child == 0) {
        strcpy(private, "child");
        strcpy(shared, "child");
        printf("the child sees %s, %s\n", private, shared);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    printf("the parent sees %s, %s\n", private, shared);
    child = split();
    if (child == 0) {
        usleep(20000);
        printf("the second child sees %s\n", private);
        _exit(0);
    }
    strcpy(private, "after fork");
    waitpid(child, NULL, 0);
    printf("the parent sees %s\n", private);
    /* The kernel itself writes to a page that is shared for copy on write. */
    child = split();
    if (child == 0) {
        int zero = open("/proc/self/comm", O_RDONLY);
        show_fact("the kernel copies out to it", read(zero, private, 6) > 0 && memcmp(private, "memory", 6) == 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    printf("the parent still sees %s\n", private);

    /* The kernel meets bad addresses. */
    int pipes[2];
    if (pipe(pipes) < 0)
        return 1;
    if (write(pipes[1], "abcdef", 6) != 6)
        return 1;
    map_at(30, 1, PROT_READ | PROT_WRITE);
    map_at(31, 1, PROT_NONE);
    show("read into a bad address", read(pipes[0], range + 31 * PAGE, 3));
    show("read that runs into one", read(pipes[0], range + 31 * PAGE - 2, 6));
    show("write from a bad address", write(pipes[1], range + 31 * PAGE, 3));
    show("a path at a bad address", open(range + 31 * PAGE, O_RDONLY));
    memcpy(range + 31 * PAGE - 5, "/proc", 5);
    show("a path that runs into one", open(range + 31 * PAGE - 5, O_RDONLY));
    show("the kernel as an address", syscall(SYS_write, pipes[1], 0xffffffff80200000, 8));
    show("an address that is none", syscall(SYS_write, pipes[1], 0x8000000000000000, 8));
    close(pipes[0]);
    close(pipes[1]);

    /* The break. */
    char *base = sbrk(0);
    show_fact("sbrk grows", sbrk(3 * PAGE) == base);
    memset(base, 1, 3 * PAGE);
    show_fact("sbrk shrinks", sbrk(-2 * (long)PAGE) == base + 3 * PAGE);
    touch("what was given back", base + 2 * PAGE + ((-(uintptr_t)base) & (PAGE - 1)), 0);
    show_fact("grown memory is zero again", sbrk(2 * PAGE) != (void *)-1 && base[2 * PAGE] == 0 && base[100] == 1);
    show_fact("the break knows its lower end", (char *)syscall(SYS_brk, 16) == sbrk(0));

    /* A program's own code and a file. */
    touch("a write to code", (char *)(uintptr_t)show_range, 1);
    int fd = open("/proc/self/exe", O_RDONLY);
    char *file = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    show_fact("a private map of the program", file != MAP_FAILED && memcmp(file, "\177ELF", 4) == 0);
    file[0] = 'x';
    char head[4];
    show_fact("a write to it stays there", pread(fd, head, 4, 0) == 4 && memcmp(head, "\177ELF", 4) == 0 && file[0] == 'x');
    munmap(file, PAGE);
    off_t size = lseek(fd, 0, SEEK_END);
    file = mmap(NULL, ((size + PAGE - 1) & ~(PAGE - 1)) + PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    touch("the end of a file's last page", file + ((size - 1) | (PAGE - 1)), 0);
    show_fact("it is zero", size % PAGE == 0 || file[(size - 1) | (PAGE - 1)] == 0);
    touch("the page behind it", file + ((size + PAGE - 1) & ~(PAGE - 1)), 0);
    close(fd);

    show_fact("the stack grows by 1.6 MB", grow(100) == 5050);
    show_ok("madvise", madvise(private, PAGE, MADV_DONTNEED));
    show("forgotten memory is zero", private[0]);
    char *moved = mremap(private, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    show_fact("mremap", moved != MAP_FAILED);
    return 0;
}
