// Threads, vforks and clones that end in odd ways; fork bombs and memory taken to the last page.
// The last two only with the argument "guest": on a host they would hurt. Prints the same on any Linux otherwise.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void report(const char *name, pid_t child) {
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) printf("%s: lost\n", name);
    else if (WIFSIGNALED(status)) printf("%s: killed by %d\n", name, WTERMSIG(status));
    else printf("%s: exit %d\n", name, WEXITSTATUS(status));
    fflush(stdout);
}

static void in_child(const char *name, void (*run)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        run();
        _exit(0);
    }
    report(name, child);
}

static void *nothing(void *argument) { return argument; }
static void *sleeper(void *argument) { for (;;) pause(); return argument; }
static void *spinner(void *argument) { for (;;) getppid(); return argument; }
static void *ender(void *argument) { usleep(2000); _exit(5); return argument; }
static void *killer(void *argument) { usleep(2000); kill(getpid(), SIGKILL); return argument; }
static void *faulter(void *argument) {
    volatile int *volatile nowhere = (volatile int *)8;
    usleep(2000);
    *nowhere = 1;
    return argument;
}
static void *leaver(void *argument) { usleep(1000); syscall(SYS_exit, 3); return argument; }
static void *reader(void *argument) { char c; read(*(int *)argument, &c, 1); return argument; }

static void start(void *(*run)(void *), int many, void *argument) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 16384);
    pthread_t thread;
    for (int i = 0; i < many; i++) pthread_create(&thread, &attributes, run, argument);
}

static void many_threads(void) {
    for (int i = 0; i < 300; i++) {
        pthread_t threads[4];
        for (int j = 0; j < 4; j++) pthread_create(&threads[j], NULL, nothing, NULL);
        for (int j = 0; j < 4; j++) pthread_join(threads[j], NULL);
    }
}
static void exit_with_sleepers(void) { start(sleeper, 20, NULL); _exit(4); }
static void exit_with_spinners(void) { start(spinner, 5, NULL); usleep(3000); _exit(4); }
static void thread_exits_group(void) { start(sleeper, 5, NULL); start(ender, 1, NULL); for (;;) pause(); }
static void thread_kills_group(void) { start(sleeper, 5, NULL); start(killer, 1, NULL); for (;;) pause(); }
static void thread_faults(void) { start(spinner, 3, NULL); start(faulter, 1, NULL); for (;;) pause(); }
static void leader_leaves(void) { start(ender, 1, NULL); syscall(SYS_exit, 9); }
static void all_leave(void) { start(leaver, 5, NULL); syscall(SYS_exit, 6); }
static void exec_with_threads(void) {
    int ends[2];
    pipe(ends);
    start(sleeper, 5, NULL);
    start(spinner, 2, NULL);
    start(reader, 3, &ends[0]);
    usleep(3000);
    char *arguments[] = {"/proc/self/exe", "seven", NULL};
    extern char *program;
    execv(program, arguments);
    _exit(1);
}
char *program;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static long counter;
static void *adder(void *argument) {
    for (int i = 0; i < 3000; i++) {
        pthread_mutex_lock(&mutex);
        counter++;
        if (i % 64 == 0) sched_yield();
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}
static void contended_mutex(void) {
    pthread_t threads[8];
    for (int j = 0; j < 8; j++) pthread_create(&threads[j], NULL, adder, NULL);
    for (int j = 0; j < 8; j++) pthread_join(threads[j], NULL);
    _exit(counter == 24000 ? 0 : 1);
}

static void futex_misuse(void) {
    static uint32_t word;
    uint64_t places[] = {0, 1, 4, 0x7ffffffff000, 0x800000000000, 0xffffffff80200000, (uint64_t)&word + 1};
    struct timespec soon = {0, 1000};
    int refused = 0;
    for (int command = 0; command < 16; command++)
        for (unsigned i = 0; i < sizeof places / sizeof *places; i++)
            if (syscall(SYS_futex, places[i], command, 0, &soon, places[(i + 1) % 7], 0) < 0) refused++;
    struct timespec bad = {-1, 5}, worse = {0, 2000000000};
    if (syscall(SYS_futex, &word, FUTEX_WAIT, 0, &bad) < 0 && errno == EINVAL) refused++;
    if (syscall(SYS_futex, &word, FUTEX_WAIT, 0, &worse) < 0 && errno == EINVAL) refused++;
    if (syscall(SYS_futex, &word, FUTEX_WAIT, 1, &soon) < 0 && errno == EAGAIN) refused++;
    if (syscall(SYS_futex, &word, FUTEX_WAIT, 0, &soon) < 0 && errno == ETIMEDOUT) refused++;
    _exit(refused > 50 ? 0 : 1);
}

static void clear_tid_garbage(void) {
    syscall(SYS_set_tid_address, 0xffffffff80200000);
    syscall(SYS_set_robust_list, 0x800000000000, 24);
}

static char stacks[16][16384] __attribute__((aligned(16)));
static int on_stack(void *argument) {
    switch ((long)argument) {
    case 0: return 0;
    case 1: *(volatile int *)0 = 1; return 0;
    case 2: kill(getpid(), SIGKILL); return 0;
    case 3: munmap(stacks, sizeof stacks); return 0;
    case 4: raise(SIGSTOP); return 0;
    case 5: syscall(SYS_exit_group, 3); return 0;
    default: for (;;) pause();
    }
}
// Children that share the memory, with vfork's wait and without, and die in every way.
static void shared_children(void) {
    for (long how = 0; how < 7; how++) {
        if (how == 3) continue;
        for (int vforks = 0; vforks < 2; vforks++) {
            if (vforks && (how == 4 || how == 6)) continue;
            int flags = CLONE_VM | SIGCHLD | (vforks ? CLONE_VFORK : 0);
            pid_t child = clone(on_stack, stacks[how] + sizeof stacks[how], flags, (void *)how);
            if (how == 4) waitpid(child, NULL, WUNTRACED);
            if (how == 4 || how == 6) kill(child, SIGKILL);
            if (waitpid(child, NULL, 0) != child) _exit(1);
        }
    }
}
static void shared_stack_unmapped(void) {
    pid_t child = clone(on_stack, stacks[3] + sizeof stacks[3], CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)3);
    int status;
    waitpid(child, &status, 0);
    _exit(WIFSIGNALED(status) ? 0 : 1);
}
static void vfork_killed(void) {
    int ends[2];
    pipe(ends);
    pid_t child = fork();
    if (child == 0) {
        pid_t inner = vfork();
        if (inner == 0) {
            write(ends[1], "x", 1);
            for (;;) pause();
        }
        _exit(1);
    }
    char c;
    read(ends[0], &c, 1);
    kill(child, SIGKILL);
    int status;
    waitpid(child, &status, 0);
    kill(0, 0);
    _exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? 0 : 1);
}
static void clone_garbage(void) {
    uint64_t flags[] = {0, -1ull, CLONE_THREAD, CLONE_THREAD | CLONE_SIGHAND, CLONE_SIGHAND, CLONE_VM | CLONE_SIGHAND,
                        CLONE_VM | CLONE_FS | CLONE_NEWNS, 0x100000000ull, CLONE_PARENT_SETTID | SIGCHLD, 0x80};
    int bad = 0;
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++) {
        long pid = syscall(SYS_clone, flags[i], 0, 8, 0x800000000000, 0);
        if (pid == 0) syscall(SYS_exit, 0);
        if (pid > 0) waitpid(pid, NULL, __WALL);
        else if (errno != EINVAL && errno != EPERM) bad++;
    }
    for (uint64_t size = 0; size < 5000; size += 8) {
        static char request[8192];
        memset(request, 0xff, sizeof request);
        long pid = syscall(435, request, size);
        if (pid == 0) syscall(SYS_exit, 0);
    }
    while (waitpid(-1, NULL, __WALL | WNOHANG) > 0) {}
    _exit(bad);
}

static void exec_garbage(void) {
    static char *huge[100000];
    static char big[140000];
    memset(big, 'x', sizeof big - 1);
    int bad = 0;
    char *one[] = {big, NULL};
    if (execv(program, one) != -1 || errno != E2BIG) bad |= 1;
    for (int i = 0; i < 99999; i++) huge[i] = big + sizeof big - 100;
    if (execv(program, huge) != -1 || errno != E2BIG) bad |= 2;
    if (syscall(SYS_execve, program, 0x800000000000, 0) != -1 || errno != EFAULT) bad |= 4;
    char *wild[] = {(char *)0xffffffff80200000, NULL};
    if (execv(program, wild) != -1 || errno != EFAULT) bad |= 8;
    if (execv("", one) != -1 || errno != ENOENT) bad |= 16;
    _exit(bad);
}

// This program's own file with bytes changed: each must end somehow.
static void broken_elves(void) {
    static unsigned char file[2000000];
    int self = open(program, O_RDONLY);
    int len = read(self, file, sizeof file);
    uint64_t state = 4242;
    int runs = 0;
    mkdir("/tmp/hostile", 0777);
    for (int i = 0; i < 150; i++) {
        unsigned char saved[1024];
        memcpy(saved, file, 1024);
        for (int j = 0; j < 1 + i % 6; j++) {
            state ^= state << 13; state ^= state >> 7; state ^= state << 17;
            // The header after its magic, and the program headers.
            file[(i % 3 ? 16 : 64) + state % (i % 3 ? 48 : 500)] = state >> 32;
        }
        int out = open("/tmp/hostile/elf", O_WRONLY | O_CREAT | O_TRUNC, 0755);
        int cut = i % 10 == 9 ? (int)(state % 5000) : len;
        write(out, file, cut);
        close(out);
        memcpy(file, saved, 1024);
        pid_t child = fork();
        if (child == 0) {
            close(1);
            close(2);
            alarm(2);
            char *arguments[] = {"elf", "seven", NULL};
            execv("/tmp/hostile/elf", arguments);
            _exit(1);
        }
        if (waitpid(child, NULL, 0) == child) runs++;
    }
    unlink("/tmp/hostile/elf");
    rmdir("/tmp/hostile");
    _exit(runs == 150 ? 0 : 1);
}

static unsigned long free_kib(void) {
    struct sysinfo info;
    sysinfo(&info);
    return info.freeram * info.mem_unit / 1024;
}

static void fork_bomb(void) {
    setsid();
    for (int i = 0;; i++) {
        pid_t child = fork();
        if (child < 0) break;
        (void)i;
    }
    for (;;) pause();
}

static void bounded_fork_bomb(void) {
    struct rlimit limit = {20, 20};
    setrlimit(RLIMIT_NPROC, &limit);
    setgid(4321);
    setuid(4321);
    int made = 0;
    while (made < 100) {
        pid_t child = fork();
        if (child < 0) break;
        if (child == 0) { pause(); _exit(0); }
        made++;
    }
    int refused = made < 100 && errno == EAGAIN;
    kill(-1, SIGKILL);
    _exit(refused && made <= 20 ? 0 : 1);
}

static void map_all(void) {
    for (uint64_t size = 1ull << 46; size >= 4096; size /= 2)
        while (mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED)
            if (size == 4096) break;
}
static void touch_all(void) {
    for (;;) {
        char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED) _exit(2);
        for (int i = 0; i < 1 << 20; i += 4096) block[i] = 1;
    }
}
static void many_areas(void) {
    char *block = mmap(NULL, 300ul << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long made = 0;
    for (long i = 0; i < 76000; i += 2)
        if (mprotect(block + i * 4096, 4096, PROT_READ) == 0) made++;
        else break;
    munmap(block, 300ul << 20);
    _exit(made > 30000 ? 0 : 1);
}
static void page_tables(void) {
    // A page every 2 MiB: a table each.
    for (uint64_t at = 1ull << 32; at < 1ull << 46; at += 2 << 20) {
        char *page = mmap((void *)at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (page == MAP_FAILED) _exit(2);
        *page = 1;
    }
}
static void fill_pipes(void) {
    struct rlimit limit = {100000, 100000};
    setrlimit(RLIMIT_NOFILE, &limit);
    static char block[65536];
    for (int i = 0; i < 40000; i++) {
        int ends[2];
        if (pipe2(ends, O_NONBLOCK) != 0) _exit(0);
        if (write(ends[1], block, sizeof block) <= 0) _exit(0);
    }
}
static void fill_tmpfs(void) {
    int file = open("/hostile-fill", O_RDWR | O_CREAT, 0600);
    static char block[65536];
    while (write(file, block, sizeof block) > 0) {}
    int full = errno;
    lseek(file, 0, SEEK_SET);
    ftruncate(file, 12345);
    unlink("/hostile-fill");
    _exit(full == ENOSPC || full == ENOMEM ? 0 : 1);
}
static void fill_inodes(void) {
    mkdir("/hostile-dir", 0700);
    chdir("/hostile-dir");
    char name[32];
    int made = 0;
    for (; made < 300000; made++) {
        sprintf(name, "%d", made);
        int file = open(name, O_WRONLY | O_CREAT, 0600);
        if (file < 0) break;
        close(file);
    }
    int full = errno;
    for (int i = 0; i < made; i++) {
        sprintf(name, "%d", i);
        unlink(name);
    }
    chdir("/");
    rmdir("/hostile-dir");
    _exit(full == ENOSPC || full == ENOMEM ? 0 : 1);
}
static void queue_signals(void) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_SIGPENDING, &limit);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (int i = 0; i < 400000; i++) syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN + 3);
}
static void lock_all(void) {
    mlockall(MCL_CURRENT | MCL_FUTURE);
    mmap(NULL, 1ul << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (;;) if (mmap(NULL, 1ul << 24, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) _exit(2);
}

static void guest_only(const char *name, void (*run)(void)) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        run();
        _exit(0);
    }
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    int status = 0, ended = 0;
    for (;;) {
        ended |= waitpid(child, &status, WNOHANG) == child;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (ended || now.tv_sec - start.tv_sec >= 4) break;
        usleep(10000);
    }
    kill(-1, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0) {}
    printf("%s: survived\n", name);
    (void)ended;
}

int main(int count, char **arguments) {
    program = arguments[0];
    if (count > 1 && strcmp(arguments[1], "seven") == 0) return 7;
    setvbuf(stdout, NULL, _IOLBF, 0);
    in_child("many threads", many_threads);
    in_child("exit with sleepers", exit_with_sleepers);
    in_child("exit with spinners", exit_with_spinners);
    in_child("thread exits group", thread_exits_group);
    in_child("thread kills group", thread_kills_group);
    in_child("thread faults", thread_faults);
    in_child("leader leaves", leader_leaves);
    in_child("all leave", all_leave);
    in_child("exec with threads", exec_with_threads);
    in_child("contended mutex", contended_mutex);
    in_child("futex misuse", futex_misuse);
    in_child("clear tid garbage", clear_tid_garbage);
    in_child("shared children", shared_children);
    in_child("shared stack unmapped", shared_stack_unmapped);
    in_child("vfork killed", vfork_killed);
    in_child("clone garbage", clone_garbage);
    in_child("exec garbage", exec_garbage);
    in_child("broken elves", broken_elves);
    in_child("many areas", many_areas);
    if (count < 2 || strcmp(arguments[1], "guest") != 0) return 0;
    unsigned long before = free_kib();
    in_child("bounded fork bomb", bounded_fork_bomb);
    guest_only("fork bomb", fork_bomb);
    guest_only("map all", map_all);
    guest_only("touch all", touch_all);
    guest_only("page tables", page_tables);
    guest_only("fill pipes", fill_pipes);
    guest_only("fill tmpfs", fill_tmpfs);
    guest_only("fill inodes", fill_inodes);
    guest_only("queue signals", queue_signals);
    guest_only("lock all", lock_all);
    long lost = (long)before - (long)free_kib();
    if (lost < 1024) printf("memory: back\n");
    else printf("memory: %ld KiB lost\n", lost);
    return 0;
}
