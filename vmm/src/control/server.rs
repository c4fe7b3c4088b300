//! The answering side: a thread that accepts, and one for each connection while it asks.
//!
//! A connection that waits for the VM's end costs no thread: its stream is kept in [`Ending`].
//! Bounds: [`MAX_CLIENTS`] connections that ask, [`MAX_WAITERS`] that wait; a request has one line, and a connection that says nothing for
//! [`IDLE`] is closed.
//! Locks: `Ending::state` and `Shared::pausing`, never both; the first is held while a line is written to each of those who wait.

use std::io::{BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Answer, REQUEST_MAX, Request, line_of, parse, read_line};
use crate::machine::MachineHandle;
use crate::registry::{Condition, PauseMark};

/// Connections that may ask at once.
const MAX_CLIENTS: usize = 32;
/// Connections that may wait for the end at once.
const MAX_WAITERS: usize = 256;
/// How long a connection may say nothing, or not read its answer.
const IDLE: Duration = Duration::from_secs(30);
/// How long the virtual processor may take to come out of the guest: it may be in a write to a slow log.
const PAUSE_PATIENCE: Duration = Duration::from_secs(5);
/// How long the log waits for what is still on its way.
const NUDGE_PATIENCE: Duration = Duration::from_secs(1);
/// How long no connection is accepted after that failed, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Stack of a thread here, in bytes.
const STACK_BYTES: usize = 256 << 10;

/// How the VM ended, and who waits for it. The streams stay open until this is dropped, which tells their readers that the VM's name is
/// free: drop it after the `Registration`.
#[derive(Debug, Default)]
pub struct Ending {
    state: Mutex<EndingState>,
}

#[derive(Debug, Default)]
struct EndingState {
    status: Option<u8>,
    waiters: Vec<UnixStream>,
}

impl Ending {
    /// The VM has ended; `status` is what its `procvisor run` ends with.
    pub fn is_over(&self, status: u8) {
        let mut state = self.state();
        state.status = Some(status);
        for stream in &mut state.waiters {
            tell_end(stream, status);
        }
    }

    /// Keeps a stream until the end; `None` when there are too many.
    fn wait(&self, stream: UnixStream) -> Option<()> {
        let mut state = self.state();
        if let Some(status) = state.status {
            tell_end(&stream, status);
        } else {
            state.waiters.retain(is_there);
        }
        (state.waiters.len() < MAX_WAITERS).then(|| state.waiters.push(stream))
    }

    fn state(&self) -> MutexGuard<'_, EndingState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody is left to tell when it fails; it does not wait, since a line fits the buffer of a stream that has been sent nothing else.
fn tell_end(mut stream: &UnixStream, status: u8) {
    let _ = stream.set_nonblocking(true);
    let _ = stream.write_all(&line_of(&Answer::Ended { status }));
}

fn is_there(stream: &UnixStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    !matches!(poll(&mut fds, Some(&at_once)), Ok(ready) if ready > 0)
}

#[derive(Debug)]
struct Shared {
    machine: MachineHandle,
    mark: PauseMark,
    ending: Arc<Ending>,
    /// Held while a pause or its end is under way, so that the mark says what is.
    pausing: Mutex<()>,
    clients: AtomicUsize,
}

/// A running server; dropping it ends the accepting, and connections that are there end by themselves.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Answers the clients of `listener` for `machine`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        listener: UnixListener,
        machine: MachineHandle,
        mark: PauseMark,
        ending: Arc<Ending>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { machine, mark, ending, pausing: Mutex::new(()), clients: AtomicUsize::new(0) });
        let accepting = listener.try_clone()?;
        let thread = thread::Builder::new()
            .name("control".into())
            .stack_size(STACK_BYTES)
            .spawn(move || accept_all(&accepting, &shared))?;
        Ok(Self { listener, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Makes accept(2) fail with EINVAL.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        // A panic there has been printed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn accept_all(listener: &UnixListener, shared: &Arc<Shared>) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => admit(stream, shared),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return,
            Err(_) => thread::sleep(ACCEPT_PAUSE),
        }
    }
}

fn admit(stream: UnixStream, shared: &Arc<Shared>) {
    if shared.clients.fetch_add(1, Ordering::SeqCst) >= MAX_CLIENTS {
        shared.clients.fetch_sub(1, Ordering::SeqCst);
        let _ = stream.set_nonblocking(true);
        let _ = (&stream).write_all(&line_of(&refused("too many clients at once")));
        // What the client may have sent would else turn the answer into a reset.
        let _ = stream.shutdown(Shutdown::Write);
        return;
    }
    let for_thread = Arc::clone(shared);
    let spawned = thread::Builder::new().name("control-client".into()).stack_size(STACK_BYTES).spawn(move || {
        // An error is the client's: it has gone, or keeps silent.
        let _ = converse(stream, &for_thread);
        for_thread.clients.fetch_sub(1, Ordering::SeqCst);
    });
    if spawned.is_err() {
        shared.clients.fetch_sub(1, Ordering::SeqCst);
    }
}

fn converse(stream: UnixStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(IDLE))?;
    let mut reader = BufReader::new(stream);
    while let Some(line) = read_line(&mut reader, REQUEST_MAX)? {
        let answer = match parse(&line) {
            Some(Request::Wait) => {
                let stream = reader.get_ref().try_clone()?;
                match shared.ending.wait(stream) {
                    Some(()) => return Ok(()),
                    None => refused("too many wait for its end"),
                }
            }
            Some(Request::Pause) => pause(shared),
            Some(Request::Resume) => resume(shared),
            Some(Request::KernelLog { from }) => {
                let (bytes, next) = shared.machine.flushed_log(NUDGE_PATIENCE).since(from);
                Answer::KernelLog { text: String::from_utf8_lossy(&bytes).into_owned(), next }
            }
            None => refused("that is no request"),
        };
        reader.get_ref().write_all(&line_of(&answer))?;
    }
    Ok(())
}

fn refused(why: &str) -> Answer {
    Answer::Refused { why: why.to_owned() }
}

fn pause(shared: &Shared) -> Answer {
    let _pausing = shared.pausing.lock().unwrap_or_else(PoisonError::into_inner);
    if !shared.machine.pause(PAUSE_PATIENCE) {
        return refused("its processor does not stand still");
    }
    match shared.mark.set(Condition::Paused) {
        Ok(()) => Answer::Done,
        Err(error) => {
            shared.machine.resume();
            refused(&error.to_string())
        }
    }
}

fn resume(shared: &Shared) -> Answer {
    let _pausing = shared.pausing.lock().unwrap_or_else(PoisonError::into_inner);
    let marked = shared.mark.set(Condition::Running);
    shared.machine.resume();
    marked.map_or_else(|error| refused(&error.to_string()), |()| Answer::Done)
}
