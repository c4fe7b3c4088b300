//! The virtual file system: names, inodes, open files, mounts, and the walk from one to another.
//!
//! Owns the traits that file systems implement (`Inode`, `FileOps`) and everything generic above them. Knows no concrete
//! file system but the ones registered at boot, no descriptors (`fd`), no tasks.
//! Nothing in here blocks except opening a fifo; no lock is held then.
//! Source: Linux 6.12 Documentation/filesystems/vfs.rst, fs/namei.c, fs/open.c, fs/namespace.c.

mod dentry;
mod device;
mod file;
mod filesystems;
mod hold;
mod inode;
mod lookup;
mod metadata;
mod mount;
mod mount_ns;
pub mod mount_tree;
mod namei;
mod open;
mod path;
pub mod permission;
mod propagation;
pub(crate) mod rank;
mod super_block;
#[cfg(test)]
pub(crate) mod test_tree;
#[cfg(test)]
mod tests;

pub use dentry::Dentry;
pub use device::{DeviceOpener, DeviceTable};
pub use file::{
    DirEntry, File, FileFeatures, FileOps, MAX_FILE_SIZE, OpenFlags, PathOnly, PollEvents, Whence, seek_by_size,
};
pub use filesystems::Vfs;
pub use hold::{Hold, WriteCount};
pub use inode::{Caching, Inode, Link, NewInode, RenameMode};
pub use lookup::{LookupContext, LookupFlags, NAME_MAX, PATH_MAX, Parent};
pub use metadata::{
    Access, DeviceNumber, FileKind, Metadata, S_IALLUGO, S_ISGID, S_ISUID, S_ISVTX, SetAttr, StatFs, Timestamp,
};
pub use mount::{Mount, MountFlags, MountWriter, top_of};
pub use mount_ns::MountNs;
pub use path::{Path, d_path};
pub use propagation::{Propagation, SpreadNumbers};
pub use super_block::{
    FixedOptions, FsType, FsTypeFlags, MountFn, MountRequest, NewSuper, SuperBlock, SuperFlags, SuperOptions,
    SuperState,
};
