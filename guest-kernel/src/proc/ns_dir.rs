//! `/proc/PID/ns`: the namespaces of a task, and the files that stand for them.
//!
//! Source: Linux 6.12 fs/proc/namespaces.c, fs/nsfs.c, include/linux/proc_ns.h; namespaces(7).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use procfs_core::Errno;
use procfs_core::pid::Node as What;
use procfs_core::pid::links::{NsLink, render_ns};

use super::pid_dir::{Place, number_of_dir};
use super::{MAGIC, access};
use crate::cred::{Cred, KGid, KUid};
use crate::fs::kernfs::{Attributes, Directory, Entry, Name, Node, Symlink, SymlinkNode};
use crate::task::Task;
use crate::vfs::{
    Dentry, DeviceNumber, FileFeatures, FileKind, FileOps, Inode, Link, Metadata, OpenFlags, Path, Timestamp,
};

/// The number of the first entry, for inode numbers; those of the table are below.
const NS_ENTRIES: u64 = 1 << 10;

fn inum(link: NsLink, task: &Task) -> Result<u32, Errno> {
    // What a task has of namespaces goes with its files and its memory, but for its number's and its credentials'.
    let has_nsproxy = task.fs().is_some();
    Ok(match link {
        NsLink::Pid | NsLink::PidForChildren => task.pid_ns().inum(),
        NsLink::User => task.cred().user_ns.inum(),
        _ if !has_nsproxy => return Err(Errno::ENOENT),
        NsLink::Mnt => task.kernel.mount_ns.inum(),
        NsLink::Net => task.kernel.initial_ns.net.inum(),
        NsLink::Uts => task.kernel.initial_ns.uts.inum(),
        NsLink::Ipc => task.kernel.initial_ns.ipc.inum(),
        NsLink::Cgroup => task.kernel.initial_ns.cgroup.inum(),
        NsLink::Time | NsLink::TimeForChildren => task.kernel.initial_ns.time.inum(),
    })
}

/// `/proc/PID/ns`.
pub(super) struct NsDir(pub(super) Place);

impl Node for NsDir {
    fn attributes(&self) -> Attributes {
        Attributes { nlink: 2, ..self.0.attributes(number_of_dir(What::Ns), 0o511, true) }
    }

    fn is_gone(&self) -> bool {
        self.0.id.task().is_none()
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl Directory for NsDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        self.0.id.task().ok_or(Errno::ENOENT)?;
        let link = NsLink::from_name(name).ok_or(Errno::ENOENT)?;
        Ok(Arc::new(Symlink(NsSymlink { place: self.0.clone(), link })))
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        self.0.id.task().ok_or(Errno::ENOENT)?;
        let at = usize::try_from(offset - 2).unwrap_or(usize::MAX);
        Ok(NsLink::ALL.get(at).map(|link| Entry {
            ino: self.0.ino(NS_ENTRIES + at as u64),
            kind: FileKind::Symlink,
            name: Name::Static(link.name()),
            next_offset: offset + 1,
        }))
    }

    fn parent_ino(&self) -> u64 {
        self.0.ino(0)
    }
}

struct NsSymlink {
    place: Place,
    link: NsLink,
}

impl NsSymlink {
    fn inum(&self) -> Result<u32, Errno> {
        let task = self.place.id.task().ok_or(Errno::ENOENT)?;
        access::check(&task)?;
        inum(self.link, &task)
    }

    fn text(&self) -> Result<Vec<u8>, Errno> {
        let mut text = Vec::new();
        render_ns(self.link, self.inum()?, &mut text);
        Ok(text)
    }
}

impl Node for NsSymlink {
    fn attributes(&self) -> Attributes {
        let at = NsLink::ALL.iter().position(|&link| link == self.link).unwrap_or(0);
        self.place.attributes(NS_ENTRIES + at as u64, 0o777, false)
    }

    fn is_gone(&self) -> bool {
        self.place.id.task().is_none()
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl SymlinkNode for NsSymlink {
    fn follow(&self) -> Result<Link, Errno> {
        let inode = Arc::new(NsInode { inum: self.inum()? });
        let dentry = Dentry::new_root(inode, &self.text()?);
        // Objects without a name in any tree share one mount.
        let mount = self.place.fs.kernel.vfs.anon_mount().clone();
        Ok(Link::Jump(Path { mount, dentry }))
    }

    fn text_from(&self, _: &Path) -> Option<Result<Vec<u8>, Errno>> {
        Some(self.text())
    }
}

/// The file that stands for a namespace.
struct NsInode {
    inum: u32,
}

impl Inode for NsInode {
    fn kind(&self) -> FileKind {
        FileKind::Regular
    }

    fn metadata(&self) -> Metadata {
        let time = Timestamp::default();
        Metadata {
            ino: u64::from(self.inum),
            kind: FileKind::Regular,
            mode: 0o444,
            nlink: 1,
            uid: KUid::ROOT,
            gid: KGid::ROOT,
            size: 0,
            blocks: 0,
            block_size: 4096,
            rdev: DeviceNumber::default(),
            atime: time,
            mtime: time,
            ctime: time,
            btime: None,
        }
    }

    fn open(self: Arc<Self>, _: &Path, flags: OpenFlags, _: &Arc<Cred>) -> Result<Box<dyn FileOps>, Errno> {
        if flags.is_writable() { Err(Errno::EPERM) } else { Ok(Box::new(OpenNs)) }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

struct OpenNs;

impl FileOps for OpenNs {
    fn features(&self) -> FileFeatures {
        FileFeatures::SEEK | FileFeatures::PREAD | FileFeatures::PWRITE
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
