/* /proc/PID/net of a network namespace with nothing in it. Linux's has the interface lo, a VM's has none: what differs for that reason is
 * looked at by its header. */
#include "check.h"
#include <dirent.h>
#include <sched.h>

static char text[1 << 16];

int main(void)
{
    /* A new namespace on the host, where there may be sockets; the VM's only one is as empty. */
    unshare(CLONE_NEWNET);
    const char *const whole[] = { "arp", "raw", "tcp", "udp", "icmp", "igmp", "raw6", "tcp6", "udp6", "unix", "icmp6", "route", "packet", "psched",
        "snmp", "snmp6", "udplite", "anycast6", "if_inet6", "mcfilter", "udplite6", "dev_mcast", "mcfilter6", "rt6_stats", "sockstat6", "ip6_flowlabel" };
    const char *const headed[] = { "dev", "ptype", "netlink", "protocols", "sockstat", "netstat" };
    char path[64];
    struct stat st;
    for (unsigned i = 0; i < sizeof whole / sizeof *whole; i++) {
        snprintf(path, sizeof path, "/proc/self/net/%s", whole[i]);
        show_file(whole[i], path);
        stat(path, &st);
        printf("%o %u:%u %lu %ld\n", st.st_mode, st.st_uid, st.st_gid, (unsigned long)st.st_nlink, (long)st.st_size);
    }
    for (unsigned i = 0; i < sizeof headed / sizeof *headed; i++) {
        snprintf(path, sizeof path, "/proc/self/net/%s", headed[i]);
        ssize_t length = read_file(path, text, sizeof text);
        show_bytes(headed[i], text, length < 0 ? -1 : (ssize_t)strcspn(text, "\n"));
        stat(path, &st);
        printf("%o\n", st.st_mode);
    }
    int fd = open("/proc/self/net/snmp", O_RDONLY);
    show("a byte", read(fd, text, 1));
    show("seek", lseek(fd, 4, SEEK_SET));
    show_bytes("from 4", text, read(fd, text, 6));
    show("from the end", lseek(fd, 0, SEEK_END));

    show_ok("/proc/net/tcp", access("/proc/net/tcp", R_OK));
    show_ok("of a task", access("/proc/thread-self/net/tcp", R_OK));
    show_ok("none", access("/proc/self/net/none", F_OK));
    show_ok("create", open("/proc/self/net/none", O_CREAT | O_WRONLY, 0644));
    show_ok("mkdir", mkdir("/proc/self/net/none", 0755));
    pid_t child = split();
    if (child == 0) {
        setresuid(1000, 1000, 1000);
        stat("/proc/self/net", &st);
        printf("net of a user: %o %u:%u\n", st.st_mode, st.st_uid, st.st_gid);
        show_ok("a user writes", open("/proc/self/net/dev", O_WRONLY));
        fflush(stdout);
        _exit(0);
    }
    wait_for_state(child, "Z");
    struct stat own;
    show_ok("stat of a zombie's", stat(proc_path(child, "net"), &st));
    printf("%o %lu links\n", st.st_mode, (unsigned long)st.st_nlink);
    fd = open(proc_path(child, "net"), O_RDONLY | O_DIRECTORY);
    show_ok("open of a zombie's", fd);
    show("listing", syscall(SYS_getdents64, fd, text, sizeof text));
    show_ok("a file of a zombie's", open(proc_path(child, "net/dev"), O_RDONLY));
    waitpid(child, NULL, 0);
    stat("/proc/self/net/dev", &own);
    stat(proc_path(getpid(), "net/dev"), &st);
    show_fact("one file under both names", own.st_ino == st.st_ino && own.st_dev == st.st_dev);
    return 0;
}
