/* Signals: handlers and their return, masks, pending ones, default actions, restarts, stop and continue. */
#include "check.h"
#include <setjmp.h>
#include <ucontext.h>

static volatile sig_atomic_t seen[65], order[64], order_length, nested, deepest;

static void note(int number)
{
    seen[number]++;
    if (order_length < 64)
        order[order_length++] = number;
}

static void nest(int number)
{
    if (++nested > deepest)
        deepest = nested;
    seen[number]++;
    if (seen[number] < 3)
        raise(number);
    nested--;
}

static siginfo_t last;
static void informed(int number, siginfo_t *info, void *context)
{
    (void)context;
    last = *info;
    seen[number]++;
}

static sigjmp_buf away;
static void *fault_address;
static int fault_code;
static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    fault_address = info->si_addr;
    fault_code = info->si_code;
    siglongjmp(away, number);
}

static void *on_stack_at;
static void where_is_the_stack(int number)
{
    char here;
    on_stack_at = &here;
    seen[number]++;
}

static void install(int number, void (*handler)(int), int flags)
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
    sigemptyset(&action.sa_mask);
    show_ok("sigaction", sigaction(number, &action, NULL));
}

static void catch_faults(void)
{
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
    sigaction(SIGILL, &action, NULL);
}

static void show_masks(const char *what)
{
    pid_t own = getpid();
    printf("%s: SigPnd %s", what, status_value(own, "SigPnd"));
    printf(" ShdPnd %s", status_value(own, "ShdPnd"));
    printf(" SigBlk %s", status_value(own, "SigBlk"));
    printf(" SigIgn %s", status_value(own, "SigIgn"));
    printf(" SigCgt %s\n", status_value(own, "SigCgt"));
}

int main(void)
{
    pid_t own = getpid();
    sigset_t set, old;
    sigemptyset(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);

    install(SIGUSR1, note, 0);
    show("kill", kill(own, SIGUSR1));
    show("the handler ran", seen[SIGUSR1]);
    show("kill with a signal that is none", kill(own, 65));
    show("kill of nobody", kill(1 << 22, SIGTERM));
    show("a handler for SIGKILL", sigaction(SIGKILL, &(struct sigaction){ .sa_handler = note }, NULL));

    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGRTMIN + 1);
    install(SIGUSR2, note, 0);
    install(SIGRTMIN + 1, note, 0);
    show_ok("sigprocmask", sigprocmask(SIG_BLOCK, &set, &old));
    order_length = 0;
    raise(SIGUSR2);
    kill(own, SIGUSR1);
    kill(own, SIGUSR1);
    kill(own, SIGRTMIN + 1);
    kill(own, SIGRTMIN + 1);
    show_masks("blocked");
    sigset_t pending;
    sigpending(&pending);
    printf("pending: USR1 %d USR2 %d TERM %d\n", sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2),
           sigismember(&pending, SIGTERM));
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("delivered:");
    for (int i = 0; i < order_length; i++)
        printf(" %d", order[i]);
    printf("\n");
    show_masks("afterwards");

    seen[SIGUSR1] = 0;
    install(SIGUSR1, nest, SA_NODEFER);
    raise(SIGUSR1);
    printf("with SA_NODEFER: %d runs, %d deep\n", seen[SIGUSR1], deepest);
    seen[SIGUSR1] = deepest = 0;
    install(SIGUSR1, nest, 0);
    raise(SIGUSR1);
    printf("without: %d runs, %d deep\n", seen[SIGUSR1], deepest);
    install(SIGUSR1, note, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    show_fact("SA_RESETHAND resets", now.sa_handler == SIG_DFL);

    struct sigaction action = { .sa_sigaction = informed, .sa_flags = SA_SIGINFO };
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    kill(own, SIGUSR1);
    printf("siginfo: signo %d code %d\n", last.si_signo, last.si_code);
    show_fact("it knows the sender", last.si_pid == own && last.si_uid == getuid());
    union sigval value = { .sival_int = 77 };
    show_ok("sigqueue", sigqueue(own, SIGUSR1, value));
    printf("siginfo: code %d value %d\n", last.si_code, last.si_value.sival_int);

    catch_faults();
    static char *volatile target;
    target = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (sigsetjmp(away, 1) == 0)
        target[5] = 1;
    else
        printf("write to read-only: code %d, address %s\n", fault_code, fault_address == target + 5 ? "right" : "wrong");
    munmap(target, PAGE);
    if (sigsetjmp(away, 1) == 0)
        show("read of nothing", target[6]);
    else
        printf("read of nothing: code %d, address %s\n", fault_code, fault_address == target + 6 ? "right" : "wrong");
    target = (char *)0x8000000000000000;
    if (sigsetjmp(away, 1) == 0)
        show("read beyond all addresses", *target);
    else
        printf("read beyond all addresses: code %d\n", fault_code);
    target = (char *)0xffffffff80200000;
    if (sigsetjmp(away, 1) == 0)
        show("read of the kernel", *target);
    else
        printf("read of the kernel: code %d\n", fault_code);
    int number;
    if ((number = sigsetjmp(away, 1)) == 0)
        __asm__ volatile("ud2");
    else
        printf("ud2: SIG%s code %d\n", sigabbrev_np(number), fault_code);
    volatile int zero = 0;
    if ((number = sigsetjmp(away, 1)) == 0)
        __asm__ volatile("idivl %0" : : "m"(zero), "a"(1), "d"(0));
    else
        printf("division: SIG%s code %d\n", sigabbrev_np(number), fault_code);

    static char alternate[65536];
    stack_t stack = { .ss_sp = alternate, .ss_size = sizeof alternate };
    show_ok("sigaltstack", sigaltstack(&stack, NULL));
    install(SIGUSR2, where_is_the_stack, SA_ONSTACK);
    raise(SIGUSR2);
    show_fact("the handler ran on it", (char *)on_stack_at >= alternate && (char *)on_stack_at < alternate + sizeof alternate);
    install(SIGUSR2, where_is_the_stack, 0);
    raise(SIGUSR2);
    show_fact("and without the flag not", (char *)on_stack_at < alternate || (char *)on_stack_at >= alternate + sizeof alternate);

    /* Registers and flags are as they were after a handler that used them all. */
    unsigned long kept = 0x1122334455667788, back, flags_before, flags_after;
    __asm__ volatile("mov %2, %%r12; movq %2, %%xmm5; std; pushfq; popq %1; mov %3, %%rax; mov %4, %%rdi; mov %5, %%rsi; syscall;"
                     "pushfq; popq %%rcx; cld; movq %%xmm5, %%rdx; cmp %%rdx, %%r12; je 1f; xor %%r12, %%r12; 1: mov %%r12, %0"
                     : "=&r"(back), "=&r"(flags_before)
                     : "r"(kept), "i"(SYS_kill), "r"((long)own), "i"(SIGUSR1)
                     : "rax", "rcx", "rdx", "rdi", "rsi", "r11", "r12", "xmm5", "memory", "cc");
    flags_after = flags_before;
    show_fact("registers survive a handler", back == kept && flags_after == flags_before);

    /* A call that waits: ended by one handler, taken up again after another. */
    int pipes[2];
    char byte;
    if (pipe(pipes) < 0)
        return 1;
    for (int restart = 0; restart < 2; restart++) {
        install(SIGUSR2, note, restart ? SA_RESTART : 0);
        pid_t child = split();
        if (child == 0) {
            for (int tries = 0; tries < 2000 && strcmp(stat_word(own, 3), "S"); tries++)
                usleep(500);
            kill(own, SIGUSR2);
            usleep(30000);
            _exit(write(pipes[1], "b", 1) == 1 ? 0 : 1);
        }
        show(restart ? "read with SA_RESTART" : "read without", read(pipes[0], &byte, 1));
        waitpid(child, NULL, 0);
        if (!restart)
            show("the byte is still there", read(pipes[0], &byte, 1));
    }

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    seen[SIGUSR1] = 0;
    kill(own, SIGUSR1);
    show("sigsuspend", sigsuspend(&old));
    show("the handler ran in it", seen[SIGUSR1]);
    kill(own, SIGUSR1);
    siginfo_t info;
    show("sigtimedwait takes it", sigtimedwait(&set, &info, &(struct timespec){ 1, 0 }));
    show("none is left", sigtimedwait(&set, &info, &(struct timespec){ 0, 1000000 }));
    sigprocmask(SIG_SETMASK, &old, NULL);

    action.sa_sigaction = informed;
    sigaction(SIGCHLD, &action, NULL);
    pid_t child = split();
    if (child == 0)
        _exit(9);
    reap("child", child);
    printf("SIGCHLD: %d times, code %d status %d\n", seen[SIGCHLD], last.si_code, last.si_status);
    show_fact("it names the child", last.si_pid == child);
    signal(SIGCHLD, SIG_IGN);
    child = split();
    if (child == 0)
        _exit(9);
    show("an ignored SIGCHLD leaves no zombie", waitpid(child, NULL, 0));
    signal(SIGCHLD, SIG_DFL);

    int status;
    child = split();
    if (child == 0)
        for (;;)
            pause();
    kill(child, SIGSTOP);
    show_fact("a stop is reported", waitpid(child, &status, WUNTRACED) == child);
    show_wait("it is", status);
    printf("state %s, %s\n", stat_word(child, 3), status_value(child, "State"));
    kill(child, SIGTERM);
    usleep(20000);
    printf("a stopped one does not take SIGTERM: state %s\n", stat_word(child, 3));
    kill(child, SIGCONT);
    show_fact("going on or ending is reported", waitpid(child, &status, 0) == child);
    show_wait("it is", status);
    child = split();
    if (child == 0)
        for (;;)
            pause();
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    kill(child, SIGCONT);
    show_fact("going on is reported", waitpid(child, &status, WCONTINUED) == child);
    show_wait("it is", status);
    wait_for_state(child, "S");
    kill(child, SIGSTOP);
    wait_for_state(child, "T");
    kill(child, SIGKILL);
    reap("SIGKILL ends a stopped one", child);

    signal(SIGTERM, SIG_IGN);
    child = split();
    if (child == 0) {
        raise(SIGTERM);
        signal(SIGTERM, SIG_DFL);
        raise(SIGURG);
        raise(SIGWINCH);
        raise(SIGCONT);
        _exit(31);
    }
    reap("ignored signals do nothing", child);
    show_masks("at the end");
    return 0;
}
