//! Who takes the children of what has ended, and the end of a pid namespace.
//!
//! Owns the choice of a new parent: another thread of the process, the nearest subreaper, the first process of the namespace; and
//! what that first process does at its own end, after which its namespace is empty for good.
//! Source: Linux 6.12 kernel/exit.c forget_original_parent(), find_new_reaper(), reparent_leader(); kernel/pid_namespace.c
//! zap_pid_ns_processes(), reboot_pid_ns(); pid_namespaces(7).

use alloc::sync::{Arc, Weak};
use core::sync::atomic::Ordering::Relaxed;

use super::{ExitState, Task, ThreadGroup, exit};
use crate::pid::{PidNs, REAPER_NR};
use crate::sched::{WaitMode, WaitQueue, Wake, Wchan};
use crate::signal::send::{self, Force};
use crate::signal::{Origin, SI_USER, SigAction, SigInfo, Signal};

/// A thread has ended and others of its process live: one of them becomes the parent of its children.
pub(super) fn leave_children_to_sibling(task: &Arc<Task>) {
    let Some(sibling) = task.group.threads().into_iter().find(|other| !other.is_dead()) else { return };
    for child in task.group.children_of(task) {
        child.state.lock().parent_thread = Arc::downgrade(&sibling);
        tell_of_parents_death(&child, &task.group);
    }
}

/// A process has ended: its children become its reaper's. What their exit signal was, it is SIGCHLD now.
pub(super) fn adopt_children(group: &Arc<ThreadGroup>) {
    let children = core::mem::take(&mut group.state.lock().children);
    if children.is_empty() {
        return;
    }
    let Some(reaper) = find_reaper(group) else { return };
    let thread = living_thread(&reaper).map_or_else(Weak::new, |thread| Arc::downgrade(&thread));
    for child in &children {
        let mut state = child.state.lock();
        state.parent = Arc::downgrade(&reaper);
        state.parent_thread = thread.clone();
        drop(state);
        reaper.state.lock().children.push(child.clone());
        tell_of_parents_death(child, group);
    }
    for child in &children {
        child.state.lock().exit_signal = Some(Signal::CHLD);
        let ended = match child.state.lock().exit {
            ExitState::Zombie(status) => Some(status),
            _ => None,
        };
        if let Some(status) = ended {
            exit::notify_parent(child, &reaper, status);
        }
        exit::orphan_check(&child.pgrp(), group);
    }
}

/// `prctl(PR_SET_PDEATHSIG)`: each thread that asked is told.
fn tell_of_parents_death(child: &Arc<ThreadGroup>, parent: &ThreadGroup) {
    for thread in child.threads() {
        let Some(signal) = Signal::from_raw(u64::from(thread.parent_death_signal.load(Relaxed))) else { continue };
        let pid = parent.pid.nr_in(child.pid.ns());
        let uid = exit::uid_as_seen_by(parent, child);
        let force = if pid == 0 { Force::Outside } else { Force::No };
        send::to_group(child, SigInfo { signal, origin: Origin::Process { code: SI_USER, pid, uid, value: 0 } }, force);
    }
}

fn living_thread(group: &ThreadGroup) -> Option<Arc<Task>> {
    group.threads().into_iter().find(|thread| !thread.is_dead())
}

/// The nearest living ancestor in the same namespace that asked for the orphans below it (`PR_SET_CHILD_SUBREAPER`), else the
/// first process of the namespace.
fn find_reaper(group: &Arc<ThreadGroup>) -> Option<Arc<ThreadGroup>> {
    let ns = group.pid.ns();
    let mut at = group.parent();
    // A parent on another level has injected the process from outside: its ancestors are none of the namespace's.
    while let Some(ancestor) = at.filter(|ancestor| ancestor.pid.ns().level() == ns.level()) {
        if ancestor.state.lock().is_subreaper && living_thread(&ancestor).is_some() {
            return Some(ancestor);
        }
        at = ancestor.parent();
    }
    group.kernel.tasks.group(ns, REAPER_NR)
}

/// The first process of `ns` ends, `task` as its last thread: every other process in the namespace is killed and waited for.
///
/// # Context
/// Sleeps until all are gone; no lock may be held.
pub(super) fn zap_namespace(task: &Arc<Task>, ns: &Arc<PidNs>) {
    let group = &task.group;
    ns.close();
    // Children that end from now on reap themselves.
    group.handlers.lock().set(Signal::CHLD, SigAction::ignore());
    for other in group.kernel.tasks.groups(ns) {
        if !Arc::ptr_eq(&other, group) && other.state.lock().exit == ExitState::Alive {
            send::start_group_exit(&other, i32::from(Signal::KILL.raw()));
        }
    }
    wait_whatever_comes(task, &group.child_wait, || {
        for child in group.children() {
            let is_zombie = matches!(child.state.lock().exit, ExitState::Zombie(_));
            if is_zombie {
                exit::reap_into(group, &child);
            }
        }
        group.children().is_empty()
    });
    // Then for those whose parents are outside of the namespace.
    let own = if task.is_leader() { 1 } else { 2 };
    wait_whatever_comes(task, ns.emptied(), || ns.allocated() <= own);
    if let Some(status) = ns.reboot_status() {
        group.state.lock().group_exit = Some(status);
    }
}

/// Waits for `ready`, for which no signal is a reason to stop waiting, in a state that does not count as load.
fn wait_whatever_comes(task: &Task, queue: &WaitQueue, mut ready: impl FnMut() -> bool) {
    loop {
        task.thread.signal_pending.store(false, Relaxed);
        task.thread.kill_pending.store(false, Relaxed);
        if queue.wait(Wchan::ZapPidNsProcesses, WaitMode::Interruptible, None, &mut ready) == Wake::Event {
            return;
        }
    }
}

/// reboot(2) in a namespace below the initial one: its first process ends as if by `signal`. The caller must end, too.
pub fn reboot_namespace(task: &Task, signal: Signal) {
    let ns = task.pid_ns();
    ns.set_reboot_status(i32::from(signal.raw()));
    if let Some(reaper) = task.kernel.tasks.group(&ns, REAPER_NR) {
        send::to_group(&reaper, SigInfo::kernel(Signal::KILL), Force::Outside);
    }
}
