//! `/proc/pressure`: the share of time in which tasks waited for a resource.
//!
//! Owns the averages. When tasks wait is the caller's to tell.
//! Source: Linux 6.12 kernel/sched/psi.c update_averages(), calc_avgs(), psi_show(); Documentation/accounting/psi.rst.

use super::loadavg::{FIXED_1, FSHIFT, calc_load, calc_load_n};
use crate::Sink;

/// Between two updates of the averages (PSI_FREQ: 2 s and a tick of 1000 Hz), in nanoseconds.
pub const PERIOD_NS: u64 = 2_001_000_000;
/// Decay in one period of the averages over 10, 60 and 300 s (EXP_10s, EXP_60s, EXP_300s).
const DECAYS: [u64; 3] = [1677, 1981, 2034];

/// How long tasks have waited, and the averages of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stall {
    averages: [u64; 3],
    /// What of the total the averages have seen.
    averaged_ns: u64,
    updated_ns: u64,
    next_ns: u64,
}

impl Stall {
    /// An average of nothing, from `now_ns` on.
    #[must_use]
    pub const fn new(now_ns: u64) -> Self {
        Self { averages: [0; 3], averaged_ns: 0, updated_ns: now_ns, next_ns: now_ns + PERIOD_NS }
    }

    /// Whether an update is due at `now_ns`.
    #[must_use]
    pub const fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.next_ns
    }

    /// Takes the sample that is due at `now_ns`, when tasks have waited for `total_ns` in all; periods that were missed saw
    /// nobody wait.
    pub fn update(&mut self, now_ns: u64, total_ns: u64) {
        if !self.is_due(now_ns) {
            return;
        }
        let missed = (now_ns - self.next_ns) / PERIOD_NS;
        self.next_ns += (1 + missed) * PERIOD_NS;
        let period_ns = (now_ns - (self.updated_ns + missed * PERIOD_NS)).max(1);
        self.updated_ns = now_ns;
        let sample_ns = total_ns.saturating_sub(self.averaged_ns).min(period_ns);
        self.averaged_ns += sample_ns;
        let percent = sample_ns * 100 / period_ns * FIXED_1;
        for (average, decay) in self.averages.iter_mut().zip(DECAYS) {
            if missed > 0 {
                *average = calc_load_n(*average, decay, 0, u32::try_from(missed).unwrap_or(u32::MAX));
            }
            *average = calc_load(*average, decay, percent);
        }
    }

    /// The averages over 10, 60 and 300 s in percent, in fixed point with 11 bits.
    #[must_use]
    pub const fn averages(&self) -> [u64; 3] {
        self.averages
    }
}

/// A line of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// The averages in percent, in fixed point.
    pub averages: [u64; 3],
    /// All time so far, in microseconds.
    pub total_us: u64,
}

/// Renders a file: the time in which some waited, and that in which all did.
pub fn render<S: Sink + ?Sized>(some: &Pressure, full: &Pressure, out: &mut S) {
    for (name, pressure) in [("some", some), ("full", full)] {
        out.put_str(name);
        for (label, average) in [" avg10=", " avg60=", " avg300="].into_iter().zip(pressure.averages) {
            out.put_str(label);
            out.put_u64(average >> FSHIFT);
            out.put_byte(b'.');
            out.put_u64_zeros(((average & (FIXED_1 - 1)) * 100) >> FSHIFT, 2);
        }
        out.put(b" total=");
        out.put_u64(pressure.total_us);
        out.put_byte(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::{FSHIFT, PERIOD_NS, Stall};

    fn percent(stall: &Stall) -> [u64; 3] {
        stall.averages().map(|average| average >> FSHIFT)
    }

    #[test]
    fn averages_rise_to_what_is_always_so_and_fall_when_it_ends() {
        let mut stall = Stall::new(0);
        for period in 1..=15 {
            stall.update(period * PERIOD_NS, period * PERIOD_NS / 2);
        }
        let [ten, sixty, three_hundred] = percent(&stall);
        assert!((46..=50).contains(&ten) && (18..=22).contains(&sixty) && (4..=5).contains(&three_hundred));
        stall.update(100 * PERIOD_NS, 15 * PERIOD_NS / 2);
        assert_eq!(percent(&stall)[0], 0);
    }

    #[test]
    fn a_sample_is_never_more_than_its_period_and_the_rest_counts_later() {
        let mut stall = Stall::new(0);
        stall.update(PERIOD_NS - 1, PERIOD_NS);
        assert_eq!(percent(&stall), [0; 3]);
        stall.update(PERIOD_NS, 2 * PERIOD_NS);
        let first = stall.averages()[0];
        stall.update(2 * PERIOD_NS, 2 * PERIOD_NS);
        assert!(stall.averages()[0] > first);
    }
}
