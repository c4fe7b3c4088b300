//! The requests of the host's kernel, turned into questions to the other side.
//!
//! One thread reads them and never waits for an answer: each goes out at once, and its reply is sent to the kernel by the closure that gets
//! the answer. So readers do not wait for each other.
//! Three things are the mount's own. `self` leads to process 1, since no process of the guest reads here, and tools want a `self` that
//! exists. Nothing can be made or removed, with the errno that procfs has for it. And a process that looks for its own number, as ps(1)
//! does, finds process 1 if the guest has none of that number; listings do not show it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path as StdPath;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use procfs_core::ninep::wire::{SetAttr, Timestamp, open_flags, setattr_valid};

use super::answer::{self, NAME_MAX, Place};
use super::caller::Process;
use super::nodes::{Nodes, child};
use crate::proc::pipeline::{Answer, Ask, Caller, Done, MAX_WRITE, OpenFile, Path, Pipeline, Target};

/// How long the kernel may believe what it was told: not at all.
const TTL: Duration = Duration::ZERO;
/// Names in the root that lead to whoever reads, and where they lead here.
const READER_LINKS: [(&[u8], &[u8]); 2] = [(b"self", b"1"), (b"thread-self", b"1/task/1")];
/// The process that stands for one of the host.
const STAND_IN: &[u8] = b"1";
/// Entries of one directory, read from its start to its end: as many as a process may have descriptors (fs.nr_open); more is `EIO`.
const MAX_ENTRIES: u64 = 1 << 20;
/// Bytes of entries to ask for at first: what fills the largest buffer of getdents64(2) that the C library uses.
const LIST_BYTES: u32 = 32 * 1024 * LEAST_9P / LEAST_FUSE;
/// The least bytes that an entry takes in 9P, and in FUSE.
const LEAST_9P: u32 = 25;
const LEAST_FUSE: u32 = 32;

/// A directory that is open.
#[derive(Debug, Clone, Copy)]
struct Listing {
    /// Entries given out since its start.
    entries: u64,
    /// Bytes of entries that fit what the kernel asks for.
    bytes: u32,
}

pub(super) struct ProcFs {
    pipeline: Pipeline,
    nodes: Arc<Mutex<Nodes>>,
    /// By file handle.
    listings: Arc<Mutex<HashMap<u64, Listing>>>,
    /// The host's `/proc`.
    host: Arc<File>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these with its content half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProcFs {
    pub(super) fn new(pipeline: Pipeline, host: Arc<File>) -> Self {
        Self { pipeline, nodes: Arc::default(), listings: Arc::default(), host }
    }

    fn target(&self, ino: INodeNo) -> Result<Target, Errno> {
        // The kernel knows only numbers that it was told.
        lock(&self.nodes).target(ino.0).ok_or(Errno::ENOENT)
    }

    fn caller(&self, request: &Request) -> Process {
        Process::new(&self.host, request.pid())
    }

    /// Asks about a node; `done` gets the answer, or `None` if there was no need to ask and the errno stands.
    fn ask(&self, request: &Request, ino: INodeNo, ask: Ask, done: Done) {
        match self.target(ino) {
            Ok(target) => self.pipeline.ask(target, ask, Box::new(self.caller(request)), done),
            Err(_) => done(Err(procfs_core::Errno::ENOENT)),
        }
    }

    fn open_node(&self, request: &Request, ino: INodeNo, flags: u32, how: FopenFlags, reply: ReplyOpen) {
        let listings = Arc::clone(&self.listings);
        let is_directory = flags & open_flags::DIRECTORY != 0;
        self.ask(
            request,
            ino,
            Ask::Open(flags),
            Box::new(move |answer| match answer {
                Ok(Answer::Open(OpenFile(number))) => {
                    let handle = u64::from(number);
                    if is_directory {
                        lock(&listings).insert(handle, Listing { entries: 0, bytes: LIST_BYTES });
                    }
                    reply.opened(FileHandle(handle), how);
                }
                other => reply.error(refusal(other)),
            }),
        );
    }

    fn close(&self, handle: FileHandle) {
        if let Some(file) = open_file(handle) {
            self.pipeline.close(file);
        }
    }
}

/// The kernel gives back what it was given: a number of 32 bits.
fn open_file(handle: FileHandle) -> Option<OpenFile> {
    u32::try_from(handle.0).ok().map(OpenFile)
}

/// The errno of an answer that is none, or not the one that was asked for.
fn refusal(answer: Result<Answer<'_>, procfs_core::Errno>) -> Errno {
    answer.map_or_else(answer::errno, |_| Errno::EIO)
}

/// A name that is looked up, and where its answer goes.
struct Lookup {
    nodes: Arc<Mutex<Nodes>>,
    path: Path,
    reply: ReplyEntry,
}

impl Lookup {
    fn answer(self, answer: Result<Answer<'_>, procfs_core::Errno>) {
        match answer {
            Ok(Answer::Attr(attr)) => match answer::attributes(&attr, Place::Below) {
                Ok(attr) => {
                    // Before the kernel hears of it, which may ask for it at once.
                    lock(&self.nodes).remember(attr.ino.0, &self.path);
                    self.reply.entry(&TTL, &attr, Generation(0));
                }
                Err(errno) => self.reply.error(errno),
            },
            other => self.reply.error(refusal(other)),
        }
    }
}

fn is_number(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(u8::is_ascii_digit)
}

impl Filesystem for ProcFs {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Without the first, lookups in one directory wait for each other; by the second open(2) hears what the guest says of O_TRUNC.
        // A kernel without them goes on without.
        for wanted in [InitFlags::FUSE_PARALLEL_DIROPS, InitFlags::FUSE_ATOMIC_O_TRUNC] {
            let _ = config.add_capabilities(wanted);
        }
        let max_write = u32::try_from(MAX_WRITE).expect("some pages");
        config.set_max_write(max_write).map(drop).map_err(|_| io::Error::other("the kernel's writes are too large"))
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes();
        let place = self.target(parent).map(|parent| child(&parent.path, name));
        let path = match place {
            Ok(Some(path)) if name.len() <= NAME_MAX => path,
            Ok(_) => return reply.error(Errno::ENAMETOOLONG),
            Err(errno) => return reply.error(errno),
        };
        let caller = self.caller(request);
        let lookup = Lookup { nodes: Arc::clone(&self.nodes), path: Arc::clone(&path), reply };
        let (pipeline, again) = (self.pipeline.clone(), caller.clone());
        let may_be_itself = parent == INodeNo::ROOT && is_number(name);
        let wanted = Arc::clone(&path);
        let done: Done = Box::new(move |answer| match answer {
            Err(procfs_core::Errno::ENOENT) if may_be_itself && again.is_called(&wanted[0]) => {
                let path: Path = Arc::new([STAND_IN.to_vec()]);
                let lookup = Lookup { path: Arc::clone(&path), ..lookup };
                let target = Target { path, ino: None };
                pipeline.ask_further(target, Ask::Attr, Box::new(again), Box::new(|answer| lookup.answer(answer)));
            }
            answer => lookup.answer(answer),
        });
        self.pipeline.ask(Target { path, ino: None }, Ask::Attr, Box::new(caller), done);
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        lock(&self.nodes).forget(ino.0, lookups);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let done = move |answer: Result<Answer<'_>, procfs_core::Errno>| match answer {
            Ok(Answer::Attr(attr)) => match answer::attributes(&attr, Place::of(ino.0)) {
                Ok(attr) => reply.attr(&TTL, &attr),
                Err(errno) => reply.error(errno),
            },
            other => reply.error(refusal(other)),
        };
        self.ask(request, ino, Ask::Attr, Box::new(done));
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut wanted = SetAttr::default();
        let mut set = |is_given: bool, bit| wanted.valid |= if is_given { bit } else { 0 };
        set(mode.is_some(), setattr_valid::MODE);
        set(uid.is_some(), setattr_valid::UID);
        set(gid.is_some(), setattr_valid::GID);
        set(size.is_some(), setattr_valid::SIZE);
        set(atime.is_some(), setattr_valid::ATIME);
        set(mtime.is_some(), setattr_valid::MTIME);
        wanted.mode = mode.unwrap_or(0) & 0o7777;
        (wanted.uid, wanted.gid, wanted.size) = (uid.unwrap_or(0), gid.unwrap_or(0), size.unwrap_or(0));
        (wanted.atime, wanted.mtime) = (wire_time(atime), wire_time(mtime));
        let target = self.target(ino);
        let (pipeline, caller) = (self.pipeline.clone(), self.caller(request));
        let again: Box<dyn Caller> = Box::new(caller.clone());
        let done = move |answer: Result<Answer<'_>, procfs_core::Errno>| match (answer, target) {
            (Ok(Answer::SetAttr), Ok(target)) => {
                let done = move |answer: Result<Answer<'_>, procfs_core::Errno>| match answer {
                    Ok(Answer::Attr(attr)) => match answer::attributes(&attr, Place::of(ino.0)) {
                        Ok(attr) => reply.attr(&TTL, &attr),
                        Err(errno) => reply.error(errno),
                    },
                    other => reply.error(refusal(other)),
                };
                pipeline.ask_further(target, Ask::Attr, again, Box::new(done));
            }
            (other, _) => reply.error(refusal(other)),
        };
        self.ask(request, ino, Ask::SetAttr(wanted), Box::new(done));
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        let target = match self.target(ino) {
            Ok(target) => target,
            Err(errno) => return reply.error(errno),
        };
        if let [name] = &target.path[..]
            && let Some((_, text)) = READER_LINKS.iter().find(|(link, _)| link == name)
        {
            return reply.data(text);
        }
        let done = move |answer: Result<Answer<'_>, procfs_core::Errno>| match answer {
            Ok(Answer::Link(text)) => match answer::link(text) {
                Ok(text) => reply.data(text),
                Err(errno) => reply.error(errno),
            },
            other => reply.error(refusal(other)),
        };
        self.pipeline.ask(target, Ask::Link, Box::new(self.caller(request)), Box::new(done));
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let flags = flags.0.cast_unsigned() & (open_flags::ACCMODE | open_flags::TRUNC);
        // A file of size 0 has content only for reads that do not go by way of the page cache.
        self.open_node(request, ino, flags, FopenFlags::FOPEN_DIRECT_IO, reply);
    }

    fn read(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = open_file(handle) else { return reply.error(Errno::EBADF) };
        let done = move |answer: Result<Answer<'_>, procfs_core::Errno>| match answer {
            Ok(Answer::Bytes(bytes)) => reply.data(bytes),
            other => reply.error(refusal(other)),
        };
        self.pipeline.read(file, offset, size, Box::new(self.caller(request)), Box::new(done));
    }

    fn write(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let Some(file) = open_file(handle) else { return reply.error(Errno::EBADF) };
        let done = move |answer: Result<Answer<'_>, procfs_core::Errno>| match answer {
            Ok(Answer::Written(count)) => reply.written(count),
            other => reply.error(refusal(other)),
        };
        self.pipeline.write(file, offset, data, Box::new(self.caller(request)), Box::new(done));
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.close(handle);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        // No file of /proc has an fsync operation: Linux 6.12 fs/sync.c vfs_fsync_range().
        reply.error(Errno::EINVAL);
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let flags = open_flags::RDONLY | open_flags::DIRECTORY;
        self.open_node(request, ino, flags, FopenFlags::empty(), reply);
    }

    fn readdir(&self, request: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listing = lock(&self.listings).get(&handle.0).copied();
        let (Some(mut listing), Some(file)) = (listing, open_file(handle)) else { return reply.error(Errno::EBADF) };
        if offset == 0 {
            listing.entries = 0;
        }
        if listing.entries >= MAX_ENTRIES {
            return reply.error(Errno::EIO);
        }
        let listings = Arc::clone(&self.listings);
        let done = move |answer: Result<Answer<'_>, procfs_core::Errno>| {
            let data = match answer {
                Ok(Answer::Bytes(data)) => data,
                other => return reply.error(refusal(other)),
            };
            let before = listing.entries;
            let mut used = 0;
            for entry in answer::entries(data, offset) {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(errno) => return reply.error(errno),
                };
                if reply.add(entry.ino, entry.next_offset, entry.kind, OsStr::from_bytes(entry.name)) {
                    // The kernel's buffer is smaller than was thought: what did not fit is asked for again.
                    listing.bytes = used;
                    break;
                }
                used += u32::try_from(procfs_core::ninep::wire::dirent_len(entry.name.len())).expect("a short name");
                listing.entries += 1;
            }
            if let Some(kept) = lock(&listings).get_mut(&handle.0) {
                let least = u32::try_from(procfs_core::ninep::wire::dirent_len(NAME_MAX)).expect("a short name");
                *kept = Listing { bytes: listing.bytes.max(least), ..listing };
            }
            if !data.is_empty() && listing.entries == before {
                // Not one fits: an empty answer would be the end of the directory.
                return reply.error(Errno::EINVAL);
            }
            reply.ok();
        };
        self.pipeline.list(file, offset, listing.bytes, Box::new(self.caller(request)), Box::new(done));
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        lock(&self.listings).remove(&handle.0);
        self.close(handle);
        reply.ok();
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::EINVAL);
    }

    fn statfs(&self, request: &Request, _: INodeNo, reply: ReplyStatfs) {
        let done = move |answer: Result<Answer<'_>, procfs_core::Errno>| match answer {
            Ok(Answer::Statfs(stat)) => {
                let (bsize, namelen) = (stat.bsize, stat.namelen);
                reply.statfs(stat.blocks, stat.bfree, stat.bavail, stat.files, stat.ffree, bsize, namelen, bsize);
            }
            other => reply.error(refusal(other)),
        };
        self.ask(request, INodeNo::ROOT, Ask::Statfs, Box::new(done));
    }

    // Nothing is made: the lookup of a name that is not there fails first (Linux 6.12 fs/proc/generic.c proc_lookup_de()).
    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(Errno::ENOENT);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::ENOENT);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::ENOENT);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &StdPath, reply: ReplyEntry) {
        reply.error(Errno::ENOENT);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::ENOENT);
    }

    // Nor removed: directories of /proc have no such operation (Linux 6.12 fs/namei.c vfs_unlink(), vfs_rmdir(), vfs_rename()).
    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }

    fn rename(&self, _: &Request, _: INodeNo, _: &OsStr, _: INodeNo, _: &OsStr, _: RenameFlags, reply: ReplyEmpty) {
        reply.error(Errno::EPERM);
    }
}

fn wire_time(time: Option<TimeOrNow>) -> Timestamp {
    let time = match time {
        Some(TimeOrNow::SpecificTime(time)) => time,
        Some(TimeOrNow::Now) => SystemTime::now(),
        None => return Timestamp::default(),
    };
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { sec: since.as_secs(), nsec: u64::from(since.subsec_nanos()) }
}
