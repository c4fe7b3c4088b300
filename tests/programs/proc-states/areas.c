/* /proc/PID/maps: where areas start and end, merge and split, and what they are called. */
#include "state.h"
#include <sys/prctl.h>

#define RW (PROT_READ | PROT_WRITE)
#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)

static char *put(char *where, unsigned pages, int rights, int flags, int fd, unsigned from_page)
{
    return mmap(where, pages * PAGE, rights, flags | MAP_FIXED, fd, from_page * PAGE);
}

STATE(areas_of_every_right)
{
    static const int RIGHTS[] = { PROT_NONE, PROT_READ, PROT_WRITE, PROT_EXEC, RW, PROT_READ | PROT_EXEC, PROT_WRITE | PROT_EXEC, RW | PROT_EXEC };
    char *at = region(8);
    for (int i = 0; i < 8; i++)
        put(at + i * PAGE, 1, RIGHTS[i], ANONYMOUS, -1, 0);
    show_areas("anonymous", at, 8);
    at = region(8);
    for (int i = 0; i < 8; i++)
        put(at + i * PAGE, 1, RIGHTS[i], MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    show_areas("shared", at, 8);
}

STATE(areas_anonymous_merge)
{
    char *at = region(8);
    put(at + PAGE, 2, RW, ANONYMOUS, -1, 0);
    put(at + 3 * PAGE, 2, RW, ANONYMOUS, -1, 0);
    show_areas("two neighbours are one", at, 8);
    put(at + 6 * PAGE, 1, RW, ANONYMOUS, -1, 0);
    show_areas("a third apart", at, 8);
    put(at + 5 * PAGE, 1, RW, ANONYMOUS, -1, 0);
    show_areas("the gap filled", at, 8);
}

STATE(areas_that_were_written_merge)
{
    char *at = region(6);
    put(at, 2, RW, ANONYMOUS, -1, 0);
    at[0] = 1;
    put(at + 3 * PAGE, 2, RW, ANONYMOUS, -1, 0);
    at[3 * PAGE] = 1;
    show_areas("both written, apart", at, 6);
    put(at + 2 * PAGE, 1, RW, ANONYMOUS, -1, 0);
    show_areas("a new one in between", at, 6);
}

STATE(areas_split_by_mprotect)
{
    char *at = region(6);
    put(at, 6, RW, ANONYMOUS, -1, 0);
    show_ok("middle", mprotect(at + 2 * PAGE, 2 * PAGE, PROT_READ));
    show_areas("three", at, 6);
    show_ok("back", mprotect(at + 2 * PAGE, 2 * PAGE, RW));
    show_areas("one again", at, 6);
    show_ok("start", mprotect(at, PAGE, PROT_NONE));
    show_ok("end", mprotect(at + 5 * PAGE, PAGE, PROT_EXEC));
    show_areas("at the ends", at, 6);
    show_ok("all", mprotect(at, 6 * PAGE, PROT_READ));
    show_areas("all alike", at, 6);
    show_ok("nothing", mprotect(at, 0, PROT_NONE));
    show_ok("not aligned", mprotect(at + 1, PAGE, PROT_NONE));
    munmap(at + 3 * PAGE, PAGE);
    show_ok("over a hole", mprotect(at, 6 * PAGE, RW));
    show_areas("up to the hole", at, 6);
}

STATE(areas_with_holes_of_a_page)
{
    char *at = region(7);
    put(at, 7, RW, ANONYMOUS, -1, 0);
    for (int i = 1; i < 7; i += 2)
        munmap(at + i * PAGE, PAGE);
    show_areas("every second page", at, 7);
    show_ok("over all of it", munmap(at, 7 * PAGE));
    show_areas("nothing", at, 7);
    show_ok("once more", munmap(at, 7 * PAGE));
}

STATE(areas_put_over_others)
{
    char *at = region(8);
    int fd = file_of("file", 8 * PAGE);
    put(at, 8, RW, ANONYMOUS, -1, 0);
    put(at + 2 * PAGE, 2, PROT_READ, MAP_PRIVATE, fd, 5);
    put(at + 6 * PAGE, 1, RW, MAP_SHARED, fd, 0);
    show_areas("files over memory", at, 8);
    put(at + PAGE, 6, PROT_NONE, ANONYMOUS, -1, 0);
    show_areas("memory over files", at, 8);
    show_fact("MAP_FIXED_NOREPLACE is refused",
              mmap(at, PAGE, RW, ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
}

STATE(areas_of_a_file)
{
    char *at = region(8);
    int fd = file_of("file", 8 * PAGE);
    put(at, 2, PROT_READ, MAP_PRIVATE, fd, 0);
    put(at + 2 * PAGE, 2, PROT_READ, MAP_PRIVATE, fd, 2);
    show_areas("following parts are one", at, 8);
    put(at + 4 * PAGE, 2, PROT_READ, MAP_PRIVATE, fd, 1);
    show_areas("another part is not", at, 8);
    put(at + 6 * PAGE, 2, PROT_READ, MAP_SHARED, fd, 3);
    show_areas("nor is a shared one", at, 8);
}

STATE(areas_of_a_file_opened_twice)
{
    char *at = region(6);
    int fd = file_of("file", 8 * PAGE), other = open("file", O_RDONLY);
    put(at, 2, PROT_READ, MAP_PRIVATE, fd, 0);
    put(at + 2 * PAGE, 2, PROT_READ, MAP_PRIVATE, other, 2);
    show_areas("two open files do not merge", at, 6);
    close(fd);
    close(other);
    show_areas("closing changes nothing", at, 6);
    unlink("file");
    show_areas("deleted", at, 6);
}

STATE(areas_of_a_file_by_rights)
{
    char *at = region(5);
    int fd = file_of("file", 8 * PAGE);
    put(at, 5, PROT_READ, MAP_PRIVATE, fd, 1);
    mprotect(at + PAGE, PAGE, RW);
    mprotect(at + 3 * PAGE, PAGE, PROT_READ | PROT_EXEC);
    show_areas("offsets go on", at, 5);
    at[PAGE] = 1;
    mprotect(at, 5 * PAGE, PROT_READ);
    show_areas("one that was written", at, 5);
}

STATE(areas_of_a_deleted_and_a_renamed_file)
{
    char *at = region(4);
    int fd = file_of("first", PAGE);
    put(at, 1, PROT_READ, MAP_PRIVATE, fd, 0);
    rename("first", "second");
    show_areas("renamed", at, 4);
    unlink("second");
    show_areas("deleted", at, 4);
    close(file_of("second", PAGE));
    show_areas("another of that name", at, 4);
}

STATE(areas_of_files_with_odd_names)
{
    static const char *const NAMES[] = { "with blank", "new\nline", "back\\slash", "tab\ttab", "\xff\xfe", "\"quoted\"", "x (deleted)", "[stack]", " " };
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        char *at = region(1);
        put(at, 1, PROT_READ, MAP_PRIVATE, file_of(NAMES[i], PAGE), 0);
        show_areas("", at, 1);
    }
}

STATE(areas_beyond_the_end_of_a_file)
{
    char *at = region(6);
    int fd = file_of("file", PAGE + 10);
    put(at, 6, PROT_READ, MAP_PRIVATE, fd, 0);
    show_areas("the area is as long as asked for", at, 6);
    show_ok("ftruncate", ftruncate(fd, 0));
    show_areas("and stays so", at, 6);
    put(at, 1, PROT_READ, MAP_PRIVATE, fd, 0x123456);
    show_areas("a large offset", at, 1);
}

STATE(areas_of_a_file_with_a_path_beyond_a_page)
{
    char part[201];
    memset(part, 'd', 200);
    part[200] = 0;
    for (int depth = 0; depth < 25; depth++)
        if (mkdir(part, 0755) < 0 || chdir(part) < 0)
            puts(error_name());
    char *at = region(1);
    put(at, 1, PROT_READ, MAP_PRIVATE, file_of("deep", PAGE), 0);
    char start[32];
    snprintf(start, sizeof start, "%lx-", (unsigned long)at);
    if (read_file("/proc/self/maps", text, sizeof text) > 0) {
        char *line = strstr(text, start);
        show("the line is this long", line ? (long)strcspn(line, "\n") - (long)strlen(scratch) : 0);
        show_fact("and ends with the name", line && !memcmp(line + strcspn(line, "\n") - 5, "/deep", 5));
    }
    unlink("deep");
    for (int depth = 0; depth < 25; depth++)
        if (chdir("..") < 0 || rmdir(part) < 0)
            puts(error_name());
}

STATE(areas_shared_anonymous)
{
    char *at = region(6);
    put(at, 2, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    put(at + 2 * PAGE, 2, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    show_areas("two do not merge", at, 6);
    mprotect(at + PAGE, PAGE, PROT_READ);
    show_areas("a part has an offset", at, 6);
    int fd = open("/dev/zero", O_RDWR);
    put(at + 4 * PAGE, 1, RW, MAP_SHARED, fd, 0);
    put(at + 5 * PAGE, 1, RW, MAP_PRIVATE, fd, 0);
    show_areas("/dev/zero, shared and private", at + 4 * PAGE, 2);
}

STATE(areas_of_memfd)
{
    int fd = syscall(SYS_memfd_create, "a name", 0);
    if (show_ok("memfd_create", fd) < 0)
        return;
    show_ok("ftruncate", ftruncate(fd, 2 * PAGE));
    char *at = region(2);
    put(at, 2, RW, MAP_SHARED, fd, 0);
    show_areas("shared", at, 2);
    show_link("its link", proc_path(getpid(), "fd/3"));
}

STATE(areas_of_the_heap)
{
    char *start = sbrk(0);
    long before = stat_number(getpid(), 47);
    show_fact("start_brk of stat is not behind it", (unsigned long)before <= (unsigned long)start);
    sbrk(-((long)start & (PAGE - 1)));
    start = sbrk(0);
    show_fact("grown", sbrk(4 * PAGE) == start);
    show_areas("heap", start, 4);
    sbrk(-2 * (long)PAGE);
    show_areas("shrunk", start, 4);
    mprotect(start, PAGE, PROT_READ);
    show_areas("a page of it protected", start, 4);
    sbrk(PAGE);
    show_areas("grown again", start, 4);
}

STATE(areas_of_the_heap_beside_other_memory)
{
    char *start = sbrk(0);
    sbrk(-((long)start & (PAGE - 1)));
    start = sbrk(0);
    put(start + 2 * PAGE, 1, RW, ANONYMOUS, -1, 0);
    show_fact("grown up to it", sbrk(2 * PAGE) != (void *)-1);
    show_areas("a neighbour of the heap", start, 3);
    show_fact("not over it", sbrk(PAGE) == (void *)-1 && errno == ENOMEM);
}

STATE(areas_of_the_stack)
{
    int on_stack;
    ssize_t length = read_file("/proc/self/maps", text, sizeof text);
    int stacks = 0;
    for (char *at = text; length > 0 && (at = strstr(at, "[stack]\n")); at++)
        stacks++;
    printf("%d stack\n", stacks);
    unsigned long low = 0, high = 0, start = stat_number(getpid(), 28);
    char *line = strstr(text, "[stack]\n");
    while (line > text && line[-1] != '\n')
        line--;
    sscanf(line, "%lx-%lx", &low, &high);
    show_bytes("behind the addresses", strchr(line, ' '), strcspn(strchr(line, ' '), "\n"));
    show_fact("a variable lies in it", low <= (unsigned long)&on_stack && (unsigned long)&on_stack < high);
    show_fact("and startstack of stat", low <= start && start < high);
    show("size in kB as VmStk", (long)(high - low) / 1024 - (long)status_kb(getpid(), "VmStk"));
}

static __attribute__((noinline)) int deep(int frames)
{
    volatile char frame[8192];
    frame[0] = frame[8191] = frames;
    int below = frames ? deep(frames - 1) : 0;
    return below + frame[8191];
}

STATE(areas_of_a_grown_stack)
{
    unsigned long before = status_kb(getpid(), "VmStk");
    deep(64);
    unsigned long after = status_kb(getpid(), "VmStk");
    show_fact("it has grown by what was used", after >= before + 512 - 132 && after <= before + 768);
    deep(10);
    show_fact("and does not shrink", status_kb(getpid(), "VmStk") == after);
}

STATE(areas_that_grow_down)
{
    char *at = region(300);
    munmap(at, 300 * PAGE);
    char *low = put(at + 296 * PAGE, 2, RW, ANONYMOUS | MAP_GROWSDOWN, -1, 0);
    show_areas("as asked for", at, 300);
    low[-8] = 1;
    show_areas("a page below touched", at, 300);
    low[-3 * (long)PAGE] = 1;
    show_areas("three pages below", at, 300);
    printf("flags%s\n", strstr(vm_flags(getpid(), low), " gd") ? " gd" : "");
}

STATE(areas_of_a_threads_stack)
{
    char *at = region(4);
    pthread_attr_t attributes;
    pthread_t thread;
    put(at, 4, RW, ANONYMOUS | MAP_STACK, -1, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, at, 4 * PAGE);
    show("create", pthread_create(&thread, &attributes, (void *(*)(void *))(void *)getpid, NULL));
    show_areas("it has no name", at, 4);
    pthread_join(thread, NULL);
}

STATE(areas_moved_by_mremap)
{
    char *at = region(12);
    int fd = file_of("file", 8 * PAGE);
    put(at, 2, RW, ANONYMOUS, -1, 0);
    at[0] = 'm';
    show_fact("moved and grown", mremap(at, 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 6 * PAGE) == at + 6 * PAGE);
    show_fact("content came along", at[6 * PAGE] == 'm');
    show_areas("after", at, 12);
    put(at, 2, PROT_READ, MAP_PRIVATE, fd, 3);
    show_fact("a file's", mremap(at, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 10 * PAGE) == at + 10 * PAGE);
    show_areas("keeps its offset", at, 12);
    show_fact("shrunk", mremap(at + 6 * PAGE, 3 * PAGE, PAGE, 0) == at + 6 * PAGE);
    show_areas("a hole behind", at, 12);
    show_fact("grown in place", mremap(at + 6 * PAGE, PAGE, 2 * PAGE, 0) == at + 6 * PAGE);
    show_fact("no room to grow", mremap(at + 10 * PAGE, 2 * PAGE, 4 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
}

STATE(areas_left_empty_by_mremap)
{
    char *at = region(6);
    put(at, 2, RW, ANONYMOUS, -1, 0);
    at[0] = 'm';
    show_fact("the old place stays", mremap(at, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, at + 3 * PAGE) != MAP_FAILED);
    show_areas("both", at, 6);
    show_fact("content moved", at[3 * PAGE] == 'm' && at[0] == 0);
}

STATE(areas_with_names)
{
    char *at = region(4);
    put(at, 4, RW, ANONYMOUS, -1, 0);
    long result = prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, at + PAGE, PAGE, "a name");
    if (result < 0 && errno == EINVAL)
        not_run("this kernel is built without names of areas");
    show_areas("one named", at, 4);
}

STATE(areas_moved_apart_and_together)
{
    char *at = region(10);
    put(at, 4, RW, ANONYMOUS, -1, 0);
    memset(at, 'x', 4 * PAGE);
    mremap(at + 2 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 6 * PAGE);
    show_areas("apart", at, 10);
    mremap(at + 6 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 2 * PAGE);
    show_areas("together again", at, 10);
}

STATE(areas_of_a_child)
{
    char *at = region(4);
    put(at, 1, RW, ANONYMOUS, -1, 0);
    put(at + PAGE, 1, RW, ANONYMOUS, -1, 0);
    put(at + 2 * PAGE, 1, RW, ANONYMOUS, -1, 0);
    madvise(at + PAGE, PAGE, MADV_DONTFORK);
    show_areas("in the parent", at, 4);
    pid_t child = split();
    if (child == 0) {
        show_areas("in the child", at, 4);
        exit(0);
    }
    waitpid(child, NULL, 0);
}

STATE(areas_of_large_and_odd_lengths)
{
    char *at = region(16);
    show_fact("one byte", mmap(at, 1, RW, ANONYMOUS | MAP_FIXED, -1, 0) == at);
    show_fact("a page and a byte", mmap(at + 4 * PAGE, PAGE + 1, PROT_READ, ANONYMOUS | MAP_FIXED, -1, 0) == at + 4 * PAGE);
    show_areas("rounded up", at, 16);
    show_fact("none", mmap(at, 0, RW, ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
    show_fact("not aligned", mmap(at + 1, PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
    show_fact("too high", mmap((void *)0x7ffffffff000, 2 * PAGE, RW, ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == ENOMEM);
    show_ok("munmap of a byte", munmap(at + 4 * PAGE, 1));
    show_areas("takes a page", at, 16);
}

STATE(areas_in_order_with_the_form_of_their_lines)
{
    ssize_t length = read_file("/proc/self/maps", text, sizeof text);
    unsigned long last = 0, low, high;
    int ordered = length > 0, columns = 1, lines = 0;
    for (char *line = text; *line; line += strcspn(line, "\n") + 1) {
        ordered &= sscanf(line, "%lx-%lx", &low, &high) == 2 && low >= last && high > low;
        last = high;
        size_t size = strcspn(line, "\n");
        /* Either a blank ends a line without a name, or the name stands at column 73. */
        columns &= line[size - 1] == ' ' || (line[72] == ' ' && line[73] != ' ');
        lines++;
    }
    show_fact("ascending without overlap", ordered);
    show_fact("names at column 73", columns);
    show_fact("some lines", lines > 5);
}

STATE(areas_gone_while_they_are_read)
{
    char *at = region(200);
    for (int i = 0; i < 200; i += 2)
        put(at + i * PAGE, 1, RW, ANONYMOUS, -1, 0);
    int fd = open("/proc/self/maps", O_RDONLY);
    char start[32];
    ssize_t got = 0, length = 0;
    show_fact("a first part", (got = read(fd, text, 3000)) > 0);
    length += got;
    munmap(at, 200 * PAGE);
    while ((got = read(fd, text + length, 3000)) > 0)
        length += got;
    text[length] = 0;
    snprintf(start, sizeof start, "%lx-", (unsigned long)at + 150 * PAGE);
    show_fact("what has gone is not shown", !strstr(text, start));
    show_fact("the rest is", strstr(text, "[stack]") != NULL);
}
