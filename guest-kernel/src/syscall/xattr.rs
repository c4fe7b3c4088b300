//! Extended attributes: no file system here has any.
//!
//! Source: Linux 6.12 fs/xattr.c vfs_getxattr(), vfs_listxattr(); xattr(7).

use alloc::sync::Arc;

use linux_raw_sys::general::AT_FDCWD;
use procfs_core::Errno;

use super::path::{files_of, find};
use super::{Args, SyscallResult};
use crate::task::Task;
use crate::vfs::LookupFlags;

/// The file must be there; then nothing but a list, which is empty, is supported.
fn by_path(task: &Arc<Task>, args: &Args, flags: LookupFlags, answer: SyscallResult) -> SyscallResult {
    find(task, AT_FDCWD, args.word(0), flags)?;
    answer
}

fn by_fd(task: &Arc<Task>, args: &Args, answer: SyscallResult) -> SyscallResult {
    files_of(task)?.get(args.int(0))?;
    answer
}

pub fn sys_getxattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_path(task, args, LookupFlags::FOLLOW, Err(Errno::EOPNOTSUPP))
}

pub fn sys_lgetxattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_path(task, args, LookupFlags::empty(), Err(Errno::EOPNOTSUPP))
}

pub fn sys_fgetxattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_fd(task, args, Err(Errno::EOPNOTSUPP))
}

pub fn sys_listxattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_path(task, args, LookupFlags::FOLLOW, Ok(0))
}

pub fn sys_llistxattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_path(task, args, LookupFlags::empty(), Ok(0))
}

pub fn sys_flistxattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_fd(task, args, Ok(0))
}

pub fn sys_setxattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_path(task, args, LookupFlags::FOLLOW, Err(Errno::EOPNOTSUPP))
}

pub fn sys_lsetxattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_path(task, args, LookupFlags::empty(), Err(Errno::EOPNOTSUPP))
}

pub fn sys_fsetxattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_fd(task, args, Err(Errno::EOPNOTSUPP))
}

pub fn sys_removexattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_path(task, args, LookupFlags::FOLLOW, Err(Errno::EOPNOTSUPP))
}

pub fn sys_lremovexattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_path(task, args, LookupFlags::empty(), Err(Errno::EOPNOTSUPP))
}

pub fn sys_fremovexattr(task: &Arc<Task>, args: &Args) -> SyscallResult {
    by_fd(task, args, Err(Errno::EOPNOTSUPP))
}
