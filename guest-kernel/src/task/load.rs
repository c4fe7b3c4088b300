//! The load average, sampled every five seconds that the system is awake.
//!
//! Source: Linux 6.12 kernel/sched/loadavg.c, include/linux/sched/loadavg.h.

use procfs_core::root::loadavg::Averages;

/// Between two samples: `LOAD_FREQ` is 5 s and one tick.
pub const PERIOD_NS: u64 = 5_010_000_000;
/// After this many idle periods every average has decayed to nothing.
const MAX_MISSED: u64 = 2000;

/// The three averages, in fixed point with 11 bits.
#[derive(Debug, Default)]
pub struct LoadAverage {
    averages: Averages,
    next_ns: u64,
}

impl LoadAverage {
    /// The averages over 1, 5 and 15 minutes, fixed point with 11 bits.
    pub fn fixed_point(&self) -> [u64; 3] {
        self.averages.0
    }

    /// Takes the samples that are due at `now_ns`: `active` for the newest, and nothing running for those that were missed,
    /// since the timer only stops when the system is idle.
    pub fn update(&mut self, now_ns: u64, active: u64) {
        if self.next_ns == 0 {
            self.next_ns = PERIOD_NS;
        }
        if now_ns < self.next_ns {
            return;
        }
        let periods = (now_ns - self.next_ns) / PERIOD_NS + 1;
        for _ in 1..periods.min(MAX_MISSED) {
            self.averages.sample(0);
        }
        self.averages.sample(active);
        self.next_ns += periods * PERIOD_NS;
    }
}

#[cfg(test)]
mod tests {
    use super::{LoadAverage, PERIOD_NS};

    #[test]
    fn a_minute_of_one_runner_gives_about_two_thirds() {
        let mut load = LoadAverage::default();
        for period in 1..=12 {
            load.update(period * PERIOD_NS, 1);
        }
        let one_minute = load.fixed_point()[0] as f64 / 2048.0;
        assert!((0.60..0.67).contains(&one_minute), "{one_minute}");
    }

    #[test]
    fn idle_time_without_samples_decays() {
        let mut load = LoadAverage::default();
        load.update(PERIOD_NS, 8);
        let before = load.fixed_point()[0];
        load.update(200 * PERIOD_NS, 0);
        assert!(before > 0 && load.fixed_point()[0] == 0);
    }
}
