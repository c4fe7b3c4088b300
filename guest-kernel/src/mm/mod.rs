//! Address spaces.
//!
//! Owns `Mm`: the areas, page tables, counters and addresses of one program image, and every copy between kernel and user
//! memory. Knows nothing of tasks, files or credentials: limits and entropy come in as parameters, files as `Backing`.
//!
//! | module | what |
//! |---|---|
//! | `user` | the handle that keeps the mappings (`mm_users`) |
//! | `vma`, `area_map` | areas, their splitting and merging |
//! | `map`, `unmap`, `protect`, `remap`, `brk`, `advise`, `lock` | the system calls that change them |
//! | `page_table`, `fault` | entries, demand pages, copy on write, stack growth |
//! | `usercopy`, `io`, `remote` | copies for the running program; for `/proc` of another |
//! | `fork` | the copy of an address space |
//! | `usage`, `layout`, `snapshot` | what `/proc` shows |
//! | `backing` | what a mapping shows |
//!
//! Locks: `Mm::state` (rank `RANK_MM`), one for each address space; two are never held together. It is not held while a
//! `Backing` is called or dropped, since those take locks of files. What is found out in between is checked again by
//! `State::generation`, which rises with every change of the areas.

mod advise;
mod area_map;
pub mod backing;
mod brk;
mod fault;
mod fork;
mod gaps;
#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
#[expect(unsafe_code, reason = "calls the host for comparison")]
mod host_tests;
mod io;
mod layout;
mod lock;
mod map;
#[expect(unsafe_code, reason = "entries hold frame counts in raw form and are read and written as the MMU sees them")]
mod page_table;
mod protect;
mod remap;
mod remote;
mod snapshot;
#[cfg(test)]
pub(crate) mod testing;
mod unmap;
mod usage;
mod user;
#[expect(unsafe_code, reason = "copies bytes between kernel memory and frames that a program writes at will")]
mod usercopy;
mod vma;

pub use area_map::MAX_AREAS;
pub use backing::{Backing, SharedAnonymous};
pub use fault::{Access, FaultError};
pub use io::{IoDst, IoSrc};
pub use layout::{
    ELF_DYN_BASE, Entropy, Layout, MMAP_MIN_ADDR, STACK_TOP, TASK_SIZE, align_stack, mmap_base, mmap_random,
    random_brk, stack_top,
};
pub use map::{FileMapping, MapRequest, Source};
pub use remap::RemapRequest;
pub use snapshot::{AreaSnapshot, MmSnapshot, PageCounts, ResidentPage};
pub use usage::{Limits, Usage};
pub use user::MmUser;
pub use usercopy::Plain;
pub use vma::{STACK_GUARD_GAP, VmFlags};

use crate::phys::{Frame, PhysAddr};
use crate::sync::{Mutex, MutexGuard, Rank};
use alloc::sync::Arc;
use alloc::vec::Vec;
use area_map::AreaMap;
use core::fmt;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use page_table::{Owner, PageTable};
use procfs_core::Errno;

/// The lock of one address space. High, since a file's lock may be held while bytes are copied to a program.
pub const RANK_MM: Rank = Rank(50_000);
/// The pages of a `SharedAnonymous` object.
pub const RANK_SHARED: Rank = Rank(50_100);

/// Private and shared anonymous memory, ELF headers, private huge pages (`MMF_DUMP_FILTER_DEFAULT`).
const DUMP_FILTER_DEFAULT: u32 = 0x33;

/// Whether a core dump and `/proc` may show the program to its user (Linux `SUID_DUMP_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Dumpable {
    /// No.
    #[default]
    No,
    /// To its own user.
    User,
    /// To root only.
    Root,
}

/// One address space. Kept by `Arc` (`mm_count`); its mappings live while an `MmUser` does.
pub struct Mm {
    root: PhysAddr,
    users: AtomicUsize,
    /// `RLIMIT_STACK` in bytes: growth of the stack happens in faults, which have no caller to ask.
    stack_limit: AtomicU64,
    /// Minor faults that copies caused and nobody has taken over yet.
    copy_faults: AtomicU64,
    state: Mutex<State>,
}

/// Everything that the lock guards.
struct State {
    tables: PageTable,
    areas: AreaMap,
    usage: Usage,
    layout: Layout,
    dumpable: Dumpable,
    /// Which areas a core dump would hold (`MMF_DUMP_*`, as `/proc/PID/coredump_filter` numbers them).
    dump_filter: u32,
    auxv: Vec<u64>,
    exe: Option<Arc<dyn Backing>>,
    /// Rises with each change of `areas`.
    generation: u64,
    /// The page of zeros that reads of untouched memory see; made when first needed, shared over `fork`.
    zero_frame: Option<Frame>,
    next_family: u64,
    /// What `mlockall(MCL_FUTURE)` adds to every new area.
    default_flags: VmFlags,
    /// What areas that were cut out showed, to be dropped once the lock is free.
    garbage: Vec<Arc<dyn Backing>>,
}

impl Mm {
    /// An empty address space with one user.
    ///
    /// # Errors
    /// `ENOMEM` when no frame is free for the root.
    #[expect(clippy::new_ret_no_self, reason = "an address space exists only while it has a user")]
    pub fn new() -> Result<MmUser, Errno> {
        Ok(Self::from_state(State::new()?, u64::MAX))
    }

    fn from_state(state: State, stack_limit: u64) -> MmUser {
        MmUser::first(Arc::new(Self {
            root: state.tables.root(),
            users: AtomicUsize::new(1),
            stack_limit: AtomicU64::new(stack_limit),
            copy_faults: AtomicU64::new(0),
            state: Mutex::new(RANK_MM, state),
        }))
    }

    /// What `platform::load_address_space` takes.
    #[must_use]
    pub fn root(&self) -> PhysAddr {
        self.root
    }

    /// How many users there are (`mm_users`).
    #[must_use]
    pub fn user_count(&self) -> usize {
        self.users.load(Relaxed)
    }

    /// Lets `most` say from now on how many areas there may be here and in copies made by `fork` (`vm.max_map_count`).
    pub fn limit_areas(&self, most: Arc<AtomicUsize>) {
        self.with(|state| state.areas.obey(most));
    }

    /// Sets the size in bytes up to which faults extend a stack (`RLIMIT_STACK`); `exec` and `setrlimit` tell.
    pub fn set_stack_limit(&self, bytes: u64) {
        self.stack_limit.store(bytes, Relaxed);
    }

    /// Takes over the number of minor faults that copies to and from this address space caused; the system call's end adds
    /// them to the running task, as Linux counts them.
    pub fn take_copy_faults(&self) -> u64 {
        self.copy_faults.swap(0, Relaxed)
    }

    /// Runs `work` under the lock, then flushes what it owes and drops what it cut out.
    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let (result, garbage) = {
            let mut state = self.lock();
            let result = work(&mut state);
            state.tables.flush();
            (result, core::mem::take(&mut state.garbage))
        };
        drop(garbage);
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Unmaps everything and lets the executable go; called once, when the last user goes.
    fn tear_down(&self) {
        let exe = self.with(|state| {
            state.unmap_everything();
            state.exe.take()
        });
        drop(exe);
    }
}

impl fmt::Debug for Mm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mm").field("root", &self.root).field("users", &self.user_count()).finish_non_exhaustive()
    }
}

impl State {
    fn new() -> Result<Self, Errno> {
        Ok(Self {
            tables: PageTable::new()?,
            areas: AreaMap::default(),
            usage: Usage::default(),
            layout: Layout { mmap_base: mmap_base(8 << 20, &Entropy::default()), ..Layout::default() },
            dumpable: Dumpable::User,
            dump_filter: DUMP_FILTER_DEFAULT,
            auxv: Vec::new(),
            exe: None,
            generation: 0,
            zero_frame: None,
            next_family: 0,
            default_flags: VmFlags::empty(),
            garbage: Vec::new(),
        })
    }

    /// The counter of resident pages that a page of `owner` in an area backed so counts in.
    fn rss_counter(&mut self, owner: Owner, backing: Option<&Arc<dyn Backing>>) -> Option<&mut u64> {
        match (owner, backing) {
            (Owner::Zero, _) => None,
            (Owner::Private, _) | (_, None) => Some(&mut self.usage.anon_pages),
            (Owner::Object, Some(backing)) if backing.is_shmem() => Some(&mut self.usage.shmem_pages),
            (Owner::Object, Some(_)) => Some(&mut self.usage.file_pages),
        }
    }
}
