//! nsfs: the files that stand for namespaces.
//!
//! Owns what such a file is: an inode whose number is the namespace's, and which keeps the namespace alive as long as a
//! descriptor or a mount of it does. Who may reach it is procfs's, joining it is `syscall::ns`'s.
//! Invariant: one namespace has one dentry while anybody holds it, so device and inode numbers and times agree.
//! Source: Linux 6.12 fs/nsfs.c ns_get_path(), nsfs_init_inode(), ns_dname(), include/uapi/linux/nsfs.h.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;

use hashbrown::HashMap;
use linux_raw_sys::general as sys;
use procfs_core::Errno;
use procfs_core::pid::links::{NsLink, render_ns};

use crate::cred::{Cred, KGid, KUid, UserNs};
use crate::ns::{CgroupNs, IpcNs, NetNs, TimeNs, UtsNs};
use crate::pid::PidNs;
use crate::sync::Mutex;
use crate::vfs::{
    Access, Dentry, DeviceNumber, FileFeatures, FileKind, FileOps, Inode, Metadata, MountNs, OpenFlags, Path, StatFs,
    Timestamp, Vfs, permission, rank,
};

/// `f_type` of nsfs (Linux 6.12 include/uapi/linux/magic.h NSFS_MAGIC).
const MAGIC: u32 = 0x6e73_6673;

/// A namespace of any kind.
#[derive(Clone)]
pub enum Namespace {
    /// Mounts.
    Mnt(Arc<MountNs>),
    /// Host and domain name.
    Uts(Arc<UtsNs>),
    /// System V IPC.
    Ipc(Arc<IpcNs>),
    /// The network.
    Net(Arc<NetNs>),
    /// Control groups.
    Cgroup(Arc<CgroupNs>),
    /// Clocks.
    Time(Arc<TimeNs>),
    /// Process numbers.
    Pid(Arc<PidNs>),
    /// Users and groups.
    User(Arc<UserNs>),
}

impl Namespace {
    /// Its number.
    #[must_use]
    pub fn inum(&self) -> u32 {
        match self {
            Self::Mnt(ns) => ns.inum(),
            Self::Uts(ns) => ns.inum(),
            Self::Ipc(ns) => ns.inum(),
            Self::Net(ns) => ns.inum(),
            Self::Cgroup(ns) => ns.inum(),
            Self::Time(ns) => ns.inum(),
            Self::Pid(ns) => ns.inum(),
            Self::User(ns) => ns.inum(),
        }
    }

    /// The link of `/proc/PID/ns` that leads to namespaces of this kind.
    #[must_use]
    pub fn link(&self) -> NsLink {
        match self {
            Self::Mnt(_) => NsLink::Mnt,
            Self::Uts(_) => NsLink::Uts,
            Self::Ipc(_) => NsLink::Ipc,
            Self::Net(_) => NsLink::Net,
            Self::Cgroup(_) => NsLink::Cgroup,
            Self::Time(_) => NsLink::Time,
            Self::Pid(_) => NsLink::Pid,
            Self::User(_) => NsLink::User,
        }
    }

    /// The `CLONE_NEW*` flag that makes one, which is also its type for setns(2) and `NS_GET_NSTYPE`.
    #[must_use]
    pub fn clone_flag(&self) -> u32 {
        match self {
            Self::Mnt(_) => sys::CLONE_NEWNS,
            Self::Uts(_) => sys::CLONE_NEWUTS,
            Self::Ipc(_) => sys::CLONE_NEWIPC,
            Self::Net(_) => sys::CLONE_NEWNET,
            Self::Cgroup(_) => sys::CLONE_NEWCGROUP,
            Self::Time(_) => sys::CLONE_NEWTIME,
            Self::Pid(_) => sys::CLONE_NEWPID,
            Self::User(_) => sys::CLONE_NEWUSER,
        }
    }

    /// The user namespace that owns it; for a user namespace its parent, which the initial one has not.
    #[must_use]
    pub fn owner(&self) -> Option<Arc<UserNs>> {
        Some(match self {
            Self::Mnt(ns) => ns.user_ns.clone(),
            Self::Uts(ns) => ns.user_ns().clone(),
            Self::Ipc(ns) => ns.user_ns().clone(),
            Self::Net(ns) => ns.user_ns().clone(),
            Self::Cgroup(ns) => ns.user_ns().clone(),
            Self::Time(ns) => ns.user_ns().clone(),
            Self::Pid(ns) => ns.user_ns().clone(),
            Self::User(ns) => return ns.parent().cloned(),
        })
    }

    /// Its name, such as `mnt:[4026531841]`.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        render_ns(self.link(), self.inum(), &mut text);
        text
    }
}

/// The files in use, by the numbers of their namespaces: the private state of nsfs's super block.
pub struct Stash(Mutex<HashMap<u32, Weak<Dentry>>>);

impl Default for Stash {
    fn default() -> Self {
        Self(Mutex::new(rank::MOUNT, HashMap::new()))
    }
}

/// The file that stands for `namespace`, on nsfs's internal mount.
#[must_use]
pub fn path_of(vfs: &Vfs, namespace: Namespace) -> Path {
    let mount = vfs.nsfs_mount().clone();
    let Stash(stash) = mount.super_block.private.downcast_ref().expect("the private state of nsfs is its stash");
    let inum = namespace.inum();
    // A dentry that lives keeps its namespace, and with it the number: it cannot be another namespace's.
    let present = stash.lock().get(&inum).and_then(Weak::upgrade);
    if let Some(dentry) = present {
        return Path { mount, dentry };
    }
    let text = namespace.text();
    let dentry = Dentry::new_root(Arc::new(NsInode { namespace, created: Timestamp::now() }), &text);
    let mut files = stash.lock();
    if files.len() == files.capacity() {
        files.retain(|_, file| file.strong_count() > 0);
    }
    files.insert(inum, Arc::downgrade(&dentry));
    drop(files);
    Path { mount, dentry }
}

/// The namespace that `inode` stands for, if it is a file of nsfs.
#[must_use]
pub fn namespace_of(inode: &dyn Inode) -> Option<&Namespace> {
    inode.as_any().downcast_ref::<NsInode>().map(|inode| &inode.namespace)
}

struct NsInode {
    namespace: Namespace,
    created: Timestamp,
}

impl Inode for NsInode {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn metadata(&self) -> Metadata {
        Metadata {
            ino: u64::from(self.namespace.inum()),
            kind: FileKind::Regular,
            mode: 0o444,
            nlink: 1,
            uid: KUid::ROOT,
            gid: KGid::ROOT,
            size: 0,
            blocks: 0,
            block_size: 4096,
            rdev: DeviceNumber::default(),
            atime: self.created,
            mtime: self.created,
            ctime: self.created,
            btime: None,
        }
    }

    fn permission(&self, cred: &Cred, mask: Access) -> Result<(), Errno> {
        // It is immutable (S_IMMUTABLE), which comes before the mode.
        if mask.contains(Access::WRITE) {
            return Err(Errno::EPERM);
        }
        permission::generic_permission(&self.metadata(), cred, mask)
    }

    fn open(self: Arc<Self>, _: &Path, _: OpenFlags, _: &Arc<Cred>) -> Result<Box<dyn FileOps>, Errno> {
        Ok(Box::new(OpenNs))
    }

    fn statfs(&self) -> Result<StatFs, Errno> {
        Ok(StatFs { magic: MAGIC, block_size: 4096, name_max: 255, ..StatFs::default() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open file of nsfs: it can be neither read nor moved in.
struct OpenNs;

impl FileOps for OpenNs {
    fn features(&self) -> FileFeatures {
        FileFeatures::PREAD | FileFeatures::PWRITE
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
