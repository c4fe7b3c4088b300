//! Sending: which process or thread gets a signal, and who is woken by it.
//!
//! Source: Linux 6.12 kernel/signal.c prepare_signal(), complete_signal(), __send_signal_locked().

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use super::{Default, Disposition, Origin, Pushed, SigInfo, SigSet, Signal, UserAccount};
use crate::sched;
use crate::task::{ExitState, JobControl, Resource, Task, ThreadGroup};

/// Whether a signal reaches the first process of a pid namespace although it has no handler for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// From inside: without a handler nothing reaches it.
    No,
    /// From an ancestor namespace or the kernel: SIGKILL and SIGSTOP do, but not to the first process of all.
    Outside,
    /// From the host, by the VM's terminal or a client: it ends the first process of all as it would end any other, where Linux would
    /// protect it; for the first process of another namespace the same as `Outside`.
    Host,
}

/// Whose queue a signal to `task` fills.
fn account_of(task: &Task) -> UserAccount {
    task.kernel.queued_signals.of(task.cred().uid)
}

/// Sends `info` to a process as a whole.
pub fn to_group(group: &Arc<ThreadGroup>, info: SigInfo, force: Force) -> Pushed {
    let Some(leader) = group.leader().filter(|_| matches!(group.state.lock().exit, ExitState::Alive)) else {
        return Pushed::Waits;
    };
    let blocked = leader.signals.lock().all_blocked();
    if !prepare(group, &info, blocked, force) {
        return Pushed::Waits;
    }
    let limit = group.limits.lock().get(Resource::Sigpending).soft;
    let account = account_of(&leader);
    let pushed = group.pending.lock().push(info, &account, usize::try_from(limit).unwrap_or(usize::MAX));
    if pushed == Pushed::Waits {
        complete(group, None, info.signal);
    }
    pushed
}

/// Sends `info` to one thread.
pub fn to_task(task: &Arc<Task>, info: SigInfo, force: Force) -> Pushed {
    if task.is_dead() {
        return Pushed::Waits;
    }
    let blocked = task.signals.lock().all_blocked();
    if !prepare(&task.group, &info, blocked, force) {
        return Pushed::Waits;
    }
    let limit = task.group.limits.lock().get(Resource::Sigpending).soft;
    let account = account_of(task);
    let pushed = task.signals.lock().pending.push(info, &account, usize::try_from(limit).unwrap_or(usize::MAX));
    if pushed == Pushed::Waits {
        complete(&task.group, Some(task), info.signal);
    }
    pushed
}

/// A fault of the running instruction: it is delivered even when blocked or ignored, which then kills.
///
/// Source: Linux 6.12 kernel/signal.c force_sig_info_to_task().
pub fn fault(task: &Arc<Task>, signal: Signal, code: i32, address: u64) {
    let was_blocked = {
        let mut signals = task.signals.lock();
        let was = signals.blocked.has(signal);
        signals.blocked = signals.blocked.without(signal);
        was
    };
    {
        let mut handlers = task.group.handlers.lock();
        if was_blocked || handlers.disposition(signal) == Disposition::Ignore {
            handlers.set(signal, super::SigAction::default());
        }
        if matches!(handlers.disposition(signal), Disposition::Default(_)) {
            task.group.is_unkillable.store(false, Relaxed);
        }
    }
    let info = SigInfo { signal, origin: Origin::Fault { code, address } };
    let account = account_of(task);
    task.signals.lock().pending.push(info, &account, usize::MAX);
    task.thread.signal_pending.store(true, Relaxed);
}

/// Does what must happen before a signal is queued; false when it is to be dropped.
fn prepare(group: &Arc<ThreadGroup>, info: &SigInfo, blocked: SigSet, force: Force) -> bool {
    let signal = info.signal;
    if SigSet::STOPS.has(signal) {
        discard(group, SigSet::EMPTY.with(Signal::CONT));
    } else if signal == Signal::CONT {
        discard(group, SigSet::STOPS);
        resume(group);
    }
    if blocked.has(signal) {
        return true;
    }
    let disposition = group.handlers.lock().disposition(signal);
    if group.is_unkillable.load(Relaxed)
        && matches!(disposition, Disposition::Default(_))
        && !reaches_reaper(group, signal, force)
    {
        return false;
    }
    !matches!(disposition, Disposition::Ignore | Disposition::Default(Default::Ignore))
}

/// Whether a signal without a handler gets through to the first process of a namespace (sig_task_ignored()).
fn reaches_reaper(group: &ThreadGroup, signal: Signal, force: Force) -> bool {
    match (group.is_init(), force) {
        (true, Force::Host) => {
            // As for a fault: what is forced takes the protection away.
            group.is_unkillable.store(false, Relaxed);
            true
        }
        (false, Force::Outside | Force::Host) => SigSet::UNBLOCKABLE.has(signal),
        _ => false,
    }
}

fn discard(group: &Arc<ThreadGroup>, set: SigSet) {
    group.pending.lock().discard(set);
    for task in group.threads() {
        task.signals.lock().pending.discard(set);
    }
}

/// Lets a stopped process go on, and tells its parent.
fn resume(group: &Arc<ThreadGroup>) {
    let was_stopped = {
        let mut state = group.state.lock();
        let was = matches!(state.job, JobControl::Stopped { .. });
        if was {
            state.job = JobControl::Continued;
        }
        was
    };
    if was_stopped {
        group.continue_wait.wake_all();
        for task in group.threads() {
            recalculate(&task);
        }
        crate::task::exit::notify_parent_of_job_control(group);
    }
}

fn complete(group: &Arc<ThreadGroup>, only: Option<&Arc<Task>>, signal: Signal) {
    let disposition = group.handlers.lock().disposition(signal);
    let kills = matches!(disposition, Disposition::Default(Default::Terminate)) || signal == Signal::KILL;
    let threads = match only {
        Some(task) => alloc::vec![task.clone()],
        None => group.threads(),
    };
    // What is stopped takes nothing but SIGKILL until it goes on (wants_signal()).
    let stopped = signal != Signal::KILL && matches!(group.state.lock().job, JobControl::Stopped { .. });
    let takes = |task: &Arc<Task>| !stopped && !task.is_dead() && !task.signals.lock().blocked.has(signal);
    let dies = |task: &Arc<Task>| takes(task) && !task.signals.lock().waited_for.has(signal);
    if kills && threads.iter().any(dies) {
        start_group_exit(group, i32::from(signal.raw()));
        return;
    }
    if let Some(task) = threads.iter().find(|task| takes(task)) {
        task.thread.signal_pending.store(true, Relaxed);
        wake(task);
    }
}

/// Every thread of the process is to end with this wait status; the first caller's status counts.
pub fn start_group_exit(group: &Arc<ThreadGroup>, status: i32) {
    {
        let mut state = group.state.lock();
        if state.group_exit.is_none() {
            state.group_exit = Some(status);
        }
        state.job = JobControl::Running;
    }
    group.continue_wait.wake_all();
    for task in group.threads() {
        task.thread.kill_pending.store(true, Relaxed);
        task.thread.signal_pending.store(true, Relaxed);
        sched_wake_killable(&task);
    }
}

fn wake(task: &Arc<Task>) {
    if task.thread.state() == sched::ThreadState::Interruptible {
        sched::wake(&task.thread);
    }
}

fn sched_wake_killable(task: &Arc<Task>) {
    if !task.is_dead() && task.thread.state() != sched::ThreadState::Running {
        sched::wake(&task.thread);
    }
}

/// Looks again whether anything waits for `task`; after its mask or the queues have changed.
pub fn recalculate(task: &Task) {
    let (blocked, own) = {
        let signals = task.signals.lock();
        (signals.blocked, signals.pending.set())
    };
    let shared = task.group.pending.lock().set();
    let (exiting, stopped) = {
        let state = task.group.state.lock();
        (state.group_exit.is_some(), matches!(state.job, JobControl::Stopped { .. }))
    };
    let waits = !own.or(shared).minus(blocked).is_empty() || exiting || stopped;
    task.thread.signal_pending.store(waits, Relaxed);
}

/// Asks every thread to stop: they look at the process's state before they return to user mode.
pub fn stop_threads(group: &Arc<ThreadGroup>) {
    for task in group.threads() {
        task.thread.signal_pending.store(true, Relaxed);
        wake(&task);
    }
}

/// Sends `signal` from the kernel to every member of a process group.
pub fn to_process_group(group: &Arc<crate::task::ProcessGroup>, signal: Signal, force: Force) {
    for member in group.members() {
        to_group(&member, SigInfo::kernel(signal), force);
    }
}
