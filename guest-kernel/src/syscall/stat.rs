//! Calls about the attributes of files and file systems.
//!
//! Source: Linux 6.12 fs/stat.c, fs/statfs.c, fs/utimes.c, fs/open.c chmod_common(), chown_common().

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general::{AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_STATX_SYNC_TYPE, AT_SYMLINK_NOFOLLOW};
use procfs_core::Errno;

use super::path::{context, files_of, find, fs_of, lookup_flags, read_path};
use super::{Args, SyscallResult, mm_of};
use crate::cred::{Cred, KGid, KUid};
use crate::task::Task;
use crate::vfs::{Access, LookupContext, LookupFlags, Metadata, MountFlags, Path, SetAttr, Timestamp, permission};

const STAT_BYTES: usize = 144;
const STATX_BYTES: usize = 256;
const STATFS_BYTES: usize = 120;

/// struct stat of x86-64.
fn stat_bytes(path: &Path, inode: &Metadata, cred: &Cred) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(STAT_BYTES);
    let words = |bytes: &mut Vec<u8>, words: &[u64]| {
        for word in words {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
    };
    let halves = |bytes: &mut Vec<u8>, halves: &[u32]| {
        for half in halves {
            bytes.extend_from_slice(&half.to_ne_bytes());
        }
    };
    words(&mut bytes, &[path.mount.super_block.dev.encode().into(), inode.ino, inode.nlink.into()]);
    let ns = &cred.user_ns;
    halves(&mut bytes, &[inode.st_mode(), ns.from_kuid_munged(inode.uid), ns.from_kgid_munged(inode.gid), 0]);
    words(&mut bytes, &[inode.rdev.encode().into(), inode.size, inode.block_size.into(), inode.blocks]);
    for time in [inode.atime, inode.mtime, inode.ctime] {
        words(&mut bytes, &[time.secs.cast_unsigned(), time.nanos.into()]);
    }
    bytes.resize(STAT_BYTES, 0);
    bytes
}

fn put_stat(task: &Task, path: &Path, address: u64) -> SyscallResult {
    let inode = path.inode().getattr()?;
    mm_of(task)?.copy_out(address, &stat_bytes(path, &inode, &task.cred()))?;
    Ok(0)
}

pub fn sys_stat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (_, path) = find(task, AT_FDCWD, args.word(0), LookupFlags::FOLLOW)?;
    put_stat(task, &path, args.word(1))
}

pub fn sys_lstat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (_, path) = find(task, AT_FDCWD, args.word(0), LookupFlags::empty())?;
    put_stat(task, &path, args.word(1))
}

pub fn sys_fstat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get(args.int(0))?;
    put_stat(task, file.path(), args.word(1))
}

/// The place that a dirfd, a path and AT_EMPTY_PATH name; with the latter a null path is an empty one.
fn find_at(task: &Task, dirfd: i32, address: u64, flags: u32) -> Result<(LookupContext, Path), Errno> {
    if flags & AT_EMPTY_PATH != 0 && address == 0 {
        let context = context(task, dirfd, b"")?;
        let path = context.base.clone();
        return Ok((context, path));
    }
    find(task, dirfd, address, lookup_flags(flags))
}

pub fn sys_newfstatat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let flags = args.uint(3);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE) != 0 {
        return Err(Errno::EINVAL);
    }
    let (_, path) = find_at(task, args.int(0), args.word(1), flags)?;
    put_stat(task, &path, args.word(2))
}

pub fn sys_statx(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const STATX_RESERVED: u32 = 0x8000_0000;
    let (flags, mask) = (args.uint(2), args.uint(3));
    if mask & STATX_RESERVED != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE {
        return Err(Errno::EINVAL);
    }
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE) != 0 {
        return Err(Errno::EINVAL);
    }
    let (_, path) = find_at(task, args.int(0), args.word(1), flags)?;
    let inode = path.inode().getattr()?;
    mm_of(task)?.copy_out(args.word(4), &statx_bytes(&path, &inode, &task.cred()))?;
    Ok(0)
}

/// struct statx
fn statx_bytes(path: &Path, inode: &Metadata, cred: &Cred) -> [u8; STATX_BYTES] {
    const BASIC_STATS: u32 = 0x7ff;
    const BTIME: u32 = 0x800;
    const MNT_ID: u32 = 0x1000;
    const ATTR_MOUNT_ROOT: u64 = 0x2000;
    let mut bytes = [0; STATX_BYTES];
    let mut put = |offset: usize, field: &[u8]| bytes[offset..offset + field.len()].copy_from_slice(field);
    let mask = BASIC_STATS | MNT_ID | if inode.btime.is_some() { BTIME } else { 0 };
    let is_root = Arc::ptr_eq(&path.dentry, &path.mount.root);
    let dev = path.mount.super_block.dev;
    put(0, &mask.to_ne_bytes());
    put(4, &inode.block_size.to_ne_bytes());
    put(8, &(if is_root { ATTR_MOUNT_ROOT } else { 0 }).to_ne_bytes());
    put(16, &inode.nlink.to_ne_bytes());
    put(20, &cred.user_ns.from_kuid_munged(inode.uid).to_ne_bytes());
    put(24, &cred.user_ns.from_kgid_munged(inode.gid).to_ne_bytes());
    // A mode has 16 bits.
    put(28, &(inode.st_mode() as u16).to_ne_bytes());
    put(32, &inode.ino.to_ne_bytes());
    put(40, &inode.size.to_ne_bytes());
    put(48, &inode.blocks.to_ne_bytes());
    put(56, &ATTR_MOUNT_ROOT.to_ne_bytes());
    for (offset, time) in
        [(64, inode.atime), (80, inode.btime.unwrap_or_default()), (96, inode.ctime), (112, inode.mtime)]
    {
        put(offset, &time.secs.to_ne_bytes());
        put(offset + 8, &time.nanos.to_ne_bytes());
    }
    for (offset, number) in [(128, inode.rdev.major), (132, inode.rdev.minor), (136, dev.major), (140, dev.minor)] {
        put(offset, &number.to_ne_bytes());
    }
    put(144, &u64::from(path.mount.id()).to_ne_bytes());
    bytes
}

fn put_statfs(task: &Task, path: &Path, address: u64) -> SyscallResult {
    const ST_VALID: u64 = 0x20;
    let figures = path.inode().statfs()?;
    let mount = path.mount.flags();
    let mut flags = ST_VALID;
    for (flag, bit) in [
        (MountFlags::RDONLY, 1),
        (MountFlags::NOSUID, 2),
        (MountFlags::NODEV, 4),
        (MountFlags::NOEXEC, 8),
        (MountFlags::NOATIME, 1024),
        (MountFlags::NODIRATIME, 2048),
        (MountFlags::RELATIME, 4096),
        (MountFlags::NOSYMFOLLOW, 8192),
    ] {
        if mount.contains(flag) {
            flags |= bit;
        }
    }
    let block_size = u64::from(figures.block_size);
    let words = [
        u64::from(figures.magic),
        block_size,
        figures.blocks,
        figures.blocks_free,
        figures.blocks_free,
        figures.files,
        figures.files_free,
        u64::from(path.mount.super_block.dev.encode()),
        u64::from(figures.name_max),
        block_size,
        flags,
    ];
    let mut bytes = Vec::with_capacity(STATFS_BYTES);
    for word in words {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    bytes.resize(STATFS_BYTES, 0);
    mm_of(task)?.copy_out(address, &bytes)?;
    Ok(0)
}

pub fn sys_statfs(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (_, path) = find(task, AT_FDCWD, args.word(0), LookupFlags::FOLLOW)?;
    put_statfs(task, &path, args.word(1))
}

pub fn sys_fstatfs(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get(args.int(0))?;
    put_statfs(task, file.path(), args.word(1))
}

pub fn sys_umask(task: &Arc<Task>, args: &Args) -> SyscallResult {
    Ok(fs_of(task)?.set_umask(args.uint(0)).into())
}

pub fn sys_chmod(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (context, path) = find(task, AT_FDCWD, args.word(0), LookupFlags::FOLLOW)?;
    context.chmod(&path, args.uint(1))?;
    Ok(0)
}

pub fn sys_fchmod(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get_opened(args.int(0))?;
    context(task, AT_FDCWD, b"/")?.chmod(file.path(), args.uint(1))?;
    Ok(0)
}

pub fn sys_fchmodat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (context, path) = find(task, args.int(0), args.word(1), LookupFlags::FOLLOW)?;
    context.chmod(&path, args.uint(2))?;
    Ok(0)
}

pub fn sys_fchmodat2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let flags = args.uint(3);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let (context, path) = find(task, args.int(0), args.word(1), lookup_flags(flags))?;
    context.chmod(&path, args.uint(2))?;
    Ok(0)
}

/// Changes owner and group; -1 leaves one as it is.
fn chown(context: &LookupContext, path: &Path, uid: u32, gid: u32) -> SyscallResult {
    let ns = &context.cred.user_ns;
    let uid = (uid != u32::MAX).then(|| ns.make_kuid(uid).ok_or(Errno::EINVAL)).transpose()?;
    let gid = (gid != u32::MAX).then(|| ns.make_kgid(gid).ok_or(Errno::EINVAL)).transpose()?;
    context.chown(path, uid as Option<KUid>, gid as Option<KGid>)?;
    Ok(0)
}

pub fn sys_chown(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (context, path) = find(task, AT_FDCWD, args.word(0), LookupFlags::FOLLOW)?;
    chown(&context, &path, args.uint(1), args.uint(2))
}

pub fn sys_lchown(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let (context, path) = find(task, AT_FDCWD, args.word(0), LookupFlags::empty())?;
    chown(&context, &path, args.uint(1), args.uint(2))
}

pub fn sys_fchown(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get_opened(args.int(0))?;
    chown(&context(task, AT_FDCWD, b"/")?, file.path(), args.uint(1), args.uint(2))
}

pub fn sys_fchownat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let flags = args.uint(4);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let (context, path) = find(task, args.int(0), args.word(1), lookup_flags(flags))?;
    chown(&context, &path, args.uint(2), args.uint(3))
}

/// What utimensat(2) is asked to do with one time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewTime {
    Now,
    Omit,
    At(Timestamp),
}

impl NewTime {
    fn value(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Now => Some(now),
            Self::Omit => None,
            Self::At(time) => Some(time),
        }
    }
}

fn set_times(context: &LookupContext, path: &Path, [atime, mtime]: [NewTime; 2]) -> SyscallResult {
    if [atime, mtime] == [NewTime::Omit; 2] {
        return Ok(0);
    }
    context.want_write(path)?;
    let is_owner = permission::is_owner_or_capable(&path.inode().metadata(), &context.cred);
    if !is_owner {
        // Whoever may write may also set both times to the present, nothing else.
        if [atime, mtime] != [NewTime::Now; 2] {
            return Err(Errno::EPERM);
        }
        context.permission(path, Access::WRITE)?;
    }
    let now = Timestamp::now();
    let attr = SetAttr { atime: atime.value(now), mtime: mtime.value(now), ..SetAttr::default() };
    path.inode().set_attr(&attr)?;
    Ok(0)
}

/// Two pairs of seconds and a fraction at `address`; a null pointer means the present.
fn read_times(
    task: &Task,
    address: u64,
    convert: impl Fn(i64, i64) -> Result<NewTime, Errno>,
) -> Result<[NewTime; 2], Errno> {
    if address == 0 {
        return Ok([NewTime::Now; 2]);
    }
    let mm = mm_of(task)?;
    let mut times = [NewTime::Now; 2];
    for (index, time) in times.iter_mut().enumerate() {
        let at = address.checked_add(index as u64 * 16).ok_or(Errno::EFAULT)?;
        let (secs, fraction) = super::read_pair(&mm, at)?;
        *time = convert(secs, fraction)?;
    }
    Ok(times)
}

fn from_nanos(secs: i64, nanos: i64) -> Result<NewTime, Errno> {
    const UTIME_NOW: i64 = (1 << 30) - 1;
    const UTIME_OMIT: i64 = (1 << 30) - 2;
    match nanos {
        UTIME_NOW => Ok(NewTime::Now),
        UTIME_OMIT => Ok(NewTime::Omit),
        0..1_000_000_000 => Ok(NewTime::At(Timestamp { secs, nanos: nanos as u32 })),
        _ => Err(Errno::EINVAL),
    }
}

fn from_micros(secs: i64, micros: i64) -> Result<NewTime, Errno> {
    match micros {
        0..1_000_000 => Ok(NewTime::At(Timestamp { secs, nanos: micros as u32 * 1000 })),
        _ => Err(Errno::EINVAL),
    }
}

pub fn sys_utimensat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let times = read_times(task, args.word(2), from_nanos)?;
    if times == [NewTime::Omit; 2] {
        return Ok(0);
    }
    let (dirfd, address, flags) = (args.int(0), args.word(1), args.uint(3));
    if address == 0 && dirfd != AT_FDCWD {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        let file = files_of(task)?.get_opened(dirfd)?;
        return set_times(&context(task, AT_FDCWD, b"/")?, file.path(), times);
    }
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let (context, path) = find(task, dirfd, address, lookup_flags(flags))?;
    set_times(&context, &path, times)
}

fn set_times_at(task: &Task, dirfd: i32, address: u64, times: [NewTime; 2]) -> SyscallResult {
    let text = read_path(task, address, false)?;
    let context = context(task, dirfd, &text)?;
    let path = context.lookup(&text, LookupFlags::FOLLOW)?;
    set_times(&context, &path, times)
}

pub fn sys_futimesat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let times = read_times(task, args.word(2), from_micros)?;
    set_times_at(task, args.int(0), args.word(1), times)
}

pub fn sys_utimes(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let times = read_times(task, args.word(1), from_micros)?;
    set_times_at(task, AT_FDCWD, args.word(0), times)
}

pub fn sys_utime(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let times = match args.word(1) {
        0 => [NewTime::Now; 2],
        at => {
            let (atime, mtime) = super::read_pair(&*mm_of(task)?, at)?;
            [atime, mtime].map(|secs| NewTime::At(Timestamp { secs, nanos: 0 }))
        }
    };
    set_times_at(task, AT_FDCWD, args.word(0), times)
}
