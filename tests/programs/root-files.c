/* The files of /proc about interrupts, pressure and pages: their form, and that their numbers follow what the program does. */
#include "check.h"
#include <dirent.h>

static char text[1 << 20];

/* The number behind a name at the start of a line; -1 without such a line. */
static long number(const char *path, const char *key)
{
    if (read_file(path, text, sizeof text) < 0)
        return -1;
    size_t length = strlen(key);
    for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char *start = line + strspn(line, " ");
        if (!strncmp(start, key, length))
            return strtol(start + length, NULL, 10);
    }
    return -1;
}

static void modes(void)
{
    const char *const names[] = { "misc", "stat", "locks", "swaps", "uptime", "vmstat", "cgroups", "cmdline", "cpuinfo", "devices", "loadavg", "meminfo",
        "version", "softirqs", "buddyinfo", "diskstats", "interrupts", "partitions", "execdomains", "filesystems", "pressure", "pressure/cpu", "pressure/io",
        "pressure/memory", "mounts", "net", "self", "thread-self", "sys" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64];
        struct stat st;
        snprintf(path, sizeof path, "/proc/%s", names[i]);
        if (lstat(path, &st) < 0)
            printf("%s: %s\n", path, error_name());
        else
            printf("%s: %o %u:%u\n", path, st.st_mode, st.st_uid, st.st_gid);
    }
}

/* No name twice, and the offsets rise; self and the processes stand behind the rest. */
static void listing(void)
{
    DIR *dir = opendir("/proc");
    char names[1024][24];
    int count = 0, twice = 0, self = -1, process = -1, plain = -1;
    for (struct dirent *entry; (entry = readdir(dir)) && count < 1024; count++) {
        snprintf(names[count], sizeof names[count], "%.23s", entry->d_name);
        for (int i = 0; i < count; i++)
            twice += !strcmp(names[i], names[count]);
        if (!strcmp(entry->d_name, "self"))
            self = count;
        else if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9')
            process = process < 0 ? count : process;
        else if (strcmp(entry->d_name, "thread-self"))
            plain = count;
        if (!strcmp(entry->d_name, "self"))
            printf("offset behind self: %ld\n", telldir(dir));
    }
    closedir(dir);
    printf("names twice: %d\n", twice);
    show_fact("self is behind the rest", self > plain);
    show_fact("processes are behind self", process == self + 2);
}

/* How far each line of meminfo moves when memory is used and given back. Others use memory at the same time on the host, so
 * a line has moved as it should if it did once of many times. */
static const char *const lines[] = { "AnonPages:", "Shmem:", "Mapped:" };
enum { LINES = sizeof lines / sizeof *lines, SLACK_KB = 768 };

static void take(long kb[LINES])
{
    for (int i = 0; i < LINES; i++)
        kb[i] = number("/proc/meminfo", lines[i]);
}

static void use_memory(const char *what, int flags, const long expected_kb[LINES])
{
    const size_t size = 8 << 20;
    int rose[LINES] = { 0 }, fell[LINES] = { 0 };
    int done = 0;
    for (int tries = 0; tries < 40 && done < 2 * LINES; tries++) {
        long before[LINES], used[LINES], after[LINES];
        take(before);
        char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
        madvise(bytes, size, MADV_NOHUGEPAGE);
        memset(bytes, 1, size);
        take(used);
        munmap(bytes, size);
        take(after);
        done = 0;
        for (int i = 0; i < LINES; i++) {
            rose[i] |= labs(used[i] - before[i] - expected_kb[i]) <= SLACK_KB;
            fell[i] |= labs(used[i] - after[i] - expected_kb[i]) <= SLACK_KB;
            done += rose[i] + fell[i];
        }
    }
    for (int i = 0; i < LINES; i++)
        printf("%s memory: %s moves by %ld kB: %s, and back: %s\n", what, lines[i], expected_kb[i], rose[i] ? "yes" : "no", fell[i] ? "yes" : "no");
}

static void memory(void)
{
    long faults = number("/proc/vmstat", "pgfault "), taken = number("/proc/vmstat", "pgalloc_normal "), freed = number("/proc/vmstat", "pgfree ");
    use_memory("private", MAP_PRIVATE, (long[]){ 8192, 0, 0 });
    use_memory("shared", MAP_SHARED, (long[]){ 0, 8192, 8192 });
    /* A page in each 2 MiB: as many page tables as pages, and these in private memory, perhaps with neighbours. */
    int is_table_counted = 0;
    for (int tries = 0; tries < 40 && !is_table_counted; tries++) {
        const size_t size = 1 << 30, step = 2 << 20;
        long before_kb = number("/proc/meminfo", "PageTables:");
        char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        madvise(bytes, size, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < size; at += step)
            bytes[at] = 1;
        is_table_counted |= labs(number("/proc/meminfo", "PageTables:") - before_kb - 2048) <= SLACK_KB;
        munmap(bytes, size);
    }
    show_fact("PageTables by 512 tables", is_table_counted);
    show_fact("pgfault rises", number("/proc/vmstat", "pgfault ") > faults);
    show_fact("pgalloc_normal rises", number("/proc/vmstat", "pgalloc_normal ") > taken);
    show_fact("pgfree rises", number("/proc/vmstat", "pgfree ") > freed);
}

static void pressure(void)
{
    const char *const files[] = { "/proc/pressure/cpu", "/proc/pressure/io", "/proc/pressure/memory" };
    for (int i = 0; i < 3; i++) {
        unsigned a[6], b[6];
        unsigned long long some, full;
        int end = 0;
        read_file(files[i], text, sizeof text);
        int got = sscanf(text, "some avg10=%u.%u avg60=%u.%u avg300=%u.%u total=%llu full avg10=%u.%u avg60=%u.%u avg300=%u.%u total=%llu\n%n", a, a + 1, a + 2,
            a + 3, a + 4, a + 5, &some, b, b + 1, b + 2, b + 3, b + 4, b + 5, &full, &end);
        printf("%s: %d numbers, %s\n", files[i], got, text[end] ? "more" : "no more");
    }
    long before = number(files[0], "some avg10=") < 0 ? -1 : strtol(strstr(text, "total=") + 6, NULL, 10);
    pid_t child[4];
    for (int i = 0; i < 4; i++)
        if ((child[i] = split()) == 0) {
            for (time_t end = time(NULL) + 2; time(NULL) < end;)
                ;
            _exit(0);
        }
    for (int i = 0; i < 4; i++)
        waitpid(child[i], NULL, 0);
    number(files[0], "some avg10=");
    show_fact("four that spin wait for the CPU", strtol(strstr(text, "total=") + 6, NULL, 10) > before + 100000);
}

int main(void)
{
    modes();
    listing();
    memory();
    pressure();
    show_file("execdomains", "/proc/execdomains");
    read_file("/proc/cgroups", text, sizeof text);
    show_bytes("cgroups", text, strcspn(text, "\n"));
    long timer = number("/proc/interrupts", "LOC:"), all = number("/proc/stat", "intr ");
    for (int i = 0; i < 20; i++)
        usleep(3000);
    show_fact("waits take timer interrupts", number("/proc/interrupts", "LOC:") > timer && number("/proc/stat", "intr ") > all);
    const char *const rows[] = { "NMI:", "LOC:", "SPU:", "RES:", "CAL:", "TLB:", "ERR:", "MIS:" };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        show_fact(rows[i], number("/proc/interrupts", rows[i]) >= 0);
    read_file("/proc/interrupts", text, sizeof text);
    show_bytes("header of interrupts", text, 22);
    read_file("/proc/softirqs", text, sizeof text);
    show_bytes("header of softirqs", text, 31);
    int lines = 0;
    for (char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    printf("softirqs: %d lines\n", lines);
    read_file("/proc/buddyinfo", text, sizeof text);
    char *zone = strstr(text, "Normal");
    int orders = 0;
    long blocks, used;
    for (zone = zone ? zone + 6 : zone; zone && sscanf(zone, "%ld%ln", &blocks, &used) == 1; zone += used, orders++)
    printf("orders of free blocks: %d\n", orders >= 11 ? 11 : orders);
    return 0;
}
