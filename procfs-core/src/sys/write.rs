//! What a write to a file of `/proc/sys` says: numbers between white space, or a text.
//!
//! Owns Linux's rules: which bytes make a number, which range it must lie in, what a write that is not at the start does,
//! how much of a write counts as taken. Where the values are kept is the caller's.
//! A vector may be written in part: what was read before the first fault stays read, as on Linux.
//! Source: Linux 6.12 kernel/sysctl.c proc_get_long(), __do_proc_dointvec(), do_proc_douintvec_w(),
//! __do_proc_doulongvec_minmax(), _proc_do_string(), proc_first_pos_non_zero_ignore().

use alloc::vec::Vec;

use crate::Errno;
use crate::c_integer::{is_space, take_lenient};

/// Longest text of a number that is looked at, with its NUL (TMPBUFLEN).
const NUMBER_MAX: usize = 22;
/// How much of a write of numbers is looked at: a page with its NUL.
const TEXT_MAX: usize = 4095;

/// What writes that do not start at offset 0 do (`kernel.sysctl_writes_strict`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// Each write is the whole value, wherever it is.
    Legacy,
    /// Numbers take no other than the first; a text continues where the offset says.
    Strict,
}

/// How the numbers of a file are written and what they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// One or more `int`s, each from `min` to `max`.
    Int {
        /// The least.
        min: i32,
        /// The greatest.
        max: i32,
    },
    /// One `unsigned int`; all of the write counts as taken whatever follows the number.
    Uint {
        /// The least.
        min: u32,
        /// The greatest.
        max: u32,
    },
    /// One or more `unsigned long`s.
    Ulong {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
}

impl Numbers {
    /// Any `int`.
    pub const ANY_INT: Self = Self::Int { min: i32::MIN, max: i32::MAX };
    /// Any `unsigned long`.
    pub const ANY_ULONG: Self = Self::Ulong { min: 0, max: u64::MAX };

    /// Whether a write moves the offset of the open file: that of one `unsigned int` does not.
    #[must_use]
    pub const fn moves_offset(self) -> bool {
        !matches!(self, Self::Uint { .. })
    }

    /// The number as the file keeps it, if it is in range.
    fn accept(self, is_negative: bool, magnitude: u64) -> Option<i64> {
        match self {
            Self::Int { min, max } => {
                let value = i128::from(magnitude) * if is_negative { -1 } else { 1 };
                let value = i32::try_from(value).ok()?;
                (min..=max).contains(&value).then_some(i64::from(value))
            }
            Self::Uint { .. } | Self::Ulong { .. } if is_negative => None,
            Self::Uint { min, max } => {
                let value = u32::try_from(magnitude).ok()?;
                (min..=max).contains(&value).then_some(i64::from(value))
            }
            Self::Ulong { min, max } => (min..=max).contains(&magnitude).then_some(magnitude.cast_signed()),
        }
    }
}

/// What a write of numbers did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// How many values were replaced, from the first on, whatever the result is.
    pub replaced: usize,
    /// What write(2) returns.
    pub result: Result<usize, Errno>,
}

/// Reads `bytes`, written at offset `pos`, into `values` (an `unsigned long` as its bits).
///
/// The error is `EINVAL` for what is not a number, is out of range, or holds no number at all.
pub fn write_numbers(bytes: &[u8], pos: u64, strictness: Strictness, rule: Numbers, values: &mut [i64]) -> Written {
    let taken = |replaced, count| Written { replaced, result: Ok(count) };
    if bytes.is_empty() || values.is_empty() {
        return taken(0, 0);
    }
    if pos != 0 && strictness == Strictness::Strict {
        return taken(0, bytes.len());
    }
    let count = bytes.len();
    let mut rest = &bytes[..count.min(TEXT_MAX)];
    let mut replaced = 0;
    let mut fault = false;
    for value in &mut *values {
        rest = skip_spaces(rest);
        if rest.is_empty() {
            break;
        }
        let number = take_number(rest).and_then(|(is_negative, magnitude, after)| {
            let accepted = rule.accept(is_negative, magnitude)?;
            Some((accepted, after))
        });
        let Some((accepted, after)) = number else {
            fault = true;
            break;
        };
        *value = accepted;
        rest = after;
        replaced += 1;
    }
    if fault || replaced == 0 {
        return Written { replaced, result: Err(Errno::EINVAL) };
    }
    if matches!(rule, Numbers::Uint { .. }) {
        return taken(replaced, count);
    }
    // What is behind the page counts as taken: Linux subtracts only what it has not read of the page.
    taken(replaced, count - skip_spaces(rest).len())
}

fn skip_spaces(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|&byte| !is_space(byte)).unwrap_or(bytes.len());
    &bytes[start..]
}

/// Sign, magnitude and what follows of the number at the head; white space or the end must follow it.
fn take_number(bytes: &[u8]) -> Option<(bool, u64, &[u8])> {
    let window = &bytes[..bytes.len().min(NUMBER_MAX - 1)];
    let is_negative = window[0] == b'-' && bytes.len() > 1;
    let digits = if is_negative { &window[1..] } else { window };
    let (magnitude, used) = take_lenient(digits)?;
    let length = used + usize::from(is_negative);
    // A number that fills the window may go on behind it.
    if length == NUMBER_MAX - 1 {
        return None;
    }
    match bytes.get(length) {
        None | Some(b' ' | b'\t' | b'\n') => Some((is_negative, magnitude, &bytes[length..])),
        Some(_) => None,
    }
}

/// Writes `bytes` at offset `pos` into `text`, which has at most `max` bytes; it ends before a newline or NUL. Returns what
/// write(2) returns, and whether the text was set.
pub fn write_text(bytes: &[u8], pos: u64, strictness: Strictness, max: usize, text: &mut Vec<u8>) -> (usize, bool) {
    if bytes.is_empty() {
        return (0, false);
    }
    let start = match strictness {
        Strictness::Legacy => 0,
        Strictness::Strict => match usize::try_from(pos) {
            Ok(pos) if pos <= text.len().min(max) => pos,
            // Behind the end: taken and without effect; Linux does not move the offset either, which nobody can tell.
            _ => return (bytes.len(), false),
        },
    };
    let end = bytes.iter().position(|&byte| matches!(byte, 0 | b'\n')).unwrap_or(bytes.len());
    text.truncate(start);
    text.extend_from_slice(&bytes[..end.min(max - start)]);
    (bytes.len(), true)
}

#[cfg(test)]
mod tests {
    use super::{Numbers, Strictness, write_numbers, write_text};
    use crate::Errno;
    use alloc::vec;

    const STRICT: Strictness = Strictness::Strict;

    fn int(text: &[u8]) -> (Result<usize, Errno>, i64) {
        let mut value = [-7];
        let written = write_numbers(text, 0, STRICT, Numbers::ANY_INT, &mut value);
        (written.result, value[0])
    }

    #[test]
    fn one_number_with_white_space_around_it() {
        assert_eq!(int(b"5\n"), (Ok(2), 5));
        assert_eq!(int(b" \t\n12 \n"), (Ok(7), 12));
        assert_eq!(int(b"-12"), (Ok(3), -12));
        assert_eq!(int(b"0x10"), (Ok(4), 16));
        assert_eq!(int(b"010"), (Ok(3), 8));
        assert_eq!(int(b"5 6"), (Ok(2), 5));
        assert_eq!(int(b"2147483647"), (Ok(10), 2_147_483_647));
        assert_eq!(int(b"-2147483648"), (Ok(11), -2_147_483_648));
    }

    #[test]
    fn what_is_no_number_changes_nothing() {
        for text in [
            &b"x"[..],
            b"-",
            b"--1",
            b"+1",
            b"1x",
            b"0x",
            b"08",
            b"1,2",
            b"5\0",
            b"\n",
            b" ",
            b"2147483648",
            b"-2147483649",
            b"18446744073709551616",
            b"000000000000000000001",
        ] {
            assert_eq!(int(text), (Err(Errno::EINVAL), -7), "{text:?}");
        }
        assert_eq!(int(b""), (Ok(0), -7));
    }

    #[test]
    fn a_vector_may_be_written_in_part() {
        let mut values = [1, 2, 3];
        let written = write_numbers(b"7 8\n", 0, STRICT, Numbers::ANY_INT, &mut values);
        assert_eq!((written.result, written.replaced, values), (Ok(4), 2, [7, 8, 3]));
        let written = write_numbers(b"9 x", 0, STRICT, Numbers::ANY_INT, &mut values);
        assert_eq!((written.result, written.replaced, values), (Err(Errno::EINVAL), 1, [9, 8, 3]));
        let written = write_numbers(b"1 2 3 4 5", 0, STRICT, Numbers::ANY_INT, &mut values);
        assert_eq!((written.result, values), (Ok(6), [1, 2, 3]));
    }

    #[test]
    fn ranges_and_signs_follow_the_kind() {
        let write = |text: &[u8], rule| {
            let mut value = [3];
            write_numbers(text, 0, STRICT, rule, &mut value).result.map(|_| value[0])
        };
        let small = Numbers::Int { min: 0, max: 2 };
        assert_eq!(write(b"2", small), Ok(2));
        assert_eq!(write(b"3", small), Err(Errno::EINVAL));
        assert_eq!(write(b"-1", small), Err(Errno::EINVAL));
        assert_eq!(write(b"4294967295", Numbers::Uint { min: 0, max: u32::MAX }), Ok(0xffff_ffff));
        assert_eq!(write(b"4294967296", Numbers::Uint { min: 0, max: u32::MAX }), Err(Errno::EINVAL));
        assert_eq!(write(b"18446744073709551615", Numbers::ANY_ULONG), Ok(-1));
        assert_eq!(write(b"-0", Numbers::ANY_ULONG), Err(Errno::EINVAL));
    }

    #[test]
    fn a_uint_takes_the_whole_write() {
        let mut value = [0];
        let rule = Numbers::Uint { min: 0, max: 100 };
        assert_eq!(write_numbers(b"5 6", 0, STRICT, rule, &mut value).result, Ok(3));
        assert_eq!(value, [5]);
    }

    #[test]
    fn numbers_behind_the_start_are_ignored_when_writes_are_strict() {
        let mut value = [1];
        assert_eq!(write_numbers(b"x", 2, STRICT, Numbers::ANY_INT, &mut value).result, Ok(1));
        assert_eq!(value, [1]);
        assert_eq!(write_numbers(b"9", 2, Strictness::Legacy, Numbers::ANY_INT, &mut value).result, Ok(1));
        assert_eq!(value, [9]);
    }

    #[test]
    fn a_text_continues_at_its_offset_and_ends_at_a_newline() {
        let mut text = vec![];
        assert_eq!(write_text(b"host\nmore", 0, STRICT, 64, &mut text), (9, true));
        assert_eq!(text, b"host");
        assert_eq!(write_text(b"XY", 2, STRICT, 64, &mut text), (2, true));
        assert_eq!(text, b"hoXY");
        assert_eq!(write_text(b"Z", 5, STRICT, 64, &mut text), (1, false));
        assert_eq!(text, b"hoXY");
        assert_eq!(write_text(b"Z", 5, Strictness::Legacy, 64, &mut text), (1, true));
        assert_eq!(text, b"Z");
        assert_eq!(write_text(&[b'a'; 80], 0, STRICT, 64, &mut text), (80, true));
        assert_eq!(text.len(), 64);
        assert_eq!(write_text(b"", 0, STRICT, 64, &mut text), (0, false));
    }
}
