//! Open regular files and directories of a tmpfs.
//!
//! Source: Linux 6.12 mm/shmem.c shmem_file_read_iter(), shmem_fallocate(), mm/filemap.c generic_perform_write(),
//! fs/inode.c atime_needs_update(), fs/libfs.c dcache_dir_lseek().

use alloc::sync::Arc;
use core::any::Any;

use linux_raw_sys::general::{FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE};
use procfs_core::Errno;

use super::content::{Content, Source};
use super::directory::FIRST_OFFSET;
use super::{Body, Node};
use crate::cred::Capability;
use crate::mm::{IoDst, IoSrc};
use crate::phys::Frame;
use crate::sched::cond_resched;
use crate::vfs::{
    DirEntry, File, FileFeatures, FileKind, FileOps, Inode, MAX_FILE_SIZE, MountFlags, OpenFlags, Timestamp, Whence,
    permission, seek_by_size,
};

/// A page in bytes, as a length in memory.
const PAGE_SIZE: usize = crate::phys::PAGE_SIZE as usize;

/// How old an access time may be before `relatime` renews it all the same, in seconds.
const RELATIME_SECS: i64 = 24 * 60 * 60;

/// An open regular file or directory.
pub(super) struct TmpFile {
    node: Arc<Node>,
}

impl TmpFile {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    fn content(&self) -> Result<&Content, Errno> {
        match &self.node.body {
            Body::Regular(content) => Ok(content),
            _ => Err(Errno::EISDIR),
        }
    }

    fn touch_atime(&self, file: &File) {
        let mount = file.path().mount.flags();
        let skips_dirs = mount.contains(MountFlags::NODIRATIME) && self.node.is_directory();
        if file.flags().contains(OpenFlags::NOATIME)
            || mount.intersects(MountFlags::NOATIME | MountFlags::RDONLY)
            || skips_dirs
        {
            return;
        }
        let now = Timestamp::now();
        let mut attributes = self.node.attributes.lock();
        let is_fresh = attributes.atime > attributes.mtime
            && attributes.atime > attributes.ctime
            && now.secs - attributes.atime.secs < RELATIME_SECS;
        if !(mount.contains(MountFlags::RELATIME) && is_fresh) {
            attributes.atime = now;
        }
    }

    /// Records that the content changed; a writer without `CAP_FSETID` takes the set-ID bits away.
    fn after_write(&self, file: &File) {
        if !file.cred().capable(Capability::Fsetid)
            && let Some(mode) = permission::mode_without_set_ids(&self.node.metadata(), file.cred())
        {
            self.node.attributes.lock().mode = mode;
        }
        self.node.touch_content();
    }
}

fn split(pos: u64) -> (u64, usize) {
    (pos / PAGE_SIZE as u64, (pos % PAGE_SIZE as u64) as usize)
}

impl FileOps for TmpFile {
    fn read(&self, file: &File, pos: &mut u64, dst: &mut IoDst<'_>) -> Result<usize, Errno> {
        let content = self.content()?;
        let mut done = 0;
        while dst.remaining() > 0 {
            let left = content.size().saturating_sub(*pos);
            if left == 0 {
                break;
            }
            let (index, offset) = split(*pos);
            let len = dst.remaining().min(PAGE_SIZE - offset).min(usize::try_from(left).unwrap_or(usize::MAX));
            let source = content.source(index);
            let copied = dst.put_with(len, |done, bytes| source.read(index, offset + done, bytes));
            done += copied;
            *pos += copied as u64;
            if copied < len {
                if done == 0 {
                    return Err(Errno::EFAULT);
                }
                break;
            }
            cond_resched();
        }
        self.touch_atime(file);
        Ok(done)
    }

    fn write(&self, file: &File, pos: &mut u64, src: &mut IoSrc<'_>) -> Result<usize, Errno> {
        let content = self.content()?;
        if src.remaining() == 0 {
            return Ok(0);
        }
        if file.flags().contains(OpenFlags::APPEND) {
            *pos = content.size();
        }
        if *pos >= MAX_FILE_SIZE {
            return Err(Errno::EFBIG);
        }
        let mut done = 0;
        let mut failure = None;
        while src.remaining() > 0 && *pos < MAX_FILE_SIZE {
            let (index, offset) = split(*pos);
            let room = usize::try_from(MAX_FILE_SIZE - *pos).unwrap_or(usize::MAX);
            let len = src.remaining().min(PAGE_SIZE - offset).min(room);
            let frame = match content.page(index) {
                Ok(frame) => frame,
                Err(errno) => {
                    failure = Some(errno);
                    break;
                }
            };
            let copied = src.take_with(len, |done, bytes| frame.write_at(offset + done, bytes));
            done += copied;
            *pos += copied as u64;
            if copied > 0 {
                content.grow(*pos);
            }
            if copied < len {
                failure = Some(Errno::EFAULT);
                break;
            }
            cond_resched();
        }
        if done > 0 {
            self.after_write(file);
        }
        match failure {
            Some(errno) if done == 0 => Err(errno),
            _ => Ok(done),
        }
    }

    fn seek(&self, file: &File, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let Body::Regular(content) = &self.node.body else {
            return match whence {
                Whence::Set | Whence::Current => seek_by_size(file, offset, whence, 0),
                _ => Err(Errno::EINVAL),
            };
        };
        let size = content.size();
        if !matches!(whence, Whence::Data | Whence::Hole) {
            return seek_by_size(file, offset, whence, size);
        }
        let at = u64::try_from(offset).ok().filter(|&at| at < size).ok_or(Errno::ENXIO)?;
        let (index, _) = split(at);
        let found = if whence == Whence::Hole { Some(content.next_hole(index)) } else { content.next_data(index) };
        // A page past the end is an error for data; the end itself counts as a hole.
        let found = found.map(|index| index.saturating_mul(PAGE_SIZE as u64).max(at));
        match found.filter(|&start| start < size) {
            Some(start) => Ok(start),
            None if whence == Whence::Hole => Ok(size),
            None => Err(Errno::ENXIO),
        }
    }

    fn readdir(&self, file: &File, pos: &mut u64, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<(), Errno> {
        let directory = self.node.directory()?;
        self.touch_atime(file);
        while *pos < FIRST_OFFSET {
            let above = file.path().dentry.parent();
            let (name, ino) = match (*pos, above) {
                (1, Some(parent)) => (&b".."[..], parent.inode().metadata().ino),
                (1, None) => (&b".."[..], self.node.ino),
                _ => (&b"."[..], self.node.ino),
            };
            if !emit(DirEntry { ino, next_offset: *pos + 1, kind: FileKind::Directory, name }) {
                return Ok(());
            }
            *pos += 1;
        }
        loop {
            let next = directory.lock().next_from(*pos);
            let Some((offset, name, node)) = next else { return Ok(()) };
            if !emit(DirEntry { ino: node.ino, next_offset: offset + 1, kind: node.kind(), name: &name }) {
                *pos = offset;
                return Ok(());
            }
            *pos = offset + 1;
            cond_resched();
        }
    }

    fn page(&self, _: &File, index: u64) -> Result<Option<Frame>, Errno> {
        let content = self.content().map_err(|_| Errno::ENODEV)?;
        if index.checked_mul(PAGE_SIZE as u64).is_none_or(|start| start >= content.size()) {
            return Ok(None);
        }
        content.page(index).map(Some)
    }

    fn cached_page(&self, _: &File, index: u64) -> Option<Frame> {
        let content = self.content().ok()?;
        let is_there = index.checked_mul(PAGE_SIZE as u64).is_some_and(|start| start < content.size());
        if !is_there || matches!(content.source(index), Source::Hole) {
            return None;
        }
        content.page(index).ok()
    }

    fn is_shmem(&self) -> bool {
        true
    }

    fn fallocate(&self, file: &File, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let content = self.content()?;
        if mode == FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE {
            content.punch(offset, len)?;
        } else if mode & !FALLOC_FL_KEEP_SIZE == 0 {
            let end = offset.saturating_add(len);
            for index in offset / PAGE_SIZE as u64..end.div_ceil(PAGE_SIZE as u64) {
                content.page(index)?;
                cond_resched();
            }
            if mode & FALLOC_FL_KEEP_SIZE == 0 {
                content.grow(end);
            }
        } else {
            return Err(Errno::EOPNOTSUPP);
        }
        self.after_write(file);
        Ok(())
    }

    fn can_sync(&self) -> bool {
        true
    }

    fn features(&self) -> FileFeatures {
        let all =
            FileFeatures::SEEK | FileFeatures::PREAD | FileFeatures::PWRITE | FileFeatures::READ | FileFeatures::WRITE;
        if self.node.is_directory() { all } else { all | FileFeatures::MMAP | FileFeatures::DIRECT }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
