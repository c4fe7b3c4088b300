/* The name of a task: prctl(2), /proc/PID/comm, and how stat and status print it. */
#include "check.h"

static char text[8192];

static void show_name(const char *what)
{
    char name[17] = "";
    prctl(PR_GET_NAME, name);
    printf("%s\n", what);
    show_bytes("  PR_GET_NAME", name, strlen(name));
    show_file("  comm", "/proc/self/comm");
    ssize_t length = read_file("/proc/self/stat", text, sizeof text);
    char *open = strchr(text, '('), *close = strrchr(text, ')');
    show_bytes("  stat", open, length > 0 && open && close ? close + 1 - open : -1);
    length = read_file("/proc/self/status", text, sizeof text);
    show_bytes("  status", text, length > 0 ? (ssize_t)strcspn(text, "\n") : -1);
}

static void write_name(const char *name, size_t length)
{
    int fd = open("/proc/self/comm", O_WRONLY);
    long wrote = write(fd, name, length);
    show("write", wrote);
    close(fd);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        show_name("after exec");
        return 0;
    }
    prctl(PR_SET_NAME, "simple");
    show_name("simple");
    prctl(PR_SET_NAME, "exactly fifteen characters and more");
    show_name("long");
    prctl(PR_SET_NAME, "a) b (c");
    show_name("brackets");
    prctl(PR_SET_NAME, "new\nline\\back");
    show_name("newline and backslash");
    prctl(PR_SET_NAME, "\x01\xff\t\"");
    show_name("strange bytes");
    prctl(PR_SET_NAME, "");
    show_name("empty");

    write_name("written", 7);
    show_name("written");
    write_name("with newline\n", 13);
    show_name("with newline");
    write_name("stops\0here", 10);
    show_name("stops at NUL");
    char big[5000];
    memset(big, 'b', sizeof big);
    write_name(big, sizeof big);
    show_name("long write");
    write_name("", 0);
    show_name("empty write");

    int fd = open("/proc/self/comm", O_RDWR);
    show("pwrite", pwrite(fd, "p", 1, 0));
    show("write through a bad pointer", syscall(SYS_write, fd, 16, 4));
    show("write", write(fd, "one", 3));
    show("write again at the new position", write(fd, "two", 3));
    show_bytes("read from the start", text, pread(fd, text, 100, 0));
    show("lseek to the end", lseek(fd, 0, SEEK_END));
    show("lseek back", lseek(fd, 0, SEEK_SET));
    close(fd);

    pid_t parent = getpid(), child = split();
    if (child == 0) {
        fd = open(proc_path(parent, "comm"), O_WRONLY);
        show("write the name of another process", write(fd, "no", 2));
        show_name("a child has its parent's name");
        prctl(PR_SET_NAME, "child");
        char *args[] = { "some/argument", "again", NULL };
        enter_scratch();
        show_ok("symlink", symlink("/proc/self/exe", "a name of the program that is long"));
        execv("a name of the program that is long", args);
        show("execve", -1);
        _exit(1);
    }
    reap("child", child);
    show_name("the parent keeps its own");
    return 0;
}
