/* The files at the top of /proc and below sys: their form, and how sysctls are read and written by pieces. */
#include "state.h"
#include <sys/utsname.h>

/* The words in front of the first of `ends` in each line. */
static void show_keys(const char *path, const char *ends)
{
    ssize_t length = read_file(path, text, sizeof text);
    for (char *line = text; length > 0 && *line; line += strcspn(line, "\n") + 1)
        printf("%.*s\n", (int)strcspn(line, ends), line);
}

STATE(version_and_uname_agree)
{
    struct utsname name;
    uname(&name);
    char release[128] = "", type[64] = "", version[256] = "";
    read_file("/proc/sys/kernel/osrelease", release, sizeof release);
    read_file("/proc/sys/kernel/ostype", type, sizeof type);
    read_file("/proc/sys/kernel/version", version, sizeof version);
    release[strcspn(release, "\n")] = type[strcspn(type, "\n")] = version[strcspn(version, "\n")] = 0;
    show_fact("release", !strcmp(release, name.release));
    show_fact("type", !strcmp(type, name.sysname));
    show_fact("version", !strcmp(version, name.version));
    ssize_t length = read_file("/proc/version", text, sizeof text);
    char start[256];
    snprintf(start, sizeof start, "Linux version %s (", name.release);
    show_fact("/proc/version starts with them", length > 0 && !strncmp(text, start, strlen(start)));
    show_fact("and ends with the version", length > 0 && strstr(text, name.version) && text[length - 1] == '\n');
}

STATE(uptime_has_its_form)
{
    unsigned long up, up_part, idle, idle_part;
    char rest;
    read_file("/proc/uptime", text, sizeof text);
    show("numbers", sscanf(text, "%lu.%2lu %lu.%2lu%c", &up, &up_part, &idle, &idle_part, &rest));
    show_fact("then a newline", rest == '\n');
    struct timespec boot;
    clock_gettime(CLOCK_BOOTTIME, &boot);
    show_fact("as the clock says", boot.tv_sec - (long)up <= 1 && boot.tv_sec - (long)up >= 0);
}

STATE(loadavg_has_its_form)
{
    double one, five, fifteen;
    int running, all, last;
    read_file("/proc/loadavg", text, sizeof text);
    show("numbers", sscanf(text, "%lf %lf %lf %d/%d %d\n", &one, &five, &fifteen, &running, &all, &last));
    show_fact("something runs", running >= 1 && all >= running);
    pid_t child = child_after(NULL);
    read_file("/proc/loadavg", text, sizeof text);
    sscanf(text, "%lf %lf %lf %d/%d %d\n", &one, &five, &fifteen, &running, &all, &last);
    show_fact("the last number is not before the last child's", last >= child);
    end(child);
}

STATE(stat_of_the_system_has_its_lines)
{
    ssize_t length = read_file("/proc/stat", text, sizeof text);
    int columns = 0;
    for (char *at = text; length > 0 && *at != '\n'; at++)
        columns += *at == ' ';
    show("blanks in the first line", columns);
    for (char *line = text; length > 0 && *line; line += strcspn(line, "\n") + 1)
        if (strncmp(line, "cpu", 3) || line[3] == ' ' || line[3] == '0')
            printf("%.*s\n", (int)strcspn(line, " "), line);
    unsigned long before = strtoul(strstr(text, "processes ") + 10, NULL, 10);
    end(child_after(NULL));
    read_file("/proc/stat", text, sizeof text);
    show_fact("a process more", strtoul(strstr(text, "processes ") + 10, NULL, 10) > before);
    char *softirq = strstr(text, "softirq ");
    int words = 0;
    for (; softirq && *softirq != '\n'; softirq++)
        words += *softirq == ' ';
    show("numbers of softirq", words);
}

STATE(meminfo_adds_up)
{
    static const char *const KEYS[] = { "MemTotal:", "MemFree:", "MemAvailable:", "Buffers:", "Cached:", "SwapCached:", "Active:", "Inactive:", "Active(anon):", "Inactive(anon):",
                                        "Active(file):", "Inactive(file):", "Unevictable:", "Mlocked:", "SwapTotal:", "SwapFree:", "Dirty:", "Writeback:", "AnonPages:", "Mapped:",
                                        "Shmem:", "KReclaimable:", "Slab:", "SReclaimable:", "SUnreclaim:", "KernelStack:", "PageTables:", "SecPageTables:", "NFS_Unstable:",
                                        "Bounce:", "WritebackTmp:", "CommitLimit:", "Committed_AS:", "VmallocTotal:", "VmallocUsed:", "VmallocChunk:", "Percpu:", "HugePages_Total:",
                                        "HugePages_Free:", "HugePages_Rsvd:", "HugePages_Surp:", "Hugepagesize:", "Hugetlb:" };
    read_file("/proc/meminfo", text, sizeof text);
    char *last = text;
    for (unsigned i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        char key[64];
        snprintf(key, sizeof key, "\n%s", KEYS[i]);
        char *at = i ? strstr(text, key) : text;
        printf("%s %s\n", KEYS[i], !at ? "absent" : at < last ? "out of order" : "there");
        last = at ? at : last;
    }
    unsigned long total = strtoul(strstr(text, "MemTotal:") + 9, NULL, 10), unused = strtoul(strstr(text, "MemFree:") + 8, NULL, 10);
    show_fact("less is free than there is", unused < total);
    show_fact("a form of columns", text[strcspn(text, "\n") - 3] == ' ' && !memcmp(text + strcspn(text, "\n") - 2, "kB", 2) && strcspn(text, "\n") == 27);
}

STATE(filesystems_has_these)
{
    static const char *const LINES[] = { "nodev\tproc\n", "nodev\ttmpfs\n", "nodev\tdevtmpfs\n", "nodev\tpipefs\n" };
    read_file("/proc/filesystems", text, sizeof text);
    for (unsigned i = 0; i < sizeof LINES / sizeof *LINES; i++)
        show_bytes(strstr(text, LINES[i]) ? "there" : "absent", LINES[i], strlen(LINES[i]));
}

STATE(devices_has_these)
{
    static const char *const LINES[] = { "Character devices:\n", "  1 mem\n", "  5 /dev/tty\n", "  5 /dev/console\n", "\nBlock devices:\n" };
    read_file("/proc/devices", text, sizeof text);
    for (unsigned i = 0; i < sizeof LINES / sizeof *LINES; i++)
        show_bytes(strstr(text, LINES[i]) ? "there" : "absent", LINES[i], strlen(LINES[i]));
}

STATE(cpuinfo_has_these_keys)
{
    static const char *const KEYS[] = { "processor", "vendor_id", "cpu family", "model", "model name", "stepping", "cpu MHz", "cache size", "physical id", "siblings", "core id", "cpu cores",
                                        "apicid", "initial apicid", "fpu", "fpu_exception", "cpuid level", "wp", "flags", "bugs", "bogomips", "clflush size", "cache_alignment",
                                        "address sizes", "power management" };
    read_file("/proc/cpuinfo", text, sizeof text);
    for (unsigned i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        char key[64];
        snprintf(key, sizeof key, "\n%s\t", KEYS[i]);
        printf("%s: %s\n", KEYS[i], (i ? strstr(text, key) != NULL : !strncmp(text, "processor\t", 10)) ? "there" : "absent");
    }
}

STATE(swaps_has_its_header)
{
    read_file("/proc/swaps", text, sizeof text);
    show_bytes("swaps", text, strcspn(text, "\n") + 1);
    show_keys("/proc/swaps", "\t ");
}

STATE(modes_at_the_top)
{
    static const char *const FILES[] = { "version", "uptime", "loadavg", "stat", "meminfo", "cpuinfo", "filesystems", "devices", "cmdline", "mounts", "self", "thread-self", "net",
                                         "sys", "sys/kernel", "sys/kernel/hostname", "sys/kernel/ostype", "sys/kernel/pid_max", "sys/vm/overcommit_memory", "sys/kernel/random/uuid" };
    for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        char path[64];
        struct stat status;
        snprintf(path, sizeof path, "/proc/%s", FILES[i]);
        if (lstat(path, &status) < 0)
            printf("%s: %s\n", FILES[i], error_name());
        else
            printf("%s: %o %u:%u links %s\n", FILES[i], status.st_mode, status.st_uid, status.st_gid, S_ISDIR(status.st_mode) ? "-" : status.st_nlink == 1 ? "1" : "more");
    }
}

STATE(sysctl_numbers_by_pieces)
{
    int fd = open("/proc/sys/kernel/cap_last_cap", O_RDONLY);
    show_bytes("two bytes", text, read(fd, text, 2));
    show("then", read(fd, text, 10));
    show_bytes("pread at 0", text, pread(fd, text, 10, 0));
    show("pread at 1", pread(fd, text, 10, 1));
    show("lseek to the start", lseek(fd, 0, SEEK_SET));
    show_bytes("again", text, read(fd, text, 10));
    show_bytes("one byte", text, pread(fd, text, 1, 0));
    show("a bad pointer", syscall(SYS_pread64, fd, 16, 10, 0));
    show("SEEK_END", lseek(fd, 0, SEEK_END));
}

STATE(sysctl_strings_by_pieces)
{
    int fd = open("/proc/sys/kernel/ostype", O_RDONLY);
    show_bytes("two bytes", text, read(fd, text, 2));
    show_bytes("then", text, read(fd, text, 2));
    show_bytes("the rest", text, read(fd, text, 10));
    show("the end", read(fd, text, 10));
    show_bytes("pread at 3", text, pread(fd, text, 10, 3));
    show("pread behind", pread(fd, text, 10, 100));
}

STATE(sysctl_read_only_ones_written)
{
    show("ostype", open("/proc/sys/kernel/ostype", O_WRONLY));
    show("cap_last_cap", open("/proc/sys/kernel/cap_last_cap", O_RDWR));
    show("a name that is not", open("/proc/sys/kernel/nothing", O_RDONLY));
    show("a new one", open("/proc/sys/kernel/nothing", O_CREAT | O_WRONLY, 0644));
    show_ok("mkdir", mkdir("/proc/sys/kernel/nothing", 0755));
    show_ok("unlink", unlink("/proc/sys/kernel/ostype"));
    show_ok("chmod", chmod("/proc/sys/kernel/ostype", 0644));
    show_ok("chown", chown("/proc/sys/kernel/ostype", 1, 1));
    show_ok("truncate", truncate("/proc/sys/kernel/hostname", 0));
    show("a directory for writing", open("/proc/sys/kernel", O_WRONLY));
    show("a directory read", read(open("/proc/sys/kernel", O_RDONLY), text, 10));
}

STATE(sysctl_values_that_are_the_same_everywhere)
{
    static const char *const FILES[] = { "kernel/ostype", "kernel/cap_last_cap", "kernel/ngroups_max", "kernel/overflowuid", "kernel/overflowgid", "fs/overflowuid", "fs/overflowgid",
                                         "kernel/random/poolsize", "fs/nr_open", "fs/pipe-max-size" };
    for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/sys/%s", FILES[i]);
        show_file(FILES[i], path);
    }
}

STATE(random_numbers_of_the_kernel)
{
    char one[64] = "", two[64] = "";
    read_file("/proc/sys/kernel/random/uuid", one, sizeof one);
    read_file("/proc/sys/kernel/random/uuid", two, sizeof two);
    show_fact("another each time", strcmp(one, two) != 0);
    show_fact("of this form", strlen(one) == 37 && one[8] == '-' && one[13] == '-' && one[14] == '4' && one[18] == '-' && one[23] == '-' && one[36] == '\n');
    read_file("/proc/sys/kernel/random/boot_id", one, sizeof one);
    read_file("/proc/sys/kernel/random/boot_id", two, sizeof two);
    show_fact("boot_id stays", !strcmp(one, two) && strlen(one) == 37);
    int fd = open("/proc/sys/kernel/random/uuid", O_RDONLY);
    show("ten bytes", read(fd, one, 10));
    show("then", read(fd, text, 100) > 0);
}

STATE(directories_cannot_be_read_as_files)
{
    static const char *const NAMES[] = { "/proc", "/proc/self", "/proc/self/task", "/proc/self/fd", "/proc/self/ns", "/proc/sys", "/proc/self/fdinfo" };
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        int fd = open(NAMES[i], O_RDONLY);
        show(NAMES[i], read(fd, text, 10));
        show("  pread", pread(fd, text, 10, 0));
        close(fd);
    }
}

STATE(no_name_is_listed_twice)
{
    static const char *const NAMES[] = { "/proc", "/proc/self", "/proc/thread-self", "/proc/sys", "/proc/sys/kernel", "/proc/self/ns" };
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        DIR *open = opendir(NAMES[i]);
        struct dirent *entry;
        static char seen[8192][32];
        int count = 0, twice = 0;
        while (open && (entry = readdir(open)) && count < 8192) {
            snprintf(seen[count], sizeof seen[0], "%.31s", entry->d_name);
            for (int j = 0; j < count; j++)
                twice += !strcmp(seen[j], seen[count]);
            count++;
        }
        printf("%s: %d\n", NAMES[i], twice);
        if (open)
            closedir(open);
    }
}
