/* exec by another thread than the first, and what exec takes away: threads, the exit signal, the word that tells of a thread's end. */
#include "check.h"
#include <dirent.h>
#include <pthread.h>
#include <sched.h>

static char self[256];
static char *before[6];

static int count_tasks(void)
{
    DIR *dir = opendir("/proc/self/task");
    int count = 0;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

/* What runs after the exec: argv is "after", the pid, the thread that called exec, the start time of the leader, the open stat. */
static int after(char **argv)
{
    pid_t pid = atoi(argv[2]);
    show_fact("the process keeps its number", getpid() == pid);
    show_fact("the thread has the process's number", (pid_t)syscall(SYS_gettid) == pid);
    show_fact("the caller was another thread", atoi(argv[3]) != pid);
    show_fact("its age is the leader's", strcmp(stat_word(pid, 22), argv[4]) == 0);
    show("threads in task", count_tasks());
    printf("Threads: %s\n", status_value(pid, "Threads"));
    show_fact("Tgid is the process", atoi(status_value(pid, "Tgid")) == pid);
    show_fact("Pid, too", atoi(status_value(pid, "Pid")) == pid);
    show("signal to the old thread", syscall(SYS_tkill, atoi(argv[3]), 0));
    char line[512];
    ssize_t got = pread(atoi(argv[5]), line, sizeof line - 1, 0);
    line[got > 0 ? got : 0] = 0;
    show_fact("a stat that was open shows the new program", got > 0 && atoi(line) == pid && strstr(line, "(exe)") != NULL);
    printf("exit signal: %s\n", stat_word(pid, 38));
    return 42;
}

static void *execute(void *leader)
{
    char number[16];
    if (leader) {
        void *result;
        pthread_join(*(pthread_t *)leader, &result);
        wait_for_state(getpid(), "Z");
        printf("leader: state %c, Threads %s, tasks %d\n", *stat_word(getpid(), 3), status_value(getpid(), "Threads"), count_tasks());
        printf("leader: VmSize %s\n", status_value(getpid(), "VmSize"));
        printf("leader: FDSize %s\n", status_value(getpid(), "FDSize"));
        show_file("leader: cmdline", proc_path(getpid(), "cmdline"));
        show_file("leader: maps", proc_path(getpid(), "maps"));
        show_file("leader: environ", proc_path(getpid(), "environ"));
        char link[64];
        show("leader: exe", readlink(proc_path(getpid(), "exe"), link, sizeof link));
        show("leader: cwd", readlink(proc_path(getpid(), "cwd"), link, sizeof link));
        show_fact("leader: its pid namespace", readlink(proc_path(getpid(), "ns/pid"), link, sizeof link) > 0);
        show("leader: its mounts", readlink(proc_path(getpid(), "ns/mnt"), link, sizeof link));
        snprintf(link, sizeof link, "/proc/self/task/%ld/exe", syscall(SYS_gettid));
        show_fact("the thread has all of this", readlink(link, self, sizeof self) > 0);
        show("kill of a process with a dead leader", kill(getpid(), 0));
    }
    snprintf(number, sizeof number, "%ld", syscall(SYS_gettid));
    before[3] = number;
    char *args[] = { before[0], before[1], before[2], before[3], before[4], before[5], NULL };
    execve("/proc/self/exe", args, NULL);
    /* With a dead leader the link above leads nowhere. */
    show("exec by the leader's link", -1);
    char path[64];
    snprintf(path, sizeof path, "/proc/thread-self/exe");
    execve(path, args, NULL);
    show("exec", -1);
    _exit(1);
}

static void *idle(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void run(int leader_ends)
{
    pid_t child = split();
    if (child == 0) {
        pthread_t threads[3], leader = pthread_self();
        char pid[16], start[32], stat[16];
        snprintf(pid, sizeof pid, "%d", getpid());
        snprintf(start, sizeof start, "%s", stat_word(getpid(), 22));
        snprintf(stat, sizeof stat, "%d", open(proc_path(getpid(), "stat"), O_RDONLY));
        char *words[] = { "thread-exec", "after", pid, NULL, start, stat };
        memcpy(before, words, sizeof words);
        usleep(20000);
        pthread_create(&threads[0], NULL, idle, NULL);
        pthread_create(&threads[1], NULL, idle, NULL);
        pthread_create(&threads[2], NULL, execute, leader_ends ? &leader : NULL);
        if (leader_ends)
            pthread_exit(NULL);
        idle(NULL);
    }
    reap("it ended with", child);
}

static int stack[4096];

static int run_after(void *unused)
{
    (void)unused;
    char *args[] = { "thread-exec", "sleep", NULL };
    execve("/proc/self/exe", args, NULL);
    _exit(1);
}

static int linger(void *unused)
{
    (void)unused;
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 5)
        return after(argv);
    if (argc > 1)
        return 0;
    puts("exec by a second thread:");
    run(0);
    puts("exec after the first thread has ended:");
    run(1);

    /* The word of CLONE_CHILD_CLEARTID is written when the memory is left, if others still use it. */
    int *word = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *word = 7;
    pid_t child = clone(run_after, stack + 4096, CLONE_VM | CLONE_VFORK | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, NULL, NULL, word);
    show("the word after exec in shared memory", *word);
    reap("that child", child);
    *word = 7;
    child = clone(run_after, stack + 4096, CLONE_CHILD_CLEARTID | SIGCHLD, NULL, NULL, NULL, word);
    reap("a child with memory of its own", child);
    show("the word after its exec", *word);
    *word = 7;
    child = clone(linger, stack + 4096, CLONE_CHILD_CLEARTID | SIGCHLD, NULL, NULL, NULL, word);
    reap("a child that only ends", child);
    show("the word after its end", *word);

    /* A child that tells its end by another signal tells it by SIGCHLD after exec. */
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    child = clone(linger, stack + 4096, SIGUSR1, NULL);
    show_fact("the end is told by SIGUSR1", sigwaitinfo(&set, &info) == SIGUSR1 && info.si_pid == child && info.si_code == CLD_EXITED);
    show("wait does not see it", waitpid(child, NULL, 0));
    show_fact("__WCLONE does", waitpid(child, NULL, __WCLONE) == child);
    child = clone(run_after, stack + 4096, SIGUSR1, NULL);
    show_fact("after exec by SIGCHLD", sigwaitinfo(&set, &info) == SIGCHLD && info.si_pid == child);
    show("__WCLONE does not see it", waitpid(child, NULL, __WCLONE | WNOHANG));
    show_fact("__WALL does", waitpid(child, NULL, __WALL) == child);
    return 0;
}
