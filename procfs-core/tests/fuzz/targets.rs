//! What is fuzzed: for each parser its inputs to begin with, the words of its format, and the check against a second implementation.
//!
//! A check panics where the two differ, and returns a number for the kind of outcome, so that inputs with new ones are kept.
//! Source: Linux 6.12, the functions named at each reference.

use procfs_core::Errno;
use procfs_core::c_integer;
use procfs_core::pid::id_map::{self, EXTENTS_MAX, EXTENTS_UNSORTED, Extent, SetGroups};
use procfs_core::pid::settings::{self, ClearRefs};
use procfs_core::pid::{Comm, comm, oom};
use procfs_core::sys::write::{Numbers, Strictness, write_numbers, write_text};

use crate::kstrto::{byte, digits, is_space, radix, signed, skip_spaces, stripped, unsigned, until_nul};
use crate::ninep;

/// One parser under test.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) seeds: &'static [&'static [u8]],
    pub(crate) words: &'static [&'static [u8]],
    pub(crate) check: fn(&[u8]) -> u64,
}

pub(crate) const TARGETS: &[Target] = &[
    Target { name: "integers", seeds: &[b"", b"12\n", b"-0x1f", b"+017"], words: &[], check: integers },
    Target {
        name: "id_map",
        seeds: &[
            b"0 0 1",
            b"0 100000 65536\n",
            b"         0       1000          1\n5 6 7\n",
            b"1 2 3\n4 5 6\n7 8 9\n10 11 12\n13 14 15\n16 17 18\n",
        ],
        words: &[b"0 0 4294967295", b"\n", b"\n20 20 1", b" ", b"4294967295"],
        check: id_maps,
    },
    Target {
        name: "setgroups",
        seeds: &[b"allow", b"deny\n", b"deny   "],
        words: &[b"allow", b"deny", b"\n"],
        check: setgroups,
    },
    Target {
        name: "oom_score_adj",
        seeds: &[b"0\n", b"-1000", b" 500 "],
        words: &[b"1000", b"-999"],
        check: oom_score_adj,
    },
    Target { name: "oom_adj", seeds: &[b"0\n", b"-17", b"15"], words: &[b"-16", b"-17", b"15", b"16"], check: oom_adj },
    Target {
        name: "coredump_filter",
        seeds: &[b"0x33\n", b"51", b"0777", b"0xffffffff"],
        words: &[b"0x", b"4294967295", b"4294967296", b"\n"],
        check: coredump_filter,
    },
    Target {
        name: "timerslack_ns",
        seeds: &[b"50000\n", b"0", b"18446744073709551615"],
        words: &[b"0x", b"18446744073709551616", b"\n"],
        check: timerslack,
    },
    Target {
        name: "loginuid",
        seeds: &[b"\x001000\n", b"\x004294967295", b"\x011", b"\x00010"],
        words: &[b"4294967295", b"4294967296", b"\n"],
        check: login_uid,
    },
    Target {
        name: "clear_refs",
        seeds: &[b"1\n", b" 4 ", b"5", b"+3"],
        words: &[b"2", b"-1", b"2147483648", b"\n"],
        check: clear_refs,
    },
    Target { name: "comm", seeds: &[b"", b"name\n", b"fifteen bytes 15", b"a\0b"], words: &[], check: comm_write },
    Target {
        name: "sysctl_numbers",
        seeds: &[b"1\n", b" 1\t2 3\n", b"-5", b"0x10 010", b"000000000000000000001", b"18446744073709551615"],
        words: &[b" ", b"\t", b"2147483647", b"-2147483648"],
        check: sysctl_numbers,
    },
    Target {
        name: "sysctl_text",
        seeds: &[b"", b"\x02host\n", b"\x46name"],
        words: &[b"\n", b"\0"],
        check: sysctl_text,
    },
    Target { name: "9p_request", seeds: ninep::SEEDS, words: ninep::WORDS, check: ninep::request },
];

/// A kind of outcome: the error, or a number of the target's own.
fn kind<T>(result: &Result<T, Errno>, of_value: impl Fn(&T) -> u64) -> u64 {
    match result {
        Ok(value) => 1 << 32 | of_value(value),
        Err(errno) => errno.raw().into(),
    }
}

fn bits(value: i128) -> u64 {
    u64::from(128 - value.unsigned_abs().leading_zeros()) << 1 | u64::from(value < 0)
}

fn integers(input: &[u8]) -> u64 {
    let expected = signed(input, 0, i64::MIN.into(), i64::MAX.into());
    assert_eq!(c_integer::parse_i64(input, 0).map(i128::from), expected, "parse_i64");
    let expected = signed(input, 0, i32::MIN.into(), i32::MAX.into());
    assert_eq!(c_integer::parse_i32(input, 0).map(i128::from), expected, "parse_i32");
    let expected = signed(input, 10, i64::MIN.into(), i64::MAX.into());
    assert_eq!(c_integer::parse_i64(input, 10).map(i128::from), expected, "parse_i64 in decimal");
    let expected = unsigned(input, 0);
    assert_eq!(c_integer::parse_u64(input, 0), expected, "parse_u64");
    assert_eq!(c_integer::parse_u64(input, 10), unsigned(input, 10), "parse_u64 in decimal");
    kind(&expected, |&value| bits(value.into()))
}

/// map_write() up to where it looks at the namespaces; every failure is EINVAL.
fn reference_id_map(written: &[u8]) -> Option<Vec<Extent>> {
    let text = until_nul(written);
    let mut extents: Vec<Extent> = Vec::new();
    let mut at = 0;
    loop {
        let end = (at..text.len()).find(|&at| text[at] == b'\n').unwrap_or(text.len());
        let has_next = end + 1 < text.len();
        let line = &text[at..end];
        let mut numbers = [0_u32; 3];
        let mut pos = 0;
        for (index, number) in numbers.iter_mut().enumerate() {
            pos = skip_spaces(line, pos);
            while byte(line, pos).is_ascii_digit() {
                *number = number.wrapping_mul(10).wrapping_add(u32::from(line[pos] - b'0'));
                pos += 1;
            }
            let next = byte(line, pos);
            if !(is_space(next) || index == 2 && next == 0) {
                return None;
            }
        }
        if skip_spaces(line, pos) != line.len() {
            return None;
        }
        let [first, lower, count] = numbers;
        let wraps = |start: u32| start.wrapping_add(count) <= start;
        if first == u32::MAX || lower == u32::MAX || wraps(first) || wraps(lower) {
            return None;
        }
        let meets = |a: u32, b: u32, b_count: u32| {
            u64::from(a) < u64::from(b) + u64::from(b_count) && u64::from(b) < u64::from(a) + u64::from(count)
        };
        if extents.iter().any(|old| meets(first, old.first, old.count) || meets(lower, old.lower, old.count)) {
            return None;
        }
        if extents.len() + 1 == EXTENTS_MAX && has_next {
            return None;
        }
        extents.push(Extent { first, lower, count });
        if !has_next {
            break;
        }
        at = end + 1;
    }
    if extents.len() > EXTENTS_UNSORTED {
        extents.sort_by_key(|extent| extent.first);
    }
    Some(extents)
}

fn id_maps(input: &[u8]) -> u64 {
    let expected = reference_id_map(input).ok_or(Errno::EINVAL);
    let parsed = id_map::parse(input);
    assert_eq!(parsed, expected);
    if let Ok(extents) = &parsed {
        // What is shown is what was written, and is taken again.
        let mut text = Vec::new();
        extents.iter().for_each(|extent| id_map::render(extent, &mut text));
        assert_eq!(id_map::parse(&text), parsed, "the shown map");
    }
    kind(&parsed, |extents| extents.len() as u64)
}

/// proc_setgroups_write()
fn setgroups(input: &[u8]) -> u64 {
    let words = [(&b"allow"[..], SetGroups::Allow), (b"deny", SetGroups::Deny)];
    let text = until_nul(input);
    let meant = words.iter().find(|(word, _)| text.len() >= word.len() && text[..word.len()] == **word);
    let expected = match meant {
        Some((word, meaning)) if input.len() < 8 && skip_spaces(text, word.len()) == text.len() => Ok(*meaning),
        _ => Err(Errno::EINVAL),
    };
    assert_eq!(SetGroups::check_write(0, input.len()).and_then(|()| SetGroups::parse(input)), expected);
    assert_eq!(SetGroups::check_write(1, input.len()), Err(Errno::EINVAL), "not at the start");
    kind(&expected, |&meaning| meaning as u64) << 8 | input.len().min(9) as u64
}

/// PROC_NUMBUF less its NUL.
fn as_written(input: &[u8]) -> &[u8] {
    &input[..input.len().min(12)]
}

/// oom_score_adj_write()
fn oom_score_adj(input: &[u8]) -> u64 {
    let taken = as_written(input);
    let expected = signed(stripped(taken), 0, i32::MIN.into(), i32::MAX.into()).and_then(|value| match value {
        -1000..=1000 => Ok((value as i16, taken.len())),
        _ => Err(Errno::EINVAL),
    });
    assert_eq!(oom::parse_score_adj(input), expected);
    if let Ok((value, _)) = expected {
        let mut shown = Vec::new();
        oom::render_score_adj(value, &mut shown);
        assert_eq!(oom::parse_score_adj(&shown), Ok((value, shown.len())), "the shown value");
    }
    kind(&expected, |&(value, _)| bits(value.into()))
}

/// oom_adj_write()
fn oom_adj(input: &[u8]) -> u64 {
    let taken = as_written(input);
    let expected = signed(stripped(taken), 0, i32::MIN.into(), i32::MAX.into()).and_then(|value| match value {
        15 => Ok((1000, taken.len())),
        -17..=14 => Ok(((value * 1000 / 17) as i16, taken.len())),
        _ => Err(Errno::EINVAL),
    });
    assert_eq!(oom::parse_adj(input), expected);
    kind(&expected, |&(value, _)| value as u64 & 0xffff)
}

/// kstrtouint() by its range: a minus is EINVAL, whatever follows.
fn unsigned_int(input: &[u8], base: u32) -> Result<u32, Errno> {
    unsigned(input, base).and_then(|value| if value >> 32 == 0 { Ok(value as u32) } else { Err(Errno::ERANGE) })
}

/// proc_coredump_filter_write(): bit by bit, as far as there are kinds of memory.
fn coredump_filter(input: &[u8]) -> u64 {
    let expected =
        unsigned_int(input, 0).map(|value| (0..9).filter(|bit| value >> bit & 1 == 1).map(|bit| 1 << bit).sum());
    assert_eq!(settings::parse_dump_filter(input), expected);
    if let Ok(filter) = expected {
        let mut shown = b"0x".to_vec();
        settings::render_dump_filter(filter, &mut shown);
        assert_eq!(settings::parse_dump_filter(&shown), Ok(filter), "the shown value");
    }
    kind(&expected, |&filter: &u32| filter.into())
}

/// timerslack_ns_write()
fn timerslack(input: &[u8]) -> u64 {
    let expected = unsigned(input, 10);
    assert_eq!(settings::parse_timerslack(input), expected);
    kind(&expected, |&slack_ns| bits(slack_ns.into()))
}

/// proc_loginuid_write(); the first byte is where in the file it is written.
fn login_uid(input: &[u8]) -> u64 {
    let (pos, text) = input.split_first().map_or((0, input), |(&pos, text)| (pos, text));
    let expected = if pos == 0 { unsigned_int(text, 10) } else { Err(Errno::EINVAL) };
    assert_eq!(settings::parse_login_uid(text, pos.into()), expected);
    kind(&expected, |&uid| bits(uid.into()))
}

/// clear_refs_write()
fn clear_refs(input: &[u8]) -> u64 {
    let meanings = [ClearRefs::All, ClearRefs::Anonymous, ClearRefs::Mapped, ClearRefs::SoftDirty, ClearRefs::PeakRss];
    let taken = as_written(input);
    let expected = signed(stripped(taken), 10, i32::MIN.into(), i32::MAX.into())
        .and_then(|value| (1..).zip(meanings).find(|(number, _)| *number == value).ok_or(Errno::EINVAL));
    assert_eq!(ClearRefs::parse(taken), expected.map(|(_, meaning)| meaning));
    kind(&expected, |&(number, _)| number as u64)
}

/// comm_write(): 15 bytes at most, as a C string.
fn comm_write(input: &[u8]) -> u64 {
    let mut buffer = [0_u8; 16];
    for (at, &byte) in input.iter().take(15).enumerate() {
        buffer[at] = byte;
    }
    let expected = until_nul(&buffer);
    let name = Comm::from_write(input);
    assert_eq!(name.as_bytes(), expected);
    let mut shown = Vec::new();
    comm::render(&name, &mut shown);
    assert_eq!(shown, [expected, b"\n"].concat(), "the shown name");
    expected.len() as u64
}

/// proc_get_long(): negative, magnitude, bytes used; `None` for EINVAL.
fn reference_long(rest: &[u8]) -> Option<(bool, u64, usize)> {
    const WINDOW: usize = 21;
    let window = &rest[..rest.len().min(WINDOW)];
    let is_negative = byte(window, 0) == b'-' && rest.len() > 1;
    let start = usize::from(is_negative);
    if !byte(window, start).is_ascii_digit() {
        return None;
    }
    let (base, prefix) = radix(window, start);
    let (value, used) = digits(window, start + prefix, base);
    let magnitude = u64::try_from(value).ok()?;
    let is_separated = used == rest.len() || matches!(rest[used], b' ' | b'\t' | b'\n');
    (used != WINDOW && is_separated).then_some((is_negative, magnitude, used))
}

/// __do_proc_dointvec() and __do_proc_doulongvec_minmax(): the values replaced, and the result.
fn reference_vector(input: &[u8], range: (i128, i128), room: usize) -> (Vec<i128>, Result<usize, Errno>) {
    let mut values = Vec::new();
    if input.is_empty() {
        return (values, Ok(0));
    }
    let text = &input[..input.len().min(4095)];
    let mut at = 0;
    while at < text.len() && values.len() < room {
        at = skip_spaces(text, at);
        if at == text.len() {
            break;
        }
        let Some((is_negative, magnitude, used)) = reference_long(&text[at..]) else {
            return (values, Err(Errno::EINVAL));
        };
        let value = i128::from(magnitude) * if is_negative { -1 } else { 1 };
        // Of an unsigned long even -0 is refused.
        if value < range.0 || value > range.1 || is_negative && range.1 > i128::from(i64::MAX) {
            return (values, Err(Errno::EINVAL));
        }
        values.push(value);
        at += used;
    }
    if values.is_empty() {
        return (values, Err(Errno::EINVAL));
    }
    (values, Ok(input.len() - (text.len() - skip_spaces(text, at))))
}

fn sysctl_numbers(input: &[u8]) -> u64 {
    const OLD: i64 = -77;
    let mut outcome = 0;
    let rules = [
        (Numbers::ANY_INT, (i32::MIN.into(), i32::MAX.into())),
        (Numbers::Int { min: 0, max: 2 }, (0, 2)),
        (Numbers::ANY_ULONG, (0, u64::MAX.into())),
    ];
    for (rule, range) in rules {
        for room in [1, 3] {
            let (expected, result) = reference_vector(input, range, room);
            let mut values = [OLD; 3];
            let written = write_numbers(input, 0, Strictness::Strict, rule, &mut values[..room]);
            assert_eq!((written.replaced, written.result), (expected.len(), result), "{rule:?}, {room} values");
            for (at, &value) in values.iter().enumerate() {
                // An unsigned long is kept as its bits.
                assert_eq!(value, expected.get(at).map_or(OLD, |&value| value as i64), "value {at} by {rule:?}");
            }
            outcome = outcome * 31 + kind(&result, |_| expected.len() as u64);
        }
    }
    let mut value = [OLD];
    let later = write_numbers(input, 1, Strictness::Strict, Numbers::ANY_INT, &mut value);
    assert_eq!((later.result, value), (Ok(input.len()), [OLD]), "behind the start");
    outcome
}

/// _proc_do_string() over a buffer of `max` bytes and a NUL; the first byte of the input is the offset.
fn sysctl_text(input: &[u8]) -> u64 {
    const MAX: usize = 16;
    const OLD: &[u8] = b"old text";
    let (pos, bytes) = input.split_first().map_or((0, input), |(&pos, rest)| (usize::from(pos), rest));
    let mut outcome = 0;
    for strictness in [Strictness::Strict, Strictness::Legacy] {
        let mut data = OLD.to_vec();
        data.resize(MAX + 1, 0);
        let mut length = if strictness == Strictness::Strict { pos } else { 0 };
        let is_refused = bytes.is_empty() || length > OLD.len();
        if !is_refused {
            for &byte in bytes.iter().take_while(|byte| !matches!(byte, 0 | b'\n')) {
                if length == MAX {
                    break;
                }
                data[length] = byte;
                length += 1;
            }
            data[length] = 0;
        }
        let mut text = OLD.to_vec();
        let (count, is_set) = write_text(bytes, pos as u64, strictness, MAX, &mut text);
        assert_eq!((count, is_set), (bytes.len(), !is_refused), "{strictness:?}");
        assert_eq!(text, until_nul(&data), "{strictness:?}");
        outcome = outcome << 8 | text.len() as u64;
    }
    outcome
}
