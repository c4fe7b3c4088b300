//! `/proc/PID/comm`: the name of a task.
//!
//! Owns the name's type, its length limits and what a write makes of it. Who may write is the caller's to check.
//! Source: Linux 6.12 fs/proc/base.c comm_write(), fs/proc/array.c proc_task_name(); include/linux/sched.h.

use crate::Sink;
use crate::c_integer::c_string;
use core::fmt;

/// Longest name of a user task, in bytes, without the final NUL (`TASK_COMM_LEN` - 1).
pub const TASK_NAME_MAX: usize = 15;

/// Longest name that `/proc` shows, in bytes; kernel threads reach it.
pub const SHOWN_NAME_MAX: usize = 63;

/// A task's name: bytes without NUL, kept inline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Comm {
    len: u8,
    bytes: [u8; SHOWN_NAME_MAX],
}

impl Comm {
    /// The name of a user task: `name` up to its first NUL, at most [`TASK_NAME_MAX`] bytes.
    #[must_use]
    pub fn new(name: &[u8]) -> Self {
        Self::cut(name, TASK_NAME_MAX)
    }

    /// The name of a kernel thread: `name` up to its first NUL, at most [`SHOWN_NAME_MAX`] bytes.
    #[must_use]
    pub fn kernel_thread(name: &[u8]) -> Self {
        Self::cut(name, SHOWN_NAME_MAX)
    }

    /// The name that a program started from `path` gets: its last component.
    #[must_use]
    pub fn from_path(path: &[u8]) -> Self {
        Self::new(path.rsplit(|&byte| byte == b'/').next().unwrap_or(path))
    }

    /// The name that a write of `written` to `comm` sets; the write itself answers the full count.
    ///
    /// A newline is kept; only the first 15 bytes count, and of those what stands before a NUL.
    #[must_use]
    pub fn from_write(written: &[u8]) -> Self {
        Self::new(written)
    }

    fn cut(name: &[u8], max: usize) -> Self {
        let name = c_string(&name[..name.len().min(max)]);
        let mut bytes = [0; SHOWN_NAME_MAX];
        bytes[..name.len()].copy_from_slice(name);
        // At most SHOWN_NAME_MAX.
        Self { len: name.len() as u8, bytes }
    }

    /// The name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl Default for Comm {
    fn default() -> Self {
        Self::new(b"")
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

/// Renders the file: the name as it is and a newline.
pub fn render<S: Sink + ?Sized>(comm: &Comm, out: &mut S) {
    out.put(comm.as_bytes());
    out.put_byte(b'\n');
}

#[cfg(test)]
mod tests {
    use super::Comm;

    #[test]
    fn a_write_is_cut_at_15_bytes_and_at_nul_and_keeps_newlines() {
        assert_eq!(Comm::from_write(b"0123456789abcdefgh").as_bytes(), b"0123456789abcde");
        assert_eq!(Comm::from_write(b"ab\0cd").as_bytes(), b"ab");
        assert_eq!(Comm::from_write(b"ab\n").as_bytes(), b"ab\n");
        assert_eq!(Comm::from_write(b"").as_bytes(), b"");
    }

    #[test]
    fn a_program_is_named_after_its_last_component() {
        assert_eq!(Comm::from_path(b"/usr/bin/env").as_bytes(), b"env");
        assert_eq!(Comm::from_path(b"scr.sh").as_bytes(), b"scr.sh");
        assert_eq!(Comm::from_path(b"/").as_bytes(), b"");
    }

    #[test]
    fn kernel_threads_have_longer_names() {
        let comm = Comm::kernel_thread(b"kworker/0:0H-events_highpri");
        let mut out = alloc::vec::Vec::new();
        super::render(&comm, &mut out);
        assert_eq!(out, b"kworker/0:0H-events_highpri\n");
    }
}
