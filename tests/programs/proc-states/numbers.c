/* What stat, status, limits, io and others say of a process: as set, as counted and as written. */
#include "state.h"
#include <sched.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>

STATE(limits_as_set)
{
    static const struct {
        int resource;
        unsigned long soft, hard;
    } SET[] = { { RLIMIT_CORE, 0, 0 },        { RLIMIT_CPU, 100, 200 },          { RLIMIT_DATA, 1ul << 40, 1ul << 41 },
                { RLIMIT_FSIZE, 1 << 30, 1ul << 31 }, { RLIMIT_NOFILE, 100, 200 },       { RLIMIT_STACK, 65536, 1 << 20 },
                { RLIMIT_AS, 1ul << 42, -1 }, { RLIMIT_SIGPENDING, 7, 8 },       { RLIMIT_MEMLOCK, 4096, 8192 },
                { RLIMIT_NPROC, 100, 101 }, { RLIMIT_MSGQUEUE, 1000, 819200 }, { RLIMIT_NICE, 0, 0 },
                { RLIMIT_RTPRIO, 0, 0 },      { RLIMIT_RTTIME, 5, -1 },          { RLIMIT_LOCKS, 1, 2 },
                { RLIMIT_RSS, 3, -1 } };
    for (unsigned i = 0; i < sizeof SET / sizeof *SET; i++) {
        struct rlimit limit = { SET[i].soft, SET[i].hard };
        if (setrlimit(SET[i].resource, &limit) < 0)
            printf("%d: %s\n", SET[i].resource, error_name());
    }
    /* Read by a child: this one may open few files now. */
    ssize_t length = read_file("/proc/self/limits", text, sizeof text);
    for (char *line = text; length > 0 && *line; line += strcspn(line, "\n") + 1)
        printf("%.*s|\n", (int)strcspn(line, "\n"), line);
}

STATE(limits_refused)
{
    struct rlimit limit = { 10, 5 };
    show_ok("soft above hard", setrlimit(RLIMIT_CORE, &limit));
    show_ok("no such limit", setrlimit(99, &limit));
    limit.rlim_max = 10;
    show_ok("lowered", setrlimit(RLIMIT_CORE, &limit));
    show_line("limits", "/proc/self/limits", "Max core");
    show_ok("more files than nr_open", (limit.rlim_cur = limit.rlim_max = 1ul << 40, setrlimit(RLIMIT_NOFILE, &limit)));
}

static void lower_files(void)
{
    struct rlimit limit = { 64, 64 };
    setrlimit(RLIMIT_NOFILE, &limit);
}

STATE(limits_of_another)
{
    pid_t child = child_after(lower_files);
    show_line("as it set them", proc_path(child, "limits"), "Max open files");
    struct rlimit limit = { 32, 48 };
    show_ok("prlimit", prlimit(child, RLIMIT_NOFILE, &limit, NULL));
    show_line("as set from outside", proc_path(child, "limits"), "Max open files");
    end(child);
}

STATE(umask_of_every_form)
{
    static const int MASKS[] = { 0, 07, 022, 0777, 0111 };
    for (unsigned i = 0; i < sizeof MASKS / sizeof *MASKS; i++) {
        umask(MASKS[i]);
        printf("%s\n", status_value(getpid(), "Umask"));
    }
    umask(077777);
    printf("%s\n", status_value(getpid(), "Umask"));
}

static void use_io(void)
{
    int fd = file_of("io", 0);
    char block[1000];
    memset(block, 'b', sizeof block);
    for (int i = 0; i < 5; i++)
        if (pwrite(fd, block, sizeof block, i * 1000) != 1000)
            puts("short");
    for (int i = 0; i < 3; i++)
        if (pread(fd, block, 700, 0) != 700)
            puts("short");
    close(fd);
}

static unsigned long io_count(const char *path, const char *key)
{
    char lines[512];
    if (read_file(path, lines, sizeof lines) < 0)
        return 0;
    char *line = strstr(lines, key);
    return line ? strtoul(line + strlen(key) + 2, NULL, 10) : 0;
}

static void show_io_change(const char *what, const char *path)
{
    static unsigned long before[4];
    static const char *const KEYS[] = { "rchar", "wchar", "syscr", "syscw" };
    unsigned long now[4];
    for (int i = 0; i < 4; i++)
        now[i] = io_count(path, KEYS[i]);
    if (what)
        for (int i = 0; i < 4; i++)
            printf("%s: %s +%lu\n", what, KEYS[i], now[i] - before[i]);
    memcpy(before, now, sizeof before);
}

static int io_go[2], io_done[2];

static void io_child(void)
{
    char byte;
    if (read(io_go[0], &byte, 1) != 1)
        return;
    use_io();
    if (write(io_done[1], "x", 1) != 1)
        return;
}

STATE(io_of_known_reads_and_writes)
{
    char byte;
    if (pipe(io_go) < 0 || pipe(io_done) < 0)
        return;
    pid_t child = split();
    if (child == 0) {
        io_child();
        for (;;)
            pause();
    }
    wait_for_state(child, "S");
    const char *path = proc_path(child, "io");
    char kept[64];
    strcpy(kept, path);
    show_io_change(NULL, kept);
    if (write(io_go[1], "x", 1) != 1 || read(io_done[0], &byte, 1) != 1)
        return;
    wait_for_state(child, "S");
    show_io_change("used", kept);
    end(child);
}

STATE(io_has_these_lines)
{
    ssize_t length = read_file("/proc/self/io", text, sizeof text);
    for (char *line = text; length > 0 && *line; line += strcspn(line, "\n") + 1)
        printf("%.*s\n", (int)strcspn(line, " "), line);
}

static void *io_thread(void *unused)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/io", gettid());
    unsigned long before = io_count(path, "syscw");
    use_io();
    printf("the thread's own: +%lu\n", io_count(path, "syscw") - before);
    return unused;
}

STATE(io_by_thread)
{
    pthread_t thread;
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/io", gettid());
    fflush(stdout);
    unsigned long whole = io_count("/proc/self/io", "syscw"), own = io_count(path, "syscw");
    pthread_create(&thread, NULL, io_thread, NULL);
    pthread_join(thread, NULL);
    /* One line was printed by the thread. */
    printf("the process with its ended thread: +%lu\n", io_count("/proc/self/io", "syscw") - whole);
    printf("the first thread: +%lu\n", io_count(path, "syscw") - own - 1);
}

STATE(io_of_failed_calls)
{
    show_io_change(NULL, "/proc/self/io");
    char byte;
    if (read(-1, &byte, 1) >= 0 || write(-1, &byte, 1) >= 0)
        puts("?");
    unsigned long syscw = io_count("/proc/self/io", "syscw");
    int fd = open("/dev/null", O_WRONLY);
    show("EFAULT or not", write(fd, "12345", 5));
    show_fact("that and its line were counted", io_count("/proc/self/io", "syscw") == syscw + 2);
}

STATE(io_of_another_user)
{
    pid_t child = child_after(NULL);
    int fd = open(proc_path(child, "io"), O_RDONLY);
    pid_t reader = split();
    if (reader == 0) {
        if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0)
            not_run("cannot become another user");
        show("open", open(proc_path(child, "io"), O_RDONLY));
        show("read of what root had opened", read(fd, text, 100));
        exit(0);
    }
    reap("reader", reader);
    end(child);
}

STATE(scheduling_in_stat)
{
    printf("priority %s nice %s rt %s policy %s\n", stat_word(getpid(), 18), stat_word(getpid(), 19), stat_word(getpid(), 40),
           stat_word(getpid(), 41));
    show("setpriority", setpriority(PRIO_PROCESS, 0, 7));
    printf("priority %s nice %s\n", stat_word(getpid(), 18), stat_word(getpid(), 19));
    struct sched_param parameter = { 0 };
    show("SCHED_BATCH", sched_setscheduler(0, SCHED_BATCH, &parameter));
    printf("policy %s\n", stat_word(getpid(), 41));
    show("SCHED_IDLE", sched_setscheduler(0, SCHED_IDLE, &parameter));
    printf("policy %s priority %s\n", stat_word(getpid(), 41), stat_word(getpid(), 18));
}

STATE(affinity_in_status)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    show("sched_setaffinity", sched_setaffinity(0, sizeof set, &set));
    printf("Cpus_allowed %s\n", status_value(getpid(), "Cpus_allowed"));
    printf("Cpus_allowed_list %s\n", status_value(getpid(), "Cpus_allowed_list"));
    printf("Mems_allowed_list %s\n", status_value(getpid(), "Mems_allowed_list"));
    CPU_ZERO(&set);
    show("none", sched_setaffinity(0, sizeof set, &set));
}

STATE(times_in_stat_are_those_of_times)
{
    struct timespec now, start;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 80);
    struct tms used;
    times(&used);
    long user = stat_number(getpid(), 14), system = stat_number(getpid(), 15);
    show_fact("user", user >= used.tms_utime && user <= used.tms_utime + 2);
    show_fact("system", system >= used.tms_stime && system <= used.tms_stime + 2);
    show_fact("something", user + system >= 6);
}

STATE(start_time_in_stat)
{
    unsigned long own = stat_number(getpid(), 22);
    struct timespec boot;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    unsigned long now = boot.tv_sec * 100 + boot.tv_nsec / 10000000;
    show_fact("in the past, not long ago", own <= now && now - own < 1000);
    usleep(30000);
    pid_t child = child_after(NULL);
    show_fact("a child later", stat_number(child, 22) > own);
    end(child);
    pthread_t thread;
    pthread_create(&thread, NULL, (void *(*)(void *))(void *)getpid, NULL);
    pthread_join(thread, NULL);
    show_fact("stays the same", stat_number(getpid(), 22) == own);
}

STATE(faults_in_stat)
{
    unsigned long before = stat_number(getpid(), 10);
    char *at = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(at, 64 * PAGE, MADV_NOHUGEPAGE);
    for (int i = 0; i < 64; i++)
        at[i * PAGE] = 1;
    unsigned long faults = stat_number(getpid(), 10) - before;
    /* A kernel may map more than one page for a fault. */
    show_fact("at least one, at most a few more than pages", faults >= 1 && faults < 84);
}

STATE(switches_in_status)
{
    unsigned long before = strtoul(status_value(getpid(), "voluntary_ctxt_switches"), NULL, 10);
    for (int i = 0; i < 10; i++)
        usleep(1000);
    unsigned long after = strtoul(status_value(getpid(), "voluntary_ctxt_switches"), NULL, 10);
    show_fact("sleeping counts", after >= before + 10 && after < before + 30);
}

STATE(status_has_these_lines)
{
    ssize_t length = read_file("/proc/self/status", text, sizeof text);
    for (char *line = text; length > 0 && *line; line += strcspn(line, "\n") + 1) {
        /* Of a processor with shadow stacks. */
        if (strncmp(line, "x86_Thread", 10))
            printf("%.*s%s\n", (int)strcspn(line, ":") + 1, line, line[strcspn(line, ":") + 1] == '\t' ? " tab" : "");
    }
}

STATE(stat_has_52_words_and_statm_7)
{
    ssize_t length = read_file("/proc/self/stat", text, sizeof text);
    int words = 0;
    for (ssize_t i = 0; i < length; i++)
        words += text[i] == ' ' || text[i] == '\n';
    show("stat", words);
    show_fact("no two blanks", length > 0 && !strstr(text, "  ") && text[length - 1] == '\n');
    length = read_file("/proc/self/statm", text, sizeof text);
    words = 0;
    for (ssize_t i = 0; i < length; i++)
        words += text[i] == ' ' || text[i] == '\n';
    show("statm", words);
}

STATE(small_files_of_an_ordinary_process)
{
    static const char *const FILES[] = { "personality", "loginuid", "sessionid", "coredump_filter", "timerslack_ns", "projid_map", "oom_score_adj", "oom_adj",
                                         "wchan", "timens_offsets", "patch_state" };
    for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++)
        show_file(FILES[i], proc_path(getpid(), FILES[i]));
}

STATE(coredump_filter_written)
{
    static const char *const WORDS[] = { "7", "0x1ff", "077", "", "x", "-1", "4294967295", " 5\n", "0" };
    for (unsigned i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        show_write("/proc/self/coredump_filter", WORDS[i], strlen(WORDS[i]));
        show_file("  reads", "/proc/self/coredump_filter");
    }
    show_write("/proc/self/coredump_filter", "7\0", 2);
    pid_t child = child_after(NULL);
    show_file("inherited", proc_path(child, "coredump_filter"));
    show_write(proc_path(child, "coredump_filter"), "1", 1);
    show_file("the child's", proc_path(child, "coredump_filter"));
    show_file("the parent's", "/proc/self/coredump_filter");
    end(child);
}

STATE(timerslack_written)
{
    static const char *const WORDS[] = { "1000", "0", "-1", "abc", "", " 7\n", "0x10" };
    for (unsigned i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        show_write("/proc/self/timerslack_ns", WORDS[i], strlen(WORDS[i]));
        show_file("  reads", "/proc/self/timerslack_ns");
    }
    pid_t child = child_after(NULL);
    show_write(proc_path(child, "timerslack_ns"), "12345", 5);
    show_file("a child's", proc_path(child, "timerslack_ns"));
    end(child);
}

STATE(personality_as_set)
{
    show_file("as started", "/proc/self/personality");
    syscall(SYS_personality, 0x0040000);
    show_file("without randomization", "/proc/self/personality");
    syscall(SYS_personality, 0);
}

STATE(children_of_a_thread)
{
    char path[64], expected[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", gettid());
    show_file("none", path);
    pid_t one = child_after(NULL), two = child_after(NULL), three = child_after(NULL);
    snprintf(expected, sizeof expected, "%d %d %d ", one, two, three);
    show_fact("in the order of fork", read_file(path, text, sizeof text) > 0 && !strcmp(text, expected));
    make_zombie(two);
    show_fact("a zombie is still one", read_file(path, text, sizeof text) > 0 && !strcmp(text, expected));
    waitpid(two, NULL, 0);
    snprintf(expected, sizeof expected, "%d %d ", one, three);
    show_fact("a reaped one is not", read_file(path, text, sizeof text) > 0 && !strcmp(text, expected));
    show("not at the process", access("/proc/self/children", F_OK));
    end(one);
    end(three);
}

STATE(numbers_of_groups_and_sessions)
{
    pid_t child = split();
    if (child == 0) {
        show_fact("group of stat", (int)stat_number(getpid(), 5) == getpgrp());
        show_fact("session of stat", (int)stat_number(getpid(), 6) == getsid(0));
        show_fact("setsid", setsid() == getpid());
        show_fact("both are the process", (int)stat_number(getpid(), 5) == getpid() && (int)stat_number(getpid(), 6) == getpid());
        printf("tty %s foreground group %s\n", stat_word(getpid(), 7), stat_word(getpid(), 8));
        show_fact("NSsid", atoi(status_value(getpid(), "NSsid")) == getpid());
        show_fact("NSpgid", atoi(status_value(getpid(), "NSpgid")) == getpid());
        exit(0);
    }
    reap("child", child);
}

STATE(flags_in_stat)
{
    unsigned long flags = stat_number(getpid(), 9);
    show_fact("forked and not executed since", flags & 0x40);
    show_fact("not exiting, not a kernel thread", !(flags & 0x200004));
    pid_t child = child_after(NULL);
    make_zombie(child);
    flags = stat_number(child, 9);
    show_fact("a killed one is exiting", flags & 4);
    show_fact("and killed by a signal", flags & 0x400);
}
