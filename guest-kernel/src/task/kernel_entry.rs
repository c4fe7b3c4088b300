//! What a thread last came into the kernel with, for `/proc/PID/syscall`.
//!
//! A copy beside the saved registers: their lock is the lowest of all and cannot be taken where files are read.
//! Source: Linux 6.12 lib/syscall.c collect_syscall().

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::platform::UserRegs;

/// Registers at the last entry.
#[derive(Debug, Default)]
pub struct KernelEntry {
    number: AtomicU64,
    args: [AtomicU64; 6],
    stack_pointer: AtomicU64,
    instruction_pointer: AtomicU64,
}

/// One moment of a `KernelEntry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntrySnapshot {
    /// The system call; -1 for a trap of another kind.
    pub number: i32,
    /// Its arguments, or what was in their registers.
    pub args: [u64; 6],
    /// The program's stack pointer.
    pub stack_pointer: u64,
    /// Where the program goes on.
    pub instruction_pointer: u64,
}

impl KernelEntry {
    /// Notes an entry.
    pub(super) fn note(&self, regs: &UserRegs) {
        self.number.store(regs.orig_rax, Relaxed);
        for (slot, value) in self.args.iter().zip([regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9]) {
            slot.store(value, Relaxed);
        }
        self.stack_pointer.store(regs.rsp, Relaxed);
        self.instruction_pointer.store(regs.rip, Relaxed);
    }

    /// The last entry; the number is truncated as Linux does.
    pub fn snapshot(&self) -> EntrySnapshot {
        EntrySnapshot {
            number: self.number.load(Relaxed) as i32,
            args: core::array::from_fn(|at| self.args[at].load(Relaxed)),
            stack_pointer: self.stack_pointer.load(Relaxed),
            instruction_pointer: self.instruction_pointer.load(Relaxed),
        }
    }
}
