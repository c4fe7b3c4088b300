//! Events that interrupt the kernel itself: interrupts while it idles, and its own faults, which are bugs.
//!
//! Owns the frame's layout, which the stub in `entry` pushes.

use super::super::pvm;
use super::{cpu, interrupt};
use core::fmt;

/// Registers of interrupted kernel code, lowest address first.
#[repr(C)]
pub(crate) struct KernelFrame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbp: u64,
    rbx: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rax: u64,
    rcx: u64,
    rdx: u64,
    rsi: u64,
    rdi: u64,
    vector: u64,
    error: u64,
    /// The interrupted instruction.
    pub(crate) rip: u64,
    cs: u64,
    rflags: u64,
    /// The interrupted stack.
    pub(crate) rsp: u64,
    ss: u64,
}

const VECTOR_NMI: u64 = 2;
const VECTOR_PAGE_FAULT: u64 = 14;

/// The names of the exceptions, by vector.
const NAMES: [&str; 20] = [
    "divide error",
    "debug",
    "nmi",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor segment",
    "invalid tss",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "reserved",
    "x87 error",
    "alignment check",
    "machine check",
    "simd error",
];

pub(super) extern "C" fn kernel_trap(frame: &mut KernelFrame) {
    match frame.vector {
        VECTOR_NMI => {}
        0..32 => crate::panic::die_in_kernel(frame),
        vector => {
            interrupt::handle(vector as u8);
            // On hardware the range is never interrupted, and this changes nothing.
            frame.rip = pvm::resume_address(frame.rip);
        }
    }
}

impl fmt::Display for KernelFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = usize::try_from(self.vector).ok().and_then(|vector| NAMES.get(vector)).unwrap_or(&"exception");
        write!(f, "{name} in the kernel, vector {} error {:#x}", self.vector, self.error)?;
        if self.vector == VECTOR_PAGE_FAULT {
            write!(f, " address {:#x}", cpu::read_cr2())?;
        }
        write!(f, "\nrip {:#018x} cs {:#x} rflags {:#x} rsp {:#018x}", self.rip, self.cs, self.rflags, self.rsp)?;
        write!(f, "\nrax {:#018x} rbx {:#018x} rcx {:#018x} rdx {:#018x}", self.rax, self.rbx, self.rcx, self.rdx)?;
        write!(f, "\nrsi {:#018x} rdi {:#018x} rbp {:#018x} r8  {:#018x}", self.rsi, self.rdi, self.rbp, self.r8)?;
        write!(f, "\nr9  {:#018x} r10 {:#018x} r11 {:#018x} r12 {:#018x}", self.r9, self.r10, self.r11, self.r12)?;
        write!(
            f,
            "\nr13 {:#018x} r14 {:#018x} r15 {:#018x} cr3 {:#018x}",
            self.r13,
            self.r14,
            self.r15,
            cpu::read_cr3()
        )
    }
}
