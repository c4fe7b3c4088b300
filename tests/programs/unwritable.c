/* What root may open for writing although nothing can be written to it. */
#include "check.h"

static void *volatile nowhere = (void *)8;

int main(void)
{
    const char *const names[] = { "version", "uptime", "stat", "meminfo", "cmdline", "loadavg", "filesystems", "cpuinfo", "interrupts", "softirqs", "swaps",
        "locks", "devices", "vmstat", "net/sockstat", "self/net/netstat", "self/status", "self/stat", "self/maps", "self/mountinfo", "self/io",
        "self/wchan", "self/auxv", "self/cmdline", "self/limits", "self/mounts", "self/fdinfo/0" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char path[64], what[96];
        snprintf(path, sizeof path, "/proc/%s", names[i]);
        int fd = open(path, O_WRONLY);
        if (fd < 0) {
            printf("%s: %s\n", path, error_name());
            continue;
        }
        snprintf(what, sizeof what, "%s: a byte", path);
        show(what, write(fd, "x", 1));
        show("  none", write(fd, "", 0));
        show("  at an offset", pwrite(fd, "x", 1, 3));
        show("  from nowhere", write(fd, nowhere, 1));
        close(fd);
    }
    return 0;
}
