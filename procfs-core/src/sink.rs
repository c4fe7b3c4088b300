//! Where rendered bytes go.
//!
//! Owns the byte sink that every renderer writes to, and the few number formats of Linux's seq_file printers. Knows
//! nothing of any particular file. Names and paths are bytes, so `core::fmt::Write` (UTF-8 only) cannot serve.
//! Source: Linux 6.12 fs/seq_file.c seq_put_decimal_ull_width(), seq_put_hex_ll(); include/linux/seq_file.h.

use alloc::vec::Vec;

/// Widest padded decimal number, in characters.
const DECIMAL_WIDTH_MAX: usize = 32;

/// How many digits `value` has in decimal.
pub(crate) fn decimal_len(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Writes `value` in decimal so that it ends before `end`, and returns where it starts; needs room for 20 digits.
pub(crate) fn write_decimal_before(text: &mut [u8], end: usize, mut value: u64) -> usize {
    const PAIRS: &[u8; 200] = b"00010203040506070809101112131415161718192021222324252627282930313233343536373839\
        40414243444546474849505152535455565758596061626364656667686970717273747576777879\
        8081828384858687888990919293949596979899";
    let mut at = end;
    while value >= 100 {
        at -= 2;
        // Below 100, so the narrowing keeps it whole.
        let pair = (value % 100) as usize * 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        value /= 100;
    }
    if value >= 10 {
        at -= 2;
        let pair = value as usize * 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    } else {
        at -= 1;
        text[at] = b'0' + value as u8;
    }
    at
}

/// All 16 hexadecimal digits of `value`.
pub(crate) fn hex_digits(value: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&hex_half(value >> 32));
    digits[8..].copy_from_slice(&hex_half(value & 0xffff_ffff));
    digits
}

/// The 8 hexadecimal digits of a number below 2^32: its nibbles are spread to a byte each, all converted at once.
fn hex_half(value: u64) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let spread = (value << 16 | value) & 0x0000_ffff_0000_ffff;
    let spread = (spread << 8 | spread) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (spread << 4 | spread) & (ONES * 0xf);
    let letters = (nibbles + ONES * 6) >> 4 & ONES;
    (nibbles + ONES * u64::from(b'0') + letters * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// Receives rendered bytes, in order; never fails.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);

    /// Appends one byte.
    fn put_byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    /// Appends text.
    fn put_str(&mut self, text: &str) {
        self.put(text.as_bytes());
    }

    /// Appends `value` in decimal (`%llu`).
    fn put_u64(&mut self, value: u64) {
        self.put(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Appends `value` in decimal (`%lld`).
    fn put_i64(&mut self, value: i64) {
        self.put(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Appends `value` in decimal, padded on the left with spaces to `width` characters (`%*llu`).
    fn put_u64_wide(&mut self, value: u64, width: usize) {
        self.put_u64_filled(value, width, b' ');
    }

    /// Appends `value` in decimal, padded on the left with zeros to `width` characters (`%0*llu`).
    fn put_u64_zeros(&mut self, value: u64, width: usize) {
        self.put_u64_filled(value, width, b'0');
    }

    /// Appends `value` in decimal, padded on the left with `fill` to `width` (at most 32) characters.
    #[inline]
    fn put_u64_filled(&mut self, value: u64, width: usize, fill: u8) {
        let mut text = [fill; DECIMAL_WIDTH_MAX];
        let start = write_decimal_before(&mut text, DECIMAL_WIDTH_MAX, value);
        let padded = DECIMAL_WIDTH_MAX - width.min(DECIMAL_WIDTH_MAX);
        // Two calls, so that the usual one has a constant length once `width` is known.
        if start >= padded { self.put(&text[padded..]) } else { self.put(&text[start..]) }
    }

    /// Appends `value` in lower-case hexadecimal of at least `width` (at most 16) digits (`%0*llx`).
    fn put_hex(&mut self, value: u64, width: usize) {
        let needed = 16 - value.leading_zeros() as usize / 4;
        self.put(&hex_digits(value)[16 - needed.max(width.clamp(1, 16))..]);
    }

    /// Appends `value` in lower-case hexadecimal of 16 digits (`%016llx`).
    #[inline]
    fn put_hex16(&mut self, value: u64) {
        self.put(&hex_digits(value));
    }

    /// Appends `value` in octal of at least `width` (at most 22) digits (`%0*llo`).
    fn put_octal(&mut self, mut value: u64, width: usize) {
        let mut digits = [b'0'; 22];
        let mut at = digits.len();
        while value != 0 {
            at -= 1;
            // Three bits, so the narrowing keeps them whole.
            digits[at] = b'0' + (value & 7) as u8;
            value >>= 3;
        }
        let at = at.min(digits.len() - width.clamp(1, digits.len()));
        self.put(&digits[at..]);
    }

    /// Appends `byte` `count` times.
    fn put_fill(&mut self, byte: u8, count: usize) {
        let chunk = [byte; 32];
        let mut left = count;
        while left > 0 {
            let now = left.min(chunk.len());
            self.put(&chunk[..now]);
            left -= now;
        }
    }

    /// Appends `text`, padded on the right with spaces to `width` characters (`%-*s`).
    fn put_left(&mut self, text: &str, width: usize) {
        self.put_str(text);
        self.put_fill(b' ', width.saturating_sub(text.len()));
    }

    /// Appends `bytes`, each byte that is in `special` as a backslash and three octal digits.
    fn put_escaped(&mut self, bytes: &[u8], special: &[u8]) {
        let mut plain = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if special.contains(&byte) {
                self.put(&bytes[plain..at]);
                self.put_byte(b'\\');
                self.put_octal(u64::from(byte), 3);
                plain = at + 1;
            }
        }
        self.put(&bytes[plain..]);
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    #[inline]
    fn put_byte(&mut self, byte: u8) {
        self.push(byte);
    }
}

/// A sink of `N` bytes without heap; bytes past the end are counted, not kept.
#[derive(Debug, Clone)]
pub struct FixedSink<const N: usize> {
    bytes: [u8; N],
    wanted: usize,
}

impl<const N: usize> FixedSink<N> {
    /// An empty sink.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: [0; N], wanted: 0 }
    }

    /// What was put, up to `N` bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.wanted.min(N)]
    }

    /// Whether more than `N` bytes were put.
    #[must_use]
    pub const fn has_overflowed(&self) -> bool {
        self.wanted > N
    }

    /// Forgets what was put.
    pub const fn clear(&mut self) {
        self.wanted = 0;
    }
}

impl<const N: usize> Default for FixedSink<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Sink for FixedSink<N> {
    fn put(&mut self, bytes: &[u8]) {
        let start = self.wanted.min(N);
        let kept = bytes.len().min(N - start);
        self.bytes[start..start + kept].copy_from_slice(&bytes[..kept]);
        self.wanted = self.wanted.saturating_add(bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::{FixedSink, Sink};
    use alloc::vec::Vec;

    #[test]
    fn numbers_are_padded_and_never_cut() {
        let mut out = Vec::new();
        out.put_u64_wide(7, 3);
        out.put_byte(b'|');
        out.put_u64_wide(12345, 3);
        out.put_byte(b'|');
        out.put_hex(0, 2);
        out.put_byte(b'|');
        out.put_hex(0xffff_ffff_ff60_0000, 8);
        out.put_byte(b'|');
        out.put_octal(0o22, 4);
        out.put_byte(b'|');
        out.put_i64(i64::MIN);
        out.put_byte(b'|');
        out.put_hex(0, 0);
        assert_eq!(out, b"  7|12345|00|ffffffffff600000|0022|-9223372036854775808|0");
    }

    #[test]
    fn digits_agree_with_the_standard_library() {
        for shift in 0..64 {
            for value in [0x9876_5432_1fed_cba0 >> shift, 1 << shift, u64::MAX >> shift] {
                let mut out = Vec::new();
                out.put_hex(value, 3);
                out.put_byte(b' ');
                out.put_octal(value, 3);
                out.put_byte(b' ');
                out.put_u64_wide(value, 7);
                out.put_byte(b' ');
                out.put_u64_zeros(value, 2);
                assert_eq!(out, alloc::format!("{value:03x} {value:03o} {value:7} {value:02}").as_bytes());
            }
        }
    }

    #[test]
    fn a_fixed_sink_keeps_the_head_and_says_that_it_overflowed() {
        let mut out = FixedSink::<4>::new();
        out.put(b"abc");
        assert!(!out.has_overflowed());
        out.put(b"def");
        assert!(out.has_overflowed());
        assert_eq!(out.as_bytes(), b"abcd");
    }

    #[test]
    fn special_bytes_become_three_octal_digits() {
        let mut out = Vec::new();
        out.put_escaped(b"a b\n\\\xff", b" \n\\");
        assert_eq!(out, b"a\\040b\\012\\134\xff");
    }
}
