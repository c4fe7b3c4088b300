/* Runs the states, each in a child and between two lines that name it and tell its end.
 *
 *     proc-states             all of them
 *     proc-states WORD...     those whose name has one of the words in it
 *     proc-states --list      their names
 */
#include "state.h"
#include <ftw.h>
#include <linux/capability.h>

char text[1 << 20];
int role_argc;
char **role_argv, **role_envp;
char scratch[64];

extern const struct state *const __start_states[], *const __stop_states[];
extern const struct state *const __start_roles[], *const __stop_roles[];

/* The status of a state that could not be run here. */
#define NOT_RUN 77

void not_run(const char *reason)
{
    printf("not run: %s\n", reason);
    exit(NOT_RUN);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path), 0;
}

static void run(const struct state *state)
{
    printf("=== %s\n", state->name);
    strcpy(scratch, "/tmp/proc-states-XXXXXX");
    mkdir("/tmp", 01777);
    if (!mkdtemp(scratch)) {
        printf("no directory: %s\n", error_name());
        return;
    }
    pid_t child = split();
    if (child == 0) {
        setpgid(0, 0);
        alarm(10);
        if (chdir(scratch) < 0)
            printf("chdir: %s\n", error_name());
        state->run();
        exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    /* What it left running must not print into the next one. */
    kill(-child, SIGKILL);
    while (wait(NULL) > 0)
        ;
    nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    show_wait("---", status);
}

/* Gives up what the root user of a container often lacks, so that both kernels see the same user. */
static void drop_resource_privilege(void)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct sets[2];
    prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE);
    if (syscall(SYS_capget, &header, sets) < 0)
        return;
    unsigned bit = 1u << CAP_SYS_RESOURCE;
    sets[0].effective &= ~bit, sets[0].permitted &= ~bit, sets[0].inheritable &= ~bit;
    syscall(SYS_capset, &header, sets);
}

int main(int argc, char **argv, char **envp)
{
    const char *role = getenv("ROLE");
    if (!role && argc > 0 && !strncmp(argv[0], "role:", 5))
        role = argv[0] + 5;
    if (role) {
        role_argc = argc, role_argv = argv, role_envp = envp;
        for (const struct state *const *one = __start_roles; one < __stop_roles; one++)
            if (!strcmp((*one)->name, role)) {
                (*one)->run();
                return 0;
            }
        printf("no role %s\n", role);
        return 1;
    }
    /* The first process of a machine is like no other: a group of its children counts as orphaned, and nobody can end it. */
    pid_t runner = split();
    if (runner) {
        int status = 0;
        waitpid(runner, &status, 0);
        return status != 0;
    }
    /* Orphans of a state come here, so that they are gone before the next one. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    syscall(SYS_close_range, 3, ~0u, 0);
    drop_resource_privilege();
    for (const struct state *const *one = __start_states; one < __stop_states; one++) {
        int is_wanted = argc < 2;
        for (int i = 1; i < argc; i++)
            is_wanted |= strstr((*one)->name, argv[i]) != NULL;
        if (argc == 2 && !strcmp(argv[1], "--list"))
            puts((*one)->name);
        else if (is_wanted)
            run(*one);
    }
    return 0;
}
