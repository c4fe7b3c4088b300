/* A process that carries its number in its arguments, environment, name, ids, limits, links and areas; and the check of each. */

/* Runs as `stress victim N`: marks itself and lives for a while, sometimes with threads, sometimes changing what is not marked. */
static void *doze(void *argument)
{
    usleep(1000 + (long)argument);
    return NULL;
}

static int live_marked(int number)
{
    random_state = number * 2654435761u + 1;
    char name[16];
    snprintf(name, sizeof name, "v%d", number);
    prctl(PR_SET_NAME, name);
    struct rlimit limit;
    getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = (rlim_t)number * 4096;
    if (limit.rlim_max >= limit.rlim_cur)
        setrlimit(RLIMIT_CORE, &limit);
    void *area = (void *)(MARK_AREA + number * 0x10000ul);
    if (mmap(area, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == area)
        memset(area, number & 0xff, 0x1000);
    int file = open("/proc/self/stat", O_RDONLY);
    if (file >= 0 && file != 9)
        dup2(file, 9);
    if (chdir("/proc/self"))
        return 1;
    if (number % 2 && setresuid(MARK_UID + number, MARK_UID + number, MARK_UID + number))
        return 1;
    for (int i = draw(3); i > 0; i--) {
        pthread_t thread;
        pthread_create(&thread, NULL, doze, (void *)(long)draw(20000));
    }
    for (int i = draw(8); i > 0; i--) {
        size_t size = 4096 * (1 + draw(64));
        char *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t at = 0; at < size; at += 4096)
            block[at] = 1;
        mprotect(block + size / 2 / 4096 * 4096, 4096, PROT_READ);
        usleep(draw(3000));
        if (i % 2)
            munmap(block, size);
    }
    usleep(draw(30000));
    return 0;
}

/* The number behind `key` in `text`, or -1 without the key. */
static long number_after(const char *text, const char *key)
{
    const char *found = strstr(text, key);
    return found ? strtol(found + strlen(key), NULL, 10) : -1;
}

/* Checks a mark: -1 is "it says nothing". */
static void check_mark(const char *path, const char *what, long told, long wanted)
{
    if (told == -1)
        return;
    atomic_fetch_add(&table->marks, 1);
    if (told != wanted)
        complain("%s: %s is %ld, not %ld", path, what, told, wanted);
}

/* Holds the whole text of the file `name` of thread `tid` of process `pid` against the two numbers. */
static void check_text(const char *path, int pid, int tid, const char *name, char *text, ssize_t length)
{
    text[length] = 0;
    if (length == 0)
        return;
    if (strcmp(name, "stat") == 0) {
        check_mark(path, "its first field", strtol(text, NULL, 10), tid);
        char *comm = strchr(text, '(');
        if (comm && comm[1] == 'v')
            check_mark(path, "its name", strtol(comm + 2, NULL, 10), pid);
    } else if (strcmp(name, "status") == 0) {
        check_mark(path, "Pid", number_after(text, "\nPid:\t"), tid);
        check_mark(path, "Tgid", number_after(text, "\nTgid:\t"), pid);
        check_mark(path, "Name", number_after(text, "Name:\tv"), pid);
        long uid = number_after(text, "\nUid:\t");
        if (uid >= MARK_UID)
            check_mark(path, "Uid", uid - MARK_UID, pid);
    } else if (strcmp(name, "comm") == 0 && text[0] == 'v') {
        check_mark(path, "its text", strtol(text + 1, NULL, 10), pid);
    } else if (strcmp(name, "cmdline") == 0) {
        for (ssize_t i = 0; i < length; i++)
            if (text[i] == 0)
                text[i] = ' ';
        check_mark(path, "its argument", number_after(text, " victim "), pid);
    } else if (strcmp(name, "environ") == 0) {
        check_mark(path, "its variable", number_after(text, "VICTIM="), pid);
    } else if (strcmp(name, "limits") == 0) {
        long core = number_after(text, "Max core file size");
        if (core > 0 && core % 4096 == 0)
            check_mark(path, "its limit", core / 4096, pid);
    } else if (strcmp(name, "maps") == 0 || strcmp(name, "smaps") == 0) {
        for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
            unsigned long start = strtoul(line, NULL, 16);
            if (start >= MARK_AREA && start < MARK_AREA + 0x10000ul * 0x400000)
                check_mark(path, "its area", (start - MARK_AREA) / 0x10000, pid);
        }
    }
}

static void check_link(const char *path, int pid, const char *name, char *text, ssize_t length)
{
    text[length] = 0;
    if (strcmp(name, "cwd") == 0 || strcmp(name, "9") == 0)
        check_mark(path, "its target", number_after(text, "/proc/"), pid);
}
