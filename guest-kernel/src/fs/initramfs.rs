//! Unpacks the initramfs, a cpio archive in the "new" format, into the root file system.
//!
//! Owns the reading of the format. The archive comes from outside: every number in it is checked against its length, and a
//! name can lead nowhere but below the root. File data is not copied; tmpfs keeps pointing into the archive, which must
//! stay in RAM.
//! As Linux does, an entry that cannot be made (its directory is missing, say) is left out and unpacking goes on.
//! Source: Linux 6.12 init/initramfs.c, Documentation/driver-api/early-userspace/buffer-format.rst.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use hashbrown::HashMap;
use procfs_core::Errno;

use super::tmpfs::{self, Archive, Origin};
use crate::cred::{KGid, KUid};
use crate::vfs::{
    DeviceNumber, FileKind, LookupContext, LookupFlags, NewInode, PATH_MAX, Path, S_IALLUGO, SetAttr, Timestamp,
};

const HEADER_LEN: u64 = 110;
const MAGIC: &[u8] = b"070701";
const MAGIC_WITH_CHECKSUM: &[u8] = b"070702";
const TRAILER: &[u8] = b"TRAILER!!!";

/// Why an archive could not be read to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed {
    /// Where in the archive, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub reason: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "initramfs: {} at byte {}", self.reason, self.offset)
    }
}

/// What unpacking did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unpacked {
    /// Entries made.
    pub entries: u64,
    /// Entries left out because they could not be made.
    pub skipped: u64,
}

struct Header {
    ino: u32,
    mode: u32,
    uid: u32,
    gid: u32,
    nlink: u32,
    mtime: u32,
    body_len: u64,
    dev: (u32, u32),
    rdev: DeviceNumber,
    name_len: u64,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"\xfd7zXZ") || bytes.starts_with(b"\x28\xb5\x2f\xfd") {
            return Err("the archive is compressed");
        }
        if bytes.starts_with(b"070707") {
            return Err("incorrect cpio method used: use -H newc option");
        }
        if !bytes.starts_with(MAGIC) && !bytes.starts_with(MAGIC_WITH_CHECKSUM) {
            return Err("no cpio magic");
        }
        let mut fields = [0_u32; 13];
        for (field, digits) in fields.iter_mut().zip(bytes[MAGIC.len()..].chunks_exact(8)) {
            *field = hex(digits).ok_or("a header field is no hexadecimal number")?;
        }
        let [ino, mode, uid, gid, nlink, mtime, body_len, major, minor, rmajor, rminor, name_len, _] = fields;
        Ok(Self {
            ino,
            mode,
            uid,
            gid,
            nlink,
            mtime,
            body_len: u64::from(body_len),
            dev: (major, minor),
            rdev: DeviceNumber::new(rmajor & 0xfff, rminor & 0xf_ffff),
            name_len: u64::from(name_len),
        })
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |value, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(value << 4 | digit)
    })
}

/// Unpacks `archive` (several may follow each other, zeros between) at the root of `context`.
///
/// # Errors
/// What is malformed, and where; what came before is unpacked then.
pub fn unpack(archive: Archive, context: &LookupContext) -> Result<Unpacked, Malformed> {
    let mut unpacker = Unpacker { archive, context, links: HashMap::new(), dir_times: Vec::new() };
    let mut unpacked = Unpacked::default();
    let mut at = 0;
    let result = loop {
        match unpacker.next(at) {
            Ok(Some((end, made))) => {
                at = end;
                match made {
                    Some(Ok(())) => unpacked.entries += 1,
                    Some(Err(_)) => unpacked.skipped += 1,
                    None => {}
                }
            }
            Ok(None) => break Ok(()),
            Err(malformed) => break Err(malformed),
        }
    };
    // Making entries in a directory changed its time, so those come last.
    for (path, mtime) in unpacker.dir_times.drain(..) {
        let _ = set_time(context, &path, mtime);
    }
    result.map(|()| unpacked)
}

fn set_time(context: &LookupContext, path: &Path, mtime: u32) -> Result<(), Errno> {
    let time = Timestamp { secs: i64::from(mtime), nanos: 0 };
    context.set_attr(path, &SetAttr { atime: Some(time), mtime: Some(time), ..SetAttr::default() })
}

struct Unpacker<'a> {
    archive: Archive,
    context: &'a LookupContext,
    /// Files with several names that have been made, by device and inode number in the archive.
    links: HashMap<(u32, u32, u32), Path>,
    dir_times: Vec<(Path, u32)>,
}

type Made = Option<Result<(), Errno>>;

impl Unpacker<'_> {
    /// Takes the entry at `at`: where the next one starts, and what became of this one.
    fn next(&mut self, at: u64) -> Result<Option<(u64, Made)>, Malformed> {
        let Some(at) = self.skip_zeros(at) else { return Ok(None) };
        let fail = |reason| Malformed { offset: at, reason };
        if at % 4 != 0 {
            return Err(fail("broken padding"));
        }
        let mut bytes = [0; HEADER_LEN as usize];
        let known = usize::try_from(self.archive.len() - at).unwrap_or(usize::MAX).min(bytes.len());
        if !self.archive.read_at(at, &mut bytes[..known]) {
            return Err(fail("the archive is not in RAM"));
        }
        let header = Header::parse(&bytes).map_err(fail)?;
        if known < bytes.len() {
            return Err(fail("a header is cut off"));
        }
        // All three sums stay far below 2^64: the fields have 32 bits and `at` is within the archive.
        let body = (at + HEADER_LEN + header.name_len).next_multiple_of(4);
        let end = body + header.body_len;
        if end > self.archive.len() {
            return Err(fail("an entry reaches past the end of the archive"));
        }
        let next = end.next_multiple_of(4);
        if header.name_len == 0 || header.name_len > PATH_MAX as u64 {
            return Ok(Some((next, Some(Err(Errno::ENAMETOOLONG)))));
        }
        let mut name = vec![0; header.name_len as usize];
        if !self.archive.read_at(at + HEADER_LEN, &mut name) {
            return Err(fail("the archive is not in RAM"));
        }
        if name.last() != Some(&0) {
            return Err(fail("a name without its NUL"));
        }
        name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(0));
        if name == TRAILER {
            self.links.clear();
            return Ok(Some((next, None)));
        }
        let made = self.make(&header, &name, body);
        Ok(Some((next, Some(made))))
    }

    fn skip_zeros(&self, mut at: u64) -> Option<u64> {
        let mut chunk = [0; 512];
        while at < self.archive.len() {
            let count = usize::try_from(self.archive.len() - at).unwrap_or(usize::MAX).min(chunk.len());
            if !self.archive.read_at(at, &mut chunk[..count]) {
                return None;
            }
            match chunk[..count].iter().position(|&byte| byte != 0) {
                Some(zeros) => return Some(at + zeros as u64),
                None => at += count as u64,
            }
        }
        None
    }

    fn make(&mut self, header: &Header, name: &[u8], body: u64) -> Result<(), Errno> {
        let kind = FileKind::from_mode(header.mode).ok_or(Errno::EINVAL)?;
        self.remove_other_kind(name, kind);
        let mode = header.mode & S_IALLUGO;
        match kind {
            FileKind::Directory => match self.context.mkdir(name, mode) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            },
            FileKind::Regular => self.make_regular(header, name, body)?,
            FileKind::Symlink => {
                if header.body_len > PATH_MAX as u64 {
                    return Err(Errno::ENAMETOOLONG);
                }
                let mut target = vec![0; header.body_len as usize];
                if !self.archive.read_at(body, &mut target) {
                    return Err(Errno::EIO);
                }
                self.context.symlink(&target, name)?;
            }
            FileKind::Fifo | FileKind::Socket | FileKind::CharDevice | FileKind::BlockDevice => {
                if !self.link_to_first(header, name)? {
                    self.context.mknod(name, kind, mode, header.rdev)?;
                }
            }
            FileKind::Anonymous => return Err(Errno::EINVAL),
        }
        let path = self.context.lookup(name, LookupFlags::empty())?;
        let set_mode = (kind != FileKind::Symlink).then_some(mode);
        let owner =
            SetAttr { uid: Some(KUid(header.uid)), gid: Some(KGid(header.gid)), mode: set_mode, ..SetAttr::default() };
        self.context.set_attr(&path, &owner)?;
        if kind == FileKind::Directory {
            self.dir_times.push((path, header.mtime));
            return Ok(());
        }
        set_time(self.context, &path, header.mtime)?;
        if header.nlink >= 2 && kind != FileKind::Symlink {
            self.links.entry((header.dev.0, header.dev.1, header.ino)).or_insert(path);
        }
        Ok(())
    }

    fn make_regular(&mut self, header: &Header, name: &[u8], body: u64) -> Result<(), Errno> {
        let origin = Origin::new(self.archive, body, header.body_len).filter(|_| header.body_len > 0);
        let is_link = self.link_to_first(header, name)?;
        if !is_link && self.context.lookup(name, LookupFlags::empty()).is_err() {
            let parent = self.context.lookup_parent(name)?;
            let file = parent.name().filter(|_| !parent.trailing_slash).ok_or(Errno::EISDIR)?;
            let new = NewInode { mode: header.mode & S_IALLUGO, uid: KUid(header.uid), gid: KGid(header.gid) };
            return tmpfs::create_from(parent.dir.inode(), file, &new, origin).map(drop);
        }
        // Of a file's several names only the last entry carries the data.
        if is_link && origin.is_none() {
            return Ok(());
        }
        let path = self.context.lookup(name, LookupFlags::empty())?;
        tmpfs::replace_content(path.inode(), origin)
    }

    /// Names the file that an earlier entry made, if this entry is another name of it.
    fn link_to_first(&self, header: &Header, name: &[u8]) -> Result<bool, Errno> {
        if header.nlink < 2 {
            return Ok(false);
        }
        let Some(first) = self.links.get(&(header.dev.0, header.dev.1, header.ino)) else { return Ok(false) };
        if let Ok(present) = self.context.lookup(name, LookupFlags::empty()) {
            if present.is_same(first) {
                return Ok(true);
            }
            self.context.unlink(name)?;
        }
        self.context.link(first, name)?;
        Ok(true)
    }

    /// Removes what is at `name` if it is of another kind (clean_path()).
    fn remove_other_kind(&self, name: &[u8], kind: FileKind) {
        let Ok(present) = self.context.lookup(name, LookupFlags::empty()) else { return };
        let is_replaced_anew = !matches!(kind, FileKind::Directory | FileKind::Regular);
        if present.inode().kind() == kind && !is_replaced_anew {
            return;
        }
        // What cannot be removed makes the entry itself fail.
        let _ = if present.is_dir() { self.context.rmdir(name) } else { self.context.unlink(name) };
    }
}

#[cfg(test)]
mod tests;
