//! Trees that the kernel makes up: directories, files and links whose content is computed when somebody asks.
//!
//! Owns the three kinds of node as inodes of the VFS, the kinds of file content with their read, seek and write rules, and
//! the listing of directories. Knows no processes: what a node means is behind the traits.
//! Nothing is made before it is looked up, and nothing is kept: attributes are asked for anew each time, since owner and
//! existence may change at any moment.
//! Locks: `KERNFS_FILE` around the state of one open file; sources take their own, higher ones under it and give them
//! back before bytes are copied to the reader. Nothing in here blocks.
//! Source: Linux 6.12 fs/proc/generic.c, fs/proc/inode.c, fs/libfs.c, fs/seq_file.c.

mod directory;
mod file;
mod symlink;

#[cfg(test)]
mod tests;

pub use directory::{Dir, Directory, Entry, Name};
pub use file::{Content, File, FileNode, Poll, Raw, Reader, Records, SeekRule, Small, Unwritable, Writer};
pub use symlink::{Symlink, SymlinkNode};

use procfs_core::Errno;

use crate::cred::{Cred, KGid, KUid};
use crate::sync::Rank;
use crate::vfs::{Access, DeviceNumber, FileKind, Metadata, SetAttr, StatFs, Timestamp, permission};

/// The state of one open file; below the locks of everything that a file may show.
const KERNFS_FILE: Rank = Rank(900);

/// What stat(2) says of a node, less its kind.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// The inode number, the same for the same node each time.
    pub ino: u64,
    /// Permission bits.
    pub mode: u16,
    /// Number of names.
    pub nlink: u32,
    /// The owner.
    pub uid: KUid,
    /// The group.
    pub gid: KGid,
    /// The size in bytes, 0 for nearly all.
    pub size: u64,
    /// All three timestamps.
    pub time: Timestamp,
}

impl Attributes {
    /// Preferred size of a transfer in bytes (Linux 6.12 fs/proc/root.c proc_fill_super()).
    const BLOCK_SIZE: u32 = 1024;

    /// The attributes as the VFS has them.
    #[must_use]
    pub fn metadata(&self, kind: FileKind) -> Metadata {
        Metadata {
            ino: self.ino,
            kind,
            mode: u32::from(self.mode),
            nlink: self.nlink,
            uid: self.uid,
            gid: self.gid,
            size: self.size,
            blocks: 0,
            block_size: Self::BLOCK_SIZE,
            rdev: DeviceNumber::default(),
            atime: self.time,
            mtime: self.time,
            ctime: self.time,
            btime: None,
        }
    }
}

/// What every node has.
pub trait Node: Send + Sync + 'static {
    /// The attributes now.
    fn attributes(&self) -> Attributes;

    /// The attributes for stat(2).
    ///
    /// # Errors
    /// `ENOENT` where the node can no longer be asked.
    fn stat(&self) -> Result<Attributes, Errno> {
        Ok(self.attributes())
    }

    /// Whether the object behind it has gone.
    fn is_gone(&self) -> bool {
        false
    }

    /// Whether `cred` has all of `mask`; `kind` and the attributes say what mode bits allow.
    ///
    /// # Errors
    /// `EACCES`, or what the node's own gate says.
    fn permission(&self, kind: FileKind, cred: &Cred, mask: Access) -> Result<(), Errno> {
        permission::generic_permission(&self.attributes().metadata(kind), cred, mask)
    }

    /// chmod(2) is refused, all else is taken and has no effect (Linux 6.12 fs/proc/base.c proc_setattr()).
    ///
    /// # Errors
    /// `EPERM`.
    fn set_attr(&self, attr: &SetAttr) -> Result<(), Errno> {
        if attr.mode.is_some() { Err(Errno::EPERM) } else { Ok(()) }
    }

    /// The magic number of the file system (linux/magic.h).
    fn magic(&self) -> u32;
}

fn statfs(node: &impl Node) -> StatFs {
    // Linux 6.12 fs/libfs.c simple_statfs().
    StatFs { magic: node.magic(), block_size: 4096, name_max: 255, ..StatFs::default() }
}

/// The methods of `Inode` that the three kinds answer alike.
macro_rules! common_methods {
    ($kind:expr) => {
        fn kind(&self) -> FileKind {
            $kind
        }

        fn metadata(&self) -> Metadata {
            self.0.attributes().metadata($kind)
        }

        fn getattr(&self) -> Result<Metadata, Errno> {
            Ok(self.0.stat()?.metadata($kind))
        }

        fn permission(&self, cred: &Cred, mask: Access) -> Result<(), Errno> {
            self.0.permission($kind, cred, mask)
        }

        fn is_gone(&self) -> bool {
            self.0.is_gone()
        }

        fn set_attr(&self, attr: &SetAttr) -> Result<(), Errno> {
            self.0.set_attr(attr)
        }

        fn statfs(&self) -> Result<StatFs, Errno> {
            Ok(super::statfs(&self.0))
        }

        fn as_any(&self) -> &dyn Any {
            &self.0
        }
    };
}
use common_methods;
