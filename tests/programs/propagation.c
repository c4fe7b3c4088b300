/* Propagation of mounts: what each kind of mount tells and hears, what mountinfo shows of it, and what umount(2) takes along.
 *
 * Everything happens below a tmpfs of its own in a mount namespace of its own. Numbers are shown in the order in which they are met.
 */
#include "check.h"
#include <sched.h>
#include <sys/mount.h>

#define TOP "/tmp/procvisor-propagation"

/* Numbers of mounts and peer groups, in the order in which they were seen first. */
struct names { int number[64]; int count; };

static int name_of(struct names *names, int number)
{
    for (int i = 0; i < names->count; i++)
        if (names->number[i] == number)
            return i + 1;
    names->number[names->count++] = number;
    return names->count;
}

static struct names groups;

/* Prints the mounts below TOP: where, root, options, propagation. */
static void show_mounts(const char *what)
{
    static char text[1 << 16];
    struct names ids = { .count = 0 };
    printf("%s\n", what);
    if (read_file("/proc/self/mountinfo", text, sizeof text) < 0)
        return;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        int id, parent, at = 0;
        char root[256], point[256], options[256];
        if (sscanf(line, "%d %d %*s %255s %255s %255s%n", &id, &parent, root, point, options, &at) != 5)
            continue;
        if (strncmp(point, TOP, strlen(TOP)))
            continue;
        const char *below = point + strlen(TOP);
        int parent_name = name_of(&ids, parent), id_name = name_of(&ids, id);
        printf("  %d on %d: %s at %s %s", id_name, parent_name, root, *below ? below : "/", options);
        char *rest = line + at, *end = strstr(rest, " - ");
        *end = 0;
        for (char *word = rest; *word; ) {
            while (*word == ' ')
                word++;
            size_t length = strcspn(word, " ");
            char *colon = memchr(word, ':', length);
            if (colon)
                printf(" %.*s:%d", (int)(colon - word), word, name_of(&groups, atoi(colon + 1)));
            else if (length)
                printf(" %.*s", (int)length, word);
            word += length;
        }
        *end = ' ';
        char type[64], source[64], super[64];
        if (sscanf(end, " - %63s %63s %63s", type, source, super) == 3)
            printf(" - %s %s %.2s\n", type, source, super);
    }
}

static int make(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, TOP "%s", name);
    return mkdir(path, 0755);
}

static const char *at(const char *name)
{
    static char path[4][256];
    static int next;
    char *text = path[next++ % 4];
    snprintf(text, sizeof path[0], TOP "%s", name);
    return text;
}

static int tmpfs(const char *name)
{
    return mount("src", at(name), "tmpfs", 0, NULL);
}

static int bind_to(const char *from, const char *to, int flags)
{
    return mount(at(from), at(to), NULL, MS_BIND | flags, NULL);
}

static int change(const char *name, int flags)
{
    return mount(NULL, at(name), NULL, flags, NULL);
}

static void in_child(const char *what, void (*body)(void))
{
    printf("-- %s\n", what);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("top", TOP, "tmpfs", 0, NULL))
            printf("no namespace: %s\n", error_name());
        else
            body();
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (status)
        printf("ended with %#x\n", status);
}

static void peers(void)
{
    make("/a"), make("/b"), make("/c");
    show_ok("tmpfs", tmpfs("/a"));
    make("/a/x"), make("/a/y");
    show_ok("shared", change("/a", MS_SHARED));
    show_ok("bind", bind_to("/a", "/b", 0));
    show_ok("again", bind_to("/b", "/c", 0));
    show_mounts("three peers");
    show_ok("below one", tmpfs("/b/x"));
    show_mounts("all have it");
    make("/a/x/deep");
    show_ok("below that", tmpfs("/c/x/deep"));
    show_mounts("all have that too");
    show_ok("umount with something on it", umount(at("/a/x")));
    show_ok("umount", umount(at("/a/x/deep")));
    show_ok("umount", umount(at("/b/x")));
    show_mounts("gone everywhere");
    show_ok("private", change("/b", MS_PRIVATE));
    show_ok("below the private one", tmpfs("/b/x"));
    show_mounts("nobody hears");
    show_ok("below a peer", tmpfs("/a/y"));
    show_mounts("the private one does not");
}

static void slaves(void)
{
    make("/a"), make("/b"), make("/c"), make("/d");
    tmpfs("/a");
    make("/a/x"), make("/a/y"), make("/a/z");
    change("/a", MS_SHARED);
    bind_to("/a", "/b", 0);
    show_ok("slave", change("/b", MS_SLAVE));
    bind_to("/b", "/c", 0);
    show_ok("slave of its own", change("/c", MS_SHARED));
    bind_to("/c", "/d", 0);
    show_mounts("a master, a slave, two peers that are slaves");
    tmpfs("/a/x");
    show_mounts("they all hear");
    tmpfs("/b/y");
    show_mounts("nobody hears the slave");
    tmpfs("/d/z");
    show_mounts("the peer hears its peer");
    show_ok("umount below the slave", umount(at("/b/x")));
    show_mounts("nobody hears");
    show_ok("umount below the master", umount(at("/a/x")));
    show_mounts("all hear");
    show_ok("slave of a slave that is shared", change("/d", MS_SLAVE));
    show_mounts("it listens to its peer");
    show_ok("the master is private", change("/a", MS_PRIVATE));
    show_mounts("nobody to listen to");
}

static void groups_end(void)
{
    make("/a"), make("/b"), make("/c"), make("/d");
    tmpfs("/a");
    change("/a", MS_SHARED);
    bind_to("/a", "/b", 0);
    change("/b", MS_SLAVE);
    change("/b", MS_SHARED);
    bind_to("/b", "/c", 0);
    change("/c", MS_SLAVE);
    show_mounts("a chain");
    show_ok("the middle leaves", umount(at("/b")));
    show_mounts("its slave has its master");
    bind_to("/a", "/d", 0);
    show_ok("slave twice", change("/c", MS_SLAVE));
    show_ok("the first peer leaves", umount(at("/a")));
    show_mounts("the other is master");
    show_ok("shared", change("/c", MS_SHARED));
    show_ok("private slave", change("/c", MS_PRIVATE));
    show_mounts("on its own");
}

static void unbindable(void)
{
    make("/a"), make("/b"), make("/c");
    tmpfs("/a");
    make("/a/x"), make("/a/y");
    tmpfs("/a/x");
    make("/a/x/below");
    tmpfs("/a/x/below");
    tmpfs("/a/y");
    show_ok("unbindable", change("/a/x", MS_UNBINDABLE));
    show_mounts("shown");
    show_ok("bind it", bind_to("/a/x", "/b", 0));
    show_ok("bind it with all", bind_to("/a/x", "/b", MS_REC));
    show_ok("bind above it", bind_to("/a", "/b", MS_REC));
    show_mounts("left out with all below");
    show_ok("slave keeps it", change("/a/x", MS_SLAVE));
    show_mounts("still");
    show_ok("shared ends it", change("/a/x", MS_SHARED));
    show_ok("bind it now", bind_to("/a/x", "/c", 0));
    show_mounts("bound");
    fflush(stdout);
    change("/a/y", MS_UNBINDABLE);
    pid_t pid = fork();
    if (pid == 0) {
        unshare(CLONE_NEWNS);
        /* Linux 6.12 copies it as unbindable, 6.18 as private. */
        change("/a/y", MS_PRIVATE);
        show_mounts("copied to a namespace");
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void moves(void)
{
    make("/a"), make("/b"), make("/s"), make("/file");
    tmpfs("/a");
    make("/a/x");
    tmpfs("/a/x");
    show_ok("move", mount(at("/a"), at("/b"), NULL, MS_MOVE, NULL));
    show_mounts("moved with what is on it");
    show_ok("move a directory", mount(at("/b/x"), at("/a"), NULL, MS_MOVE, NULL));
    make("/b/dir");
    show_ok("move no mount", mount(at("/b/dir"), at("/a"), NULL, MS_MOVE, NULL));
    show_ok("move onto itself", mount(at("/b"), at("/b"), NULL, MS_MOVE, NULL));
    show_ok("move below itself", mount(at("/b"), at("/b/dir"), NULL, MS_MOVE, NULL));
    show_ok("move onto a file", (close(open(at("/plain"), O_CREAT | O_WRONLY, 0600)), mount(at("/b"), at("/plain"), NULL, MS_MOVE, NULL)));
    show_ok("move from nowhere", mount(at("/nowhere"), at("/b"), NULL, MS_MOVE, NULL));
    show_ok("move from nothing", mount(NULL, at("/b"), NULL, MS_MOVE, NULL));
    tmpfs("/s");
    make("/s/in"), make("/s/out");
    change("/s", MS_SHARED);
    tmpfs("/s/in");
    show_ok("move out of a shared mount", mount(at("/s/in"), at("/b/dir"), NULL, MS_MOVE, NULL));
    show_ok("move into a shared mount", mount(at("/b"), at("/s/out"), NULL, MS_MOVE, NULL));
    show_mounts("now shared");
    tmpfs("/b");
    change("/b", MS_UNBINDABLE);
    make("/s/third");
    show_ok("move an unbindable one into a shared one", mount(at("/b"), at("/s/third"), NULL, MS_MOVE, NULL));
}

static void tucked(void)
{
    make("/a"), make("/b");
    tmpfs("/a");
    make("/a/x");
    change("/a", MS_SHARED);
    bind_to("/a", "/b", 0);
    change("/b", MS_SLAVE);
    tmpfs("/b/x");
    show_mounts("the slave has something there");
    tmpfs("/a/x");
    show_mounts("what it hears goes under that");
    show_ok("umount at the master", umount(at("/a/x")));
    show_mounts("and from under it again");
    tmpfs("/a/x");
    make("/b/x/carried");
    tmpfs("/b/x/carried");
    show_ok("umount at the master", umount(at("/a/x")));
    show_mounts("whatever it carries");
    tmpfs("/b/x");
    show_mounts("stacked");
    show_ok("umount the top", umount(at("/b/x")));
    show_mounts("unstacked");
}

static void busy_elsewhere(void)
{
    make("/a"), make("/b");
    tmpfs("/a");
    make("/a/x");
    change("/a", MS_SHARED);
    bind_to("/a", "/b", 0);
    tmpfs("/a/x");
    make("/a/x/dir");
    int fd = open(at("/b/x/dir"), O_RDONLY);
    show_ok("busy at a peer", umount(at("/a/x")));
    close(fd);
    show_ok("not any more", umount(at("/a/x")));
    tmpfs("/a/x");
    change("/b/x", MS_PRIVATE);
    make("/b/x/dir");
    tmpfs("/b/x/dir");
    show_ok("the peer's carries something", umount(at("/a/x")));
    show_mounts("that stays");
}

static void across_namespaces(void)
{
    int up[2], down[2];
    char byte = 0;
    make("/a"), make("/p");
    tmpfs("/a"), tmpfs("/p");
    make("/a/x"), make("/a/y"), make("/p/x");
    change("/a", MS_SHARED);
    if (pipe(up) || pipe(down))
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        unshare(CLONE_NEWNS);
        write(up[1], &byte, 1);
        read(down[0], &byte, 1);
        show_mounts("the copy hears");
        change("/a", MS_SLAVE);
        fflush(stdout);
        write(up[1], &byte, 1);
        read(down[0], &byte, 1);
        show_mounts("a slave does too");
        tmpfs("/a/x");
        fflush(stdout);
        _exit(0);
    }
    read(up[0], &byte, 1);
    tmpfs("/a/x"), tmpfs("/p/x");
    write(down[1], &byte, 1);
    read(up[0], &byte, 1);
    tmpfs("/a/y");
    umount(at("/a/x"));
    write(down[1], &byte, 1);
    waitpid(pid, NULL, 0);
    show_mounts("the original");
}

static void dominated(void)
{
    make("/a"), make("/b"), make("/c"), make("/root");
    tmpfs("/a");
    make("/a/x");
    change("/a", MS_SHARED);
    bind_to("/a", "/b", 0);
    change("/b", MS_SLAVE);
    change("/b", MS_SHARED);
    tmpfs("/root");
    make("/root/proc"), make("/root/a"), make("/root/c"), make("/root/tmp"), make("/root" TOP);
    bind_to("/a", "/root/a", 0);
    bind_to("/b", "/root/c", 0);
    change("/root/c", MS_SLAVE);
    show_mounts("seen from the root");
    mount("proc", at("/root/proc"), "proc", 0, NULL);
    if (chroot(at("/root")))
        return;
    static char text[1 << 14];
    read_file("/proc/self/mountinfo", text, sizeof text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char point[256], words[256] = "";
        sscanf(line, "%*d %*d %*s %*s %255s %*s %255[^-]", point, words);
        printf("  %s has master: %s, propagate_from: %s\n", point, strstr(words, "master:") ? "yes" : "no",
               strstr(words, "propagate_from:") ? "yes" : "no");
    }
}

static void refusals(void)
{
    make("/a"), make("/a/dir");
    tmpfs("/a");
    make("/a/dir");
    show_ok("no mount", change("/a/dir", MS_SHARED));
    show_ok("two kinds", change("/a", MS_SHARED | MS_PRIVATE));
    show_ok("with a mount option", change("/a", MS_SHARED | MS_NODEV));
    show_ok("with silent", change("/a", MS_SHARED | MS_SILENT));
    show_ok("no such place", change("/nothing", MS_SHARED));
    show_ok("bind from nothing", mount(NULL, at("/a"), NULL, MS_BIND, NULL));
    show_ok("bind from the empty name", mount("", at("/a"), NULL, MS_BIND, NULL));
    show_ok("bind from nowhere", bind_to("/nowhere", "/a", 0));
    show_ok("bind a directory on a file", (close(open(at("/plain"), O_CREAT | O_WRONLY, 0600)), bind_to("/a", "/plain", 0)));
    show_ok("bind a file on a directory", bind_to("/plain", "/a", 0));
    show_ok("bind a file on a file", (close(open(at("/other"), O_CREAT | O_WRONLY, 0600)), bind_to("/plain", "/other", 0)));
    show_mounts("a file");
    show_ok("unlink what is covered", unlink(at("/other")));
    show_ok("rename it", rename(at("/other"), at("/third")));
    show_ok("rename over it", rename(at("/plain"), at("/other")));
    show_ok("umount the file", umount(at("/other")));
    show_ok("no type", mount("x", at("/a"), NULL, 0, NULL));
    show_ok("no such type", mount("x", at("/a"), "nonesuch", 0, NULL));
    show_ok("bad option", mount("x", at("/a"), "tmpfs", 0, "nonesuch=1"));
    show_ok("not for users", mount("x", at("/a"), "tmpfs", 1u << 31, NULL));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        if (setuid(1) == 0) {
            show_ok("mount without privilege", tmpfs("/a"));
            show_ok("change without privilege", change("/a", MS_SHARED));
            show_ok("bad place first", change("/nothing", MS_SHARED));
            show_ok("umount without privilege", umount(at("/a")));
            show_ok("umount what is no mount", umount(at("/a/dir")));
        }
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

int main(void)
{
    mkdir("/tmp", 0777);
    mkdir(TOP, 0755);
    in_child("peers", peers);
    in_child("slaves", slaves);
    in_child("groups end", groups_end);
    in_child("unbindable", unbindable);
    in_child("moves", moves);
    in_child("tucked", tucked);
    in_child("busy elsewhere", busy_elsewhere);
    in_child("across namespaces", across_namespaces);
    in_child("dominated", dominated);
    in_child("refusals", refusals);
    rmdir(TOP);
    return 0;
}
