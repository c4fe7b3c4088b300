//! `/proc/PID/limits`: the table of resource limits.
//!
//! Source: Linux 6.12 fs/proc/base.c lnames, proc_pid_limits().

use crate::Sink;

/// A limit that is none.
pub const UNLIMITED: u64 = u64::MAX;

/// A soft and a hard limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// What holds now.
    pub soft: u64,
    /// How far it may be raised.
    pub hard: u64,
}

/// All limits, by their `RLIMIT_*` number.
pub type Limits = [Limit; 16];

/// Name and unit by `RLIMIT_*` number.
const ROWS: [(&str, Option<&str>); 16] = [
    ("Max cpu time", Some("seconds")),
    ("Max file size", Some("bytes")),
    ("Max data size", Some("bytes")),
    ("Max stack size", Some("bytes")),
    ("Max core file size", Some("bytes")),
    ("Max resident set", Some("bytes")),
    ("Max processes", Some("processes")),
    ("Max open files", Some("files")),
    ("Max locked memory", Some("bytes")),
    ("Max address space", Some("bytes")),
    ("Max file locks", Some("locks")),
    ("Max pending signals", Some("signals")),
    ("Max msgqueue size", Some("bytes")),
    ("Max nice priority", None),
    ("Max realtime priority", None),
    ("Max realtime timeout", Some("us")),
];

/// Renders the file.
pub fn render<S: Sink + ?Sized>(limits: &Limits, out: &mut S) {
    out.put(b"Limit                     Soft Limit           Hard Limit           Units     \n");
    for ((name, unit), limit) in ROWS.iter().zip(limits) {
        out.put_left(name, 26);
        put_value(limit.soft, out);
        put_value(limit.hard, out);
        if let Some(unit) = unit {
            out.put_left(unit, 10);
        }
        out.put_byte(b'\n');
    }
}

/// A value padded to 20 characters, and a space.
fn put_value<S: Sink + ?Sized>(value: u64, out: &mut S) {
    if value == UNLIMITED {
        out.put_left("unlimited", 21);
    } else {
        out.put_left(itoa::Buffer::new().format(value), 20);
        out.put_byte(b' ');
    }
}
