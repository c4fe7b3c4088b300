//! The entries inside an Rreaddir: `qid[13] offset[8] type[1] name[s]`, one after the other.

use alloc::vec::Vec;

use super::field::{Field, Name, Reader, Text, WireError};
use super::types::{FileKind, Qid};

/// One entry of a directory as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dirent<'a> {
    /// The file's identity.
    pub qid: Qid,
    /// The offset at which a later Treaddir goes on after this entry.
    pub next_offset: u64,
    /// What kind of file it is.
    pub kind: FileKind,
    /// Its name.
    pub name: Name<'a>,
}

/// Bytes that an entry with a name of `name_len` bytes takes.
#[must_use]
pub const fn dirent_len(name_len: usize) -> usize {
    13 + 8 + 1 + 2 + name_len
}

/// Appends `entry` to `into`.
pub fn put_dirent(entry: &Dirent<'_>, into: &mut Vec<u8>) {
    entry.qid.put(into);
    entry.next_offset.put(into);
    (entry.kind as u8).put(into);
    entry.name.put(into);
}

/// The entries in the data of an Rreaddir; ends after the first that is malformed.
#[derive(Debug, Clone)]
pub struct Dirents<'a> {
    rest: &'a [u8],
}

impl<'a> Dirents<'a> {
    /// The entries in `data`.
    #[must_use]
    pub const fn new(data: &'a [u8]) -> Self {
        Self { rest: data }
    }
}

fn entry<'a>(from: &mut Reader<'a>) -> Result<Dirent<'a>, WireError> {
    Ok(Dirent {
        qid: Field::get(from)?,
        next_offset: Field::get(from)?,
        kind: FileKind::from_d_type(u8::get(from)?),
        name: Text::get(from)?,
    })
}

impl<'a> Iterator for Dirents<'a> {
    type Item = Result<Dirent<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut reader = Reader(self.rest);
        let entry = entry(&mut reader);
        self.rest = if entry.is_ok() { reader.0 } else { &[] };
        Some(entry)
    }
}
