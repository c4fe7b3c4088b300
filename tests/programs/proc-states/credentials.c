/* Who a process is, whose its files are then, and who may read them. */
#include "state.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>

static void show_ids(const char *what)
{
    printf("%s\n  Uid %s\n", what, status_value(getpid(), "Uid"));
    printf("  Gid %s\n", status_value(getpid(), "Gid"));
    printf("  CapPrm %s\n", status_value(getpid(), "CapPrm"));
    printf("  CapEff %s\n", status_value(getpid(), "CapEff"));
    fflush(stdout);
}

static void show_owners(const char *what)
{
    static const char *const FILES[] = { "", "stat", "status", "maps", "environ", "comm", "fd", "fdinfo", "fdinfo/0", "ns", "ns/pid", "exe", "task",
                                         "oom_score_adj", "mem", "fd/0", "io", "limits", "cwd" };
    dup2(open("/dev/null", O_RDONLY), 0);
    printf("%s\n", what);
    for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        struct stat status;
        if (lstat(proc_path(getpid(), FILES[i]), &status) < 0)
            printf("  %s: %s\n", FILES[i], error_name());
        else
            printf("  %s: %u:%u %o\n", FILES[i], status.st_uid, status.st_gid, status.st_mode);
    }
}

static void show_own_access(const char *what)
{
    static const char *const FILES[] = { "environ", "auxv", "io", "maps", "smaps", "mem", "stat", "status", "cmdline", "personality", "limits" };
    printf("%s\n", what);
    for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        int fd = open(proc_path(getpid(), FILES[i]), O_RDONLY);
        printf("  %s: %s\n", FILES[i], fd < 0 ? error_name() : "open");
        close(fd);
    }
    int fd = open("/proc/self/comm", O_WRONLY);
    printf("  comm for writing: %s\n", fd < 0 ? error_name() : "open");
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", gettid());
    fd = open(path, O_WRONLY);
    printf("  comm of the task for writing: %s\n", fd < 0 ? error_name() : "open");
    fd = open("/proc/self/oom_score_adj", O_WRONLY);
    printf("  oom_score_adj for writing: %s\n", fd < 0 ? error_name() : "open");
    show_read("  exe", readlink("/proc/self/exe", text, PAGE));
    DIR *list = opendir("/proc/self/fd");
    printf("  fd: %s\n", list ? "open" : error_name());
    list = opendir("/proc/self/fdinfo");
    printf("  fdinfo: %s\n", list ? "open" : error_name());
    list = opendir("/proc/self/ns");
    printf("  ns: %s\n", list ? "open" : error_name());
    list = opendir("/proc/self/task");
    printf("  task: %s\n", list ? "open" : error_name());
}

static void become(unsigned id)
{
    if (setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
        not_run("cannot become another user");
}

STATE(ids_of_root)
{
    show_ids("as started");
    show_owners("owners");
}

STATE(ids_of_another_user)
{
    become(1000);
    show_ids("another");
    show_owners("owners");
    show_own_access("what it may open of itself");
    show("PR_GET_DUMPABLE", prctl(PR_GET_DUMPABLE));
}

STATE(ids_of_another_user_made_dumpable_again)
{
    become(1000);
    show_ok("PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 1));
    show_owners("owners");
    show_own_access("what it may open of itself");
}

STATE(ids_of_a_root_user_not_dumpable)
{
    show_ok("PR_SET_DUMPABLE", prctl(PR_SET_DUMPABLE, 0));
    show_owners("owners");
    show_own_access("what it may open of itself");
    show_ok("PR_SET_DUMPABLE 2", prctl(PR_SET_DUMPABLE, 2));
}

STATE(ids_all_different)
{
    show_ok("setresgid", setresgid(11, 12, 13));
    show_ok("setresuid", setresuid(21, 22, 0));
    show_ids("real, effective, saved, and by file system");
    show_owners("owners");
    setfsuid(0);
    show_ids("by file system alone");
}

STATE(ids_of_a_dumpable_user_change_back)
{
    show_ok("seteuid", seteuid(1000));
    show("PR_GET_DUMPABLE", prctl(PR_GET_DUMPABLE));
    show_ok("seteuid back", seteuid(0));
    show("PR_GET_DUMPABLE", prctl(PR_GET_DUMPABLE));
    show_ids("root again");
    show_ok("setuid to the same", setuid(0));
    show("PR_GET_DUMPABLE", prctl(PR_GET_DUMPABLE));
}

ROLE(show_dumpable)
{
    show("PR_GET_DUMPABLE", prctl(PR_GET_DUMPABLE));
    show_ids("after exec");
    show_owners("owners");
}

STATE(ids_after_exec)
{
    /* The copy may be read by all: the program's own file may lie where only root can go. */
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open("copy", O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
    ssize_t got;
    while ((got = read(from, text, sizeof text)) > 0)
        if (write(to, text, got) != got)
            return;
    close(to);
    chmod(".", 0755);
    chmod("copy", 0755);
    pid_t child = split();
    if (child == 0) {
        char *args[] = { "role:show_dumpable", NULL }, *env[] = { NULL };
        become(1000);
        execve("./copy", args, env);
        printf("execve: %s\n", error_name());
        exit(1);
    }
    reap("readable program", child);
    chmod("copy", 0711);
    child = split();
    if (child == 0) {
        char *args[] = { "role:show_dumpable", NULL }, *env[] = { NULL };
        become(1000);
        execve("./copy", args, env);
        printf("execve: %s\n", error_name());
        exit(1);
    }
    reap("program that cannot be read", child);
    chown("copy", 77, 88);
    chmod("copy", 06755);
    child = split();
    if (child == 0) {
        char *args[] = { "role:show_dumpable", NULL }, *env[] = { NULL };
        become(1000);
        execve("./copy", args, env);
        printf("execve: %s\n", error_name());
        exit(1);
    }
    reap("program of another user with set-user-ID", child);
}

STATE(groups_sorted)
{
    gid_t groups[] = { 500, 3, 65534, 3, 100, 0 };
    show_ok("setgroups", setgroups(6, groups));
    show_line("status", "/proc/self/status", "Groups:");
    show_ok("none", setgroups(0, NULL));
    show_line("status", "/proc/self/status", "Groups:");
}

STATE(groups_as_many_as_there_can_be)
{
    static gid_t groups[65536];
    for (int i = 0; i < 65536; i++)
        groups[i] = 1000000 + 65535 - i;
    show_ok("setgroups", setgroups(65536, groups));
    show("one more", setgroups(65537, groups));
    ssize_t length = read_file("/proc/self/status", text, sizeof text);
    char *line = strstr(text, "\nGroups:");
    show_fact("a status of half a megabyte", length > 500000);
    show_fact("sorted", line && !strncmp(line, "\nGroups:\t1000000 1000001 1000002 ", 33));
}

STATE(files_of_root_for_another_user)
{
    static const char *const FILES[] = { "auxv", "environ", "maps", "smaps", "smaps_rollup", "mem", "io", "stat", "status", "statm", "cmdline", "comm",
                                         "limits", "cgroup", "mounts", "mountinfo", "mountstats", "uid_map", "oom_score_adj", "wchan", "personality",
                                         "timerslack_ns", "pagemap", "syscall", "clear_refs" };
    pid_t child = child_after(NULL);
    pid_t reader = split();
    if (reader == 0) {
        become(1000);
        for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++)
            show_open_read(FILES[i], proc_path(child, FILES[i]));
        exit(0);
    }
    reap("reader", reader);
    end(child);
}

STATE(links_of_root_for_another_user)
{
    pid_t child = child_after(NULL);
    pid_t reader = split();
    if (reader == 0) {
        static const char *const LINKS[] = { "exe", "cwd", "root", "ns/pid", "ns/user", "fd/0" };
        struct stat status;
        become(1000);
        for (unsigned i = 0; i < sizeof LINKS / sizeof *LINKS; i++) {
            show_read(LINKS[i], readlink(proc_path(child, LINKS[i]), text, PAGE));
            show_ok("  stat", stat(proc_path(child, LINKS[i]), &status));
            show_ok("  lstat", lstat(proc_path(child, LINKS[i]), &status));
        }
        static const char *const DIRECTORIES[] = { "fd", "fdinfo", "ns", "task", "map_files", "attr", "net" };
        for (unsigned i = 0; i < sizeof DIRECTORIES / sizeof *DIRECTORIES; i++) {
            int fd = open(proc_path(child, DIRECTORIES[i]), O_RDONLY | O_DIRECTORY);
            printf("%s: %s\n", DIRECTORIES[i], fd < 0 ? error_name() : "open");
        }
        exit(0);
    }
    reap("reader", reader);
    end(child);
}

STATE(zombie_of_root_for_another_user)
{
    pid_t child = child_after(NULL);
    make_zombie(child);
    pid_t reader = split();
    if (reader == 0) {
        static const char *const FILES[] = { "auxv", "environ", "io", "maps", "stat", "status", "cmdline" };
        become(1000);
        for (unsigned i = 0; i < sizeof FILES / sizeof *FILES; i++)
            show_open_read(FILES[i], proc_path(child, FILES[i]));
        show_read("exe", readlink(proc_path(child, "exe"), text, PAGE));
        show_read("ns/user", readlink(proc_path(child, "ns/user"), text, PAGE));
        exit(0);
    }
    reap("reader", reader);
}

static void become_dumpable_user(void)
{
    become(1000);
    prctl(PR_SET_DUMPABLE, 1);
}

STATE(files_of_the_same_user)
{
    pid_t child = child_after(become_dumpable_user);
    pid_t reader = split();
    if (reader == 0) {
        become(1000);
        show_open_read("environ", proc_path(child, "environ"));
        show_open_read("maps", proc_path(child, "maps"));
        show_open_read("io", proc_path(child, "io"));
        show_read("exe", readlink(proc_path(child, "exe"), text, PAGE));
        show("comm of another process for writing", open(proc_path(child, "comm"), O_WRONLY) < 0 ? -1 : 0);
        exit(0);
    }
    reap("reader", reader);
    end(child);
}

static void become_user(void)
{
    become(1000);
}

STATE(files_of_the_same_user_not_dumpable)
{
    pid_t child = child_after(become_user);
    pid_t reader = split();
    if (reader == 0) {
        become(1000);
        show_open_read("environ", proc_path(child, "environ"));
        show_open_read("maps", proc_path(child, "maps"));
        show_read("exe", readlink(proc_path(child, "exe"), text, PAGE));
        printf("startcode %s\n", stat_word(child, 26));
        exit(0);
    }
    reap("reader", reader);
    end(child);
}

STATE(files_opened_before_the_reader_lost_its_rights)
{
    pid_t child = child_after(NULL);
    static const char *const FILES[] = { "environ", "auxv", "maps", "mem", "io", "stat", "personality", "syscall", "wchan" };
    int fds[9];
    for (int i = 0; i < 9; i++)
        fds[i] = open(proc_path(child, FILES[i]), O_RDONLY);
    pid_t reader = split();
    if (reader == 0) {
        become(1000);
        for (int i = 0; i < 9; i++)
            show_read(FILES[i], read(fds[i], text, PAGE));
        exit(0);
    }
    reap("reader", reader);
    end(child);
}

STATE(capabilities_given_up)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct sets[2] = { { .effective = 1 << CAP_CHOWN, .permitted = 1 << CAP_CHOWN | 1 << CAP_KILL, .inheritable = 1 << CAP_KILL }, { 0 } };
    show_ok("capset", syscall(SYS_capset, &header, sets));
    static const char *const KEYS[] = { "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb" };
    for (int i = 0; i < 5; i++)
        printf("%s %s\n", KEYS[i], status_value(getpid(), KEYS[i]));
    show_ok("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    printf("CapAmb %s\n", status_value(getpid(), "CapAmb"));
    show("PR_GET_DUMPABLE", prctl(PR_GET_DUMPABLE));
    sets[0].permitted |= 1 << CAP_SETUID;
    show_ok("more than there is", syscall(SYS_capset, &header, sets));
}

STATE(capabilities_dropped_from_the_bounding_set)
{
    show_ok("drop", prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN));
    printf("CapBnd %s\n", status_value(getpid(), "CapBnd"));
    show("read", prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN));
    show_ok("no such capability", prctl(PR_CAPBSET_DROP, 63));
    show_ok("keep", prctl(PR_SET_KEEPCAPS, 1));
    become(1000);
    printf("CapPrm %s\n", status_value(getpid(), "CapPrm"));
    printf("CapEff %s\n", status_value(getpid(), "CapEff"));
}

STATE(no_new_privs_in_status)
{
    printf("%s\n", status_value(getpid(), "NoNewPrivs"));
    show_ok("PR_SET_NO_NEW_PRIVS", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    printf("%s\n", status_value(getpid(), "NoNewPrivs"));
    show_ok("it cannot be taken back", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    pid_t child = child_after(NULL);
    printf("a child's %s\n", status_value(child, "NoNewPrivs"));
    end(child);
}
