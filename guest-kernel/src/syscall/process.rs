//! clone, fork, vfork, exit, wait and the family of process ids.
//!
//! Source: clone(2), fork(2), wait(2), setpgid(2), setsid(2), getpid(2).

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of};
use crate::signal::{Signal, send};
use crate::task::clone::{CloneFlags, CloneRequest, clone};
use crate::task::wait::{WaitOptions, Waited, Which, wait};
use crate::task::{GroupUsage, ProcessGroup, Session, Task, ThreadGroup, exit};

/// Bytes of a `struct rusage`.
const RUSAGE_BYTES: usize = 144;
/// The low bits of clone's flags hold the exit signal.
const CSIGNAL: u64 = 0xff;

pub fn sys_clone(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let raw = args.word(0);
    // Linux takes any number here, and sends nothing for one that is no signal.
    let exit_signal = Signal::from_raw(raw & CSIGNAL).map_or(0, |signal| u64::from(signal.raw()));
    start(task, raw & !CSIGNAL, exit_signal, args.word(1), args.word(2), args.word(3), args.word(4))
}

pub fn sys_fork(task: &Arc<Task>, _: &Args) -> SyscallResult {
    start(task, 0, u64::from(Signal::CHLD.raw()), 0, 0, 0, 0)
}

pub fn sys_vfork(task: &Arc<Task>, _: &Args) -> SyscallResult {
    let flags = CloneFlags::VFORK.union(CloneFlags::VM).bits();
    start(task, flags, u64::from(Signal::CHLD.raw()), 0, 0, 0, 0)
}

/// clone3(2): the same request as a structure.
pub fn sys_clone3(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const WORDS: usize = 8;
    const PAGE: u64 = 4096;
    let size = args.word(1);
    if size > PAGE {
        return Err(Errno::E2BIG);
    }
    if size < 64 {
        return Err(Errno::EINVAL);
    }
    let mm = mm_of(task)?;
    let mut bytes = alloc::vec![0u8; size as usize];
    mm.copy_in(args.word(0), &mut bytes)?;
    if bytes[WORDS * 8..].iter().any(|&b| b != 0) {
        return Err(Errno::E2BIG);
    }
    let word = |i: usize| u64::from_le_bytes(bytes[i * 8..i * 8 + 8].try_into().unwrap_or_default());
    let (flags, child_tid, parent_tid, exit_signal) = (word(0), word(2), word(3), word(4));
    let (stack, stack_size, tls) = (word(5), word(6), word(7));
    // CLONE_NEWTIME is the one flag among the bits of the exit signal.
    let refused = (CSIGNAL & !CloneFlags::NEWTIME.bits()) | CloneFlags::DETACHED.bits();
    if exit_signal & !CSIGNAL != 0 || flags & refused != 0 || (stack == 0) != (stack_size == 0) {
        return Err(Errno::EINVAL);
    }
    start(task, flags, exit_signal, stack.wrapping_add(stack_size), parent_tid, child_tid, tls)
}

fn start(
    task: &Arc<Task>,
    flags: u64,
    exit_signal: u64,
    stack: u64,
    parent_tid: u64,
    child_tid: u64,
    tls: u64,
) -> SyscallResult {
    let flags = CloneFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let exit_signal = match exit_signal {
        0 => None,
        raw => Some(Signal::from_raw(raw).ok_or(Errno::EINVAL)?),
    };
    let request = CloneRequest { flags, exit_signal, stack, parent_tid, child_tid, tls };
    clone(task, &request).map(|nr| nr as u64)
}

pub fn sys_exit(task: &Arc<Task>, args: &Args) -> SyscallResult {
    exit::request(task, (args.int(0) & 0xff) << 8);
    Ok(0)
}

pub fn sys_exit_group(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let status = (args.int(0) & 0xff) << 8;
    send::start_group_exit(&task.group, status);
    // What somebody else has asked for before counts.
    let status = task.group.state.lock().group_exit.unwrap_or(status);
    exit::request(task, status);
    Ok(0)
}

pub fn sys_wait4(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let options = WaitOptions::from_bits(args.uint(2)).ok_or(Errno::EINVAL)?;
    if options.intersects(WaitOptions::EXITED.union(WaitOptions::NOWAIT)) {
        return Err(Errno::EINVAL);
    }
    let which = match args.int(0) {
        i32::MIN => return Err(Errno::ESRCH),
        -1 => Which::Any,
        0 => Which::Group(Some(task.group.pgrp())),
        nr if nr < 0 => Which::Group(task.find_process_group(-nr)),
        nr => Which::Pid(nr),
    };
    let Some(waited) = wait(task, which, options.union(WaitOptions::EXITED))? else { return Ok(0) };
    let mm = mm_of(task)?;
    if args.word(1) != 0 {
        mm.copy_out(args.word(1), &waited.status.to_le_bytes())?;
    }
    if args.word(3) != 0 {
        mm.copy_out(args.word(3), &rusage_bytes(&waited.usage))?;
    }
    Ok(waited.pid as u64)
}

pub fn sys_waitid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const P_ALL: i32 = 0;
    const P_PID: i32 = 1;
    const P_PGID: i32 = 2;
    let options = WaitOptions::from_bits(args.uint(3)).ok_or(Errno::EINVAL)?;
    if !options.intersects(WaitOptions::EXITED.union(WaitOptions::STOPPED).union(WaitOptions::CONTINUED)) {
        return Err(Errno::EINVAL);
    }
    let id = args.int(1);
    let which = match args.int(0) {
        P_ALL => Which::Any,
        P_PID if id > 0 => Which::Pid(id),
        P_PGID if id > 0 => Which::Group(task.find_process_group(id)),
        P_PGID if id == 0 => Which::Group(Some(task.group.pgrp())),
        _ => return Err(Errno::EINVAL),
    };
    let waited = wait(task, which, options)?;
    let mm = mm_of(task)?;
    if args.word(4) != 0
        && let Some(waited) = &waited
    {
        mm.copy_out(args.word(4), &rusage_bytes(&waited.usage))?;
    }
    if args.word(2) != 0 {
        mm.copy_out(args.word(2), &waitid_info(task, waited.as_ref()))?;
    }
    Ok(0)
}

/// The `siginfo_t` of waitid(2); all zero when nothing has happened.
fn waitid_info(task: &Task, waited: Option<&Waited>) -> [u8; 128] {
    let mut bytes = [0; 128];
    let Some(waited) = waited else { return bytes };
    let (code, status) = match waited.status {
        0xffff => (6, i32::from(Signal::CONT.raw())),
        status if status & 0xff == 0x7f => (5, status >> 8),
        status if status & 0x7f == 0 => (1, (status >> 8) & 0xff),
        status if status & 0x80 != 0 => (3, status & 0x7f),
        status => (2, status & 0x7f),
    };
    let uid = task.cred().user_ns.from_kuid_munged(crate::cred::KUid(waited.uid));
    bytes[..4].copy_from_slice(&i32::from(Signal::CHLD.raw()).to_le_bytes());
    bytes[8..12].copy_from_slice(&i32::to_le_bytes(code));
    bytes[16..20].copy_from_slice(&waited.pid.to_le_bytes());
    bytes[20..24].copy_from_slice(&uid.to_le_bytes());
    bytes[24..28].copy_from_slice(&status.to_le_bytes());
    bytes
}

fn rusage_bytes(usage: &GroupUsage) -> [u8; RUSAGE_BYTES] {
    let mut words = [0u64; RUSAGE_BYTES / 8];
    words[0] = usage.user_ns / 1_000_000_000;
    words[1] = usage.user_ns % 1_000_000_000 / 1000;
    words[2] = usage.system_ns / 1_000_000_000;
    words[3] = usage.system_ns % 1_000_000_000 / 1000;
    words[4] = usage.max_rss_pages * 4; // KiB
    words[8] = usage.min_faults;
    words[9] = usage.maj_faults;
    words[16] = usage.voluntary_switches;
    words[17] = usage.involuntary_switches;
    let mut bytes = [0; RUSAGE_BYTES];
    for (slot, word) in bytes.chunks_exact_mut(8).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

pub fn sys_getrusage(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const RUSAGE_SELF: i32 = 0;
    const RUSAGE_CHILDREN: i32 = -1;
    const RUSAGE_THREAD: i32 = 1;
    let mut usage = match args.int(0) {
        RUSAGE_SELF => task.group.usage(),
        RUSAGE_CHILDREN => *task.group.children_usage.lock(),
        RUSAGE_THREAD => GroupUsage::of(task),
        _ => return Err(Errno::EINVAL),
    };
    let mm = mm_of(task)?;
    if args.int(0) != RUSAGE_CHILDREN {
        usage.max_rss_pages = usage.max_rss_pages.max(mm.snapshot().usage.peak_rss_pages());
    }
    mm.copy_out(args.word(1), &rusage_bytes(&usage))?;
    Ok(0)
}

pub fn sys_times(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const NS_PER_TICK: u64 = 10_000_000;
    let own = task.group.usage();
    let children = *task.group.children_usage.lock();
    if args.word(0) != 0 {
        let ticks = [own.user_ns, own.system_ns, children.user_ns, children.system_ns].map(|ns| ns / NS_PER_TICK);
        super::write_words(&*mm_of(task)?, args.word(0), &ticks)?;
    }
    Ok(crate::time::monotonic_ns() / NS_PER_TICK)
}

pub fn sys_getpid(task: &Arc<Task>, _: &Args) -> SyscallResult {
    Ok(task.nr_of(&task.group.pid) as u64)
}

pub fn sys_gettid(task: &Arc<Task>, _: &Args) -> SyscallResult {
    Ok(task.nr_of(&task.pid()) as u64)
}

pub fn sys_getppid(task: &Arc<Task>, _: &Args) -> SyscallResult {
    Ok(task.group.parent().map_or(0, |parent| task.nr_of(&parent.pid)) as u64)
}

/// The process of the thread with this number, the caller's for 0.
fn group_or_self(task: &Arc<Task>, nr: i32) -> Result<Arc<ThreadGroup>, Errno> {
    if nr == 0 {
        return Ok(task.group.clone());
    }
    task.find_task(nr).map(|found| found.group.clone()).ok_or(Errno::ESRCH)
}

pub fn sys_getpgid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    Ok(task.nr_of(&group_or_self(task, args.int(0))?.pgrp().pid) as u64)
}

pub fn sys_getpgrp(task: &Arc<Task>, _: &Args) -> SyscallResult {
    Ok(task.nr_of(&task.group.pgrp().pid) as u64)
}

pub fn sys_getsid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    Ok(task.nr_of(&group_or_self(task, args.int(0))?.pgrp().session.pid) as u64)
}

pub fn sys_setpgid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let own = task.nr_of(&task.group.pid);
    let pid = if args.int(0) == 0 { own } else { args.int(0) };
    let pgid = if args.int(1) == 0 { pid } else { args.int(1) };
    if pgid < 0 {
        return Err(Errno::EINVAL);
    }
    let target = task.find_task(pid).ok_or(Errno::ESRCH)?;
    if !target.is_leader() {
        return Err(Errno::EINVAL);
    }
    let target = target.group.clone();
    let session = task.group.pgrp().session.clone();
    let current = target.pgrp();
    if target.parent().is_some_and(|parent| Arc::ptr_eq(&parent, &task.group)) {
        if !Arc::ptr_eq(&current.session, &session) {
            return Err(Errno::EPERM);
        }
        if target.state.lock().has_execed {
            return Err(Errno::EACCES);
        }
    } else if !Arc::ptr_eq(&target, &task.group) {
        return Err(Errno::ESRCH);
    }
    if Arc::ptr_eq(&current.session.pid, &target.pid) {
        return Err(Errno::EPERM);
    }
    let pgrp = match task.find_process_group(pgid) {
        Some(pgrp) if pgid == pid || Arc::ptr_eq(&pgrp.session, &session) => pgrp,
        None if pgid == pid => ProcessGroup::new(target.pid.clone(), session),
        _ => return Err(Errno::EPERM),
    };
    target.move_to(pgrp);
    Ok(0)
}

pub fn sys_setsid(task: &Arc<Task>, _: &Args) -> SyscallResult {
    let group = &task.group;
    let own = task.nr_of(&group.pid);
    if Arc::ptr_eq(&group.pgrp().session.pid, &group.pid) || task.find_process_group(own).is_some() {
        return Err(Errno::EPERM);
    }
    group.move_to(ProcessGroup::new(group.pid.clone(), Session::new(group.pid.clone())));
    Ok(own as u64)
}

pub fn sys_set_tid_address(task: &Arc<Task>, args: &Args) -> SyscallResult {
    task.clear_child_tid.store(args.word(0), Relaxed);
    Ok(task.nr_of(&task.pid()) as u64)
}
