//! The serial line: the kernel writes its log there, and the VMM keeps the end of it.
//!
//! Owns the ring of the last [`LOG_BYTES`] bytes. Has no interrupt and no input: the line is for the early log and for panics.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vm_superio::{Serial, Trigger, serial::NoEvents};

/// How much of the log is kept, in bytes.
pub const LOG_BYTES: usize = 64 << 10;

/// The end of the kernel's log; clones share it.
#[derive(Debug, Clone, Default)]
pub struct SerialLog(Arc<Mutex<Ring>>);

#[derive(Debug, Default)]
struct Ring {
    bytes: VecDeque<u8>,
    /// Bytes that were kept once and are no longer.
    dropped: u64,
}

impl SerialLog {
    /// The last [`LOG_BYTES`] bytes at most.
    pub fn bytes(&self) -> Vec<u8> {
        self.since(0).0
    }

    /// What was written behind the first `from` bytes of all, as far as it is kept; and how many bytes have been written in all.
    pub fn since(&self, from: u64) -> (Vec<u8>, u64) {
        let ring = self.ring();
        let skip = usize::try_from(from.saturating_sub(ring.dropped)).unwrap_or(usize::MAX).min(ring.bytes.len());
        let bytes = ring.bytes.range(skip..).copied().collect();
        (bytes, ring.dropped + ring.bytes.len() as u64)
    }

    /// The same as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    fn push(&self, bytes: &[u8]) {
        let mut ring = self.ring();
        ring.bytes.extend(bytes);
        let excess = ring.bytes.len().saturating_sub(LOG_BYTES);
        ring.bytes.drain(..excess);
        ring.dropped += excess as u64;
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the UART writes to: gathers the bytes of one exit.
#[derive(Debug, Default)]
struct Pending(Vec<u8>);

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line raises no interrupt.
#[derive(Debug)]
struct NoInterrupt;

impl Trigger for NoInterrupt {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The UART and where its output goes.
#[derive(Debug)]
pub struct SerialPort {
    uart: Serial<NoInterrupt, NoEvents, Pending>,
    log: SerialLog,
    copy: Option<OwnedFd>,
}

impl SerialPort {
    /// A line whose output is kept in `log` and copied to `copy`.
    pub fn new(log: SerialLog, copy: Option<OwnedFd>) -> Self {
        Self { uart: Serial::new(NoInterrupt, Pending::default()), log, copy }
    }

    /// Writes `bytes` one after another to the register at `offset`.
    pub fn write(&mut self, offset: u8, bytes: &[u8]) {
        for &byte in bytes {
            // The only failures are of an output and an interrupt that cannot fail.
            let _ = self.uart.write(offset, byte);
        }
        let mut pending = std::mem::take(&mut self.uart.writer_mut().0);
        if pending.is_empty() {
            return;
        }
        // The log ends on terminals: a guest must not send them escape sequences.
        for byte in &mut pending {
            if byte.is_ascii_control() && !matches!(*byte, b'\n' | b'\t') {
                *byte = b'?';
            }
        }
        self.log.push(&pending);
        self.copy_out(&pending);
        pending.clear();
        self.uart.writer_mut().0 = pending;
    }

    /// Reads the register at `offset`.
    pub fn read(&mut self, offset: u8) -> u8 {
        self.uart.read(offset)
    }

    fn copy_out(&mut self, mut bytes: &[u8]) {
        while let (Some(fd), false) = (&self.copy, bytes.is_empty()) {
            match rustix::io::write(fd, bytes) {
                Ok(written) if written > 0 => bytes = &bytes[written..],
                Err(rustix::io::Errno::INTR) => {}
                // A log that cannot be written must not stop the guest.
                _ => self.copy = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_the_guest_sends_is_kept_and_copied() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let log = SerialLog::default();
        let mut port = SerialPort::new(log.clone(), Some(writer.into()));
        port.write(0, b"hello\n");
        assert_eq!(port.read(5) & 0x20, 0x20, "the transmitter is always ready");
        drop(port);
        let mut copied = String::new();
        reader.read_to_string(&mut copied).unwrap();
        assert_eq!((log.text().as_str(), copied.as_str()), ("hello\n", "hello\n"));
    }

    #[test]
    fn escape_sequences_do_not_reach_the_log() {
        let log = SerialLog::default();
        SerialPort::new(log.clone(), None).write(0, b"\x1b[2Jred\r\n");
        assert_eq!(log.text(), "?[2Jred?\n");
    }

    #[test]
    fn only_the_end_of_a_long_log_is_kept() {
        let log = SerialLog::default();
        let mut port = SerialPort::new(log.clone(), None);
        for chunk in [vec![b'a'; LOG_BYTES - 1], vec![b'b'; 10]] {
            port.write(0, &chunk);
        }
        let bytes = log.bytes();
        assert_eq!((bytes.len(), bytes[0], &bytes[LOG_BYTES - 10..]), (LOG_BYTES, b'a', &[b'b'; 10][..]));
        assert_eq!(log.since(LOG_BYTES as u64 + 4), (vec![b'b'; 5], LOG_BYTES as u64 + 9));
        assert_eq!(log.since(u64::MAX), (vec![], LOG_BYTES as u64 + 9));
        port.write(0, &vec![b'c'; LOG_BYTES + 5]);
        assert!(log.bytes().iter().all(|&byte| byte == b'c'));
    }

    #[test]
    fn a_closed_copy_does_not_stop_the_log() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let log = SerialLog::default();
        let mut port = SerialPort::new(log.clone(), Some(writer.into()));
        port.write(0, b"one");
        port.write(0, b"two");
        assert_eq!(log.text(), "onetwo");
    }
}
