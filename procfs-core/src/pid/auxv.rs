//! `/proc/PID/auxv`: the auxiliary vector that exec saved.
//!
//! The saved copy is shown, not the process's stack, and it stays readable after the address space has lost its last
//! user. Keys follow the order in which exec saved them.
//! Source: Linux 6.12 fs/proc/base.c auxv_read().

use crate::Errno;
use crate::user_memory::{CopyOut, read_simple};
use alloc::vec::Vec;

/// One key and its value; key 0 (`AT_NULL`) ends the vector.
pub type AuxEntry = (u64, u64);

/// Appends the vector as 64-bit little-endian pairs, up to and including the first pair with key 0.
pub fn render(saved: &[AuxEntry], out: &mut Vec<u8>) {
    for &(key, value) in saved {
        out.extend_from_slice(&key.to_le_bytes());
        out.extend_from_slice(&value.to_le_bytes());
        if key == 0 {
            break;
        }
    }
}

/// Reads at most `want` bytes at offset `pos` of the vector.
///
/// # Errors
/// `EFAULT` if the reader's buffer takes nothing.
pub fn read(saved: &[AuxEntry], pos: u64, want: usize, copy: &mut CopyOut<'_>) -> Result<usize, Errno> {
    let mut bytes = Vec::with_capacity(saved.len() * 16);
    render(saved, &mut bytes);
    read_simple(&bytes, pos, want, copy)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_pair_with_key_zero_is_the_last_one_shown() {
        let mut out = alloc::vec::Vec::new();
        super::render(&[(6, 4096), (0, 0), (7, 7)], &mut out);
        assert_eq!(out.len(), 32);
        assert_eq!(out[..16], [6, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0]);
    }
}
