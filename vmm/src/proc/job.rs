//! One file's part in a batch: which requests it sends, and what it makes of the replies.
//!
//! Walk, open and the first read go out together, since the fid is ours to choose; if the walk fails, the others fail by
//! themselves. When nothing of a job is on its way any more, it goes on to clunk its fid, or ends.

use procfs_core::Errno;
use procfs_core::ninep::wire::{Attr, Data, Dirents, Fid, FileKind, Qid, Reply, Request, WalkNames, open_flags};

use super::transport::{ClientError, ReplyFault};

/// Names in one Twalk: with names of at most [`NAME_MAX`] bytes it fits the smallest message limit.
const WALK_BATCH: usize = 15;
/// Linux's longest file name in bytes.
const NAME_MAX: usize = 255;
/// The fid of the root, for the life of a connection.
pub(super) const ROOT: Fid = Fid(0);

/// A directory entry as the guest gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name: never empty, without `/` and NUL, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// What kind of file it is.
    pub kind: FileKind,
    /// The file's identity; its path is the inode number.
    pub qid: Qid,
}

/// What a job does with the file it walks to.
#[derive(Debug)]
pub(super) enum Task<'a> {
    Read,
    List,
    Readlink,
    Getattr,
    Write(&'a [u8]),
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    Bytes(Vec<u8>),
    Entries(Vec<Entry>),
    Attr(Box<Attr>),
    Count(usize),
}

/// What a reply is the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The Twalk whose first name has this index in the path.
    Walk(usize),
    Open,
    Work,
    /// The walk of this many names before the one that failed.
    Prefix(usize),
    /// The walk of the name that failed, alone, to learn why.
    Culprit,
    Clunk,
}

/// Limits of one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes that one reply's data may have.
    pub(super) read_bytes: u32,
    /// Bytes that one write's data may have.
    pub(super) write_bytes: usize,
    /// Bytes that one file or directory may have in all.
    pub(super) total_bytes: usize,
}

pub(super) struct Job<'a> {
    names: Vec<&'a [u8]>,
    task: Task<'a>,
    fid: Fid,
    limits: Limits,
    pending: usize,
    /// Whether the server knows `fid`.
    is_live: bool,
    /// The walk that stopped without saying why: index of its first name, and of the one that failed.
    stopped_at: Option<(usize, usize)>,
    errors: [Option<Errno>; 3],
    output: Output,
    received: usize,
    is_over: bool,
}

pub(super) type Submit<'s> = dyn FnMut(Step, &Request<'_>) + 's;

impl<'a> Job<'a> {
    pub(super) fn new(path: &'a [u8], task: Task<'a>, fid: Fid, limits: Limits) -> Self {
        let output = match task {
            Task::List => Output::Entries(Vec::new()),
            Task::Write(_) => Output::Count(0),
            _ => Output::Bytes(Vec::new()),
        };
        let names = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
        Self {
            names,
            task,
            fid,
            limits,
            pending: 0,
            is_live: false,
            stopped_at: None,
            errors: [None; 3],
            output,
            received: 0,
            is_over: false,
        }
    }

    /// Whether nothing of it is left to be done.
    pub(super) const fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn into_result(self) -> Result<Output, Errno> {
        match self.errors.into_iter().flatten().next() {
            Some(errno) => Err(errno),
            None => Ok(self.output),
        }
    }

    /// Sends the first batch.
    pub(super) fn start(&mut self, submit: &mut Submit<'_>) {
        if self.names.iter().any(|name| name.len() > NAME_MAX) {
            self.errors[0] = Some(Errno::ENAMETOOLONG);
            self.is_over = true;
            return;
        }
        self.walk_batch(0, submit);
        if self.names.len() <= WALK_BATCH {
            self.begin(submit);
        }
    }

    /// Sends the Twalk of the names from index `first` on.
    fn walk_batch(&mut self, first: usize, submit: &mut Submit<'_>) {
        let end = self.names.len().min(first + WALK_BATCH);
        let from = if first == 0 { ROOT } else { self.fid };
        self.walk(Step::Walk(first), from, first..end, submit);
    }

    /// Sends the open and the first piece of work.
    ///
    /// A path of several Twalks gets here only after the last of them: were one to stop, the fid would stand for another
    /// file on the way, and that would be opened and written to.
    fn begin(&mut self, submit: &mut Submit<'_>) {
        let fid = self.fid;
        let flags = match self.task {
            Task::Read => Some(open_flags::RDONLY),
            Task::List => Some(open_flags::RDONLY | open_flags::DIRECTORY),
            Task::Write(_) => Some(open_flags::WRONLY),
            Task::Readlink | Task::Getattr => None,
        };
        if let Some(flags) = flags {
            self.send(Step::Open, &Request::Lopen { fid, flags }, submit);
        }
        self.work(0, submit);
    }

    /// Takes in one reply and sends what follows from it.
    pub(super) fn reply(&mut self, step: Step, reply: &Reply<'_>, submit: &mut Submit<'_>) -> Result<(), ClientError> {
        self.pending -= 1;
        let error = match reply {
            // Expected::check() has refused each number that is not an errno.
            Reply::Lerror { errno } => Some(Errno::from_raw(*errno).unwrap_or(Errno::EIO)),
            _ => None,
        };
        match (step, error) {
            (Step::Walk(first), None) => self.walked(first, reply, submit),
            (Step::Walk(_) | Step::Prefix(_), Some(errno)) => self.fail(0, errno),
            (Step::Prefix(names), None) => {
                if matches!(reply, Reply::Walk { qids } if qids.as_slice().len() == names) {
                    self.is_live = true;
                } else {
                    self.fail(0, Errno::ENOENT);
                }
            }
            // By now it may be there, but the path as a whole was not found.
            (Step::Culprit, error) => self.fail(0, error.unwrap_or(Errno::ENOENT)),
            (Step::Open, Some(errno)) => self.fail(1, errno),
            (Step::Work, Some(errno)) => self.fail(2, errno),
            (Step::Work, None) => self.worked(reply, submit)?,
            (Step::Open, None) => {}
            (Step::Clunk, _) => self.is_over = true,
        }
        if self.pending == 0 && !self.is_over {
            self.settle(submit);
        }
        Ok(())
    }

    fn fail(&mut self, stage: usize, errno: Errno) {
        self.errors[stage].get_or_insert(errno);
    }

    fn send(&mut self, step: Step, request: &Request<'_>, submit: &mut Submit<'_>) {
        self.pending += 1;
        submit(step, request);
    }

    fn walk(&mut self, step: Step, fid: Fid, names: std::ops::Range<usize>, submit: &mut Submit<'_>) {
        let names = WalkNames::new(&self.names[names]).expect("a batch has at most MAX_WALK names");
        self.send(step, &Request::Walk { fid, newfid: self.fid, names }, submit);
    }

    fn walked(&mut self, first: usize, reply: &Reply<'_>, submit: &mut Submit<'_>) {
        let Reply::Walk { qids } = reply else { return };
        let end = self.names.len().min(first + WALK_BATCH);
        let walked = qids.as_slice().len();
        if first + walked < end {
            self.stopped_at = Some((first, first + walked));
            return;
        }
        self.is_live = true;
        if end < self.names.len() {
            self.walk_batch(end, submit);
        } else if first > 0 {
            self.begin(submit);
        }
    }

    /// Nothing is on its way: find out why a walk stopped, or give the fid back, or end.
    fn settle(&mut self, submit: &mut Submit<'_>) {
        if let Some((first, culprit)) = self.stopped_at.take() {
            let from = if first == 0 { ROOT } else { self.fid };
            self.walk(Step::Prefix(culprit - first), from, first..culprit, submit);
            self.walk(Step::Culprit, self.fid, culprit..culprit + 1, submit);
            return;
        }
        if self.is_live {
            let fid = self.fid;
            self.send(Step::Clunk, &Request::Clunk { fid }, submit);
        } else {
            self.is_over = true;
        }
    }

    /// Sends the next piece of the work; `at` is where the file or directory goes on.
    fn work(&mut self, at: u64, submit: &mut Submit<'_>) {
        let (fid, count) = (self.fid, self.limits.read_bytes);
        let request = match self.task {
            Task::Read => Request::Read { fid, offset: at, count },
            Task::List => Request::Readdir { fid, offset: at, count },
            Task::Readlink => Request::Readlink { fid },
            Task::Getattr => Request::Getattr { fid, mask: procfs_core::ninep::wire::GETATTR_BASIC },
            Task::Write(data) => {
                let data = &data[usize::try_from(at).map_or(data.len(), |at| at.min(data.len()))..];
                Request::Write { fid, offset: at, data: Data(&data[..data.len().min(self.limits.write_bytes)]) }
            }
        };
        self.send(Step::Work, &request, submit);
    }

    fn worked(&mut self, reply: &Reply<'_>, submit: &mut Submit<'_>) -> Result<(), ClientError> {
        let next = match (reply, &mut self.output) {
            (Reply::Read { data }, Output::Bytes(bytes)) => {
                bytes.extend_from_slice(data.0);
                self.received += data.0.len();
                (!data.0.is_empty()).then_some(self.received as u64)
            }
            (Reply::Readdir { data }, Output::Entries(entries)) => {
                let mut next = None;
                for entry in Dirents::new(data.0) {
                    let entry = entry.map_err(|error| ClientError::Reply(ReplyFault::Malformed(error)))?;
                    next = Some(entry.next_offset);
                    match entry.name {
                        b"." | b".." => continue,
                        name if name.is_empty() || name.iter().any(|byte| matches!(byte, b'/' | 0)) => {
                            return Err(ClientError::EntryName);
                        }
                        name => entries.push(Entry { name: name.to_vec(), kind: entry.kind, qid: entry.qid }),
                    }
                }
                self.received += data.0.len();
                next
            }
            (Reply::Readlink { target }, Output::Bytes(bytes)) => {
                bytes.extend_from_slice(target);
                None
            }
            (Reply::Getattr { attr }, output) => {
                *output = Output::Attr(Box::new(*attr));
                None
            }
            (Reply::Write { count }, Output::Count(done)) => {
                *done += *count as usize;
                let Task::Write(data) = self.task else { return Ok(()) };
                if *count == 0 && !data.is_empty() {
                    self.fail(2, Errno::EIO);
                    return Ok(());
                }
                (*done < data.len()).then_some(*done as u64)
            }
            _ => None,
        };
        let Some(next) = next else { return Ok(()) };
        if self.received > self.limits.total_bytes {
            self.fail(2, Errno::EFBIG);
        } else if self.errors.iter().all(Option::is_none) {
            self.work(next, submit);
        }
        Ok(())
    }
}
