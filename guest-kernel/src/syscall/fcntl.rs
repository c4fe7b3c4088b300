//! dup(2), fcntl(2) and their relatives.
//!
//! Locks of files are not there: asking for one answers `ENOLCK`, since to grant what is not kept would be worse.
//! Source: Linux 6.12 fs/fcntl.c, fs/file.c, fs/locks.c.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::general::{
    F_DUPFD, F_DUPFD_CLOEXEC, F_DUPFD_QUERY, F_GETFD, F_GETFL, F_GETLK, F_GETOWN, F_GETPIPE_SZ, F_OFD_GETLK,
    F_OFD_SETLK, F_OFD_SETLKW, F_SETFD, F_SETFL, F_SETLK, F_SETLKW, F_SETPIPE_SZ, FD_CLOEXEC,
};
use procfs_core::Errno;

use super::file::{descriptor_limit, install};
use super::path::files_of;
use super::{Args, SyscallResult};
use crate::fs::pipe::PipeEnd;
use crate::task::Task;
use crate::vfs::{File, OpenFlags, permission};

pub fn sys_dup(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get(args.int(0))?;
    install(task, file, false)
}

fn dup_to(task: &Task, old: i32, new: i32, cloexec: bool) -> SyscallResult {
    let files = files_of(task)?;
    let limit = descriptor_limit(task);
    if u64::try_from(new).map_or(true, |new| new >= limit) {
        return Err(Errno::EBADF);
    }
    files.install_at(files.get(old)?, new, cloexec, limit)?;
    Ok(new.unsigned_abs().into())
}

pub fn sys_dup2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (old, new) = (args.int(0), args.int(1));
    if old == new {
        files_of(task)?.get(old)?;
        return Ok(old.unsigned_abs().into());
    }
    dup_to(task, old, new, false)
}

pub fn sys_dup3(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (old, new) = (args.int(0), args.int(1));
    let flags = OpenFlags::from_bits_retain(args.uint(2));
    if flags & !OpenFlags::CLOEXEC != OpenFlags::empty() || old == new {
        return Err(Errno::EINVAL);
    }
    dup_to(task, old, new, flags.contains(OpenFlags::CLOEXEC))
}

fn set_flags(task: &Task, file: &File, bits: u32) -> SyscallResult {
    let new = OpenFlags::from_bits_retain(bits);
    let gains_noatime = new.contains(OpenFlags::NOATIME) && !file.flags().contains(OpenFlags::NOATIME);
    if gains_noatime && !permission::is_owner_or_capable(&file.inode().metadata(), &task.cred()) {
        return Err(Errno::EPERM);
    }
    file.set_status_flags(new);
    Ok(0)
}

fn pipe_of(file: &File) -> Result<&PipeEnd, Errno> {
    file.ops().as_any().downcast_ref().ok_or(Errno::EBADF)
}

pub fn sys_fcntl(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (fd, command, arg) = (args.int(0), args.uint(1), args.word(2));
    let files = files_of(task)?;
    let file = files.get(fd)?;
    let works_on_path = matches!(command, F_DUPFD | F_DUPFD_CLOEXEC | F_DUPFD_QUERY | F_GETFD | F_SETFD | F_GETFL);
    if file.flags().contains(OpenFlags::PATH) && !works_on_path {
        return Err(Errno::EBADF);
    }
    match command {
        F_DUPFD | F_DUPFD_CLOEXEC => {
            let limit = descriptor_limit(task);
            // The argument is a C int, looked at as unsigned.
            let min = args.uint(2);
            if u64::from(min) >= limit {
                return Err(Errno::EINVAL);
            }
            Ok(files.install(file, min, command == F_DUPFD_CLOEXEC, limit)?.unsigned_abs().into())
        }
        F_DUPFD_QUERY => {
            let other = files.get(args.int(2))?;
            Ok(Arc::ptr_eq(&file, &other).into())
        }
        F_GETFD => Ok(if files.is_cloexec(fd)? { FD_CLOEXEC.into() } else { 0 }),
        F_SETFD => {
            files.set_cloexec(fd, arg & u64::from(FD_CLOEXEC) != 0)?;
            Ok(0)
        }
        F_GETFL => Ok(file.flags().bits().into()),
        F_SETFL => set_flags(task, &file, args.uint(2)),
        F_GETPIPE_SZ => Ok(pipe_of(&file)?.pipe().size() as u64),
        F_SETPIPE_SZ => {
            let most = task.kernel.sysctls.pipe_max_bytes.load(Relaxed).into();
            Ok(pipe_of(&file)?.pipe().set_size(args.uint(2).into(), most, &task.cred())? as u64)
        }
        F_GETOWN => Ok(0),
        F_GETLK | F_SETLK | F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => Err(Errno::ENOLCK),
        _ => Err(Errno::EINVAL),
    }
}

/// flock(2): there are no locks (`ENOLCK`); the arguments are checked as on Linux.
pub fn sys_flock(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const LOCK_NB: u32 = 4;
    if !matches!(args.uint(1) & !LOCK_NB, 1 | 2 | 8) {
        return Err(Errno::EINVAL);
    }
    files_of(task)?.get_opened(args.int(0))?;
    Err(Errno::ENOLCK)
}
