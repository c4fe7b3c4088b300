//! `/proc/PID/fd` and `/proc/PID/fdinfo`.
//!
//! Source: Linux 6.12 fs/proc/fd.c.

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;
use procfs_core::pid::Node as What;
use procfs_core::pid::fdinfo::{self, FdInfo};
use procfs_core::seq::Single;

use super::links::{Target, TaskLink};
use super::pid_dir::{Place, number_of_dir, parse_index};
use super::{MAGIC, access};
use crate::cred::Cred;
use crate::fd::FdTable;
use crate::fs::kernfs::{Attributes, Content, Directory, Entry, File, FileNode, Name, Node, Symlink};
use crate::task::current;
use crate::vfs::{Access, FileKind, Inode, Metadata, OpenFlags, permission};

/// The numbers of the entries, for inode numbers; those of the table are below.
const FD_ENTRIES: u64 = 1 << 30;
const FDINFO_ENTRIES: u64 = 1 << 31;

fn files_of(place: &Place) -> Result<Option<Arc<FdTable>>, Errno> {
    Ok(place.id.task().ok_or(Errno::ENOENT)?.files())
}

fn entry_number(base: u64, fd: i32) -> u64 {
    base + u64::from(fd.unsigned_abs())
}

/// The first open descriptor at `offset` or after it.
fn entry_from(place: &Place, offset: u64, base: u64, kind: FileKind) -> Result<Option<Entry>, Errno> {
    let Some(files) = files_of(place)? else { return Ok(None) };
    let Ok(from) = i32::try_from(offset - 2) else { return Ok(None) };
    let Some((fd, file, _)) = files.next_open(from) else { return Ok(None) };
    drop(file);
    let number = fd.unsigned_abs();
    let next_offset = u64::from(number) + 3;
    Ok(Some(Entry { ino: place.ino(entry_number(base, fd)), kind, name: Name::Number(number), next_offset }))
}

fn is_open(place: &Place, fd: i32) -> bool {
    files_of(place).ok().flatten().is_some_and(|files| files.get(fd).is_ok())
}

fn find(place: &Place, name: &[u8]) -> Result<i32, Errno> {
    let fd = parse_index(name).ok_or(Errno::ENOENT)?;
    if is_open(place, fd) { Ok(fd) } else { Err(Errno::ENOENT) }
}

/// What the mode allows, and everything to the thread group itself (proc_fd_permission()).
pub(super) fn mode_or_same_group(place: &Place, metadata: &Metadata, cred: &Cred, mask: Access) -> Result<(), Errno> {
    let by_mode = permission::generic_permission(metadata, cred, mask);
    if by_mode.is_err()
        && let Some(task) = place.id.task()
        && Arc::ptr_eq(&task.group, &current().group)
    {
        return Ok(());
    }
    by_mode
}

/// `/proc/PID/fd`.
pub(super) struct FdDir(pub(super) Place);

impl Node for FdDir {
    fn attributes(&self) -> Attributes {
        let files = files_of(&self.0).ok().flatten();
        let size = files.map_or(0, |files| files.count() as u64);
        Attributes { nlink: 2, size, ..self.0.attributes(number_of_dir(What::Fd), 0o500, true) }
    }

    fn stat(&self) -> Result<Attributes, Errno> {
        self.0.id.task().ok_or(Errno::ENOENT)?;
        Ok(self.attributes())
    }

    fn is_gone(&self) -> bool {
        self.0.id.task().is_none()
    }

    fn permission(&self, kind: FileKind, cred: &Cred, mask: Access) -> Result<(), Errno> {
        mode_or_same_group(&self.0, &self.attributes().metadata(kind), cred, mask)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl Directory for FdDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let fd = find(&self.0, name)?;
        let number = entry_number(FD_ENTRIES, fd);
        Ok(Arc::new(Symlink(TaskLink { place: self.0.clone(), number, target: Target::Fd(fd) })))
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        entry_from(&self.0, offset, FD_ENTRIES, FileKind::Symlink)
    }

    fn parent_ino(&self) -> u64 {
        self.0.ino(0)
    }
}

/// `/proc/PID/fdinfo`.
pub(super) struct FdInfoDir(pub(super) Place);

/// The directory and all in it are open to those who may look at the process, and as the mode says.
fn fdinfo_permission(
    place: &Place,
    attributes: &Attributes,
    kind: FileKind,
    cred: &Cred,
    mask: Access,
) -> Result<(), Errno> {
    let task = place.id.resolve()?;
    access::check(&task)?;
    permission::generic_permission(&attributes.metadata(kind), cred, mask)
}

impl Node for FdInfoDir {
    fn attributes(&self) -> Attributes {
        Attributes { nlink: 2, ..self.0.attributes(number_of_dir(What::Fdinfo), 0o555, true) }
    }

    fn is_gone(&self) -> bool {
        self.0.id.task().is_none()
    }

    fn permission(&self, kind: FileKind, cred: &Cred, mask: Access) -> Result<(), Errno> {
        fdinfo_permission(&self.0, &self.attributes(), kind, cred, mask)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl Directory for FdInfoDir {
    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>, Errno> {
        let fd = find(&self.0, name)?;
        Ok(Arc::new(File(FdInfoFile { place: self.0.clone(), fd })))
    }

    fn entry_from(&self, offset: u64) -> Result<Option<Entry>, Errno> {
        entry_from(&self.0, offset, FDINFO_ENTRIES, FileKind::Regular)
    }

    fn parent_ino(&self) -> u64 {
        self.0.ino(0)
    }
}

struct FdInfoFile {
    place: Place,
    fd: i32,
}

impl Node for FdInfoFile {
    fn attributes(&self) -> Attributes {
        self.place.attributes(entry_number(FDINFO_ENTRIES, self.fd), 0o444, false)
    }

    fn is_gone(&self) -> bool {
        !is_open(&self.place, self.fd)
    }

    fn permission(&self, kind: FileKind, cred: &Cred, mask: Access) -> Result<(), Errno> {
        fdinfo_permission(&self.place, &self.attributes(), kind, cred, mask)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl FileNode for FdInfoFile {
    fn open(&self, _: OpenFlags, _: &Arc<Cred>) -> Result<Content, Errno> {
        let (id, fd) = (self.place.id.clone(), self.fd);
        Ok(Content::records(Single(move |out: &mut Vec<u8>| {
            let files = id.task().ok_or(Errno::ENOENT)?.files().ok_or(Errno::ENOENT)?;
            let file = files.get(fd).map_err(|_| Errno::ENOENT)?;
            let mut flags = file.flags();
            flags.set(OpenFlags::CLOEXEC, files.is_cloexec(fd).unwrap_or(false));
            let info = FdInfo {
                pos: file.pos().cast_signed(),
                flags: flags.bits(),
                mount_id: file.path().mount.id().cast_signed(),
                ino: file.inode().metadata().ino,
            };
            fdinfo::render(&info, out);
            out.extend_from_slice(file.ops().fdinfo(&file).as_bytes());
            Ok(())
        })))
    }
}
