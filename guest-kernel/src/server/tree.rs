//! The guest's `/proc` as a 9P tree: each request becomes the same call of the VFS that a program's would.
//!
//! Owns the confinement: no walk leaves the mount of `/proc`, whatever the guest mounts over parts of it, and no link is
//! followed. The caller is root of the initial namespaces.
//! Nothing here waits: files are opened with `O_NONBLOCK`, and no file of `/proc` blocks.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use procfs_core::Errno;
use procfs_core::ninep::wire::{
    Attr, FileKind as WireKind, GETATTR_BASIC, Qid, SetAttr as WireSetAttr, Statfs, Timestamp as WireTime, open_flags,
    qid_type, setattr_valid,
};
use procfs_core::ninep::{DirEntry as WireEntry, Tree};

use crate::cred::{KGid, KUid};
use crate::mm::{IoDst, IoSrc};
use crate::vfs::{File, FileFeatures, FileKind, LookupContext, LookupFlags, OpenFlags, Path, SetAttr, Timestamp};

/// The tree of one session.
pub(super) struct ProcTree {
    /// Root of the guest, for the texts of links.
    root: Path,
    /// Walks: their root is `/proc`.
    context: LookupContext,
}

impl ProcTree {
    /// The tree below `proc`; `context` has the guest's root and the credentials.
    pub(super) fn new(context: LookupContext, proc: Path) -> Self {
        let root = context.root.clone();
        Self { root, context: LookupContext { root: proc.clone(), base: proc, ..context } }
    }

    /// `path`, or what it covers of `/proc` where the guest has mounted something over it.
    fn confined(&self, mut path: Path) -> Result<Path, Errno> {
        while !Arc::ptr_eq(&path.mount, &self.context.root.mount) {
            path = path.mount.parent_point().ok_or(Errno::ENOENT)?;
        }
        Ok(path)
    }

    fn flags(flags: u32) -> OpenFlags {
        const TAKEN: u32 = open_flags::ACCMODE | open_flags::TRUNC | open_flags::DIRECTORY;
        OpenFlags::from_bits_retain(flags & TAKEN) | OpenFlags::NONBLOCK | OpenFlags::LARGEFILE | OpenFlags::NOCTTY
    }
}

fn qid_of(ino: u64, kind: FileKind) -> Qid {
    let kind = match kind {
        FileKind::Directory => qid_type::DIR,
        FileKind::Symlink => qid_type::SYMLINK,
        _ => qid_type::FILE,
    };
    Qid { kind, version: 0, path: ino }
}

fn wire_time(time: Timestamp) -> WireTime {
    WireTime { sec: time.secs.cast_unsigned(), nsec: u64::from(time.nanos) }
}

fn time_of(time: WireTime) -> Timestamp {
    const NS_PER_S: u64 = 1_000_000_000;
    Timestamp { secs: time.sec.cast_signed(), nanos: (time.nsec % NS_PER_S) as u32 }
}

impl Tree for ProcTree {
    type Node = Path;
    type OpenFile = Arc<File>;

    fn attach(&mut self, _: &[u8], _: Option<u32>, aname: &[u8]) -> Result<Path, Errno> {
        match aname {
            b"" | b"/" | b"/proc" => Ok(self.context.root.clone()),
            _ => Err(Errno::ENOENT),
        }
    }

    fn qid(&self, node: &Path) -> Qid {
        let inode = node.inode();
        qid_of(inode.metadata().ino, inode.kind())
    }

    fn walk(&mut self, from: &Path, name: &[u8]) -> Result<Path, Errno> {
        let context = LookupContext { base: from.clone(), ..self.context.clone() };
        self.confined(context.lookup(name, LookupFlags::empty())?)
    }

    fn getattr(&mut self, node: &Path) -> Result<Attr, Errno> {
        let stat = node.inode().getattr()?;
        Ok(Attr {
            valid: GETATTR_BASIC,
            qid: qid_of(stat.ino, stat.kind),
            mode: stat.st_mode(),
            uid: stat.uid.0,
            gid: stat.gid.0,
            nlink: u64::from(stat.nlink),
            rdev: u64::from(stat.rdev.encode()),
            size: stat.size,
            blksize: u64::from(stat.block_size),
            blocks: stat.blocks,
            atime: wire_time(stat.atime),
            mtime: wire_time(stat.mtime),
            ctime: wire_time(stat.ctime),
            ..Attr::default()
        })
    }

    fn setattr(&mut self, node: &Path, attr: &WireSetAttr) -> Result<(), Errno> {
        let has = |bit| attr.valid & bit != 0;
        let change = SetAttr {
            mode: has(setattr_valid::MODE).then_some(attr.mode),
            uid: has(setattr_valid::UID).then_some(KUid(attr.uid)),
            gid: has(setattr_valid::GID).then_some(KGid(attr.gid)),
            size: has(setattr_valid::SIZE).then_some(attr.size),
            atime: has(setattr_valid::ATIME).then(|| time_of(attr.atime)),
            mtime: has(setattr_valid::MTIME).then(|| time_of(attr.mtime)),
        };
        node.inode().set_attr(&change)
    }

    fn open(&mut self, node: &Path, flags: u32) -> Result<Arc<File>, Errno> {
        self.context.open_path(node, Self::flags(flags))
    }

    fn read(&mut self, file: &mut Arc<File>, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut pos = offset;
        file.read_at(&mut pos, &mut IoDst::kernel(buffer))
    }

    fn write(&mut self, file: &mut Arc<File>, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        let source = &mut IoSrc::kernel(data);
        if offset == file.pos() {
            // Writes that follow each other are write(2), which files without positional writes take.
            return file.write(source);
        }
        if !file.ops().features().contains(FileFeatures::PWRITE) {
            return Err(Errno::ESPIPE);
        }
        let mut pos = offset;
        file.write_at(&mut pos, source)
    }

    fn readdir(
        &mut self,
        file: &mut Arc<File>,
        offset: u64,
        emit: &mut dyn FnMut(WireEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        if file.path().dentry.is_unlinked() {
            return Err(Errno::ENOENT);
        }
        file.set_pos(offset);
        file.readdir(&mut |entry| {
            let qid = qid_of(entry.ino, entry.kind);
            let kind = WireKind::from_d_type(entry.kind.dirent_type());
            emit(WireEntry { qid, next_offset: entry.next_offset, kind, name: entry.name }).is_continue()
        })
    }

    fn readlink(&mut self, node: &Path, target: &mut Vec<u8>) -> Result<(), Errno> {
        let inode = node.inode();
        let text = match inode.read_link_from(&self.root) {
            Some(text) => text?,
            None => inode.read_link()?,
        };
        target.extend_from_slice(&text);
        Ok(())
    }

    fn statfs(&mut self, node: &Path) -> Result<Statfs, Errno> {
        let stat = node.inode().statfs()?;
        Ok(Statfs {
            kind: stat.magic,
            bsize: stat.block_size,
            blocks: stat.blocks,
            bfree: stat.blocks_free,
            bavail: stat.blocks_free,
            files: stat.files,
            ffree: stat.files_free,
            fsid: 0,
            namelen: stat.name_max,
        })
    }
}
