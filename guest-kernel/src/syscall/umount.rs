//! umount2(2) and pivot_root(2).
//!
//! Source: Linux 6.12 fs/namespace.c ksys_umount(), can_umount(), do_umount(), pivot_root(); fs/fs_struct.c chroot_fs_refs();
//! umount(2), pivot_root(2).

use alloc::sync::Arc;

use linux_raw_sys::general::{AT_FDCWD, MNT_DETACH, MNT_EXPIRE, MNT_FORCE, UMOUNT_NOFOLLOW};
use procfs_core::Errno;

use super::mount::{is_mount_root, namespace};
use super::path::{find, fs_of};
use super::{Args, SyscallResult};
use crate::cred::Capability;
use crate::task::Task;
use crate::vfs::{LookupFlags, MountFlags, Path, SuperFlags, mount_tree, top_of};

/// References to an idle mount while umount2(2) looks at it: the namespace's and the walk's.
const IDLE_REFERENCES: usize = 2;

pub fn sys_umount2(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let flags = args.uint(1);
    if flags & !(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let mut walk = LookupFlags::empty();
    walk.set(LookupFlags::FOLLOW, flags & UMOUNT_NOFOLLOW == 0);
    let (context, path) = find(task, AT_FDCWD, args.word(0), walk)?;
    drop(context);
    let ns = namespace(task)?;
    let mount = &path.mount;
    if !is_mount_root(&path) || !ns.has(mount) || mount.flags().contains(MountFlags::LOCKED) {
        return Err(Errno::EINVAL);
    }
    let cred = task.cred();
    let may_change_super = cred.has_in(&mount.super_block.user_ns, Capability::SysAdmin);
    if flags & MNT_FORCE != 0 && !may_change_super {
        return Err(Errno::EPERM);
    }
    let is_root = Arc::ptr_eq(&fs_of(task)?.root().mount, mount);
    if flags & MNT_EXPIRE != 0 {
        if is_root || flags & (MNT_FORCE | MNT_DETACH) != 0 {
            return Err(Errno::EINVAL);
        }
        if Arc::strong_count(mount) > IDLE_REFERENCES {
            return Err(Errno::EBUSY);
        }
        if !mount.expire() {
            return Err(Errno::EAGAIN);
        }
    }
    if is_root && flags & MNT_DETACH == 0 {
        // The root cannot go while the caller stands on it: it becomes read-only instead (do_umount_root()).
        if !may_change_super {
            return Err(Errno::EPERM);
        }
        let state = &mount.super_block.state;
        let flags = state.flags() | SuperFlags::RDONLY;
        state.check_flags(flags)?;
        state.set_flags(flags);
        return Ok(0);
    }
    if flags & MNT_DETACH == 0 && mount_tree::is_busy(mount, IDLE_REFERENCES) {
        return Err(Errno::EBUSY);
    }
    mount_tree::umount_tree(mount);
    Ok(0)
}

pub fn sys_pivot_root(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let ns = namespace(task)?;
    let directory = LookupFlags::FOLLOW | LookupFlags::DIRECTORY;
    let (_, new) = find(task, AT_FDCWD, args.word(0), directory)?;
    let (_, put_old) = find(task, AT_FDCWD, args.word(1), directory)?;
    let root = fs_of(task)?.root();
    let put_old = top_of(put_old);
    if put_old.dentry.is_deleted() {
        return Err(Errno::ENOENT);
    }
    let parent_of = |path: &Path| path.mount.parent_point().map(|point| point.mount);
    let (new_parent, root_parent) = (parent_of(&new), parent_of(&root));
    let is_shared =
        |parent: &Option<Arc<_>>| parent.as_ref().is_some_and(|mount: &Arc<crate::vfs::Mount>| mount.is_shared());
    // A mount that hangs nowhere counts as its own parent.
    if put_old.mount.is_shared()
        || is_shared(&new_parent.clone().or_else(|| Some(new.mount.clone())))
        || is_shared(&root_parent.clone().or_else(|| Some(root.mount.clone())))
        || !ns.has(&root.mount)
        || !ns.has(&new.mount)
        || new.mount.flags().contains(MountFlags::LOCKED)
    {
        return Err(Errno::EINVAL);
    }
    if new.dentry.is_deleted() {
        return Err(Errno::ENOENT);
    }
    if Arc::ptr_eq(&new.mount, &root.mount) || Arc::ptr_eq(&put_old.mount, &root.mount) {
        return Err(Errno::EBUSY);
    }
    if !is_mount_root(&root)
        || root_parent.is_none()
        || !is_mount_root(&new)
        || new_parent.is_none()
        || !put_old.is_reachable_from(&new)
        || !new.is_reachable_from(&root)
    {
        return Err(Errno::EINVAL);
    }
    mount_tree::pivot(&root.mount, &new.mount, &put_old);
    ns.touch();
    // Whoever stands on the old root stands on the new one from now on.
    for other in task.kernel.tasks.tasks(&task.kernel.pid_ns) {
        let Some(fs) = other.fs() else { continue };
        if fs.root().is_same(&root) {
            fs.set_root(new.clone());
        }
        if fs.cwd().is_same(&root) {
            fs.set_cwd(new.clone());
        }
    }
    Ok(0)
}
