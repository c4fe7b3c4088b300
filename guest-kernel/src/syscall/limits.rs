//! Resource limits, priorities and CPU placement.
//!
//! Source: Linux 6.12 kernel/sys.c do_prlimit(); getrlimit(2), getpriority(2), sched_setaffinity(2).

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of, write_words};
use crate::cred::Capability;
use crate::task::{Resource, Rlimit, Task};

fn find(task: &Arc<Task>, nr: i32) -> Result<Arc<Task>, Errno> {
    if nr == 0 {
        return Ok(task.clone());
    }
    task.find_task(nr).ok_or(Errno::ESRCH)
}

fn read_limit(task: &Task, address: u64) -> Result<Rlimit, Errno> {
    let mut words = [[0; 8]; 2];
    mm_of(task)?.copy_in(address, words.as_flattened_mut())?;
    let [soft, hard] = words.map(u64::from_le_bytes);
    Ok(Rlimit { soft, hard })
}

fn exchange(task: &Arc<Task>, target: &Task, number: u32, new: Option<Rlimit>) -> Result<Rlimit, Errno> {
    let number = number as usize;
    let may_raise = task.cred().capable(Capability::SysResource);
    let mut limits = target.group.limits.lock();
    let old = limits.by_number(number).ok_or(Errno::EINVAL)?;
    let Some(new) = new else { return Ok(old) };
    if new.soft > new.hard {
        return Err(Errno::EINVAL);
    }
    if number == Resource::Nofile as usize && new.hard > u64::from(target.kernel.sysctls.nr_open.load(Relaxed)) {
        return Err(Errno::EPERM);
    }
    if new.hard > old.hard && !may_raise {
        return Err(Errno::EPERM);
    }
    limits.set_by_number(number, new);
    Ok(old)
}

pub fn sys_prlimit64(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let target = find(task, args.int(0))?;
    let new = if args.word(2) == 0 { None } else { Some(read_limit(task, args.word(2))?) };
    let (from, to) = (task.cred(), target.cred());
    let same = [to.uid, to.euid, to.suid].iter().all(|&id| id == from.uid)
        && [to.gid, to.egid, to.sgid].iter().all(|&id| id == from.gid);
    if !Arc::ptr_eq(&task.group, &target.group) && !same && !from.has_in(&to.user_ns, Capability::SysResource) {
        return Err(Errno::EPERM);
    }
    let old = exchange(task, &target, args.uint(1), new)?;
    if args.word(3) != 0 {
        write_words(&*mm_of(task)?, args.word(3), &[old.soft, old.hard])?;
    }
    Ok(0)
}

pub fn sys_getrlimit(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = exchange(task, task, args.uint(0), None)?;
    write_words(&*mm_of(task)?, args.word(1), &[old.soft, old.hard])?;
    Ok(0)
}

pub fn sys_setrlimit(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let new = read_limit(task, args.word(1))?;
    exchange(task, task, args.uint(0), Some(new))?;
    Ok(0)
}

/// Every process runs at nice 0: getpriority(2) gives 20 - nice.
pub fn sys_getpriority(task: &Arc<Task>, args: &Args) -> SyscallResult {
    match args.int(0) {
        0 => find(task, args.int(1)).map(|_| 20),
        1 | 2 => Ok(20),
        _ => Err(Errno::EINVAL),
    }
}

pub fn sys_sched_getaffinity(task: &Arc<Task>, args: &Args) -> SyscallResult {
    find(task, args.int(0))?;
    if args.uint(1) < 8 || !args.uint(1).is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    mm_of(task)?.copy_out(args.word(2), &1u64.to_le_bytes())?;
    Ok(8)
}

/// There is one CPU: any mask with it is accepted.
pub fn sys_sched_setaffinity(task: &Arc<Task>, args: &Args) -> SyscallResult {
    find(task, args.int(0))?;
    let mut mask = [0; 8];
    let len = (args.uint(1) as usize).min(8);
    mm_of(task)?.copy_in(args.word(2), &mut mask[..len])?;
    if u64::from_le_bytes(mask) & 1 == 0 {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}

pub fn sys_sched_getscheduler(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.int(0) < 0 {
        return Err(Errno::EINVAL);
    }
    find(task, args.int(0)).map(|_| 0)
}

pub fn sys_sched_getparam(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.int(0) < 0 || args.word(1) == 0 {
        return Err(Errno::EINVAL);
    }
    find(task, args.int(0))?;
    mm_of(task)?.copy_out(args.word(1), &[0; 4])?;
    Ok(0)
}
