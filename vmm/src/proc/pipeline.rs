//! A 9P2000.L client for many callers at once: a request is sent by whoever asks, its answer arrives as a call of a closure.
//!
//! Owns the stream, the tags and the fids; knows nothing of who asks. Nobody waits for another's answer: walk, operation and clunk of one
//! job ([`job`]) go out together, those of several jobs behind each other, and one thread hands out the replies as they come.
//! Bounds: [`MAX_JOBS`] jobs and [`MAX_OPEN`] open files, [`PATIENCE`] for each answer. An answer that does not come in time is `EIO`; until
//! the next reply comes the VM counts as stalled, and who asks then is told at once. A caller with a pending signal is let go with `EINTR`.
//! A reply that cannot be right is `EIO` for its own request; only a stream whose framing is lost, or that ends, ends the pipeline.
//! Locks: `Shared::state`, held for one step and never while a closure runs, since closures ask again.

mod job;
mod receiver;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use procfs_core::Errno;
use procfs_core::ninep::wire::{
    Attr, Fid, MAX_WALK, NO_FID, NO_TAG, READ_OVERHEAD, Request, SetAttr, Statfs, VERSION, WRITE_OVERHEAD,
};
use rustix::event::EventfdFlags;

use self::job::{Job, Step};
use self::receiver::Receiver;
use super::peer::Peer;
use super::transport::{ClientError, Expected};

/// How long an answer may take before its caller gets `EIO`.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Jobs that are on their way at once; who asks for one more waits until there is room, at most [`PATIENCE`].
pub const MAX_JOBS: usize = 64;
/// Files and directories that are open at once; one more is `ENFILE`.
pub const MAX_OPEN: usize = 1024;
/// The most bytes that one write takes.
pub const MAX_WRITE: usize = 32 * 1024;
/// How often the jobs on their way are looked at for their age and their callers' signals.
const TICK: Duration = Duration::from_millis(100);
/// The message limit that is proposed, in bytes.
const MSIZE: u32 = 64 * 1024;
/// The fid of the tree's root, for the life of the stream.
const ROOT: Fid = Fid(0);

/// Names from the root to a file; at most [`MAX_NAMES`], which is deeper than `/proc` is.
pub type Path = Arc<[Vec<u8>]>;

/// The most names that a [`Path`] may have.
pub const MAX_NAMES: usize = MAX_WALK;

/// A file that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFile(pub u32);

/// What is asked of a file by its path.
#[derive(Debug, Clone, Copy)]
pub enum Ask {
    /// Its attributes.
    Attr,
    /// Its text, as a symbolic link.
    Link,
    /// To open it with these flags of open(2).
    Open(u32),
    /// To change these attributes.
    SetAttr(SetAttr),
    /// The statistics of the file system it is in.
    Statfs,
}

/// What came of a request; bytes are the reply's own.
#[derive(Debug)]
pub enum Answer<'a> {
    /// To [`Ask::Attr`].
    Attr(Box<Attr>),
    /// To [`Ask::Link`].
    Link(&'a [u8]),
    /// To [`Ask::Open`].
    Open(OpenFile),
    /// To [`Ask::SetAttr`].
    SetAttr,
    /// To [`Ask::Statfs`].
    Statfs(Box<Statfs>),
    /// To a read: the bytes; to a list: the entries as they travel.
    Bytes(&'a [u8]),
    /// To a write: how many bytes were taken.
    Written(u32),
}

/// What is called with the answer, once.
pub type Done = Box<dyn for<'a> FnOnce(Result<Answer<'a>, Errno>) + Send>;

/// Who asks, to be let go when a signal waits for them.
pub trait Caller: Send {
    /// Whether a signal waits for them that they would take.
    fn has_signal(&self) -> bool;
}

/// A file by its path.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its path.
    pub path: Path,
    /// The inode number that must be found there, if it is known already; another file at the path is `ENOENT`.
    pub ino: Option<u64>,
}

/// A running client; the stream is closed when the last clone is dropped.
#[derive(Clone)]
pub struct Pipeline {
    shared: Arc<Shared>,
    /// Its closing ends the receiver.
    _stop: Arc<UnixStream>,
}

struct Shared {
    state: Mutex<State>,
    /// Told when there is room for a job, when the stream is ready and when it has ended.
    changed: Condvar,
    /// Wakes the receiver: there is something to send, or a first job to watch over.
    wake: OwnedFd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Dialect and root are not agreed on: requests wait in `held`.
    Opening,
    Ready,
    Ended,
}

/// A request that has not been answered.
struct Pending {
    job: usize,
    step: Step,
    expected: Expected,
}

struct State {
    phase: Phase,
    msize: u32,
    sender: Peer,
    /// What is sent once the stream is ready.
    held: Vec<u8>,
    /// By number.
    jobs: Vec<Option<Job>>,
    free_jobs: Vec<usize>,
    /// By tag.
    pending: Vec<Option<Pending>>,
    free_tags: Vec<u16>,
    free_fids: Vec<Fid>,
    next_fid: u32,
    open_files: usize,
    /// Since an answer was overdue, no reply has come.
    is_stalled: bool,
    /// The receiver looks at the jobs at each tick.
    is_watching: bool,
}

impl Pipeline {
    /// Speaks 9P2000.L over `stream`. Dialect and root are agreed on behind the caller's back: what is asked before waits its time.
    /// `ended` is called when the stream has ended, by the other side or by a fault.
    ///
    /// # Errors
    /// When a thread or a descriptor cannot be had.
    pub fn start(stream: UnixStream, ended: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = UnixStream::pair()?;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // One stream, two ends of our own: callers send, the thread receives. The sender takes no messages in.
        let mut sender = Peer::new(stream.try_clone()?.into(), 0);
        Request::Version { msize: MSIZE, version: VERSION }.encode(NO_TAG, &mut sender.out);
        let state = State {
            phase: Phase::Opening,
            msize: MSIZE,
            sender,
            held: Vec::new(),
            jobs: Vec::new(),
            free_jobs: Vec::new(),
            pending: Vec::new(),
            free_tags: Vec::new(),
            free_fids: Vec::new(),
            next_fid: ROOT.0 + 1,
            open_files: 0,
            is_stalled: false,
            is_watching: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), wake });
        let receiver = Receiver::new(Arc::clone(&shared), Peer::new(stream.into(), MSIZE), stopped);
        thread::Builder::new().name("9p-pipeline".into()).spawn(move || {
            // Why it ended is for its callers: each has been told EIO.
            let _ = receiver.run();
            ended();
        })?;
        Ok(Self { shared, _stop: Arc::new(stop) })
    }

    /// Waits until dialect and root are agreed on.
    ///
    /// # Errors
    /// [`ClientError::Timeout`] after `patience`, [`ClientError::Closed`] if the stream has ended before.
    pub fn wait_until_ready(&self, patience: Duration) -> Result<(), ClientError> {
        let is_opening = |state: &mut State| state.phase == Phase::Opening;
        let wait = self.shared.changed.wait_timeout_while(self.shared.lock(), patience, is_opening);
        let (state, _) = wait.unwrap_or_else(PoisonError::into_inner);
        match state.phase {
            Phase::Opening => Err(ClientError::Timeout),
            Phase::Ready => Ok(()),
            Phase::Ended => Err(ClientError::Closed),
        }
    }

    /// Asks about the file at a path; `done` gets the answer.
    pub fn ask(&self, target: Target, ask: Ask, caller: Box<dyn Caller>, done: Done) {
        self.begin(Job::of_path(target, ask, caller, done));
    }

    /// As [`ask`](Self::ask), from within a closure that has just got an answer: takes the place of that job and never waits.
    pub fn ask_further(&self, target: Target, ask: Ask, caller: Box<dyn Caller>, done: Done) {
        let state = self.shared.lock();
        self.shared.admit(state, Job::of_path(target, ask, caller, done));
    }

    /// Reads at most `count` bytes of an open file from `offset` on.
    pub fn read(&self, file: OpenFile, offset: u64, count: u32, caller: Box<dyn Caller>, done: Done) {
        self.begin(Job::of_file(file, job::Act::Read { offset, count }, caller, done));
    }

    /// Lists an open directory from `offset` on, in at most `count` bytes of entries.
    pub fn list(&self, file: OpenFile, offset: u64, count: u32, caller: Box<dyn Caller>, done: Done) {
        self.begin(Job::of_file(file, job::Act::List { offset, count }, caller, done));
    }

    /// Writes to an open file at `offset`; of more than [`MAX_WRITE`] bytes the rest is not taken.
    pub fn write(&self, file: OpenFile, offset: u64, data: &[u8], caller: Box<dyn Caller>, done: Done) {
        let data = data[..data.len().min(MAX_WRITE)].into();
        self.begin(Job::of_file(file, job::Act::Write { offset, data }, caller, done));
    }

    /// Closes an open file; it must not be used any more.
    pub fn close(&self, file: OpenFile) {
        let mut state = self.shared.lock();
        state.open_files = state.open_files.saturating_sub(1);
        self.shared.admit(state, Job::to_close(file));
    }

    /// How many jobs are on their way and how many files are open, for tests of what is left behind.
    pub fn load(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.busy(), state.open_files)
    }

    fn begin(&self, job: Job) {
        let is_full = |state: &mut State| state.busy() >= MAX_JOBS && state.phase != Phase::Ended && !state.is_stalled;
        let wait = self.shared.changed.wait_timeout_while(self.shared.lock(), PATIENCE, is_full);
        let (mut state, outcome) = wait.unwrap_or_else(PoisonError::into_inner);
        if state.is_stalled || outcome.timed_out() {
            drop(state);
            job.refuse(Errno::EIO);
        } else if job.opens() && state.open_files >= MAX_OPEN {
            drop(state);
            job.refuse(Errno::ENFILE);
        } else {
            state.open_files += usize::from(job.opens());
            self.shared.admit(state, job);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the first requests of a job.
    fn admit(&self, mut state: MutexGuard<'_, State>, job: Job) {
        if state.phase == Phase::Ended {
            drop(state);
            return job.refuse(Errno::EIO);
        }
        let number = state.free_jobs.pop().unwrap_or_else(|| {
            state.jobs.push(None);
            state.jobs.len() - 1
        });
        state.start(number, job);
        let starts_watch = !std::mem::replace(&mut state.is_watching, true);
        // A stream that has failed ends the receiver too, which tells everybody.
        let is_sent = state.sender.send().is_ok() && state.sender.queued() == 0;
        drop(state);
        if starts_watch || !is_sent {
            self.wake();
        }
    }

    fn wake(&self) {
        // An event descriptor takes 2^64-2 wakes before it refuses one.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl State {
    fn busy(&self) -> usize {
        self.jobs.len() - self.free_jobs.len()
    }

    fn start(&mut self, number: usize, mut job: Job) {
        if job.needs_fid() {
            job.fid = self.free_fids.pop().unwrap_or_else(|| {
                self.next_fid += 1;
                Fid(self.next_fid - 1)
            });
        }
        job.started = Some(Instant::now());
        job.start(self.read_limit(), &mut |step, request| self.submit(number, step, request));
        self.jobs[number] = Some(job);
    }

    fn submit(&mut self, job: usize, step: Step, request: &Request<'_>) {
        let tag = self.free_tags.pop().unwrap_or_else(|| {
            self.pending.push(None);
            u16::try_from(self.pending.len() - 1).expect("jobs are bounded, and a job has few requests on their way")
        });
        let out = if self.phase == Phase::Ready { &mut self.sender.out } else { &mut self.held };
        request.encode(tag, out);
        self.pending[usize::from(tag)] = Some(Pending { job, step, expected: Expected::answer_to(request) });
    }

    /// The most bytes that one Rread can carry.
    const fn read_limit(&self) -> u32 {
        self.msize - READ_OVERHEAD as u32
    }

    /// Takes the job out of the table and its fid back, unless a file stays open by it.
    fn finish(&mut self, number: usize) {
        let Some(job) = self.jobs[number].take() else { return };
        self.free_jobs.push(number);
        if job.frees_fid() {
            self.free_fids.push(job.fid);
        }
        if job.has_closed_what_it_opened() {
            self.open_files = self.open_files.saturating_sub(1);
        }
    }
}

/// The Tattach that follows the agreement on a dialect.
fn attach() -> Request<'static> {
    Request::Attach { fid: ROOT, afid: NO_FID, uname: b"", aname: b"/", n_uname: 0 }
}

const _: () = assert!(MAX_WRITE + WRITE_OVERHEAD < MSIZE as usize);
