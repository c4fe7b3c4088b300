//! Device interrupts: vectors, their handlers, idling.
//!
//! Owns the handler table. Handlers run with interrupts off, on the stack that was interrupted: user mode's (then in
//! `enter_user`) or an idling kernel thread's; they may take locks, since no kernel code with a lock held is interrupted.
//! Invariant: the vector of line `gsi` is `FIRST_DEVICE + gsi`.

use super::super::{LocalInterrupts, hw, pvm};
use super::{ioapic, is_pvm, lapic};
use crate::sync::{Mutex, Rank};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use procfs_core::Errno;

/// The timer of the local APIC.
pub(super) const VECTOR_TIMER: u8 = 0xec;
/// What the local APIC sends when an interrupt vanished; it wants no acknowledgement.
pub(super) const VECTOR_SPURIOUS: u8 = 0xff;
const FIRST_DEVICE: u8 = 0x30;

#[derive(Clone, Copy)]
struct Handler {
    run: fn(usize),
    arg: usize,
    device: &'static str,
}

const LINES: usize = ioapic::LINES as usize;
static HANDLERS: Mutex<[Option<Handler>; LINES]> = Mutex::new(Rank::IRQ_TABLE, [None; LINES]);

static LINE_COUNTS: [AtomicU64; LINES] = [const { AtomicU64::new(0) }; LINES];
static TIMER_COUNT: AtomicU64 = AtomicU64::new(0);
static SPURIOUS_COUNT: AtomicU64 = AtomicU64::new(0);

/// How often each line that has a handler has interrupted: `visit(gsi, count, device)` in order.
pub fn for_each_line(mut visit: impl FnMut(u32, u64, &'static str)) {
    let handlers = *HANDLERS.lock();
    for (gsi, handler) in (0..).zip(handlers) {
        if let Some(Handler { device, .. }) = handler {
            visit(gsi, LINE_COUNTS[gsi as usize].load(Relaxed), device);
        }
    }
}

/// How often the local APIC has interrupted on its own.
pub fn local_interrupts() -> LocalInterrupts {
    LocalInterrupts { timer: TIMER_COUNT.load(Relaxed), spurious: SPURIOUS_COUNT.load(Relaxed) }
}

/// Calls `handler(arg)` on each interrupt of line `gsi` (edge-triggered), from now on, for `device`.
///
/// # Errors
/// `EINVAL` when no interrupt controller has that line; `EBUSY` when it has a handler.
pub fn register_irq(gsi: u32, device: &'static str, handler: fn(usize), arg: usize) -> Result<(), Errno> {
    let line = usize::try_from(gsi).ok().filter(|&line| line < LINES).ok_or(Errno::EINVAL)?;
    let mut handlers = HANDLERS.lock();
    if handlers[line].is_some() {
        return Err(Errno::EBUSY);
    }
    let vector = FIRST_DEVICE + u8::try_from(gsi).map_err(|_| Errno::EINVAL)?;
    if !ioapic::route(gsi, vector, lapic::id()) {
        return Err(Errno::EINVAL);
    }
    handlers[line] = Some(Handler { run: handler, arg, device });
    Ok(())
}

/// Runs what belongs to `vector` and tells the local APIC.
pub(super) fn handle(vector: u8) {
    match vector {
        VECTOR_SPURIOUS => {
            SPURIOUS_COUNT.fetch_add(1, Relaxed);
            return;
        }
        VECTOR_TIMER => {
            TIMER_COUNT.fetch_add(1, Relaxed);
            lapic::acknowledge();
            crate::time::timer::fired();
            return;
        }
        _ => {}
    }
    // Acknowledged first: the line is edge-triggered, and an edge during the handler must come again.
    lapic::acknowledge();
    let line = usize::from(vector.wrapping_sub(FIRST_DEVICE));
    let handler = HANDLERS.lock().get(line).copied().flatten();
    match handler {
        Some(Handler { run, arg, .. }) => {
            LINE_COUNTS[line].fetch_add(1, Relaxed);
            run(arg);
        }
        None => log::warn!("interrupt {vector:#x} has no handler"),
    }
}

/// Takes interrupts that are pending and goes on with interrupts off.
///
/// # Context
/// No lock may be held.
pub fn poll_interrupts() {
    crate::sync::assert_none_held();
    if is_pvm() { pvm::poll() } else { hw::poll() }
}

/// Sleeps until an interrupt was taken, or for no reason; interrupts are off again afterwards.
///
/// # Context
/// No lock may be held.
pub fn idle() {
    crate::sync::assert_none_held();
    if is_pvm() { pvm::halt() } else { hw::halt() }
}
