//! mount(2): new file systems, binds, moves, changed options and propagation.
//!
//! Owns the checks and their order; what is done to trees of mounts is `vfs::mount_tree`'s. Taking mounts away is `umount`'s.
//! Source: Linux 6.12 fs/namespace.c path_mount(), do_new_mount(), do_add_mount(), do_loopback(), do_move_mount(), do_remount(),
//! do_reconfigure_mnt(), do_change_type(), mount_too_revealing(); mount(2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general::{
    AT_FDCWD, MS_BIND, MS_MGC_MSK, MS_MGC_VAL, MS_MOVE, MS_NOATIME, MS_NODIRATIME, MS_NOUSER, MS_PRIVATE, MS_REC,
    MS_RELATIME, MS_REMOUNT, MS_SHARED, MS_SILENT, MS_SLAVE, MS_STRICTATIME, MS_UNBINDABLE,
};
use procfs_core::Errno;

use super::path::{context, find};
use super::{Args, SyscallResult, mm_of};
use crate::cred::Capability;
use crate::fs::nsfs;
use crate::task::Task;
use crate::vfs::mount_tree::{self, CopyRules, Copying};
use crate::vfs::{
    FsTypeFlags, LookupFlags, Mount, MountFlags, MountNs, MountRequest, Path, Propagation, SuperFlags, top_of,
};

/// The most that an argument string has, in bytes.
const MAX_TEXT: usize = 4096;

fn read_text(task: &Task, address: u64) -> Result<Option<Vec<u8>>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    match mm_of(task)?.copy_in_string(address, MAX_TEXT) {
        Err(Errno::ENAMETOOLONG) => Err(Errno::EINVAL),
        other => other.map(Some),
    }
}

/// The namespace of the caller, which it must be allowed to change (may_mount()).
///
/// # Errors
/// `EPERM`.
pub(super) fn namespace(task: &Task) -> Result<Arc<MountNs>, Errno> {
    let ns = task.nsproxy().ok_or(Errno::EINVAL)?.mnt.clone();
    if task.cred().has_in(&ns.user_ns, Capability::SysAdmin) { Ok(ns) } else { Err(Errno::EPERM) }
}

/// Whether `path` is the root of what is mounted there (path_mounted()).
pub(super) fn is_mount_root(path: &Path) -> bool {
    Arc::ptr_eq(&path.dentry, &path.mount.root)
}

/// The options of a mount that `flags` ask for; a remount keeps the rules for access times unless it names some.
fn mount_flags(flags: u32, present: MountFlags) -> MountFlags {
    const ATIME: u32 = MS_NOATIME | MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME;
    let mut kept = MountFlags::from_bits_truncate(flags) & MountFlags::USER_SETTABLE;
    kept.set(MountFlags::RELATIME, flags & (MS_NOATIME | MS_STRICTATIME) == 0);
    if flags & MS_STRICTATIME != 0 {
        kept -= MountFlags::NOATIME;
    }
    if flags & MS_REMOUNT != 0 && flags & ATIME == 0 {
        kept = (kept - MountFlags::ATIME) | (present & MountFlags::ATIME);
    }
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
    if flags & MS_NOUSER != 0 {
        return Err(Errno::EINVAL);
    }
    let ns = namespace(task)?;
    let change = Change { task, ns: &ns, point };
    let wanted = mount_flags(flags, change.point.mount.flags());
    if flags & MS_REMOUNT != 0 {
        change.remount(flags, wanted, &data)
    } else if flags & MS_BIND != 0 {
        change.bind(source, flags & MS_REC != 0)
    } else if flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE) != 0 {
        change.propagation(flags)
    } else if flags & MS_MOVE != 0 {
        change.move_here(source)
    } else {
        change.add(fs_type, source, &data, flags, wanted)
    }?;
    Ok(0)
}

/// A request to change the mounts of the caller's namespace at `point`.
struct Change<'a> {
    task: &'a Arc<Task>,
    ns: &'a Arc<MountNs>,
    point: Path,
}

impl Change<'_> {
    /// The place to mount on: the top of what is mounted at the point already (lock_mount()).
    fn place(&self) -> Result<Path, Errno> {
        let place = top_of(self.point.clone());
        if place.dentry.is_deleted() { Err(Errno::ENOENT) } else { Ok(place) }
    }

    /// The mount that is to be changed as a whole.
    fn whole(&self) -> Result<&Arc<Mount>, Errno> {
        if !self.ns.has(&self.point.mount) || !is_mount_root(&self.point) {
            return Err(Errno::EINVAL);
        }
        Ok(&self.point.mount)
    }

    /// Where a bind or a move comes from.
    fn source(&self, text: Option<Vec<u8>>) -> Result<Path, Errno> {
        let text = text.filter(|text| !text.is_empty()).ok_or(Errno::EINVAL)?;
        context(self.task, AT_FDCWD, &text)?.lookup(&text, LookupFlags::FOLLOW)
    }

    fn remount(self, flags: u32, wanted: MountFlags, data: &[u8]) -> Result<(), Errno> {
        let mount = self.whole()?;
        let present = mount.flags();
        if !present.permits(wanted) {
            return Err(Errno::EPERM);
        }
        if flags & MS_BIND != 0 {
            if wanted.contains(MountFlags::RDONLY) && !present.contains(MountFlags::RDONLY) && mount.has_writers() {
                return Err(Errno::EBUSY);
            }
        } else {
            let cred = self.task.cred();
            if !cred.has_in(&mount.super_block.user_ns, Capability::SysAdmin) {
                return Err(Errno::EPERM);
            }
            let changed = SuperFlags::RDONLY | SuperFlags::SYNCHRONOUS | SuperFlags::MANDLOCK | SuperFlags::LAZYTIME;
            let state = &mount.super_block.state;
            let flags = (state.flags() - changed) | (SuperFlags::from_bits_truncate(flags) & changed);
            state.check_flags(flags)?;
            mount.super_block.options.reconfigure(data, &cred.user_ns)?;
            state.set_flags(flags);
        }
        mount.set_flags((present - MountFlags::USER_SETTABLE) | wanted);
        self.ns.touch();
        Ok(())
    }

    /// Makes the tree at `source` show here too, with `is_recursive` all that is mounted on it.
    fn bind(self, source: Option<Vec<u8>>, is_recursive: bool) -> Result<(), Errno> {
        let from = self.source(source)?;
        if mount_tree::would_loop(self.ns, &from.dentry) {
            return Err(Errno::EINVAL);
        }
        let place = self.place()?;
        let of = &from.mount;
        if !self.ns.has(&place.mount) || of.flags().contains(MountFlags::UNBINDABLE) {
            return Err(Errno::EINVAL);
        }
        if !self.ns.has(of) && nsfs::namespace_of(&**from.inode()).is_none() {
            return Err(Errno::EINVAL);
        }
        let is_covered = |child: &Arc<Mount>| {
            child.flags().contains(MountFlags::LOCKED)
                && child.parent_point().is_some_and(|point| point.dentry.is_below(&from.dentry))
        };
        if !is_recursive && of.children().iter().any(is_covered) {
            return Err(Errno::EINVAL);
        }
        let vfs = &self.ns.vfs;
        let copy = if is_recursive {
            let rules = CopyRules { copying: Copying::Same, unbindable: false, ns_files: true };
            mount_tree::copy_tree(vfs, of, &from.dentry, rules)?
        } else {
            let root = mount_tree::copy_mount(vfs, of, &from.dentry, Copying::Same)?;
            mount_tree::CopiedTree { root, pairs: Vec::new() }
        };
        copy.root.set_flags(copy.root.flags() - MountFlags::LOCKED);
        mount_tree::graft(&copy.root, &place, &self.task.cred().user_ns)
    }

    fn propagation(self, flags: u32) -> Result<(), Errno> {
        if !is_mount_root(&self.point) {
            return Err(Errno::EINVAL);
        }
        let to = match flags & !(MS_REC | MS_SILENT) {
            MS_SHARED => Propagation::Shared,
            MS_SLAVE => Propagation::Slave,
            MS_PRIVATE => Propagation::Private,
            MS_UNBINDABLE => Propagation::Unbindable,
            _ => return Err(Errno::EINVAL),
        };
        let mount = self.whole()?;
        let mounts = if flags & MS_REC != 0 { mount_tree::tree(mount) } else { alloc::vec![mount.clone()] };
        mount_tree::change_propagation(&mounts, &self.ns.vfs, to)
    }

    fn move_here(self, source: Option<Vec<u8>>) -> Result<(), Errno> {
        let from = self.source(source)?;
        let place = self.place()?;
        let moved = &from.mount;
        if !self.ns.has(&place.mount) || !self.ns.has(moved) || moved.flags().contains(MountFlags::LOCKED) {
            return Err(Errno::EINVAL);
        }
        let parent = moved.parent_point().ok_or(Errno::EINVAL)?;
        if !is_mount_root(&from) || place.is_dir() != from.is_dir() || parent.mount.is_shared() {
            return Err(Errno::EINVAL);
        }
        let is_unbindable = |mount: &Arc<Mount>| mount.flags().contains(MountFlags::UNBINDABLE);
        if place.mount.is_shared() && mount_tree::tree(moved).iter().any(is_unbindable) {
            return Err(Errno::EINVAL);
        }
        if mount_tree::tree(moved).iter().any(|mount| mount_tree::would_loop(self.ns, &mount.root)) {
            return Err(Errno::ELOOP);
        }
        let mut at = Some(place.mount.clone());
        while let Some(mount) = at {
            if Arc::ptr_eq(&mount, moved) {
                return Err(Errno::ELOOP);
            }
            at = mount.parent_point().map(|point| point.mount);
        }
        mount_tree::move_tree(moved, &place, &self.task.cred().user_ns)
    }

    fn add(
        self,
        fs_type: Option<Vec<u8>>,
        source: Option<Vec<u8>>,
        data: &[u8],
        flags: u32,
        mut wanted: MountFlags,
    ) -> Result<(), Errno> {
        let fs_type = fs_type.ok_or(Errno::EINVAL)?;
        let source = source.unwrap_or_else(|| b"none".to_vec());
        let vfs = &self.ns.vfs;
        let type_flags = vfs.filesystem(&fs_type).ok_or(Errno::ENODEV)?.flags;
        let cred = self.task.cred();
        let request =
            MountRequest { source: &source, data, vfs, user_ns: cred.user_ns.clone(), caller: Some(self.task) };
        let mount = vfs.mount_new(&fs_type, &request, MountFlags::empty())?;
        let owner =
            if type_flags.contains(FsTypeFlags::USERNS_MOUNT) { &mount.super_block.user_ns } else { vfs.user_ns() };
        if !cred.has_in(owner, Capability::SysAdmin) {
            return Err(Errno::EPERM);
        }
        if type_flags.contains(FsTypeFlags::USERNS_VISIBLE) && self.ns.user_ns.parent().is_some() {
            wanted |= self.ns.visible_locks(mount.super_block.fs_type, wanted).ok_or(Errno::EPERM)?;
        }
        let place = self.place()?;
        if !self.ns.has(&place.mount) {
            return Err(Errno::EINVAL);
        }
        if is_mount_root(&place) && Arc::ptr_eq(&place.mount.super_block, &mount.super_block) {
            return Err(Errno::EBUSY);
        }
        mount.set_flags(wanted);
        // One that all mounts share keeps the options of the first.
        if Arc::strong_count(&mount.super_block) == 1 {
            mount.super_block.state.set_flags(SuperFlags::from_bits_truncate(flags));
        }
        mount_tree::graft(&mount, &place, &cred.user_ns)
    }
}
