/* oom_score_adj, oom_adj and oom_score: who may write what in which spelling, and what follows. */
#include "state.h"
#include <sched.h>

STATE(oom_score_adj_of_every_spelling)
{
    static const struct {
        const char *bytes;
        int length;
    } WORDS[] = { { "7", 1 },      { "0", 1 },       { "+7", 2 },      { "-0", 2 },       { " 8 ", 3 },    { "\t9\n", 3 },     { "010", 3 },
                  { "0x10", 4 },   { "0XfF", 4 },    { "1000", 4 },    { "1001", 4 },     { "-1001", 5 },  { "", 0 },          { " ", 1 },
                  { "\n", 1 },     { "abc", 3 },     { "5x", 2 },      { "5 5", 3 },      { "5\0", 2 },    { "5\0x", 3 },      { "--5", 3 },
                  { "+-5", 3 },    { "5\n\n", 3 },   { "99999999999", 11 }, { "2147483648", 10 }, { "0x", 2 }, { "08", 2 },    { "1.0", 3 },
                  { "5\v\f\r", 4 }, { "000000000005", 12 }, { "0000000000005", 13 }, { "5            ", 13 }, { "\xa0" "6", 2 } };
    for (unsigned i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        show_write("/proc/self/oom_score_adj", WORDS[i].bytes, WORDS[i].length);
        show_file("  reads", "/proc/self/oom_score_adj");
    }
}

STATE(oom_score_adj_lowered)
{
    show_write("/proc/self/oom_score_adj", "500", 3);
    show_write("/proc/self/oom_score_adj", "200", 3);
    show_write("/proc/self/oom_score_adj", "0", 1);
    pid_t child = split();
    if (child == 0) {
        if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0)
            not_run("cannot become another user");
        show_write("/proc/self/oom_score_adj", "100", 3);
        show_write("/proc/self/oom_score_adj", "50", 2);
        show_write("/proc/self/oom_score_adj", "0", 1);
        show_write("/proc/self/oom_score_adj", "-1", 2);
        show_write("/proc/self/oom_adj", "1", 1);
        show_write("/proc/self/oom_adj", "0", 1);
        show_file("in the end", "/proc/self/oom_score_adj");
        exit(0);
    }
    reap("without privilege", child);
}

STATE(oom_score_adj_by_offsets)
{
    int fd = open("/proc/self/oom_score_adj", O_RDWR);
    show("pwrite at 100", pwrite(fd, "5", 1, 100));
    show("write", write(fd, "6", 1));
    show("position", lseek(fd, 0, SEEK_CUR));
    show("write behind", write(fd, "7", 1));
    show_file("in the end", "/proc/self/oom_score_adj");
    show("read at the position", read(fd, text, 100));
    show_bytes("second byte", text, pread(fd, text, 100, 1));
    show("SEEK_END", lseek(fd, 0, SEEK_END));
    show("bad pointer", syscall(SYS_write, fd, 16, 1));
    show("read to one", (lseek(fd, 0, SEEK_SET), syscall(SYS_read, fd, 16, 10)));
}

STATE(oom_score_adj_over_fork_and_exec)
{
    show_write("/proc/self/oom_score_adj", "333", 3);
    pid_t child = child_after(NULL);
    show_file("inherited", proc_path(child, "oom_score_adj"));
    show_write(proc_path(child, "oom_score_adj"), "444", 3);
    show_file("the child's", proc_path(child, "oom_score_adj"));
    show_file("the parent's", "/proc/self/oom_score_adj");
    int fd = open(proc_path(child, "oom_score_adj"), O_RDWR);
    make_zombie(child);
    show("write to a zombie's", write(fd, "5", 1));
    waitpid(child, NULL, 0);
    show("write to a reaped one's", write(fd, "5", 1));
}

static char clone_stack[16384] __attribute__((aligned(16)));

static int sleep_in_clone(void *unused)
{
    while (!unused)
        pause();
    return 0;
}

STATE(oom_score_adj_of_processes_with_one_memory)
{
    pid_t child = clone(sleep_in_clone, clone_stack + sizeof clone_stack, CLONE_VM | SIGCHLD, NULL);
    show_write("/proc/self/oom_score_adj", "111", 3);
    show_file("the other has it too", proc_path(child, "oom_score_adj"));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

STATE(oom_adj_is_another_scale)
{
    static const char *const WORDS[] = { "15", "16", "8", "0", "-17", "-18", "1", "x", "" };
    static const char *const SCORES[] = { "59", "58", "500", "999", "1000", "941", "1" };
    for (unsigned i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        show_write("/proc/self/oom_adj", WORDS[i], strlen(WORDS[i]));
        show_file("  oom_adj", "/proc/self/oom_adj");
        show_file("  oom_score_adj", "/proc/self/oom_score_adj");
    }
    for (unsigned i = 0; i < sizeof SCORES / sizeof *SCORES; i++) {
        show_write("/proc/self/oom_score_adj", SCORES[i], strlen(SCORES[i]));
        show_file("  oom_adj", "/proc/self/oom_adj");
    }
}

STATE(oom_score_follows_what_is_set)
{
    char score[32];
    ssize_t length = read_file("/proc/self/oom_score", score, sizeof score);
    int plain = atoi(score);
    show_fact("about 666 for a small process", length > 0 && plain >= 666 && plain < 690);
    show_write("/proc/self/oom_score_adj", "500", 3);
    read_file("/proc/self/oom_score", score, sizeof score);
    /* Counted in thousandths of the memory, rounded down. */
    show_fact("a third of 1000 more", atoi(score) >= plain + 310 && atoi(score) <= plain + 340);
    show_write("/proc/self/oom_score_adj", "1000", 4);
    read_file("/proc/self/oom_score", score, sizeof score);
    show_fact("two thirds more", atoi(score) >= plain + 630 && atoi(score) <= plain + 670);
}
