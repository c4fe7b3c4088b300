/* uid_map, gid_map, projid_map and setgroups: every rule of writing and reading them. */
#include "state.h"
#include <grp.h>
#include <sched.h>

/* A child in a user namespace of its own, whose maps are still to be written. */
static void into_user_namespace(void)
{
    if (unshare(CLONE_NEWUSER) < 0)
        printf("unshare: %s\n", error_name());
}

/* Writes a map of a fresh namespace and shows what is read then. */
static void try_map(const char *file, const char *bytes, size_t length)
{
    pid_t child = child_after(into_user_namespace);
    show_write(proc_path(child, file), bytes, length);
    show_file("  reads", proc_path(child, file));
    end(child);
}

static void try_maps(const char *file, const char *const *maps, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        try_map(file, maps[i], strlen(maps[i]));
}

STATE(maps_of_the_first_namespace)
{
    show_file("uid_map", "/proc/self/uid_map");
    show_file("gid_map", "/proc/self/gid_map");
    show_file("projid_map", "/proc/self/projid_map");
    show_file("setgroups", "/proc/self/setgroups");
    show_write("/proc/self/uid_map", "0 0 1", 5);
    show_write("/proc/self/setgroups", "deny", 4);
    show_write("/proc/self/setgroups", "allow", 5);
}

STATE(maps_that_are_not_set)
{
    pid_t child = child_after(into_user_namespace);
    show_file("uid_map", proc_path(child, "uid_map"));
    show_file("gid_map", proc_path(child, "gid_map"));
    show_file("projid_map", proc_path(child, "projid_map"));
    show_file("setgroups", proc_path(child, "setgroups"));
    printf("Uid %s\n", status_value(child, "Uid"));
    printf("CapEff %s\n", status_value(child, "CapEff"));
    printf("CapPrm %s\n", status_value(child, "CapPrm"));
    printf("CapBnd %s\n", status_value(child, "CapBnd"));
    end(child);
}

static void show_own(void)
{
    into_user_namespace();
    printf("uid %d gid %d\n", getuid(), getgid());
    printf("Uid %s\n", status_value(getpid(), "Uid"));
    printf("Gid %s\n", status_value(getpid(), "Gid"));
    printf("Groups %s\n", status_value(getpid(), "Groups"));
}

STATE(ids_without_a_map)
{
    end(child_after(show_own));
}

STATE(maps_of_one_line)
{
    static const char *const MAPS[] = { "0 0 1", "0 0 1\n", "  0   0\t1  \n", "0 1000 1", "5 0 10", "0 0 4294967295", "4294967294 0 1", "0 0 1\r\n", "0\v0\f1", "000 00 01" };
    try_maps("uid_map", MAPS, sizeof MAPS / sizeof *MAPS);
}

STATE(maps_that_are_refused)
{
    static const char *const MAPS[] = { "", "\n", "0", "0 0", "0 0 0", "0 0 1 1", "0 0 1 x", "a 0 1", "0x10 0 1", "-1 0 1", "0 -1 1", "+1 0 1", "4294967295 0 1", "0 4294967295 1",
                                        "4294967294 0 2", "0 0 4294967296", "1 0 4294967295", "\n0 0 1", "0 0 1\n\n", "0,0,1", "0 0 1\n0 5 1", "0 0 5\n4 100 1", "0 0 5\n100 4 1" };
    try_maps("uid_map", MAPS, sizeof MAPS / sizeof *MAPS);
}

STATE(maps_whose_numbers_wrap)
{
    static const char *const MAPS[] = { "4294967296 0 1", "0 4294967297 1", "18446744073709551616 0 1", "0 0 4294967297" };
    try_maps("uid_map", MAPS, sizeof MAPS / sizeof *MAPS);
}

STATE(maps_with_a_nul)
{
    try_map("uid_map", "0 0 1\0garbage", 13);
    try_map("uid_map", "0 0 1\n\0 4 3", 11);
    try_map("uid_map", "\0" "0 0 1", 6);
    try_map("uid_map", "0 0 1\n5 5\0 1", 12);
}

STATE(maps_of_several_lines_keep_their_order)
{
    static const char *const MAPS[] = { "10 10 1\n0 0 1\n5 5 1\n", "5 5 1\n4 4 1\n3 3 1\n2 2 1\n1 1 1", "6 6 1\n5 5 1\n4 4 1\n3 3 1\n2 2 1\n1 1 1" };
    try_maps("uid_map", MAPS, sizeof MAPS / sizeof *MAPS);
    try_maps("gid_map", MAPS, sizeof MAPS / sizeof *MAPS);
}

static size_t many_lines(char *map, int count)
{
    char *at = map;
    for (int i = 0; i < count; i++)
        at += sprintf(at, "%d %d 1\n", i, i);
    return at - map;
}

STATE(maps_of_as_many_lines_as_there_can_be)
{
    static char map[8192];
    pid_t child = child_after(into_user_namespace);
    show_write(proc_path(child, "uid_map"), map, many_lines(map, 341));
    show_write(proc_path(child, "uid_map"), map, many_lines(map, 340));
    ssize_t length = read_file(proc_path(child, "uid_map"), text, sizeof text);
    show("bytes", length);
    show_bytes("the last line", text + length - 33, 33);
    end(child);
    child = child_after(into_user_namespace);
    memset(map, ' ', sizeof map);
    memcpy(map, "0 0 1", 5);
    show_write(proc_path(child, "uid_map"), map, PAGE);
    show_write(proc_path(child, "uid_map"), map, PAGE - 1);
    end(child);
}

STATE(maps_are_written_once)
{
    pid_t child = child_after(into_user_namespace);
    int fd = open(proc_path(child, "uid_map"), O_RDWR);
    show("first", write(fd, "0 0 5", 5));
    show("again", write(fd, "0 0 5", 5));
    show("position", lseek(fd, 0, SEEK_CUR));
    show("from the start again", (lseek(fd, 0, SEEK_SET), write(fd, "0 0 5", 5)));
    show_write(proc_path(child, "uid_map"), "0 0 5", 5);
    show("pwrite", pwrite(fd, "0 0 5", 5, 0));
    show_file("reads", proc_path(child, "uid_map"));
    end(child);
}

STATE(maps_written_behind_the_start)
{
    pid_t child = child_after(into_user_namespace);
    int fd = open(proc_path(child, "uid_map"), O_RDWR);
    show("lseek", lseek(fd, 5, SEEK_SET));
    show("write", write(fd, "0 0 5", 5));
    show("a bad pointer", (lseek(fd, 0, SEEK_SET), syscall(SYS_write, fd, 16, 5)));
    show("then", write(fd, "0 0 5", 5));
    end(child);
}

static void map_from_within(void)
{
    char map[64];
    into_user_namespace();
    show_write("/proc/self/uid_map", "0 5 1", 5);
    snprintf(map, sizeof map, "0 %d 1", 0);
    show_write("/proc/self/uid_map", map, strlen(map));
    show_file("uid_map", "/proc/self/uid_map");
    printf("uid %d\n", getuid());
}

STATE(maps_written_from_within_by_root)
{
    pid_t child = child_after(map_from_within);
    show_file("seen from outside", proc_path(child, "uid_map"));
    printf("Uid %s\n", status_value(child, "Uid"));
    end(child);
}

static void map_without_privilege(void)
{
    if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0)
        not_run("cannot become another user");
    into_user_namespace();
    prctl(PR_SET_DUMPABLE, 1);
    show_write("/proc/self/uid_map", "0 1001 1", 8);
    show_write("/proc/self/uid_map", "0 1000 2", 8);
    show_write("/proc/self/uid_map", "0 0 1", 5);
    show_write("/proc/self/uid_map", "7 1000 1", 8);
    show_write("/proc/self/gid_map", "0 1000 1", 8);
    show_write("/proc/self/setgroups", "deny", 4);
    show_write("/proc/self/gid_map", "0 1001 1", 8);
    show_write("/proc/self/gid_map", "0 1000 1", 8);
    show_file("uid_map", "/proc/self/uid_map");
    show_file("gid_map", "/proc/self/gid_map");
    printf("Uid %s\n", status_value(getpid(), "Uid"));
    printf("Gid %s\n", status_value(getpid(), "Gid"));
    gid_t none = 0;
    show("setgroups", setgroups(1, &none));
}

STATE(maps_written_without_privilege)
{
    pid_t child = child_after(map_without_privilege);
    show_file("seen from outside", proc_path(child, "uid_map"));
    end(child);
}

STATE(setgroups_of_every_spelling)
{
    static const char *const WORDS[] = { "deny", "deny\n", "deny  ", "deny   ", "deny    ", "deny x", "den", "Deny", "", " deny", "denyx", "allow", "allow\n", "allow  ", "allow   " };
    for (unsigned i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        pid_t child = child_after(into_user_namespace);
        show_write(proc_path(child, "setgroups"), WORDS[i], strlen(WORDS[i]));
        show_file("  reads", proc_path(child, "setgroups"));
        end(child);
    }
    pid_t child = child_after(into_user_namespace);
    show_write(proc_path(child, "setgroups"), "deny\0x", 6);
    show_write(proc_path(child, "setgroups"), "deny\0\n", 6);
    end(child);
}

STATE(setgroups_denied_and_allowed)
{
    pid_t child = child_after(into_user_namespace);
    show_write(proc_path(child, "setgroups"), "allow", 5);
    show_write(proc_path(child, "setgroups"), "deny", 4);
    show_write(proc_path(child, "setgroups"), "deny", 4);
    show_write(proc_path(child, "setgroups"), "allow", 5);
    show_file("reads", proc_path(child, "setgroups"));
    end(child);
    child = child_after(into_user_namespace);
    show_write(proc_path(child, "gid_map"), "0 0 1", 5);
    show_write(proc_path(child, "setgroups"), "deny", 4);
    show_file("after gid_map", proc_path(child, "setgroups"));
    int fd = open(proc_path(child, "setgroups"), O_RDWR);
    show("behind the start", (lseek(fd, 1, SEEK_SET), write(fd, "allow", 5)));
    end(child);
}

static void deny_and_nest(void)
{
    into_user_namespace();
    show_write("/proc/self/setgroups", "deny", 4);
    show_write("/proc/self/uid_map", "0 0 1", 5);
    show_write("/proc/self/gid_map", "0 0 1", 5);
    into_user_namespace();
    show_file("a namespace within", "/proc/self/setgroups");
}

STATE(setgroups_is_inherited)
{
    end(child_after(deny_and_nest));
}

/* Into a user namespace whose first 50 numbers are those from `first` on in the one outside, as a helper outside writes it. */
static void into_mapped_namespace(unsigned first)
{
    int go[2], done[2];
    char map[64], byte;
    pid_t self = getpid();
    if (pipe(go) < 0 || pipe(done) < 0)
        return;
    pid_t helper = split();
    if (helper == 0) {
        close(go[1]);
        int length = snprintf(map, sizeof map, "0 %u 50", first);
        if (read(go[0], &byte, 1) == 0) {
            show_write(proc_path(self, "uid_map"), map, length);
            show_write(proc_path(self, "gid_map"), map, length);
        }
        fflush(stdout);
        _exit(0);
    }
    into_user_namespace();
    close(go[1]);
    waitpid(helper, NULL, 0);
}

static pid_t inner;

static void nest(void)
{
    into_mapped_namespace(0);
    inner = child_after(into_user_namespace);
    show_write(proc_path(inner, "uid_map"), "7 10 3", 6);
    show_write(proc_path(inner, "gid_map"), "8 0 1", 5);
    show_file("the inner one from the middle", proc_path(inner, "uid_map"));
    show_file("the middle from itself", "/proc/self/uid_map");
    printf("Uid of the inner one from the middle %s\n", status_value(inner, "Uid"));
}

STATE(maps_read_from_other_namespaces)
{
    pid_t child = child_after(nest);
    char path[64];
    show_file("the middle from outside", proc_path(child, "uid_map"));
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", child, child);
    if (read_file(path, text, sizeof text) > 0 && atoi(text) > 1) {
        pid_t innermost = atoi(text);
        show_file("the inner one from outside", proc_path(innermost, "uid_map"));
        printf("Uid of the inner one %s\n", status_value(innermost, "Uid"));
        kill(innermost, SIGKILL);
    }
    end(child);
}

static void shifted(void)
{
    into_mapped_namespace(1000);
    printf("uid %d gid %d\n", getuid(), getgid());
    show_ok("setresgid", setresgid(5, 5, 5));
    show_ok("setresuid", setresuid(5, 5, 5));
    printf("Uid %s\n", status_value(getpid(), "Uid"));
    show_ok("to one that is not mapped", setresuid(70, 70, 70));
}

STATE(ids_in_a_shifted_namespace)
{
    pid_t child = child_after(shifted);
    printf("Uid from outside %s\n", status_value(child, "Uid"));
    printf("Gid from outside %s\n", status_value(child, "Gid"));
    struct stat status;
    stat(proc_path(child, ""), &status);
    printf("owner from outside %u:%u\n", status.st_uid, status.st_gid);
    end(child);
}

STATE(maps_kept_open_over_the_end)
{
    pid_t child = child_after(into_user_namespace);
    int fd = open(proc_path(child, "uid_map"), O_RDWR);
    show("written", write(fd, "0 0 5", 5));
    end(child);
    show_bytes("read afterwards", text, pread(fd, text, 100, 0));
}

STATE(maps_written_by_who_may_not)
{
    pid_t child = child_after(into_user_namespace);
    pid_t writer = split();
    int fd = open(proc_path(child, "uid_map"), O_RDWR);
    if (writer == 0) {
        if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0)
            not_run("cannot become another user");
        show("open", open(proc_path(child, "uid_map"), O_RDWR));
        show("what root had opened", write(fd, "0 1000 1", 8));
        exit(0);
    }
    reap("writer", writer);
    show_file("uid_map", proc_path(child, "uid_map"));
    end(child);
}

static void show_owner_within(void)
{
    into_user_namespace();
    if (show_ok("map", open("/proc/self/uid_map", O_RDONLY)) < 0)
        return;
    show_write("/proc/self/uid_map", "0 0 1", 5);
    struct stat status;
    stat("/proc/self/status", &status);
    printf("owner of status %u:%u\n", status.st_uid, status.st_gid);
    stat("/proc/self", &status);
    printf("owner of the directory %u:%u\n", status.st_uid, status.st_gid);
    stat(".", &status);
    printf("owner of a file of root %u:%u\n", status.st_uid, status.st_gid);
}

STATE(owners_seen_in_a_user_namespace)
{
    end(child_after(show_owner_within));
}

STATE(projid_map_is_written)
{
    static const char *const MAPS[] = { "0 0 1", "5 10 100", "0 0 0" };
    try_maps("projid_map", MAPS, sizeof MAPS / sizeof *MAPS);
}
