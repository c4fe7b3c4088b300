//! When each step of a VM's life was reached, for those who measure.
//!
//! Owns the list of marks. Times count from the start of the process: up to `main` it is the CPU time that the process has used (nothing
//! there waits), from there on the monotonic clock. The guest's marks are TSC values, placed by the pair of TSC and clock that the
//! kernel was told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What begins a line of the guest's log that holds one of its marks.
const GUEST_PREFIX: &str = "procvisor.timing ";

/// The start of the process, on the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct ProcessStart {
    main: Instant,
    before_main: Duration,
}

impl ProcessStart {
    /// To be called first in `main`.
    pub fn at_main() -> Self {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let nanoseconds = u32::try_from(used.tv_nsec).unwrap_or(0);
        let before_main = Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), nanoseconds);
        Self { main: Instant::now(), before_main }
    }
}

/// A step and when it was reached, from the start of the process.
pub type Mark = (String, Duration);

#[derive(Debug)]
struct Marks {
    start: ProcessStart,
    list: Vec<Mark>,
    /// The guest's TSC at a time, and its frequency in kHz.
    guest_clock: Option<(u64, Duration, u32)>,
}

/// Takes marks, or does nothing; clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Timing(Option<Arc<Mutex<Marks>>>);

impl Timing {
    /// One that takes marks; the first is `main`.
    pub fn new(start: ProcessStart) -> Self {
        let list = vec![("main".to_owned(), start.before_main)];
        Self(Some(Arc::new(Mutex::new(Marks { start, list, guest_clock: None }))))
    }

    /// Whether marks are taken.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The step `name` has been reached.
    pub fn mark(&self, name: &str) {
        if let Some(mut marks) = self.marks() {
            let at = marks.now();
            marks.list.push((name.to_owned(), at));
        }
    }

    /// The guest's TSC is `tsc` now and counts `khz` a millisecond.
    pub(crate) fn set_guest_clock(&self, tsc: u64, khz: Option<u32>) {
        if let Some(mut marks) = self.marks() {
            let now = marks.now();
            marks.guest_clock = khz.map(|khz| (tsc, now, khz));
        }
    }

    /// Takes over the guest's marks, `procvisor.timing NAME TSC` on a line each.
    pub(crate) fn add_guest_marks(&self, log: &str) {
        let Some(mut marks) = self.marks() else { return };
        let Some((base_tsc, base, khz)) = marks.guest_clock else { return };
        for line in log.lines() {
            let Some((name, tsc)) = line.strip_prefix(GUEST_PREFIX).and_then(|rest| rest.split_once(' ')) else {
                continue;
            };
            let Ok(tsc) = tsc.trim().parse::<u64>() else { continue };
            let nanoseconds = u128::from(tsc.saturating_sub(base_tsc)) * 1_000_000 / u128::from(khz.max(1));
            let since = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
            marks.list.push((format!("guest-{name}"), base.saturating_add(since)));
        }
    }

    /// All marks, in the order of time.
    pub fn into_marks(self) -> Vec<Mark> {
        let mut list = self.marks().map(|marks| marks.list.clone()).unwrap_or_default();
        list.sort_by_key(|(_, at)| *at);
        list
    }

    fn marks(&self) -> Option<MutexGuard<'_, Marks>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Marks {
    fn now(&self) -> Duration {
        self.start.before_main + self.start.main.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_marks_stand_where_their_tsc_puts_them() {
        let timing = Timing::new(ProcessStart { main: Instant::now(), before_main: Duration::from_millis(1) });
        timing.set_guest_clock(1000, Some(1_000_000));
        timing.add_guest_marks("[ 0.1] noise\nprocvisor.timing entry 5000001000\nprocvisor.timing bad x\n");
        timing.mark("kvm-run");
        let marks = timing.into_marks();
        let names: Vec<&str> = marks.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["main", "kvm-run", "guest-entry"]);
        assert!(marks[2].1 >= Duration::from_millis(5001) && marks[2].1 < Duration::from_millis(5500), "{marks:?}");
    }

    #[test]
    fn without_being_asked_for_nothing_is_kept() {
        let timing = Timing::default();
        timing.mark("kvm-run");
        assert!(!timing.is_on() && timing.into_marks().is_empty());
    }
}
