/* The life of a process: what each file gives while it runs, sleeps, is stopped, a zombie or reaped; opened anew and opened before. */
#include "state.h"
#include <sched.h>

static const char *const FILES[] = { "stat", "status", "statm", "limits", "comm", "oom_score", "oom_score_adj", "oom_adj", "cgroup",
                                     "loginuid", "sessionid", "timerslack_ns", "cmdline", "environ", "auxv", "mem", "maps", "smaps",
                                     "smaps_rollup", "io", "uid_map", "gid_map", "projid_map", "setgroups", "mounts", "mountinfo",
                                     "mountstats", "wchan", "personality", "coredump_filter", "pagemap", "schedstat",
                                     "syscall", "timens_offsets", "clear_refs", "cpuset", "timers" };
static const char *const LINKS[] = { "exe", "cwd", "root", "ns/net", "ns/uts", "ns/ipc", "ns/pid", "ns/pid_for_children", "ns/user",
                                     "ns/mnt", "ns/cgroup", "ns/time", "ns/time_for_children" };
static const char *const DIRECTORIES[] = { "", "fd", "fdinfo", "task", "ns", "map_files", "net", "attr" };
#define COUNT(list) (sizeof list / sizeof *list)

static int kept[COUNT(FILES)], kept_links[COUNT(LINKS)], kept_directories[COUNT(DIRECTORIES)];

static void show_files(pid_t pid)
{
    for (unsigned i = 0; i < COUNT(FILES); i++)
        show_open_read(FILES[i], proc_path(pid, FILES[i]));
}

static void show_links(pid_t pid)
{
    for (unsigned i = 0; i < COUNT(LINKS); i++)
        show_read(LINKS[i], readlink(proc_path(pid, LINKS[i]), text, PAGE));
}

static void show_listing(const char *what, int fd)
{
    if (fd < 0) {
        printf("%s: open %s\n", what, error_name());
        return;
    }
    long length = syscall(SYS_getdents64, fd, text, sizeof text);
    /* Two entries are . and .. */
    printf("%s: %s\n", what, length < 0 ? error_name() : length == 0 ? "end" : length > 48 ? "entries" : "empty");
}

static void show_directories(pid_t pid)
{
    for (unsigned i = 0; i < COUNT(DIRECTORIES); i++) {
        int fd = open(proc_path(pid, DIRECTORIES[i]), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        show_listing(*DIRECTORIES[i] ? DIRECTORIES[i] : "the directory", fd);
        close(fd);
    }
}

/* Opens everything while the process lives, reading nothing. */
static pid_t child_with_all_open(void)
{
    pid_t child = child_after(NULL);
    for (unsigned i = 0; i < COUNT(FILES); i++)
        kept[i] = open(proc_path(child, FILES[i]), O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; i < COUNT(LINKS); i++)
        kept_links[i] = open(proc_path(child, LINKS[i]), O_PATH | O_NOFOLLOW | O_CLOEXEC);
    for (unsigned i = 0; i < COUNT(DIRECTORIES); i++)
        kept_directories[i] = open(proc_path(child, DIRECTORIES[i]), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return child;
}

static void show_kept_files(void)
{
    for (unsigned i = 0; i < COUNT(FILES); i++) {
        if (kept[i] < 0)
            printf("%s: never open\n", FILES[i]);
        else
            show_read(FILES[i], read(kept[i], text, PAGE));
    }
}

STATE(files_of_a_sleeping_process)
{
    pid_t child = child_after(NULL);
    show_files(child);
    end(child);
}

STATE(links_of_a_sleeping_process)
{
    pid_t child = child_after(NULL);
    show_links(child);
    end(child);
}

STATE(directories_of_a_sleeping_process)
{
    pid_t child = child_after(NULL);
    show_directories(child);
    end(child);
}

STATE(files_of_a_zombie)
{
    pid_t child = child_after(NULL);
    make_zombie(child);
    show_files(child);
}

STATE(links_of_a_zombie)
{
    pid_t child = child_after(NULL);
    make_zombie(child);
    show_links(child);
}

STATE(directories_of_a_zombie)
{
    pid_t child = child_after(NULL);
    make_zombie(child);
    show_directories(child);
}

STATE(files_opened_before_the_process_became_a_zombie)
{
    pid_t child = child_with_all_open();
    make_zombie(child);
    show_kept_files();
}

STATE(files_opened_before_the_process_was_reaped)
{
    pid_t child = child_with_all_open();
    end(child);
    show_kept_files();
}

STATE(links_opened_before_the_process_was_reaped)
{
    pid_t child = child_with_all_open();
    end(child);
    for (unsigned i = 0; i < COUNT(LINKS); i++)
        show_read(LINKS[i], readlinkat(kept_links[i], "", text, PAGE));
}

STATE(directories_opened_before_the_process_was_reaped)
{
    pid_t child = child_with_all_open();
    end(child);
    for (unsigned i = 0; i < COUNT(DIRECTORIES); i++) {
        struct stat status;
        const char *name = *DIRECTORIES[i] ? DIRECTORIES[i] : "the directory";
        if (kept_directories[i] < 0) {
            printf("%s: never open\n", name);
            continue;
        }
        show_listing(name, kept_directories[i]);
        if (fstat(kept_directories[i], &status) < 0)
            printf("  fstat: %s\n", error_name());
        else
            printf("  fstat: mode %o owner %u:%u\n", status.st_mode, status.st_uid, status.st_gid);
        show("  openat stat", openat(kept_directories[i], "stat", O_RDONLY));
        show("  openat of a name that never was", openat(kept_directories[i], "nothing", O_RDONLY));
        show("  openat .", openat(kept_directories[i], ".", O_RDONLY | O_CLOEXEC) < 0 ? -1 : 0);
    }
}

STATE(paths_of_a_reaped_process)
{
    pid_t child = child_after(NULL);
    end(child);
    struct stat status;
    show("stat of the directory", stat(proc_path(child, ""), &status));
    show_open_read("status", proc_path(child, "status"));
    show_read("exe", readlink(proc_path(child, "exe"), text, PAGE));
    show("chdir", chdir(proc_path(child, "task")));
    show("access", access(proc_path(child, "maps"), F_OK));
}

STATE(working_directory_in_a_reaped_process)
{
    pid_t child = child_after(NULL);
    show_ok("chdir", chdir(proc_path(child, "task")));
    end(child);
    show("open of a file", open("stat", O_RDONLY));
    show("open of ..", open("..", O_RDONLY) < 0 ? -1 : 0);
    show_fact("getcwd says nothing", getcwd(text, sizeof text) == NULL);
    puts(error_name());
    show_ok("chdir ..", chdir(".."));
    show_ok("chdir ../..", chdir("../.."));
}

/* The words of stat that tell of a state, without times and addresses. */
static void show_stat(const char *what, pid_t pid)
{
    static const int WORDS[] = { 3, 20, 21, 23, 24, 26, 27, 28, 29, 30, 31, 32, 35, 36, 37, 38, 45, 48, 50, 52 };
    printf("%s:", what);
    for (unsigned i = 0; i < COUNT(WORDS); i++) {
        const char *word = stat_word(pid, WORDS[i]);
        /* A word that is an address or a size counts as something. */
        printf(" %d=%s", WORDS[i], strlen(word) > 4 ? "some" : WORDS[i] == 24 && strcmp(word, "0") ? "some" : word);
    }
    puts("");
}

static const char *const KEYS[] = { "Umask", "State", "Ngid", "TracerPid", "FDSize", "Groups", "Kthread", "CoreDumping",
                                    "Threads", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "NoNewPrivs", "Seccomp" };

static void show_status(const char *what, pid_t pid)
{
    puts(what);
    for (unsigned i = 0; i < COUNT(KEYS); i++)
        printf("  %s %s\n", KEYS[i], status_value(pid, KEYS[i]));
    printf("  VmSize %s\n", !strcmp(status_value(pid, "VmSize"), "absent") ? "absent" : "there");
}

STATE(numbers_of_a_sleeping_process)
{
    pid_t child = child_after(NULL);
    show_stat("stat", child);
    show_status("status", child);
    end(child);
}

STATE(numbers_of_a_stopped_process)
{
    pid_t child = child_after(NULL);
    kill(child, SIGSTOP);
    waitpid(child, NULL, WUNTRACED);
    show_stat("stat", child);
    show_status("status", child);
    kill(child, SIGCONT);
    waitpid(child, NULL, WCONTINUED);
    wait_for_state(child, "S");
    show_stat("continued", child);
    end(child);
}

STATE(numbers_of_a_process_stopped_by_another_signal)
{
    pid_t child = child_after(NULL);
    kill(child, SIGTSTP);
    waitpid(child, NULL, WUNTRACED);
    printf("exit code %s, state %s\n", stat_word(child, 52), status_value(child, "State"));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

STATE(numbers_of_a_process_that_was_killed)
{
    pid_t child = child_after(NULL);
    make_zombie(child);
    show_stat("stat", child);
    show_status("status", child);
    show_file("statm", proc_path(child, "statm"));
}

STATE(numbers_of_a_process_that_has_ended)
{
    pid_t child = split();
    if (child == 0)
        _exit(3);
    wait_for_state(child, "Z");
    show_stat("stat", child);
    printf("status %s\n", status_value(child, "State"));
    printf("threads %s\n", status_value(child, "Threads"));
    show_file("wchan", proc_path(child, "wchan"));
    show_file("oom_score", proc_path(child, "oom_score"));
}

STATE(numbers_of_a_running_process)
{
    show_stat("stat of oneself", getpid());
    show_status("status of oneself", getpid());
    show_file("wchan of oneself", "/proc/self/wchan");
    /* Another that spins may be running or wait for its turn: both are R. */
    pid_t child = split();
    if (child == 0)
        for (;;)
            ;
    wait_for_state(child, "R");
    printf("one that spins: %s, 35=%s\n", status_value(child, "State"), stat_word(child, 35));
    end(child);
}

STATE(fields_of_one_without_permission)
{
    pid_t child = child_after(NULL);
    fflush(stdout);
    pid_t reader = split();
    if (reader == 0) {
        if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0)
            not_run("cannot become another user");
        show_stat("stat", child);
        show_file("wchan", proc_path(child, "wchan"));
        exit(0);
    }
    reap("reader", reader);
    end(child);
}

static int stop_here[2];

static void *stay(void *unused)
{
    char byte;
    if (read(stop_here[0], &byte, 1) < 0)
        return unused;
    for (;;)
        pause();
}

static void start_two_threads(void)
{
    pthread_t thread;
    if (pipe(stop_here) < 0)
        return;
    pthread_create(&thread, NULL, stay, NULL);
    pthread_create(&thread, NULL, stay, NULL);
}

/* A process whose first thread has ended while two others live. */
static pid_t child_with_dead_leader(void)
{
    int ready[2];
    char byte;
    if (pipe(ready) < 0)
        return -1;
    pid_t child = split();
    if (child == 0) {
        start_two_threads();
        if (write(ready[1], "x", 1) == 1)
            syscall(SYS_exit, 5);
    }
    if (read(ready[0], &byte, 1) == 1)
        wait_for_state(child, "Z");
    return child;
}

STATE(files_of_a_process_whose_leader_has_ended)
{
    pid_t child = child_with_dead_leader();
    show_files(child);
    end(child);
}

STATE(links_of_a_process_whose_leader_has_ended)
{
    pid_t child = child_with_dead_leader();
    show_links(child);
    end(child);
}

STATE(directories_of_a_process_whose_leader_has_ended)
{
    pid_t child = child_with_dead_leader();
    show_directories(child);
    end(child);
}

STATE(numbers_of_a_process_whose_leader_has_ended)
{
    pid_t child = child_with_dead_leader();
    show_stat("stat", child);
    show_status("status", child);
    struct stat status;
    stat(proc_path(child, "task"), &status);
    printf("links of task %ld\n", (long)status.st_nlink);
    DIR *tasks = opendir(proc_path(child, "task"));
    struct dirent *entry;
    int threads = 0, readable = 0;
    while ((entry = readdir(tasks))) {
        char path[300];
        if (entry->d_name[0] == '.')
            continue;
        threads++;
        snprintf(path, sizeof path, "/proc/%d/task/%s/exe", child, entry->d_name);
        readable += readlink(path, text, PAGE) > 0;
    }
    printf("%d threads, %d with an exe\n", threads, readable);
    end(child);
}

ROLE(sleep_for_good)
{
    for (;;)
        pause();
}


STATE(files_kept_open_over_exec)
{
    int go[2];
    char byte;
    if (pipe2(go, O_CLOEXEC) < 0)
        return;
    pid_t child = split();
    if (child == 0) {
        close(go[1]);
        if (read(go[0], &byte, 1) == 0)
            exec_role("sleep_for_good", NULL, NULL);
        _exit(1);
    }
    wait_for_state(child, "S");
    for (unsigned i = 0; i < COUNT(FILES); i++)
        kept[i] = open(proc_path(child, FILES[i]), O_RDONLY | O_CLOEXEC);
    close(go[1]);
    for (int tries = 0; tries < 4000; tries++) {
        if (read_file(proc_path(child, "cmdline"), text, sizeof text) > 0 && !strcmp(text, "sleep_for_good"))
            break;
        usleep(500);
    }
    wait_for_state(child, "S");
    show_kept_files();
    lseek(kept[12], 0, SEEK_SET);
    show_bytes("cmdline is the new program's", text, read(kept[12], text, 100));
    end(child);
}

static char vfork_stack[16384] __attribute__((aligned(16)));

static int vfork_child(void *unused)
{
    (void)unused;
    usleep(300000);
    _exit(0);
}

STATE(numbers_of_a_process_in_vfork)
{
    pid_t parent = split();
    if (parent == 0) {
        clone(vfork_child, vfork_stack + sizeof vfork_stack, CLONE_VFORK | CLONE_VM | SIGCHLD, NULL);
        _exit(0);
    }
    wait_for_state(parent, "D");
    printf("%s\n", status_value(parent, "State"));
    reap("it", parent);
}

STATE(parent_of_an_orphan)
{
    int told[2], go[2];
    char byte;
    pid_t grandchild = 0;
    if (pipe(told) < 0 || pipe(go) < 0)
        return;
    pid_t middle = split();
    if (middle == 0) {
        grandchild = fork();
        if (grandchild == 0)
            for (;;)
                pause();
        if (write(told[1], &grandchild, sizeof grandchild) < 0 || read(go[0], &byte, 1) < 0)
            _exit(1);
        _exit(0);
    }
    if (read(told[0], &grandchild, sizeof grandchild) < 0)
        return;
    printf("before: %s\n", atoi(status_value(grandchild, "PPid")) == middle ? "the middle" : "another");
    if (write(go[1], "x", 1) != 1)
        return;
    waitpid(middle, NULL, 0);
    /* The program that runs the states takes orphans: the parent of this one. */
    int parent = atoi(status_value(grandchild, "PPid"));
    printf("after: %s\n", parent == getppid() ? "the subreaper" : parent == 1 ? "the first process" : "another");
    kill(grandchild, SIGKILL);
}

STATE(numbers_of_ended_children)
{
    unsigned long before = stat_number(getpid(), 16);
    pid_t child = split();
    if (child == 0) {
        struct timespec now, start;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
        do
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 60);
        _exit(0);
    }
    wait_for_state(child, "Z");
    show_fact("not counted before it is waited for", stat_number(getpid(), 16) + stat_number(getpid(), 17) == before);
    show_fact("a zombie shows its own", stat_number(child, 14) + stat_number(child, 15) >= 5);
    waitpid(child, NULL, 0);
    show_fact("counted after", stat_number(getpid(), 16) + stat_number(getpid(), 17) >= before + 5);
}
