//! The initramfs archive: cpio "newc", laid out so that the guest can map file pages in place.
//!
//! Format: Linux 6.12 Documentation/driver-api/early-userspace/buffer-format.rst. Invariants kept here: the data of every regular file
//! that is not empty starts at a multiple of `PAGE` from the archive's start, and the bytes from its end to the next multiple are zero.
//! The start is reached by a name field with more NULs than one (a name ends at the first), the end by zeros between two entries;
//! Linux's unpacker takes both (6.12 init/initramfs.c: `do_name`, `do_reset`), a name field of more than `PATH_MAX` it would skip.
//! File bytes are never held here: the kernel copies them from file to file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::tree::{Attributes, Content, HostInode, Kind, Node, Tree};
use super::{Error, Packed};

/// The page size of the guest, in bytes.
pub const PAGE: u64 = 4096;
/// Linux's limit on a path with its NUL, in bytes (include/uapi/linux/limits.h).
const PATH_MAX: u64 = 4096;
const HEADER: u64 = 110;
const TRAILER: &[u8] = b"TRAILER!!!";
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const S_IFLNK: u32 = 0o120_000;

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Zeros(u64),
    Host { path: PathBuf, len: u64, identity: HostInode },
}

/// A part of an archive that is ready to be read.
#[derive(Debug)]
pub enum Part {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// The first `len` bytes of a file.
    File {
        /// The file, at its start.
        file: File,
        /// How many bytes of it.
        len: u64,
    },
}

/// An archive as the list of its pieces.
#[derive(Debug, Default)]
pub struct Archive {
    pieces: Vec<Piece>,
    len: u64,
    next_inode: u32,
}

/// What one header says beside the name.
struct Header {
    inode: u32,
    mode: u32,
    links: u32,
    size: u32,
    attributes: Attributes,
}

impl Archive {
    /// Lays out a tree: directories and symbolic links first, then the files.
    ///
    /// # Errors
    /// `Error::TooLarge` for a file of 4 GiB or more, `Error::NameTooLong` for a path that Linux would not unpack.
    pub fn from_tree(tree: &Tree) -> Result<Self, Error> {
        let mut archive = Self::default();
        let mut links: HashMap<HostInode, Vec<(&Path, &Node)>> = HashMap::new();
        for (path, node) in tree.iter() {
            match &node.kind {
                Kind::Directory => archive.small(path, S_IFDIR, 2, node.attributes, &[])?,
                Kind::Symlink(target) => archive.small(path, S_IFLNK, 1, node.attributes, target.as_bytes())?,
                Kind::File(Content::Host { identity, .. }) => links.entry(*identity).or_default().push((path, node)),
                Kind::File(Content::Bytes(_)) => {}
            }
        }
        for (path, node) in tree.iter() {
            match &node.kind {
                Kind::File(Content::Bytes(bytes)) => {
                    let inode = archive.take_inode();
                    archive.file(path, node.attributes, inode, 1, Piece::Bytes(bytes.clone()))?;
                }
                Kind::File(Content::Host { identity, .. }) => {
                    if let Some(names) = links.remove(identity) {
                        archive.linked(&names)?;
                    }
                }
                _ => {}
            }
        }
        let trailer = Header { inode: 0, mode: 0, links: 1, size: 0, attributes: Attributes::root(0) };
        archive.header(&trailer, TRAILER, TRAILER.len() as u64 + 1);
        archive.zeros_to(PAGE);
        Ok(archive)
    }

    /// The archive's length in bytes, a multiple of `PAGE`.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing in it, not even the trailer.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many host files the archive is made of.
    pub fn host_files(&self) -> usize {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Host { .. })).count()
    }

    /// The archive as bytes and open host files, to be read one after another straight to where they are wanted.
    ///
    /// # Errors
    /// `Error::Read` for a host file that cannot be opened, `Error::Changed` when one is not what it was when the tree was made.
    pub fn into_parts(self) -> Result<Vec<Part>, Error> {
        let mut parts: Vec<Part> = vec![];
        for piece in self.pieces {
            match (piece, parts.last_mut()) {
                (Piece::Bytes(bytes), Some(Part::Bytes(last))) => last.extend_from_slice(&bytes),
                (Piece::Bytes(bytes), _) => parts.push(Part::Bytes(bytes)),
                (Piece::Zeros(count), last) => {
                    let count = usize::try_from(count).expect("padding is less than two pages");
                    match last {
                        Some(Part::Bytes(last)) => last.resize(last.len() + count, 0),
                        _ => parts.push(Part::Bytes(vec![0; count])),
                    }
                }
                (Piece::Host { path, len, identity }, _) => {
                    parts.push(Part::File { file: open_host_file(&path, len, identity)?, len });
                }
            }
        }
        Ok(parts)
    }

    /// Writes the archive to the start of an empty file; zeros become holes.
    ///
    /// # Errors
    /// `Error::Read` for a host file that cannot be read, `Error::Changed` when one is not what it was when the tree was made,
    /// `Error::Write` when `out` takes no more.
    pub fn write_to(&self, out: &mut File, packed: &Packed) -> Result<(), Error> {
        out.set_len(self.len).map_err(Error::Write)?;
        for piece in &self.pieces {
            match piece {
                Piece::Bytes(bytes) => out.write_all(bytes).map_err(Error::Write)?,
                Piece::Zeros(count) => {
                    let count = i64::try_from(*count).expect("padding is less than two pages");
                    out.seek(SeekFrom::Current(count)).map_err(Error::Write)?;
                }
                Piece::Host { path, len, identity } => {
                    copy_host_file(path, *len, *identity, out)?;
                    packed.add(*len);
                }
            }
        }
        Ok(())
    }

    /// One file under all its names; newc has the bytes with the last of them.
    fn linked(&mut self, names: &[(&Path, &Node)]) -> Result<(), Error> {
        let inode = self.take_inode();
        let count = u32::try_from(names.len()).expect("a tree holds fewer than 2^32 names");
        let Some(((last, node), others)) = names.split_last() else { return Ok(()) };
        for (path, node) in others {
            let header = Header {
                inode,
                mode: S_IFREG | node.attributes.mode,
                links: count,
                size: 0,
                attributes: node.attributes,
            };
            let name = archive_name(path)?;
            self.header(&header, name, name.len() as u64 + 1);
        }
        let Kind::File(Content::Host { path, len, identity }) = &node.kind else { return Ok(()) };
        let piece = Piece::Host { path: path.clone(), len: *len, identity: *identity };
        self.file(last, node.attributes, inode, count, piece)
    }

    /// An entry whose body need not lie on a page.
    fn small(&mut self, path: &Path, kind: u32, links: u32, attributes: Attributes, body: &[u8]) -> Result<(), Error> {
        let inode = self.take_inode();
        let size = u32::try_from(body.len()).map_err(|_| Error::NameTooLong(path.to_owned()))?;
        let name = archive_name(path)?;
        self.header(
            &Header { inode, mode: kind | attributes.mode, links, size, attributes },
            name,
            name.len() as u64 + 1,
        );
        self.bytes(body);
        self.zeros_to(4);
        Ok(())
    }

    fn file(&mut self, path: &Path, attributes: Attributes, inode: u32, links: u32, body: Piece) -> Result<(), Error> {
        let len = match &body {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Zeros(len) | Piece::Host { len, .. } => *len,
        };
        let size = u32::try_from(len).map_err(|_| Error::TooLarge { path: path.to_owned(), len })?;
        let name = archive_name(path)?;
        let mut field = name.len() as u64 + 1;
        if len > 0 {
            field = padded_name_field(self.len, field);
            if field > PATH_MAX {
                // Too near the end of a page for this name: begin on the next one.
                self.zeros_to(PAGE);
                field = padded_name_field(self.len, name.len() as u64 + 1);
            }
        }
        self.header(&Header { inode, mode: S_IFREG | attributes.mode, links, size, attributes }, name, field);
        if len > 0 {
            debug_assert_eq!(self.len % PAGE, 0, "file data lies on a page");
            self.len += len;
            self.pieces.push(body);
            self.zeros_to(PAGE);
        }
        Ok(())
    }

    fn header(&mut self, header: &Header, name: &[u8], name_field: u64) {
        debug_assert_eq!(self.len % 4, 0, "headers lie on multiples of four");
        let Header { inode, mode, links, size, attributes: Attributes { uid, gid, mtime, .. } } = header;
        let text = format!(
            "070701{inode:08X}{mode:08X}{uid:08X}{gid:08X}{links:08X}{mtime:08X}{size:08X}\
             {zero:08X}{zero:08X}{zero:08X}{zero:08X}{name_field:08X}{zero:08X}",
            zero = 0
        );
        debug_assert_eq!(text.len() as u64, HEADER);
        self.bytes(text.as_bytes());
        self.bytes(name);
        self.zeros(name_field - name.len() as u64);
        self.zeros_to(4);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        match self.pieces.last_mut() {
            Some(Piece::Bytes(last)) => last.extend_from_slice(bytes),
            _ => self.pieces.push(Piece::Bytes(bytes.to_owned())),
        }
    }

    fn zeros(&mut self, count: u64) {
        match self.pieces.last_mut() {
            // A few zeros in the middle of headers are cheaper written than seeked over.
            Some(Piece::Bytes(last)) if count < 64 => last.extend(std::iter::repeat_n(0, count as usize)),
            _ if count > 0 => self.pieces.push(Piece::Zeros(count)),
            _ => {}
        }
        self.len += count;
    }

    fn zeros_to(&mut self, multiple: u64) {
        self.zeros(self.len.next_multiple_of(multiple) - self.len);
    }

    fn take_inode(&mut self) -> u32 {
        self.next_inode += 1;
        self.next_inode
    }
}

/// The least name field of at least `least` bytes that makes the data of an entry at `offset` start on a page.
fn padded_name_field(offset: u64, least: u64) -> u64 {
    let end = offset + HEADER + least;
    end.next_multiple_of(PAGE) - offset - HEADER
}

/// The name in the archive: without the leading slash, so that it unpacks below any directory.
fn archive_name(path: &Path) -> Result<&[u8], Error> {
    let name = path.as_os_str().as_bytes();
    let name = name.strip_prefix(b"/").unwrap_or(name);
    // A page less a header must hold name and NUL, so that some padding always puts the data on a page within PATH_MAX.
    if name.len() as u64 + 1 > PAGE - HEADER { Err(Error::NameTooLong(path.to_owned())) } else { Ok(name) }
}

fn open_host_file(path: &Path, len: u64, identity: HostInode) -> Result<File, Error> {
    use std::os::unix::fs::MetadataExt;
    let read_error = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read_error)?;
    let metadata = file.metadata().map_err(read_error)?;
    let same = (metadata.dev(), metadata.ino(), metadata.len()) == (identity.device, identity.inode, len);
    if same { Ok(file) } else { Err(Error::Changed(path.to_owned())) }
}

fn copy_host_file(path: &Path, len: u64, identity: HostInode, out: &mut File) -> Result<(), Error> {
    let read_error = |source| Error::Read { path: path.to_owned(), source };
    let mut file = open_host_file(path, len, identity)?;
    // `io::copy` between files has the kernel copy (copy_file_range, sendfile).
    let copied = io::copy(&mut (&mut file).take(len), out).map_err(read_error)?;
    if copied != len { Err(Error::Changed(path.to_owned())) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
