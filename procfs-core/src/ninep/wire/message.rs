//! The messages, as data: each line below is one message type, its number and its fields in wire order.

use alloc::vec::Vec;

use super::HEADER_LEN;
use super::field::{Data, Datasync, Fid, Field, Name, Reader, Text, WalkNames, WalkQids, WireError};
use super::types::{Attr, Qid, SetAttr, Statfs};
use crate::Errno;

macro_rules! messages {
    ($(#[$meta:meta])* $enum:ident<$life:lifetime> {
        $($(#[$message_meta:meta])* $name:ident = $number:literal { $($field:ident: $ty:ty),* },)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $enum<$life> {
            $(
                $(#[$message_meta])*
                $name {
                    $(#[doc = concat!("The field `", stringify!($field), "`.")] $field: $ty,)*
                },
            )*
        }

        impl<$life> $enum<$life> {
            /// The number of the message type.
            #[must_use]
            pub const fn kind(&self) -> u8 {
                match self {
                    $(Self::$name { .. } => $number,)*
                }
            }

            /// The tag and the content of one whole message.
            ///
            /// # Errors
            /// A [`WireError`] for bytes that are not exactly one message of this direction.
            pub fn decode(message: &$life [u8]) -> Result<(u16, Self), WireError> {
                let mut from = Reader(message);
                let stated = u32::get(&mut from)?;
                if usize::try_from(stated) != Ok(message.len()) {
                    return Err(WireError::Size { stated, actual: message.len() });
                }
                let kind = u8::get(&mut from)?;
                let tag = u16::get(&mut from)?;
                let decoded = match kind {
                    $($number => Self::$name { $($field: Field::get(&mut from)?,)* },)*
                    other => return Err(WireError::Type(other)),
                };
                from.finish()?;
                Ok((tag, decoded))
            }

            /// Appends the message to `into`; its bytes are what `into` grew by.
            pub fn encode(&self, tag: u16, into: &mut Vec<u8>) {
                let start = into.len();
                into.extend_from_slice(&[0; 4]);
                self.kind().put(into);
                tag.put(into);
                match self {
                    $(Self::$name { $($field),* } => { $($field.put(into);)* })*
                }
                finish(into, start);
            }

            /// The same message with each fid in it replaced by what `map` gives.
            ///
            /// # Errors
            /// The first error of `map`.
            pub fn map_fids<E>(self, map: &mut dyn FnMut(Fid) -> Result<Fid, E>) -> Result<Self, E> {
                // A message without fields uses neither.
                let _ = &map;
                Ok(match self {
                    $(Self::$name { $($field),* } => Self::$name { $($field: $field.map_fids(map)?,)* },)*
                })
            }
        }
    };
}

/// Sets the size field of the message that starts at `start` of `into` and ends with it.
pub(in crate::ninep) fn finish(into: &mut [u8], start: usize) {
    let size = u32::try_from(into.len() - start).unwrap_or(u32::MAX);
    into[start..start + 4].copy_from_slice(&size.to_le_bytes());
}

messages! {
    /// What a client asks: a T-message.
    #[expect(clippy::large_enum_variant, reason = "lives on the stack for one request; boxing names would allocate")]
    Request<'a> {
        /// Statistics of the file system.
        Statfs = 8 { fid: Fid },
        /// Open a walked fid with Linux's flags.
        Lopen = 12 { fid: Fid, flags: u32 },
        /// Create and open a file; `fid` then stands for it.
        Lcreate = 14 { fid: Fid, name: Name<'a>, flags: u32, mode: u32, gid: u32 },
        /// Create a symbolic link.
        Symlink = 16 { fid: Fid, name: Name<'a>, target: Text<'a>, gid: u32 },
        /// Create a device file.
        Mknod = 18 { fid: Fid, name: Name<'a>, mode: u32, major: u32, minor: u32, gid: u32 },
        /// Rename a file.
        Rename = 20 { fid: Fid, new_dir: Fid, name: Name<'a> },
        /// Read a symbolic link.
        Readlink = 22 { fid: Fid },
        /// Attributes of a file.
        Getattr = 24 { fid: Fid, mask: u64 },
        /// Change attributes.
        Setattr = 26 { fid: Fid, attr: SetAttr },
        /// Make `newfid` stand for an extended attribute, or for their list.
        Xattrwalk = 30 { fid: Fid, newfid: Fid, name: Text<'a> },
        /// Prepare to write an extended attribute.
        Xattrcreate = 32 { fid: Fid, name: Text<'a>, attr_size: u64, flags: u32 },
        /// Entries of an opened directory from an offset.
        Readdir = 40 { fid: Fid, offset: u64, count: u32 },
        /// Write a file's changes to storage.
        Fsync = 50 { fid: Fid, datasync: Datasync },
        /// Take a lock.
        Lock = 52 { fid: Fid, lock: u8, flags: u32, start: u64, length: u64, proc_id: u32, client_id: Text<'a> },
        /// Look for a lock.
        Getlock = 54 { fid: Fid, lock: u8, start: u64, length: u64, proc_id: u32, client_id: Text<'a> },
        /// Create a hard link.
        Link = 70 { dir: Fid, fid: Fid, name: Name<'a> },
        /// Create a directory.
        Mkdir = 72 { fid: Fid, name: Name<'a>, mode: u32, gid: u32 },
        /// Rename by directory and name.
        Renameat = 74 { old_dir: Fid, old_name: Name<'a>, new_dir: Fid, new_name: Name<'a> },
        /// Remove by directory and name.
        Unlinkat = 76 { dir: Fid, name: Name<'a>, flags: u32 },
        /// Agree on message size and dialect; ends what the session had before.
        Version = 100 { msize: u32, version: Text<'a> },
        /// Open a fid to authenticate with.
        Auth = 102 { afid: Fid, uname: Text<'a>, aname: Text<'a>, n_uname: u32 },
        /// Make `fid` stand for the root.
        Attach = 104 { fid: Fid, afid: Fid, uname: Text<'a>, aname: Text<'a>, n_uname: u32 },
        /// Forget the request with tag `oldtag`.
        Flush = 108 { oldtag: u16 },
        /// Make `newfid` stand for what is reached from `fid` by names.
        Walk = 110 { fid: Fid, newfid: Fid, names: WalkNames<'a> },
        /// Read bytes of an opened file.
        Read = 116 { fid: Fid, offset: u64, count: u32 },
        /// Write bytes of an opened file.
        Write = 118 { fid: Fid, offset: u64, data: Data<'a> },
        /// Forget a fid.
        Clunk = 120 { fid: Fid },
        /// Remove a file and forget its fid.
        Remove = 122 { fid: Fid },
    }
}

messages! {
    /// What a server answers: an R-message.
    Reply<'a> {
        /// The request failed with a Linux errno.
        Lerror = 7 { errno: u32 },
        /// Answers Tstatfs.
        Statfs = 9 { statfs: Statfs },
        /// Answers Tlopen.
        Lopen = 13 { qid: Qid, iounit: u32 },
        /// Answers Tlcreate.
        Lcreate = 15 { qid: Qid, iounit: u32 },
        /// Answers Tsymlink.
        Symlink = 17 { qid: Qid },
        /// Answers Tmknod.
        Mknod = 19 { qid: Qid },
        /// Answers Trename.
        Rename = 21 {},
        /// Answers Treadlink.
        Readlink = 23 { target: Text<'a> },
        /// Answers Tgetattr.
        Getattr = 25 { attr: Attr },
        /// Answers Tsetattr.
        Setattr = 27 {},
        /// Answers Txattrwalk.
        Xattrwalk = 31 { size: u64 },
        /// Answers Txattrcreate.
        Xattrcreate = 33 {},
        /// Answers Treaddir; see [`Dirents`](super::Dirents).
        Readdir = 41 { data: Data<'a> },
        /// Answers Tfsync.
        Fsync = 51 {},
        /// Answers Tlock.
        Lock = 53 { status: u8 },
        /// Answers Tgetlock.
        Getlock = 55 { lock: u8, start: u64, length: u64, proc_id: u32, client_id: Text<'a> },
        /// Answers Tlink.
        Link = 71 {},
        /// Answers Tmkdir.
        Mkdir = 73 { qid: Qid },
        /// Answers Trenameat.
        Renameat = 75 {},
        /// Answers Tunlinkat.
        Unlinkat = 77 {},
        /// Answers Tversion.
        Version = 101 { msize: u32, version: Text<'a> },
        /// Answers Tauth.
        Auth = 103 { qid: Qid },
        /// Answers Tattach.
        Attach = 105 { qid: Qid },
        /// Answers Tflush.
        Flush = 109 {},
        /// Answers Twalk.
        Walk = 111 { qids: WalkQids },
        /// Answers Tread.
        Read = 117 { data: Data<'a> },
        /// Answers Twrite.
        Write = 119 { count: u32 },
        /// Answers Tclunk.
        Clunk = 121 {},
        /// Answers Tremove.
        Remove = 123 {},
    }
}

impl Request<'_> {
    /// The number of the reply that answers this request when it succeeds.
    #[must_use]
    pub const fn reply_kind(&self) -> u8 {
        self.kind() + 1
    }

    /// The most bytes, header included, that a correct reply to this request can have.
    ///
    /// What lets a client refuse, and a multiplexer bound, what an untrusted server sends.
    #[must_use]
    pub fn reply_limit(&self) -> usize {
        /// Longer than each reply without text or data: Rwalk of 16 qids has 217 bytes, Rgetattr 160.
        const FIXED: usize = 256;
        match self {
            Self::Read { count, .. } | Self::Readdir { count, .. } => {
                FIXED.max(usize::try_from(*count).unwrap_or(usize::MAX).saturating_add(super::READ_OVERHEAD))
            }
            // PATH_MAX for a link's target; a lock's client id comes back as it was sent.
            Self::Readlink { .. } => HEADER_LEN + 2 + 4096,
            Self::Getlock { client_id, .. } => FIXED + client_id.len(),
            _ => FIXED,
        }
    }
}

impl Reply<'_> {
    /// The reply that reports `errno`.
    #[must_use]
    pub const fn error(errno: Errno) -> Self {
        Self::Lerror { errno: errno.raw() as u32 }
    }
}
