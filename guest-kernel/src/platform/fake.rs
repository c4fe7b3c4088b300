//! The platform of `cargo test` on the host: RAM and a settable clock, no user mode, no devices.
//!
//! Owns the test RAM's base and the clock. What cannot be on the host panics with its name.

use super::{ShutdownKind, Trap, UserContext};
use crate::phys::PhysAddr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};
use procfs_core::Errno;

static RAM: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static CLOCK_NS: AtomicU64 = AtomicU64::new(0);
static TIMER_NS: AtomicU64 = AtomicU64::new(u64::MAX);

pub(crate) fn set_ram(base: *mut u8) {
    RAM.store(base, Relaxed);
}

pub(crate) fn direct_map_ptr(phys: u64) -> *mut u8 {
    let offset = usize::try_from(phys).expect("test RAM is small");
    RAM.load(Relaxed).wrapping_add(offset)
}

pub(crate) fn leave_address_space(_root: PhysAddr) {}

/// Sets what `time::monotonic_ns` returns.
pub fn set_clock_ns(now_ns: u64) {
    CLOCK_NS.store(now_ns, Relaxed);
}

pub(crate) fn clock_ns() -> u64 {
    CLOCK_NS.load(Relaxed)
}

pub(crate) fn set_timer_ns(deadline_ns: Option<u64>) {
    TIMER_NS.store(deadline_ns.unwrap_or(u64::MAX), Relaxed);
}

/// The deadline last given to `time::set_timer`.
pub fn timer_ns() -> Option<u64> {
    let deadline = TIMER_NS.load(Relaxed);
    (deadline != u64::MAX).then_some(deadline)
}

/// Not on the host.
///
/// # Panics
/// Always.
pub fn enter_user(_ctx: &mut UserContext) -> Trap {
    panic!("enter_user: the host has no user mode of ours");
}

/// Does nothing: the host's state is not ours.
pub fn save_user_state(_ctx: &mut UserContext) {}

/// Does nothing, as `save_user_state`.
pub fn load_user_state(_ctx: &UserContext) {}

/// Does nothing, as `save_user_state`.
pub fn write_fs_base(_base: u64) {}

/// Does nothing, as `save_user_state`.
pub fn write_gs_base(_base: u64) {}

/// Does nothing: page tables are data here.
pub fn load_address_space(_root: PhysAddr) {}

/// Does nothing, as `load_address_space`.
pub fn flush_tlb_page(_address: u64) {}

/// Does nothing, as `load_address_space`.
pub fn flush_tlb_all() {}

/// Returns at once, as a spurious wake-up.
pub fn idle() {}

/// Does nothing: there are no interrupts.
pub fn poll_interrupts() {}

/// Accepts and forgets the handler.
///
/// # Errors
/// Never; the type is the machine's.
pub fn register_irq(_gsi: u32, _device: &'static str, _handler: fn(usize), _arg: usize) -> Result<(), Errno> {
    Ok(())
}

/// No line has a handler.
pub fn for_each_line(_visit: impl FnMut(u32, u64, &'static str)) {}

/// Nothing has interrupted.
pub fn local_interrupts() -> super::LocalInterrupts {
    super::LocalInterrupts::default()
}

/// There are no devices.
pub fn map_mmio(_phys: u64, _len_bytes: u64) -> Option<*mut u8> {
    None
}

/// The physical address behind a pointer into the test RAM.
pub fn phys_of_mut(pointer: *mut u8) -> Option<PhysAddr> {
    let offset = (pointer as usize).checked_sub(RAM.load(Relaxed) as usize)?;
    Some(PhysAddr(offset as u64))
}

/// The tests run the hardware's rules.
pub fn is_pvm() -> bool {
    false
}

/// As `is_pvm`.
pub fn kernel_user_bit() -> bool {
    false
}

/// Not on the host.
///
/// # Panics
/// Always.
pub fn shutdown(kind: ShutdownKind, status: u8) -> ! {
    panic!("shutdown: {kind:?} {status}");
}

/// The tests have no processor to tell of.
pub fn cpu_facts() -> super::CpuFacts {
    super::CpuFacts::default()
}

/// The tests have no source of randomness.
pub fn hardware_random() -> Option<u64> {
    None
}

/// There are no page tables of the kernel's own.
pub fn kernel_root() -> PhysAddr {
    PhysAddr(0)
}
