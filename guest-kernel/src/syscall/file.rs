//! Calls that open, close, position and size files.
//!
//! Source: Linux 6.12 fs/open.c, fs/read_write.c ksys_lseek(), fs/ioctl.c do_vfs_ioctl(), fs/sync.c, mm/fadvise.c.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::general::{AT_FDCWD, O_CREAT, O_LARGEFILE, O_TRUNC, O_WRONLY};
use linux_raw_sys::ioctl::{FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD};
use procfs_core::Errno;

use super::path::{context, files_of, find, read_path};
use super::{Args, SyscallResult, mm_of, ns};
use crate::fs::nsfs;
use crate::task::{Resource, Task};
use crate::vfs::{File, FileKind, LookupFlags, MAX_FILE_SIZE, OpenFlags, Whence};

/// linux/close_range.h
const CLOSE_RANGE_UNSHARE: u32 = 2;
/// linux/close_range.h
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// Below which number the caller may have descriptors (`RLIMIT_NOFILE`, /proc/sys/fs/nr_open).
pub(super) fn descriptor_limit(task: &Task) -> u64 {
    let most = task.kernel.sysctls.nr_open.load(Relaxed).into();
    task.group.limits.lock().get(Resource::Nofile).soft.min(most)
}

/// Gives `file` a descriptor.
///
/// # Errors
/// `EMFILE`, `ENOMEM`.
pub(super) fn install(task: &Task, file: Arc<File>, cloexec: bool) -> SyscallResult {
    let fd = files_of(task)?.install(file, 0, cloexec, descriptor_limit(task))?;
    Ok(fd.unsigned_abs().into())
}

fn open(task: &Arc<Task>, dirfd: i32, address: u64, flags: u32, mode: u32) -> SyscallResult {
    let flags = OpenFlags::from_bits_truncate(flags | O_LARGEFILE);
    let text = read_path(task, address, false)?;
    files_of(task)?.check_free(descriptor_limit(task))?;
    let file = context(task, dirfd, &text)?.open(&text, flags, mode)?;
    install(task, file, flags.contains(OpenFlags::CLOEXEC))
}

pub fn sys_open(task: &Arc<Task>, args: &Args) -> SyscallResult {
    open(task, AT_FDCWD, args.word(0), args.uint(1), args.uint(2))
}

pub fn sys_openat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    open(task, args.int(0), args.word(1), args.uint(2), args.uint(3))
}

pub fn sys_creat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    open(task, AT_FDCWD, args.word(0), O_CREAT | O_WRONLY | O_TRUNC, args.uint(1))
}

/// openat2(2) without resolve flags; with them it answers `EAGAIN`-free `EINVAL`, as a kernel that knows none.
pub fn sys_openat2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const FIRST_SIZE: u64 = 24;
    const PAGE: u64 = 4096;
    let size = args.word(3);
    if size < FIRST_SIZE {
        return Err(Errno::EINVAL);
    }
    if size > PAGE {
        return Err(Errno::E2BIG);
    }
    let mm = mm_of(task)?;
    let mut how = [0_u64; 3];
    for (index, word) in how.iter_mut().enumerate() {
        *word = mm.read_value(args.word(2).wrapping_add(index as u64 * 8))?;
    }
    for offset in FIRST_SIZE..size {
        if mm.read_value::<u8>(args.word(2).wrapping_add(offset))? != 0 {
            return Err(Errno::E2BIG);
        }
    }
    let [flags, mode, resolve] = how;
    let flags = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let known = OpenFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let makes = known.intersects(OpenFlags::CREAT | OpenFlags::TMPFILE_ONLY);
    if resolve != 0 || mode & !0o7777 != 0 || (mode != 0 && !makes) {
        return Err(Errno::EINVAL);
    }
    open(task, args.int(0), args.word(1), flags, mode as u32)
}

pub fn sys_close(task: &Arc<Task>, args: &Args) -> SyscallResult {
    files_of(task)?.close(args.int(0))?;
    Ok(0)
}

pub fn sys_close_range(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (first, last, flags) = (args.uint(0), args.uint(1), args.uint(2));
    // A table that no other task shares is unshared already; CLONE_FILES callers are refused.
    if flags & !(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) != 0 || first > last {
        return Err(Errno::EINVAL);
    }
    let files = files_of(task)?;
    if flags & CLOSE_RANGE_UNSHARE != 0 && task.group.threads().len() > 1 {
        return Err(Errno::EINVAL);
    }
    files.close_range(first, last, flags & CLOSE_RANGE_CLOEXEC != 0);
    Ok(0)
}

pub fn sys_lseek(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get_opened(args.int(0))?;
    let whence = match args.uint(2) {
        0 => Whence::Set,
        1 => Whence::Current,
        2 => Whence::End,
        3 => Whence::Data,
        4 => Whence::Hole,
        _ => return Err(Errno::EINVAL),
    };
    file.seek(args.long(1), whence)
}

pub fn sys_ioctl(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let files = files_of(task)?;
    let (fd, request, arg) = (args.int(0), args.uint(1), args.word(2));
    let file = files.get_opened(fd)?;
    let mm = mm_of(task)?;
    match request {
        FIOCLEX => files.set_cloexec(fd, true)?,
        FIONCLEX => files.set_cloexec(fd, false)?,
        FIONBIO | FIOASYNC => {
            let on = mm.read_value::<i32>(arg)? != 0;
            let flag = if request == FIONBIO { OpenFlags::NONBLOCK } else { OpenFlags::ASYNC };
            let mut flags = file.flags();
            flags.set(flag, on);
            file.set_status_flags(flags);
        }
        FIONREAD if file.inode().kind() == FileKind::Regular => {
            let left = file.inode().metadata().size.saturating_sub(file.pos());
            mm.write_value(arg, &i32::try_from(left).unwrap_or(i32::MAX))?;
        }
        _ if let Some(namespace) = nsfs::namespace_of(&**file.inode()) => {
            return ns::ioctl(task, namespace, request, arg);
        }
        _ => return file.ops().ioctl(&file, request, arg, &mm).map(|value| value as u64),
    }
    Ok(0)
}

fn sync_file(task: &Arc<Task>, fd: i32) -> SyscallResult {
    let file = files_of(task)?.get_opened(fd)?;
    if file.ops().can_sync() { Ok(0) } else { Err(Errno::EINVAL) }
}

pub fn sys_fsync(task: &Arc<Task>, args: &Args) -> SyscallResult {
    sync_file(task, args.int(0))
}

pub fn sys_fdatasync(task: &Arc<Task>, args: &Args) -> SyscallResult {
    sync_file(task, args.int(0))
}

/// sync(2): all file systems are in memory, so there is nothing to write.
pub fn sys_sync(_: &Arc<Task>, _: &Args) -> SyscallResult {
    Ok(0)
}

pub fn sys_syncfs(task: &Arc<Task>, args: &Args) -> SyscallResult {
    files_of(task)?.get_opened(args.int(0))?;
    Ok(0)
}

fn size_of_arg(args: &Args) -> Result<u64, Errno> {
    u64::try_from(args.long(1)).map_err(|_| Errno::EINVAL)
}

pub fn sys_truncate(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let size = size_of_arg(args)?;
    let (context, path) = find(task, AT_FDCWD, args.word(0), LookupFlags::FOLLOW)?;
    context.truncate(&path, size)?;
    Ok(0)
}

pub fn sys_ftruncate(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let size = size_of_arg(args)?;
    let file = files_of(task)?.get_opened(args.int(0))?;
    if file.inode().kind() != FileKind::Regular || !file.flags().is_writable() {
        return Err(Errno::EINVAL);
    }
    // The descriptor was opened for writing: the permissions of the file no longer count.
    context(task, AT_FDCWD, b"/")?.truncate_opened(file.path(), size)?;
    Ok(0)
}

pub fn sys_fallocate(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get_opened(args.int(0))?;
    let (Ok(offset), Ok(len)) = (u64::try_from(args.long(2)), u64::try_from(args.long(3))) else {
        return Err(Errno::EINVAL);
    };
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    if !file.flags().is_writable() {
        return Err(Errno::EBADF);
    }
    match file.inode().kind() {
        FileKind::Regular => {}
        FileKind::Fifo => return Err(Errno::ESPIPE),
        FileKind::Directory => return Err(Errno::EISDIR),
        _ => return Err(Errno::ENODEV),
    }
    if offset.checked_add(len).is_none_or(|end| end > MAX_FILE_SIZE) {
        return Err(Errno::EFBIG);
    }
    file.ops().fallocate(&file, args.uint(1), offset, len)?;
    Ok(0)
}

/// posix_fadvise(2): advice about a disk, of which there is none.
pub fn sys_fadvise64(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const LAST_ADVICE: u32 = 5;
    let file = files_of(task)?.get_opened(args.int(0))?;
    if file.inode().kind() == FileKind::Fifo {
        return Err(Errno::ESPIPE);
    }
    if args.long(2) < 0 || args.uint(3) > LAST_ADVICE {
        return Err(Errno::EINVAL);
    }
    Ok(0)
}
