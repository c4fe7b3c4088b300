//! The way into user mode and back: `enter_user` and the stubs of all vectors and of SYSCALL.
//!
//! Owns the stack switch. User mode is a call that returns: `enter` saves the kernel's callee-saved registers on the task's
//! kernel stack and where that is; the next event from user mode stores the user's registers in the `UserRegs` that
//! `enter` was given and returns from it. There is one CPU, so both places are plain statics, reached without GS, whose base
//! stays the user's (SWAPGS traps on pvm).
//! Invariant: events from kernel mode (`cs & 3 == 0`) never come this way; `trap::kernel_trap` has them.

use super::super::context::{UserContext, UserRegs};
use super::super::{Trap, descriptors};
use super::{cpu, interrupt};
use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;

/// What `enter` returns after SYSCALL; other values are vectors.
const SYSCALL: u64 = 256;
const STUB_BYTES: u64 = 16;
const VECTOR_NMI: u64 = 2;
const VECTOR_PAGE_FAULT: u64 = 14;
const VECTOR_GENERAL_PROTECTION: u8 = 13;
const FIRST_INTERRUPT: u64 = 32;
const LOWER_HALF_END: u64 = 0x8000_0000_0000;
const UPPER_HALF: u64 = 0xffff_8000_0000_0000;

// One stub a vector, 16 bytes each. AT&T syntax, since the other reads `push vector` as a memory operand.
global_asm!(
    ".section .text.entry, \"ax\"",
    ".balign 16",
    ".globl entry_stubs",
    "entry_stubs:",
    ".set vector, 0",
    ".rept 256",
    ".balign 16",
    ".if (vector == 8) || (vector == 10) || (vector == 11) || (vector == 12) || (vector == 13) || (vector == 14)",
    ".elseif (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)",
    ".else",
    "pushq $0",
    ".endif",
    "pushq $vector",
    "jmp entry_common",
    ".set vector, vector + 1",
    ".endr",
    options(att_syntax)
);

global_asm!(
    ".section .bss.entry, \"aw\", @nobits",
    ".balign 8",
    "entry_kernel_rsp: .skip 8",
    "entry_user_regs: .skip 8",
    "entry_user_rsp: .skip 8",
    ".globl entry_error_code",
    "entry_error_code: .skip 8",
    ".section .text.entry, \"ax\"",
    // Stack: vector, error code, rip, cs, rflags, rsp, ss.
    ".globl entry_common",
    "entry_common:",
    "test byte ptr [rsp + 24], 3",
    "jz entry_from_kernel",
    "push rax",
    "mov rax, [rip + entry_user_regs]",
    "mov [rax + {r15}], r15",
    "mov [rax + {r14}], r14",
    "mov [rax + {r13}], r13",
    "mov [rax + {r12}], r12",
    "mov [rax + {rbp}], rbp",
    "mov [rax + {rbx}], rbx",
    "mov [rax + {r11}], r11",
    "mov [rax + {r10}], r10",
    "mov [rax + {r9}], r9",
    "mov [rax + {r8}], r8",
    "mov [rax + {rcx}], rcx",
    "mov [rax + {rdx}], rdx",
    "mov [rax + {rsi}], rsi",
    "mov [rax + {rdi}], rdi",
    "mov qword ptr [rax + {orig_rax}], -1",
    "pop qword ptr [rax + {rax}]",
    "pop rdx",
    "pop rcx",
    "mov [rip + entry_error_code], rcx",
    "pop qword ptr [rax + {rip}]",
    "pop qword ptr [rax + {cs}]",
    "pop qword ptr [rax + {rflags}]",
    "pop qword ptr [rax + {rsp}]",
    "pop qword ptr [rax + {ss}]",
    "mov rax, rdx",
    "entry_return:",
    "mov rsp, [rip + entry_kernel_rsp]",
    "cld",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".globl entry_syscall",
    ".balign 16",
    "entry_syscall:",
    "mov [rip + entry_user_rsp], rsp",
    "mov rsp, [rip + entry_user_regs]",
    "mov [rsp + {r15}], r15",
    "mov [rsp + {r14}], r14",
    "mov [rsp + {r13}], r13",
    "mov [rsp + {r12}], r12",
    "mov [rsp + {rbp}], rbp",
    "mov [rsp + {rbx}], rbx",
    "mov [rsp + {r11}], r11",
    "mov [rsp + {r10}], r10",
    "mov [rsp + {r9}], r9",
    "mov [rsp + {r8}], r8",
    "mov [rsp + {rax}], rax",
    "mov [rsp + {rcx}], rcx",
    "mov [rsp + {rdx}], rdx",
    "mov [rsp + {rsi}], rsi",
    "mov [rsp + {rdi}], rdi",
    "mov [rsp + {orig_rax}], rax",
    "mov [rsp + {rip}], rcx",
    "mov [rsp + {rflags}], r11",
    "mov rax, [rip + entry_user_rsp]",
    "mov [rsp + {rsp}], rax",
    "mov eax, {syscall}",
    "jmp entry_return",
    // The interrupted kernel code's registers, in the order of `trap::KernelFrame`.
    "entry_from_kernel:",
    "push rdi",
    "push rsi",
    "push rdx",
    "push rcx",
    "push rax",
    "push r8",
    "push r9",
    "push r10",
    "push r11",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov rdi, rsp",
    "mov rbp, rsp",
    "and rsp, -16",
    "cld",
    "call {kernel_trap}",
    "mov rsp, rbp",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "pop r11",
    "pop r10",
    "pop r9",
    "pop r8",
    "pop rax",
    "pop rcx",
    "pop rdx",
    "pop rsi",
    "pop rdi",
    "add rsp, 16",
    "iretq",
    r15 = const offset_of!(UserRegs, r15),
    r14 = const offset_of!(UserRegs, r14),
    r13 = const offset_of!(UserRegs, r13),
    r12 = const offset_of!(UserRegs, r12),
    rbp = const offset_of!(UserRegs, rbp),
    rbx = const offset_of!(UserRegs, rbx),
    r11 = const offset_of!(UserRegs, r11),
    r10 = const offset_of!(UserRegs, r10),
    r9 = const offset_of!(UserRegs, r9),
    r8 = const offset_of!(UserRegs, r8),
    rax = const offset_of!(UserRegs, rax),
    rcx = const offset_of!(UserRegs, rcx),
    rdx = const offset_of!(UserRegs, rdx),
    rsi = const offset_of!(UserRegs, rsi),
    rdi = const offset_of!(UserRegs, rdi),
    orig_rax = const offset_of!(UserRegs, orig_rax),
    rip = const offset_of!(UserRegs, rip),
    cs = const offset_of!(UserRegs, cs),
    rflags = const offset_of!(UserRegs, rflags),
    rsp = const offset_of!(UserRegs, rsp),
    ss = const offset_of!(UserRegs, ss),
    syscall = const SYSCALL,
    kernel_trap = sym super::trap::kernel_trap,
);

unsafe extern "C" {
    safe static entry_stubs: u8;
    static entry_error_code: u64;
    fn entry_syscall();
}

/// Where the CPU goes on vector `vector`.
pub(super) fn stub_address(vector: u16) -> u64 {
    &raw const entry_stubs as u64 + u64::from(vector) * STUB_BYTES
}

/// Where SYSCALL goes.
pub(super) fn syscall_address() -> u64 {
    entry_syscall as *const () as u64
}

/// Restores all of `regs`, runs user code and comes back with what ended it; `fast` says that SYSRET will do.
#[unsafe(naked)]
unsafe extern "C" fn enter(regs: *mut UserRegs, fast: bool) -> u64 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rip + entry_kernel_rsp], rsp",
        "mov [rip + entry_user_regs], rdi",
        "mov rsp, rdi",
        "test sil, sil",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rax",
        "pop rcx",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "lea rsp, [rsp + 8]",
        "jnz 2f",
        "iretq",
        "2:",
        "mov rsp, [rsp + 24]",
        "sysretq",
    )
}

/// Runs user code until the next trap. Interrupt handlers have run when it returns `Interrupt`.
///
/// The caller has loaded the thread's state (`load_user_state`) and address space.
pub fn enter_user(ctx: &mut UserContext) -> Trap {
    let fast = ctx.prepare_entry();
    if let Some(fault) = unreachable_rip(ctx.regs.rip) {
        return fault;
    }
    // SAFETY: `prepare_entry` left only what user code may have; `regs` stays borrowed until the return.
    let cause = unsafe { enter(&raw mut ctx.regs, fast) };
    match cause {
        SYSCALL => Trap::Syscall,
        FIRST_INTERRUPT..SYSCALL => {
            interrupt::handle(cause as u8);
            Trap::Interrupt
        }
        VECTOR_NMI => Trap::Interrupt,
        VECTOR_PAGE_FAULT => {
            let error = error_code();
            Trap::PageFault {
                address: cpu::read_cr2(),
                write: error & 2 != 0,
                fetch: error & 16 != 0,
                present: error & 1 != 0,
            }
        }
        vector => {
            Trap::Exception { vector: vector as u8, error: if has_error_code(vector) { error_code() } else { 0 } }
        }
    }
}

fn error_code() -> u64 {
    // SAFETY: written by the stub that ended `enter`; nothing has run since.
    unsafe { entry_error_code }
}

fn has_error_code(vector: u64) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

/// An address that user code cannot be at. IRETQ would fault on it in the kernel, so it is told here.
fn unreachable_rip(rip: u64) -> Option<Trap> {
    match rip {
        ..LOWER_HALF_END => None,
        UPPER_HALF.. => Some(Trap::PageFault { address: rip, write: false, fetch: true, present: false }),
        _ => Some(Trap::Exception { vector: VECTOR_GENERAL_PROTECTION, error: 0 }),
    }
}

const _: () = assert!(descriptors::USER_CODE & 3 == 3);
