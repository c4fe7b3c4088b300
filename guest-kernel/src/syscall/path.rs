//! Where a path of a system call starts, and the calls about places: chdir, getcwd, access, readlink and their relatives.
//!
//! Source: Linux 6.12 fs/namei.c path_init(), fs/open.c do_faccessat(), fs/stat.c do_readlinkat(), fs/d_path.c getcwd().

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general::{AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW};
use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of};
use crate::cred::{Capabilities, Capability, Cred, SecureBits};
use crate::fd::FdTable;
use crate::task::{FsContext, Task};
use crate::vfs::{Access, FileKind, LookupContext, LookupFlags, MountFlags, PATH_MAX, Path, d_path};

/// The caller's descriptors.
pub(super) fn files_of(task: &Task) -> Result<Arc<FdTable>, Errno> {
    task.files().ok_or(Errno::EBADF)
}

/// The caller's root, working directory and umask.
pub(super) fn fs_of(task: &Task) -> Result<Arc<FsContext>, Errno> {
    task.fs().ok_or(Errno::ENOENT)
}

/// The path at user address `address`.
///
/// # Errors
/// `EFAULT`, `ENAMETOOLONG`; `ENOENT` for an empty one unless `may_be_empty`.
pub(super) fn read_path(task: &Task, address: u64, may_be_empty: bool) -> Result<Vec<u8>, Errno> {
    let text = mm_of(task)?.copy_in_string(address, PATH_MAX)?;
    if text.is_empty() && !may_be_empty { Err(Errno::ENOENT) } else { Ok(text) }
}

/// Whose walk of `text` starts where: at `dirfd` unless the path is absolute.
///
/// # Errors
/// `EBADF`.
pub fn context(task: &Task, dirfd: i32, text: &[u8]) -> Result<LookupContext, Errno> {
    let fs = fs_of(task)?;
    let root = fs.root();
    let base = if text.first() == Some(&b'/') {
        root.clone()
    } else if dirfd == AT_FDCWD {
        fs.cwd()
    } else {
        files_of(task)?.get(dirfd)?.path().clone()
    };
    Ok(LookupContext { root, base, cred: task.cred(), umask: fs.umask() })
}

/// Reads the path at `address` and walks it from `dirfd`: the context and the place.
///
/// # Errors
/// Those of `read_path`, `context` and the walk.
pub(super) fn find(task: &Task, dirfd: i32, address: u64, flags: LookupFlags) -> Result<(LookupContext, Path), Errno> {
    let text = read_path(task, address, flags.contains(LookupFlags::EMPTY))?;
    let context = context(task, dirfd, &text)?;
    let path = context.lookup(&text, flags)?;
    Ok((context, path))
}

/// How a walk ends by the `AT_*` flags of a call that follows links unless told not to.
pub(super) fn lookup_flags(at_flags: u32) -> LookupFlags {
    let mut flags = LookupFlags::empty();
    flags.set(LookupFlags::FOLLOW, at_flags & AT_SYMLINK_NOFOLLOW == 0);
    flags.set(LookupFlags::EMPTY, at_flags & AT_EMPTY_PATH != 0);
    flags
}

pub fn sys_chdir(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let text = read_path(task, args.word(0), false)?;
    let path = context(task, AT_FDCWD, &text)?.lookup_dir(&text)?;
    fs_of(task)?.set_cwd(path);
    Ok(0)
}

pub fn sys_fchdir(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get(args.int(0))?;
    if !file.path().is_dir() {
        return Err(Errno::ENOTDIR);
    }
    file.inode().permission(&task.cred(), Access::EXEC)?;
    fs_of(task)?.set_cwd(file.path().clone());
    Ok(0)
}

pub fn sys_chroot(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let text = read_path(task, args.word(0), false)?;
    let path = context(task, AT_FDCWD, &text)?.lookup_dir(&text)?;
    if !task.cred().has(Capability::SysChroot) {
        return Err(Errno::EPERM);
    }
    fs_of(task)?.set_root(path);
    Ok(0)
}

pub fn sys_getcwd(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let fs = fs_of(task)?;
    let (root, cwd) = (fs.root(), fs.cwd());
    if cwd.dentry.has_lost_name() {
        return Err(Errno::ENOENT);
    }
    let mut text = Vec::new();
    if !is_reachable(&cwd, &root) {
        text.extend_from_slice(b"(unreachable)");
    }
    text.extend_from_slice(&d_path(&cwd, &root));
    text.push(0);
    if text.len() > PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if args.word(1) < text.len() as u64 {
        return Err(Errno::ERANGE);
    }
    mm_of(task)?.copy_out(args.word(0), &text)?;
    Ok(text.len() as u64)
}

fn is_reachable(path: &Path, root: &Path) -> bool {
    let mut at = path.clone();
    loop {
        if at.is_same(root) {
            return true;
        }
        // The root itself may be the place that another mount covers.
        let mut covered = at.clone();
        while Arc::ptr_eq(&covered.dentry, &covered.mount.root) {
            let Some(point) = covered.mount.parent_point() else { return false };
            covered = point;
            if covered.is_same(root) {
                return true;
            }
        }
        let Some(parent) = at.parent() else { return false };
        at = parent;
    }
}

/// The credentials that access(2) checks by: the real ids in place of the file-system ids (access_override_creds()).
fn real_cred(cred: &Cred) -> Cred {
    let mut real = cred.clone();
    (real.fsuid, real.fsgid) = (cred.uid, cred.gid);
    if !cred.securebits.contains(SecureBits::NO_SETUID_FIXUP) {
        real.cap_effective = if Some(cred.uid) == cred.root_uid() { cred.cap_permitted } else { Capabilities::EMPTY };
    }
    real
}

fn access(task: &Arc<Task>, dirfd: i32, address: u64, mode: u32, flags: u32) -> SyscallResult {
    let Some(mask) = Access::from_bits(mode) else { return Err(Errno::EINVAL) };
    if flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let text = read_path(task, address, flags & AT_EMPTY_PATH != 0)?;
    let mut context = context(task, dirfd, &text)?;
    if flags & AT_EACCESS == 0 {
        context.cred = Arc::new(real_cred(&context.cred));
    }
    let path = context.lookup(&text, lookup_flags(flags))?;
    let kind = path.inode().kind();
    let mount = path.mount.flags();
    if mask.contains(Access::EXEC) && kind == FileKind::Regular && mount.contains(MountFlags::NOEXEC) {
        return Err(Errno::EACCES);
    }
    if !mask.is_empty() {
        context.permission(&path, mask)?;
    }
    let is_special = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice | FileKind::Fifo | FileKind::Socket);
    if mask.contains(Access::WRITE) && !is_special {
        context.want_write(&path)?;
    }
    Ok(0)
}

pub fn sys_access(task: &Arc<Task>, args: &Args) -> SyscallResult {
    access(task, AT_FDCWD, args.word(0), args.uint(1), 0)
}

pub fn sys_faccessat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    access(task, args.int(0), args.word(1), args.uint(2), 0)
}

pub fn sys_faccessat2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    access(task, args.int(0), args.word(1), args.uint(2), args.uint(3))
}

fn read_link(task: &Arc<Task>, dirfd: i32, address: u64, buffer: u64, len: i32) -> SyscallResult {
    let Some(len) = usize::try_from(len).ok().filter(|&len| len > 0) else { return Err(Errno::EINVAL) };
    let text = read_path(task, address, true)?;
    let context = context(task, dirfd, &text)?;
    let path = context.lookup(&text, LookupFlags::EMPTY)?;
    if path.inode().kind() != FileKind::Symlink {
        return Err(if text.is_empty() { Errno::ENOENT } else { Errno::EINVAL });
    }
    let target = match path.inode().read_link_from(&context.root) {
        Some(target) => target?,
        None => path.inode().read_link()?,
    };
    let shown = &target[..target.len().min(len)];
    mm_of(task)?.copy_out(buffer, shown)?;
    Ok(shown.len() as u64)
}

pub fn sys_readlink(task: &Arc<Task>, args: &Args) -> SyscallResult {
    read_link(task, AT_FDCWD, args.word(0), args.word(1), args.int(2))
}

pub fn sys_readlinkat(task: &Arc<Task>, args: &Args) -> SyscallResult {
    read_link(task, args.int(0), args.word(1), args.word(2), args.int(3))
}
