/* Tells of the signals that it gets, who sent them and why. It is no comparison with Linux, where nobody stands outside of everything: the
 * host's `procvisor signal` is the sender. SIGTERM ends it with status 3, and SIGHUP it keeps blocked until SIGUSR2 has come.
 */
#include "check.h"

static volatile sig_atomic_t is_over;
/* What stays blocked while it waits. */
static sigset_t waiting;

static void tell(int number, siginfo_t *info, void *context)
{
    char text[96];
    (void)context;
    int length = snprintf(text, sizeof text, "signal %d code %#x pid %d uid %d\n", number, (unsigned)info->si_code,
                          info->si_pid, (int)info->si_uid);
    if (write(1, text, (size_t)length) != length)
        _exit(1);
    if (number == SIGUSR2)
        sigdelset(&waiting, SIGHUP);
    if (number == SIGTERM)
        is_over = 1;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO};
    const int caught[] = {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, 34, 64};
    for (size_t at = 0; at < sizeof caught / sizeof *caught; at++)
        sigaction(caught[at], &action, NULL);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    sigemptyset(&waiting);
    sigaddset(&waiting, SIGHUP);
    puts("ready");
    fflush(stdout);
    while (!is_over)
        sigsuspend(&waiting);
    return 3;
}
