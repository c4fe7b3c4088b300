//! The files by which a task is told how to behave: `coredump_filter`, `timerslack_ns`, `loginuid`, `timens_offsets`,
//! `clear_refs`.
//!
//! Owns what may be written to them. Who may write, and what then happens, are the caller's.
//! Source: Linux 6.12 fs/proc/base.c proc_coredump_filter_write(), timerslack_ns_write(), proc_loginuid_write(),
//! timens_offsets_write(); fs/proc/task_mmu.c clear_refs_write(); kernel/time/namespace.c proc_timens_show_offsets().

use crate::c_integer::{parse_i32, parse_u32, parse_u64, strip};
use crate::{Errno, Sink};

/// Bytes that are looked at of a write of an `unsigned int`: sign, binary digits, newline.
pub const U32_WRITE_MAX: usize = 34;
/// The same for an `unsigned long long`.
pub const U64_WRITE_MAX: usize = 66;
/// The same for `clear_refs`.
pub const CLEAR_REFS_WRITE_MAX: usize = 12;
/// The bits of `coredump_filter` that mean something (`MMF_DUMP_FILTER_BITS`).
const DUMP_FILTER_BITS: u32 = 0x1ff;

/// Renders `coredump_filter`.
pub fn render_dump_filter<S: Sink + ?Sized>(filter: u32, out: &mut S) {
    out.put_hex(u64::from(filter), 8);
    out.put_byte(b'\n');
}

/// Parses a write to `coredump_filter`; bits that mean nothing are dropped.
///
/// # Errors
/// `EINVAL` if it is no number; `ERANGE` if it does not fit an `unsigned int`.
pub fn parse_dump_filter(written: &[u8]) -> Result<u32, Errno> {
    Ok(parse_u32(written, 0)? & DUMP_FILTER_BITS)
}

/// Parses a write to `timerslack_ns`.
///
/// # Errors
/// `EINVAL` if it is no decimal number; `ERANGE` if it does not fit 64 bits.
pub fn parse_timerslack(written: &[u8]) -> Result<u64, Errno> {
    parse_u64(written, 10)
}

/// Parses a write to `loginuid`, a user id of the opener's namespace; 4294967295 is nobody.
///
/// # Errors
/// `EINVAL` for one that does not begin the file or is no decimal number; `ERANGE` if it does not fit an `unsigned int`.
pub fn parse_login_uid(written: &[u8], pos: u64) -> Result<u32, Errno> {
    if pos != 0 {
        return Err(Errno::EINVAL);
    }
    parse_u32(written, 10)
}

/// What a write to `clear_refs` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClearRefs {
    /// Forget which pages have been used.
    All,
    /// The same in areas without a file.
    Anonymous,
    /// The same in areas with a file.
    Mapped,
    /// Forget which pages have been written.
    SoftDirty,
    /// The largest resident size so far is the present one.
    PeakRss,
}

impl ClearRefs {
    /// Parses a write.
    ///
    /// # Errors
    /// `EINVAL` if it is none of the numbers; `ERANGE` if it does not fit an `int`.
    pub fn parse(written: &[u8]) -> Result<Self, Errno> {
        Ok(match parse_i32(strip(crate::c_integer::c_string(written)), 10)? {
            1 => Self::All,
            2 => Self::Anonymous,
            3 => Self::Mapped,
            4 => Self::SoftDirty,
            5 => Self::PeakRss,
            _ => return Err(Errno::EINVAL),
        })
    }
}

/// The clocks of a time namespace, in the order of `timens_offsets`: name and number.
const TIMENS_CLOCKS: [(&str, &str); 2] = [("monotonic", "1"), ("boottime", "7")];

/// How far the clocks of a time namespace are from the machine's: seconds and nanoseconds of each clock.
pub type TimensOffsets = [(i64, u32); 2];

/// Renders `timens_offsets`.
pub fn render_timens<S: Sink + ?Sized>(offsets: &TimensOffsets, out: &mut S) {
    for ((name, _), (seconds, nanos)) in TIMENS_CLOCKS.iter().zip(offsets) {
        out.put_left(name, 10);
        out.put_byte(b' ');
        put_right(itoa::Buffer::new().format(*seconds), 10, out);
        out.put_byte(b' ');
        put_right(itoa::Buffer::new().format(*nanos), 9, out);
        out.put_byte(b'\n');
    }
}

fn put_right<S: Sink + ?Sized>(text: &str, width: usize, out: &mut S) {
    for _ in text.len()..width {
        out.put_byte(b' ');
    }
    out.put_str(text);
}

/// Checks the form of a write to `timens_offsets`: one or two lines of clock, seconds and nanoseconds.
///
/// # Errors
/// `EINVAL` for one that does not begin the file, fills a page, or has a line of another form.
pub fn check_timens_write(written: &[u8], count: usize, pos: u64) -> Result<(), Errno> {
    const NS_PER_SECOND: u64 = 1_000_000_000;
    if pos != 0 || count >= crate::user_memory::PAGE_SIZE {
        return Err(Errno::EINVAL);
    }
    let text = crate::c_integer::c_string(written);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut lines = 0;
    for line in text.split(|&byte| byte == b'\n') {
        lines += 1;
        let mut words = line.split(|&byte| crate::c_integer::is_space(byte)).filter(|word| !word.is_empty());
        let (Some(clock), Some(seconds), Some(nanos)) = (words.next(), words.next(), words.next()) else {
            return Err(Errno::EINVAL);
        };
        let is_known =
            TIMENS_CLOCKS.iter().any(|(name, number)| name.as_bytes() == clock || number.as_bytes() == clock);
        let has_seconds = crate::c_integer::parse_i64(seconds, 10).is_ok();
        let has_nanos = crate::c_integer::take_decimal(nanos).is_some_and(|(nanos, _)| nanos < NS_PER_SECOND);
        if lines > TIMENS_CLOCKS.len() || !is_known || !has_seconds || !has_nanos {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{ClearRefs, check_timens_write, parse_dump_filter, parse_login_uid, parse_timerslack, render_timens};
    use crate::Errno;
    use alloc::vec::Vec;

    #[test]
    fn numbers_have_the_base_that_their_file_has() {
        assert_eq!(parse_dump_filter(b"0x7f\n"), Ok(0x7f));
        assert_eq!(parse_dump_filter(b"7\0junk"), Ok(7));
        assert_eq!(parse_dump_filter(b"0xffffffff"), Ok(0x1ff));
        assert_eq!(parse_dump_filter(b" 7"), Err(Errno::EINVAL));
        assert_eq!(parse_dump_filter(b"4294967296"), Err(Errno::ERANGE));
        assert_eq!(parse_timerslack(b"010"), Ok(10));
        assert_eq!(parse_timerslack(b"0x10"), Err(Errno::EINVAL));
        assert_eq!(parse_login_uid(b"4294967295", 0), Ok(u32::MAX));
        assert_eq!(parse_login_uid(b"1", 1), Err(Errno::EINVAL));
    }

    #[test]
    fn clear_refs_takes_five_numbers() {
        assert_eq!(ClearRefs::parse(b" 5 \n"), Ok(ClearRefs::PeakRss));
        assert_eq!(ClearRefs::parse(b"0"), Err(Errno::EINVAL));
        assert_eq!(ClearRefs::parse(b"6"), Err(Errno::EINVAL));
        assert_eq!(ClearRefs::parse(b"0x1"), Err(Errno::EINVAL));
        assert_eq!(ClearRefs::parse(b"99999999999"), Err(Errno::ERANGE));
    }

    #[test]
    fn offsets_of_clocks_are_shown_and_written_by_name() {
        let mut out = Vec::new();
        render_timens(&[(0, 0), (-3, 5)], &mut out);
        assert_eq!(out, b"monotonic           0         0\nboottime           -3         5\n");
        for good in [&b"monotonic 1 2\n"[..], b"7 -3 999999999", b"boottime 1 1\n1 0 0\n"] {
            assert_eq!(check_timens_write(good, good.len(), 0), Ok(()), "{good:?}");
        }
        for bad in [&b""[..], b"realtime 1 1", b"monotonic 1", b"monotonic 1 1000000000", b"1 1 1\n1 1 1\n1 1 1"] {
            assert_eq!(check_timens_write(bad, bad.len(), 0), Err(Errno::EINVAL), "{bad:?}");
        }
        assert_eq!(check_timens_write(b"1 1 1", 5, 1), Err(Errno::EINVAL));
    }
}
