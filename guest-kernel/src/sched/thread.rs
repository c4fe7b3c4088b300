//! One thread of execution: kernel stack, saved user state, run state, CPU accounting.

use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use spin::Once;

use super::wchan::Wchan;
use crate::phys::{AllocError, PhysAddr};
use crate::platform::{KernelContext, UserContext, new_kernel_context};
use crate::sync::{Mutex, Rank};
use crate::time::monotonic_ns;

/// Which queue a runnable thread waits in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Kernel threads: they run before any user thread, so that the host is answered while user space spins.
    Kernel,
    /// Everything that runs user code.
    User,
}

/// What a thread is doing, as `/proc` distinguishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ThreadState {
    /// On the CPU or in the run queue.
    Running = 0,
    /// Sleeping; a signal wakes it.
    Interruptible = 1,
    /// Sleeping; only the event, or a fatal signal when killable, wakes it.
    Uninterruptible = 2,
    /// Stopped by a job-control signal.
    Stopped = 3,
    /// It will never run again.
    Dead = 4,
}

/// A thread of execution.
pub struct Thread {
    context: UnsafeCell<KernelContext>,
    /// The state of user mode while the thread is not in it; `None` for a kernel thread.
    pub user: Mutex<Option<UserContext>>,
    root: AtomicU64,
    state: AtomicU8,
    /// Where it sleeps, or slept last.
    wchan: AtomicU8,
    queued: AtomicBool,
    /// A signal waits that interrupts a sleep.
    pub signal_pending: AtomicBool,
    /// A signal waits that ends the thread whatever it does.
    pub kill_pending: AtomicBool,
    /// Nanoseconds of user mode.
    pub user_ns: AtomicU64,
    /// Nanoseconds of kernel mode.
    pub system_ns: AtomicU64,
    stamp_ns: AtomicU64,
    queued_ns: AtomicU64,
    /// Nanoseconds that it could have run and had to wait for the CPU.
    pub run_delay_ns: AtomicU64,
    /// How often it got the CPU.
    pub runs: AtomicU64,
    /// Switches because it had to wait.
    pub voluntary_switches: AtomicU64,
    /// Switches because another had its turn.
    pub involuntary_switches: AtomicU64,
    priority: Priority,
    owner: Once<Weak<dyn Any + Send + Sync>>,
}

// SAFETY: `context` is touched only by `scheduler::switch_to`, on the one CPU with interrupts off; all else is atomic or locked.
unsafe impl Send for Thread {}
// SAFETY: as above.
unsafe impl Sync for Thread {}

impl Thread {
    /// A thread that starts at `entry(arg)` when first scheduled. `user` and `root` are given for a user thread.
    ///
    /// # Errors
    /// `AllocError` when there is no memory for its kernel stack.
    pub fn new(
        priority: Priority,
        entry: extern "C" fn(usize) -> !,
        arg: usize,
        user: Option<UserContext>,
    ) -> Result<Arc<Thread>, AllocError> {
        let context = new_kernel_context(entry, arg)?;
        Ok(Arc::new(Thread {
            context: UnsafeCell::new(context),
            user: Mutex::new(Rank::THREAD_USER, user),
            root: AtomicU64::new(0),
            state: AtomicU8::new(ThreadState::Uninterruptible as u8),
            wchan: AtomicU8::new(u8::MAX),
            queued: AtomicBool::new(false),
            signal_pending: AtomicBool::new(false),
            kill_pending: AtomicBool::new(false),
            user_ns: AtomicU64::new(0),
            system_ns: AtomicU64::new(0),
            stamp_ns: AtomicU64::new(0),
            queued_ns: AtomicU64::new(0),
            run_delay_ns: AtomicU64::new(0),
            runs: AtomicU64::new(0),
            voluntary_switches: AtomicU64::new(0),
            involuntary_switches: AtomicU64::new(0),
            priority,
            owner: Once::new(),
        }))
    }

    pub(super) fn context(&self) -> *mut KernelContext {
        self.context.get()
    }

    pub(super) fn priority(&self) -> Priority {
        self.priority
    }

    /// Whether the thread has no user mode.
    pub fn is_kernel(&self) -> bool {
        self.priority == Priority::Kernel
    }

    /// The page table to load while it runs; `None` keeps the one loaded (kernel threads).
    pub(super) fn root(&self) -> Option<PhysAddr> {
        match self.root.load(Relaxed) {
            0 => None,
            raw => Some(PhysAddr(raw)),
        }
    }

    /// Names the page table to load whenever the thread is switched to.
    pub fn set_root(&self, root: Option<PhysAddr>) {
        self.root.store(root.map_or(0, |root| root.0), Relaxed);
    }

    /// The run state.
    pub fn state(&self) -> ThreadState {
        match self.state.load(Relaxed) {
            0 => ThreadState::Running,
            1 => ThreadState::Interruptible,
            2 => ThreadState::Uninterruptible,
            3 => ThreadState::Stopped,
            _ => ThreadState::Dead,
        }
    }

    pub(super) fn set_state(&self, state: ThreadState) {
        self.state.store(state as u8, Relaxed);
    }

    /// Where it sleeps; `None` for a thread that does not.
    pub fn wchan(&self) -> Option<Wchan> {
        match self.state() {
            ThreadState::Running | ThreadState::Dead => None,
            _ => Wchan::from_raw(self.wchan.load(Relaxed)),
        }
    }

    pub(super) fn set_wchan(&self, place: Wchan) {
        self.wchan.store(place.to_raw(), Relaxed);
    }

    pub(super) fn swap_queued(&self, queued: bool) -> bool {
        self.queued.swap(queued, Relaxed)
    }

    /// Attaches the object that layer 5 keeps for this thread; the first call counts.
    pub fn set_owner(&self, owner: Weak<dyn Any + Send + Sync>) {
        self.owner.call_once(|| owner);
    }

    /// The object given to `set_owner`, while it lives.
    pub fn owner(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.owner.get()?.upgrade()
    }

    /// Starts the clock of waiting for the CPU (`sched_info_enqueue()`).
    pub(super) fn stamp_queued(&self) {
        self.queued_ns.store(monotonic_ns(), Relaxed);
    }

    /// Books the wait for the CPU, which it has now (`sched_info_arrive()`).
    pub(super) fn account_run_delay(&self) {
        let waited_ns = monotonic_ns().saturating_sub(self.queued_ns.load(Relaxed));
        self.run_delay_ns.fetch_add(waited_ns, Relaxed);
        self.runs.fetch_add(1, Relaxed);
    }

    /// Starts the clock of kernel mode (thread switched in).
    pub(super) fn stamp(&self) {
        self.stamp_ns.store(monotonic_ns(), Relaxed);
    }

    /// Books the time since the last stamp as user time. Called on entry to the kernel.
    pub fn account_user(&self) {
        self.account(&self.user_ns);
    }

    /// Books the time since the last stamp as kernel time. Called before user mode and when switched out.
    pub fn account_system(&self) {
        self.account(&self.system_ns);
    }

    fn account(&self, counter: &AtomicU64) {
        let now = monotonic_ns();
        let spent = now.saturating_sub(self.stamp_ns.swap(now, Relaxed));
        counter.store(counter.load(Relaxed) + spent, Relaxed);
    }
}
