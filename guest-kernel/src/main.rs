//! The kernel image: its two entry points; on the host an empty stub, so that the workspace stays whole.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("guest-kernel runs only in a VM: build it with --target x86_64-unknown-none");
    std::process::exit(2);
}

/// Entry in long mode, the image mapped at its link address, `rbx` the physical address of `hvm_start_info`.
#[cfg(target_os = "none")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.boot")]
unsafe extern "C" fn _start64() -> ! {
    core::arch::naked_asm!(
        "cld",
        "lea rsp, [rip + boot_stack_top]",
        "xor ebp, ebp",
        "mov rdi, rbx",
        "call {start}",
        "ud2",
        start = sym guest_kernel::boot::start,
    )
}

// The stack of boot, later of the idle thread: 16 KiB, aligned to its size as all kernel stacks are.
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".section .bss.boot_stack, \"aw\", @nobits",
    ".balign 0x4000",
    ".skip 0x4000",
    ".globl boot_stack_top",
    "boot_stack_top:",
);

// PVH (Xen's x86/HVM direct boot ABI) enters `_start32` at its physical address in flat 32-bit mode without paging, `ebx` as
// above. The tables made here map the first GiB at 0 and at -2 GiB.
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".section .note.Xen, \"a\", @note",
    ".balign 4",
    ".long 4, 8, 18",
    ".asciz \"Xen\"",
    ".quad _start32 - 0xffffffff80000000",
    ".section .bss.pvh, \"aw\", @nobits",
    ".balign 0x1000",
    "pvh_pml4: .skip 0x1000",
    "pvh_pdpt: .skip 0x1000",
    "pvh_pd: .skip 0x1000",
    ".section .data.pvh, \"aw\"",
    ".balign 8",
    "pvh_gdt: .quad 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
    "pvh_gdt_pointer: .word 31",
    ".long pvh_gdt - 0xffffffff80000000",
    ".section .text.boot, \"ax\"",
    ".code32",
    ".globl _start32",
    "_start32:",
    "cld",
    "movl $(pvh_pd - 0xffffffff80000000), %edi",
    "movl $0x83, %eax",
    "movl $512, %ecx",
    "1:",
    "movl %eax, (%edi)",
    "movl $0, 4(%edi)",
    "addl $0x200000, %eax",
    "addl $8, %edi",
    "decl %ecx",
    "jnz 1b",
    "movl $(pvh_pd - 0xffffffff80000000 + 3), %eax",
    "movl %eax, (pvh_pdpt - 0xffffffff80000000)",
    "movl %eax, (pvh_pdpt - 0xffffffff80000000 + 510 * 8)",
    "movl $(pvh_pdpt - 0xffffffff80000000 + 3), %eax",
    "movl %eax, (pvh_pml4 - 0xffffffff80000000)",
    "movl %eax, (pvh_pml4 - 0xffffffff80000000 + 511 * 8)",
    // PAE, OSFXSR, OSXMMEXCPT.
    "movl $0x620, %eax",
    "movl %eax, %cr4",
    "movl $(pvh_pml4 - 0xffffffff80000000), %eax",
    "movl %eax, %cr3",
    // EFER: SCE, LME, NXE.
    "movl $0xc0000080, %ecx",
    "rdmsr",
    "orl $0x901, %eax",
    "wrmsr",
    // PG, AM, WP, NE, ET, MP, PE.
    "movl $0x80050033, %eax",
    "movl %eax, %cr0",
    "lgdt (pvh_gdt_pointer - 0xffffffff80000000)",
    "ljmp $0x10, $(2f - 0xffffffff80000000)",
    ".code64",
    "2:",
    "movl $0x18, %eax",
    "movl %eax, %ss",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %ebx, %ebx",
    "movq $_start64, %rax",
    "jmp *%rax",
    options(att_syntax)
);
