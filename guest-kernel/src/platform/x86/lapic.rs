//! The local APIC: acknowledging interrupts, and the one-shot timer.
//!
//! Owns the mode, chosen once: x2APIC registers are MSRs, where the CPU has them, else memory. The timer counts in TSC
//! ticks (deadline mode) where it can, else in its own, measured against the TSC when first armed.
//! Source: Intel SDM volume 3 chapter 11.

use super::cpu::{self, MSR_APIC_BASE, read_msr, write_msr};
use super::interrupt::{VECTOR_SPURIOUS, VECTOR_TIMER};
use super::is_pvm;
use super::paging::map_mmio;
use crate::time::clock;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed};

const MSR_TSC_DEADLINE: u32 = 0x6e0;
const MSR_X2APIC: u32 = 0x800;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;
const DEFAULT_ADDRESS: u64 = 0xfee0_0000;

/// Register numbers: byte offset / 16.
const ID: u32 = 0x2;
const TASK_PRIORITY: u32 = 0x8;
const END_OF_INTERRUPT: u32 = 0xb;
const SPURIOUS: u32 = 0xf;
const TIMER: u32 = 0x32;
const LINT0: u32 = 0x35;
const LINT1: u32 = 0x36;
const TIMER_COUNT: u32 = 0x38;
const TIMER_NOW: u32 = 0x39;
const TIMER_DIVIDE: u32 = 0x3e;

const SOFTWARE_ENABLE: u32 = 0x100;
const MASKED: u32 = 1 << 16;
const DEADLINE_MODE: u32 = 1 << 18;
const DIVIDE_BY_16: u32 = 0x3;
const CALIBRATION_NS: u64 = 1_000_000;

static X2APIC: AtomicBool = AtomicBool::new(false);
static DEADLINE: AtomicBool = AtomicBool::new(false);
static REGISTERS: AtomicPtr<u32> = AtomicPtr::new(core::ptr::null_mut());
static APIC_ID: AtomicU32 = AtomicU32::new(0);
/// Timer counts per nanosecond, times 2^32; 0 until measured.
static COUNT_SCALE: AtomicU64 = AtomicU64::new(0);

pub(super) fn init() {
    let features = cpu::cpuid(1, 0).ecx;
    let x2apic = is_pvm() || features & (1 << 21) != 0;
    let deadline = is_pvm() || features & (1 << 24) != 0;
    X2APIC.store(x2apic, Relaxed);
    DEADLINE.store(deadline, Relaxed);
    let base = read_msr(MSR_APIC_BASE);
    let wanted = base | BASE_ENABLE | if x2apic { BASE_X2APIC } else { 0 };
    if base != wanted {
        write_msr(MSR_APIC_BASE, wanted);
    }
    if !x2apic {
        let registers = map_mmio(DEFAULT_ADDRESS, 0x1000).expect("the local APIC lies in the device window");
        REGISTERS.store(registers.cast(), Relaxed);
    }
    let id = read(ID);
    APIC_ID.store(if x2apic { id } else { id >> 24 }, Relaxed);
    write(SPURIOUS, SOFTWARE_ENABLE | u32::from(VECTOR_SPURIOUS));
    if !is_pvm() {
        write(TASK_PRIORITY, 0);
        write(LINT0, MASKED);
        write(LINT1, MASKED);
    }
    if deadline {
        write(TIMER, DEADLINE_MODE | u32::from(VECTOR_TIMER));
    } else {
        write(TIMER_DIVIDE, DIVIDE_BY_16);
        write(TIMER, u32::from(VECTOR_TIMER));
    }
}

/// This CPU's id on the interrupt bus.
pub(super) fn id() -> u32 {
    APIC_ID.load(Relaxed)
}

pub(super) fn acknowledge() {
    write(END_OF_INTERRUPT, 0);
}

/// Arms the timer for `deadline_ns` of the monotonic clock, or stops it.
pub(crate) fn arm(deadline_ns: Option<u64>) {
    if DEADLINE.load(Relaxed) {
        // Zero disarms; a deadline that has passed fires at once.
        write_msr(MSR_TSC_DEADLINE, deadline_ns.map_or(0, |ns| clock::tsc_at(ns).max(1)));
        return;
    }
    let count = deadline_ns.map_or(0, |ns| {
        let wait = ns.saturating_sub(clock::monotonic_ns());
        let count = (u128::from(wait) * u128::from(count_scale())) >> 32;
        // Too far for the counter: it fires early, and the handler arms it again.
        u32::try_from(count).unwrap_or(u32::MAX).max(1)
    });
    write(TIMER_COUNT, count);
}

fn count_scale() -> u64 {
    let known = COUNT_SCALE.load(Relaxed);
    if known != 0 {
        return known;
    }
    write(TIMER, MASKED | u32::from(VECTOR_TIMER));
    write(TIMER_COUNT, u32::MAX);
    let start = clock::monotonic_ns();
    while clock::monotonic_ns() - start < CALIBRATION_NS {
        core::hint::spin_loop();
    }
    let counted = u64::from(u32::MAX - read(TIMER_NOW));
    let elapsed = clock::monotonic_ns() - start;
    write(TIMER_COUNT, 0);
    write(TIMER, u32::from(VECTOR_TIMER));
    let scale = ((counted << 32) / elapsed.max(1)).max(1);
    COUNT_SCALE.store(scale, Relaxed);
    scale
}

fn read(register: u32) -> u32 {
    if X2APIC.load(Relaxed) {
        return read_msr(MSR_X2APIC + register) as u32;
    }
    // SAFETY: `init` mapped the register page; `register` is one of the constants above.
    unsafe { REGISTERS.load(Relaxed).add(register as usize * 4).read_volatile() }
}

fn write(register: u32, value: u32) {
    if X2APIC.load(Relaxed) {
        write_msr(MSR_X2APIC + register, u64::from(value));
        return;
    }
    // SAFETY: as in `read`.
    unsafe { REGISTERS.load(Relaxed).add(register as usize * 4).write_volatile(value) }
}
