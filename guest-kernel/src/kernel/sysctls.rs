//! What `/proc/sys` has set: the limits that the kernel obeys, and the values that it only keeps.
//!
//! Owns the values; names, forms and ranges are `proc`'s. A limit is read by its user each time, so a write counts at once.
//! Source: Linux 6.12 kernel/fork.c set_max_threads(), fs/file.c sysctl_nr_open, fs/pipe.c pipe_max_size.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, AtomicUsize, Ordering::Relaxed};

use crate::mm::Dumpable;
use crate::sync::{Mutex, Rank};

/// A value that nothing in the kernel depends on, once it has been written.
#[derive(Clone, Debug)]
pub enum Kept {
    /// Numbers, an `unsigned long` as its bits.
    Numbers(Vec<i64>),
    /// A text without its newline.
    Text(Vec<u8>),
}

/// The values.
pub struct Sysctls {
    /// How many tasks there may be (`kernel.threads-max`).
    pub threads_max: AtomicI32,
    /// How many areas an address space may have (`vm.max_map_count`).
    pub max_map_count: Arc<AtomicUsize>,
    /// The most that `RLIMIT_NOFILE` may be, and a bound of every descriptor (`fs.nr_open`).
    pub nr_open: AtomicU32,
    /// The largest pipe that an ordinary user may have, in bytes (`fs.pipe-max-size`).
    pub pipe_max_bytes: AtomicU32,
    /// What becomes of a program that changed its user, when it could be dumped (`fs.suid_dumpable`).
    pub suid_dumpable: AtomicI32,
    /// What a write that does not start at 0 does (`kernel.sysctl_writes_strict`).
    pub writes_strict: AtomicI32,
    kept: Mutex<BTreeMap<u64, Kept>>,
}

impl Sysctls {
    /// The values at boot; `ram_pages` bounds the tasks, whose stacks may take an eighth of RAM.
    #[must_use]
    pub fn new(ram_pages: u64) -> Self {
        const STACK_PAGES_TIMES_EIGHT: u64 = 32;
        let threads = (ram_pages / STACK_PAGES_TIMES_EIGHT).max(u64::from(Self::MIN_THREADS));
        Self {
            threads_max: AtomicI32::new(i32::try_from(threads).unwrap_or(Self::MAX_THREADS).min(Self::MAX_THREADS)),
            max_map_count: Arc::new(AtomicUsize::new(crate::mm::MAX_AREAS)),
            nr_open: AtomicU32::new(1 << 20),
            pipe_max_bytes: AtomicU32::new(1 << 20),
            suid_dumpable: AtomicI32::new(0),
            writes_strict: AtomicI32::new(1),
            kept: Mutex::new(Rank::SYSCTLS, BTreeMap::new()),
        }
    }

    /// The least that `threads_max` may be (MIN_THREADS).
    pub const MIN_THREADS: u32 = 20;
    /// The most (MAX_THREADS).
    pub const MAX_THREADS: i32 = 0x3fff_ffff;

    /// Whether one more task may be made beside `tasks`.
    #[must_use]
    pub fn has_room_for_task(&self, tasks: usize) -> bool {
        i32::try_from(tasks).is_ok_and(|tasks| tasks < self.threads_max.load(Relaxed))
    }

    /// What becomes of the memory of a program whose identity changes (`set_dumpable(mm, suid_dumpable)`).
    #[must_use]
    pub fn dumpable_after_change(&self) -> Dumpable {
        match self.suid_dumpable.load(Relaxed) {
            1 => Dumpable::User,
            2 => Dumpable::Root,
            _ => Dumpable::No,
        }
    }

    /// What was written last to the file with inode number `ino`, if anything was.
    #[must_use]
    pub fn kept(&self, ino: u64) -> Option<Kept> {
        self.kept.lock().get(&ino).cloned()
    }

    /// Keeps what was written to the file with inode number `ino`.
    pub fn keep(&self, ino: u64, value: Kept) {
        let old = self.kept.lock().insert(ino, value);
        drop(old);
    }
}
