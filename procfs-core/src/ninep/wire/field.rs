//! The fields that messages are made of, and the checked reader below them.

use alloc::vec::Vec;
use core::fmt;

use super::types::Qid;

/// The most names in one Twalk (walk(5) of Plan 9: MAXWELEM).
pub const MAX_WALK: usize = 16;

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// A field reaches past the end of the message.
    Truncated,
    /// The body goes on for this many bytes after its last field.
    Trailing(usize),
    /// The size field is not the length of the message.
    Size {
        /// What the size field says, in bytes.
        stated: u32,
        /// The length of the message in bytes.
        actual: usize,
    },
    /// A message type that is unknown, or that goes the other way.
    Type(u8),
    /// More names or qids than a walk can have.
    WalkTooLong(u16),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated => f.write_str("a field reaches past the end of the 9P message"),
            Self::Trailing(bytes) => write!(f, "{bytes} bytes follow the last field of the 9P message"),
            Self::Size { stated, actual } => write!(f, "the 9P message says {stated} bytes and has {actual}"),
            Self::Type(kind) => write!(f, "unexpected 9P message type {kind}"),
            Self::WalkTooLong(count) => write!(f, "a 9P walk of {count} names"),
        }
    }
}

impl core::error::Error for WireError {}

/// A client's number for a file of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fid(pub u32);

/// A string field: Linux names are bytes, so they stay bytes. At most 65,535 of them are encoded.
pub type Text<'a> = &'a [u8];
/// One file name.
pub type Name<'a> = &'a [u8];

/// A `count[4] data[count]` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data<'a>(pub &'a [u8]);

/// The `datasync[4]` that Linux sends with Tfsync and protocol.md leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datasync(pub Option<u32>);

/// The names of a Twalk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WalkNames<'a> {
    names: [Name<'a>; MAX_WALK],
    len: usize,
}

impl<'a> WalkNames<'a> {
    /// The list of `names`, or `None` if there are more than [`MAX_WALK`].
    #[must_use]
    pub fn new(names: &[Name<'a>]) -> Option<Self> {
        let mut list = Self { names: [&[]; MAX_WALK], len: names.len() };
        list.names.get_mut(..names.len())?.copy_from_slice(names);
        Some(list)
    }

    /// The names in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Name<'a>] {
        &self.names[..self.len]
    }
}

impl fmt::Debug for WalkNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// The qids of an Rwalk, one for each name that was walked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WalkQids {
    qids: [Qid; MAX_WALK],
    len: usize,
}

impl WalkQids {
    /// The list of `qids`, or `None` if there are more than [`MAX_WALK`].
    #[must_use]
    pub fn new(qids: &[Qid]) -> Option<Self> {
        let mut list = Self { qids: [Qid::default(); MAX_WALK], len: qids.len() };
        list.qids.get_mut(..qids.len())?.copy_from_slice(qids);
        Some(list)
    }

    /// The qids in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Qid] {
        &self.qids[..self.len]
    }
}

impl fmt::Debug for WalkQids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// What is left of a message's body.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(WireError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn finish(self) -> Result<(), WireError> {
        if self.0.is_empty() { Ok(()) } else { Err(WireError::Trailing(self.0.len())) }
    }
}

/// A type that can stand in a message.
pub(super) trait Field<'a>: Sized {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError>;
    fn put(&self, into: &mut Vec<u8>);

    /// The same field with each fid in it replaced.
    fn map_fids<E>(self, _map: &mut dyn FnMut(Fid) -> Result<Fid, E>) -> Result<Self, E> {
        Ok(self)
    }
}

macro_rules! integer_fields {
    ($($integer:ty),*) => {$(
        impl<'a> Field<'a> for $integer {
            fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
                let (bytes, rest) = from.0.split_first_chunk().ok_or(WireError::Truncated)?;
                from.0 = rest;
                Ok(<$integer>::from_le_bytes(*bytes))
            }

            fn put(&self, into: &mut Vec<u8>) {
                into.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

integer_fields!(u8, u16, u32, u64);

impl<'a> Field<'a> for Fid {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        u32::get(from).map(Fid)
    }

    fn put(&self, into: &mut Vec<u8>) {
        self.0.put(into);
    }

    fn map_fids<E>(self, map: &mut dyn FnMut(Fid) -> Result<Fid, E>) -> Result<Self, E> {
        map(self)
    }
}

impl<'a> Field<'a> for Text<'a> {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let len = u16::get(from)?;
        from.take(usize::from(len))
    }

    fn put(&self, into: &mut Vec<u8>) {
        let len = u16::try_from(self.len()).unwrap_or(u16::MAX);
        len.put(into);
        into.extend_from_slice(&self[..usize::from(len)]);
    }
}

impl<'a> Field<'a> for Data<'a> {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let len = usize::try_from(u32::get(from)?).map_err(|_| WireError::Truncated)?;
        from.take(len).map(Data)
    }

    fn put(&self, into: &mut Vec<u8>) {
        let len = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        len.put(into);
        into.extend_from_slice(&self.0[..len as usize]);
    }
}

impl<'a> Field<'a> for Datasync {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        if from.0.is_empty() { Ok(Self(None)) } else { u32::get(from).map(|value| Self(Some(value))) }
    }

    fn put(&self, into: &mut Vec<u8>) {
        if let Some(value) = self.0 {
            value.put(into);
        }
    }
}

impl<'a> Field<'a> for WalkNames<'a> {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let count = u16::get(from)?;
        let mut list = Self { names: [&[]; MAX_WALK], len: usize::from(count) };
        for name in list.names.get_mut(..usize::from(count)).ok_or(WireError::WalkTooLong(count))? {
            *name = Text::get(from)?;
        }
        Ok(list)
    }

    fn put(&self, into: &mut Vec<u8>) {
        (self.len as u16).put(into);
        for name in self.as_slice() {
            name.put(into);
        }
    }
}

impl<'a> Field<'a> for WalkQids {
    fn get(from: &mut Reader<'a>) -> Result<Self, WireError> {
        let count = u16::get(from)?;
        let mut list = Self { qids: [Qid::default(); MAX_WALK], len: usize::from(count) };
        for qid in list.qids.get_mut(..usize::from(count)).ok_or(WireError::WalkTooLong(count))? {
            *qid = Qid::get(from)?;
        }
        Ok(list)
    }

    fn put(&self, into: &mut Vec<u8>) {
        (self.len as u16).put(into);
        for qid in self.as_slice() {
            qid.put(into);
        }
    }
}
