//! Moving bytes between guest memory and the host's descriptors without waiting and without a copy.
//!
//! The descriptors may be shared with other processes (a shell's terminal, a pipe), so O_NONBLOCK is never set on them. Sockets take
//! MSG_DONTWAIT and pipes RWF_NOWAIT; anything else is asked by poll(2) first and then given no more than it is known to take.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use vm_memory::VolatileSlice;

/// What a terminal that polls writable takes at least: Linux n_tty asks for fewer than 256 waiting characters.
const TERMINAL_CHUNK_BYTES: usize = 256;
/// What a pipe that polls writable takes at least: PIPE_BUF.
const PIPE_CHUNK_BYTES: usize = 4096;
/// The most slices given to one call.
const MAX_IOVECS: usize = 64;

/// How a descriptor is read and written without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Never waits for long.
    Regular,
    Socket,
    /// `has_nowait`: until the kernel says that it has no RWF_NOWAIT for it.
    Pipe {
        has_nowait: bool,
    },
    /// A terminal or another device.
    Device,
}

/// A host descriptor of a port.
#[derive(Debug)]
pub(super) struct HostFd {
    fd: OwnedFd,
    kind: Kind,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// So many bytes, at least one.
    Bytes(usize),
    /// It would have to wait.
    Blocked,
    /// End of file, or the other side is gone.
    Closed,
}

impl HostFd {
    pub(super) fn new(fd: OwnedFd) -> Self {
        let kind = match fstat(&fd).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::RegularFile | FileType::BlockDevice) => Kind::Regular,
            Ok(FileType::Socket) => Kind::Socket,
            Ok(FileType::Fifo) => Kind::Pipe { has_nowait: true },
            _ => Kind::Device,
        };
        Self { fd, kind }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether poll(2) can say that the other side is gone.
    pub(super) fn can_hang_up(&self) -> bool {
        self.kind != Kind::Regular
    }

    /// Reads into `slices`. Call it only after poll(2) said that there is something.
    pub(super) fn read(&mut self, slices: &[VolatileSlice<'_>]) -> Moved {
        let guards: Vec<_> = slices.iter().take(MAX_IOVECS).map(VolatileSlice::ptr_guard_mut).collect();
        let iovecs: Vec<_> =
            guards.iter().map(|guard| libc::iovec { iov_base: guard.as_ptr().cast(), iov_len: guard.len() }).collect();
        loop {
            let result = match self.kind {
                Kind::Socket => {
                    let mut message = message_of(&iovecs);
                    // SAFETY: `message` names `iovecs`, each a range of guest RAM that `guards` keeps mapped.
                    check(unsafe { libc::recvmsg(self.fd.as_raw_fd(), &mut message, libc::MSG_DONTWAIT) })
                }
                Kind::Pipe { has_nowait: true } => {
                    let (at, len) = raw(&iovecs);
                    // SAFETY: as above; -1 means the current position.
                    check(unsafe { libc::preadv2(self.fd.as_raw_fd(), at, len, -1, libc::RWF_NOWAIT) })
                }
                Kind::Pipe { has_nowait: false } | Kind::Device | Kind::Regular => {
                    let (at, len) = raw(&iovecs);
                    // SAFETY: as above.
                    check(unsafe { libc::readv(self.fd.as_raw_fd(), at, len) })
                }
            };
            match self.judge(result) {
                Some(moved) => return moved,
                None => continue,
            }
        }
    }

    /// Writes what it takes of `slices`.
    pub(super) fn write(&mut self, slices: &[VolatileSlice<'_>]) -> Moved {
        let guards: Vec<_> = slices.iter().take(MAX_IOVECS).map(VolatileSlice::ptr_guard).collect();
        let mut iovecs: Vec<_> = guards
            .iter()
            .map(|guard| libc::iovec { iov_base: guard.as_ptr().cast_mut().cast(), iov_len: guard.len() })
            .collect();
        loop {
            let bound = match self.kind {
                Kind::Device => Some(TERMINAL_CHUNK_BYTES),
                Kind::Pipe { has_nowait: false } => Some(PIPE_CHUNK_BYTES),
                _ => None,
            };
            if let Some(bound) = bound {
                match self.poll_out() {
                    Moved::Bytes(_) => shorten(&mut iovecs, bound),
                    other => return other,
                }
            }
            let result = match self.kind {
                Kind::Socket => {
                    let message = message_of(&iovecs);
                    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                    // SAFETY: `message` names `iovecs`, each a range of guest RAM that `guards` keeps mapped.
                    check(unsafe { libc::sendmsg(self.fd.as_raw_fd(), &message, flags) })
                }
                Kind::Pipe { has_nowait: true } => {
                    let (at, len) = raw(&iovecs);
                    // SAFETY: as above; -1 means the current position.
                    check(unsafe { libc::pwritev2(self.fd.as_raw_fd(), at, len, -1, libc::RWF_NOWAIT) })
                }
                Kind::Pipe { has_nowait: false } | Kind::Device | Kind::Regular => {
                    let (at, len) = raw(&iovecs);
                    // SAFETY: as above.
                    check(unsafe { libc::writev(self.fd.as_raw_fd(), at, len) })
                }
            };
            match self.judge(result) {
                Some(moved) => return moved,
                None => continue,
            }
        }
    }

    /// `None` means: try again, another way.
    fn judge(&mut self, result: io::Result<usize>) -> Option<Moved> {
        match result {
            Ok(0) => Some(Moved::Closed),
            Ok(len) => Some(Moved::Bytes(len)),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR) => None,
                Some(libc::EAGAIN) => Some(Moved::Blocked),
                Some(libc::EOPNOTSUPP | libc::ENOSYS) if self.kind == (Kind::Pipe { has_nowait: true }) => {
                    self.kind = Kind::Pipe { has_nowait: false };
                    None
                }
                // EPIPE, ECONNRESET; EIO of a terminal that hung up; ENOSPC: nobody takes or gives any more.
                _ => Some(Moved::Closed),
            },
        }
    }

    fn poll_out(&self) -> Moved {
        let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
        match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(_) if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) => Moved::Closed,
            Ok(_) if fds[0].revents().contains(PollFlags::OUT) => Moved::Bytes(1),
            _ => Moved::Blocked,
        }
    }
}

fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn raw(iovecs: &[libc::iovec]) -> (*const libc::iovec, libc::c_int) {
    (iovecs.as_ptr(), libc::c_int::try_from(iovecs.len()).expect("at most MAX_IOVECS"))
}

fn message_of(iovecs: &[libc::iovec]) -> libc::msghdr {
    // SAFETY: all zeroes is an empty `msghdr`.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = iovecs.as_ptr().cast_mut();
    message.msg_iovlen = iovecs.len();
    message
}

/// Cuts `iovecs` to `bound` bytes in all.
fn shorten(iovecs: &mut Vec<libc::iovec>, bound: usize) {
    let mut left = bound;
    for iovec in iovecs.iter_mut() {
        iovec.iov_len = iovec.iov_len.min(left);
        left -= iovec.iov_len;
    }
    iovecs.retain(|iovec| iovec.iov_len > 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn slice(buffer: &mut [u8]) -> VolatileSlice<'_> {
        VolatileSlice::from(buffer)
    }

    #[test]
    fn a_full_pipe_blocks_instead_of_waiting_and_keeps_its_flags() {
        let (reader, writer) = std::io::pipe().unwrap();
        let before = rustix::fs::fcntl_getfl(&writer).unwrap();
        let mut host = HostFd::new(writer.into());
        let mut data = vec![7u8; 1 << 20];
        let (mut written, mut attempts) = (0, 0);
        loop {
            attempts += 1;
            match host.write(&[slice(&mut data)]) {
                Moved::Bytes(len) => written += len,
                other => break assert_eq!(other, Moved::Blocked),
            }
        }
        assert!(written >= 4096 && attempts < 100_000, "{written}");
        assert_eq!(rustix::fs::fcntl_getfl(&host.fd).unwrap(), before);
        drop(reader);
        assert_eq!(host.write(&[slice(&mut data)]), Moved::Closed);
    }

    #[test]
    fn the_bounded_way_does_not_wait_either() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let mut host = HostFd::new(writer.into());
        host.kind = Kind::Pipe { has_nowait: false };
        let mut data = vec![7u8; 1 << 20];
        while host.write(&[slice(&mut data)]) != Moved::Blocked {}
    }

    #[test]
    fn sockets_move_both_ways_and_report_the_end() {
        let (one, other) = UnixStream::pair().unwrap();
        let mut host = HostFd::new(one.into());
        let (mut hello, mut empty) = (*b"hello", [0u8; 3]);
        let mut rest = [0u8; 8];
        assert_eq!(host.write(&[slice(&mut hello)]), Moved::Bytes(5));
        let mut back = HostFd::new(other.into());
        assert_eq!(back.read(&[slice(&mut empty), slice(&mut rest)]), Moved::Bytes(5));
        assert_eq!((&empty, &rest[..2]), (b"hel", &b"lo"[..]));
        assert_eq!(back.read(&[slice(&mut empty)]), Moved::Blocked);
        drop(host);
        assert_eq!(back.read(&[slice(&mut empty)]), Moved::Closed);
        assert_eq!(back.write(&[slice(&mut empty)]), Moved::Closed);
    }
}
