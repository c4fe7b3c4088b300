// What user code may not do to the CPU, one child a case: the parent prints how each ended, the same on any Linux.
// x86-64 only. Cases that end by a handler print the signal and its code.
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static void on_fault(int number, siginfo_t *info, void *context) {
    ucontext_t *user = context;
    // The address counts only where the CPU tells one.
    long address = number == SIGSEGV && info->si_code == 128 ? 0 : (long)info->si_addr;
    long at = (long)user->uc_mcontext.gregs[REG_RIP];
    dprintf(1, " signal %d code %d%s", number, info->si_code, address == 0 ? "" : address == at ? " at rip" : " at data");
    _exit(40);
}

static void catch_all(void) {
    static char stack[65536];
    stack_t alt = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alt, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    int numbers[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};
    for (int i = 0; i < 5; i++) sigaction(numbers[i], &action, NULL);
}

#define ONE(name, code) static void __attribute__((naked)) name(void) { asm("push %rbx;" code "; pop %rbx; ret"); }
ONE(do_cli, "cli")
ONE(do_sti, "sti")
ONE(do_hlt, "hlt")
ONE(do_in, "mov $0x60, %edx; in %dx, %al")
ONE(do_out, "mov $0xf4, %edx; xor %eax, %eax; out %eax, %dx")
ONE(do_out_imm, "outb %al, $0x80")
ONE(do_read_cr3, "mov %cr3, %rax")
ONE(do_write_cr3, "xor %eax, %eax; mov %rax, %cr3")
ONE(do_write_cr0, "xor %eax, %eax; mov %rax, %cr0")
ONE(do_write_cr4, "xor %eax, %eax; mov %rax, %cr4")
ONE(do_read_dr7, "mov %db7, %rax")
ONE(do_wrmsr, "mov $0xc0000082, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr")
ONE(do_wrmsr_pvm, "mov $0x4b564d10, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr")
ONE(do_rdmsr, "mov $0xc0000082, %ecx; rdmsr")
ONE(do_lgdt, "lgdt (%rsp)")
ONE(do_lidt, "lidt (%rsp)")
ONE(do_ltr, "mov $0x50, %eax; ltr %ax")
ONE(do_lldt, "xor %eax, %eax; lldt %ax")
ONE(do_swapgs, "swapgs")
ONE(do_invlpg, "invlpg (%rsp)")
ONE(do_invd, "invd")
ONE(do_wbinvd, "wbinvd")
ONE(do_clts, "clts")
ONE(do_sysret, "sysretq")
ONE(do_xsetbv, "xor %ecx, %ecx; mov $1, %eax; xor %edx, %edx; xsetbv")
ONE(do_int3, "int3")
ONE(do_int1, ".byte 0xf1")
ONE(do_int_d, "int $0x0d")
ONE(do_int_e, "int $0x0e")
ONE(do_int_2, "int $2")
ONE(do_int_8, "int $8")
ONE(do_int_30, "int $0x30")
ONE(do_int_ec, "int $0xec")
ONE(do_ud2, "ud2")
ONE(do_div, "xor %edx, %edx; xor %ecx, %ecx; mov $1, %eax; div %ecx")
ONE(do_load_ds, "mov $0x10, %eax; mov %eax, %ds")
ONE(do_load_ss, "mov $0x18, %eax; mov %eax, %ss")
ONE(do_load_ss_null, "xor %eax, %eax; mov %eax, %ss")
ONE(do_load_gs, "mov $0x50, %eax; mov %eax, %gs")
ONE(do_jump_kernel, "mov $0xffffffff80200000, %rax; jmp *%rax")
ONE(do_jump_direct, "mov $0xffff888000000000, %rax; jmp *%rax")
ONE(do_jump_hole, "mov $0x800000000000, %rax; jmp *%rax")
ONE(do_jump_top, "mov $0x7ffffffff000, %rax; jmp *%rax")
ONE(do_jump_zero, "xor %eax, %eax; jmp *%rax")
ONE(do_read_kernel, "mov $0xffffffff80200000, %rax; mov (%rax), %rax")
ONE(do_write_kernel, "mov $0xffffffff80200000, %rax; mov %rax, (%rax)")
ONE(do_read_direct, "mov $0xffff888000000000, %rax; mov (%rax), %rax")
ONE(do_read_hole, "mov $0x8000000000000000, %rax; mov (%rax), %rax")
ONE(do_write_zero, "xor %eax, %eax; mov %rax, (%rax)")
ONE(do_rsp_hole, "mov $0x800000000000, %rsp; push %rax")
ONE(do_rsp_kernel, "mov $0xffffffff80201000, %rsp; push %rax")
ONE(do_iret_kernel, "mov %rsp, %rcx; push $0x18; push %rcx; push $0x202; push $0x10; lea 1f(%rip), %rax; push %rax; iretq; 1:")
ONE(do_lret_kernel, "push $0x10; lea 1f(%rip), %rax; push %rax; lretq; 1:")
ONE(do_rdpmc, "xor %ecx, %ecx; rdpmc")
ONE(do_mxcsr, "movl $-1, -16(%rsp); ldmxcsr -16(%rsp)")
ONE(do_monitor, "mov %rsp, %rax; xor %ecx, %ecx; xor %edx, %edx; monitor")
ONE(do_nt_flag, "pushfq; orq $0x4000, (%rsp); popfq; mov $39, %eax; syscall; mov $24, %eax; syscall; pushfq; andq $~0x4000, (%rsp); popfq")
ONE(do_ac_flag, "pushfq; orq $0x40000, (%rsp); popfq; mov $39, %eax; syscall; mov $24, %eax; syscall; pushfq; andq $~0x40000, (%rsp); popfq")
ONE(do_ac_misaligned, "pushfq; orq $0x40000, (%rsp); popfq; mov -15(%rsp), %rax")
ONE(do_df_flag, "std; mov $39, %eax; syscall; mov $24, %eax; syscall; cld")
ONE(do_iopl_flag, "pushfq; orq $0x3000, (%rsp); popfq; pushfq; pop %rax; test $0x3000, %eax; jz 1f; ud2; 1:")
ONE(do_if_flag, "pushfq; andq $~0x200, (%rsp); popfq; pushfq; pop %rax; test $0x200, %eax; jnz 1f; ud2; 1:")
ONE(do_trap_flag, "pushfq; orq $0x100, (%rsp); popfq; nop")
ONE(do_iret_user, "mov %rsp, %rcx; push $0x2b; push %rcx; push $0x202; push $0x33; lea 1f(%rip), %rax; push %rax; iretq; 1:")
ONE(do_iret_if, "mov %rsp, %rcx; push $0x2b; push %rcx; push $0x3002; push $0x33; lea 1f(%rip), %rax; push %rax; iretq; 1:")
ONE(do_rsp_zero_call, "mov %rsp, %rbx; xor %esp, %esp; mov $39, %eax; syscall; mov %rbx, %rsp")
ONE(do_rsp_kernel_call, "mov %rsp, %rbx; mov $0xffffffff80201000, %rsp; mov $39, %eax; syscall; mov %rbx, %rsp")
ONE(do_rsp_hole_call, "mov %rsp, %rbx; mov $0x800000000000, %rsp; mov $39, %eax; syscall; mov $24, %eax; syscall; mov %rbx, %rsp")
ONE(do_rbp_hole, "push %rbp; mov $0x800000000000, %rbp; mov $24, %eax; syscall; pop %rbp")

static volatile int traps;
static void on_trap(int number) { (void)number; traps++; }

// Steps over system calls: the flag must neither stop in the kernel nor get lost.
static void do_trap_call(void) {
    struct sigaction action = {.sa_handler = on_trap};
    sigaction(SIGTRAP, &action, NULL);
    asm volatile("pushfq; orq $0x100, (%%rsp); popfq; mov $39, %%eax; syscall; nop; mov $24, %%eax; syscall; nop;"
                 "pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "rax", "rcx", "r11");
    dprintf(1, traps >= 6 ? " stepped" : " not stepped");
}

static void do_fs_kernel(void) {
    errno = 0;
    long result = syscall(SYS_arch_prctl, ARCH_SET_FS, 0xffff888000000000);
    dprintf(1, " %ld errno %d", result, errno);
}

static void do_gs_kernel(void) {
    errno = 0;
    long result = syscall(SYS_arch_prctl, ARCH_SET_GS, 0xffffffff80200000);
    dprintf(1, " %ld errno %d", result, errno);
    result = syscall(SYS_arch_prctl, ARCH_SET_GS, 0x7ffffffff000);
    dprintf(1, " %ld errno %d", result, errno);
    result = syscall(SYS_arch_prctl, ARCH_SET_GS, 0x7fffffffefff);
    dprintf(1, " %ld", result);
}

// With FSGSBASE the instruction takes any canonical address; one of user space outlives a switch.
static void do_wrgsbase(void) {
    uint64_t base = 0x7fff12345000, back = 0;
    asm volatile("wrgsbase %0" ::"r"(base));
    for (int i = 0; i < 50; i++) usleep(200);
    asm volatile("rdgsbase %0" : "=r"(back));
    dprintf(1, back == base ? " kept" : " lost");
    asm volatile("wrgsbase %0" ::"r"(0xffff888000000000));
    getppid();
}

static void do_wrgsbase_hole(void) {
    asm volatile("wrgsbase %0" ::"r"(0x800000000000));
}

static void do_syscall_end(void) {
    // SYSCALL as the last instruction below the end of user space cannot be: the page cannot be mapped.
    void *page = mmap((void *)0x7fffffffe000, 4096, 7, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) { dprintf(1, " no page"); return; }
    memcpy((char *)page + 4094, "\x0f\x05", 2);
    register long number asm("rax") = SYS_getpid;
    asm volatile("call *%1" : "+r"(number) : "r"((char *)page + 4094) : "rcx", "r11", "memory");
}

static const struct { const char *name; void (*run)(void); } cases[] = {
#define C(name) {#name, do_##name}
    C(cli), C(sti), C(hlt), C(in), C(out), C(out_imm), C(read_cr3), C(write_cr3), C(write_cr0), C(write_cr4), C(read_dr7),
    C(wrmsr), C(wrmsr_pvm), C(rdmsr), C(lgdt), C(lidt), C(ltr), C(lldt), C(swapgs), C(invlpg), C(invd), C(wbinvd), C(clts),
    C(sysret), C(xsetbv), C(int3), C(int_d), C(int_e), C(int_2), C(int_8), C(int_30), C(int_ec), C(ud2), C(div),
    C(load_ds), C(load_ss), C(load_ss_null), C(load_gs), C(jump_kernel), C(jump_direct), C(jump_hole), C(jump_top),
    C(jump_zero), C(read_kernel), C(write_kernel), C(read_direct), C(read_hole), C(write_zero), C(rsp_hole), C(rsp_kernel),
    C(iret_kernel), C(lret_kernel), C(rdpmc), C(mxcsr), C(monitor), C(nt_flag), C(ac_flag), C(ac_misaligned), C(df_flag),
    C(iopl_flag), C(if_flag), C(trap_flag), C(iret_user), C(iret_if), C(rsp_zero_call), C(rsp_kernel_call),
    C(rsp_hole_call), C(rbp_hole), C(trap_call), C(fs_kernel), C(gs_kernel), C(wrgsbase), C(wrgsbase_hole),
    C(syscall_end), C(int1),
};

int main(void) {
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int caught = 0; caught < 2; caught++) {
            fflush(stdout);
            dprintf(1, "%s%s:", cases[i].name, caught ? " caught" : "");
            pid_t child = fork();
            if (child == 0) {
                alarm(5);
                if (caught) catch_all();
                cases[i].run();
                _exit(0);
            }
            int status;
            waitpid(child, &status, 0);
            if (WIFSIGNALED(status)) dprintf(1, " killed by %d\n", WTERMSIG(status));
            else dprintf(1, " exit %d\n", WEXITSTATUS(status));
        }
    }
    return 0;
}
