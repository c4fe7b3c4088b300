//! What execve(2) does to the other threads of a process: they end, and the caller becomes its leader.
//!
//! Invariant: afterwards the caller is the only thread and has the number of the process, whichever thread it was before.
//! Source: Linux 6.12 fs/exec.c de_thread(), kernel/pid.c exchange_tids(), kernel/signal.c zap_other_threads().

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;

use super::{Task, exit};
use crate::sched::{self, WaitMode, Wake, Wchan};

/// Ends the other threads of the process, waits for them, and makes `task` the leader.
///
/// # Errors
/// EAGAIN when the process ends, or another thread of it executes a program: the caller ends before it returns to user mode.
///
/// # Context
/// Sleeps; no lock may be held.
pub(super) fn de_thread(task: &Arc<Task>) -> Result<(), Errno> {
    let group = &task.group;
    {
        let mut state = group.state.lock();
        if state.group_exit.is_some() || state.is_executing {
            return Err(Errno::EAGAIN);
        }
        state.is_executing = true;
    }
    let is_other = |thread: &Arc<Task>| !Arc::ptr_eq(thread, task);
    for other in group.threads().into_iter().filter(|thread| is_other(thread) && !thread.is_dead()) {
        exit::request(&other, 0);
        other.thread.kill_pending.store(true, Relaxed);
        sched::wake(&other.thread);
    }
    let all_have_left = || group.threads().iter().all(|thread| !is_other(thread) || thread.has_left.load(Relaxed));
    let wake = group.exec_wait.wait(Wchan::EndOtherThreads, WaitMode::Killable, None, all_have_left);
    group.state.lock().is_executing = false;
    if wake != Wake::Event {
        return Err(Errno::EAGAIN);
    }
    if !task.is_leader() {
        take_over(task);
    }
    Ok(())
}

/// `task` takes the place of the leader, which has ended, under all its numbers, and its age with it.
fn take_over(task: &Arc<Task>) {
    let group = &task.group;
    let Some(leader) = group.leader() else { return };
    group.kernel.tasks.remove(task);
    group.kernel.tasks.replace(&group.pid, task);
    let own = core::mem::replace(&mut *task.pid.lock(), group.pid.clone());
    let leaders = core::mem::replace(&mut *leader.pid.lock(), own);
    drop(leaders);
    task.start_ns.store(leader.start_ns(), Relaxed);
    group.set_leader(Some(task.clone()));
    group.threads.lock().retain(|thread| !Arc::ptr_eq(thread, &leader));
    group.kernel.counters.tasks.fetch_sub(1, Relaxed);
}
