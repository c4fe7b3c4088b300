//! `/proc/PID/net`: the network namespace of a task.
//!
//! The namespaces hold nothing yet, so all have the same files. They are the namespace's, not the task's: root owns them, and
//! an open one stays when the task ends.
//! Source: Linux 6.12 fs/proc/proc_net.c proc_tgid_net_lookup(), proc_tgid_net_readdir(), proc_tgid_net_getattr().

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::net::{self, Entry as TableEntry, Forwards, Settings};
use procfs_core::pid::Node as What;
use procfs_core::seq::Single;

use super::pid_dir::{Place, number_of_dir};
use super::{FIRST_STATIC_INO, MAGIC, ProcFs, sys_dir};
use crate::cred::Cred;
use crate::fs::kernfs::{Attributes, Content, Directory, Entry, File, FileNode, Name, Node, Unwritable};
use crate::vfs::{FileKind, Inode, OpenFlags};

/// The inode numbers of the files: above those of the top level and below those of `/proc/sys`.
const FIRST_INO: u64 = FIRST_STATIC_INO + 0x100;

/// `net` of a task.
pub(super) struct NetDir(pub(super) Place);

impl NetDir {
    /// Whether the task still has a namespace.
    fn has_namespace(&self) -> bool {
        self.0.id.task().is_some_and(|task| task.fs().is_some())
    }
}

impl Node for NetDir {
    fn attributes(&self) -> Attributes {
        Attributes { nlink: 2, ..self.0.attributes(number_of_dir(What::Net), 0o555, true) }
    }

    fn is_gone(&self) -> bool {
        self.0.id.task().is_none()
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl Directory for NetDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        if !self.has_namespace() {
            return Err(Errno::ENOENT);
        }
        let at = net::ENTRIES.iter().position(|entry| entry.name.as_bytes() == name).ok_or(Errno::ENOENT)?;
        let entry = &net::ENTRIES[at];
        Ok(Arc::new(File(NetFile { fs: self.0.fs.clone(), ino: FIRST_INO + at as u64, entry })))
    }

    fn check_listing(&self) -> Result<(), Errno> {
        if self.has_namespace() { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        let at = usize::try_from(offset - 2).unwrap_or(usize::MAX);
        Ok(net::ENTRIES.get(at).map(|entry| Entry {
            ino: FIRST_INO + at as u64,
            kind: FileKind::Regular,
            name: Name::Static(entry.name),
            next_offset: offset + 1,
        }))
    }

    fn parent_ino(&self) -> u64 {
        self.0.ino(0)
    }
}

struct NetFile {
    fs: Arc<ProcFs>,
    ino: u64,
    entry: &'static TableEntry,
}

impl Node for NetFile {
    fn attributes(&self) -> Attributes {
        self.fs.static_attributes(self.ino, 0o444)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl FileNode for NetFile {
    fn open(&self, _: OpenFlags, _: &Arc<Cred>) -> Result<Content, Errno> {
        let (kernel, entry) = (self.fs.kernel, self.entry);
        Ok(Content::records(Single(move |out: &mut Vec<u8>| {
            let setting = |name| sys_dir::number(kernel, &["net", "ipv4", name]);
            let forwards = if setting("ip_forward") == 0 { Forwards::No } else { Forwards::Yes };
            let settings = Settings { forwards, default_ttl: setting("ip_default_ttl"), cpus: 1 };
            net::render(entry, &settings, out);
            Ok(())
        }))
        .with_writer(Unwritable(Errno::EACCES)))
    }
}
