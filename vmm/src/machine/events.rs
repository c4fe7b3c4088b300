//! The thread that serves the devices: it waits for the guest's notifications and the host's descriptors, and does a turn of the console.
//!
//! poll(2), not epoll: stdin may be a regular file, which epoll refuses, and there are a dozen descriptors at most.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use vmm_sys_util::eventfd::EventFd;

use crate::bus::SharedConsole;
use crate::devices::virtio::console::Token;
use crate::devices::virtio::mmio::VirtioMmio;

/// Stack of the event thread, in bytes.
const STACK_BYTES: usize = 256 << 10;

/// Why devices cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No event descriptor.
    #[error("cannot make an event descriptor")]
    EventFd(#[source] io::Error),
    /// No thread.
    #[error("cannot start the event thread")]
    Thread(#[source] io::Error),
}

/// What other threads ask of the event thread.
#[derive(Debug)]
pub(super) struct Requests {
    wake: EventFd,
    resize: Mutex<Option<(u16, u16)>>,
    is_over: AtomicBool,
}

impl Requests {
    pub(super) fn new(wake: EventFd) -> Self {
        Self { wake, resize: Mutex::new(None), is_over: AtomicBool::new(false) }
    }

    pub(super) fn resize(&self, cols: u16, rows: u16) {
        *self.resize.lock().unwrap_or_else(PoisonError::into_inner) = Some((cols, rows));
        self.wake();
    }

    fn wake(&self) {
        // It fails only when the counter is full, and then the thread is being woken anyway.
        let _ = self.wake.write(1);
    }

    fn take_resize(&self) -> Option<(u16, u16)> {
        self.resize.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The running thread.
#[derive(Debug)]
pub(super) struct EventThread {
    requests: Arc<Requests>,
    thread: JoinHandle<()>,
}

impl EventThread {
    pub(super) fn start(console: SharedConsole, requests: Arc<Requests>) -> Result<Self, Error> {
        let for_thread = Arc::clone(&requests);
        let thread = std::thread::Builder::new()
            .name("devices".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                block_signals();
                serve(&console, &for_thread);
            })
            .map_err(Error::Thread)?;
        Ok(Self { requests, thread })
    }

    /// Ends the thread after one last turn.
    pub(super) fn finish(self) {
        self.requests.is_over.store(true, Ordering::SeqCst);
        self.requests.wake();
        // A panic there has been printed; the machine is at its end either way.
        let _ = self.thread.join();
    }
}

fn serve(console: &SharedConsole, requests: &Requests) {
    let mut waits: Vec<(RawFd, PollFlags, Token)> = Vec::with_capacity(16);
    loop {
        let is_over = requests.is_over.load(Ordering::SeqCst);
        let mut device = lock(console);
        if let Some((cols, rows)) = requests.take_resize() {
            device.resize(cols, rows);
        }
        let again = device.service();
        if is_over && !again {
            return;
        }
        waits.clear();
        device.interests(|interest| waits.push((interest.fd.as_raw_fd(), interest.events, interest.token)));
        drop(device);
        wait(console, requests, &waits, again);
    }
}

fn wait(console: &SharedConsole, requests: &Requests, waits: &[(RawFd, PollFlags, Token)], again: bool) {
    let mut fds = Vec::with_capacity(waits.len() + 1);
    let borrow = |fd: RawFd| {
        // SAFETY: only this thread closes the ports' descriptors, in `service` and `is_polled`, not while it waits here; `requests`
        // keeps the event descriptor.
        unsafe { BorrowedFd::borrow_raw(fd) }
    };
    fds.push(PollFd::from_borrowed_fd(borrow(requests.wake.as_raw_fd()), PollFlags::IN));
    fds.extend(waits.iter().map(|&(fd, events, _)| PollFd::from_borrowed_fd(borrow(fd), events)));
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut fds, again.then_some(&at_once)).is_err() {
        return;
    }
    if !fds[0].revents().is_empty() {
        // Emptied before the queues are looked at, so that a later notification wakes again.
        let _ = requests.wake.read();
    }
    if fds[1..].iter().any(|fd| !fd.revents().is_empty()) {
        let mut device = lock(console);
        for (fd, &(.., token)) in fds[1..].iter().zip(waits) {
            if !fd.revents().is_empty() {
                device.console_mut().is_polled(token, fd.revents());
            }
        }
    }
}

fn lock(console: &SharedConsole) -> MutexGuard<'_, VirtioMmio> {
    console.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Signals are for the caller's threads; SIGPIPE of a write here must be its error and nothing else.
fn block_signals() {
    // SAFETY: all zeroes is a valid `sigset_t` for sigfillset to overwrite.
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is a live local.
    unsafe { libc::sigfillset(&mut all) };
    // SAFETY: `all` is initialised; the old mask is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut()) };
}
