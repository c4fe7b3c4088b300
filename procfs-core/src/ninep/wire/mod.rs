//! The codec of 9P2000.L messages.
//!
//! Owns the layout of each message: `size[4] type[1] tag[2] body`, all little-endian. Knows nothing of sessions.
//! Invariants: decoding never panics, never allocates and borrows from the message; a message is accepted only if its
//! body is used up exactly; encoding writes a message whose size field is its length.
//! Sources: diod's protocol.md; Linux 6.12 include/net/9p/9p.h, net/9p/protocol.c p9pdu_vreadf().

mod dirent;
mod field;
mod framer;
pub(super) mod message;
mod types;

pub use dirent::{Dirent, Dirents, dirent_len, put_dirent};
pub use field::{Data, Datasync, Fid, MAX_WALK, Name, Text, WalkNames, WalkQids, WireError};
pub use framer::{FrameError, Framer};
pub use message::{Reply, Request};
pub use types::{Attr, FileKind, GETATTR_BASIC, Qid, SetAttr, Statfs, Timestamp, open_flags, qid_type, setattr_valid};

/// The version string of the one dialect spoken here.
pub const VERSION: &[u8] = b"9P2000.L";
/// The version string that refuses a dialect (version(5) of Plan 9).
pub const VERSION_UNKNOWN: &[u8] = b"unknown";
/// The tag of Tversion.
pub const NO_TAG: u16 = 0xffff;
/// The fid that stands for none, as in an attach without authentication.
pub const NO_FID: Fid = Fid(0xffff_ffff);
/// The `n_uname` that stands for none.
pub const NO_UID: u32 = 0xffff_ffff;
/// Bytes of `size[4] type[1] tag[2]`.
pub const HEADER_LEN: usize = 7;
/// Bytes that an Rread or Rreaddir has around its data.
pub const READ_OVERHEAD: usize = HEADER_LEN + 4;
/// Bytes that a Twrite has around its data.
pub const WRITE_OVERHEAD: usize = HEADER_LEN + 16;
/// The smallest message limit that a session is run with, in bytes.
pub const MIN_MSIZE: u32 = 4096;
/// The largest message limit that a session is run with, in bytes.
pub const MAX_MSIZE: u32 = 128 * 1024;

/// The type and the tag of `message`, without a look at its body; `None` if it is shorter than a header.
#[must_use]
pub fn peek(message: &[u8]) -> Option<(u8, u16)> {
    match *message {
        [_, _, _, _, kind, low, high, ..] => Some((kind, u16::from_le_bytes([low, high]))),
        _ => None,
    }
}

/// Overwrites the tag of an encoded message; does nothing to one shorter than a header.
pub fn set_tag(message: &mut [u8], tag: u16) {
    if let Some(field) = message.get_mut(5..HEADER_LEN) {
        field.copy_from_slice(&tag.to_le_bytes());
    }
}

#[cfg(test)]
mod tests;
