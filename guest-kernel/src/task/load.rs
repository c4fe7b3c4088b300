//! The load average, sampled every five seconds that the system is awake.
//!
//! Source: Linux 6.12 kernel/sched/loadavg.c, include/linux/sched/loadavg.h.

/// Between two samples: `LOAD_FREQ` is 5 s and one tick.
const PERIOD_NS: u64 = 5_010_000_000;
const FIXED_1: u64 = 1 << 11;
const EXP: [u64; 3] = [1884, 2014, 2037];
/// After this many idle periods every average has decayed to nothing.
const MAX_MISSED: u64 = 2000;

/// The three averages, in fixed point with 11 bits.
#[derive(Debug, Default)]
pub struct LoadAverage {
    averages: [u64; 3],
    next_ns: u64,
}

impl LoadAverage {
    /// The averages over 1, 5 and 15 minutes, fixed point with 11 bits.
    pub fn fixed_point(&self) -> [u64; 3] {
        self.averages
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
            self.sample(0);
        }
        self.sample(active);
        self.next_ns += periods * PERIOD_NS;
    }

    /// When the next sample is due, monotonic ns.
    pub fn next_ns(&self) -> u64 {
        self.next_ns.max(PERIOD_NS)
    }

    fn sample(&mut self, active: u64) {
        let active = active * FIXED_1;
        for (load, exp) in self.averages.iter_mut().zip(EXP) {
            let mut new = *load * exp + active * (FIXED_1 - exp);
            if active >= *load {
                new += FIXED_1 - 1;
            }
            *load = new / FIXED_1;
        }
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
