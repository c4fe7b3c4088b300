/* How many signals wait for a user: SigQ of several of its processes, and what happens at RLIMIT_SIGPENDING. */
#include "check.h"
#include <sys/resource.h>

#define USER 12345

static int queued(pid_t pid)
{
    return atoi(status_value(pid, "SigQ"));
}

static pid_t sleeper(uid_t user, rlim_t most)
{
    pid_t child = split();
    if (child == 0) {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        struct rlimit limit = { most, most };
        if (setrlimit(RLIMIT_SIGPENDING, &limit) || setresgid(user, user, user) || setresuid(user, user, user))
            _exit(1);
        for (;;)
            pause();
    }
    wait_for_state(child, "S");
    while (atoi(status_value(child, "Uid")) != (int)user)
        usleep(1000);
    return child;
}

static void show_counts(const char *what, pid_t one, pid_t two, pid_t other)
{
    printf("%s: %d %d, of another user %d\n", what, queued(one), queued(two), queued(other));
}

int main(void)
{
    pid_t one = sleeper(USER, 7), two = sleeper(USER, 100), other = sleeper(USER + 1, 100);
    show_counts("at first", one, two, other);
    show("SIGUSR1", kill(one, SIGUSR1));
    show("again", kill(one, SIGUSR1));
    show_counts("a standard signal counts once", one, two, other);
    show("to the other process", kill(two, SIGUSR1));
    show_counts("it counts for both", one, two, other);
    for (int i = 0; i < 3; i++)
        sigqueue(one, SIGRTMIN + 1, (union sigval){ i });
    show_counts("three of real time", one, two, other);
    show("SIGCONT to the one", kill(one, SIGCONT));
    show("SIGSTOP to the one", kill(one, SIGSTOP));
    wait_for_state(one, "T");
    show_counts("a stop takes SIGCONT away", one, two, other);
    printf("SigQ %s\n", status_value(one, "SigQ"));
    for (int i = 0; i < 4; i++)
        show("sigqueue", sigqueue(one, SIGRTMIN + 2, (union sigval){ i }));
    show("kill beyond the limit", kill(one, SIGRTMIN + 3));
    show("and again", kill(one, SIGRTMIN + 3));
    show("a standard signal beyond it", kill(one, SIGUSR2));
    show_counts("at the limit", one, two, other);
    printf("waiting %s\n", status_value(one, "ShdPnd"));
    show("the other has its own limit", sigqueue(two, SIGRTMIN + 2, (union sigval){ 0 }));
    show_counts("then", one, two, other);
    kill(two, SIGKILL);
    wait_for_state(two, "Z");
    show_fact("a zombie's signals go at the latest when it does", waitpid(two, NULL, 0) == two);
    printf("the one: %d\n", queued(one));
    kill(one, SIGKILL);
    waitpid(one, NULL, 0);
    one = sleeper(USER, 7);
    printf("a new process of the user: %d\n", queued(one));
    kill(one, SIGKILL);
    waitpid(one, NULL, 0);
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
    return 0;
}
