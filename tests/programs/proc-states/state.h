/* The states that /proc is compared in: how a file declares them, and what they share.
 *
 * A STATE is a function that runs in a process of its own, in an empty directory of its own, brings that process or a child into a state
 * and prints what /proc says of it. A ROLE is what the program does instead after a state has executed it anew. Both register themselves.
 */
#ifndef STATE_H
#define STATE_H
#include "../check.h"
#include <dirent.h>
#include <pthread.h>

struct state {
    const char *name;
    void (*run)(void);
};

#define REGISTER(list, id)                                                                   \
    static void id(void);                                                                    \
    static const struct state id##_entry = { #id, id };                                      \
    static const struct state *const id##_link __attribute__((used, no_reorder, section(#list))) = &id##_entry; \
    static void id(void)
/* One case of the comparison: its name must say what is seen. */
#define STATE(id) REGISTER(states, id)
/* What the program does when it was executed by exec_role() or with "role:NAME" as its name. */
#define ROLE(id) REGISTER(roles, id)

/* Room for the largest file that a state reads. */
extern char text[1 << 20];
/* The arguments and the environment of a role. */
extern int role_argc;
extern char **role_argv, **role_envp;
/* The directory that the state runs in. */
extern char scratch[64];

/* Ends a state that this kernel or this user cannot be brought into; the harness counts it as not run. */
void not_run(const char *reason) __attribute__((noreturn));
/* Executes this program anew in the given role; with NULL arguments they are { ROLE, NULL }. */
void exec_role(const char *role, char **args, char **env);
/* The same in a child, which is waited for. */
void role_in_child(const char *role, char **args, char **env);

/* A child that has called `prepare` (which may be NULL) and now sleeps for good. */
pid_t child_after(void (*prepare)(void));
/* Ends a child for good; leaves it a zombie. */
void end(pid_t child);
void make_zombie(pid_t child);

/* The first process of those with the smallest numbers that is a thread of the kernel; ends the state without one. */
pid_t kernel_thread(void);

/* Prints bytes as show_bytes does, but with the state's directory as SCRATCH. */
void show_text(const char *what, const char *bytes, ssize_t length);
/* Prints what a link leads to, in the same way. */
void show_link(const char *what, const char *path);
/* Prints "WHAT: WORD", where the word is an errno's name, "end" or "content". */
void show_read(const char *what, ssize_t length);
/* Opens, reads and closes a file and prints "WHAT: open ERRNO" or how reading went. */
void show_open_read(const char *what, const char *path);
/* Writes a string to a file through a descriptor of its own and prints the result. */
void show_write(const char *path, const char *bytes, size_t length);
/* Prints the line of a file that starts with `prefix`. */
void show_line(const char *what, const char *path, const char *prefix);

/* `pages` pages of address space between two pages without access: what is put there merges with no neighbour outside. */
char *region(unsigned pages);
/* Prints the areas of /proc/self/maps that touch a region, by pages from its start: "0-2 rw-p 0 - NAME". */
void show_areas(const char *what, const char *start, unsigned pages);
/* A line of smaps of the area that holds an address, as a number; "VmFlags" as text. */
long smaps_kb(pid_t pid, const char *address, const char *key);
const char *vm_flags(pid_t pid, const char *address);
/* Prints the named lines of smaps of that area: "Rss 4 Pss 4". */
void show_smaps(const char *what, pid_t pid, const char *address, const char *keys);

/* A new file of `length` bytes, each 'a', open for reading and writing. */
int file_of(const char *name, size_t length);
#endif
