//! Symbolic links, of which some jump to an object instead of a path.
//!
//! Source: Linux 6.12 fs/proc/base.c proc_pid_link_inode_operations, fs/proc/self.c.

use alloc::vec::Vec;
use core::any::Any;

use procfs_core::Errno;

use super::{Node, common_methods};
use crate::cred::Cred;
use crate::vfs::{Access, FileKind, Inode, Link, Metadata, Path, SetAttr, StatFs};

/// What a symbolic link leads to.
pub trait SymlinkNode: Node {
    /// Where a walk goes on.
    ///
    /// # Errors
    /// `EACCES` where the walker may not see it, `ENOENT` where there is nothing.
    fn follow(&self) -> Result<Link, Errno>;

    /// The text for readlink(2) by somebody whose root directory is `root`; `None` for a link whose text needs no root.
    ///
    /// # Errors
    /// As `follow`.
    fn text_from(&self, root: &Path) -> Option<Result<Vec<u8>, Errno>> {
        let _ = root;
        None
    }
}

/// A symbolic link as an inode.
pub struct Symlink<T>(pub T);

impl<T: SymlinkNode> Inode for Symlink<T> {
    common_methods!(FileKind::Symlink);

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match self.0.follow()? {
            Link::Text(text) => Ok(text),
            Link::Jump(path) => Ok(crate::vfs::d_path(&path, &path.mount.root_path())),
        }
    }

    fn follow_link(&self) -> Result<Link, Errno> {
        self.0.follow()
    }

    fn read_link_from(&self, root: &Path) -> Option<Result<Vec<u8>, Errno>> {
        self.0.text_from(root)
    }
}
