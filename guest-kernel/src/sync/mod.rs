//! Locks of a kernel that runs on one CPU and is never preempted.
//!
//! Owns `Mutex` and the count of those held. Does not sleep: blocking is the scheduler's.
//! Invariants: ranks rise along the locks held (checked in debug builds); nothing is held across a task switch
//! (`assert_none_held`). Since nothing else runs while a lock is held, finding one locked means a deadlock: it panics.

#[cfg_attr(not(test), expect(unsafe_code, reason = "the per-CPU list of held locks is a cell"))]
mod held;
#[expect(unsafe_code, reason = "a guard ends before the lock is taken off the list of held ones")]
mod mutex;
mod rank;

pub use held::assert_none_held;
pub use mutex::{Mutex, MutexGuard};
pub use rank::Rank;
