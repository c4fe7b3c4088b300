//! Which locks the CPU holds (under `cargo test`: which the thread holds).
//!
//! Owns a small stack of ranks. The count is always kept; the order is checked in debug builds only.

use super::Rank;

const MAX_HELD: usize = 16;

struct Held {
    count: usize,
    ranks: [u16; MAX_HELD],
}

impl Held {
    const fn new() -> Self {
        Held { count: 0, ranks: [0; MAX_HELD] }
    }

    fn push(&mut self, rank: Rank) {
        if cfg!(debug_assertions) {
            let allowed = self.ranks[..self.count].iter().all(|&held| held < rank.0);
            assert!(allowed, "lock order: rank {} taken while {:?} are held", rank.0, &self.ranks[..self.count]);
        }
        assert!(self.count < MAX_HELD, "more than {MAX_HELD} locks held");
        self.ranks[self.count] = rank.0;
        self.count += 1;
    }

    fn pop(&mut self, rank: Rank) {
        // Nearly always the last one taken.
        if self.count > 0 && self.ranks[self.count - 1] == rank.0 {
            self.count -= 1;
            return;
        }
        let found = self.ranks[..self.count].iter().rposition(|&held| held == rank.0);
        let at = found.expect("a guard is dropped once, after its lock was taken");
        self.ranks.copy_within(at + 1..self.count, at);
        self.count -= 1;
    }
}

#[cfg(not(test))]
use per_cpu::with;
#[cfg(test)]
use per_thread::with;

pub(super) fn push(rank: Rank) {
    with(|held| held.push(rank));
}

pub(super) fn pop(rank: Rank) {
    with(|held| held.pop(rank));
}

/// Checks that no lock is held; the scheduler asks before it switches.
///
/// # Panics
/// If one is.
pub fn assert_none_held() {
    with(|held| assert!(held.count == 0, "locks of ranks {:?} held", &held.ranks[..held.count]));
}

#[cfg(not(test))]
mod per_cpu {
    use super::Held;
    use core::cell::UnsafeCell;

    struct PerCpu(UnsafeCell<Held>);
    // SAFETY: there is one CPU, kernel code is not preempted and interrupt handlers run only where no lock is held, so
    // no two borrows of the content overlap.
    unsafe impl Sync for PerCpu {}

    static HELD: PerCpu = PerCpu(UnsafeCell::new(Held::new()));

    pub(super) fn with<R>(work: impl FnOnce(&mut Held) -> R) -> R {
        // SAFETY: see `PerCpu`; `work` is this module's own and takes no lock.
        work(unsafe { &mut *HELD.0.get() })
    }
}

#[cfg(test)]
mod per_thread {
    use super::Held;
    use std::cell::RefCell;

    std::thread_local! {
        static HELD: RefCell<Held> = const { RefCell::new(Held::new()) };
    }

    pub(super) fn with<R>(work: impl FnOnce(&mut Held) -> R) -> R {
        HELD.with_borrow_mut(work)
    }
}
