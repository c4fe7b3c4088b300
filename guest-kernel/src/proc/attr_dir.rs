//! `/proc/PID/attr`: what a security module keeps of a task. There is none, so nothing can be read or set.
//!
//! Source: Linux 6.12 fs/proc/base.c attr_dir_stuff, proc_pid_attr_open(), proc_pid_attr_read(), proc_pid_attr_write();
//! security/security.c security_getprocattr(), security_setprocattr().

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::pid::Node as What;

use super::pid_dir::{Place, number_of_dir};
use super::{MAGIC, TaskId, access};
use crate::cred::Cred;
use crate::fs::kernfs::{Attributes, Content, Directory, Entry, File, FileNode, Name, Node, Small, Writer};
use crate::mm::Mm;
use crate::task::current;
use crate::vfs::{FileKind, Inode, OpenFlags};

/// Names and modes, in the order of the directory.
const ENTRIES: [(&str, u16); 6] = [
    ("current", 0o666),
    ("prev", 0o444),
    ("exec", 0o666),
    ("fscreate", 0o666),
    ("keycreate", 0o666),
    ("sockcreate", 0o666),
];
/// The number of the first entry, for inode numbers.
const ATTR_ENTRIES: u64 = 1 << 11;

/// `/proc/PID/attr`.
pub(super) struct AttrDir(pub(super) Place);

impl Node for AttrDir {
    fn attributes(&self) -> Attributes {
        Attributes { nlink: 2, ..self.0.attributes(number_of_dir(What::Attr), 0o555, true) }
    }

    fn is_gone(&self) -> bool {
        self.0.id.task().is_none()
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl Directory for AttrDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        self.0.id.task().ok_or(Errno::ENOENT)?;
        let at = ENTRIES.iter().position(|(known, _)| known.as_bytes() == name).ok_or(Errno::ENOENT)?;
        Ok(Arc::new(File(AttrFile { place: self.0.clone(), at })))
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        self.0.id.task().ok_or(Errno::ENOENT)?;
        let at = usize::try_from(offset - 2).unwrap_or(usize::MAX);
        Ok(ENTRIES.get(at).map(|(name, _)| Entry {
            ino: self.0.ino(ATTR_ENTRIES + at as u64),
            kind: FileKind::Regular,
            name: Name::Static(name),
            next_offset: offset + 1,
        }))
    }

    fn parent_ino(&self) -> u64 {
        self.0.ino(0)
    }
}

struct AttrFile {
    place: Place,
    at: usize,
}

impl Node for AttrFile {
    fn attributes(&self) -> Attributes {
        self.place.attributes(ATTR_ENTRIES + self.at as u64, ENTRIES[self.at].1, false)
    }

    fn is_gone(&self) -> bool {
        self.place.id.task().is_none()
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl FileNode for AttrFile {
    fn open(&self, _: OpenFlags, _: &Arc<Cred>) -> Result<Content, Errno> {
        let id = self.place.id.clone();
        // Who may not look at the memory may still open the file.
        let mm = id.task().and_then(|task| access::mm_access(&task).ok().flatten());
        Ok(Content::small(AttrReader(id.clone())).with_writer(AttrWriter { id, mm }))
    }
}

struct AttrReader(TaskId);

impl Small for AttrReader {
    fn show(&mut self, _: u64, _: &mut Vec<u8>) -> Result<(), Errno> {
        self.0.resolve()?;
        Err(Errno::EINVAL)
    }
}

struct AttrWriter {
    id: TaskId,
    /// The memory at open: only a program that opened the file itself may write.
    mm: Option<Arc<Mm>>,
}

impl Writer for AttrWriter {
    fn write(&mut self, _: &[u8], _: usize, _: u64) -> Result<usize, Errno> {
        let me = current();
        let own = me.mm();
        let is_openers = match (&self.mm, &own) {
            (Some(bound), Some(own)) => Arc::ptr_eq(bound, own.mm()),
            (bound, own) => bound.is_none() && own.is_none(),
        };
        if !is_openers {
            return Err(Errno::EPERM);
        }
        if !Arc::ptr_eq(&self.id.resolve()?, &me) {
            return Err(Errno::EACCES);
        }
        Err(Errno::EINVAL)
    }
}
