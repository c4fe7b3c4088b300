//! Model-specific and control registers, ports, CPUID.
//!
//! Owns the instructions. On pvm each but CPUID traps (2-3 µs) and CR4 is left as the VMM set it.

use super::{is_pvm, lapic};
use crate::platform::CpuFacts;
use core::arch::asm;
use core::arch::x86_64::{__cpuid_count, CpuidResult};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub(crate) const MSR_APIC_BASE: u32 = 0x1b;
pub(crate) const MSR_EFER: u32 = 0xc000_0080;
pub(crate) const MSR_STAR: u32 = 0xc000_0081;
pub(crate) const MSR_LSTAR: u32 = 0xc000_0082;
pub(crate) const MSR_FMASK: u32 = 0xc000_0084;
pub(crate) const MSR_FS_BASE: u32 = 0xc000_0100;
pub(crate) const MSR_GS_BASE: u32 = 0xc000_0101;

const CR0_WRITE_PROTECT: u64 = 1 << 16;
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_OSXSAVE: u64 = 1 << 18;
const CR4_SMEP: u64 = 1 << 20;
const CR4_SMAP: u64 = 1 << 21;
/// OSFXSR and OSXMMEXCPT: SSE for user code.
const CR4_SSE: u64 = 3 << 9;

static FSGSBASE: AtomicBool = AtomicBool::new(false);
static XSAVE: AtomicBool = AtomicBool::new(false);

/// Whether RDFSBASE and its like may be used.
pub(crate) fn has_fsgsbase() -> bool {
    FSGSBASE.load(Relaxed)
}

/// Whether XSAVE may be used.
pub(crate) fn has_xsave() -> bool {
    XSAVE.load(Relaxed)
}

/// CPUID with `leaf` and `subleaf`; zeros past the highest leaf of its range.
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> CpuidResult {
    let range = leaf & 0xf000_0000;
    if __cpuid_count(range, 0).eax < leaf {
        return CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    }
    __cpuid_count(leaf, subleaf)
}

/// What programs are told of the processor; to be asked once the local APIC is set up.
pub fn cpu_facts() -> CpuFacts {
    let fsgsbase = u64::from(has_fsgsbase()) << 1;
    CpuFacts { hwcap: u64::from(cpuid(1, 0).edx), hwcap2: fsgsbase, apic_id: lapic::id() }
}

/// A number from the processor's own source of randomness; `None` where it has none, or it is dry.
pub fn hardware_random() -> Option<u64> {
    const LEAF_1_ECX_RDRAND: u32 = 1 << 30;
    /// Intel SDM volume 1 section 7.3.17.1: ten failures in a row mean that the source is broken.
    const TRIES: usize = 10;
    if cpuid(1, 0).ecx & LEAF_1_ECX_RDRAND == 0 {
        return None;
    }
    (0..TRIES).find_map(|_| {
        let (value, is_good): (u64, u8);
        // SAFETY: CPUID announces the instruction, which touches nothing but its register and the flags.
        unsafe { asm!("rdrand {}", "setc {}", out(reg) value, out(reg_byte) is_good, options(nomem, nostack)) }
        (is_good != 0).then_some(value)
    })
}

pub(crate) fn read_msr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the callers name registers that exist here; reading them changes nothing.
    unsafe { asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nomem, nostack)) }
    u64::from(high) << 32 | u64::from(low)
}

pub(crate) fn write_msr(msr: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    // SAFETY: the callers are this platform's own set-up, APIC and segment code, which write what the manual allows.
    unsafe { asm!("wrmsr", in("ecx") msr, in("eax") low, in("edx") high, options(nostack)) }
}

pub(crate) fn out8(port: u16, value: u8) {
    // SAFETY: the ports written are those of the serial line, PIC, PIT and CMOS, which reach no memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) }
}

pub(crate) fn out32(port: u16, value: u32) {
    // SAFETY: only the exit port is written so.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack)) }
}

pub(crate) fn in8(port: u16) -> u8 {
    let value;
    // SAFETY: as in `out8`.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) }
    value
}

/// Writes a string to a port.
pub(crate) fn out_bytes(port: u16, bytes: &[u8]) {
    // SAFETY: reads `bytes` only; the port is the serial line's.
    unsafe {
        asm!("rep outsb", in("dx") port, inout("rsi") bytes.as_ptr() => _, inout("rcx") bytes.len() => _,
            options(readonly, nostack));
    }
}

pub(crate) fn read_cr2() -> u64 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack)) }
    value
}

pub(crate) fn read_cr3() -> u64 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr3", out(reg) value, options(nomem, nostack)) }
    value
}

/// Turns on what the CPU has and the kernel uses.
pub(super) fn init_features() {
    let basic = cpuid(1, 0);
    let structured = cpuid(7, 0);
    let fsgsbase = structured.ebx & 1 != 0;
    let xsave = basic.ecx & (1 << 26) != 0;
    if is_pvm() {
        // CPUID is the real machine's here, and so are the features: they work natively whatever CR4 shows.
        FSGSBASE.store(fsgsbase, Relaxed);
        XSAVE.store(basic.ecx & (1 << 27) != 0, Relaxed);
        return;
    }
    let (mut cr0, mut cr4): (u64, u64);
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr0", out(reg) cr0, options(nomem, nostack)) };
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack)) };
    cr0 |= CR0_WRITE_PROTECT;
    cr4 |= CR4_SSE;
    for (present, bit) in [
        (fsgsbase, CR4_FSGSBASE),
        (xsave, CR4_OSXSAVE),
        (structured.ebx & (1 << 7) != 0, CR4_SMEP),
        (structured.ebx & (1 << 20) != 0, CR4_SMAP),
    ] {
        if present {
            cr4 |= bit;
        }
    }
    // SAFETY: the kernel's pages are supervisor pages and it writes to no read-only page of its own.
    unsafe { asm!("mov cr0, {}", in(reg) cr0, options(nostack)) };
    // SAFETY: only bits that CPUID announces were added; no user page is touched by the kernel.
    unsafe { asm!("mov cr4, {}", in(reg) cr4, options(nostack)) };
    FSGSBASE.store(fsgsbase, Relaxed);
    XSAVE.store(xsave, Relaxed);
}
