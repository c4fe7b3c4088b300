//! `/proc/PID/ns`: links to the namespaces of a task, which lead to files of nsfs.
//!
//! Source: Linux 6.12 fs/proc/namespaces.c, and the get() of each kind of namespace; namespaces(7).

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::pid::Node as What;
use procfs_core::pid::links::NsLink;

use super::pid_dir::{Place, number_of_dir};
use super::{MAGIC, access};
use crate::fs::kernfs::{Attributes, Directory, Entry, Name, Node, Symlink, SymlinkNode};
use crate::fs::nsfs::{self, Namespace};
use crate::task::Task;
use crate::vfs::{FileKind, Inode, Link, Path};

/// The number of the first entry, for inode numbers; those of the table are below.
const NS_ENTRIES: u64 = 1 << 10;

fn namespace(link: NsLink, task: &Task) -> Result<Namespace, Errno> {
    // The number and the credentials stay with a zombie; the rest has gone.
    let nsproxy = task.nsproxy().ok_or(Errno::ENOENT);
    Ok(match link {
        NsLink::Pid => Namespace::Pid(task.pid_ns()),
        NsLink::User => Namespace::User(task.cred().user_ns.clone()),
        NsLink::PidForChildren => {
            // Before the first child it is nobody's.
            let ns = nsproxy?.pid_for_children.clone();
            Namespace::Pid(Some(ns).filter(|ns| ns.has_had_reaper()).ok_or(Errno::ENOENT)?)
        }
        NsLink::Mnt => Namespace::Mnt(nsproxy?.mnt.clone()),
        NsLink::Net => Namespace::Net(nsproxy?.net.clone()),
        NsLink::Uts => Namespace::Uts(nsproxy?.uts.clone()),
        NsLink::Ipc => Namespace::Ipc(nsproxy?.ipc.clone()),
        NsLink::Cgroup => Namespace::Cgroup(nsproxy?.cgroup.clone()),
        NsLink::Time => Namespace::Time(nsproxy?.time.clone()),
        NsLink::TimeForChildren => Namespace::Time(nsproxy?.time_for_children.clone()),
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
    fn namespace(&self) -> Result<Namespace, Errno> {
        let task = self.place.id.task().ok_or(Errno::EACCES)?;
        access::check(&task)?;
        namespace(self.link, &task)
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
        Ok(Link::Jump(nsfs::path_of(&self.place.fs.kernel.vfs, self.namespace()?)))
    }

    fn text_from(&self, _: &Path) -> Option<Result<Vec<u8>, Errno>> {
        Some(self.namespace().map(|namespace| namespace.text()))
    }
}
