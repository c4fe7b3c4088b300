/* Options of mount(2) of procfs: what is taken, how it is shown, and whom it hides from whom. */
#include "check.h"
#include <dirent.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>

static char text[1 << 16];

/* The line of a mount in /proc/self/mounts, and the end of that in mountinfo. */
static void show_mount(const char *point)
{
    char key[128];
    snprintf(key, sizeof key, " %s ", point);
    read_file("/proc/self/mounts", text, sizeof text);
    char *last = NULL;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strstr(line, key))
            last = line;
    printf("mounts: %s\n", last ? strstr(last, key) + strlen(key) : "none");
    read_file("/proc/self/mountinfo", text, sizeof text);
    last = NULL;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strstr(line, key))
            last = strstr(line, " - ");
    printf("mountinfo: %s\n", last ? last : "none");
}

static void try_options(const char *options)
{
    char what[128];
    snprintf(what, sizeof what, "mount %s", options);
    if (show_ok(what, mount("proc", "m", "proc", 0, options)) < 0)
        return;
    char point[256];
    if (!getcwd(point, sizeof point - 2))
        return;
    strcat(point, "/m");
    show_mount(point);
    umount("m");
}

static int lists(const char *dir, pid_t pid)
{
    char name[16];
    snprintf(name, sizeof name, "%d", pid);
    DIR *open_dir = opendir(dir);
    int found = 0;
    for (struct dirent *entry; open_dir && (entry = readdir(open_dir));)
        found |= !strcmp(entry->d_name, name);
    if (open_dir)
        closedir(open_dir);
    return found;
}

static const char *below(pid_t pid, const char *file)
{
    static char path[64];
    snprintf(path, sizeof path, "m/%d%s%s", pid, *file ? "/" : "", file);
    return path;
}

/* What a user without rights sees of root's process, of its own sibling, and of itself. */
static void look(const char *options, gid_t group)
{
    printf("-- %s, group %u\n", options, group);
    if (mount("proc", "m", "proc", 0, options) < 0) {
        printf("mount: %s\n", error_name());
        return;
    }
    pid_t parent = getpid();
    pid_t viewer = split();
    if (viewer == 0) {
        if (setgroups(0, NULL) < 0 || setresgid(group, group, group) < 0 || setresuid(1000, 1000, 1000) < 0)
            _exit(1);
        prctl(PR_SET_DUMPABLE, 1);
        pid_t sibling = fork();
        if (sibling == 0) {
            pause();
            _exit(0);
        }
        pid_t who[] = { parent, sibling, getpid() };
        const char *const names[] = { "root's", "a sibling", "itself" };
        struct stat st;
        for (int i = 0; i < 3; i++) {
            printf("%s:\n", names[i]);
            show_fact(" listed", lists("m", who[i]));
            show_ok(" stat", stat(below(who[i], ""), &st));
            show_ok(" access", access(below(who[i], ""), X_OK));
            show_ok(" opendir", open(below(who[i], ""), O_RDONLY | O_DIRECTORY));
            show_ok(" status", open(below(who[i], "status"), O_RDONLY));
            show_ok(" task", open(below(who[i], "task"), O_RDONLY));
            show_ok(" fd", open(below(who[i], "fd"), O_RDONLY));
            show_ok(" none", open(below(who[i], "none"), O_RDONLY));
        }
        show_ok("self", access("m/self/status", R_OK));
        show_ok("thread-self", access("m/thread-self/status", R_OK));
        show_ok("uptime", access("m/uptime", R_OK));
        show_ok("sys", access("m/sys/kernel", X_OK));
        kill(sibling, SIGKILL);
        waitpid(sibling, NULL, 0);
        fflush(stdout);
        _exit(0);
    }
    waitpid(viewer, NULL, 0);
    show_fact("root lists itself", lists("m", parent));
    show_fact("root lists its child's", access(below(parent, "status"), R_OK) == 0);
    umount("m");
}

int main(void)
{
    /* Mounts of its own; where there are no namespaces, the scratch directory's are as good. */
    if (unshare(CLONE_NEWNS) == 0)
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    enter_scratch();
    chmod(".", 0755);
    mkdir("m", 0755);
    const char *const options[] = { "", "hidepid=0", "hidepid=1", "hidepid=2", "hidepid=3", "hidepid=4", "hidepid=5", "hidepid=off", "hidepid=noaccess",
        "hidepid=invisible", "hidepid=ptraceable", "hidepid=on", "hidepid=", "hidepid", "hidepid=-1", "hidepid=1x", "hidepid=01", "gid=5", "gid=0", "gid=-1", "gid=x",
        "gid=4294967295", "gid=4294967294", "subset=pid", "subset=", "subset=sys", "subset=pid:pid", "gid=7,hidepid=2,subset=pid", "subset=pid,hidepid=1,gid=7", "hidepid=1,hidepid=2",
        "nothing", "size=5", "hidepid=2,", ",hidepid=2", "hidepid=2,,gid=1", "hidepid=0x2", "gid=010" };
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++)
        try_options(options[i]);

    puts("-- remount");
    char point[256];
    show_ok("mount", mount("proc", "m", "proc", 0, "hidepid=1"));
    if (!getcwd(point, sizeof point - 2))
        return 1;
    strcat(point, "/m");
    show_ok("remount", mount("proc", "m", "proc", MS_REMOUNT, "hidepid=2,gid=9"));
    show_mount(point);
    show_ok("remount without options", mount("proc", "m", "proc", MS_REMOUNT, NULL));
    show_mount(point);
    show_ok("remount with a wrong one", mount("proc", "m", "proc", MS_REMOUNT, "hidepid=3"));
    show_mount(point);
    show_ok("remount off", mount("proc", "m", "proc", MS_REMOUNT, "hidepid=off"));
    show_mount(point);
    show_ok("remount read-only", mount("proc", "m", "proc", MS_REMOUNT | MS_RDONLY, NULL));
    show_mount(point);
    mkdir("n", 0755);
    show_ok("another mount", mount("proc", "n", "proc", 0, "subset=pid"));
    show_ok("subset in it", access("n/uptime", F_OK));
    show_ok("a process in it", access("n/self/stat", F_OK));
    show_ok("mounts in it", access("n/mounts", F_OK));
    show_ok("net in it", access("n/net", F_OK));
    show_ok("the first is as it was", access("m/uptime", F_OK));
    int count = 0;
    DIR *dir = opendir("n");
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] > '9' || entry->d_name[0] < '0') {
            printf("listed: %s, %s\n", entry->d_name, telldir(dir) > 256 ? "behind all else" : "first");
            count++;
        }
    closedir(dir);
    printf("%d names\n", count);
    umount("n");
    umount("m");

    const char *const modes[] = { "hidepid=0", "hidepid=1", "hidepid=2", "hidepid=4" };
    for (unsigned i = 0; i < 4; i++)
        look(modes[i], 1000);
    look("hidepid=1,gid=50", 50);
    look("hidepid=2,gid=50", 50);
    look("hidepid=4,gid=50", 50);
    look("subset=pid", 1000);
    return 0;
}
