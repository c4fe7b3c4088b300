//! epoll(7) and eventfd(2).
//!
//! Source: Linux 6.12 fs/eventpoll.c do_epoll_ctl(), do_epoll_wait(), fs/eventfd.c do_eventfd().

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general as sys;
use procfs_core::Errno;

use super::file::descriptor_limit;
use super::path::files_of;
use super::poll::{Patience, timespec_patience, wait_for, with_mask};
use super::{Args, SyscallResult, mm_of};
use crate::fs::epoll::{self, Change, Interest};
use crate::fs::eventfd;
use crate::sched::{PollTable, Wchan};
use crate::task::Task;
use crate::vfs::{File, FileFeatures, OpenFlags};

/// `struct epoll_event` is packed on x86-64.
const EVENT_BYTES: usize = 12;
/// EP_MAX_EVENTS
const MAX_EVENTS: i32 = i32::MAX / EVENT_BYTES as i32;

fn install(task: &Arc<Task>, file: Arc<File>, cloexec: bool) -> SyscallResult {
    let fd = files_of(task)?.install(file, 0, cloexec, descriptor_limit(task))?;
    u64::try_from(fd).map_err(|_| Errno::EMFILE)
}

pub fn sys_epoll_create(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.int(0) <= 0 {
        return Err(Errno::EINVAL);
    }
    install(task, epoll::new_file(&task.kernel.vfs, &task.cred()), false)
}

pub fn sys_epoll_create1(task: &Arc<Task>, args: &Args) -> SyscallResult {
    if args.uint(0) & !sys::EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    install(task, epoll::new_file(&task.kernel.vfs, &task.cred()), args.uint(0) != 0)
}

pub fn sys_epoll_ctl(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let operation = args.uint(1);
    let interest = if operation == sys::EPOLL_CTL_DEL {
        Interest { events: 0, data: 0 }
    } else {
        let mut bytes = [0; EVENT_BYTES];
        mm_of(task)?.copy_in(args.word(3), &mut bytes)?;
        let (events, data) = bytes.split_at(4);
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        // Four bytes make no more than 32 bits.
        Interest { events: word(events) as u32, data: word(data) }
    };
    let files = files_of(task)?;
    let file = files.get_opened(args.int(0))?;
    let target = files.get_opened(args.int(2))?;
    if !target.ops().features().contains(FileFeatures::POLL) {
        return Err(Errno::EPERM);
    }
    if Arc::ptr_eq(&file, &target) {
        return Err(Errno::EINVAL);
    }
    let epoll = epoll::of(&file)?;
    let change = match operation {
        sys::EPOLL_CTL_ADD => Change::Add(interest),
        sys::EPOLL_CTL_MOD => Change::Modify(interest),
        sys::EPOLL_CTL_DEL => Change::Delete,
        _ => return Err(Errno::EINVAL),
    };
    epoll.control(args.int(2), &target, change)?;
    Ok(0)
}

fn wait(task: &Arc<Task>, args: &Args, patience: Patience) -> SyscallResult {
    let max = args.int(2);
    if max <= 0 || max > MAX_EVENTS {
        return Err(Errno::EINVAL);
    }
    let max = usize::try_from(max).map_err(|_| Errno::EINVAL)?;
    let mm = mm_of(task)?;
    let file = files_of(task)?.get_opened(args.int(0))?;
    let epoll = epoll::of(&file)?;
    let mut found = Vec::new();
    wait_for(Wchan::DoEpollWait, patience, |table| {
        let mut own = PollTable::new();
        found.clear();
        epoll.collect(max, &mut found, table.unwrap_or(&mut own))?;
        Ok(found.len() as u64)
    })?;
    let mut done = 0;
    for Interest { events, data } in found {
        let mut bytes = [0; EVENT_BYTES];
        bytes[..4].copy_from_slice(&events.to_ne_bytes());
        bytes[4..].copy_from_slice(&data.to_ne_bytes());
        match mm.copy_out(args.word(1).wrapping_add(done * EVENT_BYTES as u64), &bytes) {
            Ok(()) => done += 1,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// The patience of a timeout in milliseconds; a negative one is for ever.
fn milliseconds(timeout: i32) -> Patience {
    u64::try_from(timeout).map_or(Patience::Forever, |ms| Patience::of_ns(ms * 1_000_000))
}

pub fn sys_epoll_wait(task: &Arc<Task>, args: &Args) -> SyscallResult {
    wait(task, args, milliseconds(args.int(3)))
}

pub fn sys_epoll_pwait(task: &Arc<Task>, args: &Args) -> SyscallResult {
    with_mask(task, args.word(4), args.word(5), || wait(task, args, milliseconds(args.int(3))))
}

pub fn sys_epoll_pwait2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let patience = timespec_patience(&*mm_of(task)?, args.word(3))?;
    with_mask(task, args.word(4), args.word(5), || wait(task, args, patience))
}

fn make_eventfd(task: &Arc<Task>, count: u32, flags: u32) -> SyscallResult {
    if flags & !(sys::EFD_SEMAPHORE | sys::EFD_CLOEXEC | sys::EFD_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let is_semaphore = flags & sys::EFD_SEMAPHORE != 0;
    let open_flags = OpenFlags::from_bits_truncate(flags & sys::EFD_NONBLOCK);
    let file = eventfd::new_file(&task.kernel.vfs, &task.cred(), count, is_semaphore, open_flags);
    install(task, file, flags & sys::EFD_CLOEXEC != 0)
}

pub fn sys_eventfd(task: &Arc<Task>, args: &Args) -> SyscallResult {
    make_eventfd(task, args.uint(0), 0)
}

pub fn sys_eventfd2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    make_eventfd(task, args.uint(0), args.uint(1))
}
