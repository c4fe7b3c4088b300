//! `/proc/loadavg`, and the averages it shows.
//!
//! Owns the fixed-point arithmetic (11 bits of fraction). When to sample, and what counts as active, is the caller's.
//! Source: Linux 6.12 fs/proc/loadavg.c, kernel/sched/loadavg.c, include/linux/sched/loadavg.h calc_load().

use crate::Sink;

/// Bits of fraction.
pub const FSHIFT: u32 = 11;
/// One, in fixed point.
pub const FIXED_1: u64 = 1 << FSHIFT;
/// Decay of the one-minute average in one sample: 1/exp(5s/1min).
pub const EXP_1: u64 = 1884;
/// Decay of the five-minute average: 1/exp(5s/5min).
pub const EXP_5: u64 = 2014;
/// Decay of the fifteen-minute average: 1/exp(5s/15min).
pub const EXP_15: u64 = 2037;

/// Time between two samples, in ticks of a kernel with `hz` ticks per second: five seconds and a tick.
#[must_use]
pub const fn sample_ticks(hz: u64) -> u64 {
    5 * hz + 1
}

/// One average after a sample of `active` tasks (in fixed point); rounds towards `active`.
#[must_use]
pub const fn calc_load(load: u64, exp: u64, active: u64) -> u64 {
    let mut newload = load * exp + active * (FIXED_1 - exp);
    if active >= load {
        newload += FIXED_1 - 1;
    }
    newload / FIXED_1
}

/// `x` to the power of `n` in fixed point with `frac_bits` bits of fraction, rounded at each step.
const fn fixed_power_int(mut x: u64, frac_bits: u32, mut n: u32) -> u64 {
    let mut result = 1 << frac_bits;
    while n > 0 {
        if n & 1 != 0 {
            result = (result * x + (1 << (frac_bits - 1))) >> frac_bits;
        }
        n >>= 1;
        if n == 0 {
            break;
        }
        x = (x * x + (1 << (frac_bits - 1))) >> frac_bits;
    }
    result
}

/// One average after `samples` samples that all saw `active` tasks (in fixed point), as after a long sleep.
#[must_use]
pub const fn calc_load_n(load: u64, exp: u64, active: u64, samples: u32) -> u64 {
    calc_load(load, fixed_power_int(exp, FSHIFT, samples), active)
}

/// The averages over one, five and fifteen minutes, in fixed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Averages(pub [u64; 3]);

impl Averages {
    /// Takes one sample: `active` tasks run, wait for a processor or wait for a disk.
    pub fn sample(&mut self, active: u64) {
        for (load, exp) in self.0.iter_mut().zip([EXP_1, EXP_5, EXP_15]) {
            *load = calc_load(*load, exp, active * FIXED_1);
        }
    }
}

/// What `loadavg` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loadavg {
    /// The averages.
    pub averages: Averages,
    /// Tasks that run or wait for a processor.
    pub running: u32,
    /// All threads.
    pub threads: u32,
    /// Pid that was given out last, in the reader's pid namespace.
    pub last_pid: i32,
}

/// Renders the file.
pub fn render<S: Sink + ?Sized>(load: &Loadavg, out: &mut S) {
    for average in load.averages.0 {
        // Half of a hundredth rounds to nearest.
        let rounded = average + FIXED_1 / 200;
        out.put_u64(rounded >> FSHIFT);
        out.put_byte(b'.');
        out.put_u64_zeros(((rounded & (FIXED_1 - 1)) * 100) >> FSHIFT, 2);
        out.put_byte(b' ');
    }
    out.put_u64(u64::from(load.running));
    out.put_byte(b'/');
    out.put_u64(u64::from(load.threads));
    out.put_byte(b' ');
    out.put_i64(i64::from(load.last_pid));
    out.put_byte(b'\n');
}

#[cfg(test)]
mod tests {
    use super::{Averages, EXP_1, FIXED_1, Loadavg, calc_load, calc_load_n, render};
    use alloc::vec::Vec;

    #[test]
    fn one_busy_task_approaches_one_and_rounds_up_to_it() {
        let mut averages = Averages::default();
        averages.sample(1);
        assert_eq!(averages.0, [164, 34, 11]);
        for _ in 0..1000 {
            averages.sample(1);
        }
        assert_eq!(averages.0[0], FIXED_1);
        for _ in 0..10_000 {
            averages.sample(0);
        }
        assert_eq!(averages.0, [0, 0, 0]);
    }

    #[test]
    fn many_idle_samples_at_once_decay_about_as_one_by_one() {
        let mut load = 4 * FIXED_1;
        for _ in 0..12 {
            load = calc_load(load, EXP_1, 0);
        }
        assert!(load.abs_diff(calc_load_n(4 * FIXED_1, EXP_1, 0, 12)) < 16);
    }

    #[test]
    fn averages_are_shown_to_the_nearest_hundredth() {
        let mut out = Vec::new();
        let averages = Averages([FIXED_1 + FIXED_1 / 2, 2047, 20]);
        render(&Loadavg { averages, running: 2, threads: 131, last_pid: 4711 }, &mut out);
        assert_eq!(out, b"1.50 1.00 0.01 2/131 4711\n");
    }
}
