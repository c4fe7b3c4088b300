//! Mount namespaces: which mounts there are, and who is told when that changes.
//!
//! Owns the list of each namespace. Invariant: a mount is in the list of the namespace that it names and in no other; the first in
//! the list is the root, the only one that covers nothing.
//! Source: Linux 6.12 fs/namespace.c copy_mnt_ns(), put_mnt_ns(), mnt_add_to_ns(), touch_mnt_namespace(), count_mounts();
//! mount_namespaces(7).

use alloc::collections::BTreeSet;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use procfs_core::Errno;

use super::dentry::Dentry;
use super::filesystems::Vfs;
use super::mount::{Mount, MountFlags, top_of};
use super::mount_tree::{self, CopyRules, Copying};
use super::super_block::{MountRequest, SuperFlags};
use super::{Path, rank};
use crate::cred::UserNs;
use crate::ns::{Inum, Inums};
use crate::sched::WaitQueue;
use crate::sync::Mutex;

/// The most mounts of one namespace (`/proc/sys/fs/mount-max`).
const MOUNT_MAX: usize = 100_000;

/// A mount namespace.
pub struct MountNs {
    /// What it shares with all others.
    pub vfs: Arc<Vfs>,
    inum: Inum,
    seq: u64,
    /// Who owns it.
    pub user_ns: Arc<UserNs>,
    mounts: Mutex<Vec<Arc<Mount>>>,
    events: AtomicU64,
    changed: Arc<WaitQueue>,
}

impl MountNs {
    /// An empty namespace.
    #[must_use]
    pub fn new(vfs: Arc<Vfs>, inum: Inum, user_ns: Arc<UserNs>) -> Arc<Self> {
        Arc::new(Self {
            seq: vfs.next_ns_seq.fetch_add(1, Ordering::Relaxed),
            vfs,
            inum,
            user_ns,
            mounts: Mutex::new(rank::MOUNT, Vec::new()),
            events: AtomicU64::new(0),
            changed: Arc::new(WaitQueue::new()),
        })
    }

    /// The first mount namespace, with an empty tmpfs as its root (`rootfs`), for the kernel to unpack the initramfs into.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn initial(user_ns: &Arc<UserNs>) -> Result<Arc<Self>, Errno> {
        let vfs = Vfs::new(user_ns.clone());
        let ns = Self::new(vfs.clone(), Inums::new().allocate()?, user_ns.clone());
        let request =
            MountRequest { source: b"rootfs", data: b"mode=755", vfs: &vfs, user_ns: user_ns.clone(), caller: None };
        let new = crate::fs::tmpfs::mount_rootfs(&request)?;
        let root = vfs.new_mount(new.super_block, Dentry::new_root(new.root, b"/"), MountFlags::empty())?;
        ns.attach(&root, None)?;
        Ok(ns)
    }

    /// The inode number that /proc/PID/ns/mnt shows.
    #[must_use]
    pub fn inum(&self) -> u32 {
        self.inum.get()
    }

    /// Its place in the order in which mount namespaces were made; never given out again (`NS_GET_MNTNS_ID`).
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The mounts in the order in which they were made, as /proc/PID/mounts lists them.
    #[must_use]
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        self.mounts.lock().clone()
    }

    /// The root of the namespace.
    #[must_use]
    pub fn root(&self) -> Option<Path> {
        let first = self.mounts.lock().first().cloned()?;
        Some(top_of(first.root_path()))
    }

    /// Whether `mount` is one of this namespace (check_mnt()).
    #[must_use]
    pub fn has(self: &Arc<Self>, mount: &Mount) -> bool {
        mount.ns().is_some_and(|ns| Arc::ptr_eq(&ns, self))
    }

    /// Counts changes; /proc/PID/mounts reports `POLLPRI | POLLERR` to a reader that saw an older value.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Woken at each change.
    #[must_use]
    pub fn changed(&self) -> &Arc<WaitQueue> {
        &self.changed
    }

    /// Tells who polls that something changed.
    pub fn touch(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.changed.wake_all();
    }

    /// The locks that a new mount with `flags` of a type that shows the same everywhere must take over from one that is fully
    /// visible here already; `None` if there is none (mnt_already_visible()).
    #[must_use]
    pub fn visible_locks(&self, fs_type: &str, flags: MountFlags) -> Option<MountFlags> {
        self.mounts().iter().find_map(|mount| {
            if mount.super_block.fs_type != fs_type || mount.root.parent().is_some() {
                return None;
            }
            let mut present = mount.flags();
            if mount.super_block.state.flags().contains(SuperFlags::RDONLY) {
                present |= MountFlags::LOCK_READONLY;
            }
            let hides = |child: &Arc<Mount>| child.flags().contains(MountFlags::LOCKED);
            let locks = present & (MountFlags::LOCK_READONLY | MountFlags::LOCK_ATIME);
            // Only these two are looked at: the others are forced on such a file system anyway.
            let are_kept =
                (present - (MountFlags::LOCK_NODEV | MountFlags::LOCK_NOSUID | MountFlags::LOCK_NOEXEC)).permits(flags);
            (are_kept && !mount.children().iter().any(hides)).then_some(locks)
        })
    }

    /// Whether `more` mounts fit.
    ///
    /// # Errors
    /// `ENOSPC`.
    pub(super) fn check_room(&self, more: usize) -> Result<(), Errno> {
        if self.mounts.lock().len() + more > MOUNT_MAX { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    /// Takes mounts of a tree into the list.
    pub(super) fn adopt(self: &Arc<Self>, tree: Vec<Arc<Mount>>) {
        for mount in &tree {
            *mount.ns.lock() = Arc::downgrade(self);
        }
        let mut mounts = self.mounts.lock();
        mounts.extend(tree);
        mounts.sort_by_key(|mount| mount.unique_id());
        drop(mounts);
        self.touch();
    }

    /// Takes mounts off the list, by their addresses.
    pub(super) fn forget(&self, gone: &BTreeSet<usize>) {
        let mut dropped = Vec::new();
        self.mounts.lock().retain(|mount| {
            let keep = !gone.contains(&Arc::as_ptr(mount).addr());
            if !keep {
                dropped.push(mount.clone());
            }
            keep
        });
        for mount in &dropped {
            *mount.ns.lock() = Weak::new();
        }
        drop(dropped);
        self.touch();
    }

    /// Adds `mount`, which is not attached yet, at `point`, or as the root of the namespace, which nobody may take away.
    ///
    /// # Errors
    /// `ENOENT` if the mount point has been removed; `ENOTDIR` if one of the two is a directory and the other not; `ENOSPC`
    /// for too many mounts.
    pub fn attach(self: &Arc<Self>, mount: &Arc<Mount>, point: Option<&Path>) -> Result<(), Errno> {
        match point {
            Some(point) => mount_tree::graft(mount, point, &self.user_ns),
            None => {
                mount.set_flags(mount.flags() | MountFlags::LOCKED);
                self.adopt(alloc::vec![mount.clone()]);
                Ok(())
            }
        }
    }

    /// A namespace of `user_ns` with a copy of every mount, in the order of the tree; `paths` move to the copies.
    ///
    /// To an owner with less privilege, shared mounts come as slaves and nothing may be uncovered.
    ///
    /// # Errors
    /// `ENOSPC` when there is no number.
    pub fn copy(
        self: &Arc<Self>,
        inum: Inum,
        user_ns: &Arc<UserNs>,
        paths: [&mut Path; 2],
    ) -> Result<Arc<Self>, Errno> {
        let new = Self::new(self.vfs.clone(), inum, user_ns.clone());
        let Some(old_root) = self.mounts.lock().first().cloned() else { return Ok(new) };
        let is_less_privileged = !Arc::ptr_eq(user_ns, &self.user_ns);
        let copying = if is_less_privileged { Copying::SharedToSlave } else { Copying::Same };
        let rules = CopyRules { copying, unbindable: true, ns_files: false };
        let copy = mount_tree::copy_tree(&self.vfs, &old_root, &old_root.root, rules)?;
        if is_less_privileged {
            mount_tree::lock_tree(&copy.root);
        }
        for path in paths {
            if let Some((_, mount)) = copy.pairs.iter().find(|(of, _)| Arc::ptr_eq(of, &path.mount)) {
                path.mount = mount.clone();
            }
        }
        new.adopt(copy.pairs.into_iter().map(|(_, mount)| mount).collect());
        Ok(new)
    }
}

impl Drop for MountNs {
    fn drop(&mut self) {
        // Nobody hears of it (put_mnt_ns()). Every mount is let go of before any is dropped, so that a deep tree does not unwind by
        // recursion.
        let mounts = core::mem::take(self.mounts.get_mut());
        for mount in &mounts {
            mount.leave_all();
        }
        let points: Vec<_> = mounts.iter().map(|mount| mount.point.lock().take()).collect();
        for mount in &mounts {
            mount.children.lock().clear();
        }
        drop(points);
        drop(mounts);
    }
}
