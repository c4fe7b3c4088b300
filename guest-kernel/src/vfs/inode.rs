//! The object behind a name: what every file system implements.
//!
//! Owns the trait and the default answers. The caller (lookup, namei) has checked permissions, name lengths and the kinds
//! of parent and child before it calls a method that changes a directory; an implementation checks only what it alone knows.
//! Invariant: `kind()` never changes in the life of an inode.
//! Source: Linux 6.12 Documentation/filesystems/vfs.rst, struct inode_operations.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use procfs_core::Errno;

use super::file::{FileOps, OpenFlags};
use super::hold::WriteCount;
use super::metadata::{Access, DeviceNumber, FileKind, Metadata, SetAttr, StatFs};
use super::{Path, permission};
use crate::cred::{Cred, KGid, KUid};

/// What following a symbolic link gives.
pub enum Link {
    /// Text to walk from the directory that holds the link.
    Text(Vec<u8>),
    /// An object to go to at once, whatever its name: a magic link, as /proc/PID/exe.
    Jump(Path),
}

/// How long a directory entry that was found once stays valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caching {
    /// Each walk asks `lookup` again.
    Never,
    /// While its inode is not `is_gone`; the names looked up last are kept.
    WhileAlive,
    /// Until it is removed through this kernel's calls.
    UntilRemoved,
}

/// Ownership and mode of an inode to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewInode {
    /// Permission bits, the umask already applied.
    pub mode: u32,
    /// The owner.
    pub uid: KUid,
    /// The group, unless a set-group-ID directory gives its own.
    pub gid: KGid,
}

/// An object of a file system.
pub trait Inode: Send + Sync + Any {
    /// The type; constant.
    fn kind(&self) -> FileKind;

    /// The attributes as the kernel uses them for decisions.
    fn metadata(&self) -> Metadata;

    /// The attributes as stat(2) reports them.
    ///
    /// # Errors
    /// What the file system's own checks say, such as `ENOENT` for a process that has gone.
    fn getattr(&self) -> Result<Metadata, Errno> {
        Ok(self.metadata())
    }

    /// Whether `cred` has all of `mask`.
    ///
    /// # Errors
    /// `EACCES`.
    fn permission(&self, cred: &Cred, mask: Access) -> Result<(), Errno> {
        permission::generic_permission(&self.metadata(), cred, mask)
    }

    /// The entry `name` (neither `.` nor `..`) of this directory.
    ///
    /// # Errors
    /// `ENOENT`, or the file system's own.
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let _ = name;
        Err(Errno::ENOENT)
    }

    /// How long an entry of this directory stays valid, once found.
    fn caching(&self) -> Caching {
        Caching::UntilRemoved
    }

    /// Whether a name that is not in this directory may be made; if not, `ENOENT` comes before any check of permissions.
    ///
    /// In Linux such a lookup fails instead of giving a negative dentry.
    fn takes_new_names(&self) -> bool {
        true
    }

    /// Who writes and executes it, where programs can be executed from.
    fn write_count(&self) -> Option<&WriteCount> {
        None
    }

    /// Whether the object has gone without an unlink(2), as the directory of a process that ended.
    fn is_gone(&self) -> bool {
        false
    }

    /// Makes a regular file.
    ///
    /// # Errors
    /// `EACCES` where the file system makes none (vfs_create()); `ENOSPC`, `ENOMEM`.
    fn create(&self, name: &[u8], new: &NewInode) -> Result<Arc<dyn Inode>, Errno> {
        let _ = (name, new);
        Err(Errno::EACCES)
    }

    /// Makes a directory.
    ///
    /// # Errors
    /// `EPERM` where the file system makes none.
    fn mkdir(&self, name: &[u8], new: &NewInode) -> Result<Arc<dyn Inode>, Errno> {
        let _ = (name, new);
        Err(Errno::EPERM)
    }

    /// Makes a symbolic link to `target`.
    ///
    /// # Errors
    /// `EPERM` where the file system makes none.
    fn symlink(&self, name: &[u8], target: &[u8], new: &NewInode) -> Result<Arc<dyn Inode>, Errno> {
        let _ = (name, target, new);
        Err(Errno::EPERM)
    }

    /// Makes a fifo, a socket or a device node.
    ///
    /// # Errors
    /// `EPERM` where the file system makes none.
    fn mknod(&self, name: &[u8], kind: FileKind, rdev: DeviceNumber, new: &NewInode) -> Result<Arc<dyn Inode>, Errno> {
        let _ = (name, kind, rdev, new);
        Err(Errno::EPERM)
    }

    /// Makes a regular file without a name (`O_TMPFILE`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the file system makes none.
    fn tmpfile(&self, new: &NewInode) -> Result<Arc<dyn Inode>, Errno> {
        let _ = new;
        Err(Errno::EOPNOTSUPP)
    }

    /// Gives `target`, an inode of the same file system and no directory, another name.
    ///
    /// # Errors
    /// `EPERM` where the file system has no hard links.
    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<(), Errno> {
        let _ = (name, target);
        Err(Errno::EPERM)
    }

    /// Removes the name of something that is no directory.
    ///
    /// # Errors
    /// `EPERM` where the file system removes nothing.
    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::EPERM)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// `ENOTEMPTY`; `EPERM` where the file system removes nothing.
    fn rmdir(&self, name: &[u8]) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::EPERM)
    }

    /// Moves `old_name` to `new_name` in `new_parent`, a directory of the same file system, replacing what is there.
    ///
    /// With `exchange` both exist and swap places.
    ///
    /// # Errors
    /// `ENOTEMPTY`; `EPERM` where the file system renames nothing.
    fn rename(
        &self,
        old_name: &[u8],
        new_parent: &Arc<dyn Inode>,
        new_name: &[u8],
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let _ = (old_name, new_parent, new_name, mode);
        Err(Errno::EPERM)
    }

    /// The text of a symbolic link, as readlink(2) gives it.
    ///
    /// # Errors
    /// `EINVAL` for what is no link; the file system's own (`EACCES`, `ENOENT`).
    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    /// Where a walk goes on from a symbolic link.
    ///
    /// # Errors
    /// As `read_link`.
    fn follow_link(&self) -> Result<Link, Errno> {
        self.read_link().map(Link::Text)
    }

    /// The text of a magic link as d_path() would give it relative to `root`; `None` where `read_link` says it all.
    ///
    /// # Errors
    /// As `read_link`.
    fn read_link_from(&self, root: &Path) -> Option<Result<Vec<u8>, Errno>> {
        let _ = root;
        None
    }

    /// Opens the object, found at `path`; permissions are checked.
    ///
    /// # Errors
    /// `ENXIO` where nothing can be opened; the file system's own.
    fn open(self: Arc<Self>, path: &Path, flags: OpenFlags, cred: &Arc<Cred>) -> Result<Box<dyn FileOps>, Errno> {
        let _ = (path, flags, cred);
        Err(Errno::ENXIO)
    }

    /// Applies `attr`, already permitted.
    ///
    /// # Errors
    /// `EPERM` where attributes cannot change; `EFBIG`, `ENOSPC`, `ENOMEM` for a size.
    fn set_attr(&self, attr: &SetAttr) -> Result<(), Errno> {
        let _ = attr;
        Err(Errno::EPERM)
    }

    /// Figures of the whole file system.
    ///
    /// # Errors
    /// `ENOSYS` where there are none.
    fn statfs(&self) -> Result<StatFs, Errno> {
        Err(Errno::ENOSYS)
    }

    /// The concrete type, for code of the same file system.
    fn as_any(&self) -> &dyn Any;
}

/// How rename(2) treats an entry at the new place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RenameMode {
    /// It is replaced.
    Replace,
    /// It takes the old place.
    Exchange,
}
