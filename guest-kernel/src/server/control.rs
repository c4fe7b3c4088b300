//! What the host may do to the guest by the same channel: the tree of `/proc`, and beside it the file `signal`.
//!
//! A client that attaches with the name `signal` gets a file that takes writes of `PID SIGNAL`, two decimal numbers, each one a signal from
//! outside to that process. It stands in no directory, so nobody who attaches to `/proc` (a mount, for one) meets it.
//! The file answers as kill(2) does; the kernel is the sender (`SI_KERNEL`, no pid), so no right is asked for and the first process of
//! all is protected no more than from the VM's terminal.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use procfs_core::Errno;
use procfs_core::ninep::wire::{Attr, GETATTR_BASIC, Qid, SetAttr, Statfs, open_flags, qid_type};
use procfs_core::ninep::{DirEntry, Tree};

use super::tree::ProcTree;
use crate::kernel::Kernel;
use crate::signal::send::{self, Force};
use crate::signal::{Pushed, SigInfo, Signal};
use crate::vfs::{File, Path};

/// The name that a client attaches to.
const SIGNAL_NAME: &[u8] = b"signal";
/// `S_IFREG`, and the owner may write.
const SIGNAL_MODE: u32 = 0o100_200;
/// The inode number of the file: those of `/proc` are 32 bits wide, so no other qid of the session is the same.
const SIGNAL_INO: u64 = 1 << 32;
/// Two numbers, a blank and a newline.
const SENTENCE_MAX: usize = 24;

/// The trees of one session.
pub(super) struct Served {
    kernel: &'static Kernel,
    proc: ProcTree,
}

/// A file that is not open.
#[derive(Clone)]
pub(super) enum Node {
    Proc(Path),
    Signal,
}

/// A file that is.
pub(super) enum Open {
    Proc(Arc<File>),
    Signal,
}

impl Served {
    pub(super) fn new(kernel: &'static Kernel, proc: ProcTree) -> Self {
        Self { kernel, proc }
    }

    /// Sends the signal that `sentence` names.
    ///
    /// # Errors
    /// EINVAL for another sentence or signal, ESRCH where no such process is, EAGAIN when its queue is full.
    fn signal(&self, sentence: &[u8]) -> Result<(), Errno> {
        let (nr, raw) = numbers(sentence).ok_or(Errno::EINVAL)?;
        let signal = match raw {
            0 => None,
            raw => Some(u64::try_from(raw).ok().and_then(Signal::from_raw).ok_or(Errno::EINVAL)?),
        };
        let target = self.kernel.tasks.task(&self.kernel.pid_ns, nr).ok_or(Errno::ESRCH)?;
        let Some(signal) = signal else { return Ok(()) };
        match send::to_group(&target.group, SigInfo::kernel(signal), Force::Host) {
            Pushed::Waits => Ok(()),
            Pushed::OverLimit => Err(Errno::EAGAIN),
        }
    }
}

/// A process number above 0 and the number of a signal.
fn numbers(sentence: &[u8]) -> Option<(i32, i32)> {
    if sentence.len() > SENTENCE_MAX {
        return None;
    }
    let text = core::str::from_utf8(sentence).ok()?;
    let (nr, raw) = text.strip_suffix('\n').unwrap_or(text).split_once(' ')?;
    let decimal = |digits: &str| {
        let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| is_plain)
    };
    Some((decimal(nr).filter(|nr| *nr > 0)?, decimal(raw)?))
}

const SIGNAL_QID: Qid = Qid { kind: qid_type::FILE, version: 0, path: SIGNAL_INO };

impl Tree for Served {
    type Node = Node;
    type OpenFile = Open;

    fn attach(&mut self, uname: &[u8], n_uname: Option<u32>, aname: &[u8]) -> Result<Node, Errno> {
        match aname {
            SIGNAL_NAME => Ok(Node::Signal),
            _ => self.proc.attach(uname, n_uname, aname).map(Node::Proc),
        }
    }

    fn qid(&self, node: &Node) -> Qid {
        match node {
            Node::Proc(path) => self.proc.qid(path),
            Node::Signal => SIGNAL_QID,
        }
    }

    fn walk(&mut self, from: &Node, name: &[u8]) -> Result<Node, Errno> {
        match from {
            Node::Proc(path) => self.proc.walk(path, name).map(Node::Proc),
            Node::Signal => Err(Errno::ENOTDIR),
        }
    }

    fn getattr(&mut self, node: &Node) -> Result<Attr, Errno> {
        match node {
            Node::Proc(path) => self.proc.getattr(path),
            Node::Signal => Ok(Attr {
                valid: GETATTR_BASIC,
                qid: SIGNAL_QID,
                mode: SIGNAL_MODE,
                nlink: 1,
                blksize: 4096,
                ..Attr::default()
            }),
        }
    }

    fn setattr(&mut self, node: &Node, attr: &SetAttr) -> Result<(), Errno> {
        match node {
            Node::Proc(path) => self.proc.setattr(path, attr),
            Node::Signal => Err(Errno::EPERM),
        }
    }

    fn open(&mut self, node: &Node, flags: u32) -> Result<Open, Errno> {
        match node {
            Node::Proc(path) => self.proc.open(path, flags).map(Open::Proc),
            Node::Signal if flags & open_flags::ACCMODE == open_flags::WRONLY => Ok(Open::Signal),
            Node::Signal => Err(Errno::EACCES),
        }
    }

    fn read(&mut self, file: &mut Open, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        match file {
            Open::Proc(file) => self.proc.read(file, offset, buffer),
            Open::Signal => Err(Errno::EBADF),
        }
    }

    fn write(&mut self, file: &mut Open, offset: u64, data: &[u8]) -> Result<usize, Errno> {
        match file {
            Open::Proc(file) => self.proc.write(file, offset, data),
            Open::Signal => self.signal(data).map(|()| data.len()),
        }
    }

    fn readdir(
        &mut self,
        file: &mut Open,
        offset: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> ControlFlow<()>,
    ) -> Result<(), Errno> {
        match file {
            Open::Proc(file) => self.proc.readdir(file, offset, emit),
            Open::Signal => Err(Errno::ENOTDIR),
        }
    }

    fn readlink(&mut self, node: &Node, target: &mut Vec<u8>) -> Result<(), Errno> {
        match node {
            Node::Proc(path) => self.proc.readlink(path, target),
            Node::Signal => Err(Errno::EINVAL),
        }
    }

    fn statfs(&mut self, node: &Node) -> Result<Statfs, Errno> {
        match node {
            Node::Proc(path) => self.proc.statfs(path),
            Node::Signal => Err(Errno::ENOSYS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn only_two_plain_numbers_are_a_sentence() {
        assert_eq!(numbers(b"1 15\n"), Some((1, 15)));
        assert_eq!(numbers(b"2147483647 0"), Some((i32::MAX, 0)));
        for sentence in [
            &b""[..],
            b"1",
            b"1 ",
            b" 15",
            b"0 15",
            b"-1 15",
            b"1 -1",
            b"1  15",
            b"1 15 ",
            b"+1 15",
            b"1 15\n\n",
            b"1\t15",
            b"2147483648 1",
            b"1 99999999999",
            b"1 \xff",
            b"1 15\0",
            b"00000000000000000000001 1",
        ] {
            assert_eq!(numbers(sentence), None, "{sentence:?}");
        }
    }
}
