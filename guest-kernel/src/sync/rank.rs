//! The one lock order of the kernel, as numbers: a lock may be taken only while every held lock has a lower rank.
//!
//! Owns the numbers only, with room left between neighbours. Files (`vfs::rank`), address spaces (`mm`) and kernfs (`fs::kernfs`)
//! number their own locks, in the gaps left here; ARCHITECTURE.md has all of them as one list.
//! Invariant: memory is a leaf, since anything may allocate. The serial line has no lock, so anything may log.

/// A place in the lock order; higher is taken later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rank(pub u16);

impl Rank {
    /// The saved user state of a thread; held while the thread is in user mode, so everything else comes after it.
    pub const THREAD_USER: Rank = Rank(10);
    /// The first process.
    pub const INIT: Rank = Rank(1_000);
    /// The table of tasks.
    pub const TASK_TABLE: Rank = Rank(1_010);
    /// The members of a process group.
    pub const PROCESS_GROUP: Rank = Rank(1_015);
    /// A session's terminal.
    pub const SESSION: Rank = Rank(1_020);
    /// Family, exit and job control of a process.
    pub const GROUP_STATE: Rank = Rank(1_030);
    /// The threads of a process.
    pub const GROUP_THREADS: Rank = Rank(1_040);
    /// What ended threads and children have used.
    pub const USAGE: Rank = Rank(1_050);
    /// A task's handles to its memory, files, credentials.
    pub const TASK: Rank = Rank(1_060);
    /// What a process does on signals.
    pub const SIGNAL_HANDLERS: Rank = Rank(1_070);
    /// Resource limits.
    pub const LIMITS: Rank = Rank(1_080);
    /// Signals sent to a process.
    pub const GROUP_SIGNALS: Rank = Rank(1_090);
    /// Signals and mask of a thread.
    pub const TASK_SIGNALS: Rank = Rank(1_100);
    /// How many signals wait for each user.
    pub const QUEUED_SIGNALS: Rank = Rank(1_105);
    /// Host and domain name.
    pub const UTS: Rank = Rank(1_110);
    /// The load average.
    pub const LOAD: Rank = Rank(1_120);
    /// What `/proc/sys` keeps.
    pub const SYSCTLS: Rank = Rank(1_125);
    /// The count of unknown system calls.
    pub const UNKNOWN_SYSCALLS: Rank = Rank(1_130);
    /// Sleepers on futexes.
    pub const FUTEXES: Rank = Rank(1_140);
    /// A task's root, working directory and umask.
    pub const FS_CONTEXT: Rank = Rank(1_150);
    /// A terminal's line discipline.
    pub const TTY: Rank = Rank(4_500);
    /// A console port's queue of received bytes.
    pub const PORT_INPUT: Rank = Rank(4_600);
    /// A virtqueue.
    pub const VIRTQUEUE: Rank = Rank(4_700);
    /// A virtio device's registers.
    pub const VIRTIO_TRANSPORT: Rank = Rank(4_710);
    /// A user namespace's id maps; read wherever ids are shown.
    pub const ID_MAP: Rank = Rank(54_000);
    /// How many namespaces users have made.
    pub const NS_COUNTS: Rank = Rank(54_100);
    /// Sleepers of a wait queue: things are woken from everywhere.
    pub const WAIT_QUEUE: Rank = Rank(55_000);
    /// Kernel timers.
    pub const TIMERS: Rank = Rank(55_500);
    /// The run queue.
    pub const RUN_QUEUE: Rank = Rank(56_000);
    /// How long threads have waited for the CPU.
    pub const PRESSURE: Rank = Rank(56_500);
    /// Numbers in use; given back wherever the last handle is dropped.
    pub const PID_NUMBERS: Rank = Rank(57_000);
    /// Free numbers of namespaces, mounts and the like; given back wherever their owners are dropped.
    pub const IDA: Rank = Rank(57_500);
    /// The key of random numbers.
    pub const RANDOM: Rank = Rank(58_000);
    /// The interrupt handler table.
    pub const IRQ_TABLE: Rank = Rank(60_000);
    /// The frame allocator; the heap takes it while it grows.
    pub const FRAMES: Rank = Rank(65_000);
}
