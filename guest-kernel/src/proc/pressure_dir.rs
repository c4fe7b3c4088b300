//! `/proc/pressure`: waiting for the CPU, for memory and for I/O.
//!
//! Nothing waits for a device that stores data, as there is none, nor for memory that is being reclaimed, as none is: those
//! two are 0. Triggers, which a write would set, are not there.
//! Source: Linux 6.12 kernel/sched/psi.c psi_proc_init(), psi_write().

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::root::pressure::{self, Pressure};
use procfs_core::seq::Single;

use super::{FIRST_STATIC_INO, MAGIC, ProcFs, ROOT_INO};
use crate::cred::Cred;
use crate::fs::kernfs::{Attributes, Content, Directory, Entry, File, FileNode, Name, Node, Writer};
use crate::sched;
use crate::time::monotonic_ns;
use crate::vfs::{FileKind, Inode, OpenFlags};

/// The inode numbers of the files: between the top level's and those of `net`.
const FIRST_INO: u64 = FIRST_STATIC_INO + 0x80;
/// In the order of the directory.
const NAMES: [&str; 3] = ["io", "cpu", "memory"];

/// The directory.
pub(super) struct PressureDir {
    pub(super) fs: Arc<ProcFs>,
    pub(super) ino: u64,
}

impl Node for PressureDir {
    fn attributes(&self) -> Attributes {
        Attributes { nlink: 2, ..self.fs.static_attributes(self.ino, 0o555) }
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl Directory for PressureDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let at = NAMES.iter().position(|known| known.as_bytes() == name).ok_or(Errno::ENOENT)?;
        Ok(Arc::new(File(PressureFile { fs: self.fs.clone(), at })))
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        let at = usize::try_from(offset - 2).unwrap_or(usize::MAX);
        Ok(NAMES.get(at).map(|&name| Entry {
            ino: FIRST_INO + at as u64,
            kind: FileKind::Regular,
            name: Name::Static(name),
            next_offset: offset + 1,
        }))
    }

    fn parent_ino(&self) -> u64 {
        ROOT_INO
    }

    fn is_static(&self) -> bool {
        true
    }
}

struct PressureFile {
    fs: Arc<ProcFs>,
    at: usize,
}

impl Node for PressureFile {
    fn attributes(&self) -> Attributes {
        self.fs.static_attributes(FIRST_INO + self.at as u64, 0o666)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl FileNode for PressureFile {
    fn open(&self, _: OpenFlags, _: &Arc<Cred>) -> Result<Content, Errno> {
        let is_cpu = NAMES[self.at] == "cpu";
        let content = Content::records(Single(move |out: &mut Vec<u8>| {
            let some = if is_cpu { sched::cpu_pressure(monotonic_ns()) } else { Pressure::default() };
            pressure::render(&some, &Pressure::default(), out);
            Ok(())
        }));
        Ok(content.with_writer(NoTriggers))
    }
}

/// A write asks for a trigger.
struct NoTriggers;

impl Writer for NoTriggers {
    fn write(&mut self, _: &[u8], _: usize, _: u64) -> Result<usize, Errno> {
        Err(Errno::EOPNOTSUPP)
    }
}
