/* ns/ and the namespaces of each kind: their links, files and what of /proc changes in them. */
#include "state.h"
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/utsname.h>

static const char *const KINDS[] = { "uts", "ipc", "pid", "pid_for_children", "user", "mnt", "cgroup", "time", "time_for_children", "net" };
#define COUNT (sizeof KINDS / sizeof *KINDS)

static unsigned long namespace_of(pid_t pid, const char *kind)
{
    char link[64] = "", path[64];
    snprintf(path, sizeof path, "ns/%s", kind);
    if (readlink(proc_path(pid, path), link, sizeof link - 1) < 0)
        return 0;
    char *bracket = strchr(link, '[');
    return bracket ? strtoul(bracket + 1, NULL, 10) : 0;
}

STATE(ns_links_have_their_form)
{
    for (unsigned i = 0; i < COUNT; i++) {
        char link[64] = "", path[64];
        struct stat status, itself;
        snprintf(path, sizeof path, "/proc/self/ns/%s", KINDS[i]);
        ssize_t length = readlink(path, link, sizeof link - 1);
        printf("%s: %.*s ends with %c\n", KINDS[i], (int)strcspn(link, "["), link, length > 0 ? link[length - 1] : '-');
        stat(path, &status);
        lstat(path, &itself);
        show_fact("  the number is the inode", status.st_ino == namespace_of(getpid(), KINDS[i]));
        printf("  mode %o links %ld size %ld link's mode %o size %ld\n", status.st_mode, (long)status.st_nlink, (long)status.st_size, itself.st_mode, (long)itself.st_size);
    }
}

STATE(ns_numbers_of_the_first_ones)
{
    /* These are the same on every Linux since they have names of their own. */
    printf("uts %d ipc %d user %d pid %d cgroup %d time %d\n", namespace_of(getpid(), "uts") == 4026531838, namespace_of(getpid(), "ipc") == 4026531839,
           namespace_of(getpid(), "user") == 4026531837, namespace_of(getpid(), "pid") == 4026531836, namespace_of(getpid(), "cgroup") == 4026531835,
           namespace_of(getpid(), "time") == 4026531834);
}

STATE(ns_files_opened)
{
    int fd = open("/proc/self/ns/uts", O_RDONLY);
    show_fact("read-only", fd >= 0);
    show("read", read(fd, text, 10));
    show("write-only", open("/proc/self/ns/uts", O_WRONLY));
    show("both", open("/proc/self/ns/uts", O_RDWR));
    show("O_NOFOLLOW", open("/proc/self/ns/uts", O_RDONLY | O_NOFOLLOW));
    show("O_DIRECTORY", open("/proc/self/ns/uts", O_RDONLY | O_DIRECTORY));
    show("O_TRUNC", open("/proc/self/ns/uts", O_RDONLY | O_TRUNC) < 0 ? -1 : 0);
    show_fact("O_PATH", open("/proc/self/ns/uts", O_PATH) >= 0);
    char path[64], one[64] = "", two[64] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    show_fact("its descriptor leads to the same name", readlink(path, one, 63) > 0 && readlink("/proc/self/ns/uts", two, 63) > 0 && !strcmp(one, two));
    show("chmod", chmod("/proc/self/ns/uts", 0600));
    show("a name that is none", access("/proc/self/ns/none", F_OK));
    show("lseek", lseek(fd, 5, SEEK_SET));
    show("mmap", mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
}

static void show_changed(pid_t child)
{
    for (unsigned i = 0; i < COUNT; i++)
        printf("%s: %s\n", KINDS[i], namespace_of(child, KINDS[i]) == namespace_of(getpid(), KINDS[i]) ? "the same" : "another");
}

static int wanted;

static void into_namespace(void)
{
    if (unshare(wanted) < 0)
        printf("unshare: %s\n", error_name());
}

static void try_unshare(int kind)
{
    wanted = kind;
    pid_t child = child_after(into_namespace);
    show_changed(child);
    end(child);
}

STATE(ns_of_a_child)
{
    pid_t child = child_after(NULL);
    show_changed(child);
    end(child);
}

STATE(ns_after_unshare_of_uts)
{
    try_unshare(CLONE_NEWUTS);
}

STATE(ns_after_unshare_of_ipc)
{
    try_unshare(CLONE_NEWIPC);
}

STATE(ns_after_unshare_of_mounts)
{
    try_unshare(CLONE_NEWNS);
}

STATE(ns_after_unshare_of_user)
{
    try_unshare(CLONE_NEWUSER);
}

STATE(ns_after_unshare_of_net)
{
    try_unshare(CLONE_NEWNET);
}

static void pid_namespace_without_a_child(void)
{
    if (unshare(CLONE_NEWPID) < 0)
        printf("unshare: %s\n", error_name());
    show_read("pid_for_children", readlink("/proc/self/ns/pid_for_children", text, PAGE));
    show("following it", open("/proc/self/ns/pid_for_children", O_RDONLY));
}

STATE(ns_pid_for_children_without_a_child)
{
    end(child_after(pid_namespace_without_a_child));
}

STATE(ns_of_several_kinds_at_once)
{
    try_unshare(CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWUSER);
}

STATE(ns_unshare_refused)
{
    show_ok("no such flag", unshare(0x1));
    show_ok("nothing", unshare(0));
    show_ok("CLONE_FILES", unshare(CLONE_FILES));
    show_ok("CLONE_FS", unshare(CLONE_FS));
    pid_t child = split();
    if (child == 0) {
        if (setresuid(1000, 1000, 1000) < 0)
            not_run("cannot become another user");
        show_ok("without privilege", unshare(CLONE_NEWUTS));
        show_ok("with a user namespace", unshare(CLONE_NEWUTS | CLONE_NEWUSER));
        exit(0);
    }
    reap("child", child);
}

static void own_names(void)
{
    if (unshare(CLONE_NEWUTS) < 0)
        printf("unshare: %s\n", error_name());
    else if (sethostname("inside", 6) < 0 || setdomainname("domain", 6) < 0)
        printf("sethostname: %s\n", error_name());
    show_file("hostname", "/proc/sys/kernel/hostname");
    show_file("domainname", "/proc/sys/kernel/domainname");
}

STATE(uts_namespace_has_its_own_name)
{
    struct utsname before, after;
    uname(&before);
    end(child_after(own_names));
    uname(&after);
    show_fact("ours is as before", !strcmp(before.nodename, after.nodename));
}

static void rename_and_poll(void)
{
    if (unshare(CLONE_NEWUTS) < 0)
        printf("unshare: %s\n", error_name());
    struct pollfd files[2] = { { open("/proc/sys/kernel/hostname", O_RDONLY), POLLPRI, 0 }, { open("/proc/sys/kernel/domainname", O_RDONLY), POLLPRI, 0 } };
    show("before", poll(files, 2, 0));
    sethostname("renamed", 7);
    show("after a new host name", poll(files, 2, 0));
    printf("%#x %#x\n", files[0].revents, files[1].revents);
    show("told once", poll(files, 2, 0));
    setdomainname("domain", 6);
    show("after a new domain name", poll(files, 2, 0));
    printf("%#x %#x\n", files[0].revents, files[1].revents);
    show_write("/proc/sys/kernel/hostname", "written\n", 8);
    show("after one was written", poll(files, 2, 0));
    show_bytes("read", text, pread(files[0].fd, text, 100, 0));
}

STATE(uts_names_are_polled)
{
    end(child_after(rename_and_poll));
}

STATE(ns_entered_by_setns)
{
    wanted = CLONE_NEWUTS;
    pid_t child = child_after(into_namespace);
    int fd = open(proc_path(child, "ns/uts"), O_RDONLY);
    show_ok("of another kind", setns(fd, CLONE_NEWIPC));
    show_ok("setns", setns(fd, CLONE_NEWUTS));
    show_fact("the same now", namespace_of(getpid(), "uts") == namespace_of(child, "uts"));
    end(child);
    show_ok("after its process has ended", setns(fd, 0));
    show_ok("of a file that is none", setns(open("/dev/null", O_RDONLY), 0));
    show_ok("of a bad descriptor", setns(-1, 0));
}

STATE(ns_kept_open_over_the_end)
{
    wanted = CLONE_NEWUTS;
    pid_t child = child_after(into_namespace);
    struct stat before, after;
    int fd = open(proc_path(child, "ns/uts"), O_RDONLY);
    fstat(fd, &before);
    end(child);
    show_ok("fstat", fstat(fd, &after));
    show_fact("the same", before.st_ino == after.st_ino && before.st_dev == after.st_dev);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(path, text, PAGE);
    show_fact("its name", length > 4 && !memcmp(text, "uts:[", 5));
    struct stat again;
    show_ok("through the descriptor", stat(path, &again));
    show_fact("the same", again.st_ino == before.st_ino);
}

static char inner_stack[65536] __attribute__((aligned(16)));

static int first_of_pid_namespace(void *unused)
{
    (void)unused;
    printf("getpid %d getppid %d\n", getpid(), getppid());
    /* This /proc is still the outer one: it does not know this process by that number. */
    show_fact("self is the outer number", readlink("/proc/self", text, PAGE) > 0 && atoi(text) != 1);
    if (mount("proc", "/proc", "proc", 0, NULL) < 0) {
        printf("mount: %s\n", error_name());
        return 1;
    }
    ssize_t length = readlink("/proc/self", text, PAGE);
    show_bytes("self", text, length);
    printf("NSpid %s\n", status_value(1, "NSpid"));
    printf("NStgid %s\n", status_value(1, "NStgid"));
    printf("PPid %s\n", status_value(1, "PPid"));
    printf("words of stat %s %s %s\n", stat_word(1, 1), stat_word(1, 4), stat_word(1, 6));
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    wait_for_state(child, "S");
    printf("child %d\n", child);
    DIR *open = opendir("/proc");
    struct dirent *entry;
    while ((entry = readdir(open)))
        if (atoi(entry->d_name))
            printf("listed %s\n", entry->d_name);
    show_file("children", "/proc/1/task/1/children");
    fflush(stdout);
    return 0;
}

static void with_first_process(int kinds)
{
    fflush(stdout);
    pid_t child = clone(first_of_pid_namespace, inner_stack + sizeof inner_stack, kinds | CLONE_NEWNS | SIGCHLD, NULL);
    if (child < 0) {
        printf("clone: %s\n", error_name());
        return;
    }
    reap("first process", child);
}

STATE(pid_namespace_with_its_own_proc)
{
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        printf("mounts: %s\n", error_name());
    with_first_process(CLONE_NEWPID);
}

static int sleep_inside(void *unused)
{
    while (!unused)
        pause();
    return 0;
}

STATE(pid_namespace_seen_from_outside)
{
    pid_t child = clone(sleep_inside, inner_stack + sizeof inner_stack, CLONE_NEWPID | SIGCHLD, NULL);
    if (child < 0) {
        printf("clone: %s\n", error_name());
        return;
    }
    wait_for_state(child, "S");
    int outer, inner = 0;
    sscanf(status_value(child, "NSpid"), "%d %d", &outer, &inner);
    printf("outer number %d inner %d\n", outer == child, inner);
    sscanf(status_value(child, "NSsid"), "%d %d", &outer, &inner);
    printf("inner session %d\n", inner);
    show_fact("another namespace", namespace_of(child, "pid") != namespace_of(getpid(), "pid"));
    show_fact("the same for its children", namespace_of(child, "pid") == namespace_of(child, "pid_for_children"));
    show_fact("PPid is this one", atoi(status_value(child, "PPid")) == getpid());
    end(child);
}
