/* smaps, smaps_rollup, clear_refs, statm: which pages are there, whose they are and what is known of them. */
#include "state.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define SIZES "Size KernelPageSize MMUPageSize Rss Pss Pss_Dirty Shared_Clean Shared_Dirty Private_Clean Private_Dirty Anonymous LazyFree Swap SwapPss Locked"
/* Without dirty and clean: a file on a disk may be written back meanwhile, one in memory never is. */
#define KINDS "Size Rss Pss Anonymous Swap Locked"

/* Pages that no huge page will take the place of. */
static char *put(unsigned pages, int rights, int flags, int fd)
{
    char *at = region(pages);
    at = mmap(at, pages * PAGE, rights, flags | MAP_FIXED, fd, 0);
    madvise(at, pages * PAGE, MADV_NOHUGEPAGE);
    return at;
}

static void touch(char *at, unsigned pages)
{
    for (unsigned i = 0; i < pages; i++)
        at[i * PAGE] = 1;
}

static int reading(const char *at, unsigned pages)
{
    int sum = 0;
    for (unsigned i = 0; i < pages; i++)
        sum += *(volatile const char *)(at + i * PAGE);
    return sum;
}

STATE(pages_untouched)
{
    char *at = put(16, RW, ANONYMOUS, -1);
    show_smaps("smaps", getpid(), at, SIZES);
}

STATE(pages_written)
{
    char *at = put(16, RW, ANONYMOUS, -1);
    touch(at, 16);
    show_smaps("smaps", getpid(), at, SIZES);
    munmap(at, 8 * PAGE);
    show_smaps("half of them", getpid(), at + 8 * PAGE, SIZES);
}

STATE(pages_only_read)
{
    char *at = put(16, RW, ANONYMOUS, -1);
    show("sum", reading(at, 16));
    show_smaps("the page of zeros does not count", getpid(), at, KINDS);
}

STATE(pages_populated)
{
    char *at = region(16);
    at = mmap(at, 16 * PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
    show_smaps("populated", getpid(), at, KINDS);
    char *none = region(16);
    none = mmap(none, 16 * PAGE, PROT_NONE, ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
    show_smaps("without access", getpid(), none, KINDS);
}

STATE(pages_shared_by_parent_and_child)
{
    char *at = put(16, RW, ANONYMOUS, -1);
    touch(at, 16);
    pid_t child = child_after(NULL);
    show_smaps("parent", getpid(), at, SIZES);
    show_smaps("child", child, at, SIZES);
    touch(at, 4);
    show_smaps("parent after writing a quarter", getpid(), at, SIZES);
    show_smaps("child", child, at, SIZES);
    end(child);
    show_smaps("alone again", getpid(), at, SIZES);
}

STATE(pages_shared_by_three)
{
    char *at = put(12, RW, ANONYMOUS, -1);
    touch(at, 12);
    pid_t one = child_after(NULL), two = child_after(NULL);
    show_smaps("a third each", getpid(), at, "Rss Pss Shared_Dirty");
    end(one);
    show_smaps("a half each", two, at, "Rss Pss Shared_Dirty");
    end(two);
}

STATE(pages_of_shared_memory)
{
    char *at = put(16, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
    show_smaps("untouched", getpid(), at, KINDS);
    touch(at, 8);
    show_smaps("half written", getpid(), at, "Size Rss Pss Anonymous Shared_Dirty Private_Dirty");
    pid_t child = child_after(NULL);
    show_smaps("the child has not looked", child, at, "Rss");
    show_smaps("the parent", getpid(), at, "Rss Pss");
    end(child);
}

static char *shared_place;

static void read_shared(void)
{
    reading(shared_place, 8);
}

STATE(pages_of_shared_memory_that_both_have_touched)
{
    shared_place = put(8, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
    touch(shared_place, 8);
    pid_t child = child_after(read_shared);
    show_smaps("parent", getpid(), shared_place, "Rss Pss Shared_Dirty Private_Dirty");
    show_smaps("child", child, shared_place, "Rss Pss");
    end(child);
    show_smaps("alone", getpid(), shared_place, "Rss Pss Private_Dirty");
}

STATE(pages_of_a_private_file)
{
    int fd = file_of("file", 8 * PAGE);
    char *at = put(8, RW, MAP_PRIVATE, fd);
    show_smaps("untouched", getpid(), at, KINDS);
    reading(at, 8);
    show_smaps("read", getpid(), at, KINDS);
    touch(at, 3);
    show_smaps("three written", getpid(), at, "Rss Anonymous");
    show_bytes("the file keeps its own", text, pread(fd, text, 1, 0));
}

STATE(pages_of_a_shared_file)
{
    char *at = put(8, RW, MAP_SHARED, file_of("file", 8 * PAGE));
    reading(at, 8);
    touch(at, 8);
    show_smaps("written", getpid(), at, KINDS);
    show_fact("all dirty or cleaned by now", smaps_kb(getpid(), at, "Private_Dirty") + smaps_kb(getpid(), at, "Private_Clean") == 32);
}

STATE(pages_locked)
{
    char *at = put(8, RW, ANONYMOUS, -1);
    touch(at, 8);
    show_ok("mlock", mlock(at, 4 * PAGE));
    show_smaps("locked", getpid(), at, KINDS);
    printf("flags:%s\n", vm_flags(getpid(), at));
    printf("VmLck %s\n", status_value(getpid(), "VmLck"));
    show_ok("munlock", munlock(at, 4 * PAGE));
    show_smaps("unlocked", getpid(), at, KINDS);
    printf("VmLck %s\n", status_value(getpid(), "VmLck"));
    show_ok("mlock2 on fault", syscall(SYS_mlock2, at + 4 * PAGE, 4 * PAGE, 1));
    show_smaps("locked on fault", getpid(), at + 4 * PAGE, KINDS);
    printf("flags:%s\n", vm_flags(getpid(), at + 4 * PAGE));
}

STATE(pages_locked_all)
{
    show_ok("mlockall of the future", mlockall(MCL_FUTURE));
    char *at = region(4);
    show_fact("mapped", mmap(at, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == at);
    show_smaps("present at once", getpid(), at, "Rss Locked");
    show_ok("munlockall", munlockall());
    printf("VmLck %s\n", status_value(getpid(), "VmLck"));
}

STATE(pages_dropped_by_advice)
{
    char *at = put(8, RW, ANONYMOUS, -1);
    touch(at, 8);
    show_ok("MADV_DONTNEED", madvise(at, 4 * PAGE, MADV_DONTNEED));
    show_smaps("half", getpid(), at, SIZES);
    show("reads as zero", at[0]);
}

STATE(pages_freed_lazily)
{
    char *at = put(8, RW, ANONYMOUS, -1);
    touch(at, 8);
    show_ok("MADV_FREE", madvise(at, 4 * PAGE, MADV_FREE));
    /* A kernel may drop such pages at once or when it needs them: then they read as zero. */
    show_fact("it reads as it was or as zero", at[0] == 0 || at[0] == 1);
    at[0] = 2;
    show("what is written after it stays", at[0]);
    show_smaps("the others are there", getpid(), at + 4 * PAGE, "LazyFree");
    printf("flags:%s\n", vm_flags(getpid(), at));
}

STATE(flags_of_memory_by_right)
{
    static const int RIGHTS[] = { PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC, RW, RW | PROT_EXEC };
    for (int i = 0; i < 6; i++) {
        char *at = region(1);
        mmap(at, PAGE, RIGHTS[i], ANONYMOUS | MAP_FIXED, -1, 0);
        printf("private %d:%s\n", RIGHTS[i], vm_flags(getpid(), at));
        mmap(at, PAGE, RIGHTS[i], MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        printf("shared %d:%s\n", RIGHTS[i], vm_flags(getpid(), at));
    }
}

STATE(flags_of_files_by_right)
{
    int both = file_of("file", PAGE), read_only = open("file", O_RDONLY);
    char *at = region(1);
    mmap(at, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, both, 0);
    printf("private:%s\n", vm_flags(getpid(), at));
    mmap(at, PAGE, RW, MAP_SHARED | MAP_FIXED, both, 0);
    printf("shared:%s\n", vm_flags(getpid(), at));
    mmap(at, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, read_only, 0);
    printf("shared, open for reading:%s\n", vm_flags(getpid(), at));
    mmap(at, PAGE, RW, MAP_PRIVATE | MAP_FIXED, read_only, 0);
    printf("private, written, open for reading:%s\n", vm_flags(getpid(), at));
}

STATE(flags_of_advice)
{
    static const int ADVICE[] = { MADV_RANDOM, MADV_SEQUENTIAL, MADV_NORMAL, MADV_DONTFORK, MADV_DOFORK, MADV_DONTDUMP, MADV_DODUMP,
                                  MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_HUGEPAGE, MADV_NOHUGEPAGE };
    char *at = region(2);
    mmap(at, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0);
    for (unsigned i = 0; i < sizeof ADVICE / sizeof *ADVICE; i++) {
        show_ok("advice", madvise(at, PAGE, ADVICE[i]));
        printf("  %d:%s\n", ADVICE[i], vm_flags(getpid(), at));
    }
    show_areas("areas", at, 2);
    show_ok("unknown advice", madvise(at, PAGE, 99));
    show_ok("not aligned", madvise(at + 1, PAGE, MADV_RANDOM));
    show_ok("where nothing is", madvise((void *)PAGE, PAGE, MADV_RANDOM));
}

STATE(flags_of_what_a_mapping_was_asked_to_be)
{
    char *at = region(1);
    mmap(at, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    printf("MAP_NORESERVE:%s\n", vm_flags(getpid(), at));
    mmap(at, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    printf("MAP_GROWSDOWN:%s\n", vm_flags(getpid(), at));
    mmap(at, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_LOCKED, -1, 0);
    printf("MAP_LOCKED:%s\n", vm_flags(getpid(), at));
    mmap(at, PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_STACK, -1, 0);
    printf("MAP_STACK:%s\n", vm_flags(getpid(), at));
}

STATE(flags_of_stack_and_heap)
{
    int on_stack;
    char *heap = sbrk(PAGE);
    printf("stack:%s\n", vm_flags(getpid(), (char *)&on_stack));
    printf("heap:%s\n", vm_flags(getpid(), heap));
    printf("code:%s\n", vm_flags(getpid(), (char *)(uintptr_t)show_smaps));
}

STATE(pages_referenced)
{
    char *at = put(8, RW, ANONYMOUS, -1);
    touch(at, 8);
    show_smaps("after writing", getpid(), at, "Referenced");
    show_write("/proc/self/clear_refs", "1", 1);
    show_smaps("cleared", getpid(), at, "Referenced Rss");
}

STATE(clear_refs_of_kinds)
{
    char *memory = put(4, RW, ANONYMOUS, -1), *file = put(4, PROT_READ, MAP_PRIVATE, file_of("file", 4 * PAGE));
    touch(memory, 4);
    reading(file, 4);
    show_write("/proc/self/clear_refs", "3", 1);
    show_smaps("mapped files: memory", getpid(), memory, "Referenced");
    show_smaps("mapped files: file", getpid(), file, "Referenced");
    show_write("/proc/self/clear_refs", "2\n", 2);
    show_smaps("memory: memory", getpid(), memory, "Referenced");
}

STATE(clear_refs_of_every_spelling)
{
    static const char *const WORDS[] = { "1", " 1", "1 ", "\t1\n", "+1", "01", "0x1", "0", "6", "-1", "", " ", "1 1", "one", "99999999999", "1\0", "111111111111", "00000000000001" };
    for (unsigned i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        show_write("/proc/self/clear_refs", WORDS[i], strlen(WORDS[i]));
    show_write("/proc/self/clear_refs", "1\0", 2);
    show("read of it", open("/proc/self/clear_refs", O_RDONLY) < 0 ? -1 : read(open("/proc/self/clear_refs", O_RDONLY), text, 1));
    int fd = open("/proc/self/clear_refs", O_WRONLY);
    show("pwrite", pwrite(fd, "1", 1, 7));
    show("bad pointer", syscall(SYS_write, fd, 16, 1));
}

STATE(clear_refs_resets_the_high_water_mark)
{
    char *at = put(2048, RW, ANONYMOUS, -1);
    touch(at, 2048);
    munmap(at, 2048 * PAGE);
    unsigned long high = status_kb(getpid(), "VmHWM"), now = status_kb(getpid(), "VmRSS");
    show_fact("the mark is above by what has gone", high >= now + 7000);
    show_write("/proc/self/clear_refs", "5", 1);
    show_fact("the mark is what is used", status_kb(getpid(), "VmHWM") < high - 7000);
    show_fact("VmPeak stays", status_kb(getpid(), "VmPeak") >= status_kb(getpid(), "VmSize") + 8000);
}

STATE(rollup_is_the_sum_of_smaps)
{
    static const char *const KEYS[] = { "Rss", "Anonymous", "Shared_Clean", "Shared_Dirty", "Private_Dirty", "Locked", "Swap" };
    /* A child that sleeps: its pages do not change while they are read. */
    pid_t child = child_after(NULL);
    static char rollup[8192], lines[1 << 20];
    show_fact("read", read_file(proc_path(child, "smaps_rollup"), rollup, sizeof rollup) > 0);
    read_file(proc_path(child, "smaps"), lines, sizeof lines);
    for (unsigned i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        char key[32];
        long sum = 0, size = snprintf(key, sizeof key, "\n%s:", KEYS[i]);
        for (char *at = lines; (at = strstr(at, key)); at++)
            sum += strtol(at + size, NULL, 10);
        char *line = strstr(rollup, key);
        printf("%s: %s\n", KEYS[i], line && strtol(line + size, NULL, 10) == sum ? "the sum" : "another");
    }
    end(child);
}

STATE(rollup_has_these_lines)
{
    ssize_t length = read_file("/proc/self/smaps_rollup", text, sizeof text);
    char *line = strchr(text, '\n');
    show_fact("a line of addresses first", length > 0 && strstr(text, "---p 00000000 00:00 0                          [rollup]\n") < line);
    for (line++; *line; line += strcspn(line, "\n") + 1)
        printf("%.*s at %zu\n", (int)strcspn(line, ":"), line, strcspn(line, "k"));
}

STATE(smaps_has_these_lines)
{
    char *at = put(1, RW, ANONYMOUS, -1), start[32];
    snprintf(start, sizeof start, "%lx-", (unsigned long)at);
    if (read_file("/proc/self/smaps", text, sizeof text) < 0)
        return;
    char *line = strstr(text, start);
    for (line = line ? strchr(line, '\n') + 1 : text; *line && !strchr("0123456789abcdef", *line); line += strcspn(line, "\n") + 1) {
        char *unit = memchr(line, 'k', strcspn(line, "\n"));
        /* A processor with protection keys adds a line. */
        if (strncmp(line, "ProtectionKey", 13))
            printf("%.*s at %ld\n", (int)strcspn(line, ":"), line, unit ? unit - line : -1);
    }
}

STATE(sizes_of_stat_statm_and_status_agree)
{
    pid_t child = child_after(NULL);
    unsigned long size, resident, shared, code, zero, data, dirty;
    read_file(proc_path(child, "statm"), text, sizeof text);
    show("words", sscanf(text, "%lu %lu %lu %lu %lu %lu %lu", &size, &resident, &shared, &code, &zero, &data, &dirty));
    show_fact("size is VmSize", size * 4 == status_kb(child, "VmSize"));
    show_fact("size is vsize", size * PAGE == stat_number(child, 23));
    show_fact("resident is VmRSS", resident * 4 == status_kb(child, "VmRSS"));
    show_fact("VmRSS is the sum of its parts",
              status_kb(child, "RssAnon") + status_kb(child, "RssFile") + status_kb(child, "RssShmem") == status_kb(child, "VmRSS"));
    show_fact("shared is RssFile and RssShmem", shared * 4 == status_kb(child, "RssFile") + status_kb(child, "RssShmem"));
    show_fact("data is VmData and VmStk", data * 4 == status_kb(child, "VmData") + status_kb(child, "VmStk"));
    show_fact("text is VmExe", code * 4 == status_kb(child, "VmExe"));
    printf("lib %lu dt %lu\n", zero, dirty);
    printf("VmPin %s\n", status_value(child, "VmPin"));
    printf("VmSwap %s\n", status_value(child, "VmSwap"));
    end(child);
}

STATE(sizes_change_with_mappings)
{
    unsigned long size = status_kb(getpid(), "VmSize"), data = status_kb(getpid(), "VmData"), stack = status_kb(getpid(), "VmStk");
    char *at = mmap(NULL, 100 * PAGE, RW, ANONYMOUS, -1, 0);
    printf("private writable: size +%lu data +%lu\n", status_kb(getpid(), "VmSize") - size, status_kb(getpid(), "VmData") - data);
    mprotect(at, 50 * PAGE, PROT_READ);
    printf("half read-only: data +%lu\n", status_kb(getpid(), "VmData") - data);
    munmap(at, 100 * PAGE);
    at = mmap(NULL, 100 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    printf("shared: size +%lu data +%lu\n", status_kb(getpid(), "VmSize") - size, status_kb(getpid(), "VmData") - data);
    munmap(at, 100 * PAGE);
    at = mmap(NULL, 100 * PAGE, PROT_NONE, ANONYMOUS, -1, 0);
    printf("no access: size +%lu data +%lu\n", status_kb(getpid(), "VmSize") - size, status_kb(getpid(), "VmData") - data);
    munmap(at, 100 * PAGE);
    at = region(300);
    at = mmap(at, 100 * PAGE, RW, ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
    printf("growing down: stack +%lu data +%lu\n", status_kb(getpid(), "VmStk") - stack, status_kb(getpid(), "VmData") - data);
    munmap(at, 100 * PAGE);
    unsigned long library = status_kb(getpid(), "VmLib"), code = status_kb(getpid(), "VmExe");
    at = mmap(NULL, 100 * PAGE, PROT_READ | PROT_EXEC, ANONYMOUS, -1, 0);
    printf("executable: lib +%lu exe +%lu\n", status_kb(getpid(), "VmLib") - library, status_kb(getpid(), "VmExe") - code);
    munmap(at, 100 * PAGE);
}

/* Linux counts resident pages for each processor and adds them up now and then: a number is near the true one. */
static void show_near(const char *what, long kb, long expected)
{
    show_fact(what, kb > expected - 1024 && kb < expected + 1024);
}

STATE(resident_parts_change_with_what_is_touched)
{
    long anonymous = status_kb(getpid(), "RssAnon"), shared = status_kb(getpid(), "RssShmem"), file = status_kb(getpid(), "RssFile");
    char *one = put(1024, RW, ANONYMOUS, -1), *two = put(1024, RW, MAP_SHARED | MAP_ANONYMOUS, -1);
    touch(one, 1024);
    show_near("anonymous", status_kb(getpid(), "RssAnon") - anonymous, 4096);
    touch(two, 1024);
    show_near("shared", status_kb(getpid(), "RssShmem") - shared, 4096);
    show_near("anonymous is as before", status_kb(getpid(), "RssAnon") - anonymous, 4096);
    munmap(two, 1024 * PAGE);
    show_near("unmapped", status_kb(getpid(), "RssShmem") - shared, 0);
    /* A file of a file system in memory counts as shared memory, one of a disk as a file. */
    char *three = put(1024, PROT_READ, MAP_PRIVATE, file_of("file", 1024 * PAGE));
    reading(three, 1024);
    show_near("a file", status_kb(getpid(), "RssShmem") + status_kb(getpid(), "RssFile") - shared - file, 4096);
}

STATE(peaks_stay)
{
    char *at = put(4096, RW, ANONYMOUS, -1);
    touch(at, 4096);
    long peak = status_kb(getpid(), "VmPeak"), high = status_kb(getpid(), "VmHWM");
    munmap(at, 4096 * PAGE);
    show_fact("VmPeak", (long)status_kb(getpid(), "VmPeak") == peak);
    show_near("VmHWM", status_kb(getpid(), "VmHWM") - high, 0);
    show_fact("VmSize is below", (long)status_kb(getpid(), "VmSize") + 16384 <= peak);
    show_near("VmRSS is below", high - status_kb(getpid(), "VmRSS"), 16384);
    pid_t child = child_after(NULL);
    show_near("a child starts with what it has", high - status_kb(child, "VmHWM"), 16384);
    end(child);
}
