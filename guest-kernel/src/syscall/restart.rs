//! What becomes of a system call that a signal interrupted.
//!
//! Linux has four internal error numbers for this (include/linux/errno.h); here the choice is a column of the call table,
//! so that no internal number can reach user space.

use crate::platform::UserContext;

/// How an interrupted call goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// `ERESTARTSYS`: again after a handler with `SA_RESTART`, and when no handler ran.
    IfAsked,
    /// `ERESTARTNOHAND` and `ERESTART_RESTARTBLOCK`: again only when no handler ran.
    NoHandler,
}

/// Bytes of the SYSCALL instruction.
const SYSCALL_BYTES: u64 = 2;

impl Restart {
    /// Points the context at the system call again.
    pub fn rewind(self, context: &mut UserContext) {
        context.regs.rax = context.regs.orig_rax;
        context.regs.rip = context.regs.rip.wrapping_sub(SYSCALL_BYTES);
        context.force_iret();
    }
}
