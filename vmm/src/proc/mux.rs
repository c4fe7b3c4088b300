//! Lets several 9P2000.L clients share the one 9P stream of a VM.
//!
//! One thread. It speaks Tversion with the guest once and with each client by itself; tags and fids of a client are replaced
//! by ones that are unique upstream ([`route`]). Bounds: [`MAX_CLIENTS`]; per client requests on their way and reply bytes;
//! bytes queued to the guest. A client over its bound is not read from until it is under it again, so it stalls only itself.
//! A reply that cannot be right becomes an error for the one request, one that nobody waits for is dropped; only a stream
//! whose framing is lost, or that ends, ends the multiplexer: each open request then gets `EIO`.

mod route;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use procfs_core::ninep::wire::FrameError;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::peer::{Moved, Peer};
use route::{Router, Ward};

/// Clients that are served at once; more wait in the listener's backlog.
pub const MAX_CLIENTS: usize = 64;
/// Message limit that the guest is asked for, in bytes; also the most that a client gets.
const MSIZE: u32 = 64 * 1024;
/// How long no client is accepted after accept(2) failed, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Why the multiplexer ended before it was stopped.
#[derive(Debug, thiserror::Error)]
pub enum MuxError {
    /// The thread or its sockets could not be set up, or waiting failed.
    #[error("cannot serve the VM's socket")]
    Io(#[source] io::Error),
    /// The guest's end of the stream was closed.
    #[error("the VM closed its 9P stream")]
    Closed,
    /// The guest's stream is no longer one of messages.
    #[error("the VM broke the 9P stream")]
    Frame(#[source] FrameError),
    /// The guest does not speak the dialect.
    #[error("the VM does not speak 9P2000.L")]
    Version,
}

/// Starts multiplexers.
#[derive(Debug)]
pub struct Mux;

/// A running multiplexer; dropping it stops it.
#[derive(Debug)]
pub struct MuxHandle {
    /// Its closing is the sign to stop.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<Result<(), MuxError>>>,
}

impl Mux {
    /// Serves the clients of `listener` from `upstream`, a connected stream socket that carries the guest's raw 9P.
    ///
    /// # Errors
    /// [`MuxError::Io`] if the thread or its sockets cannot be set up.
    pub fn start(listener: UnixListener, upstream: impl Into<OwnedFd>) -> Result<MuxHandle, MuxError> {
        let (stop, stopped) = UnixStream::pair().map_err(MuxError::Io)?;
        listener.set_nonblocking(true).map_err(MuxError::Io)?;
        let upstream = Peer::new(upstream.into(), MSIZE);
        let thread = thread::Builder::new()
            .name("9p-mux".into())
            .spawn(move || Loop { listener, stopped, router: Router::new(upstream, MSIZE) }.run())
            .map_err(MuxError::Io)?;
        Ok(MuxHandle { stop: Some(stop), thread: Some(thread) })
    }
}

impl MuxHandle {
    /// Whether it has ended by itself.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops it and closes each client's connection.
    ///
    /// # Errors
    /// Why it had ended before, if it had.
    pub fn stop(mut self) -> Result<(), MuxError> {
        self.join()
    }

    fn join(&mut self) -> Result<(), MuxError> {
        drop(self.stop.take());
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(MuxError::Io(io::Error::other("the 9p-mux thread panicked"))),
        }
    }
}

impl Drop for MuxHandle {
    fn drop(&mut self) {
        // Who wants to know calls stop().
        let _ = self.join();
    }
}

struct Loop {
    listener: UnixListener,
    stopped: UnixStream,
    router: Router,
}

/// What a polled descriptor belongs to.
#[derive(Clone, Copy)]
enum Source {
    Stop,
    Upstream,
    Listener,
    Client(usize),
}

impl Loop {
    fn run(mut self) -> Result<(), MuxError> {
        let result = self.serve();
        if result.is_err() {
            self.router.fail_all();
        }
        result
    }

    fn serve(&mut self) -> Result<(), MuxError> {
        let mut is_paused = false;
        loop {
            self.router.take_requests();
            self.router.upstream_mut().send().map_err(|_| MuxError::Closed)?;
            self.router.send_replies();
            let ready = self.wait(is_paused)?;
            is_paused = false;
            for (source, flags) in ready {
                match source {
                    Source::Stop => return Ok(()),
                    Source::Upstream => self.receive_upstream()?,
                    Source::Listener => is_paused = !self.accept(),
                    Source::Client(slot) => self.receive_client(slot, flags),
                }
            }
        }
    }

    fn wait(&self, is_paused: bool) -> Result<Vec<(Source, PollFlags)>, MuxError> {
        let upstream = self.router.upstream();
        let mut sources = vec![Source::Stop, Source::Upstream];
        let mut fds = vec![
            PollFd::new(&self.stopped, PollFlags::IN),
            PollFd::from_borrowed_fd(upstream.as_fd(), interest(true, upstream)),
        ];
        if !is_paused && self.router.has_room() {
            sources.push(Source::Listener);
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        for (slot, ward) in self.router.wards() {
            if let Some(peer) = ward.peer() {
                sources.push(Source::Client(slot));
                fds.push(PollFd::from_borrowed_fd(peer.as_fd(), interest(ward.wants_input(), peer)));
            }
        }
        let timeout = is_paused.then(|| Timespec::try_from(ACCEPT_PAUSE).expect("a fraction of a second"));
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(MuxError::Io(error.into())),
        }
        let events = fds.iter().map(PollFd::revents);
        Ok(sources.into_iter().zip(events).filter(|(_, flags)| !flags.is_empty()).collect())
    }

    fn receive_upstream(&mut self) -> Result<(), MuxError> {
        match self.router.upstream_mut().receive() {
            Moved::Some => self.router.take_replies(),
            Moved::None => Ok(()),
            Moved::End => Err(MuxError::Closed),
        }
    }

    /// Accepts one client; `false` if that failed for want of something.
    fn accept(&mut self) -> bool {
        match self.listener.accept() {
            Ok((socket, _)) => {
                tracing::debug!("a client has connected");
                self.router.add(Ward::new(Peer::new(socket.into(), MSIZE)));
                true
            }
            Err(error) => {
                matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                )
            }
        }
    }

    fn receive_client(&mut self, slot: usize, flags: PollFlags) {
        if flags.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            // Both directions are closed: there is nobody for the replies.
            self.router.disconnect(slot);
        } else if flags.contains(PollFlags::IN) {
            self.router.receive(slot);
        }
    }
}

fn interest(wants_input: bool, peer: &Peer) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, wants_input);
    flags.set(PollFlags::OUT, peer.queued() > 0);
    flags
}
