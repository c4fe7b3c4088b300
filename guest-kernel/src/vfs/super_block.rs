//! File systems in use and their types.
//!
//! Owns what all mounts of one file system share, and what a type is asked for when it is mounted.
//! Source: Linux 6.12 include/linux/fs.h struct super_block, struct file_system_type; mount(2).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU32, Ordering};

use bitflags::bitflags;
use linux_raw_sys::general as sys;
use procfs_core::Errno;

use super::device::DeviceTable;
use super::filesystems::Vfs;
use super::inode::Inode;
use super::metadata::DeviceNumber;
use crate::cred::UserNs;

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
    pub(super) writers: AtomicU32,
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
