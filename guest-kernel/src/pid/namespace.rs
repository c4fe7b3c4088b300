//! Pid namespaces: which numbers are taken at each level, and when no more are given out.
//!
//! Owns the numbers of one namespace and its place below its parent. Knows no tasks: the child reaper is who has number 1
//! (`REAPER_NR`), and `task` finds it by that number.
//! Invariant: a process with a number here has one in every namespace above, so numbers taken here never outlive a parent's.
//! Source: Linux 6.12 kernel/pid_namespace.c, include/linux/pid_namespace.h; pid_namespaces(7).

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};

use procfs_core::Errno;

use crate::cred::UserNs;
use crate::ns::Inum;
use crate::sched::WaitQueue;
use crate::sync::{Mutex, Rank};

/// One more than the highest number (`/proc/sys/kernel/pid_max` on 64-bit machines).
pub const PID_MAX: i32 = 4_194_304;
/// The number of a namespace's first process, to which orphans go and with which the namespace ends.
pub const REAPER_NR: i32 = 1;
/// After the first wrap, numbers below this stay for daemons (Linux RESERVED_PIDS).
const RESERVED_PIDS: i32 = 300;
/// How deep namespaces nest below the initial one (Linux MAX_PID_NS_LEVEL).
const MAX_LEVEL: usize = 32;

struct Numbers {
    used: BTreeSet<i32>,
    last: i32,
    /// False once the reaper has ended (disable_pid_allocation()).
    is_open: bool,
}

/// A pid namespace.
pub struct PidNs {
    inum: Inum,
    parent: Option<Arc<PidNs>>,
    level: usize,
    user_ns: Arc<UserNs>,
    numbers: Mutex<Numbers>,
    /// Woken when few numbers are left in use: the ending reaper waits for the others.
    emptied: WaitQueue,
    /// The wait status with which reboot(2) ends the reaper; 0 for none.
    reboot_status: AtomicI32,
}

impl PidNs {
    fn new(inum: Inum, parent: Option<Arc<PidNs>>, user_ns: Arc<UserNs>) -> Arc<Self> {
        Arc::new(PidNs {
            inum,
            level: parent.as_ref().map_or(0, |parent| parent.level + 1),
            parent,
            user_ns,
            numbers: Mutex::new(Rank::PID_NUMBERS, Numbers { used: BTreeSet::new(), last: 0, is_open: true }),
            emptied: WaitQueue::new(),
            reboot_status: AtomicI32::new(0),
        })
    }

    /// The initial namespace.
    pub fn initial(user_ns: Arc<UserNs>) -> Arc<Self> {
        Self::new(Inum::fixed(Inum::PID_INIT), None, user_ns)
    }

    /// A namespace below `parent` that `user_ns` owns, numbered `inum`.
    ///
    /// # Errors
    /// EINVAL when `user_ns` is not the owner of `parent` or below it; ENOSPC at the 33rd level.
    pub fn create(parent: &Arc<PidNs>, user_ns: Arc<UserNs>, inum: Inum) -> Result<Arc<Self>, Errno> {
        if !user_ns.is_within(&parent.user_ns) {
            return Err(Errno::EINVAL);
        }
        if parent.level >= MAX_LEVEL {
            return Err(Errno::ENOSPC);
        }
        Ok(Self::new(inum, Some(parent.clone()), user_ns))
    }

    /// The inode number that `/proc/PID/ns/pid` shows.
    pub fn inum(&self) -> u32 {
        self.inum.get()
    }

    /// The namespace that this one was created in; `None` for the initial one.
    pub fn parent(&self) -> Option<&Arc<PidNs>> {
        self.parent.as_ref()
    }

    /// How many namespaces lie above.
    pub fn level(&self) -> usize {
        self.level
    }

    /// The user namespace that owns it.
    pub fn user_ns(&self) -> &Arc<UserNs> {
        &self.user_ns
    }

    /// Whether it is `ancestor` or lies below it.
    pub fn is_within(self: &Arc<Self>, ancestor: &Arc<PidNs>) -> bool {
        let mut at = self;
        while at.level > ancestor.level {
            match &at.parent {
                Some(parent) => at = parent,
                None => return false,
            }
        }
        Arc::ptr_eq(at, ancestor)
    }

    /// The number given out last (the end of /proc/loadavg).
    pub fn last(&self) -> i32 {
        self.numbers.lock().last
    }

    /// Makes the next number the one after `last` (`/proc/sys/kernel/ns_last_pid`).
    pub fn set_last(&self, last: i32) {
        self.numbers.lock().last = last;
    }

    /// Whether its first process has been made; the namespace takes no processes after that one's end.
    pub fn has_had_reaper(&self) -> bool {
        let numbers = self.numbers.lock();
        numbers.last != 0 || !numbers.used.is_empty()
    }

    /// How many numbers are in use.
    pub fn allocated(&self) -> usize {
        self.numbers.lock().used.len()
    }

    /// No number is given out any more: the reaper ends.
    pub fn close(&self) {
        self.numbers.lock().is_open = false;
    }

    /// Whether new processes may be made here.
    pub fn is_open(&self) -> bool {
        self.numbers.lock().is_open
    }

    /// Where the ending reaper waits for the numbers of the others to be given back.
    pub fn emptied(&self) -> &WaitQueue {
        &self.emptied
    }

    /// The reaper is to end with this wait status, whatever its own is (reboot_pid_ns()).
    pub fn set_reboot_status(&self, status: i32) {
        self.reboot_status.store(status, Relaxed);
    }

    /// What `set_reboot_status` was given, if it was.
    pub fn reboot_status(&self) -> Option<i32> {
        Some(self.reboot_status.load(Relaxed)).filter(|&status| status != 0)
    }

    /// Takes the next free number.
    pub(super) fn take(&self) -> Result<i32, Errno> {
        let mut numbers = self.numbers.lock();
        let mut candidate = numbers.last + 1;
        let mut wrapped = false;
        loop {
            if candidate >= PID_MAX {
                if wrapped {
                    return Err(Errno::EAGAIN);
                }
                wrapped = true;
                candidate = RESERVED_PIDS;
            }
            if numbers.used.insert(candidate) {
                numbers.last = candidate;
                return Ok(candidate);
            }
            candidate += 1;
        }
    }

    /// Gives a number back.
    pub(super) fn give_back(&self, number: i32) {
        /// The reaper's own, as leader and as the thread that ends last.
        const REAPERS: usize = 2;
        let left = {
            let mut numbers = self.numbers.lock();
            numbers.used.remove(&number);
            numbers.used.len()
        };
        if left <= REAPERS && self.level > 0 {
            self.emptied.wake_all();
        }
    }

    /// The first process was not made after all: the next one is it.
    pub(super) fn reset(&self) {
        let mut numbers = self.numbers.lock();
        if numbers.used.is_empty() && numbers.is_open {
            numbers.last = 0;
        }
    }
}
