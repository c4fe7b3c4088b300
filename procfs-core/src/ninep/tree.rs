//! What a [`Session`](super::Session) needs of the file system it serves.

use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::wire::{Attr, Dirent, Qid, SetAttr, Statfs};
use crate::Errno;

/// One directory entry on its way from a [`Tree`] to a client.
pub type DirEntry<'a> = Dirent<'a>;

/// A file system seen from one session.
///
/// No method may wait for what user space does: the session serves one request at a time, so a file that has nothing to
/// say yet answers `EAGAIN`. The session has checked what the protocol says of a call (fids, open modes, directory or not);
/// permissions and everything about content are the tree's.
pub trait Tree {
    /// A handle on a file that is not open: Linux's `struct path`.
    type Node: Clone;
    /// A file that is open: Linux's `struct file`; dropping it closes it. What seq_file keeps between reads lives here.
    type OpenFile;

    /// The root that a client sees, for the user it names (`n_uname` is `None` when it gives only a name).
    ///
    /// # Errors
    /// `ENOENT` for an `aname` that is not served, `EACCES` or `EPERM` for a user who may not attach.
    fn attach(&mut self, uname: &[u8], n_uname: Option<u32>, aname: &[u8]) -> Result<Self::Node, Errno>;

    /// The identity of `node`.
    fn qid(&self, node: &Self::Node) -> Qid;

    /// The file `name` in the directory `from`; `..` leads to its parent, and from the root to the root.
    ///
    /// # Errors
    /// As Linux's lookup: `ENOENT`, `ENOTDIR`, `EACCES`, `ENAMETOOLONG`.
    fn walk(&mut self, from: &Self::Node, name: &[u8]) -> Result<Self::Node, Errno>;

    /// The attributes of `node`, as lstat(2).
    ///
    /// # Errors
    /// As Linux's getattr of that file.
    fn getattr(&mut self, node: &Self::Node) -> Result<Attr, Errno>;

    /// Changes attributes of `node`, as chmod(2), chown(2), truncate(2) and utimensat(2) do.
    ///
    /// # Errors
    /// As Linux's setattr of that file; `EPERM` for most of `/proc`.
    fn setattr(&mut self, node: &Self::Node, attr: &SetAttr) -> Result<(), Errno>;

    /// Opens `node` with Linux's open flags.
    ///
    /// # Errors
    /// As Linux's open of that file; `ELOOP` for a symbolic link.
    fn open(&mut self, node: &Self::Node, flags: u32) -> Result<Self::OpenFile, Errno>;

    /// Reads at `offset` bytes into `buffer` as pread(2) and gives the count of bytes, 0 at the end.
    ///
    /// # Errors
    /// As Linux's read of that file.
    fn read(&mut self, file: &mut Self::OpenFile, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// Writes `data` at `offset` bytes as pwrite(2) and gives the count of bytes taken.
    ///
    /// # Errors
    /// As Linux's write of that file.
    fn write(&mut self, file: &mut Self::OpenFile, offset: u64, data: &[u8]) -> Result<usize, Errno>;

    /// Hands the entries from `offset` on to `emit` until it breaks or there are no more; `.` and `..` come first, as
    /// getdents64(2) has them. 0 is the start; another offset is the `next_offset` of an earlier entry. An entry on which
    /// `emit` breaks has not been taken.
    ///
    /// # Errors
    /// As Linux's getdents64 of that directory.
    fn readdir(
        &mut self,
        file: &mut Self::OpenFile,
        offset: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno>;

    /// Appends the target of the symbolic link `node` to `target`.
    ///
    /// # Errors
    /// `EINVAL` if it is not a link, else as Linux's readlink of that file.
    fn readlink(&mut self, node: &Self::Node, target: &mut Vec<u8>) -> Result<(), Errno>;

    /// Statistics of the file system of `node`.
    ///
    /// # Errors
    /// As Linux's statfs(2).
    fn statfs(&mut self, node: &Self::Node) -> Result<Statfs, Errno>;
}
