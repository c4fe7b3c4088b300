/* The files of /proc about the whole system: their form, and their numbers against what other calls and the program's own deeds say. */
#include "check.h"
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static char text[1 << 20];

static long line_number(const char *path, const char *key)
{
    if (read_file(path, text, sizeof text) < 0)
        return -1;
    size_t length = strlen(key);
    for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (!strncmp(line, key, length))
            return strtol(line + length, NULL, 10);
    errno = ENOENT;
    return -1;
}

int main(void)
{
    struct utsname names;
    struct sysinfo info;
    uname(&names);
    int end = 0;
    double up, idle;
    read_file("/proc/uptime", text, sizeof text);
    show_fact("uptime is two numbers", sscanf(text, "%lf %lf\n%n", &up, &idle, &end) == 2 && text[end] == 0);
    show_fact("with two decimals", strlen(strchr(text, '.')) > 3 && strchr(text, '.')[3] == ' ');
    sysinfo(&info);
    show_fact("it is sysinfo's", labs((long)up - info.uptime) <= 1);
    double load[3];
    int running, total, last;
    read_file("/proc/loadavg", text, sizeof text);
    show_fact("loadavg has its five words", sscanf(text, "%lf %lf %lf %d/%d %d\n%n", load, load + 1, load + 2, &running, &total, &last, &end) == 6 && text[end] == 0);
    show_fact("somebody runs", running >= 1 && total >= running);
    pid_t child = split();
    if (child == 0)
        _exit(0);
    read_file("/proc/loadavg", text, sizeof text);
    show_fact("the last pid is the newest", atoi(strrchr(text, ' ')) >= child);
    waitpid(child, NULL, 0);

    const char *const memory[] = { "MemTotal:", "MemFree:", "MemAvailable:", "Buffers:", "Cached:", "SwapTotal:", "SwapFree:", "Dirty:", "AnonPages:",
                                   "Mapped:", "Shmem:", "Slab:", "KernelStack:", "PageTables:", "CommitLimit:", "Committed_AS:", "VmallocTotal:" };
    for (unsigned i = 0; i < sizeof memory / sizeof *memory; i++)
        show_fact(memory[i], line_number("/proc/meminfo", memory[i]) >= 0);
    sysinfo(&info);
    show_fact("MemTotal is sysinfo's", line_number("/proc/meminfo", "MemTotal:") == (long)(info.totalram * info.mem_unit / 1024));
    show_fact("free is less than all", line_number("/proc/meminfo", "MemFree:") < line_number("/proc/meminfo", "MemTotal:"));
    read_file("/proc/meminfo", text, sizeof text);
    show_bytes("how a line of meminfo starts", text, 9);
    show_fact("and ends", strchr(text, '\n') == text + 27 && !memcmp(text + 24, " kB\n", 4));
    size_t size = 4 << 20;
    long before = line_number("/proc/meminfo", "AnonPages:");
    char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(bytes, 1, size);
    show_fact("AnonPages grows with use", line_number("/proc/meminfo", "AnonPages:") > before);
    munmap(bytes, size);

    long forks = line_number("/proc/stat", "processes ");
    for (int i = 0; i < 5; i++) {
        child = split();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
    show_fact("processes counts forks", line_number("/proc/stat", "processes ") >= forks + 5);
    long switches = line_number("/proc/stat", "ctxt ");
    usleep(1000);
    show_fact("ctxt counts switches", line_number("/proc/stat", "ctxt ") > switches);
    struct timespec now, boot;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &boot);
    show_fact("btime is when it booted", labs(line_number("/proc/stat", "btime ") - (now.tv_sec - boot.tv_sec)) <= 1);
    show_fact("procs_running counts us", line_number("/proc/stat", "procs_running ") >= 1);
    show_fact("procs_blocked", line_number("/proc/stat", "procs_blocked ") >= 0);
    show_fact("intr", line_number("/proc/stat", "intr ") >= 0);
    show_fact("softirq", line_number("/proc/stat", "softirq ") >= 0);
    unsigned long ticks[10];
    read_file("/proc/stat", text, sizeof text);
    show_fact("cpu has two blanks and ten numbers",
              sscanf(text, "cpu  %lu %lu %lu %lu %lu %lu %lu %lu %lu %lu\ncpu0 %n", ticks, ticks + 1, ticks + 2, ticks + 3, ticks + 4, ticks + 5, ticks + 6,
                     ticks + 7, ticks + 8, ticks + 9, &end) == 10 && !memcmp(text, "cpu  ", 5));
    unsigned long user = ticks[0] + ticks[1] + ticks[2];
    struct timespec until, at;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &until);
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    while ((at.tv_sec - until.tv_sec) * 1000 + (at.tv_nsec - until.tv_nsec) / 1000000 < 200);
    read_file("/proc/stat", text, sizeof text);
    sscanf(text, "cpu  %lu %lu %lu", ticks, ticks + 1, ticks + 2);
    show_fact("work is counted", ticks[0] + ticks[1] + ticks[2] >= user + 15);

    char expected[400];
    snprintf(expected, sizeof expected, "%s version %s (", names.sysname, names.release);
    read_file("/proc/version", text, sizeof text);
    show_fact("version starts with uname's", !strncmp(text, expected, strlen(expected)));
    show_fact("it is one line", strchr(text, '\n') && strchr(text, '\n')[1] == 0);
    show_fact("its end is uname's version", strlen(text) > strlen(names.version) && !strncmp(text + strlen(text) - 1 - strlen(names.version), names.version, strlen(names.version)));
    read_file("/proc/cpuinfo", text, sizeof text);
    show_bytes("cpuinfo starts", text, strcspn(text, "\n"));
    const char *const cpu[] = { "\nvendor_id\t: ", "\ncpu family\t: ", "\nmodel\t\t: ", "\nmodel name\t: ", "\nstepping\t: ", "\ncpu MHz\t\t: ", "\nflags\t\t: ", "\nbogomips\t: ", "\naddress sizes\t: " };
    for (unsigned i = 0; i < sizeof cpu / sizeof *cpu; i++)
        show_fact(cpu[i] + 1, strstr(text, cpu[i]) != NULL);
    show_fact("it ends with an empty line", strlen(text) > 2 && !strcmp(text + strlen(text) - 2, "\n\n"));
    read_file("/proc/filesystems", text, sizeof text);
    show_fact("filesystems has proc", strstr(text, "nodev\tproc\n") != NULL);
    show_fact("filesystems has tmpfs", strstr(text, "nodev\ttmpfs\n") != NULL);
    char link[64] = "";
    show_fact("mounts is a link to self", readlink("/proc/mounts", link, sizeof link) == 11 && !strcmp(link, "self/mounts"));
    read_file("/proc/mounts", text, sizeof text);
    show_fact("mounts has proc", strstr(text, " /proc proc ") != NULL);
    show_fact("a line ends with two zeros", strstr(text, " 0 0\n") != NULL);
    return 0;
}
