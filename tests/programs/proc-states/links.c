/* exe, cwd and root: what they lead to when names change, and how they are followed. */
#include "state.h"
#include <sys/mount.h>

static void show_three(const char *what, pid_t pid)
{
    printf("%s\n", what);
    show_link("  exe", proc_path(pid, "exe"));
    show_link("  cwd", proc_path(pid, "cwd"));
    show_link("  root", proc_path(pid, "root"));
}

/* Copies this program to a path of the state's directory. */
static void copy_self(const char *path)
{
    int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);
    ssize_t got;
    while ((got = read(from, text, sizeof text)) > 0)
        if (write(to, text, got) != got)
            puts("short copy");
    close(from);
    close(to);
}

/* A child that runs the program at a path, asleep. */
static pid_t running(const char *path)
{
    char *args[] = { "role:sleep_for_good", NULL }, *env[] = { NULL };
    int started[2];
    char byte;
    if (pipe2(started, O_CLOEXEC) < 0)
        return -1;
    pid_t child = split();
    if (child == 0) {
        execve(path, args, env);
        printf("execve: %s\n", error_name());
        _exit(1);
    }
    close(started[1]);
    if (read(started[0], &byte, 1) == 0)
        wait_for_state(child, "S");
    close(started[0]);
    return child;
}

STATE(links_of_an_ordinary_process)
{
    copy_self("program");
    pid_t child = running("./program");
    show_three("running", child);
    end(child);
}

STATE(exe_deleted)
{
    copy_self("program");
    pid_t child = running("./program");
    unlink("program");
    show_link("exe", proc_path(child, "exe"));
    struct stat status;
    show_ok("stat", stat(proc_path(child, "exe"), &status));
    show("its links", status.st_nlink);
    show_fact("it can be read", open(proc_path(child, "exe"), O_RDONLY | O_CLOEXEC) >= 0);
    show("it cannot be written", open(proc_path(child, "exe"), O_WRONLY | O_CLOEXEC));
    end(child);
}

STATE(exe_deleted_can_be_executed)
{
    copy_self("program");
    pid_t child = running("./program");
    unlink("program");
    pid_t again = running(proc_path(child, "exe"));
    show_link("the second one's exe", proc_path(again, "exe"));
    show_file("its name", proc_path(again, "comm"));
    end(again);
    end(child);
}

STATE(exe_renamed)
{
    copy_self("program");
    pid_t child = running("./program");
    mkdir("folder", 0755);
    show_ok("rename", rename("program", "folder/renamed"));
    show_link("exe", proc_path(child, "exe"));
    show_ok("rename of the folder", rename("folder", "other"));
    show_link("exe", proc_path(child, "exe"));
    end(child);
}

STATE(exe_replaced)
{
    copy_self("program");
    pid_t child = running("./program");
    close(file_of("new", 100));
    show_ok("rename over it", rename("new", "program"));
    show_link("exe", proc_path(child, "exe"));
    struct stat own, there;
    stat(proc_path(child, "exe"), &own);
    stat("program", &there);
    show_fact("the file is another", own.st_ino != there.st_ino);
    end(child);
}

STATE(exe_with_an_odd_name)
{
    copy_self("a b\nc\\d\te");
    pid_t child = running("./a b\nc\\d\te");
    show_link("exe", proc_path(child, "exe"));
    show_file("comm", proc_path(child, "comm"));
    end(child);
}

STATE(exe_whose_name_ends_with_deleted)
{
    copy_self("x (deleted)");
    pid_t child = running("./x (deleted)");
    show_link("exe", proc_path(child, "exe"));
    unlink("x (deleted)");
    show_link("deleted", proc_path(child, "exe"));
    end(child);
}

STATE(exe_with_two_names)
{
    copy_self("one");
    show_ok("link", link("one", "two"));
    pid_t child = running("./two");
    show_link("exe", proc_path(child, "exe"));
    unlink("one");
    show_link("the other name deleted", proc_path(child, "exe"));
    unlink("two");
    show_link("both deleted", proc_path(child, "exe"));
    end(child);
}

STATE(exe_cannot_be_written_while_it_runs)
{
    copy_self("program");
    pid_t child = running("./program");
    show("open for writing", open("program", O_WRONLY));
    show_ok("truncate", truncate("program", 0));
    end(child);
    int fd = open("program", O_WRONLY);
    show_fact("afterwards it can", fd >= 0);
    show("running what is open for writing", execl("./program", "program", NULL));
}

STATE(readlink_of_exe_with_buffers_of_every_size)
{
    ssize_t whole = readlink("/proc/self/exe", text, PAGE);
    show("none", readlink("/proc/self/exe", text, 0));
    memset(text, '.', 16);
    show("five bytes", readlink("/proc/self/exe", text, 5));
    show_fact("no NUL behind them", text[5] == '.');
    show_fact("just enough", readlink("/proc/self/exe", text, whole) == whole);
    show("a bad buffer", syscall(SYS_readlink, "/proc/self/exe", 16, 100));
    show("a negative size", syscall(SYS_readlink, "/proc/self/exe", text, -1));
}

STATE(cwd_deleted)
{
    mkdir("gone", 0755);
    show_ok("chdir", chdir("gone"));
    show_ok("rmdir", rmdir("../gone"));
    show_link("cwd", "/proc/self/cwd");
    show("getcwd", syscall(SYS_getcwd, text, PAGE));
    struct stat status;
    show_ok("stat", stat("/proc/self/cwd", &status));
    show("its links", status.st_nlink);
    show("a file in it", open("/proc/self/cwd/file", O_CREAT | O_WRONLY, 0644));
    show("its listing", open("/proc/self/cwd", O_RDONLY | O_DIRECTORY) < 0 ? -1 : 0);
}

STATE(cwd_renamed_and_with_an_odd_name)
{
    mkdir("first", 0755);
    show_ok("chdir", chdir("first"));
    show_ok("rename", rename("../first", "../sec ond\n\\\xff"));
    show_link("cwd", "/proc/self/cwd");
    mkdir("inner", 0755);
    show_ok("through the link", chdir("/proc/self/cwd/inner"));
    show_link("cwd", "/proc/self/cwd");
}

STATE(cwd_at_the_root_of_another_file_system)
{
    show_ok("chdir", chdir("/proc"));
    show_link("cwd", "/proc/self/cwd");
    show_ok("chdir", chdir("self"));
    show_fact("cwd is the directory of this process", readlink("/proc/self/cwd", text, PAGE) > 0 && atoi(text + 6) == getpid());
    show_ok("chdir", chdir("/"));
    show_link("cwd", "/proc/self/cwd");
}

STATE(cwd_with_a_path_too_long_for_a_link)
{
    char part[201];
    memset(part, 'd', 200);
    part[200] = 0;
    for (int depth = 0; depth < 25; depth++)
        if (mkdir(part, 0755) < 0 || chdir(part) < 0)
            printf("depth %d: %s\n", depth, error_name());
    show("cwd", readlink("/proc/self/cwd", text, sizeof text));
    show("getcwd", syscall(SYS_getcwd, text, sizeof text) < 0 ? -1 : 0);
    for (int depth = 0; depth < 25; depth++)
        if (chdir("..") < 0 || rmdir(part) < 0)
            printf("depth %d: %s\n", depth, error_name());
}

STATE(root_changed)
{
    mkdir("jail", 0755);
    mkdir("jail/inner", 0755);
    int proc = open("/proc", O_RDONLY | O_DIRECTORY);
    pid_t outside = child_after(NULL);
    show_ok("chroot", chroot("jail"));
    char path[64];
    show("cwd stays outside", readlinkat(proc, "self/cwd", text, PAGE) > 0 ? 0 : -1);
    ssize_t length = readlinkat(proc, "self/root", text, PAGE);
    show_text("own root by a descriptor from before", text, length);
    length = readlinkat(proc, "self/cwd", text, PAGE);
    show_text("own cwd", text, length);
    show_ok("chdir", chdir("/inner"));
    length = readlinkat(proc, "self/cwd", text, PAGE);
    show_text("cwd within", text, length);
    snprintf(path, sizeof path, "%d/root", outside);
    length = readlinkat(proc, path, text, PAGE);
    show_text("the root of one outside", text, length);
    length = readlinkat(proc, "self/exe", text, PAGE);
    show_fact("exe is shown whole", length > 0 && text[0] == '/');
    struct stat root, link;
    show_ok("stat", stat("/", &root));
    show_ok("through the link", fstatat(proc, "self/root", &link, 0));
    show_fact("both are the same", root.st_ino == link.st_ino && root.st_dev == link.st_dev);
    end(outside);
}

static void enter_jail(void)
{
    mkdir("jail", 0755);
    mkdir("jail/inner", 0755);
    if (chroot("jail") < 0 || chdir("/inner") < 0)
        printf("chroot: %s\n", error_name());
}

STATE(root_of_another_that_has_changed_it)
{
    pid_t child = child_after(enter_jail);
    show_three("as seen from outside", child);
    struct stat status;
    char path[64];
    show_ok("a file below its root", stat(proc_path(child, "root/inner"), &status));
    snprintf(path, sizeof path, "/proc/%d/root/..", child);
    show_ok("..", stat(path, &status));
    struct stat scratch_status;
    stat(".", &scratch_status);
    show_fact(".. of its root is the real one", status.st_ino == scratch_status.st_ino);
    show_fact("maps of it are shown with whole paths", read_file(proc_path(child, "maps"), text, sizeof text) > 0);
    end(child);
}

STATE(links_with_flags)
{
    show("O_NOFOLLOW", open("/proc/self/exe", O_RDONLY | O_NOFOLLOW));
    int fd = open("/proc/self/exe", O_PATH | O_NOFOLLOW);
    show_fact("O_PATH and O_NOFOLLOW give the link", fd >= 0);
    struct stat status;
    show_ok("fstat", fstat(fd, &status));
    printf("mode %o size %ld links %ld\n", status.st_mode, (long)status.st_size, (long)status.st_nlink);
    show_fact("readlinkat of it", readlinkat(fd, "", text, PAGE) > 0);
    show("read of it", read(fd, text, 1));
    show("O_DIRECTORY of exe", open("/proc/self/exe", O_RDONLY | O_DIRECTORY));
    show_fact("O_DIRECTORY of cwd", open("/proc/self/cwd", O_RDONLY | O_DIRECTORY) >= 0);
    show("O_DIRECTORY and O_NOFOLLOW of cwd", open("/proc/self/cwd", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    show("O_CREAT and O_EXCL", open("/proc/self/cwd", O_RDWR | O_CREAT | O_EXCL, 0644));
    show("a name behind exe", open("/proc/self/exe/x", O_RDONLY));
    show("exe with a slash", open("/proc/self/exe/", O_RDONLY));
    fd = open("/proc/self/cwd/", O_PATH | O_NOFOLLOW);
    show_ok("cwd with a slash", fstat(fd, &status));
    show_fact("is a directory", S_ISDIR(status.st_mode));
}

STATE(links_by_lstat)
{
    static const char *const NAMES[] = { "exe", "cwd", "root", "ns/pid", "fd/0" };
    dup2(open("/dev/null", O_RDONLY), 0);
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        struct stat status;
        show_ok(NAMES[i], lstat(proc_path(getpid(), NAMES[i]), &status));
        printf("  mode %o size %ld blocks %ld links %ld owner %u:%u\n", status.st_mode, (long)status.st_size, (long)status.st_blocks,
               (long)status.st_nlink, status.st_uid, status.st_gid);
    }
}

STATE(links_of_a_kernel_thread)
{
    pid_t pid = kernel_thread();
    show_three("links", pid);
    show_open_read("maps", proc_path(pid, "maps"));
    show_open_read("environ", proc_path(pid, "environ"));
    show_open_read("auxv", proc_path(pid, "auxv"));
    show_open_read("mem", proc_path(pid, "mem"));
    show_open_read("smaps_rollup", proc_path(pid, "smaps_rollup"));
    show_open_read("io", proc_path(pid, "io"));
    show_open_read("mounts", proc_path(pid, "mounts"));
    DIR *fds = opendir(proc_path(pid, "fd"));
    int count = 0;
    while (fds && readdir(fds))
        count++;
    show("entries of fd", count);
}

STATE(self_and_thread_self)
{
    char expected[64], got[64];
    struct stat status;
    snprintf(expected, sizeof expected, "%d", getpid());
    ssize_t length = readlink("/proc/self", got, sizeof got - 1);
    got[length > 0 ? length : 0] = 0;
    show_fact("self is the process", !strcmp(got, expected));
    snprintf(expected, sizeof expected, "%d/task/%d", getpid(), gettid());
    length = readlink("/proc/thread-self", got, sizeof got - 1);
    got[length > 0 ? length : 0] = 0;
    show_fact("thread-self is the thread", !strcmp(got, expected));
    lstat("/proc/self", &status);
    printf("mode %o size %ld\n", status.st_mode, (long)status.st_size);
    lstat("/proc/thread-self", &status);
    printf("mode %o size %ld\n", status.st_mode, (long)status.st_size);
    show_fact("self/task is there", access("/proc/self/task", F_OK) == 0);
    show("thread-self/task", access("/proc/thread-self/task", F_OK));
}

static void *from_a_thread(void *unused)
{
    char expected[64], got[64];
    snprintf(expected, sizeof expected, "%d/task/%d", getpid(), gettid());
    ssize_t length = readlink("/proc/thread-self", got, sizeof got - 1);
    got[length > 0 ? length : 0] = 0;
    show_fact("thread-self of a second thread", !strcmp(got, expected) && gettid() != getpid());
    length = readlink("/proc/self", got, sizeof got - 1);
    got[length > 0 ? length : 0] = 0;
    show_fact("self of a second thread", atoi(got) == getpid());
    return unused;
}

STATE(self_of_a_second_thread)
{
    pthread_t thread;
    pthread_create(&thread, NULL, from_a_thread, NULL);
    pthread_join(thread, NULL);
}

STATE(links_at_the_top)
{
    show_link("mounts", "/proc/mounts");
    show_link("net", "/proc/net");
    struct stat status;
    lstat("/proc/mounts", &status);
    printf("mode %o size %ld\n", status.st_mode, (long)status.st_size);
    lstat("/proc/net", &status);
    printf("mode %o size %ld\n", status.st_mode, (long)status.st_size);
}

ROLE(exec_from_thread_done)
{
    char expected[64], got[64];
    snprintf(expected, sizeof expected, "%d", getpid());
    got[readlink("/proc/self", got, sizeof got - 1)] = 0;
    show_fact("the process is its own leader again", !strcmp(expected, got) && getpid() == gettid());
    printf("threads %s\n", status_value(getpid(), "Threads"));
    show_fact("cwd is read as before", readlink("/proc/self/cwd", text, PAGE) > 0);
    show_fact("one task is listed", access("/proc/self/task", F_OK) == 0);
}

static void *exec_from_thread(void *unused)
{
    exec_role("exec_from_thread_done", NULL, NULL);
    return unused;
}

STATE(exec_from_a_second_thread)
{
    pid_t child = split();
    if (child == 0) {
        pthread_t thread;
        if (readlink("/proc/self/cwd", text, PAGE) < 0)
            puts(error_name());
        pthread_create(&thread, NULL, exec_from_thread, NULL);
        for (;;)
            pause();
    }
    reap("it", child);
}
