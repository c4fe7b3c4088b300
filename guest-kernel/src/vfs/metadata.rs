//! What an inode says about itself: kind, ownership, size, times; and the requests that change them.
//!
//! Owns plain data only. Numbers of users and groups are the kernel-wide ones; a user namespace converts them at the
//! system-call boundary.
//! Source: Linux 6.12 include/linux/stat.h, include/linux/kdev_t.h, include/linux/fs.h struct iattr.

use bitflags::bitflags;
use linux_raw_sys::general::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK};

use crate::cred::{KGid, KUid};

/// Set-user-ID on execution.
pub const S_ISUID: u32 = 0o4000;
/// Set-group-ID on execution; on a directory, new entries inherit its group.
pub const S_ISGID: u32 = 0o2000;
/// On a directory, only owners may remove or rename entries.
pub const S_ISVTX: u32 = 0o1000;
/// The bits of a mode that chmod(2) changes.
pub const S_IALLUGO: u32 = 0o7777;

/// The type of an inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A named or unnamed pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A directory.
    Directory,
    /// A block device.
    BlockDevice,
    /// A regular file.
    Regular,
    /// A symbolic link.
    Symlink,
    /// A socket.
    Socket,
    /// An object without a type in its mode, such as an epoll instance.
    Anonymous,
}

impl FileKind {
    /// The `S_IFMT` bits of `st_mode`.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Fifo => S_IFIFO,
            Self::CharDevice => S_IFCHR,
            Self::Directory => S_IFDIR,
            Self::BlockDevice => S_IFBLK,
            Self::Regular => S_IFREG,
            Self::Symlink => S_IFLNK,
            Self::Socket => S_IFSOCK,
            Self::Anonymous => 0,
        }
    }

    /// The kind that the `S_IFMT` bits of `mode` name, if they name one.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & S_IFMT {
            S_IFIFO => Self::Fifo,
            S_IFCHR => Self::CharDevice,
            S_IFDIR => Self::Directory,
            S_IFBLK => Self::BlockDevice,
            S_IFREG => Self::Regular,
            S_IFLNK => Self::Symlink,
            S_IFSOCK => Self::Socket,
            _ => return None,
        })
    }

    /// The `d_type` that getdents64(2) reports.
    #[must_use]
    pub const fn dirent_type(self) -> u8 {
        match self {
            Self::Fifo => 1,
            Self::CharDevice => 2,
            Self::Directory => 4,
            Self::BlockDevice => 6,
            Self::Regular => 8,
            Self::Symlink => 10,
            Self::Socket => 12,
            Self::Anonymous => 0,
        }
    }
}

/// A device's major (12 bits) and minor (20 bits) numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct DeviceNumber {
    /// The driver.
    pub major: u32,
    /// The device within the driver.
    pub minor: u32,
}

impl DeviceNumber {
    /// The number made of `major` and `minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// The form that stat(2) and mknod(2) use (new_encode_dev()).
    #[must_use]
    pub const fn encode(self) -> u32 {
        (self.minor & 0xff) | (self.major << 8) | ((self.minor & !0xff) << 12)
    }

    /// The number that the 32-bit `encoded` form of mknod(2) names (new_decode_dev()).
    #[must_use]
    pub const fn decode(encoded: u32) -> Self {
        Self { major: (encoded & 0xfff00) >> 8, minor: (encoded & 0xff) | ((encoded >> 12) & 0xfff00) }
    }
}

/// A point of wall-clock time, or a duration since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Timestamp {
    /// Whole seconds since 1970.
    pub secs: i64,
    /// Nanoseconds within the second, below 1 000 000 000.
    pub nanos: u32,
}

impl Timestamp {
    /// The present, by the wall clock.
    #[must_use]
    pub fn now() -> Self {
        Self::from_ns(crate::time::realtime_ns())
    }

    /// The time `ns` nanoseconds after 1970.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self { secs: (ns / 1_000_000_000).cast_signed(), nanos: (ns % 1_000_000_000) as u32 }
    }
}

/// What stat(2) reports of an inode, less what the file system as a whole knows.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// The inode's number within its file system.
    pub ino: u64,
    /// The type.
    pub kind: FileKind,
    /// The permission, set-ID and sticky bits (0o7777).
    pub mode: u32,
    /// The number of names.
    pub nlink: u32,
    /// The owner.
    pub uid: KUid,
    /// The group.
    pub gid: KGid,
    /// The size in bytes.
    pub size: u64,
    /// The space in use, in units of 512 bytes.
    pub blocks: u64,
    /// The preferred size of a transfer in bytes.
    pub block_size: u32,
    /// The device that a device node names; 0:0 otherwise.
    pub rdev: DeviceNumber,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the content.
    pub mtime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Creation, where the file system records it.
    pub btime: Option<Timestamp>,
}

impl Metadata {
    /// The whole `st_mode`.
    #[must_use]
    pub const fn st_mode(&self) -> u32 {
        self.kind.mode_bits() | self.mode
    }
}

bitflags! {
    /// Kinds of access to an inode.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Access: u32 {
        /// Execution of a file, search of a directory.
        const EXEC = 1;
        /// Write.
        const WRITE = 2;
        /// Read.
        const READ = 4;
    }
}

/// A change of attributes, already permitted: what is `None` stays as it is.
#[derive(Clone, Default, Debug)]
pub struct SetAttr {
    /// New permission bits (0o7777).
    pub mode: Option<u32>,
    /// New owner.
    pub uid: Option<KUid>,
    /// New group.
    pub gid: Option<KGid>,
    /// New size in bytes.
    pub size: Option<u64>,
    /// New access time.
    pub atime: Option<Timestamp>,
    /// New modification time.
    pub mtime: Option<Timestamp>,
}

/// What statfs(2) reports of a file system.
#[derive(Clone, Copy, Default, Debug)]
pub struct StatFs {
    /// The magic number of the type (linux/magic.h).
    pub magic: u32,
    /// The unit of the block counts, in bytes.
    pub block_size: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Inodes in all.
    pub files: u64,
    /// Free inodes.
    pub files_free: u64,
    /// The longest name of an entry, in bytes.
    pub name_max: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive_the_encoding_of_stat() {
        for (major, minor, encoded) in [(1, 3, 0x103), (5, 0, 0x500), (0, 25, 25), (8, 0x12345, 0x1230_0845)] {
            let number = DeviceNumber::new(major, minor);
            assert_eq!(number.encode(), encoded);
            assert_eq!(DeviceNumber::decode(encoded), number);
        }
    }

    #[test]
    fn kinds_match_their_mode_bits() {
        for kind in [FileKind::Fifo, FileKind::CharDevice, FileKind::Directory, FileKind::Regular, FileKind::Symlink] {
            assert_eq!(FileKind::from_mode(kind.mode_bits() | 0o644), Some(kind));
        }
        assert_eq!(FileKind::from_mode(0o644), None);
    }
}
