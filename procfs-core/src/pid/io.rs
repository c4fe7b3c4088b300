//! `/proc/PID/io`: what a task has read and written.
//!
//! Source: Linux 6.12 fs/proc/base.c do_io_accounting().

use crate::Sink;

/// Counters of a thread, or of a group with its dead threads at PID level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Io {
    /// Bytes that read calls returned.
    pub rchar: u64,
    /// Bytes that write calls took.
    pub wchar: u64,
    /// Read calls.
    pub syscr: u64,
    /// Write calls.
    pub syscw: u64,
    /// Bytes fetched from storage.
    pub read_bytes: u64,
    /// Bytes to be sent to storage.
    pub write_bytes: u64,
    /// Bytes of those that truncation made unnecessary.
    pub cancelled_write_bytes: u64,
}

/// Renders the file.
pub fn render<S: Sink + ?Sized>(io: &Io, out: &mut S) {
    for (key, value) in [
        ("rchar: ", io.rchar),
        ("wchar: ", io.wchar),
        ("syscr: ", io.syscr),
        ("syscw: ", io.syscw),
        ("read_bytes: ", io.read_bytes),
        ("write_bytes: ", io.write_bytes),
        ("cancelled_write_bytes: ", io.cancelled_write_bytes),
    ] {
        out.put_str(key);
        out.put_u64(value);
        out.put_byte(b'\n');
    }
}
