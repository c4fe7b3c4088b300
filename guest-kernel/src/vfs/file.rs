//! Open files: the state that dup(2) and fork(2) share, and what a file system or driver implements under it.
//!
//! Owns the position, the flags and the credentials of the opener. Descriptors are `fd`'s.
//! Invariant: access-mode bits of the flags never change after open.
//! The position is an atomic: kernel code is not preempted, so Linux's f_pos_lock would only serialise transfers that
//! block, and those (pipes, terminals) have no position.
//! Source: Linux 6.12 include/linux/fs.h struct file, fs/read_write.c, fs/open.c.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bitflags::bitflags;
use linux_raw_sys::general as sys;
use procfs_core::Errno;

use super::Path;
use super::hold::Hold;
use super::inode::Inode;
use super::metadata::FileKind;
use crate::cred::Cred;
use crate::mm::{Backing, IoDst, IoSrc, Mm};
use crate::phys::Frame;
use crate::sched::PollTable;

/// The largest file offset (MAX_LFS_FILESIZE on 64-bit).
pub const MAX_FILE_SIZE: u64 = i64::MAX as u64;

bitflags! {
    /// Flags of open(2), as `fcntl(F_GETFL)` and /proc/PID/fdinfo show them.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct OpenFlags: u32 {
        /// Write only.
        const WRONLY = sys::O_WRONLY;
        /// Read and write.
        const RDWR = sys::O_RDWR;
        /// Make the file if there is none.
        const CREAT = sys::O_CREAT;
        /// Fail if there is one.
        const EXCL = sys::O_EXCL;
        /// Do not take the terminal as controlling terminal.
        const NOCTTY = sys::O_NOCTTY;
        /// Empty the file.
        const TRUNC = sys::O_TRUNC;
        /// Write at the end only.
        const APPEND = sys::O_APPEND;
        /// Do not block.
        const NONBLOCK = sys::O_NONBLOCK;
        /// Write through, data only.
        const DSYNC = sys::O_DSYNC;
        /// Send SIGIO.
        const ASYNC = sys::FASYNC;
        /// Bypass caches.
        const DIRECT = sys::O_DIRECT;
        /// Large files; always set by a 64-bit open.
        const LARGEFILE = sys::O_LARGEFILE;
        /// Fail unless a directory.
        const DIRECTORY = sys::O_DIRECTORY;
        /// Do not follow a link at the end.
        const NOFOLLOW = sys::O_NOFOLLOW;
        /// Do not touch the access time.
        const NOATIME = sys::O_NOATIME;
        /// Close on exec; kept in the descriptor, not in the file.
        const CLOEXEC = sys::O_CLOEXEC;
        /// Write through, attributes too (with `DSYNC`).
        const SYNC_ONLY = sys::O_SYNC & !sys::O_DSYNC;
        /// Only a place in the tree.
        const PATH = sys::O_PATH;
        /// A file without a name (with `DIRECTORY`).
        const TMPFILE_ONLY = sys::O_TMPFILE & !sys::O_DIRECTORY;
    }

    /// Conditions that poll(2) reports.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct PollEvents: u32 {
        /// Readable.
        const IN = sys::POLLIN;
        /// Exceptional condition.
        const PRI = sys::POLLPRI;
        /// Writable.
        const OUT = sys::POLLOUT;
        /// Error; always reported.
        const ERR = sys::POLLERR;
        /// Hang-up; always reported.
        const HUP = sys::POLLHUP;
        /// Bad descriptor.
        const NVAL = sys::POLLNVAL;
        /// Normal data readable.
        const RDNORM = sys::POLLRDNORM;
        /// Priority band readable.
        const RDBAND = sys::POLLRDBAND;
        /// Normal data writable.
        const WRNORM = sys::POLLWRNORM;
        /// Priority band writable.
        const WRBAND = sys::POLLWRBAND;
        /// Peer will write no more.
        const RDHUP = sys::POLLRDHUP;
    }

    /// What can be done with an open file whatever its access mode (Linux `FMODE_*`).
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct FileFeatures: u32 {
        /// lseek(2) works; else `ESPIPE`.
        const SEEK = 1;
        /// pread(2) works; else `ESPIPE`.
        const PREAD = 2;
        /// pwrite(2) works; else `ESPIPE`.
        const PWRITE = 4;
        /// There is a read method; else `EINVAL`.
        const READ = 8;
        /// There is a write method; else `EINVAL`.
        const WRITE = 16;
        /// mmap(2) works; else `ENODEV`.
        const MMAP = 32;
        /// Offsets go over the whole range of addresses; else a transfer that would end beyond `MAX_FILE_SIZE` is `EINVAL`.
        const UNSIGNED_OFFSET = 128;
        /// poll(2) asks the file; else it is always ready. epoll(7) refuses a file without it (`EPERM`).
        const POLL = 64;
        /// Takes `O_DIRECT`; else open(2) refuses it (`EINVAL`).
        const DIRECT = 256;
    }
}

impl OpenFlags {
    /// Whether reading is allowed by the access mode.
    #[must_use]
    pub fn is_readable(self) -> bool {
        !self.contains(Self::PATH) && matches!(self.bits() & sys::O_ACCMODE, sys::O_RDONLY | sys::O_RDWR)
    }

    /// Whether writing is allowed by the access mode.
    #[must_use]
    pub fn is_writable(self) -> bool {
        !self.contains(Self::PATH) && matches!(self.bits() & sys::O_ACCMODE, sys::O_WRONLY | sys::O_RDWR)
    }
}

impl PollEvents {
    /// What a file without a poll method reports (DEFAULT_POLLMASK).
    pub const ALWAYS_READY: Self = Self::IN.union(Self::OUT).union(Self::RDNORM).union(Self::WRNORM);
}

/// Where lseek(2) counts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whence {
    /// From the start.
    Set,
    /// From the present position.
    Current,
    /// From the end.
    End,
    /// To the next data at or after the offset.
    Data,
    /// To the next hole at or after the offset.
    Hole,
}

/// One entry that `FileOps::readdir` emits.
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    /// The inode's number.
    pub ino: u64,
    /// The position from which the entry after this one is read.
    pub next_offset: u64,
    /// The type.
    pub kind: FileKind,
    /// The name.
    pub name: &'a [u8],
}

/// What an open file does; each method gets the `File` it is opened as.
///
/// The caller has checked the access mode and `features()`.
pub trait FileOps: Send + Sync {
    /// Reads at `*pos` and advances it.
    ///
    /// # Errors
    /// `EFAULT` if nothing could be copied; `EAGAIN`, `EINTR` and the file's own.
    fn read(&self, file: &File, pos: &mut u64, dst: &mut IoDst<'_>) -> Result<usize, Errno> {
        let _ = (file, pos, dst);
        Err(Errno::EINVAL)
    }

    /// Writes at `*pos` and advances it.
    ///
    /// # Errors
    /// `EFAULT` if nothing could be copied; `EAGAIN`, `EINTR`, `EPIPE`, `ENOSPC`, `EFBIG` and the file's own.
    fn write(&self, file: &File, pos: &mut u64, src: &mut IoSrc<'_>) -> Result<usize, Errno> {
        let _ = (file, pos, src);
        Err(Errno::EINVAL)
    }

    /// The position that lseek(2) sets and returns.
    ///
    /// # Errors
    /// `EINVAL` for a result out of range or an unknown `whence`, `ENXIO` past the data.
    fn seek(&self, file: &File, offset: i64, whence: Whence) -> Result<u64, Errno> {
        seek_by_size(file, offset, whence, file.inode().metadata().size)
    }

    /// Emits entries from `*pos` on, `.` and `..` included, until `emit` says false; `*pos` is then the first not taken.
    ///
    /// # Errors
    /// `ENOTDIR` for what is no directory; `ENOENT` for one that has gone.
    fn readdir(&self, file: &File, pos: &mut u64, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<(), Errno> {
        let _ = (file, pos, emit);
        Err(Errno::ENOTDIR)
    }

    /// The conditions that hold now; registers in `table` the queues that are woken when they change.
    fn poll(&self, file: &File, table: Option<&mut PollTable>) -> PollEvents {
        let _ = (file, table);
        PollEvents::ALWAYS_READY
    }

    /// A request of ioctl(2) that the generic layer does not know.
    ///
    /// # Errors
    /// `ENOTTY` for an unknown request.
    fn ioctl(&self, file: &File, request: u32, arg: u64, mm: &Mm) -> Result<usize, Errno> {
        let _ = (file, request, arg, mm);
        Err(Errno::ENOTTY)
    }

    /// The page of content at `index`, shared with every mapping; `None` past the end.
    ///
    /// # Errors
    /// `ENODEV` where nothing can be mapped, `ENOMEM`.
    fn page(&self, file: &File, index: u64) -> Result<Option<Frame>, Errno> {
        let _ = (file, index);
        Err(Errno::ENODEV)
    }

    /// The page at `index` if it is there without being made: what a fault maps around the page that was asked for.
    fn cached_page(&self, file: &File, index: u64) -> Option<Frame> {
        self.page(file, index).ok().flatten()
    }

    /// Whether mapped pages belong to tmpfs (RssShmem rather than RssFile).
    fn is_shmem(&self) -> bool {
        false
    }

    /// Whether private mappings are anonymous memory with the file's name.
    fn is_zero_fill(&self) -> bool {
        false
    }

    /// Changes allocated space for fallocate(2).
    ///
    /// # Errors
    /// `EOPNOTSUPP` where it cannot.
    fn fallocate(&self, file: &File, mode: u32, offset: u64, len: u64) -> Result<(), Errno> {
        let _ = (file, mode, offset, len);
        Err(Errno::EOPNOTSUPP)
    }

    /// Whether fsync(2) has something to answer for; false gives `EINVAL`.
    fn can_sync(&self) -> bool {
        false
    }

    /// What can be done with the file.
    fn features(&self) -> FileFeatures {
        FileFeatures::SEEK | FileFeatures::PREAD | FileFeatures::PWRITE | FileFeatures::READ | FileFeatures::WRITE
    }

    /// Called at each close(2) of a descriptor of the file.
    ///
    /// # Errors
    /// What close(2) is to return; the descriptor is gone nevertheless.
    fn on_flush(&self, file: &File) -> Result<(), Errno> {
        let _ = file;
        Ok(())
    }

    /// Lines that /proc/PID/fdinfo shows after the generic ones.
    fn fdinfo(&self, file: &File) -> alloc::string::String {
        let _ = file;
        alloc::string::String::new()
    }

    /// The concrete type, for code of the same driver.
    fn as_any(&self) -> &dyn Any;
}

/// lseek(2) for a file of `size` bytes without holes (generic_file_llseek()).
///
/// # Errors
/// `EINVAL` for a negative or too large result; `ENXIO` for data or a hole at or past the end.
pub fn seek_by_size(file: &File, offset: i64, whence: Whence, size: u64) -> Result<u64, Errno> {
    let base = match whence {
        Whence::Set => 0,
        Whence::Current => file.pos(),
        Whence::End => size,
        Whence::Data | Whence::Hole => {
            let start = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
            if start >= size {
                return Err(Errno::ENXIO);
            }
            return Ok(if whence == Whence::Data { start } else { size });
        }
    };
    base.checked_add_signed(offset).filter(|&pos| pos <= MAX_FILE_SIZE).ok_or(Errno::EINVAL)
}

/// An open file description.
pub struct File {
    path: Path,
    ops: Box<dyn FileOps>,
    flags: AtomicU32,
    pos: AtomicU64,
    cred: Arc<Cred>,
    /// Counts it as a writer or as an executed program.
    _hold: Option<Hold>,
}

impl File {
    /// An open file at `path`; flags that only matter to open(2) itself are dropped.
    #[must_use]
    pub fn new(path: Path, ops: Box<dyn FileOps>, flags: OpenFlags, cred: Arc<Cred>) -> Arc<Self> {
        Self::holding(path, ops, flags, cred, None)
    }

    /// The same, keeping `hold` as long as it is open.
    #[must_use]
    pub fn holding(
        path: Path,
        ops: Box<dyn FileOps>,
        flags: OpenFlags,
        cred: Arc<Cred>,
        hold: Option<Hold>,
    ) -> Arc<Self> {
        // Linux 6.12 fs/open.c do_dentry_open().
        let kept =
            flags - (OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::NOCTTY | OpenFlags::TRUNC | OpenFlags::CLOEXEC);
        Arc::new(Self { path, ops, flags: AtomicU32::new(kept.bits()), pos: AtomicU64::new(0), cred, _hold: hold })
    }

    /// Where it was found.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The inode it was opened on.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.path.inode()
    }

    /// The implementation.
    #[must_use]
    pub fn ops(&self) -> &dyn FileOps {
        &*self.ops
    }

    /// The credentials of the opener, which procfs and others check instead of the reader's.
    #[must_use]
    pub fn cred(&self) -> &Arc<Cred> {
        &self.cred
    }

    /// The flags as `F_GETFL` gives them.
    #[must_use]
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// Sets the flags that `F_SETFL` may change (`APPEND`, `NONBLOCK`, `ASYNC`, `DIRECT`, `NOATIME`) as in `flags`.
    pub fn set_status_flags(&self, flags: OpenFlags) {
        let mutable =
            OpenFlags::APPEND | OpenFlags::NONBLOCK | OpenFlags::ASYNC | OpenFlags::DIRECT | OpenFlags::NOATIME;
        let new = (self.flags() - mutable) | (flags & mutable);
        self.flags.store(new.bits(), Ordering::Relaxed);
    }

    /// The position in bytes.
    #[must_use]
    pub fn pos(&self) -> u64 {
        self.pos.load(Ordering::Relaxed)
    }

    /// Sets the position.
    pub fn set_pos(&self, pos: u64) {
        self.pos.store(pos, Ordering::Relaxed);
    }

    /// Whether calls must not block.
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.flags().contains(OpenFlags::NONBLOCK)
    }

    /// Whether the file can be mapped.
    #[must_use]
    pub fn can_mmap(&self) -> bool {
        self.ops.features().contains(FileFeatures::MMAP)
    }

    /// Reads at `*pos`, with the checks of vfs_read().
    ///
    /// # Errors
    /// `EBADF` if not open for reading, `EINVAL` without a read method or past the largest offset, then the file's own.
    pub fn read_at(&self, pos: &mut u64, dst: &mut IoDst<'_>) -> Result<usize, Errno> {
        if !self.flags().is_readable() {
            return Err(Errno::EBADF);
        }
        if !self.ops.features().contains(FileFeatures::READ) {
            return Err(Errno::EINVAL);
        }
        self.check_range(*pos, dst.remaining())?;
        self.ops.read(self, pos, dst)
    }

    /// rw_verify_area()
    fn check_range(&self, pos: u64, len: usize) -> Result<(), Errno> {
        let is_within = pos.checked_add(len as u64).is_some_and(|end| end <= MAX_FILE_SIZE);
        if is_within || self.ops.features().contains(FileFeatures::UNSIGNED_OFFSET) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// Writes at `*pos`, with the checks of vfs_write().
    ///
    /// # Errors
    /// `EBADF` if not open for writing, `EINVAL` without a write method or past the largest offset, then the file's own.
    pub fn write_at(&self, pos: &mut u64, src: &mut IoSrc<'_>) -> Result<usize, Errno> {
        if !self.flags().is_writable() {
            return Err(Errno::EBADF);
        }
        if !self.ops.features().contains(FileFeatures::WRITE) {
            return Err(Errno::EINVAL);
        }
        self.check_range(*pos, src.remaining())?;
        self.ops.write(self, pos, src)
    }

    /// Reads at the file's position and advances it.
    ///
    /// # Errors
    /// As `read_at`.
    pub fn read(&self, dst: &mut IoDst<'_>) -> Result<usize, Errno> {
        let mut pos = self.pos();
        let done = self.read_at(&mut pos, dst)?;
        self.set_pos(pos);
        Ok(done)
    }

    /// Writes at the file's position and advances it.
    ///
    /// # Errors
    /// As `write_at`.
    pub fn write(&self, src: &mut IoSrc<'_>) -> Result<usize, Errno> {
        let mut pos = self.pos();
        let done = self.write_at(&mut pos, src)?;
        self.set_pos(pos);
        Ok(done)
    }

    /// Moves the position.
    ///
    /// # Errors
    /// `ESPIPE` for what has none; `EINVAL`, `ENXIO` from the file.
    pub fn seek(&self, offset: i64, whence: Whence) -> Result<u64, Errno> {
        if !self.ops.features().contains(FileFeatures::SEEK) {
            return Err(Errno::ESPIPE);
        }
        let pos = self.ops.seek(self, offset, whence)?;
        self.set_pos(pos);
        Ok(pos)
    }

    /// Emits directory entries from the file's position on and advances it.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT`.
    pub fn readdir(&self, emit: &mut dyn FnMut(DirEntry<'_>) -> bool) -> Result<(), Errno> {
        let mut pos = self.pos();
        let result = self.ops.readdir(self, &mut pos, emit);
        self.set_pos(pos);
        result
    }

    /// The conditions that hold now; see `FileOps::poll`.
    #[must_use]
    pub fn poll(&self, table: Option<&mut PollTable>) -> PollEvents {
        self.ops.poll(self, table)
    }
}

impl Backing for File {
    fn page(&self, index: u64) -> Result<Option<Frame>, Errno> {
        self.ops.page(self, index)
    }

    fn cached_page(&self, index: u64) -> Option<Frame> {
        self.ops.cached_page(self, index)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn is_shmem(&self) -> bool {
        self.ops.is_shmem()
    }

    fn is_zero_fill(&self) -> bool {
        self.ops.is_zero_fill()
    }
}

/// The file behind an `O_PATH` descriptor: only its path counts.
pub struct PathOnly;

impl FileOps for PathOnly {
    fn features(&self) -> FileFeatures {
        FileFeatures::empty()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
