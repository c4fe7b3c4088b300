/* The small files by which a task is told how to behave: what they show, take and hand down. */
#include "check.h"
#include <dirent.h>
#include <sys/personality.h>

static void put(const char *path, const char *text)
{
    char what[256];
    int fd = open(path, O_WRONLY);
    snprintf(what, sizeof what, "  write \"%s\"", text);
    for (char *c = what; *c; c++)
        if (*c == '\n')
            *c = '~';
    if (fd < 0) {
        show(what, fd);
        return;
    }
    show(what, write(fd, text, strlen(text)));
    close(fd);
}

static void show_one(const char *file)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/%s", file);
    show_file(file, path);
}

static void in_child(void (*act)(void))
{
    pid_t child = split();
    if (child == 0) {
        act();
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void show_inherited(void)
{
    static const char *const FILES[] = { "personality", "coredump_filter", "timerslack_ns", "loginuid" };
    for (unsigned i = 0; i < 4; i++)
        show_one(FILES[i]);
    put("/proc/self/timerslack_ns", "0");
    show_one("timerslack_ns");
}

static void dump_filter(void)
{
    const char *path = "/proc/self/coredump_filter";
    show_one("coredump_filter");
    const char *const TEXTS[] = { "7", "0x21\n", "010", "+3", " 3", "-1", "0xfffffff", "99999999999", "", "x", "7 " };
    for (unsigned i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        put(path, TEXTS[i]);
        show_one("coredump_filter");
    }
    int fd = open(path, O_RDWR);
    show("  a NUL and more", write(fd, "5\0junk", 6));
    show("  pwrite", pwrite(fd, "6", 1, 100));
    show_one("coredump_filter");
    char text[16];
    show("  pread", pread(fd, text, 4, 5));
    show("  seek to the end", lseek(fd, 0, SEEK_END));
    show("  seek far", lseek(fd, 1l << 31, SEEK_SET));
    show("  a bad address", syscall(SYS_write, fd, 16, 3));
}

static void timer_slack(void)
{
    const char *path = "/proc/self/timerslack_ns";
    show_one("timerslack_ns");
    show("  PR_GET_TIMERSLACK", prctl(PR_GET_TIMERSLACK));
    const char *const TEXTS[] = { "70000", "0x10", "010\n", "18446744073709551615", "18446744073709551616", "-1", "0" };
    for (unsigned i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        put(path, TEXTS[i]);
        show_one("timerslack_ns");
    }
    show("  PR_SET_TIMERSLACK", prctl(PR_SET_TIMERSLACK, 1234));
    show_one("timerslack_ns");
    int fd = open(path, O_RDWR);
    show("  pwrite", pwrite(fd, "6", 1, 0));
}

static void unprivileged(void)
{
    pid_t parent = getppid();
    show_ok("become somebody else", setresgid(1, 1, 1) | setresuid(1, 1, 1));
    int fd = open(proc_path(parent, "timerslack_ns"), O_RDWR);
    char text[64];
    show("  read another's timerslack_ns", read(fd, text, sizeof text));
    show("  write it", write(fd, "1", 1));
    show("  open another's coredump_filter", open(proc_path(parent, "coredump_filter"), O_WRONLY));
    show("  open its personality", open(proc_path(parent, "personality"), O_RDONLY));
    show("  open its loginuid", open(proc_path(parent, "loginuid"), O_WRONLY));
    prctl(PR_SET_DUMPABLE, 1);
    show_one("personality");
}

static void persona(void)
{
    show("  old", personality(ADDR_NO_RANDOMIZE | SHORT_INODE));
    show_one("personality");
    show("  asked", personality(0xffffffff));
    show("  any bits", personality(0x12345678));
    show_one("personality");
    personality(ADDR_NO_RANDOMIZE);
}

static void login(void)
{
    const char *path = "/proc/self/loginuid";
    show_one("loginuid");
    show_one("sessionid");
    int fd = open(path, O_WRONLY);
    show("  not at the start", pwrite(fd, "7", 1, 3));
    put(path, "x");
    put(path, "0x10");
    put(path, "4294967296");
    put(proc_path(getppid(), "loginuid"), "5");
    put(path, "1000");
    show_one("loginuid");
    char text[64];
    read_file("/proc/self/sessionid", text, sizeof text);
    show_fact("  it has a session", strcmp(text, "4294967295") != 0);
    put(path, "4294967295");
    show_one("loginuid");
    show_one("sessionid");
    put(path, "1001");
}

static void attributes(void)
{
    DIR *dir = opendir("/proc/self/attr");
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char path[512];
        struct stat status;
        snprintf(path, sizeof path, "/proc/self/attr/%s", entry->d_name);
        if (entry->d_name[0] == '.' || strchr("cpefks", entry->d_name[0]) == NULL || stat(path, &status) < 0)
            continue;
        if (!S_ISREG(status.st_mode))
            continue;
        printf("%s %o\n", entry->d_name, status.st_mode);
        show_file("  read", path);
    }
    put("/proc/self/attr/exec", "x");
    put(proc_path(getppid(), "attr/exec"), "x");
    show("nothing else is there", open("/proc/self/attr/other", O_RDONLY));
}

static void rest(void)
{
    show_one("timers");
    show_one("timens_offsets");
    put("/proc/self/timens_offsets", "monotonic 1 1");
    put("/proc/self/timens_offsets", "1 1 0\nboottime 0 0\n");
    put("/proc/self/timens_offsets", "realtime 1 1");
    put("/proc/self/timens_offsets", "monotonic 1");
    put("/proc/self/timens_offsets", "monotonic 1 1000000000");
    show_one("cpuset");
    char text[256];
    unsigned long long run, wait, times;
    int end = -1;
    read_file("/proc/self/schedstat", text, sizeof text);
    int words = sscanf(text, "%llu %llu %llu%n", &run, &wait, &times, &end);
    show_fact("schedstat is three numbers and a newline", words == 3 && !strcmp(text + end, "\n"));
    show_fact("it got the processor", times > 0);
    unsigned long long before = run;
    for (volatile int i = 0; i < 20000000; i++)
        ;
    read_file("/proc/self/schedstat", text, sizeof text);
    show_fact("it runs on", sscanf(text, "%llu", &run) == 1 && run > before);
}

static void zombie(void)
{
    static const char *const FILES[] = { "coredump_filter", "timerslack_ns", "loginuid", "sessionid", "personality", "schedstat",
                                         "cpuset", "timens_offsets", "timers", "wchan", "oom_score_adj", "oom_score" };
    pid_t child = split();
    if (child == 0)
        _exit(0);
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    int kept[12];
    char text[256];
    for (int i = 0; i < 12; i++) {
        kept[i] = open(proc_path(child, FILES[i]), O_RDWR);
        if (kept[i] < 0)
            kept[i] = open(proc_path(child, FILES[i]), O_RDONLY);
        ssize_t length = read(kept[i], text, sizeof text);
        if (strcmp(FILES[i], "schedstat"))
            show_bytes(FILES[i], text, length);
    }
    show("write coredump_filter", write(kept[0], "1", 1));
    waitpid(child, NULL, 0);
    for (int i = 0; i < 12; i++) {
        printf("%s of one that is reaped", FILES[i]);
        show("", pread(kept[i], text, sizeof text, 0));
    }
    show("write coredump_filter", write(kept[0], "1", 1));
    show("write timerslack_ns", write(kept[1], "1", 1));
}

static void handed_down(void)
{
    personality(ADDR_NO_RANDOMIZE);
    put("/proc/self/coredump_filter", "0x11");
    prctl(PR_SET_TIMERSLACK, 777);
    put("/proc/self/loginuid", "12");
    in_child(show_inherited);
    pid_t child = split();
    if (child == 0) {
        execl("/proc/self/exe", "settings", "shown", NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        puts("after exec");
        show_inherited();
        show_fact("its stack is where stacks end", (uintptr_t)&argc > 0x7fffffe00000ul);
        show_fact("not marked as randomised", !(strtoul(stat_word(getpid(), 9), NULL, 10) & 0x400000));
        return 0;
    }
    in_child(dump_filter);
    in_child(timer_slack);
    in_child(persona);
    in_child(login);
    in_child(attributes);
    in_child(rest);
    in_child(zombie);
    in_child(handed_down);
    in_child(unprivileged);
    return 0;
}
