//! Moving a user thread's vector state and segment bases between the CPU and its context.
//!
//! Owns the choice of instructions (XSAVE or FXSAVE, WRFSBASE or MSR). Done at task switch only: the kernel is soft-float
//! and does not use FS or GS.

use super::super::context::UserContext;
use super::super::fpu;
use super::cpu::{self, MSR_FS_BASE, MSR_GS_BASE};
use super::is_pvm;
use core::arch::asm;

const FXSAVE_BYTES: usize = 512;
const XSAVE_LEAF: u32 = 0xd;
/// The state components that every program uses.
const X87_AND_SSE: u64 = 3;

#[repr(C, align(16))]
struct FxArea([u8; FXSAVE_BYTES]);

/// Finds out what there is to save. Runs after `cpu::init_features`.
pub(super) fn init() {
    let mut area = FxArea([0; FXSAVE_BYTES]);
    // SAFETY: the area is 512 bytes, aligned to 16; FXSAVE is in every x86-64 CPU and CR4.OSFXSR is set.
    unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut area, options(nostack)) };
    let mask = u32::from_le_bytes([area.0[28], area.0[29], area.0[30], area.0[31]]);
    if !cpu::has_xsave() {
        fpu::configure(0, FXSAVE_BYTES, mask);
        return;
    }
    let layout = cpu::cpuid(XSAVE_LEAF, 0);
    let supported = u64::from(layout.edx) << 32 | u64::from(layout.eax);
    if !is_pvm() {
        let mut wanted = supported & fpu::COMPONENTS;
        // The three of AVX-512 go together.
        if wanted & 0xe0 != 0xe0 {
            wanted &= !0xe0;
        }
        // SAFETY: CR4.OSXSAVE is set and CPUID announces these components.
        unsafe {
            asm!("xsetbv", in("ecx") 0, in("eax") wanted as u32, in("edx") (wanted >> 32) as u32,
                options(nomem, nostack));
        }
    }
    // A hypervisor that did not see XSETBV (QEMU's emulated SVM does not intercept it) puts its own XCR0 back at the next
    // exit, which CPUID brings about: what counts is what is there afterwards.
    cpu::cpuid(XSAVE_LEAF, 0);
    let (low, high): (u32, u32);
    // SAFETY: OSXSAVE is on.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack)) };
    let enabled = (u64::from(high) << 32 | u64::from(low)) & fpu::COMPONENTS;
    if enabled & X87_AND_SSE != X87_AND_SSE {
        // XSAVE would leave the XMM registers out; FXSAVE does not ask XCR0, and without it programs use nothing beyond.
        fpu::configure(0, FXSAVE_BYTES, mask);
        return;
    }
    let end = (2..64).filter(|component| enabled & (1 << component) != 0).map(|component| {
        let part = cpu::cpuid(XSAVE_LEAF, component);
        part.ebx as usize + part.eax as usize
    });
    fpu::configure(enabled, end.max().unwrap_or(0).max(FXSAVE_BYTES + 64), mask);
}

/// Stores the CPU's vector state and segment bases in `ctx`, whose thread has just been running.
pub fn save_user_state(ctx: &mut UserContext) {
    let enabled = fpu::enabled_components();
    let area = ctx.fpu.as_mut_ptr();
    if enabled == 0 {
        // SAFETY: the area is at least 512 bytes and aligned to 64.
        unsafe { asm!("fxsave64 [{}]", in(reg) area, options(nostack)) };
    } else {
        // SAFETY: the area has the size that `init` computed for these components, and is aligned to 64.
        unsafe {
            asm!("xsave64 [{}]", in(reg) area, in("eax") enabled as u32, in("edx") (enabled >> 32) as u32,
                options(nostack));
        }
    }
    ctx.fs_base = read_fs_base();
    ctx.gs_base = read_gs_base();
}

/// Loads vector state and segment bases of the thread that runs next.
pub fn load_user_state(ctx: &UserContext) {
    let enabled = fpu::enabled_components();
    let area = ctx.fpu.as_ptr();
    if enabled == 0 {
        // SAFETY: the area is at least 512 bytes, aligned to 64, and its MXCSR has no reserved bit.
        unsafe { asm!("fxrstor64 [{}]", in(reg) area, options(readonly, nostack)) };
    } else {
        // SAFETY: as above; `FpuState` keeps the header free of what XRSTOR refuses.
        unsafe {
            asm!("xrstor64 [{}]", in(reg) area, in("eax") enabled as u32, in("edx") (enabled >> 32) as u32,
                options(readonly, nostack));
        }
    }
    write_fs_base(ctx.fs_base);
    write_gs_base(ctx.gs_base);
}

fn read_fs_base() -> u64 {
    if !cpu::has_fsgsbase() {
        return cpu::read_msr(MSR_FS_BASE);
    }
    let base;
    // SAFETY: the instruction is enabled.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack)) };
    base
}

fn read_gs_base() -> u64 {
    if !cpu::has_fsgsbase() {
        return cpu::read_msr(MSR_GS_BASE);
    }
    let base;
    // SAFETY: the instruction is enabled.
    unsafe { asm!("rdgsbase {}", out(reg) base, options(nomem, nostack)) };
    base
}

/// What the CPU takes as a base: `base`, or 0 for an address that is not canonical. The kernel's half is let through, as
/// WRFSBASE lets programs set it: a base gives no access.
fn canonical_or_zero(base: u64) -> u64 {
    const UNUSED_BITS: u32 = 16;
    if ((base << UNUSED_BITS) as i64 >> UNUSED_BITS) as u64 == base { base } else { 0 }
}

/// Sets the running thread's FS base.
pub fn write_fs_base(base: u64) {
    let base = canonical_or_zero(base);
    if !cpu::has_fsgsbase() {
        cpu::write_msr(MSR_FS_BASE, base);
        return;
    }
    // SAFETY: the instruction is enabled and the address canonical; the kernel does not use FS.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nomem, nostack)) }
}

/// Sets the running thread's GS base, as `write_fs_base`.
pub fn write_gs_base(base: u64) {
    let base = canonical_or_zero(base);
    if !cpu::has_fsgsbase() {
        cpu::write_msr(MSR_GS_BASE, base);
        return;
    }
    // SAFETY: as in `write_fs_base`.
    unsafe { asm!("wrgsbase {}", in(reg) base, options(nomem, nostack)) }
}
