//! Inputs: a corpus that grows by outcomes, and mutations that keep to the words of a format.

use std::collections::HashSet;

/// The longest input, in bytes: beyond a page, where most writes end.
const LENGTH_MAX: usize = 5000;
/// The most inputs of a corpus.
const CORPUS_MAX: usize = 2000;

/// Numbers that look random and repeat with their seed (xorshift64*).
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// Inputs worth changing, and the kinds of outcome seen so far.
pub(crate) struct Corpus {
    inputs: Vec<Vec<u8>>,
    words: &'static [&'static [u8]],
    seen: HashSet<u64>,
}

/// Numbers at the edges of C's types, as texts.
const EDGES: [&[u8]; 24] = [
    b"0",
    b"1",
    b"-1",
    b"-0",
    b"+1",
    b"007",
    b"0x10",
    b"0X",
    b"9",
    b"10",
    b"255",
    b"1000",
    b"1001",
    b"2147483647",
    b"2147483648",
    b"-2147483648",
    b"-2147483649",
    b"4294967295",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551615",
    b"18446744073709551616",
    b"99999999999999999999999",
];
/// Bytes that mean something to some parser: the kernel's white space among them.
const BYTES: &[u8] = b"\0\n\t \x0b\x0c\r\xa0\x85+-0x9aFf,.\\/\x7f\x80\xff";

impl Corpus {
    pub(crate) fn new(seeds: &[&[u8]], words: &'static [&'static [u8]]) -> Self {
        Self { inputs: seeds.iter().map(|seed| seed.to_vec()).collect(), words, seen: HashSet::new() }
    }

    /// Keeps `input` if nothing had its kind of outcome before.
    pub(crate) fn note(&mut self, input: &[u8], outcome: u64) {
        if self.seen.insert(outcome) && self.inputs.len() < CORPUS_MAX {
            self.inputs.push(input.to_vec());
        }
    }

    pub(crate) fn outcomes(&self) -> usize {
        self.seen.len()
    }

    /// One input of the corpus with a few changes.
    pub(crate) fn mutated(&self, numbers: &mut Numbers) -> Vec<u8> {
        let mut input = numbers.pick(&self.inputs).clone();
        for _ in 0..=numbers.below(4) {
            self.change(&mut input, numbers);
        }
        input.truncate(LENGTH_MAX);
        input
    }

    fn change(&self, input: &mut Vec<u8>, numbers: &mut Numbers) {
        let at = numbers.below(input.len() + 1);
        let end = (at + numbers.below(9)).min(input.len());
        match numbers.below(10) {
            0 if at < input.len() => input[at] ^= 1 << numbers.below(8),
            1 if at < input.len() => input[at] = *numbers.pick(BYTES),
            2 => input.insert(at, *numbers.pick(BYTES)),
            3 => drop(input.drain(at..end)),
            4 => input.truncate(at),
            5 => drop(input.splice(at..end, numbers.pick(&EDGES).iter().copied())),
            6 if !self.words.is_empty() => drop(input.splice(at..at, numbers.pick(self.words).iter().copied())),
            // A piece of itself once more, or many times: what has a limit on length or count.
            7 => {
                let piece = input[at..end].to_vec();
                let times = if numbers.below(8) == 0 { 400 } else { 1 };
                drop(input.splice(at..at, piece.repeat(times)));
            }
            8 => {
                let other = numbers.pick(&self.inputs);
                let from = numbers.below(other.len() + 1);
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            _ => input.insert(at, numbers.next() as u8),
        }
    }
}
