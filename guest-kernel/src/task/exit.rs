//! The end of a thread and of a process, and who is told.
//!
//! Source: Linux 6.12 kernel/exit.c do_exit(), exit_notify(), is_orphaned_pgrp(), kernel/signal.c do_notify_parent(), kernel/fork.c
//! mm_release().

use alloc::sync::{Arc, Weak};
use core::sync::atomic::Ordering::Relaxed;

use super::futex::{Key, MATCH_ANY, Sharing};
use super::{ExitState, GroupUsage, JobControl, ProcessGroup, Task, TaskFlags, ThreadGroup, reaper, robust_list};
use crate::cred::OVERFLOW_ID;
use crate::mm::MmUser;
use crate::platform;
use crate::sched;
use crate::signal::send::{self, Force};
use crate::signal::{Origin, SigInfo, Signal};

const CLD_EXITED: i32 = 1;
const CLD_KILLED: i32 = 2;
const CLD_DUMPED: i32 = 3;
const CLD_STOPPED: i32 = 5;
const CLD_CONTINUED: i32 = 6;
/// Clock ticks per second that user space sees (`USER_HZ`) as nanoseconds per tick.
const NS_PER_TICK: u64 = 10_000_000;

/// Marks the calling thread as ending with `status` (wait form); it ends before it returns to user mode.
pub fn request(task: &Task, status: i32) {
    task.exit_code.store(status, Relaxed);
    task.exit_requested.store(true, Relaxed);
    task.thread.signal_pending.store(true, Relaxed);
}

/// The wait status with which the thread is to end, if it is to.
pub fn requested(task: &Task) -> Option<i32> {
    if task.exit_requested.load(Relaxed) {
        return Some(task.exit_code.load(Relaxed));
    }
    let status = task.group.state.lock().group_exit?;
    // Whoever did not ask for it itself ends as by SIGKILL (get_signal()).
    task.set_flags(TaskFlags::SIGNALED);
    Some(status)
}

/// Ends the running thread with `status` (wait form).
pub fn finish(task: Arc<Task>, status: i32) -> ! {
    task.set_flags(TaskFlags::EXITING.union(TaskFlags::POSTCOREDUMP));
    task.exit_code.store(status, Relaxed);
    task.thread.account_system();
    release_memory(&task);
    // Closing descriptors may wake others and free a lot: no lock is held.
    let files = task.files.lock().take();
    drop(files);
    let fs = task.fs.lock().take();
    drop(fs);
    // The last one out of a mount namespace unmounts everything in it.
    let nsproxy = task.nsproxy.lock().take();
    drop(nsproxy);
    if let Some(done) = task.vfork_done.lock().take() {
        done.complete();
    }
    leave_group(&task, status);
    drop(task);
    sched::finish_dead()
}

fn release_memory(task: &Arc<Task>) {
    let Some(mm) = task.take_mm() else { return };
    leave_memory(task, &mm);
    let hiwater = mm.snapshot().usage.peak_rss_pages();
    {
        let mut usage = task.group.dead_usage.lock();
        usage.max_rss_pages = usage.max_rss_pages.max(hiwater);
    }
    // The page table goes with the last user: stand on the kernel's own first.
    task.thread.set_root(None);
    platform::load_address_space(platform::kernel_root());
    drop(mm);
}

/// Tells those who wait for the thread to leave the address space `mm`, by exit or exec (mm_release()).
pub(super) fn leave_memory(task: &Task, mm: &MmUser) {
    robust_list::release(task, mm);
    let tid_address = task.clear_child_tid.swap(0, Relaxed);
    if tid_address != 0
        && mm.is_shared()
        && mm.copy_out(tid_address, &0u32.to_le_bytes()).is_ok()
        && let Ok(key) = Key::of(mm.mm(), tid_address, Sharing::Shared)
    {
        task.kernel.futexes.wake(&key, 1, MATCH_ANY);
    }
}

/// Takes the thread out of its process; the last one makes the process a zombie.
fn leave_group(task: &Arc<Task>, status: i32) {
    let group = task.group.clone();
    let is_leader = task.is_leader();
    group.dead_usage.lock().add(&GroupUsage::of(task));
    if !is_leader {
        group.threads.lock().retain(|other| !Arc::ptr_eq(other, task));
        task.kernel.tasks.remove(task);
        task.kernel.counters.tasks.fetch_sub(1, Relaxed);
    }
    task.has_left.store(true, Relaxed);
    let all_ended = group.threads().iter().all(|other| other.has_left.load(Relaxed));
    if !all_ended {
        reaper::leave_children_to_sibling(task);
        group.exec_wait.wake_all();
        return;
    }
    // The last thread's status is the process's (synchronize_group_exit()).
    let status = group.state.lock().group_exit.unwrap_or(status);
    if group.is_init() {
        crate::start::init_has_ended(task.kernel, status);
    }
    group.state.lock().group_exit = Some(status);
    end_process(task, &group);
}

fn end_process(task: &Arc<Task>, group: &Arc<ThreadGroup>) {
    super::real_timer::stop(group);
    let pgrp = group.pgrp();
    if Arc::ptr_eq(&pgrp.session.pid, &group.pid)
        && let Some(tty) = pgrp.session.tty()
    {
        tty.session_leader_ended();
        pgrp.session.set_tty(None);
    }
    if group.pid.is_reaper() && !task.is_kernel_thread() {
        reaper::zap_namespace(task, group.pid.ns());
    }
    reaper::adopt_children(group);
    let status = {
        let mut state = group.state.lock();
        let status = state.group_exit.unwrap_or(0);
        state.exit = ExitState::Zombie(status);
        status
    };
    // Now, and not before, since the end of a namespace takes time in which the parent may end.
    let Some(parent) = group.parent() else {
        reap(group);
        return;
    };
    orphan_check(&pgrp, &parent);
    notify_parent(group, &parent, status);
}

/// Tells the parent of the end, and reaps at once where it does not care (do_notify_parent()).
pub(super) fn notify_parent(group: &Arc<ThreadGroup>, parent: &Arc<ThreadGroup>, status: i32) {
    let (asked_for, parent_exec_id) = {
        let state = group.state.lock();
        (state.exit_signal, state.parent_exec_id)
    };
    // The program that asked for another signal may be gone.
    let is_same_program = parent_exec_id == parent.exec_id.load(Relaxed);
    let exit_signal = asked_for.map(|signal| if is_same_program { signal } else { Signal::CHLD });
    let ignored = exit_signal == Some(Signal::CHLD) && {
        let handlers = parent.handlers.lock();
        let action = handlers.get(Signal::CHLD);
        action.handler == 1 || action.flags & crate::signal::SA_NOCLDWAIT != 0
    };
    if let Some(signal) = exit_signal {
        let (code, status) = match status & 0x7f {
            0 => (CLD_EXITED, (status >> 8) & 0xff),
            killed if status & 0x80 != 0 => (CLD_DUMPED, killed),
            killed => (CLD_KILLED, killed),
        };
        send::to_group(parent, child_info(group, parent, signal, code, status), Force::No);
    }
    if ignored {
        reap(group);
    }
    parent.child_wait.wake_all();
}

/// The real user of `group` by the number that the user namespace of `other` has for it.
pub(super) fn uid_as_seen_by(group: &ThreadGroup, other: &ThreadGroup) -> u32 {
    let (Some(leader), Some(other)) = (group.leader(), other.leader()) else { return OVERFLOW_ID };
    other.cred().user_ns.from_kuid_munged(leader.cred().uid)
}

fn child_info(group: &Arc<ThreadGroup>, parent: &ThreadGroup, signal: Signal, code: i32, status: i32) -> SigInfo {
    let usage = group.usage();
    let uid = uid_as_seen_by(group, parent);
    SigInfo {
        signal,
        origin: Origin::Child {
            code,
            pid: group.pid.nr_in(parent.pid.ns()),
            uid,
            status,
            utime: usage.user_ns / NS_PER_TICK,
            stime: usage.system_ns / NS_PER_TICK,
        },
    }
}

/// Whether no member of `pgrp` has a parent in another group of the same session.
pub fn is_orphaned(pgrp: &Arc<ProcessGroup>) -> bool {
    pgrp.members().iter().all(|member| {
        if member.state.lock().exit != ExitState::Alive {
            return true;
        }
        let Some(parent) = member.parent() else { return true };
        let parents = parent.pgrp();
        Arc::ptr_eq(&parents, pgrp) || !Arc::ptr_eq(&parents.session, &pgrp.session) || parent.is_init()
    })
}

/// A group that loses its last link to its session and has stopped members gets SIGHUP and SIGCONT.
pub(super) fn orphan_check(pgrp: &Arc<ProcessGroup>, parent: &Arc<ThreadGroup>) {
    let parents = parent.pgrp();
    if Arc::ptr_eq(&parents, pgrp) || !Arc::ptr_eq(&parents.session, &pgrp.session) {
        return;
    }
    if !is_orphaned(pgrp) {
        return;
    }
    let members = pgrp.members();
    if members.iter().any(|member| matches!(member.state.lock().job, JobControl::Stopped { .. })) {
        send::to_process_group(pgrp, Signal::HUP, Force::No);
        send::to_process_group(pgrp, Signal::CONT, Force::No);
    }
}

/// Tells the parent that `group` has stopped or goes on.
pub fn notify_parent_of_job_control(group: &Arc<ThreadGroup>) {
    let Some(parent) = group.parent() else { return };
    let (code, status) = match group.state.lock().job {
        JobControl::Stopped { signal, .. } => (CLD_STOPPED, i32::from(signal.raw())),
        _ => (CLD_CONTINUED, i32::from(Signal::CONT.raw())),
    };
    let wants = parent.handlers.lock().get(Signal::CHLD).flags & crate::signal::SA_NOCLDSTOP == 0;
    if wants {
        send::to_group(&parent, child_info(group, &parent, Signal::CHLD, code, status), Force::No);
    }
    parent.child_wait.wake_all();
}

/// Reaps a zombie child of `parent`, which takes over what it has used.
pub(super) fn reap_into(parent: &ThreadGroup, child: &Arc<ThreadGroup>) -> GroupUsage {
    let mut usage = child.usage();
    usage.add(&child.children_usage.lock());
    parent.children_usage.lock().add(&usage);
    reap(child);
    usage
}

/// Removes a zombie for good; its number may be given out again.
pub fn reap(group: &Arc<ThreadGroup>) {
    let parent = {
        let mut state = group.state.lock();
        state.exit = ExitState::Reaped;
        core::mem::replace(&mut state.parent, Weak::new()).upgrade()
    };
    if let Some(parent) = parent {
        parent.state.lock().children.retain(|child| !Arc::ptr_eq(child, group));
    }
    group.kernel.tasks.leave(group, &group.pgrp());
    if let Some(leader) = group.leader() {
        let times = group.usage();
        group.kernel.counters.dead_user_ns.fetch_add(times.user_ns, Relaxed);
        group.kernel.counters.dead_system_ns.fetch_add(times.system_ns, Relaxed);
        group.kernel.tasks.remove(&leader);
        group.kernel.counters.tasks.fetch_sub(1, Relaxed);
    }
    let threads = core::mem::take(&mut *group.threads.lock());
    drop(threads);
    group.set_leader(None);
}
