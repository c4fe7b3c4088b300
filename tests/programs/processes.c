/* fork, vfork, exec and wait: who sees what, and what every ending looks like. */
#include "check.h"
#include <sys/resource.h>

static int shared_not = 1;

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return atoi(argv[1]);
    struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none);
    show("wait without a child", wait(NULL));
    show("waitpid for a stranger", waitpid(1 << 21, NULL, 0));

    int codes[] = { 0, 7, 255, 256 + 3 };
    for (unsigned i = 0; i < 4; i++) {
        pid_t child = split();
        if (child == 0)
            _exit(codes[i]);
        reap("exit", child);
    }
    int signals[] = { SIGKILL, SIGTERM, SIGSEGV, SIGABRT, SIGUSR1, SIGPIPE, SIGALRM, SIGSYS };
    for (unsigned i = 0; i < 8; i++) {
        pid_t child = split();
        if (child == 0) {
            signal(signals[i], SIG_DFL);
            raise(signals[i]);
            _exit(0);
        }
        reap("signal", child);
    }
    pid_t child = split();
    if (child == 0) {
        int *volatile nowhere = (int *)8;
        *nowhere = 1;
        _exit(0);
    }
    reap("write to nowhere", child);
    child = split();
    if (child == 0) {
        __asm__ volatile("ud2");
        _exit(0);
    }
    reap("no such instruction", child);
    child = split();
    if (child == 0) {
        volatile int zero = 0;
        __asm__ volatile("idivl %2" : : "a"(1), "d"(0), "m"(zero));
        _exit(0);
    }
    reap("division by zero", child);
    child = split();
    if (child == 0) {
        __asm__ volatile("hlt");
        _exit(0);
    }
    reap("an instruction of the kernel's", child);
    child = split();
    if (child == 0) {
        __asm__ volatile("int3");
        _exit(0);
    }
    reap("breakpoint", child);

    child = split();
    if (child == 0) {
        shared_not = 2;
        _exit(shared_not);
    }
    reap("the child's variable", child);
    show("the parent's variable", shared_not);

    int status = 0;
    child = split();
    if (child == 0) {
        pause();
        _exit(0);
    }
    show("nobody has ended yet", waitpid(-1, &status, WNOHANG));
    kill(child, SIGTERM);
    siginfo_t info = { 0 };
    show_ok("waitid that leaves it", waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    show_fact("it is about the child", info.si_pid == child && info.si_signo == SIGCHLD);
    printf("code %d, status %d\n", info.si_code, info.si_status);
    printf("state %s\n", stat_word(child, 3));
    show_fact("status calls it a zombie", strcmp(status_value(child, "State"), "Z (zombie)") == 0);
    show_fact("waitpid(-1) then takes it", waitpid(-1, &status, 0) == child);
    show_wait("it was", status);
    show("it is gone", waitpid(child, &status, WNOHANG));
    show("kill finds nobody", kill(child, 0));

    /* Children of one process group. */
    pid_t first = split();
    if (first == 0) {
        setpgid(0, 0);
        _exit(11);
    }
    setpgid(first, first);
    show_fact("wait by process group", waitpid(-first, &status, 0) == first);
    show_wait("it was", status);
    show("nobody in that group", waitpid(-first, &status, 0));

    child = vfork();
    if (child == 0) {
        char *args[] = { "processes", "42", NULL };
        execv("/proc/self/exe", args);
        _exit(1);
    }
    reap("after vfork", child);
    child = vfork();
    if (child == 0) {
        execl("/no/such/program", "x", NULL);
        _exit(errno == ENOENT ? 3 : 4);
    }
    reap("exec of nothing", child);

    enter_scratch();
    int fd = open("script", O_WRONLY | O_CREAT, 0755);
    show("write", write(fd, "not a program", 13));
    close(fd);
    show("exec of a text", execl("script", "script", NULL));
    show_ok("chmod", chmod("script", 0644));
    show("exec of what is not executable", execl("script", "script", NULL));
    show_ok("mkdir", mkdir("directory", 0755));
    show("exec of a directory", execl("directory", "directory", NULL));
    show("exec below a file", execl("script/x", "x", NULL));
    fd = open("interpreted", O_WRONLY | O_CREAT, 0755);
    dprintf(fd, "#!/proc/self/exe 17\n");
    close(fd);
    child = split();
    if (child == 0) {
        execl("interpreted", "interpreted", NULL);
        _exit(99);
    }
    reap("exec of a script", child);

    /* Grandchildren go to init or to the nearest subreaper. */
    show_ok("become a subreaper", prctl(PR_SET_CHILD_SUBREAPER, 1));
    int pipes[2];
    if (pipe(pipes) < 0)
        return 1;
    child = split();
    if (child == 0) {
        if (fork() == 0) {
            char byte;
            close(pipes[1]);
            if (read(pipes[0], &byte, 1) < 0)
                _exit(1);
            _exit(23);
        }
        _exit(0);
    }
    reap("the one between", child);
    close(pipes[1]);
    show_fact("its child is now ours", wait(&status) > 0);
    show_wait("and ended with", status);
    return 0;
}
