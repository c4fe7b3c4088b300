//! Waiting for events: wait queues, and several at once for poll.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::scheduler::{block, current, wake};
use super::thread::Thread;
use super::wchan::Wchan;
use crate::sync::{Mutex, Rank};

/// What may end a sleep beside its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitMode {
    /// Any signal that is not blocked.
    Interruptible,
    /// A signal that kills.
    Killable,
    /// Nothing.
    Uninterruptible,
    /// A signal that kills; shown as `T`.
    Stopped,
}

impl WaitMode {
    pub(super) fn interrupted(self, thread: &Thread) -> bool {
        match self {
            WaitMode::Interruptible => thread.signal_pending.load(Relaxed) || thread.kill_pending.load(Relaxed),
            WaitMode::Killable | WaitMode::Stopped => thread.kill_pending.load(Relaxed),
            WaitMode::Uninterruptible => false,
        }
    }
}

/// Why a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The condition holds.
    Event,
    /// A signal waits.
    Signal,
    /// The deadline has passed.
    Timeout,
}

/// Threads that wait for something to change.
pub struct WaitQueue {
    waiters: Mutex<Vec<Arc<Thread>>>,
    wakes: AtomicU64,
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        WaitQueue { waiters: Mutex::new(Rank::WAIT_QUEUE, Vec::new()), wakes: AtomicU64::new(0) }
    }

    /// Wakes every waiter.
    pub fn wake_all(&self) {
        self.wakes.fetch_add(1, Relaxed);
        let waiters = core::mem::take(&mut *self.waiters.lock());
        for thread in &waiters {
            wake(thread);
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.lock().is_empty()
    }

    fn add(&self, thread: &Arc<Thread>) {
        self.waiters.lock().push(thread.clone());
    }

    fn remove(&self, thread: &Arc<Thread>) {
        self.waiters.lock().retain(|waiter| !Arc::ptr_eq(waiter, thread));
    }

    /// Blocks until `ready` returns true, or as `mode` and `deadline_ns` (monotonic) allow; `place` is what `/proc` shows
    /// meanwhile.
    ///
    /// # Context
    /// May switch; no spinlock may be held, and `ready` must not keep one.
    pub fn wait(
        &self,
        place: Wchan,
        mode: WaitMode,
        deadline_ns: Option<u64>,
        mut ready: impl FnMut() -> bool,
    ) -> Wake {
        loop {
            if ready() {
                return Wake::Event;
            }
            let me = current();
            self.add(&me);
            let wake = block(place, mode, deadline_ns);
            self.remove(&me);
            match wake {
                Wake::Event => {}
                ended => return if ready() { Wake::Event } else { ended },
            }
        }
    }
}

/// The queues that one poll call waits on.
#[derive(Default)]
pub struct PollTable {
    queues: Vec<Arc<WaitQueue>>,
}

impl PollTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a queue; a wake-up of it makes the poll call look again.
    pub fn register(&mut self, queue: &Arc<WaitQueue>) {
        let me = current();
        queue.add(&me);
        self.queues.push(queue.clone());
    }

    /// How many queues are registered.
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    /// Whether no queue is registered.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// How often the queues registered after the first `start` have been woken, ever.
    ///
    /// A file registers the same queues each time, so another figure means that something has happened to it.
    pub fn wakes_from(&self, start: usize) -> u64 {
        self.queues.iter().skip(start).map(|queue| queue.wakes.load(Relaxed)).fold(0, u64::wrapping_add)
    }

    /// Sleeps until one of the registered queues is woken, and takes the thread off all of them.
    ///
    /// # Context
    /// May switch; no spinlock may be held.
    pub fn wait(&mut self, place: Wchan, deadline_ns: Option<u64>) -> Wake {
        let wake = block(place, WaitMode::Interruptible, deadline_ns);
        self.clear();
        wake
    }

    /// Takes the thread off all registered queues.
    pub fn clear(&mut self) {
        if self.queues.is_empty() {
            return;
        }
        let me = current();
        for queue in self.queues.drain(..) {
            queue.remove(&me);
        }
    }
}

impl Drop for PollTable {
    fn drop(&mut self) {
        self.clear();
    }
}
