//! Clocks and sleeping.
//!
//! Source: clock_gettime(2), clock_nanosleep(2), getitimer(2).

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of, read_pair, read_timespec, write_words};
use crate::sched::{WaitMode, WaitQueue, Wake, Wchan};
use crate::task::{Task, real_timer};
use crate::time::{monotonic_ns, realtime_ns};

const NS: u64 = 1_000_000_000;
const TIMER_ABSTIME: i32 = 1;

fn clock_ns(task: &Arc<Task>, clock: i32) -> Result<u64, Errno> {
    const REALTIME: i32 = 0;
    const MONOTONIC: i32 = 1;
    const PROCESS_CPUTIME: i32 = 2;
    const THREAD_CPUTIME: i32 = 3;
    const MONOTONIC_RAW: i32 = 4;
    const REALTIME_COARSE: i32 = 5;
    const MONOTONIC_COARSE: i32 = 6;
    const BOOTTIME: i32 = 7;
    const TAI: i32 = 11;
    match clock {
        REALTIME | REALTIME_COARSE | TAI => Ok(realtime_ns()),
        MONOTONIC | MONOTONIC_RAW | MONOTONIC_COARSE | BOOTTIME => Ok(monotonic_ns()),
        PROCESS_CPUTIME => {
            task.thread.account_system();
            let usage = task.group.usage();
            Ok(usage.user_ns + usage.system_ns)
        }
        THREAD_CPUTIME => {
            task.thread.account_system();
            let (user, system) = task.cpu_times_ns();
            Ok(user + system)
        }
        _ => Err(Errno::EINVAL),
    }
}

pub fn sys_clock_gettime(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let ns = clock_ns(task, args.int(0))?;
    write_words(&*mm_of(task)?, args.word(1), &[ns / NS, ns % NS])?;
    Ok(0)
}

pub fn sys_clock_getres(task: &Arc<Task>, args: &Args) -> SyscallResult {
    clock_ns(task, args.int(0))?;
    if args.word(1) != 0 {
        write_words(&*mm_of(task)?, args.word(1), &[0, 1])?;
    }
    Ok(0)
}

pub fn sys_gettimeofday(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let mm = mm_of(task)?;
    if args.word(0) != 0 {
        let ns = realtime_ns();
        write_words(&mm, args.word(0), &[ns / NS, ns % NS / 1000])?;
    }
    if args.word(1) != 0 {
        mm.copy_out(args.word(1), &[0; 8])?;
    }
    Ok(0)
}

pub fn sys_time(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let seconds = realtime_ns() / NS;
    if args.word(0) != 0 {
        write_words(&*mm_of(task)?, args.word(0), &[seconds])?;
    }
    Ok(seconds)
}

pub fn sys_nanosleep(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let ns = read_timespec(&*mm_of(task)?, args.word(0))?;
    sleep_for(task, ns, args.word(1))
}

pub fn sys_clock_nanosleep(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const REALTIME: i32 = 0;
    const THREAD_CPUTIME: i32 = 3;
    let clock = args.int(0);
    let now = clock_ns(task, clock)?;
    if clock == THREAD_CPUTIME {
        return Err(Errno::EINVAL);
    }
    let ns = read_timespec(&*mm_of(task)?, args.word(2))?;
    if args.int(1) & TIMER_ABSTIME == 0 {
        return sleep_for(task, ns, args.word(3));
    }
    let base = if clock == REALTIME { now } else { monotonic_ns() };
    let deadline = monotonic_ns().saturating_add(ns.saturating_sub(base));
    match WaitQueue::new().wait(Wchan::HrtimerNanosleep, WaitMode::Interruptible, Some(deadline), || false) {
        Wake::Signal => Err(Errno::EINTR),
        _ => Ok(0),
    }
}

/// Sleeps; the deadline outlives a restart, so that a stop and continue does not lengthen the sleep.
fn sleep_for(task: &Arc<Task>, ns: u64, remaining: u64) -> SyscallResult {
    let now = monotonic_ns();
    let deadline = match task.restart_deadline_ns.swap(0, Relaxed) {
        0 => now.saturating_add(ns),
        left => left,
    };
    if WaitQueue::new().wait(Wchan::HrtimerNanosleep, WaitMode::Interruptible, Some(deadline), || false) != Wake::Signal
    {
        return Ok(0);
    }
    let left = deadline.saturating_sub(monotonic_ns());
    if left == 0 {
        return Ok(0);
    }
    task.restart_deadline_ns.store(deadline, Relaxed);
    if remaining != 0 {
        write_words(&*mm_of(task)?, remaining, &[left / NS, left % NS])?;
    }
    Err(Errno::EINTR)
}

pub fn sys_setitimer(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.int(0) != 0 {
        // Profiling timers are not there.
        return Err(Errno::EINVAL);
    }
    let mm = mm_of(task)?;
    let (value, interval) = if args.word(1) == 0 {
        (0, 0)
    } else {
        (read_timeval(task, args.word(1).wrapping_add(16))?, read_timeval(task, args.word(1))?)
    };
    let (left, old_interval) = real_timer::set(&task.group, value, interval);
    if args.word(2) != 0 {
        write_itimer(&mm, args.word(2), left, old_interval)?;
    }
    Ok(0)
}

pub fn sys_getitimer(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.int(0) != 0 {
        return Err(Errno::EINVAL);
    }
    let left = real_timer::left_ns(&task.group);
    let interval = task.group.alarm_interval_ns.load(Relaxed);
    write_itimer(&*mm_of(task)?, args.word(1), left, interval)?;
    Ok(0)
}

fn read_timeval(task: &Task, address: u64) -> Result<u64, Errno> {
    let (seconds, us) = read_pair(&*mm_of(task)?, address)?;
    if seconds < 0 || !(0..1_000_000).contains(&us) {
        return Err(Errno::EINVAL);
    }
    Ok((seconds as u64).saturating_mul(NS).saturating_add(us as u64 * 1000))
}

fn write_itimer(mm: &crate::mm::Mm, address: u64, left: u64, interval: u64) -> Result<(), Errno> {
    write_words(mm, address, &[interval / NS, interval % NS / 1000, left / NS, left % NS / 1000])
}

pub fn sys_sched_yield(_: &Arc<Task>, _: &Args) -> SyscallResult {
    crate::sched::yield_now();
    Ok(0)
}
