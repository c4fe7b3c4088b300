//! Bit masks of processors and memory nodes, in Linux's two text forms.
//!
//! Source: Linux 6.12 lib/vsprintf.c bitmap_string() (`%*pb`), bitmap_list_string() (`%*pbl`).

use crate::Sink;
use crate::sink::hex_digits;

const GROUPS_AT_ONCE: usize = 12;

/// A mask of `bits` bits; word 0 holds bits 0 to 63. Words that are missing are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mask<'a> {
    bits: u32,
    words: &'a [u64],
}

impl<'a> Mask<'a> {
    /// A mask of `bits` bits (at least 1); bits of `words` past them do not count.
    #[must_use]
    pub const fn new(bits: u32, words: &'a [u64]) -> Self {
        Self { bits, words }
    }

    fn word(&self, at: u32) -> u64 {
        self.words.get(at as usize).copied().unwrap_or(0)
    }

    /// Bits `32 * at` to `32 * at + 31`.
    fn group(&self, at: u32) -> u64 {
        self.word(at / 2) >> (at % 2 * 32) & 0xffff_ffff
    }

    fn is_set(&self, bit: u32) -> bool {
        self.word(bit / 64) >> (bit % 64) & 1 != 0
    }

    /// Renders groups of 32 bits in hexadecimal, most significant first, with commas between them.
    pub fn render_hex<S: Sink + ?Sized>(&self, out: &mut S) {
        let bits = self.bits.max(1);
        let top = (bits - 1) / 32;
        let top_bits = (bits - 1) % 32 + 1;
        out.put_hex(self.group(top) & ((1 << top_bits) - 1), top_bits.div_ceil(4) as usize);
        // Masks of memory nodes have 31 such groups, so they are put by the dozen.
        let mut text = [b','; GROUPS_AT_ONCE * 9];
        let mut len = 0;
        for group in (0..top).rev() {
            text[len + 1..len + 9].copy_from_slice(&hex_digits(self.group(group))[8..]);
            len += 9;
            if len == text.len() || group == 0 {
                out.put(&text[..len]);
                len = 0;
            }
        }
    }

    /// Renders the set bits as ranges, such as `0-3,5`; nothing for an empty mask.
    pub fn render_list<S: Sink + ?Sized>(&self, out: &mut S) {
        let mut bit = 0;
        let mut is_first = true;
        while bit < self.bits {
            let rest = self.word(bit / 64) >> (bit % 64);
            if rest == 0 {
                bit = (bit / 64 + 1) * 64;
                continue;
            }
            bit += rest.trailing_zeros();
            if bit >= self.bits {
                break;
            }
            let start = bit;
            while bit < self.bits && self.is_set(bit) {
                bit += 1;
            }
            if !is_first {
                out.put_byte(b',');
            }
            is_first = false;
            out.put_u64(u64::from(start));
            if bit - start > 1 {
                out.put_byte(b'-');
                out.put_u64(u64::from(bit - 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Mask;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn hex(bits: u32, words: &[u64]) -> String {
        let mut out = Vec::new();
        Mask::new(bits, words).render_hex(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn list(bits: u32, words: &[u64]) -> String {
        let mut out = Vec::new();
        Mask::new(bits, words).render_list(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn hex_groups_have_as_many_digits_as_their_bits_need() {
        assert_eq!(hex(1, &[1]), "1");
        assert_eq!(hex(2, &[3]), "3");
        assert_eq!(hex(6, &[3]), "03");
        assert_eq!(hex(32, &[3]), "00000003");
        assert_eq!(hex(33, &[3]), "0,00000003");
        assert_eq!(hex(65, &[u64::MAX, 1]), "1,ffffffff,ffffffff");
        assert_eq!(hex(4, &[0xff]), "f");
        assert_eq!(hex(1024, &[1]).len(), 32 * 9 - 1);
    }

    #[test]
    fn lists_join_neighbours() {
        assert_eq!(list(64, &[0b10_1011]), "0-1,3,5");
        assert_eq!(list(128, &[1 << 63, 0b101]), "63-64,66");
        assert_eq!(list(4, &[0xff]), "0-3");
        assert_eq!(list(1024, &[0]), "");
    }
}
