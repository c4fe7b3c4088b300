//! Directories: entries found by name and listed in the order of their offsets.
//!
//! Source: Linux 6.12 fs/proc/generic.c proc_readdir_de(), fs/libfs.c.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;

use procfs_core::Errno;

use super::{Node, common_methods};
use crate::cred::Cred;
use crate::vfs::{
    Access, Caching, DirEntry, File as VfsFile, FileFeatures, FileKind, FileOps, Inode, Metadata, OpenFlags, Path,
    SetAttr, StatFs,
};

/// The name of an entry, made where it is needed.
#[derive(Clone, Copy, Debug)]
pub enum Name {
    /// One that the kernel knows beforehand.
    Static(&'static str),
    /// A number in decimal.
    Number(u32),
    /// Two addresses in hexadecimal.
    Addresses {
        /// The lower.
        start: u64,
        /// The upper.
        end: u64,
    },
}

/// One entry of a listing.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its inode number.
    pub ino: u64,
    /// Its kind.
    pub kind: FileKind,
    /// Its name.
    pub name: Name,
    /// The offset of the entry after it.
    pub next_offset: u64,
}

/// What a directory holds.
pub trait Directory: Node {
    /// The entry `name`.
    ///
    /// # Errors
    /// `ENOENT`, or what the object says.
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno>;

    /// What is asked before anything is listed.
    ///
    /// # Errors
    /// `ENOENT` for a directory that has gone, or the directory's own.
    fn check_listing(&self) -> Result<(), Errno> {
        if self.is_gone() { Err(Errno::ENOENT) } else { Ok(()) }
    }

    /// The first entry whose offset is at least `offset`, which is 2 or more: `.` and `..` have 0 and 1.
    ///
    /// # Errors
    /// `ENOENT` for a directory that has gone.
    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno>;

    /// The inode number of the directory above.
    fn parent_ino(&self) -> u64;

    /// Whether a listing has `.` and `..`.
    fn lists_dots(&self) -> bool {
        true
    }

    /// Whether an entry, once found, is good for ever.
    fn is_static(&self) -> bool {
        false
    }

    /// Whether an entry, once found, is good for whoever walks here until its node `is_gone`. Who may pass is then the node's
    /// `permission` to say, not `lookup`.
    fn keeps_entries(&self) -> bool {
        false
    }
}

/// A directory as an inode.
pub struct Dir<T>(pub T);

impl<T: Directory> Inode for Dir<T> {
    common_methods!(FileKind::Directory);

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        self.0.lookup(name)
    }

    fn caching(&self) -> Caching {
        if self.0.is_static() || self.0.keeps_entries() { Caching::WhileAlive } else { Caching::Never }
    }

    fn takes_new_names(&self) -> bool {
        false
    }

    fn open(self: Arc<Self>, _: &Path, _: OpenFlags, _: &Arc<Cred>) -> Result<Box<dyn FileOps>, Errno> {
        Ok(Box::new(OpenDir(self)))
    }
}

struct OpenDir<T>(Arc<Dir<T>>);

impl<T: Directory> FileOps for OpenDir<T> {
    fn read(&self, _: &VfsFile, _: &mut u64, _: &mut crate::mm::IoDst<'_>) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn readdir(&self, _: &VfsFile, pos: &mut u64, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<(), Errno> {
        let dir = &self.0.0;
        dir.check_listing()?;
        if *pos < 2 && !dir.lists_dots() {
            *pos = 2;
        }
        if *pos == 0 {
            let own = DirEntry { ino: dir.attributes().ino, next_offset: 1, kind: FileKind::Directory, name: b"." };
            if !emit(own) {
                return Ok(());
            }
            *pos = 1;
        }
        if *pos == 1 {
            let above = DirEntry { ino: dir.parent_ino(), next_offset: 2, kind: FileKind::Directory, name: b".." };
            if !emit(above) {
                return Ok(());
            }
            *pos = 2;
        }
        while let Some(entry) = dir.entry_from(*pos)? {
            let Entry { ino, kind, name, next_offset } = entry;
            let mut digits = itoa::Buffer::new();
            let addresses;
            let name = match name {
                Name::Static(name) => name.as_bytes(),
                Name::Number(number) => digits.format(number).as_bytes(),
                Name::Addresses { start, end } => {
                    addresses = alloc::format!("{start:x}-{end:x}");
                    addresses.as_bytes()
                }
            };
            if !emit(DirEntry { ino, next_offset, kind, name }) {
                return Ok(());
            }
            *pos = next_offset;
        }
        Ok(())
    }

    fn features(&self) -> FileFeatures {
        FileFeatures::SEEK | FileFeatures::PREAD | FileFeatures::PWRITE | FileFeatures::READ
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
