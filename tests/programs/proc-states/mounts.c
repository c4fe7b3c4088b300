/* mounts, mountinfo and mountstats: names, flags, order, what is told when they change, and whose they are. */
#include "state.h"
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>

/* Mounts of its own, which end with this process; names below the state's directory. */
static void own_mounts(void)
{
    if (unshare(CLONE_NEWNS) < 0)
        printf("unshare: %s\n", error_name());
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        printf("private: %s\n", error_name());
}

/* Takes the word out that a tmpfs shows for the width of its inode numbers: how the kernel was built decides it. */
static void without_inode_width(char *line)
{
    char *word = strstr(line, ",inode64");
    if (word)
        memmove(word, word + 8, strlen(word + 8) + 1);
}

static void show_lines(char *lines)
{
    for (char *line = lines; *line;) {
        size_t size = strcspn(line, "\n");
        int is_last = !line[size];
        line[size] = 0;
        without_inode_width(line);
        puts(line);
        if (is_last)
            break;
        line += size + 1;
    }
}

/* The lines of mountinfo of mounts in the state's directory, without the numbers. */
static void show_mounts(const char *what)
{
    static char lines[1 << 18];
    printf("%s\n", what);
    if (read_file("/proc/self/mountinfo", lines, sizeof lines) < 0)
        printf("  %s\n", error_name());
    for (char *line = lines; *line;) {
        size_t size = strcspn(line, "\n");
        line[size] = 0;
        without_inode_width(line);
        char *rest = line;
        for (int word = 0; word < 3 && rest; word++)
            rest = strchr(rest, ' ') ? strchr(rest, ' ') + 1 : NULL;
        if (rest && strstr(line, scratch))
            show_text("  mountinfo", rest, strlen(rest));
        line += size + 1;
    }
    read_file("/proc/self/mounts", lines, sizeof lines);
    for (char *line = lines; *line;) {
        size_t size = strcspn(line, "\n");
        line[size] = 0;
        without_inode_width(line);
        if (strstr(line, scratch))
            show_text("  mounts", line, strlen(line));
        line += size + 1;
    }
}

static void put(const char *source, const char *name, const char *kind, unsigned long flags, const char *options)
{
    mkdir(name, 0755);
    if (mount(source, name, kind, flags, options) < 0)
        printf("mount of %s: %s\n", name, error_name());
}

STATE(mounts_of_an_ordinary_tmpfs)
{
    own_mounts();
    put("source", "place", "tmpfs", 0, "size=64k,mode=700");
    show_mounts("mounted");
    show_ok("umount", umount("place"));
    show_mounts("unmounted");
}

STATE(mounts_with_flags)
{
    static const unsigned long FLAGS[] = { MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME, MS_NODIRATIME, MS_RELATIME, MS_STRICTATIME,
                                           MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NODIRATIME | MS_NOATIME, MS_SYNCHRONOUS, MS_DIRSYNC, MS_NOATIME | MS_RELATIME };
    own_mounts();
    for (unsigned i = 0; i < sizeof FLAGS / sizeof *FLAGS; i++) {
        put("source", "place", "tmpfs", FLAGS[i], "size=64k");
        show_mounts("");
        umount("place");
    }
}

STATE(mounts_with_odd_names)
{
    static const char *const NAMES[] = { "with blank", "new\nline", "tab\ttab", "back\\slash", "hash#", "\"quote\"", "\xff\xfe", "a - b" };
    own_mounts();
    for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
        put(NAMES[i], NAMES[i], "tmpfs", 0, "size=64k");
        show_mounts("");
        umount(NAMES[i]);
    }
}

STATE(mounts_with_odd_sources)
{
    static const char *const SOURCES[] = { "none", "-", "#", "a b", "/dev/does not exist", "x:y,z" };
    own_mounts();
    for (unsigned i = 0; i < sizeof SOURCES / sizeof *SOURCES; i++) {
        put(SOURCES[i], "place", "tmpfs", 0, "size=64k");
        show_mounts("");
        umount("place");
    }
}

STATE(mounts_with_an_empty_source)
{
    own_mounts();
    put("", "place", "tmpfs", 0, "size=64k");
    show_mounts("empty");
    umount("place");
    put(NULL, "place", "tmpfs", 0, "size=64k");
    show_mounts("none given");
}

STATE(mounts_within_mounts)
{
    own_mounts();
    put("outer", "outer", "tmpfs", 0, "size=64k");
    put("inner", "outer/inner", "tmpfs", 0, "size=64k");
    put("deep", "outer/inner/deep", "tmpfs", 0, "size=64k");
    show_mounts("three");
    show_ok("umount of one with others in it", umount("outer"));
    show_ok("of the innermost", umount("outer/inner/deep"));
    show_mounts("two");
    show_ok("with all in it", umount2("outer", MNT_DETACH));
    show_mounts("none");
}

STATE(mounts_one_over_another)
{
    own_mounts();
    put("first", "place", "tmpfs", 0, "size=64k");
    put("second", "place", "tmpfs", 0, "size=64k");
    show_mounts("both");
    umount("place");
    show_mounts("the first");
}

STATE(mounts_bound_elsewhere)
{
    own_mounts();
    put("source", "place", "tmpfs", 0, "size=64k");
    mkdir("place/a folder", 0755);
    close(file_of("place/file", 10));
    put("place/a folder", "other", NULL, MS_BIND, NULL);
    close(file_of("onto", 0));
    show_ok("a file", mount("place/file", "onto", NULL, MS_BIND, NULL));
    show_mounts("bound");
    rmdir("place/a folder");
    unlink("place/file");
    show_mounts("their targets deleted");
}

STATE(mounts_bound_with_what_is_below)
{
    own_mounts();
    put("source", "place", "tmpfs", 0, "size=64k");
    put("below", "place/below", "tmpfs", 0, "size=64k");
    put("place", "plain", NULL, MS_BIND, NULL);
    put("place", "recursive", NULL, MS_BIND | MS_REC, NULL);
    show_mounts("both ways");
}

STATE(mounts_remounted)
{
    own_mounts();
    put("source", "place", "tmpfs", 0, "size=64k");
    show_ok("read-only", mount(NULL, "place", NULL, MS_REMOUNT | MS_RDONLY, NULL));
    show_mounts("read-only");
    show_ok("writable with another size", mount(NULL, "place", NULL, MS_REMOUNT, "size=128k"));
    show_mounts("writable");
    show_ok("this mount read-only", mount(NULL, "place", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOEXEC, NULL));
    show_mounts("one mount");
    put("place", "other", NULL, MS_BIND, NULL);
    show_mounts("the other is as the first was");
    show("a file in it", open("place/file", O_CREAT | O_WRONLY, 0644));
    show_ok("without a mount there", mount(NULL, "other/none", NULL, MS_REMOUNT, NULL));
}

STATE(mounts_with_new_limits)
{
    own_mounts();
    put("source", "place", "tmpfs", 0, "size=64k,nr_inodes=8,mode=700");
    show_ok("more of both", mount(NULL, "place", NULL, MS_REMOUNT, "size=128k,nr_inodes=16"));
    show_mounts("more of both");
    show_ok("mode and owner", mount(NULL, "place", NULL, MS_REMOUNT, "mode=711,uid=5,gid=5"));
    show_mounts("mode and owner");
    show_ok("what is no option", mount(NULL, "place", NULL, MS_REMOUNT, "size=32k,colour=red"));
    show_mounts("what is no option");
    int fd = open("place/file", O_CREAT | O_RDWR, 0644);
    show_ok("fill 64 KiB", fallocate(fd, 0, 0, 64 * 1024));
    show_ok("less than is in use", mount(NULL, "place", NULL, MS_REMOUNT, "size=32k"));
    show_ok("as much as is in use", mount(NULL, "place", NULL, MS_REMOUNT, "size=64k"));
    show_ok("one page more", fallocate(fd, 0, 64 * 1024, 4096));
    show_ok("no limit", mount(NULL, "place", NULL, MS_REMOUNT, "size=0"));
    show_mounts("no limit");
    show_ok("a limit again", mount(NULL, "place", NULL, MS_REMOUNT, "size=1m"));
    show_mounts("no limit still");
}

STATE(mounts_moved)
{
    own_mounts();
    put("source", "place", "tmpfs", 0, "size=64k");
    mkdir("other", 0755);
    show_ok("move", mount("place", "other", NULL, MS_MOVE, NULL));
    show_mounts("moved");
    show_ok("what is no mount", mount("place", "other", NULL, MS_MOVE, NULL));
}

STATE(mounts_and_propagation)
{
    own_mounts();
    put("source", "place", "tmpfs", 0, "size=64k");
    show_ok("shared", mount(NULL, "place", NULL, MS_SHARED, NULL));
    read_file("/proc/self/mountinfo", text, sizeof text);
    show_fact("it says so", strstr(text, " shared:") != NULL);
    show_ok("slave", mount(NULL, "place", NULL, MS_SLAVE, NULL));
    show_ok("unbindable", mount(NULL, "place", NULL, MS_UNBINDABLE, NULL));
    show_mounts("unbindable");
    put("place", "other", NULL, MS_BIND, NULL);
    show_ok("private", mount(NULL, "place", NULL, MS_PRIVATE, NULL));
    show_mounts("private");
    show_ok("two at once", mount(NULL, "place", NULL, MS_PRIVATE | MS_SHARED, NULL));
}

STATE(mounts_seen_after_chroot)
{
    own_mounts();
    put("source", "jail", "tmpfs", 0, "size=64k");
    put("inner", "jail/inner", "tmpfs", 0, "size=64k");
    put("proc", "jail/proc", "proc", 0, NULL);
    put("outside", "outside", "tmpfs", 0, "size=64k");
    if (chroot("jail") < 0 || chdir("/") < 0)
        puts(error_name());
    read_file("/proc/self/mounts", text, sizeof text);
    show_lines(text);
    read_file("/proc/self/mountinfo", text, sizeof text);
    int lines = 0;
    for (char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    show("lines of mountinfo", lines);
    show_fact("a mountstats line of each", read_file("/proc/self/mountstats", text, sizeof text) > 0);
    show_lines(text);
}

STATE(mounts_of_a_root_that_is_no_mount)
{
    own_mounts();
    mkdir("jail", 0755);
    put("proc", "jail/proc", "proc", 0, NULL);
    if (chroot("jail") < 0 || chdir("/") < 0)
        puts(error_name());
    read_file("/proc/self/mounts", text, sizeof text);
    show_lines(text);
}

STATE(mounts_are_polled)
{
    own_mounts();
    struct pollfd files[2] = { { open("/proc/self/mounts", O_RDONLY), POLLIN | POLLPRI, 0 }, { open("/proc/self/mountinfo", O_RDONLY), POLLPRI, 0 } };
    show("before", poll(files, 2, 0));
    printf("%#x %#x\n", files[0].revents, files[1].revents);
    put("source", "place", "tmpfs", 0, "size=64k");
    show("after a mount", poll(files, 2, 0));
    printf("%#x %#x\n", files[0].revents, files[1].revents);
    show("told once", poll(files, 2, 0));
    printf("%#x %#x\n", files[0].revents, files[1].revents);
    umount("place");
    show("after umount", poll(files, 2, 0));
    printf("%#x %#x\n", files[0].revents, files[1].revents);
    struct pollfd later = { open("/proc/self/mounts", O_RDONLY), POLLPRI, 0 };
    show("one opened since", poll(&later, 1, 0));
}

static void mount_within(void)
{
    own_mounts();
    put("within", "place", "tmpfs", 0, "size=64k");
}

STATE(mounts_of_another_process)
{
    pid_t child = child_after(mount_within);
    show_mounts("ours");
    read_file(proc_path(child, "mounts"), text, sizeof text);
    show_fact("the other's has it", strstr(text, "within ") != NULL);
    int fd = open(proc_path(child, "mounts"), O_RDONLY);
    struct stat status;
    char path[128];
    snprintf(path, sizeof path, "/proc/%d/root%s/place", child, scratch);
    show_ok("through its root", stat(path, &status));
    show_fact("it is another file system", status.st_dev != 0);
    end(child);
    ssize_t length = pread(fd, text, PAGE, 0);
    text[length > 0 ? length : 0] = 0;
    show_fact("what was opened still shows it", strstr(text, "within ") != NULL);
}

STATE(mounts_of_proc_with_options)
{
    static const char *const OPTIONS[] = { "hidepid=0", "hidepid=1", "hidepid=2", "hidepid=4", "hidepid=3", "hidepid=invisible", "gid=5", "subset=pid", "hidepid=2,gid=7,subset=pid",
                                           "subset=x", "unknown" };
    own_mounts();
    for (unsigned i = 0; i < sizeof OPTIONS / sizeof *OPTIONS; i++) {
        printf("%s\n", OPTIONS[i]);
        put("proc", "place", "proc", 0, OPTIONS[i]);
        show_mounts("");
        show("  uptime", access("place/uptime", F_OK));
        show("  self", access("place/self/stat", F_OK));
        umount("place");
    }
}

static void look_as_another(const char *options)
{
    put("proc", "place", "proc", 0, options);
    pid_t child = child_after(NULL);
    pid_t reader = split();
    if (reader == 0) {
        char path[64];
        struct stat status;
        chmod(".", 0755);
        if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0)
            not_run("cannot become another user");
        snprintf(path, sizeof path, "place/%d", child);
        show_ok("stat", stat(path, &status));
        snprintf(path, sizeof path, "place/%d/stat", child);
        show("open", open(path, O_RDONLY) < 0 ? -1 : 0);
        DIR *open_directory = opendir("place");
        struct dirent *entry;
        int others = 0, own = 0;
        while (open_directory && (entry = readdir(open_directory))) {
            others += atoi(entry->d_name) == child;
            own += atoi(entry->d_name) == getpid();
        }
        printf("listed %d, itself %d\n", others, own);
        exit(0);
    }
    reap("reader", reader);
    end(child);
    umount("place");
}

STATE(proc_with_hidden_processes)
{
    own_mounts();
    chmod(".", 0755);
    look_as_another("hidepid=0");
    look_as_another("hidepid=1");
    look_as_another("hidepid=2");
    look_as_another("hidepid=4");
    look_as_another("hidepid=2,gid=1000");
}
