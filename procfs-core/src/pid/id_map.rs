//! `/proc/PID/uid_map`, `gid_map`, `projid_map` and `setgroups`.
//!
//! Owns the text of a map, the parser of a written one and the checks that need nothing but the text. Who may write,
//! and whether the parent maps each range, is the caller's, after the parse.
//! Source: Linux 6.12 kernel/user_namespace.c map_write(), mappings_overlap(), proc_setgroups_write(), uid_m_show().

use crate::c_integer::{c_string, is_space, take_decimal};
use crate::user_memory::PAGE_SIZE;
use crate::{Errno, Sink};
use alloc::vec::Vec;

/// Most extents of a map.
pub const EXTENTS_MAX: usize = 340;

/// Most extents that keep the order in which they were written; more are sorted by `first`.
pub const EXTENTS_UNSORTED: usize = 5;

/// A range of ids: `count` ids from `first` inside are those from `lower` outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// First id inside.
    pub first: u32,
    /// First id outside; `u32::MAX` where the reader's namespace has none.
    pub lower: u32,
    /// How many.
    pub count: u32,
}

/// Renders one extent.
pub fn render<S: Sink + ?Sized>(extent: &Extent, out: &mut S) {
    out.put_u64_wide(u64::from(extent.first), 10);
    out.put_byte(b' ');
    out.put_u64_wide(u64::from(extent.lower), 10);
    out.put_byte(b' ');
    out.put_u64_wide(u64::from(extent.count), 10);
    out.put_byte(b'\n');
}

/// Checks what a write may be before anything else is looked at: at offset 0 and shorter than a page.
///
/// # Errors
/// `EINVAL` otherwise.
pub const fn check_write(pos: u64, count: usize) -> Result<(), Errno> {
    if pos != 0 || count >= PAGE_SIZE { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Parses a written map; the extents are in the order in which the map is to be shown.
///
/// # Errors
/// `EINVAL` for a malformed line, an id of 4294967295, an empty or wrapping range, an overlap, no extent, or more than
/// [`EXTENTS_MAX`].
pub fn parse(written: &[u8]) -> Result<Vec<Extent>, Errno> {
    let text = c_string(written);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let mut extents: Vec<Extent> = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        let extent = parse_line(line)?;
        if extents.iter().any(|other| overlap(other, &extent)) || extents.len() == EXTENTS_MAX {
            return Err(Errno::EINVAL);
        }
        extents.push(extent);
    }
    if extents.len() > EXTENTS_UNSORTED {
        extents.sort_by_key(|extent| extent.first);
    }
    Ok(extents)
}

fn parse_line(line: &[u8]) -> Result<Extent, Errno> {
    let (first, rest) = take_field(line)?;
    let (lower, rest) = take_field(skip_spaces(separated(rest)?))?;
    let (count, rest) = take_field(skip_spaces(separated(rest)?))?;
    if !rest.first().is_none_or(|&byte| is_space(byte)) || !skip_spaces(rest).is_empty() {
        return Err(Errno::EINVAL);
    }
    let ends = first.checked_add(count).zip(lower.checked_add(count));
    if first == u32::MAX || lower == u32::MAX || count == 0 || ends.is_none() {
        return Err(Errno::EINVAL);
    }
    Ok(Extent { first, lower, count })
}

/// A number, cut to 32 bits as Linux silently does.
fn take_field(text: &[u8]) -> Result<(u32, &[u8]), Errno> {
    // Without a digit Linux takes 0 and stays where it is, so what must follow cannot.
    let (value, rest) = take_decimal(skip_spaces(text)).ok_or(Errno::EINVAL)?;
    Ok((value as u32, rest))
}

fn separated(text: &[u8]) -> Result<&[u8], Errno> {
    if text.first().is_some_and(|&byte| is_space(byte)) { Ok(text) } else { Err(Errno::EINVAL) }
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_space(byte)).unwrap_or(text.len());
    &text[start..]
}

fn overlap(one: &Extent, other: &Extent) -> bool {
    let meets = |a: u32, b: u32| {
        // Checked by parse_line: neither range wraps.
        let (a_last, b_last) = (a + (one.count - 1), b + (other.count - 1));
        a <= b_last && b <= a_last
    };
    meets(one.first, other.first) || meets(one.lower, other.lower)
}

/// Whether the groups of a process in the namespace may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetGroups {
    /// `allow`
    Allow,
    /// `deny`
    Deny,
}

impl SetGroups {
    /// Renders `setgroups`.
    pub fn render<S: Sink + ?Sized>(self, out: &mut S) {
        out.put(match self {
            SetGroups::Allow => b"allow\n",
            SetGroups::Deny => b"deny\n",
        });
    }

    /// Checks what a write may be before anything else is looked at: at offset 0 and shorter than 8 bytes.
    ///
    /// # Errors
    /// `EINVAL` otherwise.
    pub const fn check_write(pos: u64, count: usize) -> Result<(), Errno> {
        if pos != 0 || count >= 8 { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// Parses a write to `setgroups`.
    ///
    /// # Errors
    /// `EINVAL` if it is not one of the words and white space.
    pub fn parse(written: &[u8]) -> Result<Self, Errno> {
        let text = c_string(written);
        let (word, rest) = if let Some(rest) = text.strip_prefix(b"allow") {
            (SetGroups::Allow, rest)
        } else if let Some(rest) = text.strip_prefix(b"deny") {
            (SetGroups::Deny, rest)
        } else {
            return Err(Errno::EINVAL);
        };
        if skip_spaces(rest).is_empty() { Ok(word) } else { Err(Errno::EINVAL) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, SetGroups, check_write, parse, render};
    use crate::Errno;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    fn extent(first: u32, lower: u32, count: u32) -> Extent {
        Extent { first, lower, count }
    }

    #[test]
    fn columns_are_ten_wide() {
        let mut out = Vec::new();
        render(&extent(0, 0, u32::MAX), &mut out);
        assert_eq!(out, b"         0          0 4294967295\n");
    }

    #[test]
    fn good_maps_are_taken() {
        for (text, map) in [
            ("0 0 1", vec![extent(0, 0, 1)]),
            ("0 0 1\n", vec![extent(0, 0, 1)]),
            ("0 0 1\n\0 4 3", vec![extent(0, 0, 1)]),
            (" \t0  1000\t1 \r\n", vec![extent(0, 1000, 1)]),
            ("010 5 2", vec![extent(10, 5, 2)]),
            ("4294967296 18446744073709551616 1", vec![extent(0, 0, 1)]),
            ("0 0 4294967295", vec![extent(0, 0, u32::MAX)]),
            ("4294967294 0 1", vec![extent(u32::MAX - 1, 0, 1)]),
            ("5 5 1\n0 0 5", vec![extent(5, 5, 1), extent(0, 0, 5)]),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(map), "{text:?}");
        }
    }

    #[test]
    fn bad_maps_are_refused() {
        for text in [
            "",
            "\n",
            "\n0 0 1",
            "0 0 1\n\n",
            "0 0",
            "0 0 1 junk",
            "0 0 1x",
            "0x10 0 1",
            "-1 0 1",
            "+1 0 1",
            "4294967295 0 1",
            "0 4294967295 1",
            "0 0 0",
            "4294967294 0 2",
            "0 0 2\n1 5 1",
            "0 0 2\n5 1 1",
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Errno::EINVAL), "{text:?}");
        }
        assert_eq!(check_write(1, 5), Err(Errno::EINVAL));
        assert_eq!(check_write(0, 4096), Err(Errno::EINVAL));
        assert_eq!(check_write(0, 4095), Ok(()));
    }

    #[test]
    fn more_than_five_extents_are_sorted_and_340_are_the_most() {
        let lines = |ids: &mut dyn Iterator<Item = u32>| ids.map(|id| format!("{id} {id} 1\n")).collect::<String>();
        let five: Vec<_> = parse(lines(&mut (0..5).rev()).as_bytes()).unwrap();
        assert_eq!(five[0].first, 4);
        let six: Vec<_> = parse(lines(&mut (0..6).rev()).as_bytes()).unwrap();
        assert_eq!(six[0].first, 0);
        assert_eq!(parse(lines(&mut (0..340)).as_bytes()).unwrap().len(), 340);
        assert_eq!(parse(lines(&mut (0..341)).as_bytes()), Err(Errno::EINVAL));
    }

    #[test]
    fn setgroups_takes_two_words_and_white_space() {
        assert_eq!(SetGroups::parse(b"deny\0"), Ok(SetGroups::Deny));
        assert_eq!(SetGroups::parse(b"deny   "), Ok(SetGroups::Deny));
        assert_eq!(SetGroups::parse(b"allow\n"), Ok(SetGroups::Allow));
        for text in ["denyx", "", "Deny", " deny"] {
            assert_eq!(SetGroups::parse(text.as_bytes()), Err(Errno::EINVAL), "{text:?}");
        }
        assert_eq!(SetGroups::check_write(1, 4), Err(Errno::EINVAL));
        assert_eq!(SetGroups::check_write(0, 8), Err(Errno::EINVAL));
        assert_eq!(SetGroups::check_write(0, 7), Ok(()));
    }
}
