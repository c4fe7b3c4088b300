//! Kernel timers: what must happen at a point of monotonic time.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::scheduler::wake;
use super::thread::Thread;
use crate::sync::{Mutex, Rank};
use crate::time;

/// Names a timer that has been set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    deadline_ns: u64,
    serial: u64,
}

enum Action {
    Wake(Arc<Thread>),
    Call(Box<dyn FnOnce() + Send>),
}

static TIMERS: Mutex<BTreeMap<TimerId, Action>> = Mutex::new(Rank::TIMERS, BTreeMap::new());
static SERIAL: AtomicU64 = AtomicU64::new(0);
static NEXT_NS: AtomicU64 = AtomicU64::new(u64::MAX);
/// What the hardware timer is set to; it may fire early, never late.
static ARMED_NS: AtomicU64 = AtomicU64::new(u64::MAX);

fn set(deadline_ns: u64, action: Action) -> TimerId {
    let id = TimerId { deadline_ns, serial: SERIAL.fetch_add(1, Relaxed) };
    TIMERS.lock().insert(id, action);
    NEXT_NS.fetch_min(deadline_ns, Relaxed);
    id
}

/// Wakes `thread` at `deadline_ns` (monotonic).
pub fn wake_at(deadline_ns: u64, thread: Arc<Thread>) -> TimerId {
    set(deadline_ns, Action::Wake(thread))
}

/// Calls `call` at `deadline_ns` (monotonic), outside of any lock; it must not block.
pub fn call_at(deadline_ns: u64, call: Box<dyn FnOnce() + Send>) -> TimerId {
    set(deadline_ns, Action::Call(call))
}

/// Takes a timer back; nothing happens when it has gone off.
pub fn cancel(id: TimerId) {
    let gone = TIMERS.lock().remove(&id);
    drop(gone);
}

/// Runs every timer that is due at `now_ns`.
pub fn run_due(now_ns: u64) {
    if NEXT_NS.load(Relaxed) > now_ns {
        return;
    }
    loop {
        let action = {
            let mut timers = TIMERS.lock();
            match timers.first_key_value() {
                Some((id, _)) if id.deadline_ns <= now_ns => timers.pop_first().map(|(_, action)| action),
                first => {
                    NEXT_NS.store(first.map_or(u64::MAX, |(id, _)| id.deadline_ns), Relaxed);
                    None
                }
            }
        };
        match action {
            Some(Action::Wake(thread)) => wake(&thread),
            Some(Action::Call(call)) => call(),
            None => return,
        }
    }
}

/// Programs the hardware for the next timer or `slice_end_ns`, whichever is first; a write costs 2.5 µs on pvm, so it is
/// left alone when it already fires in time.
pub fn arm(slice_end_ns: u64) {
    let wanted = NEXT_NS.load(Relaxed).min(slice_end_ns);
    if wanted == u64::MAX {
        return;
    }
    let armed = ARMED_NS.load(Relaxed);
    if armed <= wanted {
        return;
    }
    ARMED_NS.store(wanted, Relaxed);
    time::set_timer(Some(wanted));
}

/// The hardware timer has fired: it is set to nothing now.
pub fn fired() {
    ARMED_NS.store(u64::MAX, Relaxed);
}
