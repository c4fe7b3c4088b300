// Signal frames with garbage, alternate stacks misused, storms of signals. Prints how each case ended, the same on any Linux.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static uint64_t state = 88172645463325252ull;
static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void report(const char *name, pid_t child) {
    int status;
    if (waitpid(child, &status, 0) != child) printf("%s: lost\n", name);
    else if (WIFSIGNALED(status)) printf("%s: killed by %d\n", name, WTERMSIG(status));
    else printf("%s: exit %d\n", name, WEXITSTATUS(status));
    fflush(stdout);
}

// One change of the frame that a handler returns through.
static void (*change)(ucontext_t *);
static void on_usr1(int number, siginfo_t *info, void *context) {
    (void)number; (void)info;
    change(context);
}

#define REGS(u) ((u)->uc_mcontext.gregs)
static void rip_hole(ucontext_t *u) { REGS(u)[REG_RIP] = 0x800000000000; }
static void rip_hole2(ucontext_t *u) { REGS(u)[REG_RIP] = 0x8000000000000000; }
static void rip_kernel(ucontext_t *u) { REGS(u)[REG_RIP] = 0xffffffff80200000; }
static void rip_direct(ucontext_t *u) { REGS(u)[REG_RIP] = 0xffff888000000000; }
static void rip_top(ucontext_t *u) { REGS(u)[REG_RIP] = 0x7ffffffff000; }
static void rip_last(ucontext_t *u) { REGS(u)[REG_RIP] = 0x7fffffffffff; }
static void rip_zero(ucontext_t *u) { REGS(u)[REG_RIP] = 0; }
static void rsp_hole(ucontext_t *u) { REGS(u)[REG_RSP] = 0x800000000000; }
static void rsp_kernel(ucontext_t *u) { REGS(u)[REG_RSP] = 0xffffffff80201000; }
static void rsp_zero(ucontext_t *u) { REGS(u)[REG_RSP] = 0; }
static void selectors_kernel(ucontext_t *u) { REGS(u)[REG_CSGSFS] = 0x0018000000000010; }
static void selectors_garbage(ucontext_t *u) { REGS(u)[REG_CSGSFS] = -1; }
static void selectors_zero(ucontext_t *u) { REGS(u)[REG_CSGSFS] = 0; }
static void flags_all(ucontext_t *u) { REGS(u)[REG_EFL] = ~0x100ll & ~0x40000ll; }
static void flags_none(ucontext_t *u) { REGS(u)[REG_EFL] = 0; }
static void flags_iopl(ucontext_t *u) { REGS(u)[REG_EFL] |= 0x3000 | 0x4000 | 0x20000; }
static void fp_null(ucontext_t *u) { u->uc_mcontext.fpregs = NULL; }
static void fp_bad(ucontext_t *u) { u->uc_mcontext.fpregs = (void *)0x10; }
static void fp_kernel(ucontext_t *u) { u->uc_mcontext.fpregs = (void *)0xffffffff80200000; }
static void fp_hole(ucontext_t *u) { u->uc_mcontext.fpregs = (void *)0x800000000000; }
static void mask_all(ucontext_t *u) { memset(&u->uc_sigmask, 0xff, 8); }
static void alt_garbage(ucontext_t *u) { memset(&u->uc_stack, 0xa5, sizeof u->uc_stack); }
static void link_garbage(ucontext_t *u) { u->uc_flags = -1; u->uc_link = (void *)-1; }

static const struct { const char *name; void (*change)(ucontext_t *); } changes[] = {
#define C(name) {#name, name}
    C(rip_hole), C(rip_hole2), C(rip_kernel), C(rip_direct), C(rip_top), C(rip_last), C(rip_zero), C(rsp_hole),
    C(rsp_kernel), C(rsp_zero), C(flags_all), C(flags_none), C(flags_iopl), C(fp_null), C(fp_bad), C(fp_kernel),
    C(fp_hole), C(mask_all), C(alt_garbage), C(link_garbage),
};
// Linux takes these selectors as they are and kills; only that the kernel survives them counts here.
static const struct { const char *name; void (*change)(ucontext_t *); } selectors[] = {
    C(selectors_kernel), C(selectors_garbage), C(selectors_zero),
};

static void change_and_return(void (*with)(ucontext_t *)) {
    alarm(5);
    change = with;
    struct sigaction action = {.sa_sigaction = on_usr1, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    // The registers are still there.
    volatile double x = 1.5;
    _exit(x * 2 == 3.0 ? 0 : 9);
}

// Every byte of the FPU state random: some of it is refused (then SIGSEGV), nothing may reach the kernel.
static void fp_random(ucontext_t *u) {
    unsigned char *bytes = (unsigned char *)u->uc_mcontext.fpregs;
    int from = next() % 3 == 0 ? 0 : next() % 2 ? 464 : 512;
    int len = next() % 2 ? 48 : 512;
    for (int i = from; i < from + len && i < 832; i++) bytes[i] = next();
}
static void frame_random(ucontext_t *u) {
    unsigned char *bytes = (unsigned char *)u;
    for (int i = 0; i < 8; i++) bytes[next() % 304] = next();
}

// A stray rt_sigreturn with the stack at odd places.
static void stray_sigreturn(void) {
    static const uint64_t places[] = {0, 8, 0x1000, 0x7ffffffff000, 0x7fffffffeff8, 0x800000000000, 0xffffffff80200000, -8ull};
    for (unsigned i = 0; i < 8; i++) {
        pid_t child = fork();
        if (child == 0) {
            register uint64_t sp asm("rbx") = places[i];
            asm volatile("mov %0, %%rsp; mov $15, %%eax; syscall; ud2" ::"r"(sp) : "memory");
        }
        char name[32];
        sprintf(name, "stray sigreturn %u", i);
        report(name, child);
    }
}

static void on_segv(int number) { (void)number; _exit(7); }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winfinite-recursion" // the point of it
static int recurse(volatile int *depth) {
    volatile char space[4096];
    space[0] = (*depth)++;
    return recurse(depth) + space[0];
}
#pragma GCC diagnostic pop

static void overflow(int with_alt, uint64_t base, uint64_t size) {
    alarm(20);
    struct sigaction action = {.sa_handler = on_segv, .sa_flags = SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    if (with_alt) {
        stack_t alt = {.ss_sp = (void *)base, .ss_size = size};
        if (sigaltstack(&alt, NULL) != 0) _exit(errno);
    }
    volatile int depth = 0;
    _exit(recurse(&depth) & 1);
}

static void alt_stacks(void) {
    static char stack[65536];
    static const struct { const char *name; int with; uint64_t base, size; } tries[] = {
        {"overflow without", 0, 0, 0}, {"overflow on kernel", 1, 0xffffffff80200000, 65536},
        {"overflow on hole", 1, 0x800000000000, 65536}, {"overflow wraps", 1, -65536ull, 131072},
        {"overflow at zero", 1, 0, 65536}, {"overflow small", 1, 0x1000, 100}, {"overflow huge", 1, 0x1000, -1ull},
    };
    pid_t child = fork();
    if (child == 0) overflow(1, (uint64_t)stack, sizeof stack);
    report("overflow with", child);
    for (unsigned i = 0; i < sizeof tries / sizeof *tries; i++) {
        child = fork();
        if (child == 0) overflow(tries[i].with, tries[i].base, tries[i].size);
        report(tries[i].name, child);
    }
}

// A handler that faults, with its signal blocked: SIGSEGV kills.
static void on_segv_again(int number) { (void)number; *(volatile int *)8 = 1; }
static void fault_in_handler(int flags) {
    alarm(20);
    struct sigaction action = {.sa_handler = on_segv_again, .sa_flags = flags};
    sigaction(SIGSEGV, &action, NULL);
    *(volatile int *)8 = 1;
}

static volatile sig_atomic_t count;
static void on_count(int number) { (void)number; count++; }

// A timer that goes off faster than its handler can run must leave the CPU to the others.
static void alarm_storm(void) {
    pid_t child = fork();
    if (child == 0) {
        struct sigaction action = {.sa_handler = on_count};
        sigaction(SIGALRM, &action, NULL);
        struct itimerval often = {{0, 1}, {0, 1}};
        setitimer(ITIMER_REAL, &often, NULL);
        for (;;) {}
    }
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < 20; i++) usleep(1000);
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("alarm storm: %s\n", now.tv_sec - start.tv_sec < 3 ? "others ran" : "others starved");
    kill(child, SIGKILL);
    report("alarm storm", child);
    child = fork();
    if (child == 0) {
        signal(SIGALRM, SIG_IGN);
        struct itimerval often = {{0, 1}, {0, 1}};
        setitimer(ITIMER_REAL, &often, NULL);
        for (;;) {}
    }
    usleep(20000);
    kill(child, SIGKILL);
    report("ignored alarm storm", child);
    child = fork();
    if (child == 0) {
        for (int i = 0; i < 200000; i++) alarm(100000 + i);
        _exit(0);
    }
    report("many alarms", child);
}

static void stop_storm(void) {
    struct sigaction action = {.sa_handler = on_count};
    sigaction(SIGCONT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    pid_t child = fork();
    if (child == 0) for (;;) getppid();
    for (int i = 0; i < 3000; i++) {
        static const int numbers[] = {SIGSTOP, SIGCONT, SIGUSR1, SIGTSTP, SIGTTIN, SIGCONT, SIGSTOP, SIGWINCH};
        kill(child, numbers[next() % 8]);
        int status;
        if (i % 3 == 0) waitpid(child, &status, WUNTRACED | WCONTINUED | WNOHANG);
        if (i % 50 == 0) usleep(100);
    }
    kill(child, SIGSTOP);
    kill(child, SIGKILL);
    int status;
    while (waitpid(child, &status, 0) == child && !WIFSIGNALED(status)) {}
    printf("stop storm: killed by %d\n", WTERMSIG(status));
}

// SIGTERM does not end a stopped process before SIGCONT; SIGKILL does.
static void stopped(void) {
    int status;
    pid_t child = fork();
    if (child == 0) for (;;) pause();
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    kill(child, SIGTERM);
    usleep(20000);
    printf("stopped and SIGTERM: %s\n", waitpid(child, &status, WNOHANG) == 0 ? "stays" : "gone");
    kill(child, SIGCONT);
    report("then SIGCONT", child);
    child = fork();
    if (child == 0) for (;;) pause();
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    kill(child, SIGKILL);
    report("stopped and SIGKILL", child);
}

static void child_storm(void) {
    struct sigaction action = {.sa_handler = on_count, .sa_flags = SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
    int reaped = 0;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 10; i++)
            if (fork() == 0) _exit(i);
        while (waitpid(-1, NULL, 0) > 0) reaped++;
    }
    printf("child storm: %d reaped, %s\n", reaped, count > 0 ? "told" : "not told");
    signal(SIGCHLD, SIG_DFL);
}

static void queue_storm(void) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    union sigval value = {.sival_int = 1};
    int sent = 0, refused = 0;
    for (int i = 0; i < 100000; i++) {
        if (syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN) == 0) sent++;
        else refused++;
        if (refused > 100) break;
    }
    (void)value;
    int got = 0;
    struct timespec none = {0, 0};
    while (sigtimedwait(&all, NULL, &none) > 0) got++;
    printf("queue storm: %s\n", got > 0 && got <= sent ? "bounded" : "unbounded");
    sigprocmask(SIG_UNBLOCK, &all, NULL);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < sizeof changes / sizeof *changes; i++) {
        pid_t child = fork();
        if (child == 0) change_and_return(changes[i].change);
        report(changes[i].name, child);
    }
    for (unsigned i = 0; i < sizeof selectors / sizeof *selectors; i++) {
        pid_t child = fork();
        if (child == 0) change_and_return(selectors[i].change);
        waitpid(child, NULL, 0);
    }
    for (int i = 0; i < 300; i++) {
        next();
        pid_t child = fork();
        if (child == 0) {
            close(2);
            change_and_return(i % 2 ? fp_random : frame_random);
        }
        waitpid(child, NULL, 0);
    }
    printf("random frames: survived\n");
    stray_sigreturn();
    alt_stacks();
    pid_t child = fork();
    if (child == 0) fault_in_handler(0);
    report("fault in handler", child);
    child = fork();
    if (child == 0) fault_in_handler(SA_NODEFER);
    report("fault in handler for ever", child);
    alarm_storm();
    stop_storm();
    stopped();
    child_storm();
    queue_storm();
    return 0;
}
