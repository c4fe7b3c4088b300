//! 9P2000.L requests: whether bytes are one is told by the layouts of the protocol, written down a second time.
//!
//! Source: diod's protocol.md; Linux 6.12 net/9p/client.c (the formats of each request).

use procfs_core::ninep::wire::{Request, peek};

/// Fields: a digit is so many bytes; `s` a text, `d` data with a 32-bit count, `w` at most 16 names, `?` four bytes or the end.
const LAYOUTS: &[(u8, &str)] = &[
    (8, "4"),
    (12, "44"),
    (14, "4s444"),
    (16, "4ss4"),
    (18, "4s4444"),
    (20, "44s"),
    (22, "4"),
    (24, "48"),
    (26, "4444488888"),
    (30, "44s"),
    (32, "4s84"),
    (40, "484"),
    (50, "4?"),
    (52, "414884s"),
    (54, "41884s"),
    (70, "44s"),
    (72, "4s44"),
    (74, "4s4s"),
    (76, "4s4"),
    (100, "4s"),
    (102, "4ss4"),
    (104, "44ss4"),
    (108, "2"),
    (110, "44w"),
    (116, "484"),
    (118, "48d"),
    (120, "4"),
    (122, "4"),
];

pub(crate) const SEEDS: &[&[u8]] = &[
    b"\x15\0\0\0\x64\xff\xff\0\0\x02\0\x08\09P2000.L",
    b"\x17\0\0\0\x68\x01\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0",
    b"\x1c\0\0\0\x6e\x01\0\0\0\0\0\x01\0\0\0\x02\0\x01\x001\x06\0status",
    b"\x17\0\0\0\x74\x02\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0",
    b"\x19\0\0\0\x76\x02\0\x01\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0hi",
    b"\x0b\0\0\0\x78\x03\0\x01\0\0\0",
    b"\x0f\0\0\0\x32\x03\0\x01\0\0\0\x01\0\0\0",
    b"\x09\0\0\0\x6c\x03\0\x01\0",
];
pub(crate) const WORDS: &[&[u8]] = &[
    b"\x01\0",
    b"\xff\xff",
    b"\x01\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x10\0",
    b"\x11\0",
    b"\x01\0a",
    b"\0\0\0\0\0\0\0\0",
];

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte))
}

fn cut<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}

/// Whether `message` is exactly one request.
fn is_request(message: &[u8]) -> bool {
    let check = || -> Option<()> {
        let mut rest = message;
        let size = number(cut(&mut rest, 4)?);
        let kind = cut(&mut rest, 1)?[0];
        cut(&mut rest, 2)?;
        let layout = LAYOUTS.iter().find(|(number, _)| *number == kind)?.1;
        for field in layout.chars() {
            match field {
                's' => {
                    let count = number(cut(&mut rest, 2)?);
                    cut(&mut rest, count)?;
                }
                'd' => {
                    let count = number(cut(&mut rest, 4)?);
                    cut(&mut rest, count)?;
                }
                'w' => {
                    let names = Some(number(cut(&mut rest, 2)?)).filter(|&names| names <= 16)?;
                    for _ in 0..names {
                        let count = number(cut(&mut rest, 2)?);
                        cut(&mut rest, count)?;
                    }
                }
                '?' if rest.is_empty() => {}
                '?' => drop(cut(&mut rest, 4)?),
                count => drop(cut(&mut rest, count.to_digit(10)? as usize)?),
            }
        }
        (rest.is_empty() && size == message.len()).then_some(())
    };
    check().is_some()
}

/// The bytes as they are, and once more with the size put right, so that most get to their fields.
pub(crate) fn request(input: &[u8]) -> u64 {
    let mut sized = input.to_vec();
    if sized.len() >= 4 {
        let size = u32::try_from(sized.len()).expect("inputs are short");
        sized[..4].copy_from_slice(&size.to_le_bytes());
    }
    one(input) << 32 | one(&sized)
}

fn one(message: &[u8]) -> u64 {
    let decoded = Request::decode(message);
    assert_eq!(decoded.is_ok(), is_request(message), "{decoded:?}");
    let Ok((tag, request)) = decoded else { return 0 };
    assert_eq!(peek(message), Some((request.kind(), tag)));
    let mut again = Vec::new();
    request.encode(tag, &mut again);
    // The one field that may be left out comes back written out.
    let is_short_fsync = request.kind() == 50 && message.len() == 11;
    assert!(again == message || is_short_fsync && again.starts_with(&[15]), "encoded as {again:x?}");
    u64::from(request.kind()) << 8 | message.len().min(255) as u64
}
