//! `kvm_pvm`: a hypervisor that runs the kernel at hardware privilege 3 and traps what is privileged.
//!
//! Owns the page shared with the hypervisor: byte 0 is the interrupt flag of supervisor mode (CLI, STI and PUSHF do not
//! touch it), byte 1 says that an interrupt waits. The hypervisor clears byte 0 at delivery and IRETQ sets it from the
//! frame. Storing 1 delivers nothing by itself: the next instruction that traps does.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

/// Reads as "PVM" on such a host.
pub(super) const MSR_SIGNATURE: u32 = 0x4b56_4d11;
/// Its value.
pub(super) const SIGNATURE: u64 = 0x4d_5650;
/// TSC frequency in kHz.
pub(super) const MSR_TSC_KHZ: u32 = 0x4b56_4d13;

static FLAGS: AtomicUsize = AtomicUsize::new(0);

/// Tells where the kernel sees the shared page.
pub(super) fn set_shared_page(page: *mut u8) {
    FLAGS.store(page as usize, Relaxed);
}

fn flag(index: usize) -> &'static AtomicU8 {
    let page = FLAGS.load(Relaxed) as *mut AtomicU8;
    debug_assert!(!page.is_null());
    // SAFETY: `set_shared_page` ran at boot with a page that stays mapped; both flags are bytes that the hypervisor
    // changes only while this CPU is stopped in it.
    unsafe { &*page.add(index) }
}

/// Takes what is pending, then off again.
pub(super) fn poll() {
    let (enabled, pending) = (flag(0), flag(1));
    if pending.load(Relaxed) == 0 {
        return;
    }
    enabled.store(1, Relaxed);
    // SAFETY: STI traps and has no other effect; what is pending is then delivered within a few instructions, which
    // the PAUSEs are there for.
    unsafe { asm!("sti", "pause", "pause", "pause", "pause", "pause", "pause", "pause", "pause") }
    enabled.store(0, Relaxed);
}

global_asm!(
    ".section .text.pvm_halt, \"ax\"",
    ".globl pvm_halt, pvm_halt_begin, pvm_halt_end",
    "pvm_halt:",
    "mov byte ptr [rdi], 1",
    "pvm_halt_begin:",
    "hlt",
    "pvm_halt_end:",
    "mov byte ptr [rdi], 0",
    "ret",
);

unsafe extern "C" {
    fn pvm_halt(flag: *const AtomicU8);
    safe static pvm_halt_begin: u8;
    safe static pvm_halt_end: u8;
}

/// Sleeps until an interrupt was taken (or for no reason).
pub(super) fn halt() {
    // SAFETY: the flag is the shared page's byte 0; handlers are installed.
    unsafe { pvm_halt(flag(0)) }
}

/// An interrupt between the flag's store and HLT would be slept over: where to go on instead, past the HLT.
pub(super) fn resume_address(rip: u64) -> u64 {
    let (begin, end) = (&raw const pvm_halt_begin as u64, &raw const pvm_halt_end as u64);
    if (begin..end).contains(&rip) { end } else { rip }
}
