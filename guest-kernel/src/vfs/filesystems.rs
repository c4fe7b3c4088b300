//! What all mount namespaces share: the types of file systems, numbers, devices, the mounts inside the kernel.
//!
//! Source: Linux 6.12 fs/filesystems.c, fs/super.c get_anon_bdev(), get_tree_single(), fs/inode.c get_next_ino().

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use procfs_core::Errno;

use super::dentry::Dentry;
use super::device::DeviceTable;
use super::inode::Inode;
use super::metadata::DeviceNumber;
use super::mount::{Mount, MountFlags, new_mount};
use super::rank;
use super::super_block::{FixedOptions, FsType, FsTypeFlags, MountFn, MountRequest, NewSuper, SuperBlock, SuperState};
use crate::cred::UserNs;
use crate::ns::Ida;
use crate::sync::Mutex;

/// Linux's first anonymous minors go to file systems mounted inside the kernel before any other.
const FIRST_ANON_MINOR: u32 = 1;
/// `MNT_UNIQUE_ID_OFFSET`: never mistaken for a number that is given out again.
const FIRST_UNIQUE_ID: u64 = 1 << 31;
/// Peer group 0 stands for none.
const FIRST_GROUP_ID: u32 = 1;
const FIRST_INO: u64 = 1;

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
