//! Futexes: threads that sleep until a word of their memory is said to have changed.
//!
//! Owns the sleepers only; the word is the program's. A futex is named by address space and address, so two processes that
//! share memory do not meet here yet (FUTEX without the private flag on a shared mapping).
//! Source: Linux 6.12 kernel/futex/waitwake.c; futex(2).

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use procfs_core::Errno;

use crate::mm::{Mm, MmUser};
use crate::sched::{WaitMode, WaitQueue, Wake, Wchan};
use crate::sync::{Mutex, Rank};

/// Every bit: the mask of the calls that have none.
pub const MATCH_ANY: u32 = u32::MAX;

struct Sleeper {
    mm: usize,
    address: u64,
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

fn identity(mm: &Arc<Mm>) -> usize {
    Arc::as_ptr(mm) as usize
}

impl Futexes {
    /// Nobody sleeps.
    pub const fn new() -> Self {
        Futexes(Mutex::new(Rank::FUTEXES, VecDeque::new()))
    }

    /// Sleeps while the word at `address` is `expected`, until woken or `deadline_ns`.
    ///
    /// # Errors
    /// EINVAL for an address that is not a multiple of 4 or an empty mask; EFAULT; EAGAIN when the word differs; EINTR;
    /// ETIMEDOUT.
    pub fn wait(
        &self,
        mm: &MmUser,
        address: u64,
        expected: u32,
        mask: u32,
        deadline_ns: Option<u64>,
    ) -> Result<(), Errno> {
        if !address.is_multiple_of(4) || mask == 0 {
            return Err(Errno::EINVAL);
        }
        let mut word = [0; 4];
        mm.copy_in(address, &mut word)?;
        if u32::from_le_bytes(word) != expected {
            return Err(Errno::EAGAIN);
        }
        let woken = Arc::new((AtomicBool::new(false), WaitQueue::new()));
        let sleeper = Sleeper { mm: identity(mm.mm()), address, mask, woken: woken.clone() };
        self.0.lock().push_back(sleeper);
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

    /// Wakes at most `most` sleepers at `address` whose mask meets `mask`; gives how many.
    pub fn wake(&self, mm: &Arc<Mm>, address: u64, most: usize, mask: u32) -> usize {
        let identity = identity(mm);
        let mut woken = 0;
        while woken < most {
            let sleeper = {
                let mut sleepers = self.0.lock();
                let at = sleepers.iter().position(|s| s.mm == identity && s.address == address && s.mask & mask != 0);
                at.and_then(|at| sleepers.remove(at))
            };
            let Some(sleeper) = sleeper else { break };
            sleeper.woken.0.store(true, Relaxed);
            sleeper.woken.1.wake_all();
            woken += 1;
        }
        woken
    }

    /// Moves at most `most` sleepers from one address to another; gives how many.
    pub fn requeue(&self, mm: &Arc<Mm>, from: u64, to: u64, most: usize) -> usize {
        let identity = identity(mm);
        let mut sleepers = self.0.lock();
        let matching = sleepers.iter_mut().filter(|s| s.mm == identity && s.address == from).take(most);
        let mut moved = 0;
        for sleeper in matching {
            sleeper.address = to;
            moved += 1;
        }
        moved
    }
}
