//! Letting go of a VM without waiting for its end.
//!
//! Closing the last descriptor of a VM waits for a grace period that changing its device lists began (Linux 6.18, virt/kvm/kvm_main.c,
//! `kvm_io_bus_register_dev` and `kvm_destroy_vm`): up to 15 ms, more than a short program takes from start to end, and a process has
//! not ended before. So the last reference is left to the kernel: a socket that lies, with the VM's descriptor, in its own queue is
//! reachable by nobody once it is closed, and the collector of such sockets, which runs on a kernel thread, closes what is in it
//! (Linux net/unix/garbage.c, `unix_gc`). Guest memory is not concerned: it goes with the process.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg, socketpair,
};

/// Holds a reference to a file; once this is dropped the kernel drops that reference, at leisure and on a thread of its own.
#[derive(Debug)]
pub(super) struct Parting {
    _here: OwnedFd,
    _there: OwnedFd,
}

/// Leaves a reference to `fd`'s file to the kernel. The caller closes its own descriptors before it drops what this returns: the other
/// way round the kernel could be the first to let go.
///
/// # Errors
/// When the socket cannot be made or takes no descriptors (a limit of the user's); then the caller's close waits.
pub(super) fn leave_to_kernel(fd: BorrowedFd<'_>) -> rustix::io::Result<Parting> {
    let (here, there) = socketpair(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let fds = [fd, there.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    sendmsg(&here, &[IoSlice::new(&[0])], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?;
    Ok(Parting { _here: here, _there: there })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::time::{Duration, Instant};

    #[test]
    fn what_is_left_to_the_kernel_is_closed_before_long() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let parting = leave_to_kernel(writer.as_fd()).unwrap();
        drop(writer);
        drop(parting);
        let begin = Instant::now();
        // End of file: the last writer has gone.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}
