//! `/proc/PID/map_files`: names of mappings, such as `7f0000000000-7f0000001000`.
//!
//! Source: Linux 6.12 fs/proc/base.c dname_to_vma_addr(), proc_map_files_readdir().

/// The addresses that a name spells: hexadecimal, both there, without leading zeros and not past 64 bits.
#[must_use]
pub fn parse_name(name: &[u8]) -> Option<(u64, u64)> {
    let dash = name.iter().position(|&byte| byte == b'-')?;
    Some((parse_hex(&name[..dash])?, parse_hex(&name[dash + 1..])?))
}

fn parse_hex(digits: &[u8]) -> Option<u64> {
    const DIGITS_MAX: usize = 16;
    if digits.is_empty() || digits.len() > DIGITS_MAX || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    digits.iter().try_fold(0u64, |value, &byte| Some(value << 4 | u64::from(char::from(byte).to_digit(16)?)))
}

#[cfg(test)]
mod tests {
    use super::parse_name;

    #[test]
    fn names_have_one_spelling() {
        assert_eq!(parse_name(b"400000-401000"), Some((0x40_0000, 0x40_1000)));
        assert_eq!(parse_name(b"0-ffffffffffffffff"), Some((0, u64::MAX)));
        for name in [&b"0400000-401000"[..], b"400000", b"-401000", b"400000-", b"4g-5", b"400000-401000-", b" 1-2"] {
            assert_eq!(parse_name(name), None, "{name:?}");
        }
    }
}
