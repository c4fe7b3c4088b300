//! What the other side says of files, checked before the host's kernel hears it.
//!
//! The guest may say anything. What no file of a `/proc` can be is `EIO` for the one request: devices, pipes and sockets, numbers that FUSE
//! gives a meaning of its own, names that could leave a directory, directories that do not go forward.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{Errno, FileAttr, FileType, INodeNo};
use procfs_core::ninep::wire::{Attr, Dirents, FileKind, Qid, Timestamp};

use super::nodes::ROOT;

/// Linux's longest file name, in bytes.
pub(super) const NAME_MAX: usize = 255;
/// Linux's longest path, and so the longest text of a link, with its NUL, in bytes.
const PATH_MAX: usize = 4096;

/// A directory entry that the kernel may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) ino: INodeNo,
    pub(super) next_offset: u64,
    pub(super) kind: FileType,
    pub(super) name: &'a [u8],
}

/// An errno of the other side as the kernel hears it.
pub(super) fn errno(errno: procfs_core::Errno) -> Errno {
    match errno {
        // To some requests that means "never ask again" to the kernel (Linux 6.12 fs/fuse/file.c fuse_file_open()).
        procfs_core::Errno::ENOSYS => Errno::EOPNOTSUPP,
        // What the multiplexer says of a reply that cannot be right, and what asks the kernel to look a path up again and again.
        procfs_core::Errno::EPROTO | procfs_core::Errno::ESTALE => Errno::EIO,
        errno => Errno::from_i32(i32::from(errno.raw())),
    }
}

/// Attributes as FUSE has them; `is_root` tells whose they are, since the root's number is FUSE's.
pub(super) fn attributes(attr: &Attr, place: Place) -> Result<FileAttr, Errno> {
    let kind = kind_of_mode(attr.mode).filter(|kind| *kind == kind_of_qid(attr.qid)).ok_or(Errno::EIO)?;
    let ino = match place {
        Place::Root if kind == FileType::Directory => INodeNo(ROOT),
        Place::Below if attr.qid.path > ROOT => INodeNo(attr.qid.path),
        _ => return Err(Errno::EIO),
    };
    let narrow = |wide: u64| u32::try_from(wide).unwrap_or(u32::MAX);
    Ok(FileAttr {
        ino,
        size: attr.size.min(i64::MAX.cast_unsigned()),
        blocks: attr.blocks,
        atime: time(attr.atime),
        mtime: time(attr.mtime),
        ctime: time(attr.ctime),
        crtime: UNIX_EPOCH,
        kind,
        perm: u16::try_from(attr.mode & 0o7777).expect("twelve bits"),
        nlink: narrow(attr.nlink),
        uid: attr.uid,
        gid: attr.gid,
        rdev: 0,
        // The kernel makes a shift of it: a power of two up to a page.
        blksize: if attr.blksize.is_power_of_two() { narrow(attr.blksize.clamp(512, 4096)) } else { 4096 },
        flags: 0,
    })
}

/// Whether attributes are those of the mount's root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Root,
    Below,
}

impl Place {
    pub(super) const fn of(ino: u64) -> Self {
        if ino == ROOT { Self::Root } else { Self::Below }
    }
}

fn kind_of_mode(mode: u32) -> Option<FileType> {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => Some(FileType::Directory),
        libc::S_IFREG => Some(FileType::RegularFile),
        libc::S_IFLNK => Some(FileType::Symlink),
        _ => None,
    }
}

fn kind_of_qid(qid: Qid) -> FileType {
    match (qid.is_dir(), qid.is_symlink()) {
        (true, _) => FileType::Directory,
        (false, true) => FileType::Symlink,
        (false, false) => FileType::RegularFile,
    }
}

fn time(time: Timestamp) -> SystemTime {
    const NS_PER_S: u64 = 1_000_000_000;
    let nanos = u32::try_from(time.nsec % NS_PER_S).expect("less than a second");
    UNIX_EPOCH.checked_add(Duration::new(time.sec, nanos)).unwrap_or(UNIX_EPOCH)
}

/// The text of a link.
pub(super) fn link(text: &[u8]) -> Result<&[u8], Errno> {
    let fits = !text.is_empty() && text.len() < PATH_MAX && !text.contains(&0);
    if fits { Ok(text) } else { Err(Errno::EIO) }
}

/// The entries in the data of an Rreaddir that was asked for from `offset` on: each goes forward from the one before it.
pub(super) fn entries(data: &[u8], offset: u64) -> impl Iterator<Item = Result<Entry<'_>, Errno>> {
    let mut last = offset;
    Dirents::new(data).map(move |entry| {
        let entry = entry.map_err(|_| Errno::EIO)?;
        let goes_on = entry.next_offset > last && i64::try_from(entry.next_offset).is_ok();
        last = entry.next_offset;
        let kind = match entry.kind {
            FileKind::Dir => FileType::Directory,
            FileKind::File => FileType::RegularFile,
            FileKind::Symlink => FileType::Symlink,
            _ => return Err(Errno::EIO),
        };
        let is_itself = matches!(entry.name, b"." | b"..");
        let is_name = !entry.name.is_empty()
            && entry.name.len() <= NAME_MAX
            && !entry.name.iter().any(|byte| matches!(byte, b'/' | 0))
            && (!is_itself || kind == FileType::Directory);
        if !goes_on || !is_name || entry.qid.path == 0 {
            return Err(Errno::EIO);
        }
        Ok(Entry { ino: INodeNo(entry.qid.path), next_offset: entry.next_offset, kind, name: entry.name })
    })
}

#[cfg(test)]
mod tests {
    use procfs_core::ninep::DirEntry;
    use procfs_core::ninep::wire::{put_dirent, qid_type};

    use super::*;

    fn attr(mode: u32, kind: u8, path: u64) -> Attr {
        Attr { mode, qid: Qid { kind, version: 0, path }, ..Attr::default() }
    }

    #[test]
    fn attributes_of_a_file_directory_and_link_are_taken_over() {
        let mut file = attr(0o100_644, qid_type::FILE, 77);
        (file.uid, file.gid, file.nlink, file.size) = (7, 8, 1, 0);
        file.mtime = Timestamp { sec: 5, nsec: 6 };
        let taken = attributes(&file, Place::Below).unwrap();
        assert_eq!((taken.ino, taken.kind, taken.perm), (INodeNo(77), FileType::RegularFile, 0o644));
        assert_eq!((taken.uid, taken.gid, taken.nlink, taken.size), (7, 8, 1, 0));
        assert_eq!(taken.mtime, UNIX_EPOCH + Duration::new(5, 6));
        assert_eq!(attributes(&attr(0o040_555, qid_type::DIR, 9), Place::Root).unwrap().ino, INodeNo(ROOT));
        assert_eq!(attributes(&attr(0o120_777, qid_type::SYMLINK, 9), Place::Below).unwrap().kind, FileType::Symlink);
    }

    #[test]
    fn attributes_that_no_file_of_proc_has_are_refused() {
        for lie in [
            attr(0o020_666, qid_type::FILE, 77),
            attr(0o010_666, qid_type::FILE, 77),
            attr(0o140_666, qid_type::FILE, 77),
            attr(0, qid_type::FILE, 77),
            attr(0o100_644, qid_type::DIR, 77),
            attr(0o120_777, qid_type::FILE, 77),
            attr(0o100_644, qid_type::FILE, 0),
            attr(0o100_644, qid_type::FILE, ROOT),
        ] {
            assert_eq!(attributes(&lie, Place::Below), Err(Errno::EIO), "{lie:?}");
        }
        assert_eq!(attributes(&attr(0o100_644, qid_type::FILE, 77), Place::Root), Err(Errno::EIO));
    }

    #[test]
    fn numbers_beyond_all_bounds_are_brought_within_them() {
        let mut lie = attr(0o100_644, qid_type::FILE, u64::MAX);
        (lie.size, lie.nlink, lie.blksize) = (u64::MAX, u64::MAX, u64::MAX);
        lie.atime = Timestamp { sec: u64::MAX, nsec: u64::MAX };
        let taken = attributes(&lie, Place::Below).unwrap();
        assert_eq!((taken.size, taken.nlink, taken.blksize), (i64::MAX.cast_unsigned(), u32::MAX, 4096));
        assert_eq!(taken.atime, UNIX_EPOCH);
        lie.blksize = 1 << 40;
        assert_eq!(attributes(&lie, Place::Below).unwrap().blksize, 4096);
    }

    #[test]
    fn texts_that_no_link_can_have_are_refused() {
        assert_eq!(link(b"/bin/busybox"), Ok(&b"/bin/busybox"[..]));
        for lie in [&b""[..], b"a\0b", &[b'x'; PATH_MAX]] {
            assert_eq!(link(lie), Err(Errno::EIO));
        }
    }

    fn listed(list: &[(&[u8], u64, FileKind, u64)]) -> Vec<Result<u64, Errno>> {
        let mut data = Vec::new();
        for &(name, next_offset, kind, path) in list {
            put_dirent(&DirEntry { qid: Qid { kind: 0, version: 0, path }, next_offset, kind, name }, &mut data);
        }
        entries(&data, 10).map(|entry| entry.map(|entry| entry.next_offset)).collect()
    }

    #[test]
    fn entries_that_could_leave_the_directory_or_never_end_are_refused() {
        let good = (&b"stat"[..], 11, FileKind::File, 5);
        assert_eq!(listed(&[good, (b"1", 12, FileKind::Dir, 6)]), [Ok(11), Ok(12)]);
        assert_eq!(listed(&[(b".", 11, FileKind::Dir, 1), (b"..", 12, FileKind::Dir, 1)]), [Ok(11), Ok(12)]);
        let long = [b'x'; NAME_MAX + 1];
        for lie in [
            (&b""[..], 12, FileKind::File, 5),
            (b"../x", 12, FileKind::File, 5),
            (b"a\0", 12, FileKind::File, 5),
            (&long, 12, FileKind::File, 5),
            (b"..", 12, FileKind::Symlink, 5),
            (b"x", 11, FileKind::File, 5),
            (b"x", 3, FileKind::File, 5),
            (b"x", u64::MAX, FileKind::File, 5),
            (b"x", 12, FileKind::Block, 5),
            (b"x", 12, FileKind::File, 0),
        ] {
            assert_eq!(listed(&[good, lie]), [Ok(11), Err(Errno::EIO)], "{lie:?}");
        }
        assert!(matches!(entries(&[0; 5], 0).next(), Some(Err(Errno::EIO))));
    }

    #[test]
    fn errnos_pass_but_those_that_mean_something_else_to_the_kernel() {
        for same in [procfs_core::Errno::ESRCH, procfs_core::Errno::EACCES, procfs_core::Errno::ENOENT] {
            assert_eq!(errno(same).code(), i32::from(same.raw()));
        }
        assert_eq!(errno(procfs_core::Errno::ENOSYS), Errno::EOPNOTSUPP);
        assert_eq!(errno(procfs_core::Errno::EPROTO), Errno::EIO);
    }
}
