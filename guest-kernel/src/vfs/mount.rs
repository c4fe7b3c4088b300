//! Mounted file systems: which tree hangs where.
//!
//! Owns mounts one by one, file systems in use and the table of their types. Namespaces are `mount_ns`'s, what is done to
//! whole trees of mounts `mount_tree`'s, who hears of it `propagation`'s. A walk asks only `Mount::child_at` and
//! `Mount::parent_point`.
//! Invariant: a mount that covers a dentry is listed as a child of the mount it covers, and the other way round.
//! Source: Linux 6.12 fs/namespace.c, fs/super.c, fs/filesystems.c; mount_namespaces(7), proc(5).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bitflags::bitflags;
use linux_raw_sys::general as sys;
use procfs_core::Errno;

use super::dentry::{Dentry, RecentNames};
use super::device::DeviceTable;
use super::inode::Inode;
use super::metadata::DeviceNumber;
use super::mount_ns::MountNs;
use super::propagation::Spread;
use super::{Path, rank};
use crate::cred::UserNs;
use crate::ns::{Ida, IdaNumber};
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

bitflags! {
    /// Options of a file system (`SB_*`), which all its mounts share.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct SuperFlags: u32 {
        /// `ro`
        const RDONLY = sys::MS_RDONLY;
        /// `sync`
        const SYNCHRONOUS = sys::MS_SYNCHRONOUS;
        /// `mand`
        const MANDLOCK = sys::MS_MANDLOCK;
        /// `dirsync`
        const DIRSYNC = sys::MS_DIRSYNC;
        /// `lazytime`
        const LAZYTIME = sys::MS_LAZYTIME;
    }

    /// What holds for all file systems of a type (`FS_*`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct FsTypeFlags: u32 {
        /// Who is privileged in a user namespace may mount it there (`FS_USERNS_MOUNT`).
        const USERNS_MOUNT = 1;
        /// It shows no more than what is visible already, or it is refused (`SB_I_USERNS_VISIBLE`).
        const USERNS_VISIBLE = 2;
    }
}

/// The options of a file system, which mount(2) may change while it is in use.
#[derive(Default)]
pub struct SuperState {
    flags: AtomicU32,
    writers: AtomicU32,
}

impl SuperState {
    /// The options.
    #[must_use]
    pub fn flags(&self) -> SuperFlags {
        SuperFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Whether the options may become `flags`.
    ///
    /// # Errors
    /// `EBUSY` for `RDONLY` while a file is open for writing.
    pub fn check_flags(&self, flags: SuperFlags) -> Result<(), Errno> {
        let is_written = self.writers.load(Ordering::Relaxed) > 0;
        if flags.contains(SuperFlags::RDONLY) && is_written { Err(Errno::EBUSY) } else { Ok(()) }
    }

    /// Replaces the options, which `check_flags` permits.
    pub fn set_flags(&self, flags: SuperFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }
}

/// A file system in use: what its mounts and inodes share.
pub struct SuperBlock {
    /// The type's name, as /proc/mounts shows it.
    pub fs_type: &'static str,
    /// The source as /proc/mounts shows it (`none`, `proc`, a device).
    pub source: Vec<u8>,
    /// `st_dev` of its inodes.
    pub dev: DeviceNumber,
    /// Options of the file system itself.
    pub options: Arc<dyn SuperOptions>,
    /// The user namespace that its ids and privileges belong to.
    pub user_ns: Arc<UserNs>,
    /// What of it may change.
    pub state: SuperState,
    /// Who opens the device nodes in it.
    pub devices: Arc<DeviceTable>,
    /// State of the file system's own, as nsfs's inodes.
    pub private: Box<dyn Any + Send + Sync>,
}

/// The options of a file system, which a remount may change.
pub trait SuperOptions: Send + Sync {
    /// As /proc/mounts shows them, without a leading comma: `size=64k,mode=755`.
    fn text(&self) -> String;

    /// Changes those that the option text `data` of mount(2) names; ids are `user_ns`'s.
    ///
    /// # Errors
    /// `EINVAL`; nothing is changed then.
    fn reconfigure(&self, data: &[u8], user_ns: &UserNs) -> Result<(), Errno>;
}

/// Options that are as they were when the file system was made; a remount's are not looked at.
pub struct FixedOptions(pub String);

impl SuperOptions for FixedOptions {
    fn text(&self) -> String {
        self.0.clone()
    }

    fn reconfigure(&self, _: &[u8], _: &UserNs) -> Result<(), Errno> {
        Ok(())
    }
}

/// What a file-system type is asked to mount.
pub struct MountRequest<'a> {
    /// The source argument of mount(2).
    pub source: &'a [u8],
    /// The option text of mount(2).
    pub data: &'a [u8],
    /// Numbers for anonymous devices and the table of devices.
    pub vfs: &'a Vfs,
    /// The user namespace of the caller's mount namespace.
    pub user_ns: Arc<UserNs>,
    /// The state that the caller's task lends to procfs: its pid namespace. `None` when the kernel mounts.
    pub caller: Option<&'a (dyn Any + Send + Sync)>,
}

/// A file system made for a mount: the shared state and the root inode.
#[derive(Clone)]
pub struct NewSuper {
    /// The shared state.
    pub super_block: Arc<SuperBlock>,
    /// The root directory.
    pub root: Arc<dyn Inode>,
}

/// Makes a file system of one type.
pub type MountFn = fn(&MountRequest<'_>) -> Result<NewSuper, Errno>;

/// A registered type of file system.
#[derive(Clone, Copy)]
pub struct FsType {
    /// The name for mount(2).
    pub name: &'static str,
    /// Whether it needs a block device (no `nodev` in /proc/filesystems).
    pub needs_device: bool,
    /// Who may mount it.
    pub flags: FsTypeFlags,
    /// Makes one; `None` for types that mount(2) cannot mount, as pipefs.
    pub mount: Option<MountFn>,
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

/// What all mount namespaces share: types, numbers, devices, internal mounts.
pub struct Vfs {
    types: Mutex<Vec<FsType>>,
    mount_numbers: Arc<Ida>,
    next_unique_id: AtomicU64,
    pub(super) group_numbers: Arc<Ida>,
    next_anon_minor: AtomicU32,
    next_ino: AtomicU64,
    singles: Mutex<Vec<NewSuper>>,
    devices: Arc<DeviceTable>,
    user_ns: Arc<UserNs>,
    pipe_mount: Arc<Mount>,
    anon_mount: Arc<Mount>,
    nsfs_mount: Arc<Mount>,
    pub(super) next_ns_seq: AtomicU64,
}

impl Vfs {
    /// The state at boot, with tmpfs, devtmpfs and the internal file systems registered.
    #[must_use]
    pub fn new(user_ns: Arc<UserNs>) -> Arc<Self> {
        let devices = DeviceTable::new();
        let numbers = AtomicU32::new(FIRST_ANON_MINOR);
        let mount_numbers = Ida::new(0, i32::MAX.unsigned_abs());
        let next_unique_id = AtomicU64::new(FIRST_UNIQUE_ID);
        let internal = |fs_type, root: Arc<dyn Inode>, name: &[u8], private| {
            let super_block = Arc::new(SuperBlock {
                fs_type,
                source: fs_type.as_bytes().to_vec(),
                dev: DeviceNumber::new(0, numbers.fetch_add(1, Ordering::Relaxed)),
                options: Arc::new(FixedOptions(String::new())),
                user_ns: user_ns.clone(),
                state: SuperState::default(),
                devices: devices.clone(),
                private,
            });
            let number = mount_numbers.allocate().expect("numbers do not run out at boot");
            let unique_id = next_unique_id.fetch_add(1, Ordering::Relaxed);
            new_mount(number, unique_id, super_block, Dentry::new_root(root, name), MountFlags::empty())
        };
        let anon_mount = internal("anon_inodefs", crate::fs::anon::root_inode(), b"anon_inodefs:", Box::new(()));
        let pipe_mount = internal("pipefs", crate::fs::anon::root_inode(), b"pipe:", Box::new(()));
        let stash = Box::new(crate::fs::nsfs::Stash::default());
        let nsfs_mount = internal("nsfs", crate::fs::anon::root_inode(), b"nsfs:", stash);
        let vfs = Arc::new(Self {
            types: Mutex::new(rank::MOUNT, Vec::new()),
            mount_numbers,
            next_unique_id,
            group_numbers: Ida::new(FIRST_GROUP_ID, i32::MAX.unsigned_abs()),
            next_anon_minor: AtomicU32::new(numbers.load(Ordering::Relaxed)),
            next_ino: AtomicU64::new(FIRST_INO),
            next_ns_seq: AtomicU64::new(1),
            singles: Mutex::new(rank::MOUNT, Vec::new()),
            devices,
            user_ns,
            pipe_mount,
            anon_mount,
            nsfs_mount,
        });
        vfs.register_filesystem("tmpfs", FsTypeFlags::USERNS_MOUNT, crate::fs::tmpfs::mount);
        vfs.register_filesystem("devtmpfs", FsTypeFlags::empty(), crate::fs::tmpfs::mount_devtmpfs);
        vfs.register_internal("pipefs");
        vfs
    }

    /// Makes a type known to mount(2) and /proc/filesystems (`nodev`).
    pub fn register_filesystem(&self, name: &'static str, flags: FsTypeFlags, mount: MountFn) {
        self.types.lock().push(FsType { name, needs_device: false, flags, mount: Some(mount) });
    }

    /// Makes a type known to /proc/filesystems only.
    pub fn register_internal(&self, name: &'static str) {
        self.types.lock().push(FsType { name, needs_device: false, flags: FsTypeFlags::empty(), mount: None });
    }

    /// The registered types, in order of registration, as /proc/filesystems lists them.
    #[must_use]
    pub fn filesystems(&self) -> Vec<FsType> {
        self.types.lock().clone()
    }

    /// The type called `name`.
    #[must_use]
    pub fn filesystem(&self, name: &[u8]) -> Option<FsType> {
        self.types.lock().iter().find(|fs_type| fs_type.name.as_bytes() == name).copied()
    }

    /// Who opens device nodes.
    #[must_use]
    pub fn devices(&self) -> &Arc<DeviceTable> {
        &self.devices
    }

    /// The initial user namespace.
    #[must_use]
    pub fn user_ns(&self) -> &Arc<UserNs> {
        &self.user_ns
    }

    /// A number for `SuperBlock::dev` of a file system without a device (get_anon_bdev()).
    #[must_use]
    pub fn new_anon_dev(&self) -> DeviceNumber {
        DeviceNumber::new(0, self.next_anon_minor.fetch_add(1, Ordering::Relaxed))
    }

    /// An inode number that no other pipe or anonymous object has had (get_next_ino()).
    #[must_use]
    pub fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// The one file system of a type that every mount shares, made by `make` the first time (get_tree_single()).
    ///
    /// # Errors
    /// What `make` says.
    pub fn single_super(
        &self,
        fs_type: &str,
        make: impl FnOnce() -> Result<NewSuper, Errno>,
    ) -> Result<NewSuper, Errno> {
        let present = self.singles.lock().iter().find(|single| single.super_block.fs_type == fs_type).cloned();
        if let Some(present) = present {
            return Ok(present);
        }
        let new = make()?;
        self.singles.lock().push(new.clone());
        Ok(new)
    }

    /// The internal mount that unnamed pipes are on.
    #[must_use]
    pub fn pipe_mount(&self) -> &Arc<Mount> {
        &self.pipe_mount
    }

    /// The internal mount of objects without a name, such as epoll instances and the streams of the first program.
    #[must_use]
    pub fn anon_mount(&self) -> &Arc<Mount> {
        &self.anon_mount
    }

    /// The internal mount of the files that stand for namespaces.
    #[must_use]
    pub fn nsfs_mount(&self) -> &Arc<Mount> {
        &self.nsfs_mount
    }

    /// A mount of `root`, not yet attached anywhere.
    ///
    /// # Errors
    /// `ENOSPC` when there is no number.
    pub fn new_mount(
        &self,
        super_block: Arc<SuperBlock>,
        root: Arc<Dentry>,
        flags: MountFlags,
    ) -> Result<Arc<Mount>, Errno> {
        let number = self.mount_numbers.allocate()?;
        let unique_id = self.next_unique_id.fetch_add(1, Ordering::Relaxed);
        Ok(new_mount(number, unique_id, super_block, root, flags))
    }

    /// A mount of a new file system of `fs_type`, not yet attached anywhere.
    ///
    /// # Errors
    /// `ENODEV` for an unknown type; what the type's mount function says.
    pub fn mount_new(
        &self,
        fs_type: &[u8],
        request: &MountRequest<'_>,
        flags: MountFlags,
    ) -> Result<Arc<Mount>, Errno> {
        let mount = self.filesystem(fs_type).and_then(|fs_type| fs_type.mount).ok_or(Errno::ENODEV)?;
        let new = mount(request)?;
        self.new_mount(new.super_block, Dentry::new_root(new.root, b"/"), flags)
    }
}

/// Linux's first anonymous minors go to file systems mounted inside the kernel before any other.
const FIRST_ANON_MINOR: u32 = 1;
/// `MNT_UNIQUE_ID_OFFSET`: never mistaken for a number that is given out again.
const FIRST_UNIQUE_ID: u64 = 1 << 31;
/// Peer group 0 stands for none.
const FIRST_GROUP_ID: u32 = 1;
const FIRST_INO: u64 = 1;

fn new_mount(
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
