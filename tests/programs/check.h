/* What the guest programs share: printing that compares between two kernels.
 *
 * A program prints facts that must be the same on Linux and in the VM: never an address, a pid, an inode or a time, but how such a value
 * relates to another. It exits with 0; what went wrong is seen in the text.
 */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul

/* The name of the current errno. */
static inline const char *error_name(void)
{
    const char *name = strerrorname_np(errno);
    return name ? name : "unknown error";
}

/* Prints "WHAT: N" or "WHAT: ERRNAME", and returns the result. */
static inline long show(const char *what, long result)
{
    if (result == -1)
        printf("%s: %s\n", what, error_name());
    else
        printf("%s: %ld\n", what, result);
    return result;
}

/* Prints "WHAT: ok" or "WHAT: ERRNAME" for a result whose number says nothing. */
static inline long show_ok(const char *what, long result)
{
    printf("%s: %s\n", what, result == -1 ? error_name() : "ok");
    return result;
}

/* Prints "WHAT: yes" or "WHAT: no". */
static inline int show_fact(const char *what, int holds)
{
    printf("%s: %s\n", what, holds ? "yes" : "no");
    return holds;
}

/* Prints bytes with everything but printable ASCII as an escape. */
static inline void show_bytes(const char *what, const char *bytes, ssize_t length)
{
    if (length < 0) {
        printf("%s: %s\n", what, error_name());
        return;
    }
    printf("%s: %zd \"", what, length);
    for (ssize_t i = 0; i < length; i++) {
        unsigned char byte = bytes[i];
        if (byte == 0)
            fputs("\\0", stdout);
        else if (byte == '\n')
            fputs("\\n", stdout);
        else if (byte < 32 || byte > 126 || byte == '\\' || byte == '"')
            printf("\\x%02x", byte);
        else
            putchar(byte);
    }
    puts("\"");
}

/* Reads from an open file until its end; the number of bytes, or -1. */
static inline ssize_t read_fd(int fd, char *buffer, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t got = read(fd, buffer + have, size - have);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += got;
    }
    return have;
}

/* Reads a whole file and ends it with a NUL; the number of bytes, or -1. */
static inline ssize_t read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t length = read_fd(fd, buffer, size - 1);
    int error = errno;
    close(fd);
    errno = error;
    buffer[length < 0 ? 0 : length] = 0;
    return length;
}

/* Prints a whole file as show_bytes does. */
static inline void show_file(const char *what, const char *path)
{
    static char buffer[1 << 16];
    ssize_t length = read_file(path, buffer, sizeof buffer);
    show_bytes(what, buffer, length);
}

/* The path of a file of a process; valid until the fourth call after this one. */
static inline const char *proc_path(pid_t pid, const char *file)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "/proc/%d/%s", pid, file);
    return path;
}

/* The words of /proc/PID/stat: word 1 is the pid, as proc_pid_stat(5) counts. "" for one that is not there. */
static inline const char *stat_word(pid_t pid, int number)
{
    static char text[4096], word[4][64];
    static unsigned next;
    char *found = word[next++ % 4];
    found[0] = 0;
    if (read_file(proc_path(pid, "stat"), text, sizeof text) < 0)
        return found;
    if (number == 1) {
        sscanf(text, "%63s", found);
        return found;
    }
    char *rest = strrchr(text, ')');
    if (!rest)
        return found;
    rest++;
    for (int i = 3; rest && *rest; i++) {
        while (*rest == ' ')
            rest++;
        if (i == number) {
            sscanf(rest, "%63s", found);
            return found;
        }
        rest = strchr(rest, ' ');
    }
    return found;
}

static inline unsigned long stat_number(pid_t pid, int number)
{
    return strtoul(stat_word(pid, number), NULL, 10);
}

/* The value of a line of /proc/PID/status without the blanks before it; "absent" without such a line. */
static inline const char *status_value(pid_t pid, const char *key)
{
    static char text[8192], value[256];
    strcpy(value, "absent");
    if (read_file(proc_path(pid, "status"), text, sizeof text) < 0)
        return error_name();
    size_t length = strlen(key);
    for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, length) || line[length] != ':')
            continue;
        char *start = line + length + 1;
        start += strspn(start, " \t");
        snprintf(value, sizeof value, "%.*s", (int)strcspn(start, "\n"), start);
        break;
    }
    return value;
}

/* A number of kilobytes of /proc/PID/status. */
static inline unsigned long status_kb(pid_t pid, const char *key)
{
    return strtoul(status_value(pid, key), NULL, 10);
}

/* Waits until the first character of the State of a process is one of `states`. */
static inline void wait_for_state(pid_t pid, const char *states)
{
    for (int tries = 0; tries < 4000; tries++) {
        const char *state = stat_word(pid, 3);
        if (*state && strchr(states, *state))
            return;
        usleep(500);
    }
    printf("state %s never came, it is %s\n", states, stat_word(pid, 3));
}

/* Prints a status of wait(2) in words. */
static inline void show_wait(const char *what, int status)
{
    if (WIFEXITED(status))
        printf("%s: exit %d\n", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        printf("%s: killed by SIG%s%s\n", what, sigabbrev_np(WTERMSIG(status)), WCOREDUMP(status) ? " (core)" : "");
    else if (WIFSTOPPED(status))
        printf("%s: stopped by SIG%s\n", what, sigabbrev_np(WSTOPSIG(status)));
    else if (WIFCONTINUED(status))
        printf("%s: continued\n", what);
    else
        printf("%s: status %#x\n", what, status);
}

/* Reaps one child and prints how it ended. */
static inline void reap(const char *what, pid_t pid)
{
    int status = 0;
    if (waitpid(pid, &status, 0) != pid)
        printf("%s: waitpid %s\n", what, error_name());
    else
        show_wait(what, status);
}

/* The pid of a child that was made, or the end of this process: kill(2) takes -1 for everybody it may signal. */
static inline pid_t made(pid_t pid)
{
    if (pid < 0) {
        printf("no child: %s\n", error_name());
        fflush(stdout);
        _exit(1);
    }
    return pid;
}

/* fork(2) that leaves no text to be printed twice. */
static inline pid_t split(void)
{
    fflush(stdout);
    return made(fork());
}

/* Kills and reaps a child. */
static inline void end_child(pid_t pid)
{
    if (pid > 0 && kill(pid, SIGKILL) == 0)
        waitpid(pid, NULL, 0);
    else
        printf("no child %d to end\n", pid);
}

/* A private directory to work in, entered; the VM may have no /tmp yet. */
static inline void enter_scratch(void)
{
    char path[] = "/tmp/check-XXXXXX";
    mkdir("/tmp", 01777);
    if (!mkdtemp(path) || chdir(path) < 0)
        printf("no scratch directory: %s\n", error_name());
}

/* Every program starts with this: text goes out by lines, so that what came before a crash is seen, and no signal is ignored because some
 * parent had it so. Signals 32 and 33 are glibc's own, which only the system call itself may change. */
__attribute__((constructor)) static void start_plainly(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    const unsigned long plain[4] = { 0 };
    for (int number = 1; number <= 64; number++)
        syscall(SYS_rt_sigaction, number, plain, NULL, 8);
}

#endif
