/* Sixty-four thousand areas: maps and smaps name each once and in order, however they are read, and one changes as well as the first. */
#include "check.h"

enum { AREAS = 64000, PIECE_MAX = 1 << 20 };

static char piece[PIECE_MAX + 1];
static unsigned char seen[AREAS];
static char *base;

struct counted {
    long lines, inside, misplaced, flags, rss_kb;
};

static void line(struct counted *all, const char *text)
{
    static unsigned long last;
    unsigned long start, end;
    char rights[5];
    long kb;
    if (sscanf(text, "%lx-%lx %4s", &start, &end, rights) == 3) {
        if (all->lines++ == 0)
            last = 0;
        all->misplaced += start < last || end <= start;
        last = end;
        if (start >= (unsigned long)base && end <= (unsigned long)base + AREAS * PAGE) {
            long at = (start - (unsigned long)base) / PAGE;
            all->inside++;
            all->misplaced += end != start + PAGE || rights[0] != (at % 2 ? '-' : 'r') || seen[at]++;
        }
    } else if (sscanf(text, "Rss: %ld kB", &kb) == 1) {
        all->rss_kb += kb;
    } else if (!strncmp(text, "VmFlags:", 8)) {
        all->flags++;
    }
}

/* Reads the file by pieces and takes its lines apart. */
static struct counted taken(const char *path, size_t size)
{
    struct counted all = { 0 };
    static char text[4096];
    size_t length = 0;
    memset(seen, 0, sizeof seen);
    int fd = open(path, O_RDONLY);
    ssize_t got;
    while ((got = read(fd, piece, size)) > 0)
        for (ssize_t i = 0; i < got; i++) {
            text[length++] = piece[i];
            if (piece[i] == '\n') {
                text[length] = 0;
                line(&all, text);
                length = 0;
            }
        }
    close(fd);
    return all;
}

static void both(const char *when, long areas)
{
    printf("%s\n", when);
    struct counted small = taken("/proc/self/maps", PAGE), large = taken("/proc/self/maps", PIECE_MAX), odd = taken("/proc/self/maps", 61);
    struct counted smaps = taken("/proc/self/smaps", PAGE);
    show_fact("  maps has every area once", small.inside == areas && small.misplaced == 0);
    show_fact("  so it has by large reads", large.inside == areas && large.misplaced == 0 && large.lines == small.lines);
    show_fact("  and by odd ones", odd.inside == areas && odd.misplaced == 0 && odd.lines == small.lines);
    show_fact("  smaps has every area once", smaps.inside == areas && smaps.misplaced == 0 && smaps.flags == smaps.lines);
    show_fact("  what was touched is resident", smaps.rss_kb >= AREAS / 32 * 4);
}

int main(void)
{
    base = mmap(NULL, AREAS * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    long failed = 0;
    for (long at = 0; at < AREAS; at += 2)
        failed += mprotect(base + at * PAGE, PAGE, PROT_READ | PROT_WRITE) != 0;
    show("rights that could not be given", failed);
    for (long at = 2; at < AREAS; at += 32)
        base[at * PAGE] = 1;
    both("all of them", AREAS);
    /* The last thousand or so that there may be, and one more. */
    long more = 0;
    char *other = mmap(NULL, AREAS * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    while (more < AREAS && mprotect(other + more * PAGE, PAGE, PROT_READ) == 0)
        more += 2;
    show_fact("there is an end to it", more > 1000 && more < 2000);
    show("then", mprotect(other + more * PAGE, PAGE, PROT_READ));
    show_fact("an area in the middle cannot be cut", munmap(other + (more + 10) * PAGE, PAGE) == -1 && errno == ENOMEM);
    munmap(other, AREAS * PAGE);
    /* Every fourth goes; what stays is listed as before. */
    for (long at = 0; at < AREAS; at += 4)
        failed += munmap(base + at * PAGE, PAGE) != 0;
    show("pages that could not be unmapped", failed);
    both("less every fourth", AREAS - AREAS / 4);
    pid_t child = fork();
    if (child == 0) {
        both("in a child", AREAS - AREAS / 4);
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    show("the child's status", status);
    return 0;
}
