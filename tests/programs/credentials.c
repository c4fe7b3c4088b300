/* Giving up root, and what /proc then shows and hides: owners, the dumpable rule, and the checks of another user's process. Needs root. */
#include "check.h"
#include <grp.h>

static char text[1 << 16];

static void show_owner(const char *what, const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0)
        printf("%s: %s\n", what, error_name());
    else
        printf("%s: %d:%d\n", what, status.st_uid, status.st_gid);
}

static void show_ids(const char *what)
{
    uid_t ids[3];
    getresuid(&ids[0], &ids[1], &ids[2]);
    printf("%s: uids %d %d %d", what, ids[0], ids[1], ids[2]);
    getresgid(&ids[0], &ids[1], &ids[2]);
    printf(" gids %d %d %d\n", ids[0], ids[1], ids[2]);
    printf("  Uid %s\n", status_value(getpid(), "Uid"));
    printf("  Gid %s\n", status_value(getpid(), "Gid"));
    printf("  Groups %s\n", status_value(getpid(), "Groups"));
    printf("  dumpable %d\n", prctl(PR_GET_DUMPABLE));
    show_owner("  its directory", "/proc/self/");
    show_owner("  its stat", "/proc/self/stat");
    show_owner("  its environ", "/proc/self/environ");
    show_ok("  open of environ", open("/proc/self/environ", O_RDONLY));
    show_ok("  open of auxv", open("/proc/self/auxv", O_RDONLY));
    show_ok("  open of maps", open("/proc/self/maps", O_RDONLY));
    show_ok("  open of comm to write", open("/proc/self/comm", O_WRONLY));
    show_ok("  readlink of exe", readlink("/proc/self/exe", text, sizeof text));
    show_ok("  list of fd", open("/proc/self/fd", O_RDONLY | O_DIRECTORY));
}

static void show_another(const char *what, pid_t pid)
{
    printf("%s\n", what);
    static const char *const files[] = { "stat", "status", "statm", "cmdline", "comm", "environ", "auxv", "maps", "mounts" };
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        ssize_t length = read_file(proc_path(pid, files[i]), text, sizeof text);
        printf("  %s: %s\n", files[i], length < 0 ? error_name() : length ? "content" : "end");
    }
    static const char *const links[] = { "exe", "cwd", "root" };
    for (unsigned i = 0; i < sizeof links / sizeof *links; i++)
        show_ok(links[i], readlink(proc_path(pid, links[i]), text, sizeof text));
    show_ok("  fd", open(proc_path(pid, "fd"), O_RDONLY | O_DIRECTORY));
    printf("  start and end of code %s %s, stack %s", stat_word(pid, 26), stat_word(pid, 27), stat_word(pid, 28));
    printf(", arguments %s\n", stat_word(pid, 48));
    show("  kill", kill(pid, 0));
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        show_ids("after exec");
        return 0;
    }
    gid_t groups[] = { 7, 5 };
    show_ok("setgroups", setgroups(2, groups));
    show_ids("as root");
    umask(027);
    printf("Umask %s\n", status_value(getpid(), "Umask"));
    enter_scratch();
    close(open("secret", O_CREAT | O_WRONLY, 0600));
    close(open("readable", O_CREAT | O_WRONLY, 0644));
    chmod(".", 0755);
    chmod("readable", 0644);
    pid_t parent = getpid(), child = split();
    if (child == 0) {
        show_ok("setresgid", setresgid(100, 100, 100));
        show_ok("setresuid", setresuid(1000, 1000, 1000));
        show_ids("as a user");
        show("setuid back", setuid(0));
        show("setgid to another", setgid(5));
        show("setgroups", setgroups(0, NULL));
        show_ok("open of what is readable", open("readable", O_RDONLY));
        show("open of it for writing", open("readable", O_WRONLY));
        show("open of a secret", open("secret", O_RDONLY));
        show("create", open("new", O_CREAT | O_WRONLY, 0644));
        show("unlink", unlink("readable"));
        show("chmod", chmod("readable", 0777));
        show("chown", chown("readable", 1000, 100));
        show("access", access("secret", R_OK));
        show_another("the parent, which is root", parent);
        show_ok("become dumpable", prctl(PR_SET_DUMPABLE, 1));
        show_ids("dumpable again");
        pid_t mine = split();
        if (mine == 0)
            for (;;)
                pause();
        wait_for_state(mine, "S");
        char *names[] = { "environ", "exe" };
        show_ok(names[0], open(proc_path(mine, "environ"), O_RDONLY));
        show_ok(names[1], readlink(proc_path(mine, "exe"), text, sizeof text));
        kill(mine, SIGKILL);
        waitpid(mine, NULL, 0);
        char *args[] = { "credentials", "again", NULL };
        execv("/proc/self/exe", args);
        show("execv", -1);
        _exit(1);
    }
    reap("child", child);
    show_ok("setresuid of the effective one", setresuid(-1, 1000, -1));
    show_ids("root in part");
    show_ok("seteuid back", seteuid(0));
    show_ids("root again");
    return 0;
}
