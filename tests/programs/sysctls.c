/* Files of /proc/sys: how values are read, what may be written, who may. The values that a test changes it puts back. */
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/utsname.h>

static char text[1 << 16], saved[1 << 16];
static void *volatile nowhere = (void *)8;

static void write_at(const char *path, const char *what, const char *bytes, size_t length, off_t pos)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0) {
        printf("open %s: %s\n", path, error_name());
        return;
    }
    char name[160];
    snprintf(name, sizeof name, "%s <- %s at %ld", path, what, (long)pos);
    show(name, pos ? pwrite(fd, bytes, length, pos) : write(fd, bytes, length));
    close(fd);
}

static void put(const char *path, const char *bytes)
{
    char what[64];
    size_t n = 0;
    for (const char *p = bytes; *p && n < sizeof what - 4; p++)
        n += snprintf(what + n, sizeof what - n, *p == '\n' ? "\\n" : *p == '\t' ? "\\t" : "%c", *p);
    what[n] = 0;
    write_at(path, what, bytes, strlen(bytes), 0);
}

static void keep(const char *path)
{
    memset(saved, 0, sizeof saved);
    read_file(path, saved, sizeof saved);
}

static void restore(const char *path)
{
    int fd = open(path, O_WRONLY);
    if (fd < 0 || write(fd, saved, strlen(saved)) < 0)
        printf("%s not put back: %s\n", path, error_name());
    close(fd);
}

static void modes(void)
{
    const char *const names[] = { "", "kernel", "kernel/hostname", "kernel/ostype", "kernel/osrelease", "kernel/version", "kernel/pid_max", "kernel/cap_last_cap",
        "kernel/ngroups_max", "kernel/threads-max", "kernel/overflowuid", "kernel/printk", "kernel/core_pattern", "kernel/random/boot_id",
        "kernel/random/uuid", "kernel/random/poolsize", "kernel/random/write_wakeup_threshold", "kernel/tainted", "kernel/sem",
        "vm/max_map_count", "vm/swappiness", "vm/overcommit_memory", "vm/drop_caches", "fs/file-nr", "fs/file-max", "fs/nr_open", "fs/pipe-max-size",
        "fs/suid_dumpable", "user/max_user_namespaces", "net/core/somaxconn", "net/ipv4/ip_forward", "net/ipv4/ip_local_port_range" };
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char path[128];
        struct stat st;
        snprintf(path, sizeof path, "/proc/sys/%s", names[i]);
        if (stat(path, &st) < 0)
            printf("%s: %s\n", path, error_name());
        else
            printf("%s: %o %u:%u links %lu size %ld\n", path, st.st_mode, st.st_uid, st.st_gid, (unsigned long)st.st_nlink, (long)st.st_size);
    }
}

static void reading(void)
{
    const char *const fixed[] = { "kernel/ostype", "kernel/cap_last_cap", "kernel/ngroups_max", "kernel/overflowuid", "kernel/overflowgid",
        "kernel/randomize_va_space", "kernel/random/poolsize", "kernel/core_pattern", "kernel/core_uses_pid", "fs/nr_open", "fs/overflowuid",
        "fs/pipe-max-size", "fs/suid_dumpable", "vm/max_map_count", "net/core/somaxconn", "kernel/sysctl_writes_strict",
        "net/ipv4/ip_local_port_range", "kernel/msgmax", "kernel/sem", "kernel/shmmax" };
    for (unsigned i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        char path[128];
        snprintf(path, sizeof path, "/proc/sys/%s", fixed[i]);
        show_file(fixed[i], path);
    }
    struct utsname names;
    uname(&names);
    read_file("/proc/sys/kernel/osrelease", text, sizeof text);
    show_fact("osrelease is uname's", !strncmp(text, names.release, strlen(names.release)) && text[strlen(names.release)] == '\n');
    read_file("/proc/sys/kernel/version", text, sizeof text);
    show_fact("version is uname's", !strncmp(text, names.version, strlen(names.version)) && text[strlen(names.version)] == '\n');
    read_file("/proc/sys/kernel/hostname", text, sizeof text);
    show_fact("hostname is uname's", !strncmp(text, names.nodename, strlen(names.nodename)) && text[strlen(names.nodename)] == '\n');

    int fd = open("/proc/sys/kernel/ngroups_max", O_RDONLY);
    show_bytes("a number in pieces", text, read(fd, text, 2));
    show_bytes("then", text, read(fd, text, 2));
    show_bytes("at 3", text, pread(fd, text, 10, 3));
    show("seek to the end", lseek(fd, 0, SEEK_END));
    show("seek far", lseek(fd, 1L << 40, SEEK_SET));
    show("no bytes", pread(fd, text, 0, 0));
    char *huge = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    show("a buffer of 4 MiB", pread(fd, huge, 4 << 20, 0));
    show("one byte less", pread(fd, huge, (4 << 20) - 1, 0));
    show("bad buffer", pread(fd, nowhere, 10, 0));
    close(fd);
    fd = open("/proc/sys/kernel/ostype", O_RDONLY);
    show_bytes("a text in pieces", text, read(fd, text, 3));
    show_bytes("then", text, read(fd, text, 2));
    show_bytes("then", text, read(fd, text, 5));
    show_bytes("then", text, read(fd, text, 5));
    show_bytes("at 4", text, pread(fd, text, 10, 4));
    show_bytes("at 6", text, pread(fd, text, 10, 6));
    close(fd);
    char one[64], two[64];
    read_file("/proc/sys/kernel/random/boot_id", one, sizeof one);
    read_file("/proc/sys/kernel/random/boot_id", two, sizeof two);
    show_fact("boot_id stays", !strcmp(one, two) && strlen(one) == 37);
    read_file("/proc/sys/kernel/random/uuid", one, sizeof one);
    read_file("/proc/sys/kernel/random/uuid", two, sizeof two);
    show_fact("uuid does not", strcmp(one, two) && one[14] == '4' && strchr("89ab", one[19]));
}

static void numbers(void)
{
    const char *int_file = "/proc/sys/kernel/printk_ratelimit_burst";
    keep(int_file);
    const char *const tries[] = { "7", "7\n", " \t8 \n", "-3", "0x1f\n", "017", "5 6", "", "x", "-", "+1", "1x", "0x", "08", "2147483647", "2147483648", "-2147483648",
        "-2147483649", "99999999999999999999999", "000000000000000000009", "\n", " ", "1,2", "1\t2", "12\r\n", "1\v" };
    for (unsigned i = 0; i < sizeof tries / sizeof *tries; i++) {
        put(int_file, "3");
        put(int_file, tries[i]);
        show_file("now", int_file);
    }
    write_at(int_file, "5 and NUL", "5\0", 2, 0);
    write_at(int_file, "6", "6", 1, 1);
    show_file("now", int_file);
    int fd = open(int_file, O_WRONLY);
    show("first", write(fd, "11", 2));
    show("second of one open", write(fd, "12", 2));
    show("third, from the start", pwrite(fd, "13", 2, 0));
    show("offset", lseek(fd, 0, SEEK_CUR));
    show_file("now", int_file);
    show("bad buffer", pwrite(fd, nowhere, 2, 0));
    close(fd);
    restore(int_file);

    /* Nothing checks it: any int is a ratio. */
    const char *any = "/proc/sys/vm/overcommit_ratio";
    keep(any);
    put(any, "-5");
    show_file("now", any);
    restore(any);

    const char *ranged = "/proc/sys/vm/swappiness";
    keep(ranged);
    put(ranged, "-1");
    put(ranged, "201");
    put(ranged, "200");
    show_file("now", ranged);
    restore(ranged);

    const char *vector = "/proc/sys/kernel/printk";
    keep(vector);
    put(vector, "3 3\n");
    show_file("two of four", vector);
    put(vector, "5 x");
    show_file("one and no number", vector);
    put(vector, "4 4 1 7 9 9");
    show_file("two too many", vector);
    restore(vector);

    vector = "/proc/sys/net/ipv4/ip_local_port_range";
    keep(vector);
    put(vector, "40000 50000\n");
    show_file("now", vector);
    put(vector, "1 2 3\n");
    put(vector, "50000 40000");
    put(vector, "x");
    show_file("now", vector);
    restore(vector);

    const char *uint_file = "/proc/sys/fs/pipe-max-size";
    keep(uint_file);
    fd = open(uint_file, O_RDWR);
    show("pages", write(fd, "65536 junk", 10));
    show("offset", lseek(fd, 0, SEEK_CUR));
    show("rounded", write(fd, "70000", 5));
    show_bytes("is", text, pread(fd, text, 64, 0));
    show("small", write(fd, "1", 1));
    show_bytes("is", text, pread(fd, text, 64, 0));
    show("zero", write(fd, "0", 1));
    show("negative", write(fd, "-1", 2));
    show("white space", write(fd, " ", 1));
    close(fd);
    restore(uint_file);
}

static void texts(void)
{
    const char *path = "/proc/sys/kernel/core_pattern";
    keep(path);
    put(path, "one\ntwo");
    show_file("now", path);
    write_at(path, "XY", "XY", 2, 1);
    show_file("now", path);
    write_at(path, "Z", "Z", 1, 9);
    show_file("now", path);
    int fd = open(path, O_WRONLY);
    show("first part", write(fd, "ab", 2));
    show("second part", write(fd, "cd\n", 3));
    show("behind its end", write(fd, "ef", 2));
    close(fd);
    show_file("now", path);
    char longer[200];
    memset(longer, 'p', sizeof longer);
    write_at(path, "200 bytes", longer, sizeof longer, 0);
    show_file("now", path);
    restore(path);
    show_file("now", path);
}

static void rights(void)
{
    const char *const names[] = { "kernel/ostype", "kernel/ngroups_max", "kernel/random/uuid", "fs/file-nr" };
    for (unsigned i = 0; i < 4; i++) {
        char path[128], what[160];
        snprintf(path, sizeof path, "/proc/sys/%s", names[i]);
        snprintf(what, sizeof what, "root opens %s to write", names[i]);
        show_ok(what, open(path, O_WRONLY));
    }
    show_ok("drop_caches to read", open("/proc/sys/vm/drop_caches", O_RDONLY) < 0 ? -1 : 0);
    show_ok("a new file", open("/proc/sys/kernel/none", O_CREAT | O_WRONLY, 0644));
    show_ok("mkdir", mkdir("/proc/sys/none", 0755));
    show_ok("unlink", unlink("/proc/sys/kernel/hostname"));
    show_ok("chmod", chmod("/proc/sys/kernel/hostname", 0666));
    show_ok("chown", chown("/proc/sys/kernel/hostname", 1, 1));
    show_ok("truncate", truncate("/proc/sys/kernel/hostname", 0));
    show_ok("exec", access("/proc/sys/kernel/hostname", X_OK));
    show_ok("what is not there", access("/proc/sys/kernel/none", F_OK));
    int held = open("/proc/sys/kernel/printk_ratelimit_burst", O_WRONLY);
    pid_t child = split();
    if (child == 0) {
        setresgid(1000, 1000, 1000);
        setresuid(1000, 1000, 1000);
        show_ok("a user reads", open("/proc/sys/kernel/hostname", O_RDONLY) < 0 ? -1 : 0);
        show_ok("a user writes", open("/proc/sys/kernel/hostname", O_WRONLY));
        show_ok("a user writes what root opened", write(held, "3", 1));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    close(held);
}

static void waiting(void)
{
    int fd = open("/proc/sys/kernel/domainname", O_RDWR), plain = open("/proc/sys/kernel/ngroups_max", O_RDONLY);
    struct pollfd poll_one = { fd, POLLIN | POLLPRI | POLLOUT, 0 };
    show("poll", poll(&poll_one, 1, 0));
    printf("events %#x\n", poll_one.revents);
    ssize_t length = pread(fd, text, sizeof text, 0);
    show_ok("the same name again", pwrite(fd, text, length, 0));
    show("poll", poll(&poll_one, 1, 0));
    printf("events %#x\n", poll_one.revents);
    show("poll", poll(&poll_one, 1, 0));
    printf("events %#x\n", poll_one.revents);
    struct epoll_event event = { EPOLLIN | EPOLLPRI, { 0 } };
    int epoll = epoll_create1(0);
    show_ok("epoll of a name", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    show_ok("epoll of a number", epoll_ctl(epoll, EPOLL_CTL_ADD, plain, &event));
    poll_one.fd = plain;
    show("poll of a number", poll(&poll_one, 1, 0));
    printf("events %#x\n", poll_one.revents);
}

/* What a value does. */
static void effects(void)
{
    const char *path = "/proc/sys/fs/nr_open";
    struct rlimit limit = { 2048, 2048 };
    keep(path);
    put(path, "1024");
    pid_t child = split();
    if (child == 0) {
        show_ok("more descriptors than fs.nr_open", setrlimit(RLIMIT_NOFILE, &limit));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    put(path, "63");
    put(path, "2147483585");
    restore(path);

    path = "/proc/sys/fs/suid_dumpable";
    keep(path);
    for (int value = 0; value <= 2; value++) {
        char digit[2] = { '0' + value, 0 };
        put(path, digit);
        child = split();
        if (child == 0) {
            setresuid(1000, 1000, 1000);
            show("dumpable after a change of user", prctl(PR_GET_DUMPABLE));
            fflush(stdout);
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    put(path, "3");
    restore(path);

    path = "/proc/sys/vm/max_map_count";
    keep(path);
    put(path, "20000");
    child = split();
    if (child == 0) {
        int made = 0;
        while (made < 30000 && mmap(NULL, PAGE, made % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
            made++;
        show_fact("areas stop near vm.max_map_count", made > 19900 && made <= 20001);
        show_ok("one more", mmap(NULL, PAGE, PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    restore(path);

    path = "/proc/sys/fs/pipe-max-size";
    int ends[2];
    keep(path);
    put(path, "65536");
    child = split();
    if (child == 0) {
        if (pipe(ends) < 0)
            _exit(1);
        setresuid(1000, 1000, 1000);
        show("a pipe of fs.pipe-max-size", fcntl(ends[0], F_SETPIPE_SZ, 65536));
        show("a larger one", fcntl(ends[0], F_SETPIPE_SZ, 65537));
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    restore(path);
}

int main(void)
{
    modes();
    reading();
    numbers();
    texts();
    rights();
    effects();
    waiting();
    return 0;
}
