//! Mounted file systems: which tree hangs where.
//!
//! Owns mounts one by one. Namespaces are `mount_ns`'s, what is done to whole trees of mounts `mount_tree`'s, who hears of
//! it `propagation`'s, what is mounted `super_block`'s. A walk asks only `Mount::child_at` and `Mount::parent_point`.
//! Invariant: a mount that covers a dentry is listed as a child of the mount it covers, and the other way round.
//! Source: Linux 6.12 fs/namespace.c, fs/mount.h struct mount; mount_namespaces(7).

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use bitflags::bitflags;
use linux_raw_sys::general as sys;
use procfs_core::Errno;

use super::dentry::{Dentry, RecentNames};
use super::mount_ns::MountNs;
use super::propagation::Spread;
use super::super_block::{SuperBlock, SuperFlags};
use super::{Path, rank};
use crate::ns::IdaNumber;
use crate::sync::Mutex;

bitflags! {
    /// Options of one mount (`MS_*` of mount(2), as kept in `mnt_flags`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MountFlags: u32 {
        /// `ro`
        const RDONLY = sys::MS_RDONLY;
        /// `nosuid`
        const NOSUID = sys::MS_NOSUID;
        /// `nodev`
        const NODEV = sys::MS_NODEV;
        /// `noexec`
        const NOEXEC = sys::MS_NOEXEC;
        /// `nosymfollow`
        const NOSYMFOLLOW = sys::MS_NOSYMFOLLOW;
        /// `noatime`
        const NOATIME = sys::MS_NOATIME;
        /// `nodiratime`
        const NODIRATIME = sys::MS_NODIRATIME;
        /// `relatime`
        const RELATIME = sys::MS_RELATIME;
        /// It cannot be bound elsewhere.
        const UNBINDABLE = sys::MS_UNBINDABLE;
        /// `ro` may not be taken away by who got it from a namespace with more privilege; so with the next four.
        const LOCK_READONLY = 1 << 24;
        /// `nodev` may not be taken away.
        const LOCK_NODEV = 1 << 25;
        /// `nosuid` may not be taken away.
        const LOCK_NOSUID = 1 << 26;
        /// `noexec` may not be taken away.
        const LOCK_NOEXEC = 1 << 27;
        /// The rules for access times may not be changed.
        const LOCK_ATIME = 1 << 28;
        /// It may not be taken off what it covers.
        const LOCKED = 1 << 30;
    }
}

impl MountFlags {
    /// What mount(2) sets (`MNT_USER_SETTABLE_MASK`).
    pub const USER_SETTABLE: Self = Self::RDONLY
        .union(Self::NOSUID)
        .union(Self::NODEV)
        .union(Self::NOEXEC)
        .union(Self::NOSYMFOLLOW)
        .union(Self::ATIME);
    /// The rules for access times (`MNT_ATIME_MASK`).
    pub const ATIME: Self = Self::NOATIME.union(Self::NODIRATIME).union(Self::RELATIME);

    /// Whether `new` takes away something that is locked (can_change_locked_flags()).
    #[must_use]
    pub fn permits(self, new: Self) -> bool {
        let kept = |lock, flag| !self.contains(lock) || new.contains(flag);
        kept(Self::LOCK_READONLY, Self::RDONLY)
            && kept(Self::LOCK_NODEV, Self::NODEV)
            && kept(Self::LOCK_NOSUID, Self::NOSUID)
            && kept(Self::LOCK_NOEXEC, Self::NOEXEC)
            && (!self.contains(Self::LOCK_ATIME) || self & Self::ATIME == new & Self::ATIME)
    }

    /// The flags with a lock on each that restricts (lock_mnt_tree()).
    #[must_use]
    pub fn locked(self) -> Self {
        let pairs = [
            (Self::RDONLY, Self::LOCK_READONLY),
            (Self::NODEV, Self::LOCK_NODEV),
            (Self::NOSUID, Self::LOCK_NOSUID),
            (Self::NOEXEC, Self::LOCK_NOEXEC),
        ];
        let locks =
            pairs.iter().filter(|(flag, _)| self.contains(*flag)).fold(Self::LOCK_ATIME, |sum, (_, lock)| sum | *lock);
        self | locks
    }
}

/// One attachment of a tree.
pub struct Mount {
    /// The file system.
    pub super_block: Arc<SuperBlock>,
    /// The part of it that shows here.
    pub root: Arc<Dentry>,
    number: IdaNumber,
    unique_id: u64,
    flags: AtomicU32,
    /// Files that are open for writing.
    writers: AtomicU32,
    /// How many walks have ended here; only whether it changed matters.
    uses: AtomicU32,
    /// What `uses` will be at the next umount2(2) with `MNT_EXPIRE` if nobody comes here meanwhile; 0 without a mark.
    expiry_mark: AtomicU32,
    pub(super) point: Mutex<Option<(Arc<Mount>, Arc<Dentry>)>>,
    pub(super) children: Mutex<Vec<Child>>,
    recent: Mutex<RecentNames>,
    pub(super) ns: Mutex<Weak<MountNs>>,
    pub(super) spread: Mutex<Spread>,
}

/// A mount that covers a dentry of another.
pub(super) struct Child {
    /// The address of the covered dentry, so that a walk over none of the mount points need not ask the mounts. The child
    /// keeps the dentry while it hangs there, so as long as `mount` lives no other dentry has the address.
    pub(super) covered: usize,
    pub(super) mount: Weak<Mount>,
}

impl Mount {
    /// The number that mountinfo shows first; another mount's once this one has gone.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.number.get()
    }

    /// A number that no other mount ever has; mounts are listed by it.
    #[must_use]
    pub fn unique_id(&self) -> u64 {
        self.unique_id
    }

    /// The options of this mount.
    #[must_use]
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Replaces the options of this mount.
    pub fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// The mount and the dentry that this one covers; `None` for the root of a namespace and for internal mounts.
    #[must_use]
    pub fn parent_point(&self) -> Option<Path> {
        self.point.lock().clone().map(|(mount, dentry)| Path { mount, dentry })
    }

    /// The mount this one hangs in; itself at the root of a namespace.
    #[must_use]
    pub fn parent_id(&self) -> u32 {
        self.point.lock().as_ref().map_or(self.id(), |(parent, _)| parent.id())
    }

    /// The mount that covers `dentry` of this mount.
    #[must_use]
    pub fn child_at(&self, dentry: &Arc<Dentry>) -> Option<Arc<Mount>> {
        let covered = Arc::as_ptr(dentry).addr();
        let children = self.children.lock();
        children.iter().rev().filter(|child| child.covered == covered).find_map(|child| child.mount.upgrade())
    }

    /// Keeps `dentry`, a computed one that was just made, until others have taken its place.
    pub(super) fn remember(&self, dentry: Arc<Dentry>) {
        let displaced = self.recent.lock().replace_oldest(dentry);
        drop(displaced);
    }

    /// Whether anything is mounted on this mount.
    #[must_use]
    pub fn has_children(&self) -> bool {
        self.children.lock().iter().any(|child| child.mount.strong_count() > 0)
    }

    /// What is mounted on this mount, in the order in which it came.
    #[must_use]
    pub fn children(&self) -> Vec<Arc<Mount>> {
        self.children.lock().iter().filter_map(|child| child.mount.upgrade()).collect()
    }

    /// Whether nothing may be written through it.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.flags().contains(MountFlags::RDONLY) || self.super_block.state.flags().contains(SuperFlags::RDONLY)
    }

    /// Whether a file on it is open for writing.
    #[must_use]
    pub fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Relaxed) > 0
    }

    /// Counts a walk that ended here.
    pub(super) fn note_use(&self) {
        self.uses.fetch_add(1, Ordering::Relaxed);
    }

    /// Marks it for expiry; whether it was marked and nobody but the caller has come here since.
    pub fn expire(&self) -> bool {
        let uses = self.uses.load(Ordering::Relaxed);
        // The walk of the next call is one more use.
        self.expiry_mark.swap(uses.wrapping_add(1), Ordering::Relaxed) == uses
    }

    /// The namespace it is in; `None` for internal mounts and after umount(2).
    #[must_use]
    pub fn ns(&self) -> Option<Arc<MountNs>> {
        self.ns.lock().upgrade()
    }

    /// The root of what is mounted here.
    #[must_use]
    pub fn root_path(self: &Arc<Self>) -> Path {
        Path { mount: self.clone(), dentry: self.root.clone() }
    }
}

/// A file open for writing, counted by its mount and file system until dropped (mnt_get_write_access()).
pub struct MountWriter(Arc<Mount>);

impl MountWriter {
    /// Counts a writer on `mount`.
    ///
    /// # Errors
    /// `EROFS`.
    pub fn new(mount: &Arc<Mount>) -> Result<Self, Errno> {
        if mount.is_read_only() {
            return Err(Errno::EROFS);
        }
        mount.writers.fetch_add(1, Ordering::Relaxed);
        mount.super_block.state.writers.fetch_add(1, Ordering::Relaxed);
        Ok(Self(mount.clone()))
    }
}

impl Drop for MountWriter {
    fn drop(&mut self) {
        self.0.writers.fetch_sub(1, Ordering::Relaxed);
        self.0.super_block.state.writers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The topmost of the mounts stacked on `path`.
#[must_use]
pub fn top_of(mut path: Path) -> Path {
    go_to_top(&mut path);
    path
}

/// Makes `path` the topmost of the mounts stacked on it.
pub(super) fn go_to_top(path: &mut Path) {
    while let Some(child) = path.mount.child_at(&path.dentry) {
        *path = child.root_path();
    }
}

/// A mount that is attached nowhere yet.
pub(super) fn new_mount(
    number: IdaNumber,
    unique_id: u64,
    super_block: Arc<SuperBlock>,
    root: Arc<Dentry>,
    flags: MountFlags,
) -> Arc<Mount> {
    Arc::new(Mount {
        super_block,
        root,
        number,
        unique_id,
        flags: AtomicU32::new(flags.bits()),
        writers: AtomicU32::new(0),
        uses: AtomicU32::new(0),
        expiry_mark: AtomicU32::new(0),
        point: Mutex::new(rank::MOUNT, None),
        children: Mutex::new(rank::MOUNT, Vec::new()),
        recent: Mutex::new(rank::MOUNT, RecentNames::default()),
        ns: Mutex::new(rank::MOUNT, Weak::new()),
        spread: Mutex::new(rank::MOUNT, Spread::default()),
    })
}
