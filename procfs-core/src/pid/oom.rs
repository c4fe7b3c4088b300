//! `/proc/PID/oom_score_adj`, `oom_adj` and `oom_score`: who is killed first when memory runs out.
//!
//! Owns the texts, what may be written, and the scores. Who may lower the value (`CAP_SYS_RESOURCE`), and the other
//! processes of the same address space, are the caller's.
//! Source: Linux 6.12 fs/proc/base.c oom_score_adj_write(), oom_adj_read(), oom_adj_write(), proc_oom_score();
//! mm/oom_kill.c oom_badness().

use crate::c_integer::{c_string, parse_i32, strip};
use crate::{Errno, Sink};

/// Least `oom_score_adj`: never killed.
pub const SCORE_ADJ_MIN: i32 = -1000;
/// Greatest `oom_score_adj`: killed first.
pub const SCORE_ADJ_MAX: i32 = 1000;

const ADJ_DISABLE: i32 = -17;
const ADJ_MIN: i32 = -16;
const ADJ_MAX: i32 = 15;

/// Bytes that a write takes at most; more are not looked at and not counted.
pub const WRITE_MAX: usize = 12;

/// Renders `oom_score_adj`.
pub fn render_score_adj<S: Sink + ?Sized>(adj: i16, out: &mut S) {
    out.put_i64(i64::from(adj));
    out.put_byte(b'\n');
}

/// Renders `oom_adj`, the same value on its old scale.
pub fn render_adj<S: Sink + ?Sized>(adj: i16, out: &mut S) {
    let adj = i32::from(adj);
    let old = if adj == SCORE_ADJ_MAX { ADJ_MAX } else { adj * -ADJ_DISABLE / SCORE_ADJ_MAX };
    out.put_i64(i64::from(old.min(ADJ_MAX)));
    out.put_byte(b'\n');
}

/// Renders `oom_score`.
pub fn render_score<S: Sink + ?Sized>(score: u64, out: &mut S) {
    out.put_u64(score);
    out.put_byte(b'\n');
}

fn parse_written(written: &[u8]) -> Result<(i32, usize), Errno> {
    let taken = &written[..written.len().min(WRITE_MAX)];
    Ok((parse_i32(strip(c_string(taken)), 0)?, taken.len()))
}

/// Parses a write to `oom_score_adj`: the value, and the count that the write returns.
///
/// # Errors
/// `EINVAL` if it is no integer, `ERANGE` if it does not fit an `int`, `EINVAL` outside of -1000..=1000.
pub fn parse_score_adj(written: &[u8]) -> Result<(i16, usize), Errno> {
    let (value, taken) = parse_written(written)?;
    if !(SCORE_ADJ_MIN..=SCORE_ADJ_MAX).contains(&value) {
        return Err(Errno::EINVAL);
    }
    // Within +-1000.
    Ok((value as i16, taken))
}

/// Parses a write to `oom_adj` into an `oom_score_adj`, and the count that the write returns.
///
/// # Errors
/// `EINVAL` if it is no integer, `ERANGE` if it does not fit an `int`, `EINVAL` outside of -17..=15.
pub fn parse_adj(written: &[u8]) -> Result<(i16, usize), Errno> {
    let (value, taken) = parse_written(written)?;
    if !(ADJ_MIN..=ADJ_MAX).contains(&value) && value != ADJ_DISABLE {
        return Err(Errno::EINVAL);
    }
    let scaled = if value == ADJ_MAX { SCORE_ADJ_MAX } else { value * SCORE_ADJ_MAX / -ADJ_DISABLE };
    // Within +-1000.
    Ok((scaled as i16, taken))
}

/// Computes `oom_score` of an ordinary process from its pages (resident, swapped and page tables) and all pages.
///
/// Kernel threads, init, processes without memory and those with an adjustment of -1000 have score 0.
#[must_use]
pub fn score(used_pages: u64, total_pages: u64, adj: i16) -> u64 {
    if i32::from(adj) == SCORE_ADJ_MIN || total_pages == 0 {
        return 0;
    }
    let total = i128::from(total_pages);
    let points = i128::from(used_pages) + i128::from(adj) * (total / 1000);
    let points = (1000 + points * 1000 / total) * 2 / 3;
    u64::try_from(points).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{parse_adj, parse_score_adj, render_adj, score};
    use crate::Errno;
    use alloc::vec::Vec;

    #[test]
    fn writes_are_cut_at_12_bytes_and_stripped() {
        assert_eq!(parse_score_adj(b"7"), Ok((7, 1)));
        assert_eq!(parse_score_adj(b"7\0"), Ok((7, 2)));
        assert_eq!(parse_score_adj(b" \t-1000\n"), Ok((-1000, 8)));
        assert_eq!(parse_score_adj(b"0x10\n"), Ok((16, 5)));
        assert_eq!(parse_score_adj(b"5           x"), Ok((5, 12)));
        assert_eq!(parse_score_adj(b""), Err(Errno::EINVAL));
        assert_eq!(parse_score_adj(b"1001"), Err(Errno::EINVAL));
        assert_eq!(parse_score_adj(b"99999999999"), Err(Errno::ERANGE));
        assert_eq!(parse_score_adj(b"1 2"), Err(Errno::EINVAL));
        assert_eq!(parse_score_adj(b"0b11"), Err(Errno::EINVAL));
    }

    #[test]
    fn the_old_scale_is_converted_both_ways_as_c_truncates() {
        assert_eq!(parse_adj(b"15"), Ok((1000, 2)));
        assert_eq!(parse_adj(b"1"), Ok((58, 1)));
        assert_eq!(parse_adj(b"-17"), Ok((-1000, 3)));
        assert_eq!(parse_adj(b"16"), Err(Errno::EINVAL));
        for (adj, text) in [(1000, "15\n"), (59, "1\n"), (500, "8\n"), (999, "15\n"), (-1000, "-17\n"), (-58, "0\n")] {
            let mut out = Vec::new();
            render_adj(adj, &mut out);
            assert_eq!(out, text.as_bytes(), "{adj}");
        }
    }

    #[test]
    fn an_idle_process_scores_two_thirds_of_a_thousand() {
        assert_eq!(score(10, 1_000_000, 0), 666);
        assert_eq!(score(0, 1_000_000, 1000), 1333);
        assert_eq!(score(10, 1_000_000, -1000), 0);
    }
}
