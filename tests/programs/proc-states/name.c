/* The name of a task: comm, Name of status and the second word of stat, by every way it can be set. */
#include "state.h"

static void show_names(const char *what)
{
    char name[16] = "";
    printf("%s\n", what);
    show_file("  comm", "/proc/self/comm");
    show_line("  status", "/proc/self/status", "Name:");
    prctl(PR_GET_NAME, name);
    show_bytes("  prctl", name, sizeof name);
    ssize_t length = read_file("/proc/self/stat", text, sizeof text);
    char *open = strchr(text, '('), *close = strrchr(text, ')');
    show_bytes("  stat", open, length > 0 && open && close ? close - open + 1 : -1);
    fflush(stdout);
}

static void name_by_prctl(const char *name)
{
    show_ok("PR_SET_NAME", prctl(PR_SET_NAME, name));
    show_names("by prctl");
}

STATE(name_with_a_newline)
{
    name_by_prctl("one\ntwo");
}

STATE(name_with_a_backslash)
{
    name_by_prctl("a\\b\\\\c");
}

STATE(name_with_a_tab_and_control_bytes)
{
    name_by_prctl("\ta\r\x1b[1m\x7f");
}

STATE(name_that_is_no_utf8)
{
    name_by_prctl("\xff\xfe\x80x");
}

STATE(name_with_parentheses_and_blanks)
{
    name_by_prctl(") R 1 (x ");
}

STATE(name_that_is_empty)
{
    name_by_prctl("");
}

STATE(name_of_15_bytes)
{
    name_by_prctl("123456789012345");
}

STATE(name_of_more_than_15_bytes)
{
    name_by_prctl("1234567890123456789");
}

STATE(name_of_15_newlines_doubles_in_status)
{
    name_by_prctl("\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n");
}

STATE(name_from_a_bad_pointer)
{
    show_ok("at 16", prctl(PR_SET_NAME, 16));
    char *page = region(1);
    mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    memset(page, 'e', PAGE);
    show_ok("15 bytes before the end of a page", prctl(PR_SET_NAME, page + PAGE - 15));
    show_ok("8 bytes before it", prctl(PR_SET_NAME, page + PAGE - 8));
    page[PAGE - 1] = 0;
    show_ok("8 bytes before it, with a NUL", prctl(PR_SET_NAME, page + PAGE - 8));
    show_ok("read to a bad pointer", prctl(PR_GET_NAME, 16));
    show_names("after all");
}

STATE(comm_written)
{
    show_write("/proc/self/comm", "written", 7);
    show_names("written");
    show_write("/proc/self/comm", "line\n", 5);
    show_names("a newline stays");
    show_write("/proc/self/comm", "nul\0rest", 8);
    show_names("a NUL ends it");
    show_write("/proc/self/comm", "", 0);
    show_names("nothing");
}

STATE(comm_written_longer_than_15_bytes)
{
    show_write("/proc/self/comm", "1234567890123456", 16);
    show_names("16 bytes");
    memset(text, 'L', 5000);
    show_write("/proc/self/comm", text, 5000);
    show_names("5000 bytes");
}

STATE(comm_written_by_pwrite_and_writev)
{
    int fd = open("/proc/self/comm", O_RDWR);
    show("pwrite at 0", pwrite(fd, "pwrite", 6, 0));
    show("pwrite at 5", pwrite(fd, "pwrite", 6, 5));
    show("write", write(fd, "first", 5));
    show("position", lseek(fd, 0, SEEK_CUR));
    show("write behind it", write(fd, "second", 6));
    show_names("the second");
    show("a bad pointer", syscall(SYS_write, fd, 16, 5));
    show_names("still the second");
    show("read where writing has led to", read(fd, text, 100));
    show("pread", pread(fd, text, 100, 0));
}

STATE(comm_opened_to_append_or_truncate)
{
    int fd = open("/proc/self/comm", O_WRONLY | O_APPEND);
    show_fact("append", fd >= 0);
    show("write", write(fd, "appended", 8));
    fd = open("/proc/self/comm", O_WRONLY | O_TRUNC);
    show_fact("truncate", fd >= 0);
    show_names("truncation changes nothing");
    show_ok("ftruncate", ftruncate(fd, 2));
    show_names("nor does ftruncate");
    show("read of a file for writing", read(fd, text, 10));
}

static void *rename_peer(void *path)
{
    show_write(path, "peer", 4);
    prctl(PR_SET_NAME, "second thread");
    return NULL;
}

STATE(comm_of_a_thread_written_by_its_peer)
{
    pthread_t thread;
    pthread_create(&thread, NULL, rename_peer, (void *)proc_path(getpid(), "comm"));
    pthread_join(thread, NULL);
    show_names("the first thread's name");
}

static int hold[2], tell[2];
static pid_t second;

static void *named_thread(void *unused)
{
    char byte;
    second = gettid();
    prctl(PR_SET_NAME, "worker");
    if (write(tell[1], "x", 1) == 1 && read(hold[0], &byte, 1) == 1)
        return unused;
    return NULL;
}

STATE(comm_of_two_threads)
{
    pthread_t thread;
    char byte, path[64];
    if (pipe(hold) < 0 || pipe(tell) < 0)
        return;
    prctl(PR_SET_NAME, "leader");
    pthread_create(&thread, NULL, named_thread, NULL);
    if (read(tell[0], &byte, 1) != 1)
        return;
    show_file("the process", "/proc/self/comm");
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", second);
    show_file("the second thread", path);
    show_file("the second thread by its number", proc_path(second, "comm"));
    show_write(path, "renamed", 7);
    show_file("renamed by the first", path);
    show_write(proc_path(second, "comm"), "again", 5);
    show_file("renamed by its number", path);
    show_line("its Name", proc_path(second, "status"), "Name:");
    if (write(hold[1], "x", 1) == 1)
        pthread_join(thread, NULL);
    show_open_read("when it has ended", path);
}

STATE(comm_of_another_process)
{
    pid_t child = child_after(NULL);
    show_write(proc_path(child, "comm"), "other", 5);
    show_write(proc_path(child, "comm"), "", 0);
    int fd = open(proc_path(child, "comm"), O_RDWR);
    make_zombie(child);
    show("write to a zombie's", write(fd, "dead", 4));
    show_fact("read of a zombie's", pread(fd, text, 100, 0) > 0);
    waitpid(child, NULL, 0);
    show("write to a reaped one's", write(fd, "dead", 4));
    show("read of a reaped one's", pread(fd, text, 100, 0));
}

ROLE(show_own_names)
{
    show_names("executed");
}

STATE(name_after_exec_is_the_files)
{
    /* The name comes from the path that was executed, not from the arguments. */
    char *args[] = { "argument zero", NULL }, *env[] = { "ROLE=show_own_names", NULL };
    if (symlink("/proc/self/exe", "a link with a long name") < 0)
        puts(error_name());
    pid_t child = split();
    if (child == 0) {
        execve("a link with a long name", args, env);
        _exit(1);
    }
    reap("ended", child);
}

STATE(name_after_exec_of_a_name_with_a_newline)
{
    char *args[] = { "x", NULL }, *env[] = { "ROLE=show_own_names", NULL };
    if (symlink("/proc/self/exe", "odd\n\\name") < 0)
        puts(error_name());
    pid_t child = split();
    if (child == 0) {
        execve("./odd\n\\name", args, env);
        _exit(1);
    }
    reap("ended", child);
}

STATE(name_after_exec_by_descriptor)
{
    char *args[] = { "x", NULL }, *env[] = { "ROLE=show_own_names", NULL };
    int fd = open("/proc/self/exe", O_RDONLY);
    dup2(fd, 40);
    pid_t child = split();
    if (child == 0) {
        syscall(SYS_execveat, 40, "", args, env, AT_EMPTY_PATH);
        _exit(1);
    }
    reap("ended", child);
}

STATE(name_is_inherited_by_a_child)
{
    prctl(PR_SET_NAME, "inherited");
    pid_t child = child_after(NULL);
    show_file("child", proc_path(child, "comm"));
    prctl(PR_SET_NAME, "changed");
    show_file("child stays", proc_path(child, "comm"));
    end(child);
}

STATE(name_of_a_zombie)
{
    prctl(PR_SET_NAME, "to be\nkept");
    pid_t child = child_after(NULL);
    make_zombie(child);
    show_file("comm", proc_path(child, "comm"));
    show_line("status", proc_path(child, "status"), "Name:");
    waitpid(child, NULL, 0);
}

STATE(name_of_a_script)
{
    int fd = open("script.sh", O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
    char *args[] = { "zero", "one", NULL }, *env[] = { "ROLE=show_script", NULL };
    char head[256], self[200];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = 0;
    snprintf(head, sizeof head, "#!%s an argument \nrest\n", self);
    if (write(fd, head, strlen(head)) < 0)
        return;
    close(fd);
    pid_t child = split();
    if (child == 0) {
        execve("./script.sh", args, env);
        printf("execve: %s\n", error_name());
        _exit(1);
    }
    reap("ended", child);
}

ROLE(show_script)
{
    show_names("a script");
    ssize_t length = read_file("/proc/self/cmdline", text, sizeof text);
    size_t interpreter = strlen(text);
    show_bytes("cmdline behind the interpreter", text + interpreter, length - interpreter);
    char target[200];
    target[readlink("/proc/self/exe", target, sizeof target - 1)] = 0;
    show_fact("exe is the interpreter", !strcmp(target, text));
}

STATE(name_of_a_kernel_thread)
{
    pid_t pid = kernel_thread();
    char name[128], line[256];
    ssize_t length = read_file(proc_path(pid, "comm"), name, sizeof name);
    show_fact("a name", length > 1 && name[length - 1] == '\n');
    snprintf(line, sizeof line, "%d (%.*s) ", pid, (int)length - 1, name);
    show_fact("the same in stat", read_file(proc_path(pid, "stat"), text, sizeof text) > 0 && !strncmp(text, line, strlen(line)));
    snprintf(line, sizeof line, "Name:\t%s", name);
    show_fact("the same in status", read_file(proc_path(pid, "status"), text, sizeof text) > 0 && !strncmp(text, line, strlen(line)));
    show_file("cmdline", proc_path(pid, "cmdline"));
    show_write(proc_path(pid, "comm"), "renamed", 7);
}

STATE(numbers_of_a_kernel_thread)
{
    static const int WORDS[] = { 5, 6, 7, 8, 20, 21, 23, 24, 26, 27, 28, 29, 30, 31, 32, 33, 34, 36, 37, 38, 45, 46, 47, 48, 49, 50, 51, 52 };
    static const char *const KEYS[] = { "Kthread", "FDSize", "VmSize", "Threads", "Uid", "Gid", "SigIgn", "SigCgt", "CapInh", "CapEff", "NoNewPrivs" };
    pid_t pid = kernel_thread();
    for (unsigned i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        printf(" %d=%s", WORDS[i], stat_word(pid, WORDS[i]));
    puts("");
    for (unsigned i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        printf("%s %s\n", KEYS[i], status_value(pid, KEYS[i]));
    show_file("statm", proc_path(pid, "statm"));
    show_file("oom_score", proc_path(pid, "oom_score"));
}
