/* /proc/PID/cmdline of arguments of many shapes: none, empty, long, with holes in the memory that holds them. */
#include "check.h"

static char text[1 << 18];

static void exec_with(const char *what, char **args)
{
    char *env[] = { "STEP=child", NULL };
    pid_t child = split();
    if (child == 0) {
        printf("%s\n", what);
        fflush(stdout);
        execve("/proc/self/exe", args, env);
        show("execve", -1);
        _exit(1);
    }
    reap("  ended", child);
}

static void show_long(const char *what, ssize_t length)
{
    if (length <= 200) {
        show_bytes(what, text, length);
        return;
    }
    unsigned long sum = 0;
    for (ssize_t i = 0; i < length; i++)
        sum = sum * 31 + (unsigned char)text[i];
    printf("%s: %zd bytes, sum %lu\n", what, length, sum);
}

static void child(int argc, char **argv)
{
    printf("  argc %d\n", argc);
    show_long("  cmdline", read_file("/proc/self/cmdline", text, sizeof text));
    if (argc < 4 || strcmp(argv[1], "holes"))
        return;
    /* The second page of the arguments may be neither read nor written any more. */
    char *start = argv[0], *end = argv[argc - 1] + strlen(argv[argc - 1]) + 1;
    char *second = (char *)(((uintptr_t)start + PAGE) & ~(PAGE - 1));
    long in_first = second - start, total = end - start;
    show_fact("  arguments reach a third page", total > in_first + (long)PAGE);
    int fd = open("/proc/self/cmdline", O_RDONLY);
    show_ok("  mprotect", mprotect(second, PAGE, PROT_NONE));
    show_fact("  read stops at the hole or by whole pages of it", pread(fd, text, sizeof text, 0) <= total);
    long got = pread(fd, text, in_first, 0);
    show_fact("  the first page is readable", got == in_first && !memcmp(text, "arguments", 10));
    show("  reading in the hole", pread(fd, text, 100, in_first + 8));
    got = pread(fd, text, sizeof text, in_first + PAGE);
    show_fact("  reading behind the hole", got == total - in_first - (long)PAGE);
    show_ok("  mprotect back", mprotect(second, PAGE, PROT_READ | PROT_WRITE));
    show_fact("  the whole again", pread(fd, text, sizeof text, 0) == total);
    /* Write-only for the program still counts as readable or not by the mapping, not by the page. */
    show_ok("  mprotect to execute only", mprotect(second, PAGE, PROT_EXEC));
    show("  reading what is only executable", pread(fd, text, 100, in_first + 8));
    show_ok("  mprotect to read only", mprotect(second, PAGE, PROT_READ));
    show("  reading what is only readable", pread(fd, text, 100, in_first + 8));
    /* A file or shared mapping in that place is not read, whatever it holds. */
    show_fact("  shared memory put there",
              mmap(second, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == second);
    memset(second, 's', PAGE);
    show("  reading shared memory", pread(fd, text, 100, in_first + 8));
    show_fact("  private memory put there",
              mmap(second, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == second);
    show_bytes("  untouched memory reads as zeros", text, pread(fd, text, 4, in_first + 8));
    close(fd);
}

int main(int argc, char **argv)
{
    const char *step = getenv("STEP");
    if (step) {
        child(argc, argv);
        return 0;
    }
    char *none[] = { NULL };
    exec_with("no argument at all", none);
    char *empty[] = { "", NULL };
    exec_with("one empty argument", empty);
    char *empties[] = { "", "", "", NULL };
    exec_with("three empty arguments", empties);
    char *blanks[] = { "a program", " ", "\t\n", "\xff\x80", "", "end", NULL };
    exec_with("blanks and strange bytes", blanks);
    char page[PAGE], page_less_one[PAGE];
    memset(page, 'p', sizeof page);
    page[PAGE - 1] = 0;
    memset(page_less_one, 'q', sizeof page_less_one);
    page_less_one[PAGE - 2] = 0;
    char *pages[] = { page, NULL };
    exec_with("an argument of exactly a page", pages);
    char *pages_less[] = { page_less_one, "", NULL };
    exec_with("a page in two arguments", pages_less);
    static char huge[100001];
    memset(huge, 'h', sizeof huge - 1);
    char *huges[] = { "huge", huge, huge, NULL };
    exec_with("arguments of 200 kB", huges);
    static char *many[3001];
    for (int i = 0; i < 3000; i++)
        many[i] = "x";
    exec_with("3000 arguments", many);
    static char filler[12001];
    memset(filler, 'f', sizeof filler - 1);
    char *holes[] = { "arguments", "holes", filler, "end", NULL };
    exec_with("holes", holes);
    static char too_long[140000];
    memset(too_long, 't', sizeof too_long - 1);
    char *toos[] = { "too", too_long, NULL };
    exec_with("one argument beyond 128 kB", toos);
    return 0;
}
