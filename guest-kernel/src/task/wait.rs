//! Waiting for children.
//!
//! Source: Linux 6.12 kernel/exit.c do_wait(), eligible_child(), wait_task_zombie(), wait_task_stopped(), wait_task_continued(); wait(2).

use alloc::sync::Arc;

use bitflags::bitflags;
use procfs_core::Errno;

use super::{ExitState, GroupUsage, JobControl, ProcessGroup, Task, ThreadGroup, exit};
use crate::sched::{WaitMode, Wake, Wchan};
use crate::signal::Signal;

bitflags! {
    /// `W*` options of wait4(2) and waitid(2).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct WaitOptions: u32 {
        const NOHANG = 1;
        const STOPPED = 2;
        const EXITED = 4;
        const CONTINUED = 8;
        const NOWAIT = 0x0100_0000;
        const NOTHREAD = 0x2000_0000;
        const ALL = 0x4000_0000;
        const CLONE = 0x8000_0000;
    }
}

/// Which children to wait for.
pub enum Which {
    /// Any child.
    Any,
    /// The child that the caller calls so.
    Pid(i32),
    /// Children in this process group; `None` for one that is not there.
    Group(Option<Arc<ProcessGroup>>),
}

/// What happened to a child.
#[derive(Clone, Copy, Debug)]
pub struct Waited {
    /// The child's number in the caller's namespace.
    pub pid: i32,
    /// Its real user, as the kernel knows it.
    pub uid: u32,
    /// The wait status.
    pub status: i32,
    /// What it and the children it waited for have used; only for an ended child.
    pub usage: GroupUsage,
}

/// Waits for a child to change its state; `Ok(None)` with `NOHANG` when none has.
///
/// # Errors
/// ECHILD when there is no such child; EINTR when a signal came first.
pub fn wait(task: &Arc<Task>, which: Which, options: WaitOptions) -> Result<Option<Waited>, Errno> {
    let group = task.group.clone();
    let mut outcome = Ok(None);
    let wake = group.child_wait.wait(Wchan::DoWait, WaitMode::Interruptible, None, || {
        outcome = look(task, &which, options);
        options.contains(WaitOptions::NOHANG) || !matches!(outcome, Ok(None))
    });
    match wake {
        Wake::Event => outcome,
        Wake::Signal | Wake::Timeout => Err(Errno::EINTR),
    }
}

fn matches(task: &Task, child: &ThreadGroup, which: &Which, options: WaitOptions) -> bool {
    let is_named = match which {
        Which::Any => true,
        Which::Pid(nr) => task.nr_of(&child.pid) == *nr,
        Which::Group(pgrp) => pgrp.as_ref().is_some_and(|pgrp| Arc::ptr_eq(pgrp, &child.pgrp())),
    };
    // A clone child is one that ends with another signal than SIGCHLD, or none.
    let (is_clone, is_own) = {
        let state = child.state.lock();
        (state.exit_signal != Some(Signal::CHLD), core::ptr::eq(state.parent_thread.as_ptr(), task))
    };
    let is_near = is_own || !options.contains(WaitOptions::NOTHREAD);
    is_named && is_near && (options.contains(WaitOptions::ALL) || is_clone == options.contains(WaitOptions::CLONE))
}

fn look(task: &Task, which: &Which, options: WaitOptions) -> Result<Option<Waited>, Errno> {
    let mut any = false;
    for child in task.group.children() {
        if !matches(task, &child, which, options) {
            continue;
        }
        any = true;
        if let Some(waited) = examine(task, &child, options) {
            return Ok(Some(waited));
        }
    }
    if any { Ok(None) } else { Err(Errno::ECHILD) }
}

fn examine(task: &Task, child: &Arc<ThreadGroup>, options: WaitOptions) -> Option<Waited> {
    let keep = options.contains(WaitOptions::NOWAIT);
    let uid = child.leader().map_or(0, |leader| leader.cred().uid.0);
    let waited = |status| Waited { pid: task.nr_of(&child.pid), uid, status, usage: GroupUsage::default() };
    let (exit_state, job) = {
        let state = child.state.lock();
        (state.exit, state.job)
    };
    if let ExitState::Zombie(status) = exit_state {
        if !options.contains(WaitOptions::EXITED) {
            return None;
        }
        let usage = if keep {
            let mut usage = child.usage();
            usage.add(&child.children_usage.lock());
            usage
        } else {
            exit::reap_into(&task.group, child)
        };
        return Some(Waited { usage, ..waited(status) });
    }
    match job {
        JobControl::Stopped { signal, reported: false } if options.contains(WaitOptions::STOPPED) => {
            if !keep {
                child.state.lock().job = JobControl::Stopped { signal, reported: true };
            }
            Some(waited(i32::from(signal.raw()) << 8 | 0x7f))
        }
        JobControl::Continued if options.contains(WaitOptions::CONTINUED) => {
            if !keep {
                child.state.lock().job = JobControl::Running;
            }
            Some(waited(0xffff))
        }
        _ => None,
    }
}
