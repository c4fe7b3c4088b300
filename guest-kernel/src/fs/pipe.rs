//! Pipes and fifos.
//!
//! Owns the buffer, the counts of readers and writers, and who waits. SIGPIPE is the system-call layer's: a write without
//! readers answers `EPIPE`.
//! Invariants: a slot is never empty; a write of at most PIPE_BUF bytes takes at most one slot, so it is atomic.
//! Locks: `state` (rank PIPE); user memory is copied before it is taken, and nothing blocks or wakes under it.
//! Source: Linux 6.12 fs/pipe.c; pipe(7), fifo(7).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::any::Any;

use linux_raw_sys::ioctl::FIONREAD;
use procfs_core::Errno;

use crate::cred::{Capability, Cred};
use crate::mm::{IoDst, IoSrc, Mm};
use crate::phys::Frame;
use crate::sched::{PollTable, WaitMode, WaitQueue, Wake, Wchan};
use crate::sync::Mutex;
use crate::vfs::{
    Dentry, DeviceNumber, File, FileFeatures, FileKind, FileOps, Inode, Metadata, OpenFlags, Path, PollEvents, SetAttr,
    Timestamp, Vfs, rank,
};

/// A page in bytes, as a length in memory.
const PAGE_SIZE: usize = crate::phys::PAGE_SIZE as usize;

/// Slots of a new pipe (PIPE_DEF_BUFFERS).
const DEFAULT_SLOTS: usize = 16;

/// A page of data.
struct Slot {
    frame: Frame,
    start: usize,
    len: usize,
    /// Written with O_DIRECT: a read takes it whole and no write adds to it.
    is_packet: bool,
}

struct State {
    slots: VecDeque<Slot>,
    max_slots: usize,
    readers: usize,
    writers: usize,
    /// How often a reader and a writer has opened it: what a fifo's open waits for.
    reader_opens: u64,
    writer_opens: u64,
}

impl State {
    fn is_full(&self) -> bool {
        self.slots.len() >= self.max_slots
    }

    fn bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.len).sum()
    }
}

/// The object that the ends of a pipe share.
pub struct Pipe {
    state: Mutex<State>,
    readable: Arc<WaitQueue>,
    writable: Arc<WaitQueue>,
}

impl Pipe {
    /// An empty pipe that nobody has open.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let state = State {
            slots: VecDeque::new(),
            max_slots: DEFAULT_SLOTS,
            readers: 0,
            writers: 0,
            reader_opens: 0,
            writer_opens: 0,
        };
        Arc::new(Self {
            state: Mutex::new(rank::PIPE, state),
            readable: Arc::new(WaitQueue::new()),
            writable: Arc::new(WaitQueue::new()),
        })
    }

    fn wake(&self) {
        self.readable.wake_all();
        self.writable.wake_all();
    }

    /// The capacity in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.state.lock().max_slots * PAGE_SIZE
    }

    /// Sets the capacity to at least `size` bytes and returns it (`F_SETPIPE_SZ`).
    ///
    /// # Errors
    /// `EINVAL` for more than 2 GiB, `EPERM` for more than `most` (/proc/sys/fs/pipe-max-size) without `CAP_SYS_RESOURCE`, `EBUSY`
    /// if it holds more now.
    pub fn set_size(&self, size: u64, most: u64, cred: &Cred) -> Result<usize, Errno> {
        if size > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let size = size.max(PAGE_SIZE as u64).next_power_of_two();
        let slots = usize::try_from(size).map_err(|_| Errno::EINVAL)? / PAGE_SIZE;
        let mut state = self.state.lock();
        if slots > state.max_slots && size > most && !cred.capable(Capability::SysResource) {
            return Err(Errno::EPERM);
        }
        if slots < state.slots.len() {
            return Err(Errno::EBUSY);
        }
        let grows = slots > state.max_slots;
        state.max_slots = slots;
        drop(state);
        if grows {
            self.writable.wake_all();
        }
        Ok(slots * PAGE_SIZE)
    }

    fn has_readers(&self) -> bool {
        self.state.lock().readers > 0
    }

    /// Adds `len` bytes to the last slot if they fit there whole; `None` if they do not.
    fn merge(&self, len: usize, src: &mut IoSrc<'_>) -> Option<usize> {
        let (frame, at) = {
            let state = self.state.lock();
            let last = state.slots.back().filter(|last| !last.is_packet)?;
            let at = last.start + last.len;
            if at + len > PAGE_SIZE {
                return None;
            }
            (last.frame.clone(), at)
        };
        let copied = src.take_with(len, |done, bytes| frame.write_at(at + done, bytes));
        if copied < len {
            // What a fault cut short does not count (pipe_write()).
            return Some(0);
        }
        // Nothing ran in between: the copy does not block, so the slot is still the last.
        if let Some(last) = self.state.lock().slots.back_mut() {
            last.len += copied;
        }
        Some(copied)
    }
}

/// One open end of a pipe, or both ends of a fifo opened for reading and writing.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    /// How many writers had come when this reader opened a fifo without one: no hang-up until one more has.
    writers_at_open: Option<u64>,
}

impl PipeEnd {
    /// The pipe.
    #[must_use]
    pub fn pipe(&self) -> &Arc<Pipe> {
        &self.pipe
    }

    fn attach(pipe: &Arc<Pipe>, reads: bool, writes: bool) -> Self {
        {
            let mut state = pipe.state.lock();
            if reads {
                state.readers += 1;
                state.reader_opens += 1;
            }
            if writes {
                state.writers += 1;
                state.writer_opens += 1;
            }
        }
        pipe.wake();
        Self { pipe: pipe.clone(), reads, writes, writers_at_open: None }
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        {
            let mut state = self.pipe.state.lock();
            state.readers -= usize::from(self.reads);
            state.writers -= usize::from(self.writes);
        }
        self.pipe.wake();
    }
}

/// Opens a fifo, or an end of an unnamed pipe by /proc/PID/fd; blocks until the other end is open.
///
/// # Errors
/// `ENXIO` for a writer that must not block and finds no reader; `EINTR`.
pub(super) fn open(pipe: &Arc<Pipe>, flags: OpenFlags) -> Result<PipeEnd, Errno> {
    let (reads, writes) = (flags.is_readable(), flags.is_writable());
    let nonblocking = flags.contains(OpenFlags::NONBLOCK);
    if writes && !reads && nonblocking && !pipe.has_readers() {
        return Err(Errno::ENXIO);
    }
    let mut end = PipeEnd::attach(pipe, reads, writes);
    if reads && writes {
        return Ok(end);
    }
    let (alone, opens) = {
        let state = pipe.state.lock();
        if reads { (state.writers == 0, state.writer_opens) } else { (state.readers == 0, state.reader_opens) }
    };
    if !alone {
        return Ok(end);
    }
    if nonblocking {
        end.writers_at_open = Some(opens);
        return Ok(end);
    }
    let queue = if reads { &pipe.readable } else { &pipe.writable };
    let wake = queue.wait(Wchan::WaitForPartner, WaitMode::Interruptible, None, || {
        let state = pipe.state.lock();
        opens != if reads { state.writer_opens } else { state.reader_opens }
    });
    match wake {
        Wake::Event => Ok(end),
        Wake::Signal | Wake::Timeout => Err(Errno::EINTR),
    }
}

impl FileOps for PipeEnd {
    fn read(&self, file: &File, _: &mut u64, dst: &mut IoDst<'_>) -> Result<usize, Errno> {
        let pipe = &self.pipe;
        let mut done = 0;
        if dst.remaining() == 0 {
            return Ok(0);
        }
        loop {
            let front = {
                let state = pipe.state.lock();
                state.slots.front().map(|slot| (slot.frame.clone(), slot.start, slot.len, slot.is_packet))
            };
            if let Some((frame, start, len, is_packet)) = front {
                let wanted = len.min(dst.remaining());
                let copied = dst.put_with(wanted, |done, bytes| frame.read_at(start + done, bytes));
                if copied < wanted {
                    if done == 0 {
                        return Err(Errno::EFAULT);
                    }
                    break;
                }
                done += copied;
                let mut state = pipe.state.lock();
                let mut used_up = None;
                if let Some(slot) = state.slots.front_mut() {
                    slot.start += copied;
                    slot.len -= copied;
                    if slot.len == 0 || is_packet {
                        used_up = state.slots.pop_front();
                    }
                }
                drop(state);
                drop(used_up);
                if is_packet || dst.remaining() == 0 {
                    break;
                }
                continue;
            }
            if done > 0 || pipe.state.lock().writers == 0 {
                break;
            }
            if file.is_nonblocking() {
                return Err(Errno::EAGAIN);
            }
            let wake = pipe.readable.wait(Wchan::AnonPipeRead, WaitMode::Interruptible, None, || {
                let state = pipe.state.lock();
                !state.slots.is_empty() || state.writers == 0
            });
            if !matches!(wake, Wake::Event) {
                return Err(Errno::EINTR);
            }
        }
        pipe.writable.wake_all();
        Ok(done)
    }

    fn write(&self, file: &File, _: &mut u64, src: &mut IoSrc<'_>) -> Result<usize, Errno> {
        let pipe = &self.pipe;
        if src.remaining() == 0 {
            return Ok(0);
        }
        if !pipe.has_readers() {
            return Err(Errno::EPIPE);
        }
        let is_packet = file.flags().contains(OpenFlags::DIRECT);
        let mut done = 0;
        let tail = src.remaining() % PAGE_SIZE;
        if tail > 0
            && !is_packet
            && let Some(copied) = pipe.merge(tail, src)
        {
            done = copied;
            if copied < tail {
                return Err(Errno::EFAULT);
            }
        }
        let outcome = self.append(file, is_packet, src, &mut done);
        if done > 0 {
            pipe.readable.wake_all();
            return Ok(done);
        }
        outcome.map(|()| done)
    }

    fn poll(&self, _: &File, table: Option<&mut PollTable>) -> PollEvents {
        if let Some(table) = table {
            if self.reads {
                table.register(&self.pipe.readable);
            }
            if self.writes {
                table.register(&self.pipe.writable);
            }
        }
        let state = self.pipe.state.lock();
        let mut events = PollEvents::empty();
        if self.reads {
            if !state.slots.is_empty() {
                events |= PollEvents::IN | PollEvents::RDNORM;
            }
            if state.writers == 0 && self.writers_at_open != Some(state.writer_opens) {
                events |= PollEvents::HUP;
            }
        }
        if self.writes {
            if !state.is_full() {
                events |= PollEvents::OUT | PollEvents::WRNORM;
            }
            if state.readers == 0 {
                events |= PollEvents::ERR;
            }
        }
        events
    }

    fn ioctl(&self, _: &File, request: u32, arg: u64, mm: &Mm) -> Result<usize, Errno> {
        if request != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let bytes = i32::try_from(self.pipe.state.lock().bytes()).unwrap_or(i32::MAX);
        mm.copy_out(arg, &bytes.to_ne_bytes())?;
        Ok(0)
    }

    fn features(&self) -> FileFeatures {
        FileFeatures::READ | FileFeatures::WRITE | FileFeatures::POLL
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl PipeEnd {
    /// Adds slots until all of `src` is in or something stops it; `done` counts what got in.
    fn append(&self, file: &File, is_packet: bool, src: &mut IoSrc<'_>, done: &mut usize) -> Result<(), Errno> {
        let pipe = &self.pipe;
        while src.remaining() > 0 {
            if !pipe.has_readers() {
                return Err(Errno::EPIPE);
            }
            if pipe.state.lock().is_full() {
                if file.is_nonblocking() {
                    return Err(Errno::EAGAIN);
                }
                pipe.readable.wake_all();
                let wake = pipe.writable.wait(Wchan::AnonPipeWrite, WaitMode::Interruptible, None, || {
                    let state = pipe.state.lock();
                    !state.is_full() || state.readers == 0
                });
                if !matches!(wake, Wake::Event) {
                    return Err(Errno::EINTR);
                }
                continue;
            }
            pipe.state.lock().slots.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            let frame = Frame::alloc()?;
            let wanted = src.remaining().min(PAGE_SIZE);
            let len = src.take_with(wanted, |done, bytes| frame.write_at(done, bytes));
            if len < wanted {
                // What a fault cut short does not count (pipe_write()).
                return Err(Errno::EFAULT);
            }
            pipe.state.lock().slots.push_back(Slot { frame, start: 0, len, is_packet });
            *done += len;
        }
        Ok(())
    }
}

struct PipeInode {
    pipe: Arc<Pipe>,
    attributes: Mutex<Metadata>,
}

impl Inode for PipeInode {
    fn kind(&self) -> FileKind {
        FileKind::Fifo
    }

    fn metadata(&self) -> Metadata {
        self.attributes.lock().clone()
    }

    fn open(self: Arc<Self>, _: &Path, flags: OpenFlags, _: &Arc<Cred>) -> Result<Box<dyn FileOps>, Errno> {
        Ok(Box::new(open(&self.pipe, flags)?))
    }

    fn set_attr(&self, attr: &SetAttr) -> Result<(), Errno> {
        let mut attributes = self.attributes.lock();
        attributes.mode = attr.mode.unwrap_or(attributes.mode);
        attributes.uid = attr.uid.unwrap_or(attributes.uid);
        attributes.gid = attr.gid.unwrap_or(attributes.gid);
        attributes.atime = attr.atime.unwrap_or(attributes.atime);
        attributes.mtime = attr.mtime.unwrap_or(attributes.mtime);
        attributes.ctime = Timestamp::now();
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The attributes of a new pipe without a name, which belongs to who made it.
#[must_use]
pub fn unnamed(vfs: &Vfs, cred: &Cred) -> Metadata {
    let now = Timestamp::now();
    Metadata {
        ino: vfs.next_ino(),
        kind: FileKind::Fifo,
        mode: 0o600,
        nlink: 1,
        uid: cred.fsuid,
        gid: cred.fsgid,
        size: 0,
        blocks: 0,
        block_size: PAGE_SIZE as u32,
        rdev: DeviceNumber::default(),
        atime: now,
        mtime: now,
        ctime: now,
        btime: None,
    }
}

/// A new unnamed pipe, shown as `pipe:[INO]`: the end to read and the end to write.
///
/// Of `flags`, `NONBLOCK` and `DIRECT` count.
#[must_use]
pub fn new_pair(vfs: &Vfs, flags: OpenFlags, cred: &Arc<Cred>) -> (Arc<File>, Arc<File>) {
    let pipe = Pipe::new();
    let metadata = unnamed(vfs, cred);
    let ino = metadata.ino;
    let inode = Arc::new(PipeInode { pipe: pipe.clone(), attributes: Mutex::new(rank::INODE, metadata) });
    let name = alloc::format!("pipe:[{ino}]");
    let path = Path { mount: vfs.pipe_mount().clone(), dentry: Dentry::new_root(inode, name.as_bytes()) };
    let kept = flags & (OpenFlags::NONBLOCK | OpenFlags::DIRECT);
    let reader = PipeEnd::attach(&pipe, true, false);
    let writer = PipeEnd::attach(&pipe, false, true);
    (
        // Linux shows O_DIRECT on the writing end only (create_pipe_files()).
        File::new(path.clone(), Box::new(reader), kept & OpenFlags::NONBLOCK, cred.clone()),
        File::new(path, Box::new(writer), kept | OpenFlags::WRONLY, cred.clone()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::test_tree::Tree;

    fn pair(flags: OpenFlags) -> (Arc<File>, Arc<File>, Tree) {
        let tree = Tree::new();
        let (reader, writer) = new_pair(&tree.ns.vfs, flags | OpenFlags::NONBLOCK, &tree.root.cred);
        (reader, writer, tree)
    }

    fn write(file: &File, bytes: &[u8]) -> Result<usize, Errno> {
        file.write(&mut IoSrc::kernel(bytes))
    }

    fn read(file: &File, len: usize) -> Result<alloc::vec::Vec<u8>, Errno> {
        let mut bytes = alloc::vec![0; len];
        let count = file.read(&mut IoDst::kernel(&mut bytes))?;
        bytes.truncate(count);
        Ok(bytes)
    }

    #[test]
    fn bytes_come_out_in_order_and_small_writes_share_a_page() {
        let (reader, writer, _tree) = pair(OpenFlags::empty());
        assert_eq!(read(&reader, 10), Err(Errno::EAGAIN));
        for _ in 0..1000 {
            assert_eq!(write(&writer, b"abc"), Ok(3));
        }
        assert_eq!(read(&reader, 4).as_deref(), Ok(&b"abca"[..]));
        assert_eq!(read(&reader, 5000).map(|bytes| bytes.len()), Ok(2996));
    }

    #[test]
    fn a_full_pipe_takes_part_of_a_large_write_and_none_of_a_small_one() {
        let (reader, writer, _tree) = pair(OpenFlags::empty());
        assert_eq!(write(&writer, &[1; 70_000]), Ok(65_536));
        assert_eq!(write(&writer, b"x"), Err(Errno::EAGAIN));
        // A page that has been read in part is not free yet.
        assert_eq!(read(&reader, 100).map(|bytes| bytes.len()), Ok(100));
        assert_eq!(write(&writer, b"x"), Err(Errno::EAGAIN));
        assert_eq!(read(&reader, 3996).map(|bytes| bytes.len()), Ok(3996));
        assert_eq!(write(&writer, b"x"), Ok(1));
    }

    #[test]
    fn ends_see_each_other_close() {
        let (reader, writer, tree) = pair(OpenFlags::empty());
        assert_eq!(reader.poll(None), PollEvents::empty());
        assert_eq!(writer.poll(None), PollEvents::OUT | PollEvents::WRNORM);
        assert_eq!(write(&writer, b"last"), Ok(4));
        drop(writer);
        assert_eq!(reader.poll(None), PollEvents::IN | PollEvents::RDNORM | PollEvents::HUP);
        assert_eq!(read(&reader, 10).as_deref(), Ok(&b"last"[..]));
        assert_eq!(read(&reader, 10).as_deref(), Ok(&b""[..]));
        let (reader, writer) = new_pair(&tree.ns.vfs, OpenFlags::empty(), &tree.root.cred);
        drop(reader);
        assert_eq!(write(&writer, b"x"), Err(Errno::EPIPE));
        assert_eq!(write(&writer, b""), Ok(0));
        assert!(writer.poll(None).contains(PollEvents::ERR));
    }

    #[test]
    fn packets_stay_apart() {
        let (reader, writer, _tree) = pair(OpenFlags::DIRECT);
        assert_eq!(write(&writer, b"first"), Ok(5));
        assert_eq!(write(&writer, b"second"), Ok(6));
        assert_eq!(read(&reader, 3).as_deref(), Ok(&b"fir"[..]));
        assert_eq!(read(&reader, 10).as_deref(), Ok(&b"second"[..]));
    }

    #[test]
    fn the_size_is_a_power_of_two_within_bounds() {
        let tree = Tree::new();
        let pipe = Pipe::new();
        let user = tree.user(1000).cred;
        assert_eq!(pipe.set_size(5000, 1 << 20, &user), Ok(8192));
        assert_eq!(pipe.set_size(1, 1 << 20, &user), Ok(4096));
        assert_eq!(pipe.set_size(2 << 20, 1 << 20, &user), Err(Errno::EPERM));
        assert_eq!(pipe.set_size(3 << 30, 1 << 20, &tree.root.cred), Err(Errno::EINVAL));
        assert_eq!(pipe.set_size(2 << 20, 1 << 20, &tree.root.cred), Ok(2 << 20));
    }

    #[test]
    fn a_pipe_has_a_number_for_its_name_and_no_position() {
        let (reader, _writer, tree) = pair(OpenFlags::empty());
        let ino = reader.inode().metadata().ino;
        let text = crate::vfs::d_path(reader.path(), &tree.root.root);
        assert_eq!(text, alloc::format!("pipe:[{ino}]").into_bytes());
        assert_eq!(reader.seek(0, crate::vfs::Whence::Set), Err(Errno::ESPIPE));
    }

    #[test]
    fn a_fifo_without_reader_refuses_a_writer_that_cannot_wait() {
        let tree = Tree::new();
        tree.root.mknod(b"/fifo", FileKind::Fifo, 0o666, DeviceNumber::default()).expect("creatable");
        let open = |flags| tree.root.open(b"/fifo", flags | OpenFlags::NONBLOCK, 0);
        assert_eq!(open(OpenFlags::WRONLY).err(), Some(Errno::ENXIO));
        let reader = open(OpenFlags::empty()).expect("a reader need not wait");
        assert_eq!(reader.poll(None), PollEvents::empty());
        let writer = open(OpenFlags::WRONLY).expect("there is a reader");
        assert_eq!(write(&writer, b"hi"), Ok(2));
        drop(writer);
        assert_eq!(read(&reader, 5).as_deref(), Ok(&b"hi"[..]));
        assert_eq!(reader.poll(None), PollEvents::HUP);
    }
}
