//! How long threads have waited for the CPU (pressure stall information).
//!
//! Owns the sum and its averages. They are brought up to date wherever waiting begins or ends and at each tick, so that an idle
//! VM stays silent: a period in which nothing happened is one in which nobody began to wait.
//! Source: Linux 6.12 kernel/sched/psi.c test_states() PSI_CPU_SOME, psi_show().

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use procfs_core::root::pressure::{Pressure, Stall};

use crate::sync::{Mutex, Rank};

const NOBODY: u64 = u64::MAX;

static WAITING_SINCE_NS: AtomicU64 = AtomicU64::new(NOBODY);
/// What ended waits have taken.
static WAITED_NS: AtomicU64 = AtomicU64::new(0);
static STALL: Mutex<Stall> = Mutex::new(Rank::PRESSURE, Stall::new(0));

fn total_ns(now_ns: u64) -> u64 {
    let since_ns = WAITING_SINCE_NS.load(Relaxed);
    let under_way_ns = if since_ns == NOBODY { 0 } else { now_ns.saturating_sub(since_ns) };
    WAITED_NS.load(Relaxed) + under_way_ns
}

/// Takes the sample of the averages that is due.
pub(super) fn update(now_ns: u64) {
    STALL.lock().update(now_ns, total_ns(now_ns));
}

/// The first thread waits.
pub(super) fn begin(now_ns: u64) {
    update(now_ns);
    WAITING_SINCE_NS.store(now_ns, Relaxed);
}

/// No thread waits any more.
pub(super) fn end(now_ns: u64) {
    update(now_ns);
    WAITED_NS.store(total_ns(now_ns), Relaxed);
    WAITING_SINCE_NS.store(NOBODY, Relaxed);
}

/// The time in which some thread waited for the CPU, as of `now_ns`.
pub fn cpu_pressure(now_ns: u64) -> Pressure {
    update(now_ns);
    Pressure { averages: STALL.lock().averages(), total_us: total_ns(now_ns) / 1000 }
}
