//! Random bytes: for programs, for `AT_RANDOM`, for the layout of address spaces.
//!
//! Owns one key. Each request takes it, makes the next one from it, and answers from what is left of the stream, so that what was
//! given out cannot be computed from a later state. The key comes from the processor's RDRAND and the clocks, at the first request.
//! Where there is no RDRAND, only the clocks go in, and whoever knows about when the VM was started can try them all.
//! Locks: `STATE` (`Rank::RANDOM`), for one block's time.
//! Source: RFC 8439 section 2.3 (the ChaCha20 block); "fast key erasure", as Linux 6.12 drivers/char/random.c
//! crng_fast_key_erasure().

use crate::platform::hardware_random;
use crate::sync::{Mutex, Rank};
use crate::time::clock::read_tsc;
use crate::time::{monotonic_ns, realtime_ns};

type Key = [u32; 8];

const WORDS: usize = 16;
const BLOCK_BYTES: usize = 64;
const KEY_BYTES: usize = 32;
/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
const DOUBLE_ROUNDS: usize = 10;

static STATE: Mutex<Option<Key>> = Mutex::new(Rank::RANDOM, None);

/// Fills `buffer` with random bytes.
pub fn fill(buffer: &mut [u8]) {
    let nonce = words_of([read_tsc(), monotonic_ns()]);
    let nonce = [nonce[0], nonce[1], nonce[2]];
    let (key, first) = {
        let mut state = STATE.lock();
        let key = state.unwrap_or_else(seed);
        let first = block(&key, 0, nonce);
        *state = Some(core::array::from_fn(|i| first[i]));
        (key, bytes_of(first))
    };
    let (head, rest) = buffer.split_at_mut(buffer.len().min(BLOCK_BYTES - KEY_BYTES));
    head.copy_from_slice(&first[KEY_BYTES..KEY_BYTES + head.len()]);
    for (counter, chunk) in (1..).zip(rest.chunks_mut(BLOCK_BYTES)) {
        chunk.copy_from_slice(&bytes_of(block(&key, counter, nonce))[..chunk.len()]);
    }
}

/// The first key.
fn seed() -> Key {
    let drawn: [Option<u64>; 4] = core::array::from_fn(|_| hardware_random());
    if drawn.contains(&None) {
        log::info!("no RDRAND: what programs get as random can be guessed");
    }
    let drawn = drawn.map(Option::unwrap_or_default);
    let [a, b, c, d] =
        [[drawn[0], drawn[1]], [drawn[2], drawn[3]], [read_tsc(), realtime_ns()], [monotonic_ns(), 0]].map(words_of);
    // Through the block function, so that each bit of the clocks touches all of the key.
    let key = [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]];
    let mixed = block(&key, d[0], [c[0] ^ c[1], c[2], c[3]]);
    core::array::from_fn(|i| mixed[i])
}

fn words_of([low, high]: [u64; 2]) -> [u32; 4] {
    let halves = |word: u64| {
        let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
        (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
    };
    let ((a, b), (c, d)) = (halves(low), halves(high));
    [a, b, c, d]
}

fn bytes_of(words: [u32; WORDS]) -> [u8; BLOCK_BYTES] {
    let mut bytes = [0; BLOCK_BYTES];
    for (slot, word) in bytes.chunks_exact_mut(4).zip(words) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// The ChaCha20 block function.
fn block(key: &Key, counter: u32, nonce: [u32; 3]) -> [u32; WORDS] {
    let mut start = [0; WORDS];
    start[..4].copy_from_slice(&CONSTANTS);
    start[4..12].copy_from_slice(key);
    start[12] = counter;
    start[13..].copy_from_slice(&nonce);
    let mut state = start;
    for _ in 0..DOUBLE_ROUNDS {
        for column in 0..4 {
            quarter_round(&mut state, [column, column + 4, column + 8, column + 12]);
        }
        for diagonal in 0..4 {
            quarter_round(
                &mut state,
                [diagonal, 4 + (diagonal + 1) % 4, 8 + (diagonal + 2) % 4, 12 + (diagonal + 3) % 4],
            );
        }
    }
    core::array::from_fn(|i| state[i].wrapping_add(start[i]))
}

fn quarter_round(state: &mut [u32; WORDS], [a, b, c, d]: [usize; 4]) {
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(16);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(12);
    state[a] = state[a].wrapping_add(state[b]);
    state[d] = (state[d] ^ state[a]).rotate_left(8);
    state[c] = state[c].wrapping_add(state[d]);
    state[b] = (state[b] ^ state[c]).rotate_left(7);
}

#[cfg(test)]
mod tests {
    use super::{block, fill};

    #[test]
    fn the_block_is_that_of_rfc_8439_section_2_3_2() {
        let key = core::array::from_fn(|i| u32::from_le_bytes([0, 1, 2, 3].map(|at| 4 * i as u8 + at)));
        let expected = [
            0xe4e7_f110,
            0x1559_3bd1,
            0x1fdd_0f50,
            0xc471_20a3,
            0xc7f4_d1c7,
            0x0368_c033,
            0x9aaa_2204,
            0x4e6c_d4c3,
            0x4664_82d2,
            0x09aa_9f07,
            0x05d7_c214,
            0xa202_8bd9,
            0xd19c_12b5,
            0xb94e_16de,
            0xe883_d0cb,
            0x4e3c_50a2,
        ];
        assert_eq!(block(&key, 1, [0x0900_0000, 0x4a00_0000, 0]), expected);
    }

    #[test]
    fn requests_differ_and_fill_every_byte() {
        let mut seen = [0_u8; 333];
        let mut last = [0; 333];
        for _ in 0..8 {
            let mut now = [0; 333];
            fill(&mut now);
            assert_ne!(now, last);
            seen.iter_mut().zip(now).for_each(|(seen, byte)| *seen |= byte);
            last = now;
        }
        assert!(seen.iter().all(|&byte| byte != 0));
    }
}
