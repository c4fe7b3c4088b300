//! `Task`: what the kernel knows of one thread.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::{FsContext, Inherited, KernelEntry, NsProxy, ProcessGroup, ThreadGroup};
use crate::cred::{Cred, RootDirectory, UserNs};
use crate::fd::FdTable;
use crate::kernel::Kernel;
use crate::mm::{Dumpable, MmUser};
use crate::pid::{Pid, PidNs};
use crate::sched::{self, Thread, ThreadState, WaitQueue};
use crate::signal::{Pending, SigSet};
use crate::sync::{Mutex, Rank};

bitflags::bitflags! {
    /// `PF_*` of Linux 6.12 include/linux/sched.h, as field 9 of /proc/PID/stat shows them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TaskFlags: u32 {
        /// It is exiting.
        const EXITING = 0x4;
        /// It is past the point where a core would be written.
        const POSTCOREDUMP = 0x8;
        /// It has forked and not yet executed a program.
        const FORKNOEXEC = 0x40;
        /// It has used the super-user's privileges.
        const SUPERPRIV = 0x100;
        /// A signal killed it.
        const SIGNALED = 0x400;
        /// It is a kernel thread.
        const KTHREAD = 0x0020_0000;
        /// Its address space is randomised.
        const RANDOMIZE = 0x0040_0000;
    }
}

/// A task's name: at most 15 bytes for programs, 63 for kernel threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comm(Vec<u8>);

impl Comm {
    /// The longest name of a program, in bytes.
    pub const MAX: usize = 15;

    /// The first 15 bytes of `name`, up to a NUL.
    pub fn new(name: &[u8]) -> Self {
        let end = name.iter().position(|&b| b == 0).unwrap_or(name.len()).min(Self::MAX);
        Comm(name[..end].to_vec())
    }

    /// A kernel thread's name, kept whole.
    pub fn kernel(name: &str) -> Self {
        Comm(name.as_bytes().to_vec())
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What of signals belongs to one thread.
#[derive(Debug, Default)]
pub struct TaskSignals {
    /// Blocked now.
    pub blocked: SigSet,
    /// Blocked but for a sigtimedwait(2) that takes it: not ignored, and nobody dies of it.
    pub waited_for: SigSet,
    /// To be blocked again when the handler of a sigsuspend has run.
    pub saved: Option<SigSet>,
    /// Sent to this thread alone.
    pub pending: Pending,
    /// `sigaltstack`: address, flags, size.
    pub alt_stack: (u64, i32, u64),
}

impl TaskSignals {
    /// What does not reach the thread as a signal, by its mask or because a call takes it.
    pub fn all_blocked(&self) -> SigSet {
        self.blocked.or(self.waited_for)
    }
}

/// A thread, or a process seen as its leader.
pub struct Task {
    /// The kernel it belongs to.
    pub kernel: &'static Kernel,
    /// Its thread of execution.
    pub thread: Arc<Thread>,
    pub(super) pid: Mutex<Arc<Pid>>,
    /// The process that it is part of.
    pub group: Arc<ThreadGroup>,
    pub(super) comm: Mutex<Comm>,
    pub(super) mm: Mutex<Option<MmUser>>,
    pub(super) files: Mutex<Option<Arc<FdTable>>>,
    pub(super) fs: Mutex<Option<Arc<FsContext>>>,
    pub(super) nsproxy: Mutex<Option<Arc<NsProxy>>>,
    pub(super) cred: Mutex<Arc<Cred>>,
    /// Whose super-user owns its address space when it is not dumpable (Linux's `mm->user_ns`): the namespace in which the
    /// program was executed, the same for all tasks that share the address space.
    pub(super) mm_user_ns: Mutex<Arc<UserNs>>,
    /// Whether its user could look into its memory when that went.
    was_dumpable: AtomicBool,
    /// Its own signals and mask.
    pub signals: Mutex<TaskSignals>,
    pub(super) flags: AtomicU32,
    /// Wait status form, set at exit.
    pub exit_code: AtomicI32,
    pub(super) start_ns: AtomicU64,
    /// Faults served from memory.
    pub min_faults: AtomicU64,
    /// Faults that needed I/O.
    pub maj_faults: AtomicU64,
    /// Where to write 0 and wake a futex at exit (`CLONE_CHILD_CLEARTID`); 0 for nowhere.
    pub clear_child_tid: AtomicU64,
    /// `set_robust_list` head.
    pub robust_list: AtomicU64,
    /// Where a vfork parent waits.
    pub(super) vfork_done: Mutex<Option<Arc<VforkDone>>>,
    /// Bytes read, written and calls made by read- and write-like system calls (`/proc/PID/io`).
    pub io: IoCounters,
    /// Absolute deadline of a sleep that a signal interrupted, monotonic ns; 0 when there is none.
    pub restart_deadline_ns: AtomicU64,
    /// `prctl(PR_SET_PDEATHSIG)`.
    pub parent_death_signal: AtomicU32,
    /// It ends with `exit_code` before it returns to user mode.
    pub(super) exit_requested: AtomicBool,
    /// It has ended and does not come back into the family; what follows is its stack's end.
    pub(super) has_left: AtomicBool,
    /// What it came into the kernel with.
    pub entry: KernelEntry,
    /// Who it acts for, and the like.
    pub inherited: Inherited,
}

/// What a vfork parent waits for.
#[derive(Default)]
pub struct VforkDone {
    pub(super) done: AtomicBool,
    pub(super) queue: WaitQueue,
}

impl VforkDone {
    pub(super) fn complete(&self) {
        self.done.store(true, Relaxed);
        self.queue.wake_all();
    }
}

/// What `/proc/PID/io` counts.
#[derive(Debug, Default)]
pub struct IoCounters {
    /// Bytes that read calls returned.
    pub rchar: AtomicU64,
    /// Bytes that write calls took.
    pub wchar: AtomicU64,
    /// Read calls.
    pub syscr: AtomicU64,
    /// Write calls.
    pub syscw: AtomicU64,
}

impl IoCounters {
    /// Books a read call that returned `bytes`.
    pub fn read(&self, bytes: usize) {
        self.rchar.fetch_add(bytes as u64, Relaxed);
        self.syscr.fetch_add(1, Relaxed);
    }

    /// Books a write call that took `bytes`.
    pub fn wrote(&self, bytes: usize) {
        self.wchar.fetch_add(bytes as u64, Relaxed);
        self.syscw.fetch_add(1, Relaxed);
    }
}

/// Everything a new task starts with.
pub(super) struct NewTask {
    pub(super) kernel: &'static Kernel,
    pub(super) thread: Arc<Thread>,
    pub(super) pid: Arc<Pid>,
    pub(super) group: Arc<ThreadGroup>,
    pub(super) comm: Comm,
    pub(super) mm: Option<MmUser>,
    pub(super) files: Arc<FdTable>,
    pub(super) fs: Arc<FsContext>,
    pub(super) nsproxy: Arc<NsProxy>,
    pub(super) cred: Arc<Cred>,
    pub(super) mm_user_ns: Arc<UserNs>,
    pub(super) signals: TaskSignals,
    pub(super) flags: TaskFlags,
    pub(super) inherited: Inherited,
    pub(super) vfork_done: Option<Arc<VforkDone>>,
}

impl NewTask {
    /// The task, known to its thread but in no table yet.
    pub(super) fn build(self) -> Arc<Task> {
        self.thread.set_root(self.mm.as_ref().map(|mm| mm.root()));
        let task = Arc::new(Task {
            kernel: self.kernel,
            thread: self.thread,
            pid: Mutex::new(Rank::TASK, self.pid),
            group: self.group,
            comm: Mutex::new(Rank::TASK, self.comm),
            mm: Mutex::new(Rank::TASK, self.mm),
            files: Mutex::new(Rank::TASK, Some(self.files)),
            fs: Mutex::new(Rank::TASK, Some(self.fs)),
            nsproxy: Mutex::new(Rank::TASK, Some(self.nsproxy)),
            cred: Mutex::new(Rank::TASK, self.cred),
            mm_user_ns: Mutex::new(Rank::TASK, self.mm_user_ns),
            was_dumpable: AtomicBool::new(false),
            signals: Mutex::new(Rank::TASK_SIGNALS, self.signals),
            flags: AtomicU32::new(self.flags.bits()),
            exit_code: AtomicI32::new(0),
            start_ns: AtomicU64::new(crate::time::monotonic_ns()),
            min_faults: AtomicU64::new(0),
            maj_faults: AtomicU64::new(0),
            clear_child_tid: AtomicU64::new(0),
            robust_list: AtomicU64::new(0),
            vfork_done: Mutex::new(Rank::TASK, self.vfork_done),
            io: IoCounters::default(),
            restart_deadline_ns: AtomicU64::new(0),
            parent_death_signal: AtomicU32::new(0),
            exit_requested: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            entry: KernelEntry::default(),
            inherited: self.inherited,
        });
        let weak: alloc::sync::Weak<Task> = Arc::downgrade(&task);
        task.thread.set_owner(weak);
        task
    }
}

/// The task that runs now.
///
/// # Panics
/// When the running thread is no task's, which holds only during boot.
pub fn current() -> Arc<Task> {
    let owner = sched::current().owner().expect("after boot every thread is a task's");
    owner.downcast::<Task>().unwrap_or_else(|_| unreachable!("only tasks own threads"))
}

impl Task {
    /// Its number. A thread that executes a program takes over its leader's.
    pub fn pid(&self) -> Arc<Pid> {
        self.pid.lock().clone()
    }

    /// Its pid namespace: the one that it was made in, whose numbers it uses.
    pub fn pid_ns(&self) -> Arc<PidNs> {
        self.pid.lock().ns().clone()
    }

    /// The number that `pid` has for this task; 0 when it cannot see it (pid_vnr()).
    pub fn nr_of(&self, pid: &Pid) -> i32 {
        pid.nr_in(&self.pid_ns())
    }

    /// The thread that this task calls `nr` (find_task_by_vpid()).
    pub fn find_task(&self, nr: i32) -> Option<Arc<Task>> {
        self.kernel.tasks.task(&self.pid_ns(), nr)
    }

    /// The process group that this task calls `nr`.
    pub fn find_process_group(&self, nr: i32) -> Option<Arc<ProcessGroup>> {
        self.kernel.tasks.process_group(&self.pid_ns(), nr)
    }

    /// Monotonic nanoseconds at its creation.
    pub fn start_ns(&self) -> u64 {
        self.start_ns.load(Relaxed)
    }

    /// Whether it is its process's first thread.
    pub fn is_leader(&self) -> bool {
        Arc::ptr_eq(&self.pid.lock(), &self.group.pid)
    }

    /// Whether it still runs on its parent's memory, which waits for it (vfork).
    pub fn is_in_vfork(&self) -> bool {
        self.vfork_done.lock().is_some()
    }

    /// Whether it never runs user code.
    pub fn is_kernel_thread(&self) -> bool {
        self.flags().contains(TaskFlags::KTHREAD)
    }

    /// A use of its address space; `None` for kernel threads and once it has exited.
    pub fn mm(&self) -> Option<MmUser> {
        self.mm.lock().clone()
    }

    /// The user namespace that its address space belongs to.
    pub fn mm_user_ns(&self) -> Arc<UserNs> {
        self.mm_user_ns.lock().clone()
    }

    /// Whose `CAP_SYS_PTRACE` it takes to look into it beyond being its user; `None` when being its user is enough.
    pub fn guarding_user_ns(&self) -> Option<Arc<UserNs>> {
        match self.mm() {
            Some(mm) if mm.dumpable() == Dumpable::User => None,
            Some(_) => Some(self.mm_user_ns()),
            None if self.was_dumpable.load(Relaxed) => None,
            None => Some(self.kernel.user_ns.clone()),
        }
    }

    /// Takes its address space away at its end.
    pub(super) fn take_mm(&self) -> Option<MmUser> {
        let mm = self.mm.lock().take()?;
        self.was_dumpable.store(mm.dumpable() == Dumpable::User, Relaxed);
        Some(mm)
    }

    /// Its descriptor table; `None` once it has exited.
    pub fn files(&self) -> Option<Arc<FdTable>> {
        self.files.lock().clone()
    }

    /// Its root, working directory and umask; `None` once it has exited.
    pub fn fs(&self) -> Option<Arc<FsContext>> {
        self.fs.lock().clone()
    }

    /// Its namespaces; `None` once it has exited.
    pub fn nsproxy(&self) -> Option<Arc<NsProxy>> {
        self.nsproxy.lock().clone()
    }

    /// Replaces its namespaces.
    pub fn set_nsproxy(&self, nsproxy: NsProxy) {
        let old = self.nsproxy.lock().replace(Arc::new(nsproxy));
        drop(old);
    }

    /// Its root, working directory and umask if another task has them too.
    pub fn shared_fs(&self) -> Option<Arc<FsContext>> {
        self.fs.lock().as_ref().filter(|fs| Arc::strong_count(fs) > 1).cloned()
    }

    /// Gives it a root, working directory and umask of its own.
    pub fn set_fs(&self, fs: Arc<FsContext>) {
        let old = self.fs.lock().replace(fs);
        drop(old);
    }

    /// Its descriptor table if another task has it too.
    pub fn shared_files(&self) -> Option<Arc<FdTable>> {
        self.files.lock().as_ref().filter(|files| Arc::strong_count(files) > 1).cloned()
    }

    /// Gives it a descriptor table of its own.
    pub fn set_files(&self, files: Arc<FdTable>) {
        let old = self.files.lock().replace(files);
        drop(old);
    }

    /// Its credentials.
    pub fn cred(&self) -> Arc<Cred> {
        self.cred.lock().clone()
    }

    /// Replaces its credentials; where they differ in who it is, or it can do more, its user may no longer look into it
    /// (Linux 6.12 kernel/cred.c commit_creds()).
    pub fn commit_cred(&self, cred: Cred) {
        let is_guarded = self.cred().is_guarded_against(&cred);
        if is_guarded {
            if let Some(mm) = self.mm() {
                mm.set_dumpable(self.kernel.sysctls.dumpable_after_change());
            }
            self.parent_death_signal.store(0, Relaxed);
        }
        let old = core::mem::replace(&mut *self.cred.lock(), Arc::new(cred));
        drop(old);
    }

    /// Whether it stands at the root of its mount namespace (current_chrooted()).
    pub fn root_directory(&self) -> RootDirectory {
        let root = self.nsproxy().and_then(|nsproxy| nsproxy.mnt.root());
        match (self.fs(), root) {
            (Some(fs), Some(root)) if fs.root().is_same(&root) => RootDirectory::OfMountNamespace,
            _ => RootDirectory::Changed,
        }
    }

    /// Its name.
    pub fn comm(&self) -> Comm {
        self.comm.lock().clone()
    }

    /// Renames it.
    pub fn set_comm(&self, comm: Comm) {
        let old = core::mem::replace(&mut *self.comm.lock(), comm);
        drop(old);
    }

    /// Its `PF_*` flags.
    pub fn flags(&self) -> TaskFlags {
        TaskFlags::from_bits_retain(self.flags.load(Relaxed))
    }

    pub(super) fn set_flags(&self, set: TaskFlags) {
        self.flags.fetch_or(set.bits(), Relaxed);
    }

    pub(super) fn clear_flags(&self, clear: TaskFlags) {
        self.flags.fetch_and(!clear.bits(), Relaxed);
    }

    /// Whether it has ended.
    pub fn is_dead(&self) -> bool {
        self.thread.state() == ThreadState::Dead || self.flags().contains(TaskFlags::EXITING)
    }

    /// The letter that `/proc` shows for its state: R S D T Z X I.
    pub fn state_letter(&self) -> u8 {
        // One that still gives up what it has is none yet.
        if self.has_left.load(Relaxed) {
            return b'Z';
        }
        match self.thread.state() {
            ThreadState::Running => b'R',
            ThreadState::Interruptible => b'S',
            ThreadState::Uninterruptible => b'D',
            ThreadState::Stopped => b'T',
            ThreadState::Dead => b'Z',
        }
    }

    /// User and system time so far, in nanoseconds.
    pub fn cpu_times_ns(&self) -> (u64, u64) {
        (self.thread.user_ns.load(Relaxed), self.thread.system_ns.load(Relaxed))
    }
}
