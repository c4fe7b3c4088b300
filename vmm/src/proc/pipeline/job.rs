//! One request of a caller as a few 9P messages, and what their replies make of it.
//!
//! Walk, operation and clunk go out together, since the fid is ours to choose; if the walk fails, the others fail by themselves. The
//! caller hears as soon as it is decided; the job ends when nothing of it is on its way and its fid has been given back. So it may outlive
//! its caller's patience: a file that is opened too late is closed again.

use std::sync::Arc;
use std::time::Instant;

use procfs_core::Errno;
use procfs_core::ninep::wire::{Data, Fid, GETATTR_BASIC, NO_FID, Reply, Request, WalkNames, open_flags};

use super::{Answer, Ask, Caller, Done, OpenFile, ROOT, Target};
use crate::proc::transport::ReplyFault;

/// What is done to an open file.
#[derive(Debug, Clone)]
pub(super) enum Act {
    Read { offset: u64, count: u32 },
    List { offset: u64, count: u32 },
    Write { offset: u64, data: Arc<[u8]> },
    Close,
}

enum Work {
    Path(Target, Ask),
    File(Act),
}

/// What a reply is the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Walk,
    Work,
    Clunk,
    /// The walk of the names before the one that failed, to learn why it did.
    Prefix,
    /// The walk of that one.
    Culprit,
}

pub(super) type Submit<'s> = dyn FnMut(Step, &Request<'_>) + 's;

/// What a caller is to hear, to be called without any lock.
pub(super) type Word<'a> = (Done, Result<Answer<'a>, Errno>);

pub(super) struct Job {
    work: Work,
    pub(super) fid: Fid,
    pub(super) caller: Option<Box<dyn Caller>>,
    /// `None` once the caller has been told.
    done: Option<Done>,
    pub(super) started: Option<Instant>,
    pending: usize,
    /// Whether the other side knows `fid`.
    is_live: bool,
    /// The caller has got the fid as an open file.
    is_handed_over: bool,
    /// Index of the name at which the walk stopped without saying why.
    stopped_at: Option<usize>,
}

impl Job {
    fn new(work: Work, fid: Fid, caller: Option<Box<dyn Caller>>, done: Option<Done>) -> Self {
        Self {
            work,
            fid,
            caller,
            done,
            started: None,
            pending: 0,
            is_live: false,
            is_handed_over: false,
            stopped_at: None,
        }
    }

    pub(super) fn of_path(target: Target, ask: Ask, caller: Box<dyn Caller>, done: Done) -> Self {
        Self::new(Work::Path(target, ask), NO_FID, Some(caller), Some(done))
    }

    pub(super) fn of_file(file: OpenFile, act: Act, caller: Box<dyn Caller>, done: Done) -> Self {
        Self::new(Work::File(act), Fid(file.0), Some(caller), Some(done))
    }

    pub(super) fn to_close(file: OpenFile) -> Self {
        Self::new(Work::File(Act::Close), Fid(file.0), None, None)
    }

    pub(super) const fn needs_fid(&self) -> bool {
        matches!(self.work, Work::Path(..))
    }

    pub(super) const fn opens(&self) -> bool {
        matches!(self.work, Work::Path(_, Ask::Open(_)))
    }

    /// Whether its fid is free when it has ended.
    pub(super) const fn frees_fid(&self) -> bool {
        match self.work {
            Work::Path(..) => !self.is_handed_over,
            Work::File(Act::Close) => true,
            Work::File(_) => false,
        }
    }

    /// Whether it was counted as an open file and is none.
    pub(super) const fn has_closed_what_it_opened(&self) -> bool {
        self.opens() && !self.is_handed_over
    }

    /// Tells the caller of a job that has not begun.
    pub(super) fn refuse(mut self, errno: Errno) {
        if let Some(done) = self.done.take() {
            done(Err(errno));
        }
    }

    /// Takes the caller from the job, which goes on to its end alone.
    pub(super) fn abandon(&mut self) -> Option<Done> {
        self.caller = None;
        self.done.take()
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.done.is_some()
    }

    pub(super) const fn is_over(&self) -> bool {
        self.pending == 0
    }

    /// Sends the first batch; no reply may carry more than `read_limit` bytes of data.
    pub(super) fn start(&mut self, read_limit: u32, submit: &mut Submit<'_>) {
        let fid = self.fid;
        let act = match &self.work {
            Work::Path(target, ask) => {
                let (path, ask) = (Arc::clone(&target.path), *ask);
                let names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
                self.send(Step::Walk, &Request::Walk { fid: ROOT, newfid: fid, names: walk_names(&names) }, submit);
                self.send(Step::Work, &request(fid, &ask), submit);
                if !matches!(ask, Ask::Open(_)) {
                    self.send(Step::Clunk, &Request::Clunk { fid }, submit);
                }
                return;
            }
            Work::File(act) => act.clone(),
        };
        match act {
            Act::Read { offset, count } => {
                self.send(Step::Work, &Request::Read { fid, offset, count: count.min(read_limit) }, submit);
            }
            Act::List { offset, count } => {
                self.send(Step::Work, &Request::Readdir { fid, offset, count: count.min(read_limit) }, submit);
            }
            Act::Write { offset, data } => {
                self.send(Step::Work, &Request::Write { fid, offset, data: Data(&data) }, submit);
            }
            Act::Close => self.send(Step::Clunk, &Request::Clunk { fid }, submit),
        }
    }

    fn send(&mut self, step: Step, request: &Request<'_>, submit: &mut Submit<'_>) {
        self.pending += 1;
        submit(step, request);
    }

    /// Takes in one reply and sends what follows from it.
    pub(super) fn reply<'a>(
        &mut self,
        step: Step,
        reply: Result<Reply<'a>, ReplyFault>,
        submit: &mut Submit<'_>,
    ) -> Option<Word<'a>> {
        self.pending -= 1;
        // Expected::check() has refused each number that is not an errno.
        let reply = match reply {
            Ok(Reply::Lerror { errno }) => Err(Errno::from_raw(errno).unwrap_or(Errno::EIO)),
            Ok(reply) => Ok(reply),
            Err(_) => Err(Errno::EIO),
        };
        let said = match (step, reply) {
            (Step::Walk, Ok(Reply::Walk { qids })) => self.walked(qids.as_slice().iter().map(|qid| qid.path)),
            (Step::Walk | Step::Culprit, Err(errno)) => Some(Err(errno)),
            (Step::Prefix, Ok(Reply::Walk { qids })) => {
                let Work::Path(target, _) = &self.work else { return None };
                self.is_live = self.stopped_at == Some(qids.as_slice().len()) && !target.path.is_empty();
                (!self.is_live).then_some(Err(Errno::ENOENT))
            }
            (Step::Prefix, Err(errno)) => Some(Err(errno)),
            // By now it may be there, but the path as a whole was not found.
            (Step::Culprit, Ok(_)) => Some(Err(Errno::ENOENT)),
            (Step::Work, Err(errno)) if self.is_live || matches!(self.work, Work::File(_)) => Some(Err(errno)),
            (Step::Work, Ok(reply)) => self.worked(reply).map(Ok),
            (Step::Clunk, _) => {
                self.is_live = false;
                None
            }
            _ => None,
        };
        let word = said.and_then(|said| {
            let done = self.done.take()?;
            self.caller = None;
            self.is_handed_over = matches!(said, Ok(Answer::Open(_)));
            Some((done, said))
        });
        if self.pending == 0 {
            self.settle(submit);
        }
        word
    }

    /// What the walk alone decides.
    fn walked<'a>(&mut self, inodes: impl ExactSizeIterator<Item = u64>) -> Option<Result<Answer<'a>, Errno>> {
        let Work::Path(target, _) = &self.work else { return None };
        if inodes.len() < target.path.len() {
            self.stopped_at = Some(inodes.len());
            return None;
        }
        self.is_live = true;
        let found = inodes.last();
        // A process that has ended and another of its number: not the file that was meant.
        (found.is_some() && target.ino.is_some() && found != target.ino).then_some(Err(Errno::ENOENT))
    }

    fn worked<'a>(&mut self, reply: Reply<'a>) -> Option<Answer<'a>> {
        let is_found = self.is_live;
        Some(match reply {
            Reply::Read { data } | Reply::Readdir { data } => Answer::Bytes(data.0),
            Reply::Write { count } => Answer::Written(count),
            // What follows a walk that failed says nothing of the file.
            _ if !is_found => return None,
            Reply::Getattr { attr } => Answer::Attr(Box::new(attr)),
            Reply::Readlink { target } => Answer::Link(target),
            Reply::Lopen { .. } => Answer::Open(OpenFile(self.fid.0)),
            Reply::Setattr {} => Answer::SetAttr,
            Reply::Statfs { statfs } => Answer::Statfs(Box::new(statfs)),
            _ => return None,
        })
    }

    /// Nothing is on its way: find out why the walk stopped, or give the fid back, or end.
    fn settle(&mut self, submit: &mut Submit<'_>) {
        let fid = self.fid;
        let stopped_at = self.stopped_at.filter(|_| self.done.is_some());
        if let (Some(culprit), Work::Path(target, _)) = (stopped_at, &self.work) {
            let path = Arc::clone(&target.path);
            let names: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            let (prefix, culprit) = (walk_names(&names[..culprit]), walk_names(&names[culprit..=culprit]));
            self.send(Step::Prefix, &Request::Walk { fid: ROOT, newfid: fid, names: prefix }, submit);
            self.send(Step::Culprit, &Request::Walk { fid, newfid: fid, names: culprit }, submit);
        } else if self.is_live && self.needs_fid() && !self.is_handed_over {
            self.send(Step::Clunk, &Request::Clunk { fid }, submit);
        }
    }
}

fn walk_names<'a>(names: &[&'a [u8]]) -> WalkNames<'a> {
    WalkNames::new(names).expect("a path has at most MAX_NAMES names")
}

fn request(fid: Fid, ask: &Ask) -> Request<'static> {
    const TAKEN: u32 = open_flags::ACCMODE | open_flags::TRUNC | open_flags::DIRECTORY;
    match *ask {
        Ask::Attr => Request::Getattr { fid, mask: GETATTR_BASIC },
        Ask::Link => Request::Readlink { fid },
        Ask::Open(flags) => Request::Lopen { fid, flags: flags & TAKEN },
        Ask::SetAttr(attr) => Request::Setattr { fid, attr },
        Ask::Statfs => Request::Statfs { fid },
    }
}
