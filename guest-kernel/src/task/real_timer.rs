//! ITIMER_REAL of a process, which alarm(2) shares.
//!
//! Owns the setting of the timer. It is set again only when its signal is taken, so a timer that goes off faster than the
//! program can handle costs no one else.
//! Source: Linux 6.12 kernel/time/itimer.c it_real_fn(), do_setitimer(); kernel/signal.c dequeue_signal().

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use super::ThreadGroup;
use crate::sched::timer;
use crate::signal::send::{self, Force};
use crate::signal::{SigInfo, Signal};
use crate::time::monotonic_ns;

/// Sets the timer to go off after `value_ns` (0 stops it) and then every `interval_ns`; gives what was left and the interval.
pub fn set(group: &Arc<ThreadGroup>, value_ns: u64, interval_ns: u64) -> (u64, u64) {
    let now = monotonic_ns();
    let old = (left_ns(group), group.alarm_interval_ns.swap(interval_ns, Relaxed));
    stop(group);
    if value_ns != 0 {
        arm(group, now.saturating_add(value_ns));
    }
    old
}

/// Nanoseconds until the timer goes off, 0 when it is not set.
pub fn left_ns(group: &ThreadGroup) -> u64 {
    match group.alarm_deadline_ns.load(Relaxed) {
        0 => 0,
        deadline => deadline.saturating_sub(monotonic_ns()).max(1000),
    }
}

/// Stops the timer: the process ends, or sets it anew.
pub fn stop(group: &ThreadGroup) {
    group.alarm_deadline_ns.store(0, Relaxed);
    let set = group.alarm_timer.lock().take();
    if let Some(id) = set {
        timer::cancel(id);
    }
}

/// The process has taken its SIGALRM: a timer with an interval goes on, at its next time that is still to come.
pub fn signal_taken(group: &Arc<ThreadGroup>) {
    let interval = group.alarm_interval_ns.load(Relaxed);
    if interval == 0 || group.alarm_deadline_ns.load(Relaxed) != 0 {
        return;
    }
    let (last, now) = (group.alarm_last_ns.load(Relaxed), monotonic_ns());
    let periods = now.saturating_sub(last) / interval + 1;
    arm(group, last.saturating_add(interval.saturating_mul(periods)));
}

fn arm(group: &Arc<ThreadGroup>, deadline_ns: u64) {
    let weak = Arc::downgrade(group);
    let id = timer::call_at(
        deadline_ns,
        Box::new(move || {
            let Some(group) = weak.upgrade() else { return };
            group.alarm_last_ns.store(deadline_ns, Relaxed);
            group.alarm_deadline_ns.store(0, Relaxed);
            group.alarm_timer.lock().take();
            send::to_group(&group, SigInfo::kernel(Signal::ALRM), Force::No);
        }),
    );
    group.alarm_deadline_ns.store(deadline_ns, Relaxed);
    *group.alarm_timer.lock() = Some(id);
}
