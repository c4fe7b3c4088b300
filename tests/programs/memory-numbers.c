/* The numbers of stat, statm, status and maps agree with each other and with what the process did. */
#include "check.h"

static char text[1 << 16];

struct sums {
    unsigned long total, stack, heap_start, exec_low, exec_high, stack_low, stack_high;
};

static struct sums sum_maps(void)
{
    struct sums sums = { .exec_low = ~0ul };
    read_file("/proc/self/maps", text, sizeof text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        unsigned long low, high;
        char perms[5], name[256] = "";
        if (sscanf(line, "%lx-%lx %4s %*x %*s %*u %255[^\n]", &low, &high, perms, name) < 3) {
            printf("a line of maps that no one can read: %s\n", line);
            continue;
        }
        char *base = name + strspn(name, " ");
        if (strcmp(base, "[vsyscall]") == 0)
            continue;
        sums.total += high - low;
        if (strcmp(base, "[stack]") == 0) {
            sums.stack = high - low;
            sums.stack_low = low;
            sums.stack_high = high;
        }
        if (strcmp(base, "[heap]") == 0 && !sums.heap_start)
            sums.heap_start = low;
        if (perms[2] == 'x' && *base == '/') {
            sums.exec_low = low < sums.exec_low ? low : sums.exec_low;
            sums.exec_high = high > sums.exec_high ? high : sums.exec_high;
        }
    }
    return sums;
}

static unsigned long statm_word(int number)
{
    char line[256];
    if (read_file("/proc/self/statm", line, sizeof line) < 0)
        return 0;
    char *next = line;
    unsigned long value = 0;
    for (int i = 0; i < number; i++)
        value = strtoul(next, &next, 10);
    return value;
}

int main(int argc, char **argv, char **envp)
{
    pid_t own = getpid();
    (void)argc;
    (void)envp;
    free(malloc(100));
    struct sums sums = sum_maps();
    show_fact("vsize is what maps adds up to", stat_number(own, 23) == sums.total);
    show_fact("statm has it in pages", statm_word(1) * PAGE == sums.total);
    show_fact("status has it in kB", status_kb(own, "VmSize") * 1024 == sums.total);
    show_fact("VmPeak is not less", status_kb(own, "VmPeak") >= status_kb(own, "VmSize"));
    show_fact("VmHWM is not less than VmRSS", status_kb(own, "VmHWM") >= status_kb(own, "VmRSS"));
    show_fact("VmRSS is its three parts",
              status_kb(own, "RssAnon") + status_kb(own, "RssFile") + status_kb(own, "RssShmem") == status_kb(own, "VmRSS"));
    show_fact("a program has resident pages", stat_number(own, 24) > 3);
    show_fact("resident is not more than mapped", statm_word(2) <= statm_word(1));
    show_fact("shared is not more than resident", statm_word(3) <= statm_word(2));
    show_fact("VmStk is the stack's size", status_kb(own, "VmStk") * 1024 == sums.stack);
    show_fact("the last words of statm are zero", statm_word(5) == 0 && statm_word(7) == 0);
    show_fact("code lies in what is executable",
              stat_number(own, 26) <= stat_number(own, 27) && stat_number(own, 27) <= sums.exec_high);
    show_fact("startstack lies in the stack", stat_number(own, 28) > sums.stack_low && stat_number(own, 28) < sums.stack_high);
    show_fact("arguments lie in the stack", stat_number(own, 48) == (unsigned long)argv[0]);
    show_fact("start_brk is where the heap starts", stat_number(own, 47) == sums.heap_start);
    show_fact("data lies below the heap", stat_number(own, 46) <= sums.heap_start && stat_number(own, 45) <= stat_number(own, 46));
    show_fact("rss limit is unlimited", strcmp(stat_word(own, 25), "18446744073709551615") == 0);

    unsigned long size = 64 * PAGE, before = statm_word(1), rss_before = statm_word(2);
    unsigned long anon_before = status_kb(own, "RssAnon"), data_before = status_kb(own, "VmData");
    unsigned long faults_before = stat_number(own, 10);
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    show("mapped pages", (long)(statm_word(1) - before));
    show("kilobytes of data", (long)(status_kb(own, "VmData") - data_before));
    show_fact("no page is there before it is touched", statm_word(2) - rss_before < 16);
    for (unsigned long offset = 0; offset < size; offset += PAGE)
        memory[offset] = 1;
    long grown = (long)(status_kb(own, "RssAnon") - anon_before);
    show_fact("touched pages are resident", grown >= 256 && grown < 256 + 64);
    show_fact("touching them was minor faults", stat_number(own, 10) > faults_before);
    show_ok("munmap", munmap(memory, size));
    show_fact("they are gone after munmap", (long)(status_kb(own, "RssAnon") - anon_before) < 64);
    show_fact("VmPeak remembers them", status_kb(own, "VmPeak") >= (before * PAGE + size) / 1024);
    show_fact("VmHWM remembers them", status_kb(own, "VmHWM") >= 256);
    show("mapped pages after munmap", (long)(statm_word(1) - before));

    printf("Name %s\n", status_value(own, "Name"));
    printf("State %s\n", status_value(own, "State"));
    show_fact("Tgid", atoi(status_value(own, "Tgid")) == own);
    show_fact("Pid", atoi(status_value(own, "Pid")) == own);
    show_fact("PPid", atoi(status_value(own, "PPid")) == getppid());
    printf("TracerPid %s\n", status_value(own, "TracerPid"));
    printf("Threads %s\n", status_value(own, "Threads"));
    printf("SigPnd %s\n", status_value(own, "SigPnd"));
    printf("ShdPnd %s\n", status_value(own, "ShdPnd"));
    printf("SigBlk %s\n", status_value(own, "SigBlk"));
    show_fact("stat pid", (pid_t)stat_number(own, 1) == own);
    show_fact("stat ppid", (pid_t)stat_number(own, 4) == getppid());
    show_fact("stat pgrp", (pid_t)stat_number(own, 5) == getpgrp());
    show_fact("stat session", (pid_t)stat_number(own, 6) == getsid(0));
    printf("stat state %s, threads %s, exit signal %s\n", stat_word(own, 3), stat_word(own, 20), stat_word(own, 38));
    printf("stat priority %s, nice %s, rt %s, policy %s\n", stat_word(own, 18), stat_word(own, 19), stat_word(own, 40), stat_word(own, 41));
    read_file("/proc/self/stat", text, sizeof text);
    int words = 1;
    for (char *at = strrchr(text, ')'); at && *at; at++)
        words += *at == ' ';
    show("words of stat", words + 1);
    return 0;
}
