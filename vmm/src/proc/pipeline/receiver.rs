//! The thread that takes the replies in, and watches over the jobs that wait for one.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use procfs_core::Errno;
use procfs_core::ninep::wire::{MIN_MSIZE, NO_TAG, Reply, VERSION, peek};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::job::{Job, Word};
use super::{PATIENCE, Phase, Shared, State, TICK, attach};
use crate::proc::peer::{Moved, Peer};
use crate::proc::transport::ClientError;

/// The tag of the Tattach: the last that a job would get.
const ATTACH_TAG: u16 = NO_TAG - 1;

pub(super) struct Receiver {
    shared: Arc<Shared>,
    peer: Peer,
    stopped: UnixStream,
    last_look: Instant,
}

impl Receiver {
    pub(super) fn new(shared: Arc<Shared>, peer: Peer, stopped: UnixStream) -> Self {
        Self { shared, peer, stopped, last_look: Instant::now() }
    }

    /// Runs until the stream ends or nobody is left to ask.
    pub(super) fn run(mut self) -> Result<(), ClientError> {
        let result = self.serve();
        let mut state = self.shared.lock();
        state.phase = Phase::Ended;
        let left: Vec<Job> = state.jobs.iter_mut().filter_map(Option::take).collect();
        drop(state);
        self.shared.changed.notify_all();
        for job in left {
            job.refuse(Errno::EIO);
        }
        result
    }

    fn serve(&mut self) -> Result<(), ClientError> {
        loop {
            let mut state = self.shared.lock();
            state.sender.send().map_err(|_| ClientError::Closed)?;
            let wants_out = state.sender.queued() > 0;
            let is_watching = state.is_watching;
            drop(state);
            if self.wait(wants_out, is_watching)? {
                return Ok(());
            }
            match self.peer.receive() {
                Moved::Some => self.take_replies()?,
                Moved::None => {}
                Moved::End => return Err(ClientError::Closed),
            }
            if is_watching && self.last_look.elapsed() >= TICK {
                self.look();
            }
        }
    }

    /// Waits for something to do; whether it is the end.
    fn wait(&self, wants_out: bool, is_watching: bool) -> Result<bool, ClientError> {
        let out = if wants_out { PollFlags::OUT } else { PollFlags::empty() };
        let mut fds = [
            PollFd::new(&self.stopped, PollFlags::IN),
            PollFd::from_borrowed_fd(self.peer.as_fd(), PollFlags::IN | out),
            PollFd::from_borrowed_fd(self.shared.wake.as_fd(), PollFlags::IN),
        ];
        let timeout = is_watching.then(|| Timespec::try_from(TICK).expect("a fraction of a second"));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(ClientError::Io(error.into())),
        }
        if fds[2].revents().contains(PollFlags::IN) {
            // Empties it; another thread may add to it at once, which is another wake.
            let _ = rustix::io::read(&self.shared.wake, &mut [0; 8]);
        }
        Ok(!fds[0].revents().is_empty())
    }

    fn take_replies(&mut self) -> Result<(), ClientError> {
        while let Some(message) = self.peer.framer.next_message().map_err(ClientError::Frame)? {
            let (_, tag) = peek(message).expect("the framer gives no message without a header");
            let mut state = self.shared.lock();
            if state.phase == Phase::Opening {
                if let Some(msize) = open(&mut state, message, tag)? {
                    self.peer.framer.set_limit(msize);
                }
                let is_open = state.phase == Phase::Ready;
                drop(state);
                if is_open {
                    self.shared.changed.notify_all();
                }
                continue;
            }
            let word = answer(&mut state, message, tag);
            drop(state);
            self.shared.changed.notify_all();
            if let Some((done, said)) = word {
                done(said);
            }
        }
        Ok(())
    }

    /// Lets those go who have waited too long or are called by a signal.
    fn look(&mut self) {
        self.last_look = Instant::now();
        let mut state = self.shared.lock();
        let mut let_go = Vec::new();
        let mut is_overdue = false;
        for job in state.jobs.iter_mut().flatten().filter(|job| job.is_waited_for()) {
            let age = job.started.map_or(TICK, |started| self.last_look.duration_since(started));
            let errno = if age >= PATIENCE {
                is_overdue = true;
                Errno::EIO
            } else if age >= TICK && job.caller.as_ref().is_some_and(|caller| caller.has_signal()) {
                Errno::EINTR
            } else {
                continue;
            };
            let_go.extend(job.abandon().map(|done| (done, errno)));
        }
        state.is_stalled |= is_overdue;
        state.is_watching = state.jobs.iter().flatten().any(Job::is_waited_for);
        drop(state);
        if is_overdue {
            self.shared.changed.notify_all();
        }
        for (done, errno) in let_go {
            done(Err(errno));
        }
    }
}

/// Takes a step of the agreement on dialect and root; gives the message limit when that is what was agreed on.
fn open(state: &mut State, message: &[u8], tag: u16) -> Result<Option<u32>, ClientError> {
    match (tag, Reply::decode(message)) {
        (NO_TAG, Ok((_, Reply::Version { msize, version })))
            if version == VERSION && (MIN_MSIZE..=state.msize).contains(&msize) =>
        {
            state.msize = msize;
            attach().encode(ATTACH_TAG, &mut state.sender.out);
            state.sender.send().map_err(|_| ClientError::Closed)?;
            Ok(Some(msize))
        }
        (ATTACH_TAG, Ok((_, Reply::Attach { .. }))) => {
            state.phase = Phase::Ready;
            let held = std::mem::take(&mut state.held);
            state.sender.out.extend_from_slice(&held);
            state.sender.send().map_err(|_| ClientError::Closed)?;
            Ok(None)
        }
        (NO_TAG | ATTACH_TAG, _) => Err(ClientError::Version { msize: state.msize }),
        // What was meant for a client before us.
        _ => Ok(None),
    }
}

/// Takes one reply in; gives what its caller is to hear.
fn answer<'a>(state: &mut State, message: &'a [u8], tag: u16) -> Option<Word<'a>> {
    let pending = state.pending.get_mut(usize::from(tag))?.take()?;
    state.free_tags.push(tag);
    state.is_stalled = false;
    let number = pending.job;
    let mut job = state.jobs[number].take()?;
    let reply = pending.expected.check(message);
    let word = job.reply(pending.step, reply, &mut |step, request| state.submit(number, step, request));
    let is_over = job.is_over();
    state.jobs[number] = Some(job);
    if is_over {
        state.finish(number);
    }
    word
}
