/* How files of /proc are read in pieces: read, pread, lseek, poll, write, and pointers that are no good. */
#include "state.h"
#include <poll.h>
#include <sys/uio.h>

static char whole[1 << 20];

/* A file of one record: read once it is a snapshot. */
static void one_record(const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t length = read(fd, whole, sizeof whole);
    show_fact("one read gives all", length > 0 && read(fd, text, 100) == 0);
    show("nothing asked for", read(fd, text, 0));
    show("nothing asked for at a bad address", syscall(SYS_read, fd, 16, 0));
    show("SEEK_SET", lseek(fd, 3, SEEK_SET));
    show_fact("the text from there", read(fd, text, 4) == 4 && !memcmp(text, whole + 3, 4));
    show("SEEK_CUR", lseek(fd, -2, SEEK_CUR));
    show_fact("the text from there", read(fd, text, 2) == 2 && !memcmp(text, whole + 5, 2));
    show("SEEK_END", lseek(fd, 0, SEEK_END));
    show("SEEK_DATA", lseek(fd, 0, SEEK_DATA));
    show("before the start", lseek(fd, -1, SEEK_SET));
    show("far beyond", lseek(fd, 1l << 40, SEEK_SET));
    show("read there", read(fd, text, 10));
    show("as far as there is", lseek(fd, 0x7fffffffffffffff, SEEK_SET));
    show("read there", read(fd, text, 10));
    show("pread at 2", pread(fd, text, 3, 2));
    show("pread before", pread(fd, text, 3, -1));
    show("pread far beyond", pread(fd, text, 3, 1l << 40));
    show("a bad address", syscall(SYS_pread64, fd, 16, 100, 0));
    close(fd);
}

STATE(reading_stat_in_pieces)
{
    one_record("/proc/self/stat");
}

STATE(reading_status_in_pieces)
{
    one_record("/proc/self/status");
}

STATE(reading_limits_in_pieces)
{
    one_record("/proc/self/limits");
}

STATE(reading_uid_map_in_pieces)
{
    one_record("/proc/self/uid_map");
}

STATE(reading_version_in_pieces)
{
    one_record("/proc/version");
}

STATE(reading_filesystems_in_pieces)
{
    one_record("/proc/filesystems");
}

STATE(reading_keeps_what_was_begun)
{
    int fd = open("/proc/self/status", O_RDONLY), other = open("/proc/self/stat", O_RDONLY);
    prctl(PR_SET_NAME, "first");
    show_bytes("begin", text, read(fd, text, 8));
    show_fact("begin", read(other, text, 3) == 3);
    prctl(PR_SET_NAME, "second");
    show_bytes("go on", text, read(fd, text, 4));
    show_bytes("pread at where it is", text, pread(fd, text, 4, 12));
    show_bytes("from the start", text, pread(fd, text, 12, 0));
    prctl(PR_SET_NAME, "third");
    lseek(fd, 0, SEEK_SET);
    show_bytes("lseek to the start", text, read(fd, text, 12));
    prctl(PR_SET_NAME, "fourth");
    lseek(fd, 6, SEEK_SET);
    show_bytes("lseek elsewhere", text, read(fd, text, 5));
}

STATE(reading_maps_in_pieces)
{
    char *at = region(400);
    for (int i = 0; i < 400; i += 2)
        mmap(at + i * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    int fd = open("/proc/self/maps", O_RDONLY), by_page = 1, by_line = 1, reads = 0;
    ssize_t length = 0, got, small = 0;
    while ((got = read(fd, whole + length, sizeof whole - length)) > 0) {
        length += got;
        reads++;
        by_page &= got <= (ssize_t)PAGE && (got > 3900 || reads > 4);
        by_line &= whole[length - 1] == '\n';
    }
    show_fact("a page at most, nearly full", by_page && reads > 4);
    show_fact("whole lines", by_line);
    lseek(fd, 0, SEEK_SET);
    while ((got = read(fd, text + small, 7)) > 0)
        small += got;
    show_fact("by sevens it is the same", small == length && !memcmp(text, whole, length));
    show_fact("a piece in the middle", pread(fd, text, 100, 5001) == 100 && !memcmp(text, whole + 5001, 100));
    show_fact("lseek to the middle", lseek(fd, 9000, SEEK_SET) == 9000 && read(fd, text, 50) == 50 && !memcmp(text, whole + 9000, 50));
    show_fact("lseek to the end and beyond", lseek(fd, length, SEEK_SET) == length && read(fd, text, 50) == 0);
    show("10000 bytes are not given at once", pread(fd, text, 10000, 0) < 4097);
    show("of 5000 asked for", read(open("/proc/self/maps", O_RDONLY), text, 5000) < 4097);
}

STATE(reading_into_memory_that_ends)
{
    char *at = region(2);
    mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    static const char *const FILES[] = { "stat", "status", "cmdline", "environ", "auxv", "maps", "limits", "oom_score_adj", "comm" };
    for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        int fd = open(proc_path(getpid(), FILES[i]), O_RDONLY);
        printf("%s\n", FILES[i]);
        show("  two bytes fit", syscall(SYS_read, fd, at + PAGE - 2, 100));
        show("  position", lseek(fd, 0, SEEK_CUR));
        show("  none fits", syscall(SYS_read, fd, at + PAGE, 100));
        show("  position", lseek(fd, 0, SEEK_CUR));
        show_fact("  then it goes on", read(fd, text, 100) >= 0);
        close(fd);
    }
}

STATE(reading_by_several_buffers)
{
    static const char *const FILES[] = { "stat", "status", "cmdline", "environ", "auxv", "maps", "oom_score_adj" };
    for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        char one[4] = "", two[4] = "", three[4] = "";
        struct iovec parts[3] = { { one, 3 }, { two, 0 }, { three, 3 } };
        int fd = open(proc_path(getpid(), FILES[i]), O_RDONLY);
        printf("%s\n", FILES[i]);
        show("  readv", readv(fd, parts, 3));
        show_fact("  they follow each other", pread(fd, text, 6, 0) > 0 && !memcmp(text, one, 2));
        show("  preadv", preadv(fd, parts, 3, 1));
        parts[2].iov_base = (void *)16;
        show("  the last one bad", preadv(fd, parts, 3, 0));
        close(fd);
    }
}

STATE(writing_to_files_without_a_write)
{
    static const char *const FILES[] = { "stat", "status", "statm", "cmdline", "environ", "auxv", "maps", "smaps", "limits", "io", "mounts", "mountinfo", "wchan",
                                         "oom_score", "cgroup", "personality", "sessionid" };
    for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        int fd = open(proc_path(getpid(), FILES[i]), O_RDWR);
        printf("%s: %s\n", FILES[i], fd < 0 ? error_name() : "open");
        show("  write", write(fd, "1", 1));
        show("  of nothing", write(fd, "1", 0));
        show("  pwrite", pwrite(fd, "1", 1, 0));
        show("  ftruncate", ftruncate(fd, 0));
        close(fd);
    }
}

STATE(writing_by_pwrite)
{
    static const char *const FILES[] = { "comm", "uid_map", "gid_map", "projid_map", "setgroups", "oom_score_adj", "oom_adj", "loginuid", "timerslack_ns" };
    for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        int fd = open(proc_path(getpid(), FILES[i]), O_WRONLY);
        printf("%s\n", FILES[i]);
        show("  at 0", pwrite(fd, "x", 1, 0));
        show("  at 1", pwrite(fd, "x", 1, 1));
        close(fd);
    }
}

STATE(polling_files_of_proc)
{
    static const char *const FILES[] = { "/proc/self/stat", "/proc/self/cmdline", "/proc/self/maps", "/proc/self/mounts", "/proc/self/mountinfo", "/proc/self/mountstats",
                                         "/proc/uptime", "/proc/self/comm", "/proc/sys/kernel/hostname", "/proc/sys/kernel/ostype" };
    for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        struct pollfd one = { open(FILES[i], O_RDONLY), POLLIN | POLLOUT | POLLPRI | POLLRDNORM, 0 };
        long ready = poll(&one, 1, 0);
        printf("%s: %ld %#x\n", FILES[i], ready, one.revents);
        close(one.fd);
    }
}

STATE(reading_mem)
{
    static char word[] = "a word of memory";
    int fd = open("/proc/self/mem", O_RDWR);
    show_bytes("pread", text, pread(fd, text, 6, (uintptr_t)word));
    show("unmapped", pread(fd, text, 6, 16));
    char *at = region(2);
    mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    munmap(at + PAGE, PAGE);
    show("across the end of what is mapped", pread(fd, text, 2 * PAGE, (uintptr_t)at + 100));
    show("pwrite", pwrite(fd, "the", 3, (uintptr_t)word));
    show_bytes("memory", word, 8);
    show_fact("lseek", lseek(fd, (uintptr_t)word, SEEK_SET) == (off_t)(uintptr_t)word);
    show_bytes("read", text, read(fd, text, 3));
    show_bytes("goes on", text, read(fd, text, 3));
    show_fact("SEEK_CUR", lseek(fd, -6, SEEK_CUR) == (off_t)(uintptr_t)word);
    show("SEEK_END", lseek(fd, 0, SEEK_END));
    show_fact("to the top", lseek(fd, -4096, SEEK_SET) == -4096);
    show("read there", read(fd, text, 10));
    mprotect(at, PAGE, PROT_NONE);
    show("without access it is read all the same", pread(fd, text, 8, (uintptr_t)at));
    mprotect(at, PAGE, PROT_READ);
    show("and written", pwrite(fd, "forced", 6, (uintptr_t)at));
    show_bytes("memory", at, 6);
}

STATE(reading_mem_of_another)
{
    static char word[] = "parent's word";
    pid_t child = child_after(NULL);
    int fd = open(proc_path(child, "mem"), O_RDWR);
    strcpy(word, "changed");
    show_bytes("the child's is as it was", text, pread(fd, text, 13, (uintptr_t)word));
    show("written", pwrite(fd, "CHILD", 5, (uintptr_t)word));
    show_bytes("own", word, 7);
    show_bytes("the child's", text, pread(fd, text, 13, (uintptr_t)word));
    end(child);
    show("after its end", pread(fd, text, 13, (uintptr_t)word));
    show("written after its end", pwrite(fd, "x", 1, (uintptr_t)word));
}

STATE(reading_auxv)
{
    unsigned long stack[128], kernel[128];
    ssize_t length = read_file("/proc/self/auxv", (char *)kernel, sizeof kernel);
    unsigned long *at = (unsigned long *)environ;
    while (*at++)
        ;
    memcpy(stack, at, length > 0 ? length : 0);
    show_fact("as on the stack", length > 0 && !memcmp(stack, kernel, length));
    show_fact("pairs up to a zero", length % 16 == 0 && kernel[length / 8 - 2] == 0);
    memset(at, 0, 64);
    unsigned long again[128];
    show_fact("the kernel's own copy", read_file("/proc/self/auxv", (char *)again, sizeof again) == length && !memcmp(again, kernel, length));
    int fd = open("/proc/self/auxv", O_RDONLY);
    show_fact("a piece", pread(fd, again, 16, 16) == 16 && !memcmp(again, kernel + 2, 16));
    show_fact("the last bytes", pread(fd, again, 100, length - 8) == 8);
    show("behind", pread(fd, again, 100, length));
    pid_t child = child_after(NULL);
    show_fact("a child's is the same", read_file(proc_path(child, "auxv"), (char *)again, sizeof again) == length && !memcmp(again, kernel, length));
    end(child);
}

ROLE(show_auxv_keys)
{
    unsigned long kernel[128];
    ssize_t length = read_file("/proc/self/auxv", (char *)kernel, sizeof kernel);
    /* Keys that every x86-64 Linux gives. */
    static const unsigned long KEYS[] = { 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 23, 25, 26, 31, 51 };
    for (unsigned i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        int found = 0;
        for (ssize_t at = 0; at + 1 < length / 8; at += 2)
            found += kernel[at] == KEYS[i];
        printf("%lu: %d\n", KEYS[i], found);
    }
}

STATE(auxv_has_each_key_once)
{
    role_in_child("show_auxv_keys", NULL, NULL);
}
