/* What the files of a process give while it lives, when it is a zombie and when it is reaped: opened anew, and opened while it lived. */
#include "check.h"
#include <dirent.h>

static const char *const FILES[] = { "stat", "status", "statm", "comm", "cmdline", "environ", "auxv", "maps", "mounts" };
static const char *const LINKS[] = { "exe", "cwd", "root" };
#define COUNT (sizeof FILES / sizeof *FILES)

static char text[1 << 16];
static int kept[COUNT];

static const char *result(ssize_t length)
{
    return length < 0 ? error_name() : length == 0 ? "end" : "content";
}

static const char *listing(pid_t pid, const char *directory)
{
    static char answer[32];
    DIR *open = opendir(proc_path(pid, directory));
    if (!open)
        return error_name();
    int count = 0;
    struct dirent *entry;
    errno = 0;
    while ((entry = readdir(open)))
        count += entry->d_name[0] != '.';
    snprintf(answer, sizeof answer, "%s", errno ? error_name() : count ? "entries" : "empty");
    closedir(open);
    return answer;
}

static void show_state(const char *what, pid_t pid)
{
    printf("%s\n", what);
    for (unsigned i = 0; i < COUNT; i++) {
        int fd = open(proc_path(pid, FILES[i]), O_RDONLY);
        if (fd < 0) {
            printf("  %s: open %s\n", FILES[i], error_name());
        } else {
            printf("  %s: read %s\n", FILES[i], result(read(fd, text, sizeof text)));
            close(fd);
        }
    }
    for (unsigned i = 0; i < sizeof LINKS / sizeof *LINKS; i++)
        printf("  %s: %s\n", LINKS[i], result(readlink(proc_path(pid, LINKS[i]), text, sizeof text)));
    printf("  fd: %s\n", listing(pid, "fd"));
    struct stat status;
    printf("  directory: %s\n", stat(proc_path(pid, ""), &status) < 0 ? error_name() : "there");
    for (unsigned i = 0; i < COUNT; i++) {
        if (kept[i] > 0) {
            errno = 0;
            printf("  %s opened before: %s\n", FILES[i], result(pread(kept[i], text, sizeof text, 0)));
        }
    }
}

int main(void)
{
    pid_t child = split();
    if (child == 0)
        for (;;)
            pause();
    wait_for_state(child, "S");
    show_state("alive", child);
    for (unsigned i = 0; i < COUNT; i++)
        kept[i] = open(proc_path(child, FILES[i]), O_RDONLY);
    int directory = open(proc_path(child, ""), O_RDONLY | O_DIRECTORY);
    int descriptors = open(proc_path(child, "fd"), O_RDONLY | O_DIRECTORY);
    /* These keep what they had begun to read. */
    int begun_status = open(proc_path(child, "status"), O_RDONLY);
    int begun_maps = open(proc_path(child, "maps"), O_RDONLY);
    show_bytes("begin of status", text, read(begun_status, text, 10));
    show("begin of maps", read(begun_maps, text, 1));
    kill(child, SIGKILL);
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    show_state("zombie", child);
    printf("  its state %s\n", status_value(child, "State"));
    printf("  its VmSize %s, Threads", status_value(child, "VmSize"));
    printf(" %s\n", status_value(child, "Threads"));
    read_file(proc_path(child, "statm"), text, sizeof text);
    show_bytes("  its statm", text, strlen(text));
    printf("  its vsize %s, rss %s, exit code %s\n", stat_word(child, 23), stat_word(child, 24), stat_word(child, 52));
    waitpid(child, NULL, 0);
    show_state("reaped", child);
    show_bytes("rest of status", text, read(begun_status, text, 8));
    show_fact("the rest of the line of maps is still there", read(begun_maps, text, 20) == 20);
    show("stat below the directory kept open", openat(directory, "stat", O_RDONLY));
    show("getdents of it", syscall(SYS_getdents64, directory, text, sizeof text));
    show("getdents of fd", syscall(SYS_getdents64, descriptors, text, sizeof text));
    struct stat status;
    show_ok("fstat of it", fstat(directory, &status));
    printf("owner %d, mode %o\n", status.st_uid, status.st_mode);
    show_ok("fstat of fd", fstat(descriptors, &status));
    show("lseek of stat", lseek(kept[0], 10, SEEK_SET));
    return 0;
}
