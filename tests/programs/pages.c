/* The pages of a process: clear_refs and what smaps and status then show, pagemap, map_files, mem. */
#include "check.h"
#include <dirent.h>

#define PRESENT (1ull << 63)
#define OF_FILE (1ull << 61)
#define EXCLUSIVE (1ull << 56)
#define FRAME ((1ull << 55) - 1)

static char text[1 << 20];

/* A number of kilobytes that smaps has for the area that starts at `start`; -1 without one. */
static long smaps_kb(const void *start, const char *key)
{
    char head[32];
    snprintf(head, sizeof head, "%lx-", (unsigned long)start);
    if (read_file("/proc/self/smaps", text, sizeof text) < 0)
        return -1;
    char *area = !strncmp(text, head, strlen(head)) ? text : NULL;
    for (char *at = text; !area && (at = strchr(at, '\n')); at++)
        if (!strncmp(at + 1, head, strlen(head)))
            area = at + 1;
    snprintf(head, sizeof head, "\n%s:", key);
    char *line = area ? strstr(area, head) : NULL;
    return line ? strtol(line + strlen(head), NULL, 10) : -1;
}

static void put(const char *number)
{
    char what[32];
    int fd = open("/proc/self/clear_refs", O_WRONLY);
    snprintf(what, sizeof what, "clear_refs %.20s", number);
    show(what, write(fd, number, strlen(number)));
    close(fd);
}

static void *area(int protection, int flags, int fd, unsigned long pages)
{
    /* With a hole on both sides, so that it does not merge. */
    char *room = mmap(NULL, (pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(room, (pages + 2) * PAGE);
    return mmap(room + PAGE, pages * PAGE, protection, flags | MAP_FIXED, fd, 0);
}

static void referenced(void)
{
    char *anonymous = area(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 4);
    int fd = open("file", O_RDWR | O_CREAT, 0600);
    show("a file of 4 pages", ftruncate(fd, 4 * PAGE));
    char *mapped = area(PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4);
    memset(anonymous, 1, 4 * PAGE);
    memset(mapped, 1, 4 * PAGE);
    show("anonymous", smaps_kb(anonymous, "Referenced"));
    show("mapped", smaps_kb(mapped, "Referenced"));
    static const char *const NUMBERS[] = { "2", "3", "1\n", " 1 " };
    for (int i = 0; i < 4; i++) {
        memset(anonymous, 1, 4 * PAGE);
        memset(mapped, 1, 4 * PAGE);
        put(NUMBERS[i]);
        /* The processor may still remember the marks: Linux does not flush. */
        mprotect(anonymous, 4 * PAGE, PROT_NONE);
        mprotect(anonymous, 4 * PAGE, PROT_READ | PROT_WRITE);
        mprotect(mapped, 4 * PAGE, PROT_NONE);
        mprotect(mapped, 4 * PAGE, PROT_READ | PROT_WRITE);
        show("  anonymous", smaps_kb(anonymous, "Referenced"));
        show("  mapped", smaps_kb(mapped, "Referenced"));
        anonymous[PAGE] = 2;
        show_fact("  reading does it, too", mapped[0] == 1);
        show("  anonymous, one touched", smaps_kb(anonymous, "Referenced"));
        show("  mapped, one touched", smaps_kb(mapped, "Referenced"));
        show("  still resident", smaps_kb(anonymous, "Rss"));
    }
    mprotect(anonymous, 4 * PAGE, PROT_NONE);
    show("closed to access, resident", smaps_kb(anonymous, "Rss"));
    static const char *const BAD[] = { "0", "6", "4", "x", "", "0x1", "99999999999", "1           2" };
    for (int i = 0; i < 8; i++)
        put(BAD[i]);
    show("read", open("/proc/self/clear_refs", O_RDONLY) < 0 ? -1 : 0);
    char *large = area(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 2048);
    memset(large, 1, 2048 * PAGE);
    unsigned long before = status_kb(getpid(), "VmHWM");
    munmap(large, 2048 * PAGE);
    show_fact("the peak stays", status_kb(getpid(), "VmHWM") + 1024 >= before);
    put("5");
    show_fact("until it is reset", status_kb(getpid(), "VmHWM") + 4096 < before);
    munmap(anonymous, 4 * PAGE);
    munmap(mapped, 4 * PAGE);
    close(fd);
}

static void show_entry(const char *what, int fd, const void *address)
{
    uint64_t entry = 0;
    if (pread(fd, &entry, 8, (uintptr_t)address / PAGE * 8) != 8) {
        printf("%s: %s\n", what, error_name());
        return;
    }
    printf("%s:%s%s%s%s, other bits %#llx\n", what, entry & PRESENT ? " present" : " not present", entry & OF_FILE ? " file" : "",
           entry & EXCLUSIVE ? " exclusive" : "", entry & FRAME ? " with frame" : "",
           (unsigned long long)(entry & ~(PRESENT | OF_FILE | EXCLUSIVE | FRAME)));
}

static void pagemap(const char *who)
{
    printf("pagemap as %s\n", who);
    int fd = open("/proc/self/pagemap", O_RDONLY);
    show_ok("open", fd);
    char *anonymous = area(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 4);
    int file = open("file", O_RDWR);
    char *mapped = area(PROT_READ | PROT_WRITE, MAP_SHARED, file, 1);
    char *copied = area(PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 1);
    anonymous[0] = 1;
    /* Areas of their own: a kernel may bring in the neighbours of a page that is written. */
    char *seen = area(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1);
    char *untouched = area(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1);
    volatile char byte = seen[0];
    (void)byte;
    mapped[0] = 1;
    copied[0] = 1;
    show_entry("written", fd, anonymous);
    show_entry("only read", fd, seen);
    show_entry("untouched", fd, untouched);
    show_entry("of a file", fd, mapped);
    show_entry("a private copy", fd, copied);
    mprotect(anonymous, PAGE, PROT_NONE);
    show_entry("closed to access", fd, anonymous);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        pause();
    wait_for_state(child, "S");
    show_entry("shared with a child", fd, anonymous);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    show_entry("where nothing is mapped", fd, (void *)0x10000);
    uint64_t entries[4];
    show("four at once", pread(fd, entries, 32, (uintptr_t)anonymous / PAGE * 8));
    show("an odd count", pread(fd, entries, 7, 0));
    show("an odd place", pread(fd, entries, 8, 4));
    show("nothing", pread(fd, entries, 0, 0));
    show("beyond the end", pread(fd, entries, 8, 0x7ffffffff000ul / PAGE * 8));
    show("up to the end", pread(fd, entries, 32, 0x7ffffffff000ul / PAGE * 8 - 8));
    show("a bad address", syscall(SYS_pread64, fd, 16, 8, 0));
    show("seek", lseek(fd, 16, SEEK_SET));
    show("seek on", lseek(fd, 8, SEEK_CUR));
    show("seek from the end", lseek(fd, 0, SEEK_END));
    show("write", write(open("/proc/self/pagemap", O_RDWR), "x", 1));
    munmap(anonymous, 4 * PAGE);
    munmap(mapped, PAGE);
    munmap(copied, PAGE);
    close(file);
    close(fd);
}

static void map_files(void)
{
    int fd = open("file", O_RDONLY), both = open("file", O_RDWR);
    char *mapped = area(PROT_READ, MAP_PRIVATE, fd, 2);
    char *shared = area(PROT_READ | PROT_WRITE, MAP_SHARED, both, 1);
    char *anonymous = area(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1);
    char path[128], target[256], name[64];
    struct stat status, file;
    fstat(fd, &file);
    snprintf(name, sizeof name, "%lx-%lx", (unsigned long)mapped, (unsigned long)mapped + 2 * PAGE);
    snprintf(path, sizeof path, "/proc/self/map_files/%s", name);
    ssize_t length = readlink(path, target, sizeof target);
    show_fact("the link names the file", length > 5 && !memcmp(target + length - 5, "/file", 5));
    show_ok("lstat", lstat(path, &status));
    printf("mode %o, size %ld, links %lu\n", status.st_mode, (long)status.st_size, (unsigned long)status.st_nlink);
    show_ok("stat follows it", stat(path, &status));
    show_fact("to the file", status.st_ino == file.st_ino && status.st_dev == file.st_dev);
    show_ok("open", open(path, O_RDONLY));
    DIR *dir = opendir("/proc/self/map_files");
    struct dirent *entry;
    int found = 0, others = 0;
    unsigned long last = 0;
    while ((entry = readdir(dir))) {
        unsigned long start, end;
        if (sscanf(entry->d_name, "%lx-%lx", &start, &end) != 2)
            continue;
        others += start < last;
        last = start;
        found += !strcmp(entry->d_name, name) && entry->d_type == DT_LNK;
    }
    closedir(dir);
    show("listed", found);
    show("out of order", others);
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)shared, (unsigned long)shared + PAGE);
    show_ok("a shared mapping", lstat(path, &status));
    printf("mode %o\n", status.st_mode);
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)anonymous, (unsigned long)anonymous + PAGE);
    show_ok("anonymous memory", lstat(path, &status));
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)mapped, (unsigned long)mapped + PAGE);
    show_ok("a part", lstat(path, &status));
    snprintf(path, sizeof path, "/proc/self/map_files/0%s", name);
    show_ok("another spelling", lstat(path, &status));
    show_ok("no name", lstat("/proc/self/map_files/x", &status));
    char *zeros = area(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 1);
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)zeros, (unsigned long)zeros + PAGE);
    length = readlink(path, target, sizeof target);
    show_bytes("shared memory without a name", target, length);
    show_ok("lstat", lstat(path, &status));
    printf("mode %o\n", status.st_mode);
    snprintf(path, sizeof path, "/proc/self/map_files/%s", name);
    unlink("file");
    length = readlink(path, target, sizeof target);
    show_fact("an unlinked file is told", length > 10 && !memcmp(target + length - 10, " (deleted)", 10));
    fflush(stdout);
    if (fork() == 0) {
        show_ok("without rights", setresgid(1, 1, 1) | setresuid(1, 1, 1));
        prctl(PR_SET_DUMPABLE, 1);
        show_fact("readlink works", readlink(path, target, sizeof target) > 0);
        show_ok("open", open(path, O_RDONLY));
        show_ok("stat", stat(path, &status));
        show_ok("another's", readlink(proc_path(getppid(), path + 11), target, sizeof target));
        _exit(0);
    }
    wait(NULL);
}

static void memory(void)
{
    int fd = open("/proc/self/mem", O_RDWR);
    char bytes[16] = { 0 };
    char *page = area(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 2);
    munmap(page + PAGE, PAGE);
    show("write to what may not be written", pwrite(fd, "forced", 6, (off_t)page));
    show_bytes("it is there", page, 6);
    show("read up to the end of the area", pread(fd, bytes, 16, (off_t)page + PAGE - 4));
    show("write up to there", pwrite(fd, bytes, 16, (off_t)page + PAGE - 4));
    show("read of nothing mapped", pread(fd, bytes, 16, (off_t)page + PAGE));
    show("write to it", pwrite(fd, bytes, 16, (off_t)page + PAGE));
    show("read of no bytes there", pread(fd, bytes, 0, (off_t)page + PAGE));
    show_fact("seek", lseek(fd, (off_t)page, SEEK_SET) == (off_t)page);
    show("read", read(fd, bytes, 3));
    show("read on", read(fd, bytes + 3, 3));
    show_bytes("all of it", bytes, 6);
    show_fact("seek back", lseek(fd, -6, SEEK_CUR) == (off_t)page);
    show("write", write(fd, "w", 1));
    show("seek to the end", lseek(fd, 0, SEEK_END));
    show("a bad address", syscall(SYS_pread64, fd, 16, 4, page));
    show("a write from a bad address", syscall(SYS_pwrite64, fd, 16, 4, page));
    mprotect(page, PAGE, PROT_NONE);
    show("read of what nobody may read", pread(fd, bytes, 4, (off_t)page));
    int file = open("other", O_RDWR | O_CREAT, 0600);
    ftruncate(file, PAGE);
    char *shared = area(PROT_READ, MAP_SHARED, file, 1);
    show("read of a file's", pread(fd, bytes, 4, (off_t)shared));
    show("write to a shared file that is read only", pwrite(fd, "abcd", 4, (off_t)shared));
    char *private = area(PROT_READ, MAP_PRIVATE, file, 1);
    show("write to a private file that is read only", pwrite(fd, "abcd", 4, (off_t)private));
    show_bytes("its own copy", private, 4);
    show("the file is as it was", shared[0]);
    pid_t child = split();
    if (child == 0)
        pause();
    wait_for_state(child, "S");
    int other = open(proc_path(child, "mem"), O_RDWR), pages = open(proc_path(child, "pagemap"), O_RDONLY);
    show("another's", pread(other, bytes, 4, (off_t)private));
    kill(child, SIGKILL);
    wait_for_state(child, "Z");
    show("a zombie's", pread(other, bytes, 4, (off_t)private));
    show("its pagemap", pread(pages, bytes, 8, (off_t)private / PAGE * 8));
    show("opened now", open(proc_path(child, "mem"), O_RDWR));
    show("pagemap opened now", open(proc_path(child, "pagemap"), O_RDONLY));
    int clear = open(proc_path(child, "clear_refs"), O_WRONLY);
    show("clear_refs of it", write(clear, "1", 1));
    waitpid(child, NULL, 0);
    show("of one that is reaped", pread(other, bytes, 4, (off_t)private));
    show("written", pwrite(other, bytes, 4, (off_t)private));
    show("clear_refs of it", write(clear, "1", 1));
}

int main(void)
{
    enter_scratch();
    referenced();
    pagemap("root");
    pid_t child = split();
    if (child == 0) {
        show_ok("let others in", chmod(".", 0777) | chmod("file", 0666));
        show_ok("become somebody else", setresgid(1, 1, 1) | setresuid(1, 1, 1));
        prctl(PR_SET_DUMPABLE, 1);
        pagemap("nobody in particular");
        _exit(0);
    }
    waitpid(child, NULL, 0);
    map_files();
    memory();
    return 0;
}
