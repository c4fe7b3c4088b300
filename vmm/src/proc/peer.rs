//! One socket with what came in and what has to go out.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use procfs_core::ninep::wire::Framer;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// How a read or write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// Bytes moved.
    Some,
    /// Nothing can move now.
    None,
    /// The other side has closed.
    End,
}

/// The other side has gone.
#[derive(Debug)]
pub(super) struct Gone;

#[derive(Debug)]
pub(super) struct Peer {
    socket: OwnedFd,
    pub(super) framer: Framer,
    /// To be sent; the first `sent` bytes are.
    pub(super) out: Vec<u8>,
    sent: usize,
}

impl Peer {
    pub(super) fn new(socket: OwnedFd, msize: u32) -> Self {
        Self { socket, framer: Framer::new(msize), out: Vec::new(), sent: 0 }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Bytes that wait to be sent.
    pub(super) const fn queued(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Sends what can be sent without waiting.
    pub(super) fn send(&mut self) -> Result<(), Gone> {
        while self.queued() > 0 {
            match send(&self.socket, &self.out[self.sent..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => self.sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return Err(Gone),
            }
        }
        // Moves the rest only when it is the smaller part, so that each byte is moved once on average.
        if self.sent * 2 >= self.out.len() {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }

    /// Reads once, without waiting.
    pub(super) fn receive(&mut self) -> Moved {
        let spare = self.framer.spare();
        if spare.is_empty() {
            return Moved::None;
        }
        match recv(&self.socket, spare, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Moved::End,
            Ok((count, _)) => {
                self.framer.commit(count);
                Moved::Some
            }
            Err(Errno::AGAIN | Errno::INTR) => Moved::None,
            Err(_) => Moved::End,
        }
    }
}
