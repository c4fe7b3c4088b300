//! The process of the host that waits for an answer.
//!
//! FUSE tells of a signal by a request of its own, which `fuser` 0.18 refuses by itself, so that the kernel waits for the answer. What the
//! kernel would have told is read here instead: whether the thread has a signal waiting that it takes (proc_pid_status(5)).
//! The host's `/proc` is reached by a descriptor from before the mount, since the mount may come to lie over it.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::proc::pipeline::Caller;

/// Bytes of a status file; Linux 6.18 writes 1.5 KiB.
const STATUS_MAX: u64 = 16 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Process {
    host: Arc<File>,
    /// The thread's number as the mounting process sees it.
    tid: u32,
}

impl Process {
    pub(super) fn new(host: &Arc<File>, tid: u32) -> Self {
        Self { host: Arc::clone(host), tid }
    }

    fn status(&self) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.host, format!("{}/status", self.tid), flags, Mode::empty()).ok()?;
        let mut bytes = Vec::new();
        File::from(file).take(STATUS_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether `name` is the number of the process in some pid namespace it is in: what getpid(2) gives there.
    pub(super) fn is_called(&self, name: &[u8]) -> bool {
        let Some(status) = self.status() else { return false };
        let mut numbers = field(&status, "NStgid:").unwrap_or_default().split_ascii_whitespace();
        numbers.any(|number| number.as_bytes() == name)
    }
}

impl Caller for Process {
    fn has_signal(&self) -> bool {
        self.status().is_some_and(|status| is_signalled(&status))
    }
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

fn is_signalled(status: &str) -> bool {
    let mask = |name| field(status, name).and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    (mask("SigPnd:") | mask("ShdPnd:")) & !mask("SigBlk:") & !mask("SigIgn:") != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_counts_when_it_waits_and_is_neither_blocked_nor_ignored() {
        let status = |pending: u64, shared: u64, blocked: u64, ignored: u64| {
            format!(
                "Name:\tx\nSigPnd:\t{pending:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\n"
            )
        };
        assert!(is_signalled(&status(2, 0, 0, 0)));
        assert!(is_signalled(&status(0, 1 << 8, 0, 1)));
        assert!(!is_signalled(&status(2, 4, 2, 4)));
        assert!(!is_signalled(&status(0, 0, 0, 0)));
        assert!(!is_signalled(""));
    }

    #[test]
    fn a_process_is_called_by_its_number_from_each_of_its_threads() {
        let host = Arc::new(File::open("/proc").unwrap());
        let pid = std::process::id().to_string();
        let tid = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        let process = Process::new(&host, tid);
        assert!(process.is_called(pid.as_bytes()));
        assert!(!process.is_called(b"0") && !process.is_called(b""));
        assert!(!process.has_signal());
        assert!(!Process::new(&host, u32::MAX).is_called(pid.as_bytes()));
    }
}
