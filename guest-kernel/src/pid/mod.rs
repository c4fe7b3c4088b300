//! Process numbers, one per pid-namespace level.
//!
//! Owns numbers and their lifetime. Knows nothing of tasks: `task::table` maps a `Pid` to its task.
//! Invariant: a number stays taken in its namespace as long as its `Pid` lives, so a reused number cannot alias.
//! Source: Linux 6.12 kernel/pid.c alloc_pid(), free_pid(); pid_namespaces(7).

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use procfs_core::Errno;

use crate::sync::{Mutex, Rank};

/// One more than the highest number (`/proc/sys/kernel/pid_max` on 64-bit machines).
pub const PID_MAX: i32 = 4_194_304;
/// After the first wrap, numbers below this stay for daemons (Linux RESERVED_PIDS).
const RESERVED_PIDS: i32 = 300;
/// The inode number of the initial pid namespace (Linux 6.12 include/linux/proc_ns.h PROC_PID_INIT_INO).
const INIT_INUM: u32 = 0xEFFF_FFFC;

struct Numbers {
    used: BTreeSet<i32>,
    last: i32,
}

/// A pid namespace.
pub struct PidNs {
    inum: u32,
    numbers: Mutex<Numbers>,
}

impl PidNs {
    /// The initial namespace.
    pub fn initial() -> Arc<Self> {
        Arc::new(PidNs {
            inum: INIT_INUM,
            numbers: Mutex::new(Rank::PID_NUMBERS, Numbers { used: BTreeSet::new(), last: 0 }),
        })
    }

    /// The inode number that `/proc/PID/ns/pid` shows.
    pub fn inum(&self) -> u32 {
        self.inum
    }

    /// The number given out last (the end of /proc/loadavg).
    pub fn last(&self) -> i32 {
        self.numbers.lock().last
    }

    /// Takes the next free number.
    ///
    /// # Errors
    /// EAGAIN when all numbers are taken.
    pub fn allocate(self: &Arc<Self>) -> Result<Arc<Pid>, Errno> {
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
                return Ok(Arc::new(Pid { number: candidate, ns: self.clone() }));
            }
            candidate += 1;
        }
    }
}

/// A process, thread, group or session number while anything of it remains.
pub struct Pid {
    number: i32,
    ns: Arc<PidNs>,
}

impl Pid {
    /// The number as `ns` sees it; 0 when it has none there.
    pub fn nr_in(&self, ns: &Arc<PidNs>) -> i32 {
        if Arc::ptr_eq(&self.ns, ns) { self.number } else { 0 }
    }

    /// The number in the namespace it was made in.
    pub fn nr(&self) -> i32 {
        self.number
    }

    /// The namespace it was made in.
    pub fn ns(&self) -> &Arc<PidNs> {
        &self.ns
    }
}

impl Drop for Pid {
    fn drop(&mut self) {
        self.ns.numbers.lock().used.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::PidNs;

    #[test]
    fn a_number_is_not_given_out_again_while_its_pid_lives() {
        let ns = PidNs::initial();
        let first = ns.allocate().unwrap();
        let second = ns.allocate().unwrap();
        assert_eq!((first.nr(), second.nr()), (1, 2));
        drop(first);
        assert_eq!(ns.allocate().unwrap().nr(), 3, "numbers go round before they are reused");
    }
}
