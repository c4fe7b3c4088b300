/* Readers: each walks /proc without end, reads in odd pieces at odd places, and writes garbage into what marked processes let write. */

static int reads_system_files;
static int is_privileged;
static char content[1 << 17];

static void copy_text(char *to, size_t size, const char *from)
{
    size_t length = strnlen(from, size - 1);
    memcpy(to, from, length);
    to[length] = 0;
}

static void begin(int number, const char *what)
{
    struct reader *reader = &table->readers[number];
    copy_text(reader->what, sizeof reader->what, what);
    reader->began_ns = now_ns();
}

/* The errors that Linux has for a task that has gone, is going, or must not be looked at. */
static void check_error(const char *path, const char *name, const char *what, int is_known)
{
    static const char *const invalid[] = {
        "mounts", "mountinfo", "mountstats", "net", /* without namespaces */
        "clear_refs", "pagemap", /* to read at all, or but in whole words */
        "current", "prev", "exec", "fscreate", "keycreate", "sockcreate", "context", /* without a security module */
    };
    int error = errno;
    atomic_fetch_add(&table->errors, 1);
    if (is_known || error == ENOENT || error == ESRCH || (!is_privileged && (error == EACCES || error == EPERM)))
        return;
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        if (error == EINVAL && strcmp(name, invalid[i]) == 0)
            return;
    if (error == EIO && strcmp(name, "mem") == 0)
        return;
    complain("%s: %s says %s", path, what, strerrorname_np(error));
}

/* All of it in pieces of random sizes; the whole text is held against the marks. */
static void read_through(int fd, const char *path, int pid, int tid, const char *name)
{
    size_t length = 0, piece = draw(3) ? sizeof content - 1 : 1 + draw(600);
    ssize_t got = 0;
    while (length < sizeof content - 1) {
        size_t room = sizeof content - 1 - length;
        got = read(fd, content + length, piece < room ? piece : room);
        if (got <= 0)
            break;
        length += got;
    }
    atomic_fetch_add(&table->reads, 1);
    if (got < 0)
        check_error(path, name, "read", 0);
    else if (pid)
        check_text(path, pid, tid, name, content, length);
}

static void read_about(int fd, const char *path, const char *name)
{
    for (int i = draw(6); i > 0; i--) {
        off_t places[] = {0, draw(200), draw(10000), draw(1ul << 31), draw(1ul << 47), -1};
        off_t place = places[draw(6)];
        ssize_t got;
        atomic_fetch_add(&table->reads, 1);
        if (draw(2)) {
            got = pread(fd, content, draw(5000), place);
            if (got < 0)
                check_error(path, name, "pread", place < 0 && errno == EINVAL);
        } else {
            static const int whence[] = {SEEK_SET, SEEK_CUR, SEEK_END};
            /* The offset -1 of a memory file is the answer of a seek that works: libc takes it for -EPERM. */
            int has_any_offset = strcmp(name, "mem") == 0 || strcmp(name, "pagemap") == 0;
            if (lseek(fd, place, whence[draw(3)]) < 0)
                check_error(path, name, "lseek", errno == EINVAL || errno == EOVERFLOW || (has_any_offset && errno == EPERM));
            got = read(fd, content, draw(3000));
            if (got < 0)
                check_error(path, name, "read at a place", errno == EINVAL || errno == EOVERFLOW);
        }
    }
}

/* Only what was executed as a victim has memory of its own; the rest of us shares the table. */
static void write_garbage(const char *directory, const char *name)
{
    char path[300], comm[16] = "";
    snprintf(path, sizeof path, "%s/comm", directory);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return;
    ssize_t length = read(fd, comm, sizeof comm - 1);
    close(fd);
    if (length <= 0 || comm[0] != 'v' || strcmp(name, "comm") == 0)
        return;
    static const char *const words[] = {"0\n", "-1000", "17", "deny", "allow", "0 0 1\n", "99999999999999999999", "\n", "", "0 0", "x"};
    char garbage[5000];
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = draw(256);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    fd = open(path, (draw(2) ? O_WRONLY : O_RDWR) | (draw(4) ? 0 : O_TRUNC));
    if (fd < 0)
        return check_error(path, name, "open to write", 0);
    for (int i = draw(3); i >= 0; i--) {
        const char *word = words[draw(11)];
        atomic_fetch_add(&table->writes, 1);
        if (strcmp(name, "mem") == 0) {
            ssize_t put = pwrite(fd, garbage, draw(sizeof garbage), draw(2) ? draw(1ul << 47) : MARK_AREA + draw(1ul << 38));
            if (put < 0)
                check_error(path, name, "write", errno == EINVAL);
        } else if ((draw(2) ? write(fd, word, strlen(word)) : write(fd, garbage, draw(sizeof garbage))) < 0) {
            int known = errno == EINVAL || errno == EPERM || errno == EACCES || errno == ERANGE || errno == E2BIG;
            check_error(path, name, "write", known);
        }
    }
    close(fd);
}

static void visit_file(int number, const char *directory, int pid, int tid, const char *name, int type)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    begin(number, path);
    if (type == DT_LNK) {
        ssize_t length = readlink(path, content, sizeof content - 1);
        atomic_fetch_add(&table->reads, 1);
        if (length < 0) /* A task that goes between walk and look is no longer one that may be looked at. */
            check_error(path, name, "readlink", errno == EACCES);
        else if (pid)
            check_link(path, pid, name, content, length);
        struct stat status;
        if (draw(4) == 0 && stat(path, &status) < 0)
            check_error(path, name, "stat", errno == EACCES);
        return;
    }
    if (pid && draw(6) == 0) {
        struct stat status;
        if (stat(path, &status) < 0)
            return check_error(path, name, "stat", 0);
        if (status.st_mode & 0222)
            return write_garbage(directory, name);
    }
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return check_error(path, name, "open", !pid && (errno == EACCES || errno == EPERM));
    if (strcmp(name, "mem") != 0)
        read_through(fd, path, pid, tid, name);
    if (draw(3) == 0)
        read_about(fd, path, name);
    close(fd);
}

struct entry {
    char name[64];
    int type;
};

/* Lists with a buffer of random size; whether the listing got to its end does not matter. */
static int list(const char *path, const char *name, struct entry *entries, int most)
{
    static char buffer[8192];
    int count = 0, fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return check_error(path, name, "opendir", 0), 0;
    size_t room = 300 + draw(sizeof buffer - 300);
    long got;
    while ((got = syscall(SYS_getdents64, fd, buffer, room)) > 0)
        for (long at = 0; at < got;) {
            struct dirent64 *entry = (struct dirent64 *)(buffer + at);
            at += entry->d_reclen;
            if (entry->d_name[0] == '.' || count == most)
                continue;
            copy_text(entries[count].name, sizeof entries[count].name, entry->d_name);
            entries[count++].type = entry->d_type;
        }
    if (got < 0)
        check_error(path, name, "getdents", 0);
    close(fd);
    return count;
}

enum { ENTRIES = 600, DEPTH = 4 };

/* Everything below a directory, a random part of it first. `pid` and `tid` are 0 above the tasks. */
static void visit(int number, const char *directory, const char *own_name, int pid, int tid, int depth)
{
    static struct entry lists[DEPTH + 1][ENTRIES];
    struct entry *entries = lists[depth];
    begin(number, directory);
    int count = list(directory, own_name, entries, ENTRIES);
    int first = count ? draw(count) : 0;
    for (int i = 0; i < count && !table->is_over; i++) {
        struct entry *entry = &entries[(first + i) % count];
        int is_number = entry->name[0] >= '0' && entry->name[0] <= '9';
        if (entry->type != DT_DIR) {
            if (pid || reads_system_files)
                visit_file(number, directory, pid, tid, entry->name, entry->type);
            continue;
        }
        /* The network's files are many and all alike. */
        int is_wanted = pid ? depth < DEPTH && (strcmp(entry->name, "net") || draw(20) == 0) : is_number || reads_system_files;
        if (!is_wanted || depth == DEPTH || (depth == 0 && is_number && draw(3) == 0))
            continue;
        char path[256];
        snprintf(path, sizeof path, "%.180s/%s", directory, entry->name);
        int entry_pid = depth == 0 && is_number ? atoi(entry->name) : pid;
        int entry_tid = is_number ? atoi(entry->name) : tid;
        visit(number, path, entry->name, entry_pid, entry_tid, depth + 1);
    }
}

static void read_all(int number)
{
    char name[16];
    snprintf(name, sizeof name, "reader%d", number);
    prctl(PR_SET_NAME, name);
    is_privileged = number != READERS - 1;
    if (!is_privileged && setresuid(4242, 4242, 4242))
        _exit(1);
    while (!table->is_over)
        visit(number, "/proc", "proc", 0, 0, 0);
    table->readers[number].began_ns = 0;
}
