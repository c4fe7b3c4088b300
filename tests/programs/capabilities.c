/* What becomes of capabilities: capset, prctl, changes of ids, exec; and who owns and may look into a process that has changed. Needs root. */
#include "check.h"
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/auxv.h>

static char buffer[1 << 14];

struct sets {
    uint64_t effective, permitted, inheritable;
};

static struct sets get_sets(void)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
    if (syscall(SYS_capget, &header, data))
        printf("capget: %s\n", error_name());
    return (struct sets){
        data[0].effective | (uint64_t)data[1].effective << 32,
        data[0].permitted | (uint64_t)data[1].permitted << 32,
        data[0].inheritable | (uint64_t)data[1].inheritable << 32,
    };
}

static int set_sets(struct sets sets)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = {
        { sets.effective, sets.permitted, sets.inheritable },
        { sets.effective >> 32, sets.permitted >> 32, sets.inheritable >> 32 },
    };
    return syscall(SYS_capset, &header, data);
}

static void show_state(const char *what)
{
    static const char *const keys[] = { "Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs" };
    printf("%s:", what);
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++) {
        char value[256];
        snprintf(value, sizeof value, "%s", status_value(getpid(), keys[i]));
        for (char *tab = value; (tab = strchr(tab, '\t'));)
            *tab = ' ';
        printf(" %s %s", keys[i], value);
    }
    struct stat status;
    int owner = stat("/proc/self/environ", &status) ? -1 : (int)status.st_uid;
    printf(" securebits %#x dumpable %d owner %d\n", prctl(PR_GET_SECUREBITS), prctl(PR_GET_DUMPABLE), owner);
    fflush(stdout);
}

static void run_again(const char *path)
{
    char *args[] = { "capabilities", "state", NULL };
    fflush(stdout);
    execv(path, args);
    printf("exec: %s\n", error_name());
    _exit(1);
}

/* Runs one case in a process of its own. */
static void in_child(const char *what, void (*work)(void))
{
    puts(what);
    pid_t pid = split();
    if (pid == 0) {
        work();
        fflush(stdout);
        _exit(0);
    }
    reap(" end", pid);
}

static void capset_rules(void)
{
    struct __user_cap_header_struct header = { 0, 0 };
    struct __user_cap_data_struct data[2];
    show("version 0", syscall(SYS_capget, &header, data));
    printf("  told %#x\n", header.version);
    header.version = 0;
    show("version 0 without data", syscall(SYS_capget, &header, NULL));
    header.version = _LINUX_CAPABILITY_VERSION_1;
    memset(data, 0xff, sizeof data);
    show("version 1", syscall(SYS_capget, &header, data));
    printf("  first half permitted %#x, second half touched %d\n", data[0].permitted, data[1].permitted != 0xffffffff);
    header.version = _LINUX_CAPABILITY_VERSION_3;
    header.pid = -1;
    show("of pid -1", syscall(SYS_capget, &header, data));
    header.pid = 0x3ffffff;
    show("of no process", syscall(SYS_capget, &header, data));
    show("set of another", syscall(SYS_capset, &header, data));
    header.pid = getpid();
    show("of itself by number", syscall(SYS_capget, &header, data));
    show("set of itself by number", syscall(SYS_capset, &header, data));
    show("nowhere", syscall(SYS_capget, (void *)16, data));
    struct sets all = get_sets(), sets = all;
    sets.effective = 1 << CAP_KILL | 1 << CAP_SETPCAP;
    show("fewer effective", set_sets(sets));
    show_state(" state");
    sets.effective = all.effective;
    show("all again", set_sets(sets));
    sets.inheritable = 1 << CAP_KILL | 1 << CAP_CHOWN;
    show("two inheritable", set_sets(sets));
    sets.permitted = 1 << CAP_KILL;
    show("effective beyond permitted", set_sets(sets));
    sets.effective = 0;
    show("one permitted", set_sets(sets));
    show_state(" state");
    sets.permitted |= 1 << CAP_CHOWN;
    show("more permitted", set_sets(sets));
    sets.permitted = 1 << CAP_KILL;
    sets.inheritable |= 1 << CAP_FOWNER;
    show("more inheritable", set_sets(sets));
    sets.inheritable = 0;
    show("none inheritable", set_sets(sets));
    sets.inheritable = 1 << CAP_KILL;
    show("inheritable from permitted", set_sets(sets));
    show("drop of the bounding set", prctl(PR_CAPBSET_DROP, CAP_KILL));
    show("securebits", prctl(PR_SET_SECUREBITS, 0));
    show_state(" state");
    run_again("/proc/self/exe");
}

static void bounding(void)
{
    show("read", prctl(PR_CAPBSET_READ, CAP_KILL));
    show("read of 41", prctl(PR_CAPBSET_READ, 41));
    show("drop of 41", prctl(PR_CAPBSET_DROP, 41));
    show("drop", prctl(PR_CAPBSET_DROP, CAP_KILL));
    show("read", prctl(PR_CAPBSET_READ, CAP_KILL));
    struct sets sets = get_sets();
    sets.inheritable = 1 << CAP_KILL;
    show("inheritable outside of it", set_sets(sets));
    show_state(" state");
    run_again("/proc/self/exe");
}

static void ambient(void)
{
    show("raise what is not inheritable", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    struct sets sets = get_sets();
    sets.inheritable = 1 << CAP_KILL | 1 << CAP_CHOWN;
    show("inheritable", set_sets(sets));
    show("raise", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    show("raise", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0));
    show("is set", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0));
    show("is another set", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_FOWNER, 0, 0));
    show("41", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 41, 0, 0));
    show("rest not 0", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 1, 0));
    show("no such operation", prctl(PR_CAP_AMBIENT, 9, CAP_KILL, 0, 0));
    show("lower", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER, CAP_CHOWN, 0, 0));
    show("clear with a number", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 1, 0, 0));
    show_state(" state");
    show("keep capabilities", prctl(PR_SET_KEEPCAPS, 1));
    show("keep 2", prctl(PR_SET_KEEPCAPS, 2));
    show("kept", prctl(PR_GET_KEEPCAPS));
    show("become a user", setresuid(1000, 1000, 1000));
    show_state(" state");
    sets.effective = 0;
    show("raise again", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    show_state(" state");
    run_again("/proc/self/exe");
}

static void fixup(void)
{
    show("effective id", setresuid(-1, 1000, -1));
    show_state(" state");
    show("and back", setresuid(-1, 0, -1));
    show_state(" state");
    show("file-system id", syscall(SYS_setfsuid, 1000));
    show_state(" state");
    show("asked", syscall(SYS_setfsuid, -1));
    show("and back", syscall(SYS_setfsuid, 0));
    show("file-system group", syscall(SYS_setfsgid, 5));
    show("asked", syscall(SYS_setfsgid, -1));
    show("and back", syscall(SYS_setfsgid, 0));
    show_state(" state");
    show("saved id only", setresuid(1000, 1000, 0));
    show_state(" state");
    show("to another", setresuid(-1, 1001, -1));
    show("root again", setresuid(-1, 0, -1));
    show_state(" state");
    show("for good", setuid(1000));
    show_state(" state");
}

static void no_fixup(void)
{
    show("no fix-up", prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED));
    show("unlock", prctl(PR_SET_SECUREBITS, 0));
    show("unknown", prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | 1 << 20));
    show("become a user", setresuid(1000, 1000, 1000));
    show_state(" state");
    run_again("/proc/self/exe");
}

static void no_root(void)
{
    show("root is nobody", prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NO_CAP_AMBIENT_RAISE));
    struct sets sets = get_sets();
    sets.inheritable = 1 << CAP_KILL;
    show("inheritable", set_sets(sets));
    show("raise", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    run_again("/proc/self/exe");
}

static void keep_locked(void)
{
    show("lock", prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS_LOCKED));
    show("keep", prctl(PR_SET_KEEPCAPS, 1));
}

static void renounced(void)
{
    struct sets none = { 0, 0, 0 };
    show("without arguments 0", prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
    show("0", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    show("renounce", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    show("give up", set_sets(none));
    show_state(" state");
    run_again("/proc/self/exe");
}

static void regained(void)
{
    struct sets none = { 0, 0, 0 };
    show("give up", set_sets(none));
    show_state(" state");
    run_again("/proc/self/exe");
}

static void copy_of_itself(const char *name, mode_t mode, uid_t uid, gid_t gid)
{
    int in = open("/proc/self/exe", O_RDONLY), out = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0700);
    ssize_t got;
    while ((got = read(in, buffer, sizeof buffer)) > 0)
        if (write(out, buffer, got) != got)
            puts("short copy");
    close(in);
    close(out);
    if (chown(name, uid, gid) || chmod(name, mode))
        printf("owner of %s: %s\n", name, error_name());
}

static const char *to_run;

static void as_a_user(void)
{
    setgroups(0, NULL);
    show("become a user", setresgid(100, 100, 100) | setresuid(1000, 1000, 1000));
    run_again(to_run);
}

static void as_a_user_renounced(void)
{
    setgroups(0, NULL);
    show("become a user", setresgid(100, 100, 100) | setresuid(1000, 1000, 1000));
    show("renounce", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    run_again(to_run);
}

static void as_a_user_with_ambient(void)
{
    struct sets sets = get_sets();
    sets.inheritable = 1 << CAP_KILL;
    show("inheritable", set_sets(sets));
    show("keep", prctl(PR_SET_KEEPCAPS, 1));
    setgroups(0, NULL);
    show("become a user", setresgid(100, 100, 100) | setresuid(1000, 1000, 1000));
    show("raise", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
    run_again(to_run);
}

/* What user 1000 may see of a process of its own that it cannot look into, while it lives and once it has ended. */
static void show_looks(const char *what, pid_t pid)
{
    printf(" %s\n", what);
    show_ok("  environ", open(proc_path(pid, "environ"), O_RDONLY));
    show_ok("  maps", open(proc_path(pid, "maps"), O_RDONLY));
    show_ok("  exe", readlink(proc_path(pid, "exe"), buffer, sizeof buffer));
    show_ok("  ns/user", readlink(proc_path(pid, "ns/user"), buffer, sizeof buffer));
    show_ok("  io", read_file(proc_path(pid, "io"), buffer, sizeof buffer) < 0 ? -1 : 0);
    printf("  start of stack is %s\n", strcmp(stat_word(pid, 28), "0") ? "shown" : "hidden");
    show("  kill", kill(pid, 0));
    struct stat status;
    printf("  owner of its directory %d", stat(proc_path(pid, ""), &status) ? -1 : (int)status.st_uid);
    printf(", of environ %d\n", stat(proc_path(pid, "environ"), &status) ? -1 : (int)status.st_uid);
}

static void looks(void)
{
    setgroups(0, NULL);
    show("become a user", setresgid(100, 100, 100) | setresuid(1000, 1000, 1000));
    for (int dumpable = 0; dumpable < 2; dumpable++) {
        show("dumpable", prctl(PR_SET_DUMPABLE, dumpable));
        pid_t pid = split();
        if (pid == 0) {
            pause();
            _exit(0);
        }
        wait_for_state(pid, "S");
        show_looks("it lives", pid);
        if (pid > 0)
            kill(pid, SIGKILL);
        siginfo_t info;
        waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
        show_looks("it is a zombie", pid);
        waitpid(pid, NULL, 0);
    }
    show("dumpable 2", prctl(PR_SET_DUMPABLE, 2));
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        printf("AT_SECURE %lu AT_EUID %lu", getauxval(AT_SECURE), getauxval(AT_EUID));
        show_state(" after exec");
        return 0;
    }
    /* Root of the host may have less than root of the VM. */
    prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE);
    struct sets sets = get_sets();
    sets.effective &= ~(1ul << CAP_SYS_RESOURCE);
    sets.permitted &= ~(1ul << CAP_SYS_RESOURCE);
    set_sets(sets);
    prctl(PR_SET_DUMPABLE, 1);
    show_state("at first");
    in_child("capset", capset_rules);
    in_child("bounding set", bounding);
    in_child("ambient set", ambient);
    in_child("changes of ids", fixup);
    in_child("changes of ids without fix-up", no_fixup);
    in_child("root is nobody", no_root);
    in_child("a lock", keep_locked);
    in_child("rights renounced", renounced);
    in_child("rights given up and regained", regained);
    enter_scratch();
    chmod(".", 0755);
    copy_of_itself("plain", 0755, 0, 0);
    copy_of_itself("setuid", 04755, 0, 0);
    copy_of_itself("setuid-user", 04755, 1001, 0);
    copy_of_itself("setgid", 02755, 0, 5);
    copy_of_itself("setgid-lock", 02745, 0, 5);
    copy_of_itself("unreadable", 0711, 0, 0);
    static const char *const files[] = { "plain", "setuid", "setuid-user", "setgid", "setgid-lock", "unreadable" };
    for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
        printf("file %s\n", files[i]);
        to_run = files[i];
        in_child(" by a user", as_a_user);
        in_child(" by a user who has renounced", as_a_user_renounced);
        in_child(" by a user with an ambient capability", as_a_user_with_ambient);
    }
    in_child("who may look", looks);
    return 0;
}
