//! The structures inside messages: qids, attributes, file-system statistics.

use alloc::vec::Vec;

use super::field::{Field, Reader, WireError};

/// Bits of [`Qid::kind`] (include/net/9p/9p.h, enum p9_qid_t).
pub mod qid_type {
    /// A directory.
    pub const DIR: u8 = 0x80;
    /// A symbolic link.
    pub const SYMLINK: u8 = 0x02;
    /// None of these: a file.
    pub const FILE: u8 = 0x00;
}

/// Linux's open flags as Tlopen carries them (include/net/9p/9p.h, enum p9_open_mode_t; equal to x86's O_*).
pub mod open_flags {
    /// Open for reading.
    pub const RDONLY: u32 = 0;
    /// Open for writing.
    pub const WRONLY: u32 = 1;
    /// Open for both.
    pub const RDWR: u32 = 2;
    /// The bits that hold one of the three above.
    pub const ACCMODE: u32 = 3;
    /// Cut the file to zero bytes.
    pub const TRUNC: u32 = 0o1000;
    /// Fail with `ENOTDIR` if the file is not a directory.
    pub const DIRECTORY: u32 = 0o200_000;
}

/// Bits of [`SetAttr::valid`] (include/net/9p/9p.h via fs/9p/vfs_inode_dotl.c, P9_ATTR_*).
pub mod setattr_valid {
    /// Change the mode.
    pub const MODE: u32 = 0x1;
    /// Change the owner.
    pub const UID: u32 = 0x2;
    /// Change the group.
    pub const GID: u32 = 0x4;
    /// Change the size.
    pub const SIZE: u32 = 0x8;
    /// Change the time of last access.
    pub const ATIME: u32 = 0x10;
    /// Change the time of last modification.
    pub const MTIME: u32 = 0x20;
}

/// The mask of Tgetattr and Rgetattr that stands for what stat(2) has (P9_STATS_BASIC).
pub const GETATTR_BASIC: u64 = 0x7ff;

/// The server's identity of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Qid {
    /// Bits of [`qid_type`].
    pub kind: u8,
    /// Changes when the file does; zero for files that are made when they are read.
    pub version: u32,
    /// Unique among the server's files: the inode number.
    pub path: u64,
}

impl Qid {
    /// Whether it is a directory's.
    #[must_use]
    pub const fn is_dir(self) -> bool {
        self.kind & qid_type::DIR != 0
    }

    /// Whether it is a symbolic link's.
    #[must_use]
    pub const fn is_symlink(self) -> bool {
        self.kind & qid_type::SYMLINK != 0
    }
}

/// The `d_type` of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FileKind {
    /// Not known.
    Unknown = 0,
    /// A FIFO.
    Fifo = 1,
    /// A character device.
    Char = 2,
    /// A directory.
    Dir = 4,
    /// A block device.
    Block = 6,
    /// A regular file.
    File = 8,
    /// A symbolic link.
    Symlink = 10,
    /// A socket.
    Socket = 12,
}

impl FileKind {
    /// The kind with the number `d_type`; [`Unknown`](Self::Unknown) for a number that Linux does not use.
    #[must_use]
    pub const fn from_d_type(d_type: u8) -> Self {
        match d_type {
            1 => Self::Fifo,
            2 => Self::Char,
            4 => Self::Dir,
            6 => Self::Block,
            8 => Self::File,
            10 => Self::Symlink,
            12 => Self::Socket,
            _ => Self::Unknown,
        }
    }
}

macro_rules! structure {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $ty,)*
        }

        impl<'a> Field<'a> for $name {
            fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
                Ok(Self { $($field: Field::get(from)?,)* })
            }

            fn put(&self, into: &mut Vec<u8>) {
                $(self.$field.put(into);)*
            }
        }
    };
}

impl<'a> Field<'a> for Qid {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        Ok(Self { kind: Field::get(from)?, version: Field::get(from)?, path: Field::get(from)? })
    }

    fn put(&self, into: &mut Vec<u8>) {
        self.kind.put(into);
        self.version.put(into);
        self.path.put(into);
    }
}

structure! {
    /// A point in time since 1970.
    Timestamp {
        /// Seconds.
        sec: u64,
        /// Nanoseconds.
        nsec: u64,
    }
}

structure! {
    /// What Rgetattr says of a file; field for field stat(2)'s.
    Attr {
        /// Which of the fields mean something: [`GETATTR_BASIC`].
        valid: u64,
        /// The file's identity.
        qid: Qid,
        /// Type and permission bits, as `st_mode`.
        mode: u32,
        /// The owner.
        uid: u32,
        /// The group.
        gid: u32,
        /// Number of links.
        nlink: u64,
        /// Device number of a device file.
        rdev: u64,
        /// Size in bytes; zero for nearly all of `/proc`.
        size: u64,
        /// Preferred I/O size in bytes.
        blksize: u64,
        /// Blocks of 512 bytes.
        blocks: u64,
        /// Last access.
        atime: Timestamp,
        /// Last modification.
        mtime: Timestamp,
        /// Last change of the inode.
        ctime: Timestamp,
        /// Creation.
        btime: Timestamp,
        /// Inode generation.
        generation: u64,
        /// Data version.
        data_version: u64,
    }
}

structure! {
    /// What Tsetattr asks to change.
    SetAttr {
        /// Bits of [`setattr_valid`].
        valid: u32,
        /// Permission bits.
        mode: u32,
        /// The owner.
        uid: u32,
        /// The group.
        gid: u32,
        /// Size in bytes.
        size: u64,
        /// Last access.
        atime: Timestamp,
        /// Last modification.
        mtime: Timestamp,
    }
}

structure! {
    /// What Rstatfs says of the file system, as statfs(2).
    Statfs {
        /// Magic number of the type; 0x9fa0 for proc.
        kind: u32,
        /// Block size in bytes.
        bsize: u32,
        /// Blocks in all.
        blocks: u64,
        /// Free blocks.
        bfree: u64,
        /// Free blocks for others than root.
        bavail: u64,
        /// Inodes in all.
        files: u64,
        /// Free inodes.
        ffree: u64,
        /// File-system id.
        fsid: u64,
        /// The longest name, in bytes.
        namelen: u32,
    }
}
