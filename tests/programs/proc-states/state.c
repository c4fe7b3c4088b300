/* What the states share: children in a known state, and printing what of /proc can be compared. */
#include "state.h"

void exec_role(const char *role, char **args, char **env)
{
    static char variable[64], *only_role[64];
    char *plain[] = { (char *)role, NULL };
    snprintf(variable, sizeof variable, "ROLE=%s", role);
    int count = 0;
    only_role[count++] = variable;
    for (; env && *env && count < 63; env++)
        only_role[count++] = *env;
    fflush(stdout);
    execve("/proc/self/exe", args ? args : plain, only_role);
    printf("execve: %s\n", error_name());
    _exit(1);
}

void role_in_child(const char *role, char **args, char **env)
{
    pid_t child = split();
    if (child == 0)
        exec_role(role, args, env);
    int status = 0;
    waitpid(child, &status, 0);
    if (status)
        show_wait("role ended", status);
}

pid_t child_after(void (*prepare)(void))
{
    /* The end by which a child tells that it is ready: a child of its own must not keep it open. */
    static int held = -1;
    int ready[2];
    char byte;
    if (pipe2(ready, O_CLOEXEC) < 0)
        return -1;
    pid_t child = split();
    if (child == 0) {
        close(ready[0]);
        if (held >= 0)
            close(held);
        held = ready[1];
        if (prepare)
            prepare();
        fflush(stdout);
        close(ready[1]);
        held = -1;
        for (;;)
            pause();
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 0)
        printf("a child that says something\n");
    close(ready[0]);
    wait_for_state(child, "SZ");
    return child;
}

void make_zombie(pid_t child)
{
    siginfo_t info;
    kill(child, SIGKILL);
    if (waitid(P_PID, child, &info, WEXITED | WNOWAIT) < 0)
        printf("waitid: %s\n", error_name());
}

void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

pid_t kernel_thread(void)
{
    const unsigned long is_kernel_thread = 0x200000;
    for (pid_t pid = 1; pid < 10; pid++)
        if (stat_number(pid, 9) & is_kernel_thread)
            return pid;
    not_run("no kernel thread is seen here");
}

void show_text(const char *what, const char *bytes, ssize_t length)
{
    static char plain[1 << 20];
    size_t size = strlen(scratch);
    ssize_t out = 0;
    if (length < 0) {
        show_bytes(what, bytes, length);
        return;
    }
    for (ssize_t i = 0; i < length;) {
        if (size && i + (ssize_t)size <= length && !memcmp(bytes + i, scratch, size)) {
            memcpy(plain + out, "SCRATCH", 7);
            out += 7, i += size;
        } else {
            plain[out++] = bytes[i++];
        }
    }
    show_bytes(what, plain, out);
}

void show_link(const char *what, const char *path)
{
    char target[8192];
    show_text(what, target, readlink(path, target, sizeof target));
}

void show_read(const char *what, ssize_t length)
{
    printf("%s: %s\n", what, length < 0 ? error_name() : length == 0 ? "end" : "content");
}

void show_open_read(const char *what, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        printf("%s: open %s\n", what, error_name());
        return;
    }
    show_read(what, read(fd, text, PAGE));
    close(fd);
}

void show_write(const char *path, const char *bytes, size_t length)
{
    char what[64] = "write";
    if (length < 40)
        snprintf(what, sizeof what, "write %zu", length);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        printf("open for writing: %s\n", error_name());
        return;
    }
    ssize_t done = write(fd, bytes, length);
    if (length < 40)
        show_text("  bytes", bytes, length);
    show(what, done);
    close(fd);
}

void show_line(const char *what, const char *path, const char *prefix)
{
    static char lines[1 << 20];
    size_t length = strlen(prefix);
    if (read_file(path, lines, sizeof lines) < 0) {
        printf("%s: %s\n", what, error_name());
        return;
    }
    for (char *line = lines; *line;) {
        size_t size = strcspn(line, "\n");
        if (!strncmp(line, prefix, length)) {
            show_text(what, line, size);
            return;
        }
        line += size + (line[size] == '\n');
    }
    printf("%s: no such line\n", what);
}

char *region(unsigned pages)
{
    char *all = mmap(NULL, (pages + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return all == MAP_FAILED ? NULL : all + PAGE;
}

void show_areas(const char *what, const char *start, unsigned pages)
{
    static char lines[1 << 20];
    unsigned long from = (unsigned long)start, to = from + pages * PAGE;
    printf("%s\n", what);
    if (read_file("/proc/self/maps", lines, sizeof lines) < 0)
        printf("  %s\n", error_name());
    for (char *line = lines; *line;) {
        unsigned long low, high, offset, inode;
        unsigned major, minor;
        char rights[8];
        int name = 0;
        size_t size = strcspn(line, "\n");
        line[size] = 0;
        if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu%n", &low, &high, rights, &offset, &major, &minor, &inode, &name) == 7 && high > from &&
            low < to) {
            printf("  %s%lu-%lu%s %s %lx %s", low < from ? "<" : "", low < from ? 0 : (low - from) / PAGE,
                   high > to ? pages : (high - from) / PAGE, high > to ? ">" : "", rights, offset, inode ? "inode" : "-");
            /* The name stands at column 73, or one blank behind a prefix that is longer. */
            size_t at = name + 1 > 73 ? name + 1 : 73;
            show_text(" name", line + at, size > at ? size - at : 0);
        }
        line += size + 1;
    }
}

/* The text behind a key in the part of smaps that speaks of the area that holds an address; NULL without it. */
static char *smaps_line(pid_t pid, const char *address, const char *key)
{
    static char lines[1 << 20];
    int is_it = 0;
    if (read_file(proc_path(pid, "smaps"), lines, sizeof lines) < 0)
        return NULL;
    for (char *line = lines; *line;) {
        unsigned long low, high;
        size_t size = strcspn(line, "\n");
        line[size] = 0;
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
            is_it = low <= (unsigned long)address && (unsigned long)address < high;
        else if (is_it && !strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
            return line + strlen(key) + 1;
        line += size + 1;
    }
    return NULL;
}

long smaps_kb(pid_t pid, const char *address, const char *key)
{
    char *line = smaps_line(pid, address, key);
    return line ? strtol(line, NULL, 10) : -1;
}

const char *vm_flags(pid_t pid, const char *address)
{
    char *line = smaps_line(pid, address, "VmFlags");
    return line ? line : "absent";
}

void show_smaps(const char *what, pid_t pid, const char *address, const char *keys)
{
    char list[256];
    snprintf(list, sizeof list, "%s", keys);
    printf("%s:", what);
    for (char *key = strtok(list, " "); key; key = strtok(NULL, " "))
        printf(" %s %ld", key, smaps_kb(pid, address, key));
    puts("");
}

int file_of(const char *name, size_t length)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    char block[PAGE];
    memset(block, 'a', sizeof block);
    for (size_t done = 0; done < length;) {
        ssize_t got = write(fd, block, length - done < sizeof block ? length - done : sizeof block);
        if (got <= 0)
            break;
        done += got;
    }
    return fd;
}
