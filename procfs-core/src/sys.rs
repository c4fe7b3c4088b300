//! The values of `/proc/sys`: their text, and the rule of reading them.
//!
//! Owns how numbers and strings are shown, and which reads see them. Which values there are is the caller's.
//! Source: Linux 6.12 kernel/sysctl.c do_proc_dointvec(), _proc_do_string(); proc_sys(5).

pub mod write;

use crate::Sink;

/// A value, as one file shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Numbers, with tabs between them. Only a read at offset 0 sees them; every other read is at the end.
    Numbers(&'a [i64]),
    /// The same of `unsigned long`s, as their bits.
    Unsigned(&'a [i64]),
    /// Text, without the newline that is added; reads see it from their offset on.
    Text(&'a [u8]),
}

/// Renders what a read at offset `pos` may return; the reader takes as much of it as it has room for.
pub fn render_from<S: Sink + ?Sized>(value: Value<'_>, pos: u64, out: &mut S) {
    match value {
        Value::Numbers(_) | Value::Unsigned(_) if pos != 0 => {}
        Value::Numbers([]) | Value::Unsigned([]) => {}
        Value::Numbers(numbers) => put_numbers(numbers, out, |number, out| out.put_i64(number)),
        Value::Unsigned(numbers) => put_numbers(numbers, out, |number, out| out.put_u64(number.cast_unsigned())),
        Value::Text(text) => {
            if let Some(rest) = usize::try_from(pos).ok().and_then(|pos| text.get(pos..)) {
                out.put(rest);
                out.put_byte(b'\n');
            }
        }
    }
}

fn put_numbers<S: Sink + ?Sized>(numbers: &[i64], out: &mut S, put: impl Fn(i64, &mut S)) {
    for (at, &number) in numbers.iter().enumerate() {
        if at > 0 {
            out.put_byte(b'\t');
        }
        put(number, out);
    }
    out.put_byte(b'\n');
}

#[cfg(test)]
mod tests {
    use super::{Value, render_from};
    use alloc::vec::Vec;

    fn at(value: Value<'_>, pos: u64) -> Vec<u8> {
        let mut out = Vec::new();
        render_from(value, pos, &mut out);
        out
    }

    #[test]
    fn numbers_are_seen_only_from_the_start() {
        assert_eq!(at(Value::Numbers(&[4_194_304]), 0), b"4194304\n");
        assert_eq!(at(Value::Numbers(&[32000, 1_024_000_000, 500, 32000]), 0), b"32000\t1024000000\t500\t32000\n");
        assert_eq!(at(Value::Numbers(&[4_194_304]), 2), b"");
        assert_eq!(at(Value::Unsigned(&[-16_777_217]), 0), b"18446744073692774399\n");
    }

    #[test]
    fn text_honours_the_offset() {
        assert_eq!(at(Value::Text(b"host"), 0), b"host\n");
        assert_eq!(at(Value::Text(b"host"), 2), b"st\n");
        assert_eq!(at(Value::Text(b"host"), 4), b"\n");
        assert_eq!(at(Value::Text(b"host"), 5), b"");
        assert_eq!(at(Value::Text(b""), 0), b"\n");
    }
}
