//! The handle that keeps an address space's mappings alive.
//!
//! Owns Linux's `mm_users`: each `MmUser` is one. `Arc<Mm>` is `mm_count` and keeps the struct (and its empty root) only.
//! Invariant: the mappings exist while a handle does; once the last is gone no new one can be made.
//! Context: dropping may be the last drop, which takes locks of files; never drop one with a lock held.
//! Source: Linux 6.12 kernel/fork.c mmput(), include/linux/sched/mm.h mmget_not_zero().

use super::Mm;
use alloc::sync::Arc;
use core::ops::Deref;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};

/// One user of an address space; the last one dropped tears the mappings down.
#[derive(Debug)]
pub struct MmUser(Arc<Mm>);

impl MmUser {
    /// The first user of a new address space, whose count is already 1.
    pub(super) fn first(mm: Arc<Mm>) -> Self {
        debug_assert_eq!(mm.users.load(Relaxed), 1);
        Self(mm)
    }

    /// Another user, or `None` once the last user has gone.
    #[must_use]
    pub fn try_from_mm(mm: &Arc<Mm>) -> Option<Self> {
        let more = |users: usize| (users != 0).then_some(users + 1);
        mm.users.fetch_update(AcqRel, Relaxed, more).ok().map(|_| Self(mm.clone()))
    }

    /// Whether there are other users than the holder of this handle.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.users.load(Relaxed) > 1
    }

    /// The address space, to be kept without keeping its mappings.
    #[must_use]
    pub fn mm(&self) -> &Arc<Mm> {
        &self.0
    }
}

impl Deref for MmUser {
    type Target = Mm;

    fn deref(&self) -> &Mm {
        &self.0
    }
}

impl Clone for MmUser {
    fn clone(&self) -> Self {
        self.0.users.fetch_add(1, Relaxed);
        Self(self.0.clone())
    }
}

impl Drop for MmUser {
    fn drop(&mut self) {
        if self.0.users.fetch_sub(1, AcqRel) == 1 {
            self.0.tear_down();
        }
    }
}
