//! The TSC's frequency and the wall-clock time at boot.
//!
//! Source: Intel SDM volume 3 section 19.7.3 (leaf 0x15); leaf 0x40000010 is VMware's and QEMU's; Intel 8254 data sheet;
//! Motorola MC146818 data sheet.

use super::BootInfo;
use crate::platform::is_pvm;
use crate::platform::x86::{self, cpu};
use crate::time::clock::{epoch_at, read_tsc};

const LEAF_TSC: u32 = 0x15;
const LEAF_HYPERVISOR: u32 = 0x4000_0000;
const LEAF_HYPERVISOR_TSC: u32 = 0x4000_0010;

const PIT_HZ: u64 = 1_193_182;
const PIT_CHANNEL_0: u16 = 0x40;
const PIT_COMMAND: u16 = 0x43;
/// Channel 0, both bytes, mode 0: the output goes high when the count has ended.
const PIT_ONE_SHOT: u8 = 0x30;
/// Read back the status of channel 0.
const PIT_STATUS: u8 = 0xe2;
const PIT_OUTPUT: u8 = 0x80;
/// 2 ms.
const PIT_COUNT: u16 = 2_386;
const PIT_TRIES: u32 = 4;
const PIT_POLLS: u32 = 1_000_000;

/// When nothing tells: right for no machine, but time goes on.
const GUESS_KHZ: u64 = 1_000_000;

/// The frequency in kHz, from the best source there is.
pub(super) fn frequency_khz(boot: &BootInfo) -> u64 {
    let words = [b"procvisor.tsc_khz".as_slice(), b"tsc_early_khz".as_slice()];
    let told = words.into_iter().find_map(|word| boot.number(word)).filter(|&khz| khz > 0);
    if let Some(khz) = told {
        return khz;
    }
    if is_pvm() {
        return x86::pvm_tsc_khz();
    }
    from_cpuid().or_else(from_pit).unwrap_or_else(|| {
        log::warn!("no source of the TSC's frequency; {GUESS_KHZ} kHz is a guess (tsc_early_khz= sets it)");
        GUESS_KHZ
    })
}

fn from_cpuid() -> Option<u64> {
    let leaf = cpu::cpuid(LEAF_TSC, 0);
    if leaf.eax != 0 && leaf.ebx != 0 && leaf.ecx != 0 {
        return Some(u64::from(leaf.ecx) * u64::from(leaf.ebx) / u64::from(leaf.eax) / 1000);
    }
    let is_guest = cpu::cpuid(1, 0).ecx & (1 << 31) != 0;
    if !is_guest || cpu::cpuid(LEAF_HYPERVISOR, 0).eax < LEAF_HYPERVISOR_TSC {
        return None;
    }
    Some(u64::from(cpu::cpuid(LEAF_HYPERVISOR_TSC, 0).eax)).filter(|&khz| khz > 0)
}

/// Counts TSC ticks while the PIT counts down. Channel 0, since small machines lack the port that gates channel 2.
/// A busy host only ever makes the wait longer, so the shortest of some is the truth.
fn from_pit() -> Option<u64> {
    let ticks = (0..PIT_TRIES).filter_map(|_| pit_ticks()).min()?;
    Some(ticks * PIT_HZ / u64::from(PIT_COUNT) / 1000)
}

fn pit_ticks() -> Option<u64> {
    let [low, high] = PIT_COUNT.to_le_bytes();
    cpu::out8(PIT_COMMAND, PIT_ONE_SHOT);
    cpu::out8(PIT_CHANNEL_0, low);
    let start = read_tsc();
    cpu::out8(PIT_CHANNEL_0, high);
    let has_ended = || {
        cpu::out8(PIT_COMMAND, PIT_STATUS);
        cpu::in8(PIT_CHANNEL_0) & PIT_OUTPUT != 0
    };
    if has_ended() {
        // At once: there is no PIT.
        return None;
    }
    let ended = (0..PIT_POLLS).any(|_| has_ended());
    ended.then(|| read_tsc() - start)
}

/// Wall-clock time at `boot_tsc`, ns since 1970: from the boot words, else from the CMOS clock, else 0.
pub(super) fn epoch_ns(boot: &BootInfo, boot_tsc: u64, tsc_khz: u64) -> u64 {
    match (boot.number(b"procvisor.epoch_ns"), boot.number(b"procvisor.epoch_tsc")) {
        (Some(ns), Some(tsc)) => epoch_at(boot_tsc, ns, tsc, tsc_khz),
        (Some(ns), None) => ns,
        (None, _) => cmos_seconds().unwrap_or(0) * 1_000_000_000,
    }
}

fn cmos(register: u8) -> u8 {
    cpu::out8(0x70, register);
    cpu::in8(0x71)
}

/// Seconds since 1970 by the CMOS clock.
fn cmos_seconds() -> Option<u64> {
    let status = cmos(0xb);
    if status == 0xff {
        return None;
    }
    let read = || [0, 2, 4, 7, 8, 9].map(|register| u64::from(cmos(register)));
    let mut last = read();
    // Two equal readings were not torn by an update.
    for _ in 0..10 {
        let next = read();
        if next == last {
            break;
        }
        last = next;
    }
    let is_binary = status & 4 != 0;
    let decode = |raw: u64| if is_binary { raw } else { (raw >> 4) * 10 + (raw & 0xf) };
    let [second, minute, hour, day, month, year] = last.map(decode);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 {
        return None;
    }
    // Days since 1970, with the year beginning in March so that the leap day is its last.
    let (year, month) = if month > 2 { (2000 + year, month - 3) } else { (1999 + year, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    Some((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second)
}
