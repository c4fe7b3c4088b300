//! Files: what an open file is bound to, and how each kind of content is read, written and sought.
//!
//! A node is asked once, at open, for its content; what the content refers to from then on (a task, an address space, a
//! mount namespace) is the binding.
//! Source: Linux 6.12 fs/seq_file.c, fs/libfs.c simple_read_from_buffer(), fs/read_write.c vfs_write(), ksys_pwrite64(),
//! generic_file_llseek().

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use procfs_core::Errno;
use procfs_core::seq::{Record, SeqFile, SeqSource, Whence as SeqWhence};
use procfs_core::user_memory::{CopyOut, PAGE_SIZE, read_simple};

use super::{KERNFS_FILE, Node, common_methods};
use crate::cred::Cred;
use crate::mm::{IoDst, IoSrc};
use crate::sched::PollTable;
use crate::sync::Mutex;
use crate::vfs::{
    Access, File as VfsFile, FileFeatures, FileKind, FileOps, Inode, Metadata, OpenFlags, Path, PollEvents, SetAttr,
    StatFs, Whence,
};

/// The largest offset in a file that is read by its offset (`s_maxbytes`, MAX_NON_LFS).
const SIZE_MAX: u64 = (1 << 31) - 1;

/// Content that is read by its offset and generated anew for each read.
pub trait Raw: Send {
    /// Reads at most `want` bytes at `*pos` and moves it.
    ///
    /// # Errors
    /// The file's own; `EFAULT` from `copy`.
    fn read(&mut self, pos: &mut u64, want: usize, copy: &mut CopyOut<'_>) -> Result<usize, Errno>;

    /// Writes at `pos`, where that is the file's way; a node without a `Writer` is asked only if `can_write`.
    fn seek_rule(&self) -> SeekRule {
        SeekRule::BySize
    }
}

/// How lseek(2) treats content that is read by its offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SeekRule {
    /// As for a file of size 0 and at most 2 GiB.
    BySize,
    /// As for a file of size 0 without a bound (default_llseek()).
    Unbounded,
    /// From the start and the present only, over the whole range of addresses (mem_lseek()).
    Addresses,
}

/// Content that is a small text, rendered for each read.
pub trait Small: Send {
    /// Appends what a read at `pos` may see, counted from the start of the file.
    ///
    /// # Errors
    /// The file's own.
    fn show(&mut self, pos: u64, out: &mut Vec<u8>) -> Result<(), Errno>;

    /// How the file is sought.
    fn seek_rule(&self) -> SeekRule {
        SeekRule::BySize
    }
}

/// A list of records as `SeqFile` reads it.
pub type Records = Box<dyn SeqSource + Send>;

/// What takes writes.
pub trait Writer: Send {
    /// How many bytes of a write are looked at; the rest is not fetched from the writer.
    fn limit(&self) -> usize {
        PAGE_SIZE
    }

    /// What is asked of a write of `count` bytes at `pos` before anything is fetched from the writer.
    ///
    /// # Errors
    /// The file's own.
    fn check(&mut self, count: usize, pos: u64) -> Result<(), Errno> {
        let _ = (count, pos);
        Ok(())
    }

    /// Whether a write moves the offset of the open file.
    fn moves_offset(&self) -> bool {
        true
    }

    /// Takes a write of `count` bytes at `pos`, of which the first are `bytes`; returns what write(2) returns.
    ///
    /// # Errors
    /// The file's own.
    fn write(&mut self, bytes: &[u8], count: usize, pos: u64) -> Result<usize, Errno>;
}

/// Refuses every write with its errno, also one of no bytes: an entry without a method of its own to write, where Linux answers
/// something else than for a file that cannot be written at all (proc_reg_write(), proc_simple_write()).
pub struct Unwritable(pub Errno);

impl Writer for Unwritable {
    fn check(&mut self, _: usize, _: u64) -> Result<(), Errno> {
        Err(self.0)
    }

    fn write(&mut self, _: &[u8], _: usize, _: u64) -> Result<usize, Errno> {
        Err(self.0)
    }
}

/// What an open file tells poll(2).
pub trait Poll: Send {
    /// The conditions that hold now; registers in `table` what is woken when they change.
    fn poll(&mut self, table: Option<&mut PollTable>) -> PollEvents;
}

/// How an open file is read.
pub enum Reader {
    /// Not at all.
    None,
    /// By the rules of seq_file.
    Seq(Records),
    /// By offset, each read on its own.
    Raw(Box<dyn Raw>),
    /// By offset from a text made for each read.
    Small(Box<dyn Small>),
}

/// What an open file is.
pub struct Content {
    /// How it is read.
    pub reader: Reader,
    /// How it is written; without one a write is refused with `EINVAL`.
    pub writer: Option<Box<dyn Writer>>,
    /// How it is polled; without one it is always ready and epoll(7) refuses it.
    pub poll: Option<Box<dyn Poll>>,
}

impl Content {
    /// A list of records.
    pub fn records(source: impl SeqSource + Send + 'static) -> Self {
        Self::only(Reader::Seq(Box::new(source)))
    }

    /// Raw content.
    pub fn raw(raw: impl Raw + 'static) -> Self {
        Self::only(Reader::Raw(Box::new(raw)))
    }

    /// A small text.
    pub fn small(small: impl Small + 'static) -> Self {
        Self::only(Reader::Small(Box::new(small)))
    }

    /// Nothing to read, only writes.
    pub fn write_only(writer: impl Writer + 'static) -> Self {
        Self::only(Reader::None).with_writer(writer)
    }

    fn only(reader: Reader) -> Self {
        Self { reader, writer: None, poll: None }
    }

    /// The same, taking writes.
    #[must_use]
    pub fn with_writer(mut self, writer: impl Writer + 'static) -> Self {
        self.writer = Some(Box::new(writer));
        self
    }

    /// The same, with conditions to wait for.
    #[must_use]
    pub fn with_poll(mut self, poll: impl Poll + 'static) -> Self {
        self.poll = Some(Box::new(poll));
        self
    }
}

/// A file that can be opened.
pub trait FileNode: Node {
    /// Binds an open file; permissions by mode are checked, a gate of the node's own is not.
    ///
    /// # Errors
    /// The file's own, such as `ESRCH`, or `EACCES` from its gate.
    fn open(&self, flags: OpenFlags, cred: &Arc<Cred>) -> Result<Content, Errno>;
}

/// A file as an inode.
pub struct File<T>(pub T);

impl<T: FileNode> Inode for File<T> {
    common_methods!(FileKind::Regular);

    fn open(self: Arc<Self>, _: &Path, flags: OpenFlags, cred: &Arc<Cred>) -> Result<Box<dyn FileOps>, Errno> {
        let content = self.0.open(flags, cred)?;
        let mut features = FileFeatures::SEEK | FileFeatures::PREAD;
        features.set(FileFeatures::READ, !matches!(content.reader, Reader::None));
        // seq_open() takes the right to write at an offset away.
        features.set(FileFeatures::PWRITE, !matches!(content.reader, Reader::Seq(_)));
        features.set(FileFeatures::WRITE, content.writer.is_some());
        features.set(FileFeatures::POLL, content.poll.is_some());
        let by_address = matches!(&content.reader, Reader::Raw(raw) if raw.seek_rule() == SeekRule::Addresses);
        features.set(FileFeatures::UNSIGNED_OFFSET, by_address);
        let reader = match content.reader {
            Reader::None => State::None,
            Reader::Seq(records) => State::Seq(SeqFile::new(), Source(records)),
            Reader::Raw(raw) => State::Raw(raw),
            Reader::Small(small) => State::Small(small),
        };
        let state = OpenState { reader, writer: content.writer, poll: content.poll };
        Ok(Box::new(OpenFile { features, state: Mutex::new(KERNFS_FILE, state) }))
    }
}

/// `SeqFile` wants a source by its type.
struct Source(Records);

impl SeqSource for Source {
    fn begin(&mut self) -> Result<(), Errno> {
        self.0.begin()
    }

    fn record(&mut self, cursor: &mut u64, out: &mut Vec<u8>) -> Result<Record, Errno> {
        self.0.record(cursor, out)
    }

    fn finish(&mut self) {
        self.0.finish();
    }
}

enum State {
    None,
    Seq(SeqFile, Source),
    Raw(Box<dyn Raw>),
    Small(Box<dyn Small>),
}

struct OpenState {
    reader: State,
    writer: Option<Box<dyn Writer>>,
    poll: Option<Box<dyn Poll>>,
}

fn seek_by_rule(rule: SeekRule, file: &VfsFile, offset: i64, whence: Whence) -> Result<u64, Errno> {
    match rule {
        SeekRule::Unbounded => crate::vfs::seek_by_size(file, offset, whence, 0),
        SeekRule::BySize => {
            let pos = crate::vfs::seek_by_size(file, offset, whence, 0)?;
            if pos > SIZE_MAX { Err(Errno::EINVAL) } else { Ok(pos) }
        }
        SeekRule::Addresses => match whence {
            Whence::Set => Ok(offset.cast_unsigned()),
            Whence::Current => Ok(file.pos().wrapping_add_signed(offset)),
            Whence::End | Whence::Data | Whence::Hole => Err(Errno::EINVAL),
        },
    }
}

struct OpenFile {
    features: FileFeatures,
    state: Mutex<OpenState>,
}

impl FileOps for OpenFile {
    fn read(&self, _: &VfsFile, pos: &mut u64, dst: &mut IoDst<'_>) -> Result<usize, Errno> {
        let want = dst.remaining();
        let mut copy = |bytes: &[u8]| dst.put(bytes);
        match &mut self.state.lock().reader {
            State::None => Err(Errno::EINVAL),
            State::Seq(file, source) => {
                let count = file.read(source, *pos, want, &mut copy)?;
                *pos += count as u64;
                Ok(count)
            }
            State::Raw(raw) => raw.read(pos, want, &mut copy),
            State::Small(small) => {
                let mut text = Vec::new();
                small.show(*pos, &mut text)?;
                let count = read_simple(&text, *pos, want, &mut copy)?;
                *pos += count as u64;
                Ok(count)
            }
        }
    }

    fn write(&self, _: &VfsFile, pos: &mut u64, src: &mut IoSrc<'_>) -> Result<usize, Errno> {
        let mut state = self.state.lock();
        let writer = state.writer.as_mut().ok_or(Errno::EINVAL)?;
        let count = src.remaining();
        writer.check(count, *pos)?;
        let wanted = count.min(writer.limit());
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(wanted).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(wanted, 0);
        if src.take(&mut bytes) < wanted {
            return Err(Errno::EFAULT);
        }
        let written = writer.write(&bytes, count, *pos)?;
        if writer.moves_offset() {
            *pos += written as u64;
        }
        Ok(written)
    }

    fn seek(&self, file: &VfsFile, offset: i64, whence: Whence) -> Result<u64, Errno> {
        let mut state = self.state.lock();
        match &mut state.reader {
            State::Seq(seq, source) => {
                let whence = match whence {
                    Whence::Set => SeqWhence::Set,
                    Whence::Current => SeqWhence::Current,
                    Whence::End | Whence::Data | Whence::Hole => SeqWhence::Other,
                };
                let mut pos = file.pos();
                let result = seq.seek(source, &mut pos, offset, whence);
                if result.is_err() {
                    file.set_pos(pos);
                }
                result
            }
            State::None => crate::vfs::seek_by_size(file, offset, whence, 0),
            State::Raw(raw) => seek_by_rule(raw.seek_rule(), file, offset, whence),
            State::Small(small) => seek_by_rule(small.seek_rule(), file, offset, whence),
        }
    }

    fn poll(&self, _: &VfsFile, table: Option<&mut PollTable>) -> PollEvents {
        match self.state.lock().poll.as_mut() {
            Some(poll) => poll.poll(table),
            None => PollEvents::ALWAYS_READY,
        }
    }

    fn features(&self) -> FileFeatures {
        self.features
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
