//! `/proc/vmstat`: counters of the memory management, one in a line.
//!
//! Owns the form of the lines. Which counters there are follows Linux's names as far as the caller keeps them.
//! Source: Linux 6.12 mm/vmstat.c vmstat_show(), vmstat_text.

use crate::Sink;

/// Renders one counter.
pub fn render<S: Sink + ?Sized>(name: &str, value: u64, out: &mut S) {
    out.put_str(name);
    out.put_byte(b' ');
    out.put_u64(value);
    out.put_byte(b'\n');
}
