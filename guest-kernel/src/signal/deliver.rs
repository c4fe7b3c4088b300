//! What a thread does about its signals before it returns to user mode.
//!
//! Source: Linux 6.12 kernel/signal.c get_signal(), do_signal_stop(); arch/x86/kernel/signal.c arch_do_signal_or_restart().

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use super::action::{SA_NODEFER, SA_RESETHAND, SA_RESTART};
use super::{Default, Disposition, SigAction, SigInfo, SigSet, Signal, frame, send};
use crate::platform::UserContext;
use crate::sched::{WaitMode, Wchan};
use crate::syscall::restart::Restart;
use crate::task::{JobControl, Task, exit, real_timer};

/// Whether the thread goes on in user mode or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes on.
    User,
    /// It ends with this wait status.
    Exit(i32),
}

/// Delivers what waits. `restart` says how the system call that a signal interrupted goes on.
pub fn before_user(task: &Arc<Task>, mut restart: Option<Restart>) -> Next {
    loop {
        if let Some(status) = exit::requested(task) {
            return Next::Exit(status);
        }
        let stopped = matches!(task.group.state.lock().job, JobControl::Stopped { .. });
        if stopped {
            wait_for_continue(task);
            continue;
        }
        let Some(info) = next_signal(task) else { break };
        let action = task.group.handlers.lock().get(info.signal);
        let disposition = task.group.handlers.lock().disposition(info.signal);
        match disposition {
            Disposition::Ignore | Disposition::Default(Default::Ignore | Default::Continue) => {}
            // One that was blocked when it came; SIGKILL and SIGSTOP are here from outside only.
            Disposition::Default(_)
                if task.group.is_unkillable.load(Relaxed) && !SigSet::UNBLOCKABLE.has(info.signal) => {}
            Disposition::Default(Default::Stop) => stop(task, info.signal),
            Disposition::Default(Default::Terminate) => {
                send::start_group_exit(&task.group, i32::from(info.signal.raw()));
            }
            Disposition::Default(Default::Core) => {
                // No core is written: without WCOREFLAG, as Linux reports it when RLIMIT_CORE is 0.
                send::start_group_exit(&task.group, i32::from(info.signal.raw()));
            }
            Disposition::Handler => {
                if !handle(task, &info, action, restart.take()) {
                    if info.signal == Signal::SEGV {
                        // Its own handler cannot run: for lack of a stack it would be tried for ever (force_sigsegv()).
                        task.group.handlers.lock().set(Signal::SEGV, SigAction::default());
                    }
                    send::fault(task, Signal::SEGV, super::info::SI_KERNEL, 0);
                }
            }
        }
    }
    if let Some(restart) = restart {
        with_context(task, |context| restart.rewind(context));
    }
    restore_saved_mask(task);
    Next::User
}

fn with_context<R>(task: &Task, f: impl FnOnce(&mut UserContext) -> R) -> R {
    f(task.thread.user.lock().as_mut().expect("a task that returns to user mode has a user context"))
}

fn next_signal(task: &Arc<Task>) -> Option<SigInfo> {
    let blocked = task.signals.lock().blocked;
    let own = task.signals.lock().pending.pop(blocked);
    let info = own.or_else(|| {
        let shared = task.group.pending.lock().pop(blocked);
        if shared.as_ref().is_some_and(|info| info.signal == Signal::ALRM) {
            real_timer::signal_taken(&task.group);
        }
        shared
    });
    send::recalculate(task);
    info
}

/// After a sigsuspend, ppoll or pselect whose signal had no handler: the old mask comes back.
fn restore_saved_mask(task: &Arc<Task>) {
    let restored = {
        let mut signals = task.signals.lock();
        match signals.saved.take() {
            Some(mask) => {
                signals.blocked = mask;
                true
            }
            None => false,
        }
    };
    if restored {
        send::recalculate(task);
    }
}

fn handle(task: &Arc<Task>, info: &SigInfo, action: SigAction, restart: Option<Restart>) -> bool {
    if let Some(restart) = restart {
        let restarts = restart == Restart::IfAsked && action.flags & SA_RESTART != 0;
        if restarts {
            with_context(task, |context| restart.rewind(context));
        } else {
            task.restart_deadline_ns.store(0, Relaxed);
        }
    }
    if action.flags & SA_RESETHAND != 0 {
        task.group.handlers.lock().set(info.signal, SigAction::default());
    }
    let old_mask = {
        let mut signals = task.signals.lock();
        let blocked = signals.blocked;
        signals.saved.take().unwrap_or(blocked)
    };
    if !frame::push(task, info, &action, old_mask) {
        return false;
    }
    {
        let mut signals = task.signals.lock();
        let mut blocked = signals.blocked.or(action.mask);
        if action.flags & SA_NODEFER == 0 {
            blocked = blocked.with(info.signal);
        }
        signals.blocked = blocked.minus(SigSet::UNBLOCKABLE);
    }
    send::recalculate(task);
    true
}

fn stop(task: &Arc<Task>, signal: Signal) {
    if signal != Signal::STOP && exit::is_orphaned(&task.group.pgrp()) {
        return;
    }
    let newly = {
        let mut state = task.group.state.lock();
        let newly = !matches!(state.job, JobControl::Stopped { .. }) && state.group_exit.is_none();
        if newly {
            state.job = JobControl::Stopped { signal, reported: false };
        }
        newly
    };
    if newly {
        send::stop_threads(&task.group);
        exit::notify_parent_of_job_control(&task.group);
    }
}

fn wait_for_continue(task: &Arc<Task>) {
    let group = task.group.clone();
    task.group.continue_wait.wait(Wchan::DoSignalStop, WaitMode::Stopped, None, || {
        !matches!(group.state.lock().job, JobControl::Stopped { .. })
    });
    send::recalculate(task);
}
