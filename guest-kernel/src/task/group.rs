//! A process: the threads that share a number, signal actions, limits and a place in the family tree.
//!
//! Source: Linux 6.12 include/linux/sched/signal.h struct signal_struct.

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};

use super::{ProcessGroup, Rlimits, Task};
use crate::kernel::Kernel;
use crate::pid::Pid;
use crate::sched::WaitQueue;
use crate::sched::timer::TimerId;
use crate::signal::{Pending, SigHandlers, Signal};
use crate::sync::{Mutex, Rank};

/// How far a process is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitState {
    /// At least one thread lives.
    Alive,
    /// All threads have ended; the parent has not asked yet. Holds the wait status.
    Zombie(i32),
    /// The parent knows.
    Reaped,
}

/// Where job control has put a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobControl {
    /// Not stopped.
    Running,
    /// Stopped by this signal; `reported` once a wait call has told the parent.
    Stopped {
        /// The signal that stopped it.
        signal: Signal,
        /// A wait call has told the parent.
        reported: bool,
    },
    /// Continued, and the parent has not been told by a wait call.
    Continued,
}

/// The place in the family tree and the state of exit and job control.
pub struct GroupState {
    /// Who is told of the end.
    pub parent: Weak<ThreadGroup>,
    /// Which of its threads made the process, or adopted it.
    pub parent_thread: Weak<Task>,
    /// In the order of their creation; zombies included.
    pub children: Vec<Arc<ThreadGroup>>,
    /// The process group.
    pub pgrp: Arc<ProcessGroup>,
    /// How far the process is from its end.
    pub exit: ExitState,
    /// All threads are to end with this wait status.
    pub group_exit: Option<i32>,
    /// Job control.
    pub job: JobControl,
    /// What the parent gets at the end; `None` for none.
    pub exit_signal: Option<Signal>,
    /// The parent's `exec_id` when it made the process.
    pub parent_exec_id: u32,
    /// It has executed a program since it was forked (setpgid(2) by the parent is over).
    pub has_execed: bool,
    /// A thread waits for the others to end before it executes a program.
    pub is_executing: bool,
    /// Orphans below it become its children (`PR_SET_CHILD_SUBREAPER`).
    pub is_subreaper: bool,
}

/// What a process and its waited-for children have used.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupUsage {
    /// User time, ns.
    pub user_ns: u64,
    /// System time, ns.
    pub system_ns: u64,
    /// Faults served from memory.
    pub min_faults: u64,
    /// Faults that needed I/O.
    pub maj_faults: u64,
    /// Voluntary switches.
    pub voluntary_switches: u64,
    /// Involuntary switches.
    pub involuntary_switches: u64,
    /// Largest resident set seen, in pages.
    pub max_rss_pages: u64,
    /// Bytes read, written, read calls, write calls.
    pub io: [u64; 4],
}

impl GroupUsage {
    /// Adds what `other` has used.
    pub fn add(&mut self, other: &GroupUsage) {
        self.user_ns += other.user_ns;
        self.system_ns += other.system_ns;
        self.min_faults += other.min_faults;
        self.maj_faults += other.maj_faults;
        self.voluntary_switches += other.voluntary_switches;
        self.involuntary_switches += other.involuntary_switches;
        self.max_rss_pages = self.max_rss_pages.max(other.max_rss_pages);
        for (sum, more) in self.io.iter_mut().zip(other.io) {
            *sum += more;
        }
    }

    /// What one thread has used so far.
    pub fn of(task: &Task) -> Self {
        let (user_ns, system_ns) = task.cpu_times_ns();
        GroupUsage {
            user_ns,
            system_ns,
            min_faults: task.min_faults.load(Relaxed),
            maj_faults: task.maj_faults.load(Relaxed),
            voluntary_switches: task.thread.voluntary_switches.load(Relaxed),
            involuntary_switches: task.thread.involuntary_switches.load(Relaxed),
            max_rss_pages: 0,
            io: [
                task.io.rchar.load(Relaxed),
                task.io.wchar.load(Relaxed),
                task.io.syscr.load(Relaxed),
                task.io.syscw.load(Relaxed),
            ],
        }
    }
}

/// A process.
pub struct ThreadGroup {
    /// The kernel it belongs to.
    pub kernel: &'static Kernel,
    /// The process number: the number of its first thread.
    pub pid: Arc<Pid>,
    pub(super) threads: Mutex<Vec<Arc<Task>>>,
    /// Family, exit and job control.
    pub state: Mutex<GroupState>,
    /// What it does on each signal.
    pub handlers: Mutex<SigHandlers>,
    /// Signals sent to the process as a whole.
    pub pending: Mutex<Pending>,
    /// How often it has executed a program: a child from before tells its end by SIGCHLD only.
    pub(super) exec_id: AtomicU32,
    /// Woken when a child changes its state.
    pub child_wait: WaitQueue,
    /// Woken when the process goes on after a stop.
    pub continue_wait: WaitQueue,
    /// Woken when a thread has ended and others live: one may wait to execute a program.
    pub(super) exec_wait: WaitQueue,
    /// Resource limits.
    pub limits: Mutex<Rlimits>,
    /// What ended threads have used.
    pub(super) dead_usage: Mutex<GroupUsage>,
    /// What waited-for children have used.
    pub children_usage: Mutex<GroupUsage>,
    /// The first process of a pid namespace: what it has no handler for does not reach it (SIGNAL_UNKILLABLE).
    pub(crate) is_unkillable: AtomicBool,
    /// `/proc/PID/oom_score_adj`.
    pub oom_score_adj: AtomicI32,
    /// The lowest value to which an unprivileged process may go back.
    pub oom_score_adj_min: AtomicI32,
    /// When ITIMER_REAL or alarm(2) goes off, monotonic ns; 0 when it is not set.
    pub alarm_deadline_ns: AtomicU64,
    /// Its interval, ns.
    pub alarm_interval_ns: AtomicU64,
    /// When it went off last, monotonic ns.
    pub(super) alarm_last_ns: AtomicU64,
    /// The kernel timer behind it while it is set.
    pub(super) alarm_timer: Mutex<Option<TimerId>>,
    /// Real ids of the leader when it ended are read through this task while the group is a zombie.
    pub(super) leader: Mutex<Option<Arc<Task>>>,
}

impl ThreadGroup {
    pub(super) fn new(
        kernel: &'static Kernel,
        pid: Arc<Pid>,
        parent: Weak<ThreadGroup>,
        pgrp: Arc<ProcessGroup>,
        exit_signal: Option<Signal>,
        handlers: SigHandlers,
        limits: Rlimits,
    ) -> Arc<Self> {
        Arc::new(ThreadGroup {
            kernel,
            pid,
            threads: Mutex::new(Rank::GROUP_THREADS, Vec::new()),
            state: Mutex::new(
                Rank::GROUP_STATE,
                GroupState {
                    parent,
                    parent_thread: Weak::new(),
                    children: Vec::new(),
                    pgrp,
                    exit: ExitState::Alive,
                    group_exit: None,
                    job: JobControl::Running,
                    exit_signal,
                    parent_exec_id: 0,
                    has_execed: false,
                    is_executing: false,
                    is_subreaper: false,
                },
            ),
            handlers: Mutex::new(Rank::SIGNAL_HANDLERS, handlers),
            pending: Mutex::new(Rank::GROUP_SIGNALS, Pending::default()),
            exec_id: AtomicU32::new(0),
            child_wait: WaitQueue::new(),
            continue_wait: WaitQueue::new(),
            exec_wait: WaitQueue::new(),
            limits: Mutex::new(Rank::LIMITS, limits),
            dead_usage: Mutex::new(Rank::USAGE, GroupUsage::default()),
            children_usage: Mutex::new(Rank::USAGE, GroupUsage::default()),
            is_unkillable: AtomicBool::new(false),
            oom_score_adj: AtomicI32::new(0),
            oom_score_adj_min: AtomicI32::new(0),
            alarm_deadline_ns: AtomicU64::new(0),
            alarm_interval_ns: AtomicU64::new(0),
            alarm_last_ns: AtomicU64::new(0),
            alarm_timer: Mutex::new(Rank::LIMITS, None),
            leader: Mutex::new(Rank::TASK, None),
        })
    }

    /// The first thread, which stays until the process has been reaped.
    pub fn leader(&self) -> Option<Arc<Task>> {
        self.leader.lock().clone()
    }

    pub(super) fn set_leader(&self, leader: Option<Arc<Task>>) {
        let old = core::mem::replace(&mut *self.leader.lock(), leader);
        drop(old);
    }

    /// The threads that exist, the ended leader included.
    pub fn threads(&self) -> Vec<Arc<Task>> {
        self.threads.lock().clone()
    }

    /// How many threads exist, the ended leader included.
    pub fn thread_count(&self) -> usize {
        self.threads.lock().len()
    }

    /// The parent, while it lives.
    pub fn parent(&self) -> Option<Arc<ThreadGroup>> {
        self.state.lock().parent.upgrade()
    }

    /// The process group.
    pub fn pgrp(&self) -> Arc<ProcessGroup> {
        self.state.lock().pgrp.clone()
    }

    /// Puts the process into another process group.
    pub fn move_to(self: &Arc<Self>, pgrp: Arc<ProcessGroup>) {
        let old = core::mem::replace(&mut self.state.lock().pgrp, pgrp.clone());
        if !Arc::ptr_eq(&old, &pgrp) {
            self.kernel.tasks.join(self, &pgrp);
            self.kernel.tasks.leave(self, &old);
        }
    }

    /// The children, in the order of their creation.
    pub fn children(&self) -> Vec<Arc<ThreadGroup>> {
        self.state.lock().children.clone()
    }

    /// The children that its thread `task` made or adopted.
    pub fn children_of(&self, task: &Task) -> Vec<Arc<ThreadGroup>> {
        let mut children = self.children();
        children.retain(|child| core::ptr::eq(child.state.lock().parent_thread.as_ptr(), task));
        children
    }

    /// What all its threads have used, ended ones included.
    pub fn usage(&self) -> GroupUsage {
        let mut sum = *self.dead_usage.lock();
        for task in self.threads.lock().iter().filter(|task| !task.is_dead()) {
            sum.add(&GroupUsage::of(task));
        }
        sum
    }

    /// Whether the process is the one that the VM lives for.
    pub fn is_init(&self) -> bool {
        self.kernel.init.lock().as_ref().is_some_and(|init| core::ptr::eq(Arc::as_ptr(init), self))
    }
}
