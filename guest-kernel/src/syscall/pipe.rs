//! pipe(2) and pipe2(2).
//!
//! Source: Linux 6.12 fs/pipe.c do_pipe2().

use alloc::sync::Arc;

use procfs_core::Errno;

use super::file::descriptor_limit;
use super::path::files_of;
use super::{Args, SyscallResult, mm_of};
use crate::fs::pipe;
use crate::task::Task;
use crate::vfs::OpenFlags;

fn make(task: &Arc<Task>, address: u64, flags: u32) -> SyscallResult {
    let allowed = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK | OpenFlags::DIRECT;
    let flags = OpenFlags::from_bits(flags).filter(|&flags| allowed.contains(flags)).ok_or(Errno::EINVAL)?;
    let files = files_of(task)?;
    let limit = descriptor_limit(task);
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    let (reader, writer) = pipe::new_pair(&task.kernel.mount_ns.vfs, flags, &task.cred());
    let read_fd = files.install(reader, 0, cloexec, limit)?;
    let made = files.install(writer, 0, cloexec, limit).and_then(|write_fd| {
        let mut numbers = [0; 8];
        numbers[..4].copy_from_slice(&read_fd.to_ne_bytes());
        numbers[4..].copy_from_slice(&write_fd.to_ne_bytes());
        let copied = mm_of(task).and_then(|mm| mm.copy_out(address, &numbers));
        if copied.is_err() {
            let _ = files.close(write_fd);
        }
        copied
    });
    if let Err(errno) = made {
        let _ = files.close(read_fd);
        return Err(errno);
    }
    Ok(0)
}

pub fn sys_pipe(task: &Arc<Task>, args: &Args) -> SyscallResult {
    make(task, args.word(0), 0)
}

pub fn sys_pipe2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    make(task, args.word(0), args.uint(1))
}
