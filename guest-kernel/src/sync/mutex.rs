//! A spin lock with a rank that panics where it would spin for ever.
//!
//! Owns the lock and its guard. Invariant: `held` counts exactly the guards that live.

use super::{Rank, held};
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

/// Mutual exclusion; the same calls as `spin::Mutex`.
pub struct Mutex<T: ?Sized> {
    rank: Rank,
    inner: spin::Mutex<T>,
}

/// The right to use what a `Mutex` guards, until dropped.
pub struct MutexGuard<'a, T: ?Sized> {
    guard: ManuallyDrop<spin::MutexGuard<'a, T>>,
    rank: Rank,
}

impl<T> Mutex<T> {
    /// A free lock of place `rank` in the order.
    pub const fn new(rank: Rank, value: T) -> Self {
        Mutex { rank, inner: spin::Mutex::new(value) }
    }

    /// Gives the value back.
    pub fn into_inner(self) -> T {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock.
    ///
    /// # Panics
    /// If it is held already (on one CPU that is a deadlock), or, in debug builds, if a lock of the same or a higher
    /// rank is held.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        held::push(self.rank);
        MutexGuard { guard: ManuallyDrop::new(self.acquire()), rank: self.rank }
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let guard = self.inner.try_lock()?;
        held::push(self.rank);
        Some(MutexGuard { guard: ManuallyDrop::new(guard), rank: self.rank })
    }

    /// The value, without locking: the borrow proves that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.inner.get_mut()
    }

    /// Whether somebody holds it.
    pub fn is_locked(&self) -> bool {
        self.inner.is_locked()
    }

    #[cfg(not(test))]
    #[track_caller]
    fn acquire(&self) -> spin::MutexGuard<'_, T> {
        match self.inner.try_lock() {
            Some(guard) => guard,
            None => panic!("deadlock on a lock of rank {}", self.rank.0),
        }
    }

    // Tests run on several threads, so a held lock is no deadlock there.
    #[cfg(test)]
    fn acquire(&self) -> spin::MutexGuard<'_, T> {
        self.inner.lock()
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: `guard` is dropped here only and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
        held::pop(self.rank);
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Mutex;
    use crate::sync::{Rank, assert_none_held};

    #[test]
    fn locks_of_rising_rank_nest_and_release_in_any_order() {
        let low = Mutex::new(Rank(1), 1);
        let high = Mutex::new(Rank(2), 2);
        let first = low.lock();
        let second = high.lock();
        drop(first);
        assert_eq!(*second, 2);
        drop(second);
        assert_none_held();
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn a_falling_rank_panics() {
        let low = Mutex::new(Rank(1), ());
        let high = Mutex::new(Rank(2), ());
        let _high = high.lock();
        let _low = low.lock();
    }

    #[test]
    #[should_panic(expected = "held")]
    fn a_held_lock_is_seen_before_a_switch() {
        let lock = Mutex::new(Rank(1), ());
        let _guard = lock.lock();
        assert_none_held();
    }
}
