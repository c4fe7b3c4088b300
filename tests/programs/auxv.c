/* The auxiliary vector: on the stack, by getauxval(3), and in /proc/self/auxv. */
#include "check.h"
#include <elf.h>
#include <sys/auxv.h>

static Elf64_auxv_t saved[64];

int main(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)argv;
    char **end = envp;
    while (*end)
        end++;
    Elf64_auxv_t *stack = (Elf64_auxv_t *)(end + 1);
    ssize_t length = read_file("/proc/self/auxv", (char *)saved, sizeof saved);
    show_fact("whole pairs", length > 0 && length % 16 == 0);
    show_fact("ends with AT_NULL", saved[length / 16 - 1].a_type == AT_NULL);
    show_fact("it is what the stack has", memcmp(stack, saved, length) == 0);
    show_fact("page size", getauxval(AT_PAGESZ) == PAGE);
    show_fact("ticks", getauxval(AT_CLKTCK) == 100);
    show_fact("users", getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid() && getauxval(AT_GID) == getgid() && getauxval(AT_EGID) == getegid());
    show_fact("not secure", getauxval(AT_SECURE) == 0);
    show_fact("platform", getauxval(AT_PLATFORM) && strcmp((char *)getauxval(AT_PLATFORM), "x86_64") == 0);
    char exe[512];
    ssize_t name = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[name < 0 ? 0 : name] = 0;
    show_fact("name", getauxval(AT_EXECFN) && strcmp(strrchr((char *)getauxval(AT_EXECFN), '/'), strrchr(exe, '/')) == 0);
    show_fact("random bytes", getauxval(AT_RANDOM) != 0);
    const Elf64_Phdr *headers = (const Elf64_Phdr *)getauxval(AT_PHDR);
    show_fact("program headers", headers && getauxval(AT_PHENT) == sizeof *headers && getauxval(AT_PHNUM) > 2);
    int loads = 0;
    for (unsigned long i = 0; headers && i < getauxval(AT_PHNUM); i++)
        loads += headers[i].p_type == PT_LOAD;
    show("segments", loads);
    show_fact("entry lies in the code", getauxval(AT_ENTRY) >= stat_number(getpid(), 26) && getauxval(AT_ENTRY) < stat_number(getpid(), 27));
    show("no interpreter", getauxval(AT_BASE));
    show("no flags", getauxval(AT_FLAGS));
    memset(stack, 0xff, 16);
    static Elf64_auxv_t again[64];
    show_fact("the kernel's own copy does not change", read_file("/proc/self/auxv", (char *)again, sizeof again) == length && !memcmp(again, saved, length));
    return 0;
}
