/* CPU time, start time and clocks: what passes in the program is what /proc says has passed. */
#include "check.h"
#include <poll.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>

static double now(clockid_t clock)
{
    struct timespec time;
    if (clock_gettime(clock, &time) < 0)
        return -1;
    return time.tv_sec + time.tv_nsec / 1e9;
}

static volatile sig_atomic_t alarms;
static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

static double uptime(void)
{
    char text[100] = "";
    read_file("/proc/uptime", text, sizeof text);
    return strtod(text, NULL);
}

int main(void)
{
    pid_t own = getpid();
    double start = now(CLOCK_MONOTONIC);
    show_fact("monotonic rises", now(CLOCK_MONOTONIC) >= start);
    show_fact("uptime is the boot clock", uptime() <= now(CLOCK_BOOTTIME) && uptime() > now(CLOCK_BOOTTIME) - 1);
    struct sysinfo info;
    show_ok("sysinfo", sysinfo(&info));
    show_fact("sysinfo has the same uptime", info.uptime >= (long)uptime() - 1 && info.uptime <= (long)uptime() + 1);
    struct timeval day;
    gettimeofday(&day, NULL);
    show_fact("real time is after 2025", now(CLOCK_REALTIME) > 1735689600.0);
    show_fact("gettimeofday is the same clock", now(CLOCK_REALTIME) - day.tv_sec < 2);
    show_fact("time is the same clock", now(CLOCK_REALTIME) - time(NULL) < 2);
    show_fact("coarse is close", now(CLOCK_MONOTONIC) - now(CLOCK_MONOTONIC_COARSE) < 1);
    show("an unknown clock", clock_gettime(99, &(struct timespec){ 0 }));
    struct timespec resolution;
    show_ok("clock_getres", clock_getres(CLOCK_MONOTONIC, &resolution));
    printf("resolution %ld ns\n", resolution.tv_nsec);

    double slept = now(CLOCK_MONOTONIC);
    show_ok("nanosleep of 50 ms", nanosleep(&(struct timespec){ 0, 50000000 }, NULL));
    slept = now(CLOCK_MONOTONIC) - slept;
    show_fact("sleeps at least that long", slept >= 0.05);
    show_fact("and not much longer", slept < 5);
    show("nanosleep of nonsense", nanosleep(&(struct timespec){ 0, 2000000000 }, NULL));
    slept = now(CLOCK_MONOTONIC);
    show("poll of nothing for 30 ms", poll(NULL, 0, 30));
    show_fact("polls at least that long", now(CLOCK_MONOTONIC) - slept >= 0.03);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    show("clock_nanosleep to a point", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
    show_fact("it has come", now(CLOCK_MONOTONIC) >= until.tv_sec + until.tv_nsec / 1e9);

    signal(SIGALRM, on_alarm);
    struct itimerval timer = { { 0, 0 }, { 0, 20000 } };
    show_ok("setitimer", setitimer(ITIMER_REAL, &timer, NULL));
    struct timespec left = { 0, 0 };
    show("a sleep that an alarm ends", nanosleep(&(struct timespec){ 5, 0 }, &left));
    show_fact("the rest is told", left.tv_sec == 4 && left.tv_nsec > 0);
    show("alarms", alarms);
    alarm(100);
    show("alarm tells the rest", alarm(0));
    show("no alarm left", alarm(0));

    /* A third of a second of work, most of it in user mode. */
    double cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    volatile unsigned long spin = 0;
    while (now(CLOCK_PROCESS_CPUTIME_ID) - cpu < 0.3)
        for (int i = 0; i < 100000; i++)
            spin++;
    struct tms ticks;
    times(&ticks);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    unsigned long user = stat_number(own, 14), system = stat_number(own, 15);
    show_fact("stat has counted the work", user + system >= 29 && user + system < 300);
    show_fact("most of it is user time", user > system);
    show_fact("times agrees", labs((long)(ticks.tms_utime + ticks.tms_stime) - (long)(user + system)) <= 2);
    long used = (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 100 + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 10000;
    show_fact("getrusage agrees", labs(used - (long)(user + system)) <= 2);
    show_fact("no child so far", ticks.tms_cutime == 0 && stat_number(own, 16) == 0);

    pid_t child = split();
    if (child == 0) {
        double from = now(CLOCK_PROCESS_CPUTIME_ID);
        if (from > 0.1)
            puts("a child starts with CPU time of its parent");
        while (now(CLOCK_PROCESS_CPUTIME_ID) - from < 0.2)
            spin++;
        _exit(0);
    }
    unsigned long born = stat_number(child, 22);
    show_fact("a child starts now", born <= uptime() * 100 + 2 && born + 200 >= uptime() * 100);
    show_fact("not before its parent", born >= stat_number(own, 22));
    reap("child", child);
    unsigned long waited = stat_number(own, 16) + stat_number(own, 17);
    show_fact("the time of a reaped child is its parent's", waited >= 19 && waited < 300);
    show_fact("its faults too", stat_number(own, 11) > 0);
    getrusage(RUSAGE_CHILDREN, &usage);
    used = usage.ru_utime.tv_sec * 100 + usage.ru_utime.tv_usec / 10000 + usage.ru_stime.tv_sec * 100 + usage.ru_stime.tv_usec / 10000;
    show_fact("getrusage of children agrees", labs(used - (long)waited) <= 2);
    return 0;
}
