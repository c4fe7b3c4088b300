//! mount(2) and umount2(2).
//!
//! There is no propagation: every mount is private, and asking for another kind answers `EINVAL`. Moving is not there.
//! Source: Linux 6.12 fs/namespace.c path_mount(), do_new_mount(), do_loopback(), do_remount(), path_umount().

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use linux_raw_sys::general::{
    AT_FDCWD, MNT_DETACH, MNT_EXPIRE, MNT_FORCE, MS_BIND, MS_MGC_MSK, MS_MGC_VAL, MS_MOVE, MS_NOATIME, MS_PRIVATE,
    MS_RDONLY, MS_REC, MS_REMOUNT, MS_SHARED, MS_SILENT, MS_SLAVE, MS_STRICTATIME, MS_UNBINDABLE, UMOUNT_NOFOLLOW,
};
use procfs_core::Errno;

use super::path::{find, read_path};
use super::{Args, SyscallResult, mm_of};
use crate::cred::Capability;
use crate::task::Task;
use crate::vfs::{LookupFlags, MountFlags, MountNs, MountRequest, Path};

/// The most that an argument string has, in bytes.
const MAX_TEXT: usize = 4096;
/// References to an idle mount while umount2(2) looks at it: the namespace's and the walk's.
const IDLE_REFERENCES: usize = 2;

fn read_text(task: &Task, address: u64) -> Result<Option<Vec<u8>>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    match mm_of(task)?.copy_in_string(address, MAX_TEXT) {
        Err(Errno::ENAMETOOLONG) => Err(Errno::EINVAL),
        other => other.map(Some),
    }
}

/// The namespace of the caller, which it must be allowed to change.
fn namespace(task: &Task) -> Result<Arc<MountNs>, Errno> {
    let ns = task.nsproxy().ok_or(Errno::EINVAL)?.mnt.clone();
    if task.cred().has_in(&ns.user_ns, Capability::SysAdmin) { Ok(ns) } else { Err(Errno::EPERM) }
}

fn mount_flags(flags: u32) -> MountFlags {
    let mut kept = MountFlags::from_bits_truncate(flags);
    kept.set(MountFlags::RELATIME, flags & (MS_NOATIME | MS_STRICTATIME) == 0);
    kept
}

pub fn sys_mount(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let fs_type = read_text(task, args.word(2))?;
    let source = read_text(task, args.word(0))?;
    let data = read_text(task, args.word(4))?.unwrap_or_default();
    let mut flags = args.uint(3);
    if flags & MS_MGC_MSK == MS_MGC_VAL {
        flags &= !MS_MGC_MSK;
    }
    let (_, point) = find(task, AT_FDCWD, args.word(1), LookupFlags::FOLLOW)?;
    let ns = namespace(task)?;
    if !point.mount.ns().is_some_and(|of_point| Arc::ptr_eq(&of_point, &ns)) {
        return Err(Errno::EINVAL);
    }
    if flags & MS_REMOUNT != 0 {
        return remount(task, &point, flags, &data);
    }
    if flags & MS_BIND != 0 {
        return bind(task, args.word(0), &ns, &point);
    }
    let propagation = flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE);
    if propagation != 0 {
        let is_plain = flags & !(propagation | MS_REC | MS_SILENT) == 0;
        // A private mount is what each is already, and a slave without a master is private.
        return if is_plain && matches!(propagation, MS_PRIVATE | MS_SLAVE) { Ok(0) } else { Err(Errno::EINVAL) };
    }
    if flags & MS_MOVE != 0 {
        return Err(Errno::EINVAL);
    }
    let fs_type = fs_type.ok_or(Errno::EINVAL)?;
    let source = source.unwrap_or_else(|| b"none".to_vec());
    let request =
        MountRequest { source: &source, data: &data, vfs: &ns.vfs, user_ns: ns.user_ns.clone(), caller: Some(task) };
    let mount = ns.vfs.mount_new(&fs_type, &request, mount_flags(flags))?;
    mount.super_block.is_read_only.fetch_or(flags & MS_RDONLY != 0, Relaxed);
    ns.attach(&mount, Some(&point))?;
    Ok(0)
}

/// Changes flags and, unless only the mount is meant, the options of its file system (do_remount(), do_reconfigure_mnt()).
fn remount(task: &Task, point: &Path, flags: u32, data: &[u8]) -> SyscallResult {
    if !Arc::ptr_eq(&point.dentry, &point.mount.root) {
        return Err(Errno::EINVAL);
    }
    if flags & MS_BIND == 0 {
        let cred = task.cred();
        let super_block = &point.mount.super_block;
        if !cred.has_in(&super_block.user_ns, Capability::SysAdmin) {
            return Err(Errno::EPERM);
        }
        super_block.options.reconfigure(data, &cred.user_ns)?;
        super_block.is_read_only.store(flags & MS_RDONLY != 0, Relaxed);
    }
    point.mount.set_flags(mount_flags(flags));
    Ok(0)
}

/// Makes the tree at `source` show at `point` too; what is mounted below it does not come along.
fn bind(task: &Task, source: u64, ns: &Arc<MountNs>, point: &Path) -> SyscallResult {
    let text = read_path(task, source, false)?;
    let path = super::path::context(task, AT_FDCWD, &text)?.lookup(&text, LookupFlags::FOLLOW)?;
    let of = &path.mount;
    let mount = ns.vfs.new_mount(of.super_block.clone(), path.dentry.clone(), of.flags());
    ns.attach(&mount, Some(point))?;
    Ok(0)
}

pub fn sys_umount2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let flags = args.uint(1);
    if flags & !(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut walk = LookupFlags::empty();
    walk.set(LookupFlags::FOLLOW, flags & UMOUNT_NOFOLLOW == 0);
    let (context, path) = find(task, AT_FDCWD, args.word(0), walk)?;
    drop(context);
    if !Arc::ptr_eq(&path.dentry, &path.mount.root) {
        return Err(Errno::EINVAL);
    }
    let ns = namespace(task)?;
    if flags & MNT_EXPIRE != 0 {
        return Err(if flags & (MNT_FORCE | MNT_DETACH) != 0 { Errno::EINVAL } else { Errno::EAGAIN });
    }
    if flags & MNT_DETACH == 0 && Arc::strong_count(&path.mount) > IDLE_REFERENCES {
        return Err(Errno::EBUSY);
    }
    ns.detach(&path.mount)?;
    Ok(0)
}
