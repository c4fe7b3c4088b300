//! kill, sigaction and their kin.
//!
//! Source: Linux 6.12 kernel/signal.c; kill(2), sigaction(2), sigprocmask(2), sigaltstack(2).

use alloc::sync::Arc;

use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of, read_timespec};
use crate::cred::{Capability, OVERFLOW_ID};
use crate::pid::REAPER_NR;
use crate::sched::{WaitMode, WaitQueue, Wake, Wchan};
use crate::signal::send::{self, Force};
use crate::signal::{
    Origin, Pushed, SI_KERNEL, SI_TKILL, SI_USER, SigAction, SigInfo, SigSet, Signal, on_alt_stack, sigreturn,
};
use crate::task::{Task, real_timer};
use crate::time::monotonic_ns;

const SIGSET_BYTES: u64 = 8;

/// Whether `task` may send `signal` to `target` (Linux kill_ok_by_cred() and check_kill_permission()).
fn may_signal(task: &Arc<Task>, target: &Task, signal: Option<Signal>) -> bool {
    let (from, to) = (task.cred(), target.cred());
    if Arc::ptr_eq(&task.group, &target.group)
        || from.euid == to.suid
        || from.euid == to.uid
        || from.uid == to.suid
        || from.uid == to.uid
        || from.has_in(&to.user_ns, Capability::Kill)
    {
        return true;
    }
    signal == Some(Signal::CONT) && Arc::ptr_eq(&task.group.pgrp().session, &target.group.pgrp().session)
}

fn user_info(task: &Task, signal: Signal, code: i32) -> SigInfo {
    let (pid, cred) = (task.nr_of(&task.group.pid), task.cred());
    let uid = cred.user_ns.from_kuid_munged(cred.uid);
    SigInfo { signal, origin: Origin::Process { code, pid, uid, value: 0 } }
}

/// `signal` as the target sees it: the user by the number that the target's user namespace has for it; from outside of its pid
/// namespace the sender has no number there, and even the namespace's first process obeys SIGKILL and SIGSTOP
/// (send_signal_locked()).
fn as_seen_by(task: &Task, target: &Task, mut info: SigInfo) -> (SigInfo, Force) {
    if let Origin::Process { uid, .. } = &mut info.origin {
        let (from, to) = (task.cred().user_ns.clone(), target.cred().user_ns.clone());
        if !Arc::ptr_eq(&from, &to) {
            *uid = from.make_kuid(*uid).map_or(OVERFLOW_ID, |kuid| to.from_kuid_munged(kuid));
        }
    }
    let is_from_kernel = info.code() == SI_KERNEL;
    if task.pid().nr_in(&target.pid_ns()) != 0 {
        return (info, if is_from_kernel { Force::Outside } else { Force::No });
    }
    if let Origin::Process { pid, .. } = &mut info.origin {
        *pid = 0;
    }
    (info, Force::Outside)
}

/// `None` for signal 0, which only asks.
fn signal_or_probe(raw: i32) -> Result<Option<Signal>, Errno> {
    if raw == 0 {
        return Ok(None);
    }
    u64::try_from(raw).ok().and_then(Signal::from_raw).map(Some).ok_or(Errno::EINVAL)
}

/// The rights for signal `raw`, looked at once the target has been found (check_kill_permission()).
fn check(task: &Arc<Task>, target: &Task, raw: i32) -> Result<Option<Signal>, Errno> {
    let signal = signal_or_probe(raw)?;
    if may_signal(task, target, signal) { Ok(signal) } else { Err(Errno::EPERM) }
}

/// Sends to the process of `target`.
fn to_process(
    task: &Arc<Task>,
    target: &Arc<Task>,
    raw: i32,
    info: impl FnOnce(Signal) -> SigInfo,
) -> Result<(), Errno> {
    if let Some(signal) = check(task, target, raw)? {
        let (info, force) = as_seen_by(task, target, info(signal));
        if send::to_group(&target.group, info, force) == Pushed::OverLimit {
            return Err(Errno::EAGAIN);
        }
    }
    Ok(())
}

pub fn sys_kill(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (nr, raw) = (args.int(0), args.int(1));
    let user = |signal| user_info(task, signal, SI_USER);
    if nr > 0 {
        let target = task.find_task(nr).ok_or(Errno::ESRCH)?;
        return to_process(task, &target, raw, user).map(|()| 0);
    }
    if nr == i32::MIN {
        return Err(Errno::ESRCH);
    }
    if nr == -1 {
        return kill_all(task, raw);
    }
    let pgrp = if nr == 0 { Some(task.group.pgrp()) } else { task.find_process_group(-nr) };
    let members = pgrp.map_or_else(alloc::vec::Vec::new, |pgrp| pgrp.members());
    // One success is enough; else the last error (__kill_pgrp_info()).
    let mut result = Err(Errno::ESRCH);
    for leader in members.iter().filter_map(|group| group.leader()) {
        let sent = to_process(task, &leader, raw, user).map(|()| 0);
        result = result.or(sent);
    }
    result
}

/// Everybody that the caller's namespace sees but its first process and the caller's own; what it may not signal does not count
/// as failed (kill_something_info()).
fn kill_all(task: &Arc<Task>, raw: i32) -> SyscallResult {
    let ns = task.pid_ns();
    let mut result = Err(Errno::ESRCH);
    for group in task.kernel.tasks.groups(&ns) {
        if group.pid.nr_in(&ns) == REAPER_NR || Arc::ptr_eq(&group, &task.group) {
            continue;
        }
        let Some(leader) = group.leader() else { continue };
        let sent = if leader.is_kernel_thread() {
            // It takes no signals.
            check(task, &leader, raw).map(|_| ())
        } else {
            to_process(task, &leader, raw, |signal| user_info(task, signal, SI_USER))
        };
        match sent {
            Err(Errno::EPERM) => result = result.or(Ok(0)),
            sent => result = sent.map(|()| 0),
        }
    }
    result
}

/// Sends to the one thread `tid`, of the process `tgid` where one is given.
fn to_thread(
    task: &Arc<Task>,
    tgid: Option<i32>,
    tid: i32,
    raw: i32,
    info: impl FnOnce(Signal) -> SigInfo,
) -> SyscallResult {
    let target = task.find_task(tid).ok_or(Errno::ESRCH)?;
    if tgid.is_some_and(|tgid| task.nr_of(&target.group.pid) != tgid) {
        return Err(Errno::ESRCH);
    }
    if let Some(signal) = check(task, &target, raw)? {
        let (info, force) = as_seen_by(task, &target, info(signal));
        if send::to_task(&target, info, force) == Pushed::OverLimit {
            return Err(Errno::EAGAIN);
        }
    }
    Ok(0)
}

pub fn sys_tkill(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.int(0) <= 0 {
        return Err(Errno::EINVAL);
    }
    to_thread(task, None, args.int(0), args.int(1), |signal| user_info(task, signal, SI_TKILL))
}

pub fn sys_tgkill(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.int(0) <= 0 || args.int(1) <= 0 {
        return Err(Errno::EINVAL);
    }
    to_thread(task, Some(args.int(0)), args.int(1), args.int(2), |signal| user_info(task, signal, SI_TKILL))
}

/// What a `siginfo_t` of a sender says: its code, and the ids and value it gives.
///
/// # Errors
/// EFAULT.
fn read_origin(task: &Task, address: u64) -> Result<Origin, Errno> {
    let mut bytes = [0; 32];
    mm_of(task)?.copy_in(address, &mut bytes)?;
    let word = |at: usize| i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let value = u64::from_le_bytes(bytes[24..32].try_into().unwrap_or_default());
    Ok(Origin::Process { code: word(8), pid: word(16), uid: word(20).cast_unsigned(), value })
}

/// Codes of the kernel and of kill(2) are for the thread `to` only when it is the sender itself.
fn check_code(task: &Task, origin: Origin, to: i32) -> Result<(), Errno> {
    let Origin::Process { code, .. } = origin else { return Ok(()) };
    let is_kernels = code >= 0 || code == SI_TKILL;
    if is_kernels && task.nr_of(&task.pid()) != to { Err(Errno::EPERM) } else { Ok(()) }
}

pub fn sys_rt_sigqueueinfo(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let origin = read_origin(task, args.word(2))?;
    check_code(task, origin, args.int(0))?;
    let target = task.find_task(args.int(0)).ok_or(Errno::ESRCH)?;
    to_process(task, &target, args.int(1), |signal| SigInfo { signal, origin }).map(|()| 0)
}

pub fn sys_rt_tgsigqueueinfo(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (tgid, tid) = (args.int(0), args.int(1));
    let origin = read_origin(task, args.word(3))?;
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    check_code(task, origin, tid)?;
    to_thread(task, Some(tgid), tid, args.int(2), |signal| SigInfo { signal, origin })
}

pub fn sys_rt_sigaction(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.word(3) != SIGSET_BYTES {
        return Err(Errno::EINVAL);
    }
    let mm = mm_of(task)?;
    let new = if args.word(1) == 0 {
        None
    } else {
        let mut words = [[0u8; 8]; 4];
        mm.copy_in(args.word(1), words.as_flattened_mut())?;
        let [handler, flags, restorer, mask] = words.map(u64::from_le_bytes);
        Some(SigAction { handler, flags, restorer, mask: SigSet(mask).minus(SigSet::UNBLOCKABLE) })
    };
    let signal = u64::try_from(args.int(0)).ok().and_then(Signal::from_raw).ok_or(Errno::EINVAL)?;
    if new.is_some() && SigSet::UNBLOCKABLE.has(signal) {
        return Err(Errno::EINVAL);
    }
    let old = {
        let mut handlers = task.group.handlers.lock();
        let old = handlers.get(signal);
        if let Some(new) = new {
            handlers.set(signal, new);
        }
        old
    };
    if new.is_some() && task.group.handlers.lock().is_ignored(signal) {
        let set = SigSet::EMPTY.with(signal);
        task.group.pending.lock().discard(set);
        for thread in task.group.threads() {
            thread.signals.lock().pending.discard(set);
            send::recalculate(&thread);
        }
    }
    if args.word(2) != 0 {
        super::write_words(&mm, args.word(2), &[old.handler, old.flags, old.restorer, old.mask.0])?;
    }
    Ok(0)
}

pub fn sys_rt_sigprocmask(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const SIG_BLOCK: i32 = 0;
    const SIG_UNBLOCK: i32 = 1;
    const SIG_SETMASK: i32 = 2;
    if args.word(3) != SIGSET_BYTES {
        return Err(Errno::EINVAL);
    }
    let mm = mm_of(task)?;
    let old = task.signals.lock().blocked;
    if args.word(1) != 0 {
        let set = read_sigset(task, args.word(1))?;
        let new = match args.int(0) {
            SIG_BLOCK => old.or(set),
            SIG_UNBLOCK => old.minus(set),
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        task.signals.lock().blocked = new.minus(SigSet::UNBLOCKABLE);
        send::recalculate(task);
    }
    if args.word(2) != 0 {
        mm.copy_out(args.word(2), &old.0.to_le_bytes())?;
    }
    Ok(0)
}

fn read_sigset(task: &Task, address: u64) -> Result<SigSet, Errno> {
    let mut bytes = [0; 8];
    mm_of(task)?.copy_in(address, &mut bytes)?;
    Ok(SigSet(u64::from_le_bytes(bytes)).minus(SigSet::UNBLOCKABLE))
}

pub fn sys_rt_sigpending(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.word(1) > SIGSET_BYTES {
        return Err(Errno::EINVAL);
    }
    let (own, blocked) = {
        let signals = task.signals.lock();
        (signals.pending.set(), signals.blocked)
    };
    let set = own.or(task.group.pending.lock().set()).and(blocked);
    mm_of(task)?.copy_out(args.word(0), &set.0.to_le_bytes()[..args.word(1) as usize])?;
    Ok(0)
}

pub fn sys_rt_sigsuspend(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.word(1) != SIGSET_BYTES {
        return Err(Errno::EINVAL);
    }
    let set = read_sigset(task, args.word(0))?;
    swap_mask(task, set);
    WaitQueue::new().wait(Wchan::Sigsuspend, WaitMode::Interruptible, None, || false);
    Err(Errno::EINTR)
}

/// Blocks `set` until the next return to user mode, where the old mask comes back (or goes into a handler's frame).
pub fn swap_mask(task: &Arc<Task>, set: SigSet) {
    {
        let mut signals = task.signals.lock();
        signals.saved = Some(signals.blocked);
        signals.blocked = set.minus(SigSet::UNBLOCKABLE);
    }
    send::recalculate(task);
}

pub fn sys_pause(_: &Arc<Task>, _: &Args) -> SyscallResult {
    WaitQueue::new().wait(Wchan::Pause, WaitMode::Interruptible, None, || false);
    Err(Errno::EINTR)
}

pub fn sys_rt_sigreturn(task: &Arc<Task>, _: &Args) -> SyscallResult {
    match sigreturn(task) {
        Ok(rax) => Ok(rax),
        Err(_) => {
            send::fault(task, Signal::SEGV, crate::signal::SI_KERNEL, 0);
            Ok(0)
        }
    }
}

pub fn sys_rt_sigtimedwait(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.word(3) != SIGSET_BYTES {
        return Err(Errno::EINVAL);
    }
    let mm = mm_of(task)?;
    let set = read_sigset(task, args.word(0))?;
    let deadline = match args.word(2) {
        0 => None,
        at => Some(monotonic_ns().saturating_add(read_timespec(&mm, at)?)),
    };
    // While it waits the signals count as unblocked, so that they wake it.
    let blocked = task.signals.lock().blocked;
    {
        let mut signals = task.signals.lock();
        signals.blocked = blocked.minus(set);
        signals.waited_for = blocked.and(set);
    }
    send::recalculate(task);
    let mut taken = None;
    let wake = WaitQueue::new().wait(Wchan::DoSigtimedwait, WaitMode::Interruptible, deadline, || {
        let not_wanted = SigSet(!set.0);
        taken = task.signals.lock().pending.pop(not_wanted);
        if taken.is_none() {
            taken = task.group.pending.lock().pop(not_wanted);
            if taken.as_ref().is_some_and(|info| info.signal == Signal::ALRM) {
                real_timer::signal_taken(&task.group);
            }
        }
        taken.is_some()
    });
    {
        let mut signals = task.signals.lock();
        signals.blocked = blocked;
        signals.waited_for = SigSet::EMPTY;
    }
    send::recalculate(task);
    match (taken, wake) {
        (Some(info), _) => {
            if args.word(1) != 0 {
                mm.copy_out(args.word(1), &info.to_bytes())?;
            }
            Ok(u64::from(info.signal.raw()))
        }
        (None, Wake::Signal) => Err(Errno::EINTR),
        (None, _) => Err(Errno::EAGAIN),
    }
}

pub fn sys_sigaltstack(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const SS_ONSTACK: i32 = 1;
    const SS_DISABLE: i32 = 2;
    const SS_AUTODISARM: i32 = 1 << 31;
    const MINSIGSTKSZ: u64 = 2048;
    let mm = mm_of(task)?;
    let sp = task.thread.user.lock().as_ref().map_or(0, |context| context.regs.rsp);
    let old = task.signals.lock().alt_stack;
    if args.word(0) != 0 {
        let mut bytes = [0; 24];
        mm.copy_in(args.word(0), &mut bytes)?;
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        let (base, flags, size) = (word(0), word(8) as i32, word(16));
        if on_alt_stack(old, sp) {
            return Err(Errno::EPERM);
        }
        let mode = flags & !SS_AUTODISARM;
        if mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0 {
            return Err(Errno::EINVAL);
        }
        let new = if mode == SS_DISABLE {
            (0, flags, 0)
        } else if size < MINSIGSTKSZ {
            return Err(Errno::ENOMEM);
        } else {
            (base, flags, size)
        };
        task.signals.lock().alt_stack = new;
    }
    if args.word(1) != 0 {
        let flags = match (old.2, on_alt_stack(old, sp)) {
            (0, _) => SS_DISABLE,
            (_, true) => SS_ONSTACK,
            (_, false) => 0,
        } | (old.1 & SS_AUTODISARM);
        super::write_words(&mm, args.word(1), &[old.0, u64::from(flags as u32), old.2])?;
    }
    Ok(0)
}

pub fn sys_alarm(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (left_ns, _) = real_timer::set(&task.group, u64::from(args.uint(0)) * 1_000_000_000, 0);
    Ok(left_ns.div_ceil(1_000_000_000))
}
