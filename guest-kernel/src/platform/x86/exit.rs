//! The end of the VM.

use super::super::ShutdownKind;
use super::cpu;
use core::arch::asm;

/// Bits 7:0 the status, bits 15:8 the kind.
const EXIT_PORT: u16 = 0xf4;
/// A port that takes long, to give the VMM's other threads a chance before the last resort.
const DELAY_PORT: u16 = 0x80;

/// Ends the VM.
pub fn shutdown(kind: ShutdownKind, status: u8) -> ! {
    cpu::out32(EXIT_PORT, (kind as u32) << 8 | u32::from(status));
    // Only a VMM without the port comes here. A triple fault ends those that have no other way.
    for _ in 0..1000 {
        cpu::out8(DELAY_PORT, 0);
    }
    let nothing = [0u8; 10];
    // SAFETY: with an empty interrupt table the breakpoint is a triple fault, which is what is wanted.
    unsafe { asm!("lidt [{}]", "int3", in(reg) &nothing, options(readonly, nostack)) };
    loop {
        // SAFETY: stops the CPU; interrupts are off.
        unsafe { asm!("hlt", options(nomem, nostack)) }
    }
}
