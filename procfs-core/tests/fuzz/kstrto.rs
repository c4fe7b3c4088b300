//! Linux's number parsers a second time: byte by byte over a C string, in wide arithmetic.
//!
//! Source: Linux 6.12 lib/kstrtox.c, lib/string_helpers.c strim(), lib/vsprintf.c simple_strtoull(), kernel/sysctl.c strtoul_lenient().

use procfs_core::Errno;

/// The byte at `at`, 0 behind the end: a C string's.
pub(crate) fn byte(text: &[u8], at: usize) -> u8 {
    text.get(at).copied().unwrap_or(0)
}

/// The kernel's table of characters calls these white space.
pub(crate) fn is_space(byte: u8) -> bool {
    byte == 0xa0 || byte == 32 || (9..=13).contains(&byte)
}

pub(crate) fn until_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or(text)
}

/// skip_spaces()
pub(crate) fn skip_spaces(text: &[u8], mut at: usize) -> usize {
    while is_space(byte(text, at)) {
        at += 1;
    }
    at
}

/// strstrip()
pub(crate) fn stripped(text: &[u8]) -> &[u8] {
    let mut text = until_nul(text);
    while let [head @ .., last] = text
        && is_space(*last)
    {
        text = head;
    }
    &text[skip_spaces(text, 0)..]
}

/// Digits from `at` on: the exact value, as far as 200 bits hold it, and where they end.
pub(crate) fn digits(text: &[u8], mut at: usize, base: u32) -> (u128, usize) {
    let mut value = 0_u128;
    while let Some(digit) = char::from(byte(text, at)).to_digit(base) {
        value = value.saturating_mul(u128::from(base)).saturating_add(u128::from(digit));
        at += 1;
    }
    (value, at)
}

/// _parse_integer_fixup_radix() with base 0: the base, and how many bytes the prefix has.
pub(crate) fn radix(text: &[u8], at: usize) -> (u32, usize) {
    if byte(text, at) != b'0' {
        (10, 0)
    } else if byte(text, at + 1).eq_ignore_ascii_case(&b'x') && byte(text, at + 2).is_ascii_hexdigit() {
        (16, 2)
    } else {
        (8, 0)
    }
}

/// kstrtoll(), or kstrtoint() by its range; base 0 or 10.
pub(crate) fn signed(text: &[u8], base: u32, min: i128, max: i128) -> Result<i128, Errno> {
    let text = until_nul(text);
    let is_negative = byte(text, 0) == b'-';
    let start = usize::from(is_negative || byte(text, 0) == b'+');
    let (base, prefix) = if base == 0 { radix(text, start) } else { (base, 0) };
    let (value, end) = digits(text, start + prefix, base);
    if value > u128::from(u64::MAX) {
        return Err(Errno::ERANGE);
    }
    if end == start + prefix {
        return Err(Errno::EINVAL);
    }
    let end = if byte(text, end) == b'\n' { end + 1 } else { end };
    if end != text.len() {
        return Err(Errno::EINVAL);
    }
    let value = value as i128 * if is_negative { -1 } else { 1 };
    if (min..=max).contains(&value) { Ok(value) } else { Err(Errno::ERANGE) }
}

/// kstrtoull(); base 0 or 10.
pub(crate) fn unsigned(text: &[u8], base: u32) -> Result<u64, Errno> {
    if byte(text, 0) == b'-' {
        return Err(Errno::EINVAL);
    }
    signed(text, base, 0, i128::from(u64::MAX)).map(|value| value as u64)
}
