//! Futexes: threads that sleep until a word of their memory is said to have changed.
//!
//! Owns the sleepers and what names a futex; the word is the program's. In memory that is shared a futex is the page and the place in
//! it, so processes meet there whatever their addresses; else the address space and the address. A sleeper keeps its page, so that no
//! other takes over its name.
//! Source: Linux 6.12 kernel/futex/core.c get_futex_key(), kernel/futex/waitwake.c, kernel/futex/requeue.c; futex(2).

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use procfs_core::Errno;

use crate::mm::{Mm, MmUser, TASK_SIZE};
use crate::phys::Frame;
use crate::sched::{WaitMode, WaitQueue, Wake, Wchan};
use crate::sync::{Mutex, Rank};

/// Every bit: the mask of the calls that have none.
pub const MATCH_ANY: u32 = u32::MAX;
/// Bytes of the word.
const WORD_BYTES: u64 = 4;

/// Who may meet at a futex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Threads of one address space (`FUTEX_PRIVATE_FLAG`).
    Private,
    /// Whoever maps the word, where its memory is shared.
    Shared,
}

/// What a futex is named by.
#[derive(Clone)]
pub struct Key(Name);

#[derive(Clone)]
enum Name {
    Address { mm: usize, address: u64 },
    Page { frame: Frame, offset: usize },
}

impl Key {
    /// The futex of the word at `address`.
    ///
    /// # Errors
    /// EINVAL for an address that is not a multiple of 4; EFAULT outside of user space, or for a word that is not there and might be shared.
    pub fn of(mm: &Arc<Mm>, address: u64, sharing: Sharing) -> Result<Self, Errno> {
        if !address.is_multiple_of(WORD_BYTES) {
            return Err(Errno::EINVAL);
        }
        if address >= TASK_SIZE {
            return Err(Errno::EFAULT);
        }
        let shared = match sharing {
            Sharing::Private => None,
            Sharing::Shared => mm.shared_frame_at(address)?,
        };
        Ok(Key(match shared {
            Some((frame, offset)) => Name::Page { frame, offset },
            None => Name::Address { mm: Arc::as_ptr(mm) as usize, address },
        }))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Name::Address { mm, address }, Name::Address { mm: other_mm, address: other_address }) => {
                mm == other_mm && address == other_address
            }
            (Name::Page { frame, offset }, Name::Page { frame: other_frame, offset: other_offset }) => {
                frame.pfn() == other_frame.pfn() && offset == other_offset
            }
            _ => false,
        }
    }
}

struct Sleeper {
    key: Key,
    mask: u32,
    woken: Arc<(AtomicBool, WaitQueue)>,
}

/// The sleepers of all futexes, in the order in which they came.
pub struct Futexes(Mutex<VecDeque<Sleeper>>);

impl Default for Futexes {
    fn default() -> Self {
        Self::new()
    }
}

impl Futexes {
    /// Nobody sleeps.
    pub const fn new() -> Self {
        Futexes(Mutex::new(Rank::FUTEXES, VecDeque::new()))
    }

    /// Sleeps while the word at `address` is `expected`, until woken or `deadline_ns`.
    ///
    /// # Errors
    /// EINVAL for an empty mask; as `Key::of`; EFAULT; EAGAIN when the word differs; EINTR; ETIMEDOUT.
    pub fn wait(
        &self,
        mm: &MmUser,
        (address, sharing): (u64, Sharing),
        expected: u32,
        mask: u32,
        deadline_ns: Option<u64>,
    ) -> Result<(), Errno> {
        if mask == 0 {
            return Err(Errno::EINVAL);
        }
        let key = Key::of(mm.mm(), address, sharing)?;
        if mm.read_value::<u32>(address)? != expected {
            return Err(Errno::EAGAIN);
        }
        let woken = Arc::new((AtomicBool::new(false), WaitQueue::new()));
        self.0.lock().push_back(Sleeper { key, mask, woken: woken.clone() });
        let wake = woken.1.wait(Wchan::FutexDoWait, WaitMode::Interruptible, deadline_ns, || woken.0.load(Relaxed));
        if wake != Wake::Event {
            self.0.lock().retain(|sleeper| !Arc::ptr_eq(&sleeper.woken, &woken));
        }
        match wake {
            Wake::Event => Ok(()),
            Wake::Signal => Err(Errno::EINTR),
            Wake::Timeout => Err(Errno::ETIMEDOUT),
        }
    }

    /// Wakes at most `most` sleepers at `key` whose mask meets `mask`; gives how many.
    pub fn wake(&self, key: &Key, most: usize, mask: u32) -> usize {
        let mut woken = 0;
        while woken < most {
            let sleeper = {
                let mut sleepers = self.0.lock();
                let at = sleepers.iter().position(|sleeper| sleeper.key == *key && sleeper.mask & mask != 0);
                at.and_then(|at| sleepers.remove(at))
            };
            let Some(sleeper) = sleeper else { break };
            sleeper.woken.0.store(true, Relaxed);
            sleeper.woken.1.wake_all();
            woken += 1;
        }
        woken
    }

    /// Moves at most `most` sleepers from one futex to another; gives how many.
    pub fn requeue(&self, from: &Key, to: &Key, most: usize) -> usize {
        let mut sleepers = self.0.lock();
        let matching = sleepers.iter_mut().filter(|sleeper| sleeper.key == *from).take(most);
        let mut moved = 0;
        for sleeper in matching {
            sleeper.key = to.clone();
            moved += 1;
        }
        moved
    }
}
