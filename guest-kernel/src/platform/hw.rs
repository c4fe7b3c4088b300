//! Hardware (VMX, SVM or emulated): the CPU's own interrupt flag.

use core::arch::asm;

/// Takes what is pending, then off again.
pub(super) fn poll() {
    // SAFETY: handlers are installed and use only what kernel code may at a poll point; STI takes effect after the NOP.
    unsafe { asm!("sti", "nop", "nop", "cli") }
}

/// Sleeps until an interrupt was taken. STI's shadow makes the pair atomic.
pub(super) fn halt() {
    // SAFETY: as in `poll`.
    unsafe { asm!("sti", "hlt", "cli") }
}
