//! futex(2) and the robust list.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of, read_timespec};
use crate::task::Task;
use crate::task::futex::{Key, MATCH_ANY, Sharing};
use crate::time::{monotonic_ns, realtime_ns};

const PRIVATE: u32 = 128;
const CLOCK_REALTIME: u32 = 256;
const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;

pub fn sys_futex(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let mm = mm_of(task)?;
    let (address, operation, value) = (args.word(0), args.uint(1), args.uint(2));
    let futexes = &task.kernel.futexes;
    let sharing = if operation & PRIVATE != 0 { Sharing::Private } else { Sharing::Shared };
    let key_of = |address| Key::of(mm.mm(), address, sharing);
    let wake_most = |count: u32| usize::try_from(count as i32).unwrap_or(1).max(1);
    match operation & !(PRIVATE | CLOCK_REALTIME) {
        command @ (WAIT | WAIT_BITSET) => {
            let deadline = match args.word(3) {
                0 => None,
                at => {
                    let ns = read_timespec(&mm, at)?;
                    Some(match (command, operation & CLOCK_REALTIME != 0) {
                        (WAIT, _) => monotonic_ns().saturating_add(ns),
                        (_, false) => ns,
                        (_, true) => monotonic_ns().saturating_add(ns.saturating_sub(realtime_ns())),
                    })
                }
            };
            let mask = if command == WAIT { MATCH_ANY } else { args.uint(5) };
            futexes.wait(&mm, (address, sharing), value, mask, deadline).map(|()| 0)
        }
        WAKE => Ok(futexes.wake(&key_of(address)?, wake_most(value), MATCH_ANY) as u64),
        WAKE_BITSET => match args.uint(5) {
            0 => Err(Errno::EINVAL),
            mask => Ok(futexes.wake(&key_of(address)?, wake_most(value), mask) as u64),
        },
        command @ (REQUEUE | CMP_REQUEUE) => {
            let most = |count: u32| usize::try_from(count as i32).map_err(|_| Errno::EINVAL);
            let (wake_most, move_most) = (most(value)?, most(args.uint(3))?);
            let (from, to) = (key_of(address)?, key_of(args.word(4))?);
            if command == CMP_REQUEUE && mm.read_value::<u32>(address)? != args.uint(5) {
                return Err(Errno::EAGAIN);
            }
            let woken = futexes.wake(&from, wake_most, MATCH_ANY);
            let moved = futexes.requeue(&from, &to, move_most);
            Ok((woken + moved) as u64)
        }
        _ => Err(Errno::ENOSYS),
    }
}

pub fn sys_set_robust_list(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const HEAD_BYTES: u64 = 24;
    if args.word(1) != HEAD_BYTES {
        return Err(Errno::EINVAL);
    }
    task.robust_list.store(args.word(0), Relaxed);
    Ok(0)
}
