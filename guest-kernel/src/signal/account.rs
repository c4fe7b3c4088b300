//! How many signals wait for each user, whichever of the user's processes they were sent to.
//!
//! Owns the counts. A queued signal holds a `Charge`, so that a count falls however the signal goes: delivered, discarded, or
//! dropped with its process. A user is known by its kernel id; Linux counts one user of two namespaces twice.
//! Source: Linux 6.12 kernel/signal.c sig_get_ucounts(), kernel/ucount.c.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::cred::KUid;
use crate::sync::{Mutex, Rank};

/// The count of every user for whom signals wait.
pub struct QueuedSignals(Mutex<BTreeMap<u32, Weak<AtomicUsize>>>);

/// The count of one user.
pub struct UserAccount(Arc<AtomicUsize>);

/// One waiting signal in a user's count.
#[derive(Debug)]
pub(super) struct Charge(Arc<AtomicUsize>);

impl Default for QueuedSignals {
    fn default() -> Self {
        Self::new()
    }
}

impl QueuedSignals {
    /// Nothing waits for anybody.
    pub const fn new() -> Self {
        QueuedSignals(Mutex::new(Rank::QUEUED_SIGNALS, BTreeMap::new()))
    }

    /// The account of a user.
    pub fn of(&self, user: KUid) -> UserAccount {
        let mut accounts = self.0.lock();
        if let Some(count) = accounts.get(&user.0).and_then(Weak::upgrade) {
            return UserAccount(count);
        }
        // Those whose last signal has gone.
        accounts.retain(|_, count| count.strong_count() > 0);
        let count = Arc::new(AtomicUsize::new(0));
        accounts.insert(user.0, Arc::downgrade(&count));
        UserAccount(count)
    }

    /// How many signals wait for a user (`SigQ` of /proc/PID/status).
    pub fn waiting(&self, user: KUid) -> usize {
        self.0.lock().get(&user.0).and_then(Weak::upgrade).map_or(0, |count| count.load(Relaxed))
    }
}

impl UserAccount {
    pub(super) fn count(&self) -> usize {
        self.0.load(Relaxed)
    }

    pub(super) fn charge(&self) -> Charge {
        self.0.fetch_add(1, Relaxed);
        Charge(self.0.clone())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::QueuedSignals;
    use crate::cred::KUid;

    #[test]
    fn a_count_falls_with_its_charges_and_is_forgotten() {
        let signals = QueuedSignals::new();
        let account = signals.of(KUid(7));
        let charges = [account.charge(), signals.of(KUid(7)).charge()];
        drop(account);
        assert_eq!((signals.waiting(KUid(7)), signals.waiting(KUid(8))), (2, 0));
        drop(charges);
        assert_eq!(signals.waiting(KUid(7)), 0);
        let _other = signals.of(KUid(8));
        assert_eq!(signals.0.lock().len(), 1);
    }
}
