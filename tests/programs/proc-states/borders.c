/* Where arguments and environment lie, moved by PR_SET_MM: what cmdline and environ read then. */
#include "state.h"
#include <linux/prctl.h>

static void show_own_cmdline(const char *what)
{
    show_file(what, "/proc/self/cmdline");
}

/* Moves the borders of arguments and environment: needs no privilege, unlike the single ones. */
static long set_borders(char *arg_start, char *arg_end, char *env_start, char *env_end)
{
    struct prctl_mm_map map = { 0 };
    pid_t pid = getpid();
    map.start_code = stat_number(pid, 26), map.end_code = stat_number(pid, 27);
    map.start_data = stat_number(pid, 45), map.end_data = stat_number(pid, 46);
    map.start_brk = stat_number(pid, 47), map.brk = (uintptr_t)sbrk(0);
    map.start_stack = stat_number(pid, 28);
    map.arg_start = (uintptr_t)arg_start, map.arg_end = (uintptr_t)arg_end;
    map.env_start = (uintptr_t)env_start, map.env_end = (uintptr_t)env_end;
    map.exe_fd = -1;
    return prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0);
}

static char *new_arguments(void)
{
    char *place = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(place, 'A', 30);
    memset(place + 30, 'E', 30);
    return place;
}

STATE(cmdline_of_arguments_put_elsewhere)
{
    char *place = new_arguments();
    place[29] = 0, place[59] = 0;
    show_ok("PR_SET_MM_MAP", set_borders(place, place + 30, place + 30, place + 60));
    show_own_cmdline("cmdline");
    show_file("environ", "/proc/self/environ");
    show_fact("stat shows where", stat_number(getpid(), 48) == (uintptr_t)place && stat_number(getpid(), 51) == (uintptr_t)place + 60);
}

STATE(cmdline_title_in_arguments_put_elsewhere)
{
    char *place = new_arguments();
    place[45] = 0;
    show_ok("PR_SET_MM_MAP", set_borders(place, place + 30, place + 30, place + 60));
    show_own_cmdline("environment follows");
    show_ok("a gap of one byte", set_borders(place, place + 30, place + 31, place + 60));
    show_own_cmdline("environment does not follow");
    show_ok("environment before", set_borders(place + 30, place + 60, place, place + 30));
    show_own_cmdline("environment before the arguments");
}

STATE(cmdline_with_an_empty_environment_behind)
{
    char *place = new_arguments();
    show_ok("env_end == env_start", set_borders(place, place + 30, place + 30, place + 30));
    show_own_cmdline("no environment to run into");
    show_file("environ", "/proc/self/environ");
}

STATE(cmdline_with_env_end_moved_into_the_title)
{
    char *place = new_arguments();
    show_ok("env_end within", set_borders(place, place + 30, place + 30, place + 40));
    show_own_cmdline("the environment's end ends the title");
}

STATE(cmdline_of_no_length)
{
    char *place = new_arguments();
    show_ok("arg_start == arg_end", set_borders(place, place, place, place + 30));
    show_own_cmdline("cmdline");
    show_ok("arg_start > arg_end", set_borders(place + 30, place, place, place + 30));
    show_own_cmdline("cmdline");
}

STATE(borders_of_arguments_that_are_refused)
{
    char *place = new_arguments();
    struct prctl_mm_map map = { 0 };
    show_ok("below the lowest address", set_borders((char *)16, place + 30, place + 30, place + 60));
    show_ok("in the kernel's half", set_borders(place, place + 30, place + 30, (char *)-4096l));
    show_ok("where nothing is mapped", set_borders(place - (1l << 40), place - (1l << 40) + 30, place + 30, place + 60));
    show_ok("too short a structure", prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map - 1, 0));
    show_ok("all zeros", prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0));
    unsigned size = 0;
    show_ok("its size", prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0));
    show("bytes", size);
    show_ok("a fifth argument", prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 1));
}
