//! Calls that list and change directories.
//!
//! Source: Linux 6.12 fs/readdir.c, fs/namei.c.

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general::{
    AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT,
    S_IFDIR, S_IFMT,
};
use procfs_core::Errno;

use super::path::{context, files_of, read_path};
use super::{Args, SyscallResult, mm_of};
use crate::cred::Capability;
use crate::task::Task;
use crate::vfs::{DeviceNumber, DirEntry, FileKind, LookupFlags, RenameMode};

/// How much one getdents64(2) gives at most, in bytes, whatever the buffer.
const MAX_LISTING: usize = 32 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// struct linux_dirent: the type is the last byte of the record.
    Old,
    /// struct linux_dirent64
    New,
}

impl Layout {
    fn record_len(self, name: &[u8]) -> usize {
        // Offsets of d_name: 18 and 19; the old record has one more byte after the NUL.
        let len = match self {
            Self::Old => 18 + name.len() + 2,
            Self::New => 19 + name.len() + 1,
        };
        len.next_multiple_of(8)
    }

    fn append(self, bytes: &mut Vec<u8>, entry: &DirEntry<'_>) {
        let start = bytes.len();
        let len = self.record_len(entry.name);
        bytes.extend_from_slice(&entry.ino.to_ne_bytes());
        bytes.extend_from_slice(&entry.next_offset.to_ne_bytes());
        // A name has at most 255 bytes.
        bytes.extend_from_slice(&(len as u16).to_ne_bytes());
        if self == Self::New {
            bytes.push(entry.kind.dirent_type());
        }
        bytes.extend_from_slice(entry.name);
        bytes.resize(start + len, 0);
        if self == Self::Old {
            bytes[start + len - 1] = entry.kind.dirent_type();
        }
    }
}

fn list(task: &Arc<Task>, args: &Args, layout: Layout) -> SyscallResult {
    let file = files_of(task)?.get_opened(args.int(0))?;
    if file.inode().kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    if file.path().dentry.is_unlinked() {
        return Err(Errno::ENOENT);
    }
    let room = usize::try_from(args.uint(2)).unwrap_or(MAX_LISTING).min(MAX_LISTING);
    let mut bytes = Vec::new();
    bytes.try_reserve(room).map_err(|_| Errno::ENOMEM)?;
    let mut is_too_small = false;
    let start = file.pos();
    let result = file.readdir(&mut |entry| {
        if bytes.len() + layout.record_len(entry.name) > room {
            is_too_small = bytes.is_empty();
            return false;
        }
        layout.append(&mut bytes, &entry);
        true
    });
    if bytes.is_empty() {
        result?;
        return if is_too_small { Err(Errno::EINVAL) } else { Ok(0) };
    }
    if let Err(errno) = mm_of(task)?.copy_out(args.word(1), &bytes) {
        file.set_pos(start);
        return Err(errno);
    }
    Ok(bytes.len() as u64)
}

pub fn sys_getdents(task: &Arc<Task>, args: &Args) -> SyscallResult {
    list(task, args, Layout::Old)
}

pub fn sys_getdents64(task: &Arc<Task>, args: &Args) -> SyscallResult {
    list(task, args, Layout::New)
}

fn mkdir(task: &Arc<Task>, dirfd: i32, address: u64, mode: u32) -> SyscallResult {
    let text = read_path(task, address, false)?;
    context(task, dirfd, &text)?.mkdir(&text, mode)?;
    Ok(0)
}

pub fn sys_mkdir(task: &Arc<Task>, args: &Args) -> SyscallResult {
    mkdir(task, AT_FDCWD, args.word(0), args.uint(1))
}

pub fn sys_mkdirat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    mkdir(task, args.int(0), args.word(1), args.uint(2))
}

fn mknod(task: &Arc<Task>, dirfd: i32, address: u64, mode: u32, dev: u32) -> SyscallResult {
    let kind = match mode & S_IFMT {
        0 => FileKind::Regular,
        S_IFDIR => return Err(Errno::EPERM),
        _ => FileKind::from_mode(mode).filter(|&kind| kind != FileKind::Symlink).ok_or(Errno::EINVAL)?,
    };
    let text = read_path(task, address, false)?;
    context(task, dirfd, &text)?.mknod(&text, kind, mode, DeviceNumber::decode(dev))?;
    Ok(0)
}

pub fn sys_mknod(task: &Arc<Task>, args: &Args) -> SyscallResult {
    mknod(task, AT_FDCWD, args.word(0), args.uint(1), args.uint(2))
}

pub fn sys_mknodat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    mknod(task, args.int(0), args.word(1), args.uint(2), args.uint(3))
}

fn unlink(task: &Arc<Task>, dirfd: i32, address: u64) -> SyscallResult {
    let text = read_path(task, address, false)?;
    context(task, dirfd, &text)?.unlink(&text)?;
    Ok(0)
}

fn rmdir(task: &Arc<Task>, dirfd: i32, address: u64) -> SyscallResult {
    let text = read_path(task, address, false)?;
    context(task, dirfd, &text)?.rmdir(&text)?;
    Ok(0)
}

pub fn sys_unlink(task: &Arc<Task>, args: &Args) -> SyscallResult {
    unlink(task, AT_FDCWD, args.word(0))
}

pub fn sys_rmdir(task: &Arc<Task>, args: &Args) -> SyscallResult {
    rmdir(task, AT_FDCWD, args.word(0))
}

pub fn sys_unlinkat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    match args.uint(2) {
        0 => unlink(task, args.int(0), args.word(1)),
        AT_REMOVEDIR => rmdir(task, args.int(0), args.word(1)),
        _ => Err(Errno::EINVAL),
    }
}

fn rename(task: &Arc<Task>, from: (i32, u64), to: (i32, u64), flags: u32) -> SyscallResult {
    let exchange = flags & RENAME_EXCHANGE != 0;
    if flags & !(RENAME_EXCHANGE | RENAME_NOREPLACE | RENAME_WHITEOUT) != 0
        || (exchange && flags != RENAME_EXCHANGE)
        // Whiteouts belong to overlay file systems, of which there are none.
        || flags & RENAME_WHITEOUT != 0
    {
        return Err(Errno::EINVAL);
    }
    let old = read_path(task, from.1, false)?;
    let new = read_path(task, to.1, false)?;
    let mode = if exchange { RenameMode::Exchange } else { RenameMode::Replace };
    let target = context(task, to.0, &new);
    context(task, from.0, &old)?.rename(&old, &target?, &new, mode, flags & RENAME_NOREPLACE != 0)?;
    Ok(0)
}

pub fn sys_rename(task: &Arc<Task>, args: &Args) -> SyscallResult {
    rename(task, (AT_FDCWD, args.word(0)), (AT_FDCWD, args.word(1)), 0)
}

pub fn sys_renameat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    rename(task, (args.int(0), args.word(1)), (args.int(2), args.word(3)), 0)
}

pub fn sys_renameat2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    rename(task, (args.int(0), args.word(1)), (args.int(2), args.word(3)), args.uint(4))
}

fn link(task: &Arc<Task>, from: (i32, u64), to: (i32, u64), flags: u32) -> SyscallResult {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let may_be_empty = flags & AT_EMPTY_PATH != 0;
    if may_be_empty && !task.cred().has(Capability::DacReadSearch) {
        return Err(Errno::ENOENT);
    }
    let mut walk = LookupFlags::empty();
    walk.set(LookupFlags::FOLLOW, flags & AT_SYMLINK_FOLLOW != 0);
    walk.set(LookupFlags::EMPTY, may_be_empty);
    let old = read_path(task, from.1, may_be_empty)?;
    let new = read_path(task, to.1, false)?;
    let source = context(task, from.0, &old)?.lookup(&old, walk)?;
    context(task, to.0, &new)?.link(&source, &new)?;
    Ok(0)
}

pub fn sys_link(task: &Arc<Task>, args: &Args) -> SyscallResult {
    link(task, (AT_FDCWD, args.word(0)), (AT_FDCWD, args.word(1)), 0)
}

pub fn sys_linkat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    link(task, (args.int(0), args.word(1)), (args.int(2), args.word(3)), args.uint(4))
}

fn symlink(task: &Arc<Task>, target: u64, dirfd: i32, address: u64) -> SyscallResult {
    let target = read_path(task, target, false)?;
    let text = read_path(task, address, false)?;
    context(task, dirfd, &text)?.symlink(&target, &text)?;
    Ok(0)
}

pub fn sys_symlink(task: &Arc<Task>, args: &Args) -> SyscallResult {
    symlink(task, args.word(0), AT_FDCWD, args.word(1))
}

pub fn sys_symlinkat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    symlink(task, args.word(0), args.int(1), args.word(2))
}
