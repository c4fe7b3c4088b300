/* uid_map, gid_map, projid_map and setgroups: what a write may be, who may write what, and how each looks to whom. Needs root. */
#include "check.h"
#include <grp.h>
#include <sched.h>

#define TEXT(text) text, sizeof text - 1

static char buffer[1 << 14];

/* No memory is there, which the compiler must not find out. */
static void *volatile nowhere = (void *)16;

/* A child in a user namespace of its own, which does as it is told: 0 at its end, as split(). */
static pid_t split_user_ns(void)
{
    fflush(stdout);
    return made(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

static pid_t idle_in_user_ns(void)
{
    pid_t pid = split_user_ns();
    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

static int try_write(const char *path, const char *text, size_t length)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int result = write(fd, text, length);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}

static void show_write(const char *path, const char *text, size_t length)
{
    int result = try_write(path, text, length);
    int error = errno;
    char shown[120];
    size_t at = 0;
    for (size_t i = 0; i < length && at < sizeof shown - 8; i++) {
        unsigned char byte = text[i];
        at += sprintf(shown + at, byte < 32 || byte > 126 ? "\\x%02x" : "%c", byte);
    }
    shown[at] = 0;
    const char *file = strrchr(path, '/') + 1;
    errno = error;
    if (result < 0)
        printf("  %s \"%s\": %s\n", file, shown, error_name());
    else
        printf("  %s \"%s\": %d\n", file, shown, result);
}

/* Becomes a user whose files are its own. */
static void become(uid_t uid, gid_t gid)
{
    if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid) || prctl(PR_SET_DUMPABLE, 1))
        printf("become: %s\n", error_name());
}

static const struct {
    const char *text;
    size_t length;
} forms[] = {
    { TEXT("0 0 1") },
    { TEXT("0 0 1\n") },
    { TEXT("0 0 1\r\n") },
    { TEXT("0 0 1\n\n") },
    { TEXT("") },
    { TEXT("\n") },
    { TEXT("\n0 0 1") },
    { TEXT("0 0 1\n\0 4 3") },
    { TEXT("0 0 1\0junk") },
    { TEXT("\0 0 1") },
    { TEXT(" \t0\t0\v1\f") },
    { TEXT("\xa0" "0 0 1") },
    { TEXT("010 5 2") },
    { TEXT("0x10 0 1") },
    { TEXT("-1 0 1") },
    { TEXT("+1 0 1") },
    { TEXT("0 -1 1") },
    { TEXT("0 0") },
    { TEXT("0 0 ") },
    { TEXT("0") },
    { TEXT(" ") },
    { TEXT(" 0 1") },
    { TEXT("0 0 1 2") },
    { TEXT("0 0 1x") },
    { TEXT("0,0,1") },
    { TEXT("a b c") },
    { TEXT("0 0 0") },
    { TEXT("4294967295 0 1") },
    { TEXT("0 4294967295 1") },
    { TEXT("4294967294 0 1") },
    { TEXT("4294967294 0 2") },
    { TEXT("0 4294967294 1") },
    { TEXT("0 4294967294 2") },
    { TEXT("0 0 4294967295") },
    { TEXT("1 0 4294967295") },
    { TEXT("0 0 4294967296") },
    { TEXT("4294967296 4294967296 1") },
    { TEXT("4294967303 4294968296 4294967298") },
    { TEXT("18446744073709551616 0 1") },
    { TEXT("99999999999999999999999999 0 1") },
    { TEXT("0 0 10\n5 20 1") },
    { TEXT("0 0 10\n20 5 1") },
    { TEXT("0 0 10\n10 10 10\n") },
    { TEXT("0 0 10\n10 10 0\n") },
    { TEXT("5 5 1\n0 0 5") },
    { TEXT("50 5 1\n40 4 1\n30 3 1\n20 2 1\n10 1 1\n") },
    { TEXT("60 6 1\n50 5 1\n40 4 1\n30 3 1\n20 2 1\n10 1 1\n") },
};

static void text_forms(void)
{
    static const char *const files[] = { "uid_map", "gid_map", "projid_map" };
    for (unsigned f = 0; f < 3; f++) {
        printf("forms of %s\n", files[f]);
        for (unsigned i = 0; i < sizeof forms / sizeof *forms; i++) {
            pid_t child = idle_in_user_ns();
            show_write(proc_path(child, files[f]), forms[i].text, forms[i].length);
            ssize_t length = read_file(proc_path(child, files[f]), buffer, sizeof buffer);
            if (length)
                show_bytes("    reads", buffer, length);
            end_child(child);
        }
    }
}

static void sizes_and_places(void)
{
    puts("sizes and places");
    for (int lines = 339; lines <= 341; lines++) {
        size_t length = 0;
        for (int i = lines - 1; i >= 0; i--)
            length += sprintf(buffer + length, "%d %d 1\n", i, i);
        pid_t child = idle_in_user_ns();
        printf("%d extents", lines);
        show(" of a map", try_write(proc_path(child, "uid_map"), buffer, length));
        length = read_file(proc_path(child, "uid_map"), buffer, sizeof buffer);
        printf("  bytes %zu, first line %.33s", length, length ? buffer : "\n");
        end_child(child);
    }
    pid_t child = idle_in_user_ns();
    const char *path = proc_path(child, "uid_map");
    static char page[8192];
    memset(page, ' ', sizeof page);
    memcpy(page, "0 0 1", 5);
    show("a page", try_write(path, page, 4096));
    show("two pages", try_write(path, page, 8192));
    int fd = open(path, O_RDWR);
    show("from nowhere", write(fd, nowhere, 5));
    show("a page from nowhere", write(fd, nowhere, 4096));
    show("pwrite", pwrite(fd, "0 0 1", 5, 0));
    show("seek", lseek(fd, 1, SEEK_SET));
    show("at 1", write(fd, "0 0 1", 5));
    show("seek", lseek(fd, 0, SEEK_SET));
    show("at 0", write(fd, "0 0 1", 5));
    show("position", lseek(fd, 0, SEEK_CUR));
    show("again", write(fd, "0 0 1", 5));
    show("back to 0", lseek(fd, 0, SEEK_SET));
    show("again at 0", write(fd, "0 0 1", 5));
    show("nonsense at 0", write(fd, "nonsense", 8));
    show_bytes("what it is", buffer, pread(fd, buffer, sizeof buffer, 0));
    close(fd);
    end_child(child);
    child = idle_in_user_ns();
    show("a page less one", try_write(proc_path(child, "uid_map"), page, 4095));
    end_child(child);
    puts("the initial namespace");
    show_file("uid_map", "/proc/self/uid_map");
    show_file("setgroups", "/proc/self/setgroups");
    static const char *const files[] = { "uid_map", "gid_map", "projid_map" };
    for (unsigned f = 0; f < 3; f++) {
        fd = open(proc_path(getpid(), files[f]), O_RDWR);
        show(files[f], write(fd, "0 0 1", 5));
        show(" too long", write(fd, page, 5000));
        show(" from nowhere", write(fd, nowhere, 5));
        close(fd);
    }
    show("setgroups deny", try_write("/proc/self/setgroups", "deny", 4));
    show("setgroups allow", try_write("/proc/self/setgroups", "allow", 5));
}

/* In a namespace that user 1000 of group 100 makes for itself. */
static void one_user(void)
{
    puts("a user alone");
    pid_t user = split();
    if (user == 0) {
        become(1000, 100);
        pid_t inside = split_user_ns();
        if (inside == 0) {
            show_write("/proc/self/uid_map", TEXT("0 1001 1"));
            show_write("/proc/self/uid_map", TEXT("0 0 1"));
            show_write("/proc/self/uid_map", TEXT("0 1000 2"));
            show_write("/proc/self/uid_map", TEXT("0 1000 1\n1 1001 1"));
            show_write("/proc/self/uid_map", TEXT("5 1000 1"));
            show_write("/proc/self/uid_map", TEXT("5 1000 1"));
            show_file("  uid_map", "/proc/self/uid_map");
            show_write("/proc/self/gid_map", TEXT("0 100 1"));
            show("  setgroups before the map", setgroups(0, NULL));
            show_write("/proc/self/setgroups", TEXT("allow"));
            show_write("/proc/self/gid_map", TEXT("0 100 1"));
            show_write("/proc/self/setgroups", TEXT("deny"));
            show_write("/proc/self/gid_map", TEXT("0 101 1"));
            show_write("/proc/self/gid_map", TEXT("0 100 2"));
            show_write("/proc/self/gid_map", TEXT("6 100 1"));
            show_file("  gid_map", "/proc/self/gid_map");
            show("  setgroups after the map", setgroups(0, NULL));
            show_write("/proc/self/setgroups", TEXT("deny"));
            show_write("/proc/self/setgroups", TEXT("allow"));
            show_write("/proc/self/projid_map", TEXT("0 7 2"));
            show_file("  projid_map", "/proc/self/projid_map");
            printf("  uid %d gid %d\n", getuid(), getgid());
            printf("  Uid %s\n", status_value(getpid(), "Uid"));
            printf("  Gid %s\n", status_value(getpid(), "Gid"));
            fflush(stdout);
            _exit(0);
        }
        reap("inside", inside);
        pid_t other = idle_in_user_ns();
        puts(" written by the parent");
        show_write(proc_path(other, "uid_map"), TEXT("0 1001 1"));
        show_write(proc_path(other, "uid_map"), TEXT("0 1000 1"));
        show_write(proc_path(other, "gid_map"), TEXT("0 100 1"));
        show_write(proc_path(other, "setgroups"), TEXT("deny"));
        show_write(proc_path(other, "gid_map"), TEXT("0 100 1"));
        show_file("  uid_map", proc_path(other, "uid_map"));
        printf("  Uid of it %s\n", status_value(other, "Uid"));
        end_child(other);
        fflush(stdout);
        _exit(0);
    }
    reap("user", user);
}

static void opener_and_writer(void)
{
    puts("opener and writer");
    pid_t tester = split();
    if (tester == 0) {
        /* The child is user 1000's; so are its files. */
        if (setresgid(0, 100, 0) || setresuid(0, 1000, 0) || prctl(PR_SET_DUMPABLE, 1))
            printf("become: %s\n", error_name());
        pid_t child = idle_in_user_ns();
        int users = open(proc_path(child, "uid_map"), O_RDWR);
        show_ok(" opened by the user", users);
        show_ok(" root again", setresuid(0, 0, 0));
        int roots = open(proc_path(child, "uid_map"), O_RDWR);
        show_ok(" opened by root", roots);
        show(" the user's file, root writes", write(users, "0 2000 5", 8));
        show_ok(" the user again", setresuid(0, 1000, 0));
        show(" root's file, the user writes", write(roots, "0 2000 5", 8));
        show(" root's file, the user writes its own id", write(roots, "0 1000 1", 8));
        show_ok(" root again", setresuid(0, 0, 0));
        show(" the user's file, root writes the user's id", write(users, "0 1000 1", 8));
        end_child(child);
        child = idle_in_user_ns();
        roots = open(proc_path(child, "uid_map"), O_RDWR);
        show(" root's file, root writes", write(roots, "0 2000 5", 8));
        end_child(child);
        fflush(stdout);
        _exit(0);
    }
    reap("tester", tester);
}

static void without_setfcap(void)
{
    puts("mapping root without CAP_SETFCAP");
    struct {
        uint32_t version;
        int pid;
    } header = { 0x20080522, 0 };
    struct {
        uint32_t effective, permitted, inheritable;
    } data[2];
    pid_t with = idle_in_user_ns(), tester = split();
    if (tester == 0) {
        syscall(SYS_capget, &header, data);
        data[0].effective &= ~(1u << 31);
        show(" capset", syscall(SYS_capset, &header, data));
        pid_t child = split_user_ns();
        if (child == 0) {
            show_write("/proc/self/uid_map", TEXT("0 0 1"));
            fflush(stdout);
            _exit(0);
        }
        reap(" inside", child);
        child = idle_in_user_ns();
        show_write(proc_path(child, "uid_map"), TEXT("0 0 1"));
        show_write(proc_path(child, "uid_map"), TEXT("0 1 5\n5 0 1"));
        show_write(proc_path(child, "gid_map"), TEXT("0 0 1"));
        show_write(proc_path(child, "uid_map"), TEXT("0 1 1"));
        show_write(proc_path(with, "uid_map"), TEXT("0 0 1"));
        end_child(child);
        fflush(stdout);
        _exit(0);
    }
    reap("tester", tester);
    show_write(proc_path(with, "uid_map"), TEXT("0 0 1"));
    end_child(with);
    pid_t child = split_user_ns();
    if (child == 0) {
        show_write("/proc/self/uid_map", TEXT("0 0 2"));
        show_write("/proc/self/uid_map", TEXT("0 0 1"));
        show_write("/proc/self/gid_map", TEXT("0 0 1"));
        fflush(stdout);
        _exit(0);
    }
    reap("inside", child);
}

static void show_maps(const char *who, pid_t pid)
{
    printf(" seen by %s\n", who);
    show_file("  uid_map", proc_path(pid, "uid_map"));
    show_file("  gid_map", proc_path(pid, "gid_map"));
    printf("  Uid %s\n", status_value(pid, "Uid"));
    struct stat status;
    if (stat(proc_path(pid, ""), &status) < 0)
        printf("  owner: %s\n", error_name());
    else
        printf("  owner %d:%d\n", status.st_uid, status.st_gid);
    fflush(stdout);
}

static int go[2];

static void wait_for_go(void)
{
    char byte;
    if (read(go[0], &byte, 1) != 1)
        _exit(2);
}

static void nested(void)
{
    puts("namespaces in namespaces");
    if (pipe(go))
        return;
    pid_t sibling = idle_in_user_ns();
    show_write(proc_path(sibling, "uid_map"), TEXT("0 1500 1000"));
    show_write(proc_path(sibling, "gid_map"), TEXT("0 0 1000"));
    pid_t outer = split_user_ns();
    if (outer == 0) {
        wait_for_go();
        show_ok(" become root of the outer one", setresgid(0, 0, 0) || setresuid(0, 0, 0) ? -1 : 0);
        prctl(PR_SET_DUMPABLE, 1);
        pid_t inner = idle_in_user_ns();
        show_write(proc_path(inner, "uid_map"), TEXT("0 999 2"));
        show_write(proc_path(inner, "uid_map"), TEXT("0 1000 1"));
        show_write(proc_path(inner, "uid_map"), TEXT("0 5000 1"));
        show_write(proc_path(inner, "uid_map"), TEXT("100 0 1\n0 500 10"));
        show_write(proc_path(inner, "gid_map"), TEXT("0 0 1"));
        show_maps("the outer", inner);
        show_maps("the outer, of itself", getpid());
        show_maps("the outer, of the initial", getppid());
        char path[64];
        sprintf(path, "%d", inner);
        setenv("INNER", path, 1);
        pid_t third = split_user_ns();
        if (third == 0) {
            show_maps("one without maps", inner);
            show_maps("one without maps, of itself", getpid());
            _exit(0);
        }
        reap("third", third);
        show("kill of the sibling", kill(sibling, 0));
        show("kill of the inner", kill(inner, 0));
        end_child(inner);
        fflush(stdout);
        _exit(0);
    }
    show_write(proc_path(outer, "uid_map"), TEXT("0 1000 1000\n2000 5000 10"));
    show_write(proc_path(outer, "gid_map"), TEXT("0 1000 1000\n2000 5000 10"));
    show_maps("the initial", outer);
    if (write(go[1], "x", 1) != 1)
        return;
    reap("outer", outer);
    end_child(sibling);
}

static void after_the_end(void)
{
    puts("a namespace whose process has gone");
    pid_t child = split_user_ns();
    if (child == 0) {
        pause();
        _exit(0);
    }
    int map = open(proc_path(child, "uid_map"), O_RDWR), groups = open(proc_path(child, "setgroups"), O_RDWR);
    kill(child, SIGKILL);
    siginfo_t info;
    waitid(P_PID, child, &info, WEXITED | WNOWAIT);
    show_write(proc_path(child, "gid_map"), TEXT("0 3 1"));
    show_file("  gid_map of a zombie", proc_path(child, "gid_map"));
    waitpid(child, NULL, 0);
    show("  uid_map written", write(map, "0 0 1", 5));
    show_bytes("  uid_map read", buffer, pread(map, buffer, sizeof buffer, 0));
    show("  setgroups written", write(groups, "deny", 4));
    show_bytes("  setgroups read", buffer, pread(groups, buffer, sizeof buffer, 0));
    show("  open of uid_map", open(proc_path(child, "uid_map"), O_RDONLY));
}

static void setgroups_file(void)
{
    puts("setgroups");
    static const struct {
        const char *text;
        size_t length;
    } words[] = {
        { TEXT("allow") }, { TEXT("allow\n") }, { TEXT("deny") }, { TEXT("deny\n") }, { TEXT("deny\0") }, { TEXT("deny   ") },
        { TEXT("deny    ") }, { TEXT("denyx") }, { TEXT("Deny") }, { TEXT(" deny") }, { TEXT("") }, { TEXT("allow x") },
        { TEXT("deny\0xx") }, { TEXT("all") }, { TEXT("0") },
    };
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        pid_t child = idle_in_user_ns();
        show_write(proc_path(child, "setgroups"), words[i].text, words[i].length);
        show_file("    reads", proc_path(child, "setgroups"));
        end_child(child);
    }
    pid_t child = idle_in_user_ns();
    int fd = open(proc_path(child, "setgroups"), O_RDWR);
    show("from nowhere", write(fd, nowhere, 4));
    show("8 bytes from nowhere", write(fd, nowhere, 8));
    show("pwrite", pwrite(fd, "deny", 4, 0));
    show("deny", write(fd, "deny", 4));
    show("at 4", write(fd, "deny", 4));
    close(fd);
    show_write(proc_path(child, "setgroups"), TEXT("deny"));
    show_write(proc_path(child, "setgroups"), TEXT("allow"));
    show_write(proc_path(child, "uid_map"), TEXT("0 0 10"));
    show_write(proc_path(child, "gid_map"), TEXT("0 0 10"));
    end_child(child);
    child = split_user_ns();
    if (child == 0) {
        gid_t groups[] = { 3, 4 }, unmapped[] = { 3, 11 };
        wait_for_go();
        show("setgroups by one that is not root", setgroups(2, groups));
        show_ok("become root", setresuid(0, 0, 0));
        show("setgroups to an id that is not mapped", setgroups(2, unmapped));
        show("setgroups", setgroups(2, groups));
        printf("Groups %s\n", status_value(getpid(), "Groups"));
        show("getgroups", getgroups(0, NULL));
        show_write("/proc/self/setgroups", TEXT("deny"));
        pid_t below = split_user_ns();
        if (below == 0) {
            show_file("  below reads", "/proc/self/setgroups");
            show_write("/proc/self/setgroups", TEXT("deny"));
            printf("  Groups %s\n", status_value(getpid(), "Groups"));
            show("  getgroups", getgroups(0, NULL));
            fflush(stdout);
            show("  clone below it", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
            fflush(stdout);
            _exit(0);
        }
        reap("below", below);
        fflush(stdout);
        _exit(0);
    }
    show_write(proc_path(child, "uid_map"), TEXT("0 0 10"));
    show_write(proc_path(child, "gid_map"), TEXT("0 0 10"));
    show_write(proc_path(child, "setgroups"), TEXT("deny"));
    show_write(proc_path(child, "setgroups"), TEXT("allow"));
    if (write(go[1], "x", 1) != 1)
        return;
    reap("child", child);
    child = idle_in_user_ns();
    pid_t user = split();
    if (user == 0) {
        become(1000, 100);
        show("another user's: open to read", open(proc_path(child, "setgroups"), O_RDONLY) < 0 ? -1 : 0);
        show("another user's: open to write", open(proc_path(child, "setgroups"), O_WRONLY));
        show("another user's map: open to write", open(proc_path(child, "uid_map"), O_WRONLY));
        show("its own: open to write", open("/proc/self/setgroups", O_WRONLY));
        fflush(stdout);
        _exit(0);
    }
    reap("user", user);
    end_child(child);
}

int main(void)
{
    text_forms();
    sizes_and_places();
    one_user();
    opener_and_writer();
    without_setfcap();
    nested();
    after_the_end();
    setgroups_file();
    return 0;
}
