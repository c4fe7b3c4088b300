//! The clock: TSC ticks as nanoseconds since boot and since 1970.
//!
//! Owns the time base. Sources of the TSC's frequency, best first: boot word, the hypervisor's register (pvm), CPUID,
//! calibration. Invariant: the base is set once, before the first reader (restore of a snapshot will set it anew).

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Nanoseconds per tick, times 2^32.
static SCALE: AtomicU64 = AtomicU64::new(0);
static BASE_TSC: AtomicU64 = AtomicU64::new(0);
static TSC_KHZ: AtomicU64 = AtomicU64::new(0);
/// Wall-clock time at `BASE_TSC`, ns since 1970.
static BASE_EPOCH_NS: AtomicU64 = AtomicU64::new(0);

const NS_PER_MS: u64 = 1_000_000;

/// Sets the time base: zero of the monotonic clock at TSC value `base_tsc`, and the wall-clock time there.
#[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "tests set their clock"))]
pub(crate) fn init(tsc_khz: u64, base_tsc: u64, base_epoch_ns: u64) {
    TSC_KHZ.store(tsc_khz, Relaxed);
    SCALE.store((NS_PER_MS << 32) / tsc_khz.max(1), Relaxed);
    BASE_TSC.store(base_tsc, Relaxed);
    BASE_EPOCH_NS.store(base_epoch_ns, Relaxed);
}

/// `ticks` of a counter with `scale` (ns times 2^32 each) in nanoseconds.
fn scaled(ticks: u64, scale: u64) -> u64 {
    let ns = (u128::from(ticks) * u128::from(scale)) >> 32;
    u64::try_from(ns).unwrap_or(u64::MAX)
}

/// The time-stamp counter.
pub fn read_tsc() -> u64 {
    // SAFETY: RDTSC is there on every x86-64 CPU and not disabled for the kernel.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The TSC's frequency in kHz.
pub fn tsc_khz() -> u64 {
    TSC_KHZ.load(Relaxed)
}

/// Nanoseconds since boot; never goes back.
pub fn monotonic_ns() -> u64 {
    #[cfg(not(target_os = "none"))]
    return crate::platform::fake::clock_ns();
    #[cfg(target_os = "none")]
    scaled(read_tsc().saturating_sub(BASE_TSC.load(Relaxed)), SCALE.load(Relaxed))
}

/// Wall-clock time, nanoseconds since 1970.
pub fn realtime_ns() -> u64 {
    BASE_EPOCH_NS.load(Relaxed).saturating_add(monotonic_ns())
}

/// The TSC value at `deadline_ns` of the monotonic clock.
#[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "tests have no timer hardware"))]
pub(crate) fn tsc_at(deadline_ns: u64) -> u64 {
    BASE_TSC.load(Relaxed).saturating_add(ticks_until(deadline_ns, SCALE.load(Relaxed)))
}

/// The first count of ticks whose `scaled` value has reached `ns`. By the scale, not the frequency: the scale is rounded down, so the
/// clock lags behind the counter by some 50 µs a day, and a timer set by the frequency would go off that much too early.
fn ticks_until(ns: u64, scale: u64) -> u64 {
    let ticks = (u128::from(ns) << 32).div_ceil(u128::from(scale.max(1)));
    u64::try_from(ticks).unwrap_or(u64::MAX / 2)
}

/// Wall-clock nanoseconds at `base_tsc`, given that it was `epoch_ns` at TSC value `epoch_tsc`.
#[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "tests have no boot words"))]
pub(crate) fn epoch_at(base_tsc: u64, epoch_ns: u64, epoch_tsc: u64, tsc_khz: u64) -> u64 {
    let scale = (NS_PER_MS << 32) / tsc_khz.max(1);
    if base_tsc >= epoch_tsc {
        epoch_ns.saturating_add(scaled(base_tsc - epoch_tsc, scale))
    } else {
        epoch_ns.saturating_sub(scaled(epoch_tsc - base_tsc, scale))
    }
}

#[cfg(test)]
mod tests {
    use super::{scaled, ticks_until};

    #[test]
    fn a_timer_is_never_set_before_its_deadline_and_at_most_a_tick_after() {
        let scale = (1_000_000u64 << 32) / 2_596_120;
        for ns in [1, 999, 4_000_000, 86_400_000_000_007, 31_536_000_000_000_001] {
            let ticks = ticks_until(ns, scale);
            assert!(scaled(ticks, scale) >= ns && scaled(ticks - 1, scale) < ns, "{ns}");
        }
    }

    #[test]
    fn ticks_become_nanoseconds_without_overflow() {
        let scale = (1_000_000u64 << 32) / 2_596_120;
        let year = 365 * 24 * 3600;
        let ns = scaled(2_596_120_000 * year, scale);
        let error = ns.abs_diff(year * 1_000_000_000);
        assert!(error < 10_000_000_000, "{error} ns in a year");
    }
}
