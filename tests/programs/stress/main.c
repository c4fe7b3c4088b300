/* Readers of every file of every task, while tasks come, change and go: nothing hangs, nothing tells of another task, nothing is lost.
   Arguments: where ("guest", or "linux": then in a pid namespace with a /proc of its own), seconds, seed. Process 1 of either.
   Marked processes carry their number in all that /proc shows of them (marks.h), so a file below /proc/N that speaks of
   another task is seen. Three rounds; after each all processes but this one are gone, and what memory there is free is told.
   Prints figures, a line for each thing that is wrong, and "well" or "wrong". */
#include "table.h"
#include "marks.h"
#include "tasks.h"
#include "reads.h"

static int is_guest;

/* A value of /proc/meminfo in kB. */
static long meminfo(const char *name)
{
    static char text[8192];
    int fd = open("/proc/meminfo", O_RDONLY);
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    text[length > 0 ? length : 0] = 0;
    char *line = strstr(text, name);
    return line ? strtol(line + strlen(name) + 1, NULL, 10) : -1;
}

static int tasks(void)
{
    int count = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; (entry = readdir(proc));)
        count += entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
    closedir(proc);
    return count;
}

static void tell_level(const char *when)
{
    printf("%s: free %ld slab %ld tables %ld stacks %ld tasks %d\n", when, meminfo("MemFree"), meminfo("Slab"),
           meminfo("PageTables"), meminfo("KernelStack"), tasks());
    fflush(stdout);
}

static pid_t start(void (*run)(int), int number, uint64_t seed)
{
    pid_t child = fork();
    if (child)
        return child;
    random_state = seed * 1000003 + number * 7919 + 12345;
    run(number);
    _exit(0);
}

/* Whether a reader has been at one thing for too long; says at which. */
static int is_stuck(void)
{
    for (int i = 0; i < READERS; i++) {
        uint64_t began = table->readers[i].began_ns, now = now_ns();
        if (began && now > began && now - began > DEADLINE_S * 1000000000ul) {
            complain("reader %d hangs in %s", i, table->readers[i].what);
            return 1;
        }
    }
    return 0;
}

/* Reaps what there is: the orphans of the breeders come to process 1. */
static int reap_all(int flags)
{
    int reaped = 0;
    while (waitpid(-1, NULL, flags | __WALL) > 0)
        reaped++;
    return reaped;
}

static int play_round(int round, uint64_t length_ns, uint64_t seed)
{
    table->is_over = 0;
    for (int i = 0; i < BREEDERS; i++)
        start(breed, i, seed * 31 + round);
    for (int i = 0; i < READERS; i++)
        start(read_all, i, seed * 37 + round);
    int stuck = 0;
    for (uint64_t end = now_ns() + length_ns; now_ns() < end && !stuck;) {
        usleep(20000);
        reap_all(WNOHANG);
        stuck = is_stuck();
    }
    table->is_over = 1;
    /* The readers come to an end of themselves; who does not hangs. */
    for (uint64_t end = now_ns() + DEADLINE_S * 1000000000ul; !stuck;) {
        int is_reading = 0;
        for (int i = 0; i < READERS; i++)
            is_reading |= table->readers[i].began_ns != 0;
        if (!is_reading)
            break;
        usleep(5000);
        reap_all(WNOHANG);
        if (now_ns() > end)
            stuck = is_stuck() || (complain("a reader did not end"), 1);
    }
    kill(-1, SIGKILL);
    reap_all(0);
    return stuck;
}

int main(int count, char **arguments)
{
    self = "/proc/self/exe";
    if (count == 3 && strcmp(arguments[1], "victim") == 0)
        return live_marked(atoi(arguments[2]));
    if (count == 2 && strcmp(arguments[1], "end") == 0)
        return 0;
    if (count != 4)
        return 2;
    is_guest = strcmp(arguments[1], "guest") == 0;
    reads_system_files = is_guest;
    uint64_t seconds = strtoul(arguments[2], NULL, 10), seed = strtoul(arguments[3], NULL, 10);
    table = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    /* Every part has run once, so that what the kernel keeps for good is there before the first measure. */
    int stuck = play_round(0, seconds * 1000000000ul / 10, seed);
    tell_level("before");
    for (int round = 1; round <= 3 && !stuck; round++) {
        stuck = play_round(round, seconds * 1000000000ul * 3 / 10, seed);
        char when[16];
        snprintf(when, sizeof when, "round %d", round);
        tell_level(when);
    }
    printf("reads %lu, of them marked %lu, refused %lu; writes %lu; tasks made %lu\n", table->reads, table->marks, table->errors,
           table->writes, table->born);
    for (int i = 0; i < table->complaints && i < COMPLAINTS; i++)
        printf("wrong: %s\n", table->complaint[i]);
    printf(table->complaints ? "%d wrong\n" : "well\n", table->complaints);
    return table->complaints ? 1 : 0;
}
