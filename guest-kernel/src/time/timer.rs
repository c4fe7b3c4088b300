//! The one-shot timer that all waits share.
//!
//! Owns the deadline in force and who is told. What waits for what is the scheduler's.

use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed};

const NEVER: u64 = u64::MAX;

/// The deadline that the hardware has, in ns of the monotonic clock.
static PROGRAMMED: AtomicU64 = AtomicU64::new(NEVER);
static HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Asks for one interrupt at `deadline_ns` of the monotonic clock (at once when that has passed), or for none.
pub fn set_timer(deadline_ns: Option<u64>) {
    let deadline = deadline_ns.unwrap_or(NEVER);
    // Writing the hardware costs microseconds where it traps.
    if PROGRAMMED.swap(deadline, Relaxed) == deadline {
        return;
    }
    #[cfg(not(target_os = "none"))]
    crate::platform::fake::set_timer_ns(deadline_ns);
    #[cfg(target_os = "none")]
    crate::platform::x86::lapic::arm(deadline_ns);
}

/// Names the function that runs, with interrupts off, each time the timer fires.
pub fn set_timer_handler(handler: fn()) {
    HANDLER.store(handler as *mut (), Relaxed);
}

/// The timer's interrupt.
#[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "tests have no interrupts"))]
pub(crate) fn fired() {
    PROGRAMMED.store(NEVER, Relaxed);
    let handler = HANDLER.load(Relaxed);
    if handler.is_null() {
        return;
    }
    // SAFETY: only `set_timer_handler` stores here, and it stores a `fn()`.
    let handler: fn() = unsafe { core::mem::transmute(handler) };
    handler();
}
