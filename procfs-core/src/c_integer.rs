//! Numbers as the kernel parses them from what users write.
//!
//! Owns `kstrtoint`-like strict integers, `simple_strtoul`-like loose ones, the kernel's white space, and the decimal
//! names of pids and descriptors. Knows no file.
//! Source: Linux 6.12 lib/kstrtox.c, lib/ctype.c, lib/string_helpers.c strim(), fs/proc/util.c name_to_int().

use crate::Errno;

/// Whether the kernel's `isspace` holds: ASCII white space and the no-break space 0xa0.
#[must_use]
pub const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0xa0)
}

/// `bytes` up to the first NUL, as a C string sees them.
#[must_use]
pub fn c_string(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|&byte| byte == 0).map_or(bytes, |end| &bytes[..end])
}

/// `bytes` without white space at both ends (`strstrip`).
#[must_use]
pub fn strip(bytes: &[u8]) -> &[u8] {
    let Some(start) = bytes.iter().position(|&byte| !is_space(byte)) else { return &[] };
    let end = bytes.iter().rposition(|&byte| !is_space(byte)).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// Takes digits in base `radix` from the head: the value modulo 2^64, whether it overflowed, and how many digits.
fn take_digits(bytes: &[u8], radix: u64) -> (u64, bool, usize) {
    let mut value = 0u64;
    let mut overflowed = false;
    let mut count = 0;
    for &byte in bytes {
        let Some(digit) = char::from(byte).to_digit(16).map(u64::from).filter(|&digit| digit < radix) else { break };
        overflowed |= value.checked_mul(radix).and_then(|value| value.checked_add(digit)).is_none();
        value = value.wrapping_mul(radix).wrapping_add(digit);
        count += 1;
    }
    (value, overflowed, count)
}

/// Strict unsigned integer of base 0 (prefix decides) or `base`; one newline at the end is allowed.
fn strict_magnitude(bytes: &[u8], base: u64) -> Result<u64, Errno> {
    let mut radix = base;
    let has_hex_prefix = bytes.len() >= 2 && bytes[0] == b'0' && bytes[1].eq_ignore_ascii_case(&b'x');
    if radix == 0 {
        radix = match bytes {
            [b'0', _, digit, ..] if has_hex_prefix && digit.is_ascii_hexdigit() => 16,
            [b'0', ..] => 8,
            _ => 10,
        };
    }
    let digits = if radix == 16 && has_hex_prefix { &bytes[2..] } else { bytes };
    let (value, overflowed, count) = take_digits(digits, radix);
    if overflowed {
        return Err(Errno::ERANGE);
    }
    if count == 0 {
        return Err(Errno::EINVAL);
    }
    match &digits[count..] {
        [] | [b'\n'] => Ok(value),
        _ => Err(Errno::EINVAL),
    }
}

/// Parses a whole string as the kernel's `kstrtoull` does: optional `+`, digits, at most one newline.
///
/// `base` 0 means: `0x` hexadecimal, leading `0` octal, else decimal.
///
/// # Errors
/// `ERANGE` if it does not fit 64 bits; `EINVAL` if it is not a number or something follows.
pub fn parse_u64(bytes: &[u8], base: u64) -> Result<u64, Errno> {
    let bytes = c_string(bytes);
    strict_magnitude(bytes.strip_prefix(b"+").unwrap_or(bytes), base)
}

/// Parses a whole string as the kernel's `kstrtoll` does: optional `+` or `-`, digits, at most one newline.
///
/// # Errors
/// `ERANGE` if it does not fit 64 bits; `EINVAL` if it is not a number or something follows.
pub fn parse_i64(bytes: &[u8], base: u64) -> Result<i64, Errno> {
    let bytes = c_string(bytes);
    if let Some(magnitude) = bytes.strip_prefix(b"-") {
        let magnitude = strict_magnitude(magnitude, base)?;
        0i64.checked_sub_unsigned(magnitude).ok_or(Errno::ERANGE)
    } else {
        i64::try_from(parse_u64(bytes, base)?).map_err(|_| Errno::ERANGE)
    }
}

/// Parses a whole string as the kernel's `kstrtoint` does.
///
/// # Errors
/// `ERANGE` if it does not fit an `int`; `EINVAL` if it is not a number or something follows.
pub fn parse_i32(bytes: &[u8], base: u64) -> Result<i32, Errno> {
    i32::try_from(parse_i64(bytes, base)?).map_err(|_| Errno::ERANGE)
}

/// Takes an unsigned number of base 0 from the head (`0x` hexadecimal, leading `0` octal, else decimal), whatever follows it:
/// the value and how many bytes it takes (`strtoul_lenient` of kernel/sysctl.c).
///
/// `None` without a digit, and if it does not fit 64 bits.
#[must_use]
pub fn take_lenient(bytes: &[u8]) -> Option<(u64, usize)> {
    let (radix, start) = match bytes {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, 2),
        [b'0', ..] => (8, 0),
        _ => (10, 0),
    };
    let (value, overflowed, count) = take_digits(&bytes[start..], radix);
    (count > 0 && !overflowed).then_some((value, start + count))
}

/// Parses a whole string as the kernel's `kstrtouint` does.
///
/// # Errors
/// `ERANGE` if it does not fit an `unsigned int`; `EINVAL` if it is not a number or something follows.
pub fn parse_u32(bytes: &[u8], base: u64) -> Result<u32, Errno> {
    u32::try_from(parse_u64(bytes, base)?).map_err(|_| Errno::ERANGE)
}

/// Takes a decimal number from the head as `simple_strtoul` does: no sign, wraps at 2^64, and the rest.
///
/// `None` if there is no digit.
#[must_use]
pub fn take_decimal(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (value, _, count) = take_digits(bytes, 10);
    (count > 0).then(|| (value, &bytes[count..]))
}

/// The number that a directory entry such as `/proc/PID/fd/N` names; no sign, no leading zeros.
///
/// `None` for anything else and above 4294967279, where Linux's overflow guard refuses.
#[must_use]
pub fn parse_entry_number(name: &[u8]) -> Option<u32> {
    if name.is_empty() || (name.len() > 1 && name[0] == b'0') {
        return None;
    }
    let mut number = 0u32;
    for &byte in name {
        if !byte.is_ascii_digit() || number >= (u32::MAX - 9) / 10 {
            return None;
        }
        number = number * 10 + u32::from(byte - b'0');
    }
    Some(number)
}

/// The pid or tid that a directory entry names; `None` for `0`, `007` and anything that is no pid.
#[must_use]
pub fn parse_entry_pid(name: &[u8]) -> Option<i32> {
    i32::try_from(parse_entry_number(name)?).ok().filter(|&pid| pid > 0)
}

#[cfg(test)]
mod tests {
    use super::{parse_entry_number, parse_entry_pid, parse_i32, parse_i64, parse_u64, strip};
    use crate::Errno;

    #[test]
    fn integers_are_strict_about_signs_prefixes_and_tails() {
        for (text, value) in
            [("7", 7), ("-5", -5), ("+5", 5), ("0x1F", 31), ("010", 8), ("0", 0), ("12\n", 12), ("-0x10", -16)]
        {
            assert_eq!(parse_i32(text.as_bytes(), 0), Ok(value), "{text}");
        }
        for text in ["", "-", "+", "+-5", "-+5", "5 ", " 5", "08", "0x", "5\n\n", "1_0", "0b1", "5x"] {
            assert_eq!(parse_i32(text.as_bytes(), 0), Err(Errno::EINVAL), "{text}");
        }
        assert_eq!(parse_i32(b"2147483648", 0), Err(Errno::ERANGE));
        assert_eq!(parse_i32(b"-2147483648", 0), Ok(i32::MIN));
        assert_eq!(parse_i64(b"-9223372036854775808", 0), Ok(i64::MIN));
        assert_eq!(parse_i64(b"9223372036854775808", 0), Err(Errno::ERANGE));
        assert_eq!(parse_u64(b"18446744073709551616x", 0), Err(Errno::ERANGE));
        assert_eq!(parse_i32(b"0x1", 10), Err(Errno::EINVAL));
    }

    #[test]
    fn stripping_knows_the_no_break_space() {
        assert_eq!(strip(b"\xa0 \t5\x0b\r\n"), b"5");
        assert_eq!(strip(b" \n"), b"");
    }

    #[test]
    fn entry_numbers_have_no_leading_zero_and_stop_at_the_guard() {
        assert_eq!(parse_entry_number(b"0"), Some(0));
        assert_eq!(parse_entry_number(b"4294967279"), Some(4_294_967_279));
        for name in ["", "007", "00", "-1", "+1", "1x", "4294967280", "42949672790", " 1"] {
            assert_eq!(parse_entry_number(name.as_bytes()), None, "{name}");
        }
        assert_eq!(parse_entry_pid(b"0"), None);
        assert_eq!(parse_entry_pid(b"007"), None);
        assert_eq!(parse_entry_pid(b"4194304"), Some(4_194_304));
        assert_eq!(parse_entry_pid(b"4294967279"), None);
    }
}
