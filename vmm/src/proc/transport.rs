//! Requests out, checked replies in, over one non-blocking stream.
//!
//! A [`Channel`] never waits for a write alone: while replies can be read they are read, so two full socket buffers do not
//! stop it. It holds one message limit of unread bytes and what the caller has queued.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use procfs_core::Errno;
use procfs_core::ninep::wire::{FrameError, Framer, MIN_MSIZE, NO_TAG, Reply, Request, VERSION, WireError, peek};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A byte stream that can be waited for, such as a `UnixStream`.
pub trait Stream: Read + Write + AsFd {}

impl<S: Read + Write + AsFd> Stream for S {}

/// Messages of earlier clients that are dropped before Rversion, as a port that outlives its users may still hold some.
const MAX_STALE: usize = 1024;

/// What is wrong with a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyFault {
    /// Its bytes are not a reply.
    #[error("malformed reply")]
    Malformed(#[source] WireError),
    /// It answers another kind of request.
    #[error("reply of type {got} where {expected} was due")]
    Kind {
        /// The type number that answers the request.
        expected: u8,
        /// The type number that came.
        got: u8,
    },
    /// It is longer than any correct answer to the request.
    #[error("reply of {len} bytes where at most {limit} can be right")]
    Oversize {
        /// Its length in bytes.
        len: usize,
        /// The longest correct answer in bytes.
        limit: usize,
    },
    /// It counts more bytes, names or entries than were asked for.
    #[error("reply counts {got} where {asked} were asked for")]
    Count {
        /// What the request allows.
        asked: usize,
        /// What the reply has.
        got: usize,
    },
    /// Its error number is not one of Linux.
    #[error("error number {0} in a reply")]
    Errno(u32),
}

/// Why a call on a [`Client`](super::Client) has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file said no.
    #[error("{0}")]
    Remote(Errno),
    /// The stream failed.
    #[error("cannot talk to the VM")]
    Io(#[source] io::Error),
    /// The other side closed the stream.
    #[error("the VM closed the connection")]
    Closed,
    /// The time for the call was over.
    #[error("no answer from the VM in time")]
    Timeout,
    /// The stream is no longer one of messages.
    #[error("the VM broke the 9P stream")]
    Frame(#[source] FrameError),
    /// A reply that cannot be right.
    #[error("the VM sent a wrong 9P reply")]
    Reply(#[source] ReplyFault),
    /// A reply to nothing that was asked.
    #[error("the VM sent a 9P reply with tag {tag}, which no request has")]
    UnknownTag {
        /// The reply's tag.
        tag: u16,
    },
    /// A directory entry whose name no file can have.
    #[error("the VM sent a directory entry that cannot be a file name")]
    EntryName,
    /// No common dialect or message size.
    #[error("the VM does not speak 9P2000.L with messages of {msize} bytes")]
    Version {
        /// The message limit that was proposed, in bytes.
        msize: u32,
    },
    /// An earlier call failed in a way that left replies on their way.
    #[error("the connection was given up after an earlier error")]
    Abandoned,
}

/// What a reply to one request has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    kind: u8,
    limit: usize,
    count: usize,
}

impl Expected {
    /// What answers `request`.
    #[must_use]
    pub fn answer_to(request: &Request<'_>) -> Self {
        let count = match request {
            Request::Read { count, .. } | Request::Readdir { count, .. } => *count as usize,
            Request::Write { data, .. } => data.0.len(),
            Request::Walk { names, .. } => names.as_slice().len(),
            _ => usize::MAX,
        };
        Self { kind: request.reply_kind(), limit: request.reply_limit(), count }
    }

    /// The most bytes that the answer can have.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// The reply in `message`, if it is one that can be right.
    ///
    /// # Errors
    /// A [`ReplyFault`].
    pub fn check<'a>(&self, message: &'a [u8]) -> Result<Reply<'a>, ReplyFault> {
        if message.len() > self.limit {
            return Err(ReplyFault::Oversize { len: message.len(), limit: self.limit });
        }
        let (_, reply) = Reply::decode(message).map_err(ReplyFault::Malformed)?;
        if let Reply::Lerror { errno } = reply {
            return Errno::from_raw(errno).map(|_| reply).ok_or(ReplyFault::Errno(errno));
        }
        if reply.kind() != self.kind {
            return Err(ReplyFault::Kind { expected: self.kind, got: reply.kind() });
        }
        let got = match &reply {
            Reply::Read { data } | Reply::Readdir { data } => data.0.len(),
            Reply::Write { count } => *count as usize,
            Reply::Walk { qids } => qids.as_slice().len(),
            _ => 0,
        };
        if got > self.count { Err(ReplyFault::Count { asked: self.count, got }) } else { Ok(reply) }
    }
}

struct Pending<T> {
    token: T,
    expected: Expected,
    queued: Instant,
}

/// Who is told how long each reply took.
pub type Observer = Box<dyn FnMut(Duration) + Send>;

/// The requests of a [`Channel`] that are queued or not answered yet.
pub struct Outbox<T> {
    bytes: Vec<u8>,
    sent: usize,
    /// By tag.
    pending: Vec<Option<Pending<T>>>,
    free_tags: Vec<u16>,
}

impl<T> Outbox<T> {
    /// Queues `request`; it is sent while replies are waited for.
    pub fn submit(&mut self, token: T, request: &Request<'_>) {
        let tag = self.free_tags.pop().unwrap_or_else(|| {
            self.pending.push(None);
            u16::try_from(self.pending.len() - 1).expect("a client's window is far below the number of tags")
        });
        request.encode(tag, &mut self.bytes);
        self.pending[usize::from(tag)] =
            Some(Pending { token, expected: Expected::answer_to(request), queued: Instant::now() });
    }

    fn take(&mut self, tag: u16) -> Option<Pending<T>> {
        let pending = self.pending.get_mut(usize::from(tag))?.take()?;
        self.free_tags.push(tag);
        Some(pending)
    }
}

/// The client's end of a 9P stream; `T` is what the caller knows its requests by.
pub struct Channel<S, T> {
    stream: S,
    framer: Framer,
    outbox: Outbox<T>,
    deadline: Option<Instant>,
    observer: Option<Observer>,
}

impl<S: Stream, T> Channel<S, T> {
    /// A channel over `stream`, which is made non-blocking, for messages of at most `msize` bytes.
    ///
    /// # Errors
    /// [`ClientError::Io`] if the stream cannot be made non-blocking.
    pub fn new(stream: S, msize: u32) -> Result<Self, ClientError> {
        rustix::io::ioctl_fionbio(&stream, true).map_err(|error| ClientError::Io(error.into()))?;
        let outbox = Outbox { bytes: Vec::new(), sent: 0, pending: Vec::new(), free_tags: Vec::new() };
        Ok(Self { stream, framer: Framer::new(msize), outbox, deadline: None, observer: None })
    }

    /// Where requests are queued.
    pub const fn outbox(&mut self) -> &mut Outbox<T> {
        &mut self.outbox
    }

    /// Sets the time that [`receive`](Self::receive) may take from now on, all calls together; `None` is no limit.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    }

    /// Tells `observer` of each reply from now on how long after its request was queued it came.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// Agrees on the dialect and gives the message limit in bytes.
    ///
    /// # Errors
    /// [`ClientError::Version`] if there is no agreement; else as [`receive`](Self::receive).
    pub fn negotiate(&mut self, msize: u32) -> Result<u32, ClientError> {
        Request::Version { msize, version: VERSION }.encode(NO_TAG, &mut self.outbox.bytes);
        for _ in 0..MAX_STALE {
            self.fill()?;
            let Some(message) = self.framer.next_message().map_err(ClientError::Frame)? else { break };
            if !matches!(peek(message), Some((_, NO_TAG))) {
                continue;
            }
            return match Reply::decode(message) {
                Ok((_, Reply::Version { msize: agreed, version }))
                    if version == VERSION && (MIN_MSIZE..=msize).contains(&agreed) =>
                {
                    self.framer.set_limit(agreed);
                    Ok(agreed)
                }
                _ => Err(ClientError::Version { msize }),
            };
        }
        Err(ClientError::Version { msize })
    }

    /// Sends what is queued and waits for one reply; gives it with its token, and the outbox for what follows from it.
    ///
    /// # Errors
    /// Each [`ClientError`] but `Remote`, `EntryName`, `Version` and `Abandoned`; the channel is then of no more use.
    pub fn receive(&mut self) -> Result<(T, Reply<'_>, &mut Outbox<T>), ClientError> {
        self.fill()?;
        let message = self
            .framer
            .next_message()
            .map_err(ClientError::Frame)?
            .expect("fill() returns only when a message is there");
        let (_, tag) = peek(message).expect("the framer gives no message without a header");
        let pending = self.outbox.take(tag).ok_or(ClientError::UnknownTag { tag })?;
        let reply = pending.expected.check(message).map_err(ClientError::Reply)?;
        if let Some(observer) = &mut self.observer {
            observer(pending.queued.elapsed());
        }
        Ok((pending.token, reply, &mut self.outbox))
    }

    /// Reads and writes until a whole message has come.
    fn fill(&mut self) -> Result<(), ClientError> {
        while !self.framer.has_message().map_err(ClientError::Frame)? {
            let progress = self.write_some()? | self.read_some()?;
            if !progress {
                self.wait()?;
            } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                // A guest that sends a byte now and then makes progress for ever.
                return Err(ClientError::Timeout);
            }
        }
        Ok(())
    }

    fn write_some(&mut self) -> Result<bool, ClientError> {
        let outbox = &mut self.outbox;
        if outbox.bytes.is_empty() {
            return Ok(false);
        }
        let count = nonblocking(self.stream.write(&outbox.bytes[outbox.sent..]))?;
        outbox.sent += count.unwrap_or(0);
        if outbox.sent == outbox.bytes.len() {
            outbox.bytes.clear();
            outbox.sent = 0;
        }
        Ok(count.is_some())
    }

    fn read_some(&mut self) -> Result<bool, ClientError> {
        match nonblocking(self.stream.read(self.framer.spare()))? {
            Some(0) => Err(ClientError::Closed),
            Some(count) => {
                self.framer.commit(count);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn wait(&self) -> Result<(), ClientError> {
        let timeout = match self.deadline {
            None => None,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(ClientError::Timeout);
                }
                Timespec::try_from(left).ok()
            }
        };
        let wanted = if self.outbox.bytes.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        match poll(&mut [PollFd::new(&self.stream, wanted)], timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(ClientError::Io(error.into())),
        }
    }
}

/// The count of bytes moved, or `None` if the stream would have had to wait.
fn nonblocking(result: io::Result<usize>) -> Result<Option<usize>, ClientError> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Ok(None),
            io::ErrorKind::Interrupted => Ok(None),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Err(ClientError::Closed),
            _ => Err(ClientError::Io(error)),
        },
    }
}
