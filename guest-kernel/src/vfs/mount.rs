//! Mounted file systems: which tree hangs where, and in which order it came.
//!
//! Owns mounts, mount namespaces and the table of file-system types. A walk asks only `Mount::child_at` and
//! `Mount::parent_point`.
//! Invariant: a mount in a namespace's list is listed as a child of its parent, and the other way round.
//! Source: Linux 6.12 fs/namespace.c, fs/super.c, fs/filesystems.c; mount_namespaces(7), proc(5).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bitflags::bitflags;
use linux_raw_sys::general as sys;
use procfs_core::Errno;

use super::dentry::{Dentry, RecentNames};
use super::device::DeviceTable;
use super::inode::Inode;
use super::metadata::DeviceNumber;
use super::{Path, rank};
use crate::cred::UserNs;
use crate::ns::{Inum, Inums};
use crate::sched::WaitQueue;
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
    /// Who opens the device nodes in it.
    pub devices: Arc<DeviceTable>,
    /// Whether all its mounts are shown as read-only.
    pub is_read_only: AtomicBool,
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
    /// Makes one; `None` for types that mount(2) cannot mount, as pipefs.
    pub mount: Option<MountFn>,
}

/// One attachment of a tree.
pub struct Mount {
    /// The number that mountinfo shows first.
    pub id: u32,
    /// The file system.
    pub super_block: Arc<SuperBlock>,
    /// The part of it that shows here.
    pub root: Arc<Dentry>,
    flags: AtomicU32,
    point: Mutex<Option<(Arc<Mount>, Arc<Dentry>)>>,
    children: Mutex<Vec<Child>>,
    recent: Mutex<RecentNames>,
    ns: Mutex<Weak<MountNs>>,
}

/// A mount that covers a dentry of another.
struct Child {
    /// The address of the covered dentry, so that a walk over none of the mount points need not ask the mounts. The child
    /// keeps the dentry while it hangs there, so as long as `mount` lives no other dentry has the address.
    covered: usize,
    mount: Weak<Mount>,
}

impl Mount {
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
        self.point.lock().as_ref().map_or(self.id, |(parent, _)| parent.id)
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

    /// The mounts in order of their ids, as /proc/PID/mounts lists them.
    #[must_use]
    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        self.mounts.lock().clone()
    }

    /// A namespace of `user_ns` with a copy of every mount, in the order of the tree; `paths` move to the copies.
    ///
    /// # Errors
    /// What attaching a mount says; none so far.
    pub fn copy(
        self: &Arc<Self>,
        inum: Inum,
        user_ns: &Arc<UserNs>,
        paths: [&mut Path; 2],
    ) -> Result<Arc<Self>, Errno> {
        let new = Self::new(self.vfs.clone(), inum, user_ns.clone());
        let mut copies: Vec<(Arc<Mount>, Arc<Mount>)> = Vec::new();
        let first = self.mounts().into_iter().find(|mount| mount.parent_point().is_none());
        let mut rest: Vec<_> = first.into_iter().collect();
        while let Some(old) = rest.pop() {
            let copy = self.vfs.new_mount(old.super_block.clone(), old.root.clone(), old.flags());
            let point = old.parent_point().and_then(|point| {
                let (_, mount) = copies.iter().find(|(of, _)| Arc::ptr_eq(of, &point.mount))?;
                Some(Path { mount: mount.clone(), dentry: point.dentry })
            });
            new.attach(&copy, point.as_ref())?;
            rest.extend(old.children.lock().iter().rev().filter_map(|child| child.mount.upgrade()));
            copies.push((old, copy));
        }
        for path in paths {
            if let Some((_, copy)) = copies.iter().find(|(of, _)| Arc::ptr_eq(of, &path.mount)) {
                path.mount = copy.clone();
            }
        }
        Ok(new)
    }

    /// The root of the namespace.
    #[must_use]
    pub fn root(&self) -> Option<Path> {
        let first = self.mounts.lock().first().cloned()?;
        Some(top_of(first.root_path()))
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

    fn touch(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.changed.wake_all();
    }

    /// Adds `mount` at `point`, or as the root of the namespace.
    ///
    /// # Errors
    /// `ENOENT` if the mount point has been removed; `ENOTDIR` if one of the two is a directory and the other not.
    pub fn attach(self: &Arc<Self>, mount: &Arc<Mount>, point: Option<&Path>) -> Result<(), Errno> {
        if let Some(point) = point {
            if point.dentry.is_deleted() {
                return Err(Errno::ENOENT);
            }
            if point.is_dir() != mount.root_path().is_dir() {
                return Err(Errno::ENOTDIR);
            }
            *mount.point.lock() = Some((point.mount.clone(), point.dentry.clone()));
            let mut children = point.mount.children.lock();
            children.retain(|child| child.mount.strong_count() > 0);
            children.push(Child { covered: Arc::as_ptr(&point.dentry).addr(), mount: Arc::downgrade(mount) });
        }
        *mount.ns.lock() = Arc::downgrade(self);
        {
            let mut mounts = self.mounts.lock();
            let at = mounts.partition_point(|other| other.id < mount.id);
            mounts.insert(at, mount.clone());
        }
        self.touch();
        Ok(())
    }

    /// Takes `mount` out of the namespace.
    ///
    /// # Errors
    /// `EINVAL` if it is not in this namespace or is its root; `EBUSY` if something is mounted on it.
    pub fn detach(self: &Arc<Self>, mount: &Arc<Mount>) -> Result<(), Errno> {
        let Some(point) = mount.parent_point() else { return Err(Errno::EINVAL) };
        if !mount.ns().is_some_and(|ns| Arc::ptr_eq(&ns, self)) {
            return Err(Errno::EINVAL);
        }
        if mount.has_children() {
            return Err(Errno::EBUSY);
        }
        point.mount.children.lock().retain(|child| !core::ptr::eq(child.mount.as_ptr(), Arc::as_ptr(mount)));
        self.mounts.lock().retain(|other| !Arc::ptr_eq(other, mount));
        *mount.ns.lock() = Weak::new();
        let former = mount.point.lock().take();
        drop(former);
        self.touch();
        Ok(())
    }
}

impl MountNs {
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
        let root = vfs.new_mount(new.super_block, Dentry::new_root(new.root, b"/"), MountFlags::empty());
        ns.attach(&root, None)?;
        Ok(ns)
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
    next_mount_id: AtomicU32,
    next_anon_minor: AtomicU32,
    next_ino: AtomicU64,
    singles: Mutex<Vec<NewSuper>>,
    devices: Arc<DeviceTable>,
    user_ns: Arc<UserNs>,
    pipe_mount: Arc<Mount>,
    anon_mount: Arc<Mount>,
    nsfs_mount: Arc<Mount>,
    next_ns_seq: AtomicU64,
}

impl Vfs {
    /// The state at boot, with tmpfs, devtmpfs and the internal file systems registered.
    #[must_use]
    pub fn new(user_ns: Arc<UserNs>) -> Arc<Self> {
        let devices = DeviceTable::new();
        let numbers = AtomicU32::new(FIRST_ANON_MINOR);
        let internal = |fs_type, root: Arc<dyn Inode>, name: &[u8], private| {
            let super_block = Arc::new(SuperBlock {
                fs_type,
                source: fs_type.as_bytes().to_vec(),
                dev: DeviceNumber::new(0, numbers.fetch_add(1, Ordering::Relaxed)),
                options: Arc::new(FixedOptions(String::new())),
                user_ns: user_ns.clone(),
                devices: devices.clone(),
                is_read_only: AtomicBool::new(false),
                private,
            });
            new_mount(0, super_block, Dentry::new_root(root, name), MountFlags::empty())
        };
        let anon_mount = internal("anon_inodefs", crate::fs::anon::root_inode(), b"anon_inodefs:", Box::new(()));
        let pipe_mount = internal("pipefs", crate::fs::anon::root_inode(), b"pipe:", Box::new(()));
        let stash = Box::new(crate::fs::nsfs::Stash::default());
        let nsfs_mount = internal("nsfs", crate::fs::anon::root_inode(), b"nsfs:", stash);
        let vfs = Arc::new(Self {
            types: Mutex::new(rank::MOUNT, Vec::new()),
            next_mount_id: AtomicU32::new(FIRST_MOUNT_ID),
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
        vfs.register_filesystem("tmpfs", crate::fs::tmpfs::mount);
        vfs.register_filesystem("devtmpfs", crate::fs::tmpfs::mount_devtmpfs);
        vfs.register_internal("pipefs");
        vfs
    }

    /// Makes a type known to mount(2) and /proc/filesystems (`nodev`).
    pub fn register_filesystem(&self, name: &'static str, mount: MountFn) {
        self.types.lock().push(FsType { name, needs_device: false, mount: Some(mount) });
    }

    /// Makes a type known to /proc/filesystems only.
    pub fn register_internal(&self, name: &'static str) {
        self.types.lock().push(FsType { name, needs_device: false, mount: None });
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
    #[must_use]
    pub fn new_mount(&self, super_block: Arc<SuperBlock>, root: Arc<Dentry>, flags: MountFlags) -> Arc<Mount> {
        new_mount(self.next_mount_id.fetch_add(1, Ordering::Relaxed), super_block, root, flags)
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
        Ok(self.new_mount(new.super_block, Dentry::new_root(new.root, b"/"), flags))
    }
}

/// Linux's first anonymous minors go to file systems mounted inside the kernel before any other.
const FIRST_ANON_MINOR: u32 = 1;
const FIRST_MOUNT_ID: u32 = 1;
const FIRST_INO: u64 = 1;

fn new_mount(id: u32, super_block: Arc<SuperBlock>, root: Arc<Dentry>, flags: MountFlags) -> Arc<Mount> {
    Arc::new(Mount {
        id,
        super_block,
        root,
        flags: AtomicU32::new(flags.bits()),
        point: Mutex::new(rank::MOUNT, None),
        children: Mutex::new(rank::MOUNT, Vec::new()),
        recent: Mutex::new(rank::MOUNT, RecentNames::default()),
        ns: Mutex::new(rank::MOUNT, Weak::new()),
    })
}
