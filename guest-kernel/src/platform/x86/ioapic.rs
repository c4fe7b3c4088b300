//! The I/O APICs: which vector a device's line raises. The two old 8259s are masked, since KVM routes lines there too.
//!
//! Source: Intel 82093AA data sheet; QEMU's microvm has a second one for lines 24 to 47.

use super::cpu;
use super::paging::map_mmio;

/// Lines of both chips.
pub(super) const LINES: u32 = 48;
const LINES_PER_CHIP: u32 = 24;
const FIRST_CHIP: u64 = 0xfec0_0000;
const CHIP_DISTANCE: u64 = 0x1_0000;
const REGISTER_VERSION: u32 = 1;
const REGISTER_REDIRECTION: u32 = 0x10;
const WINDOW: usize = 0x10;
/// What an absent chip reads as.
const ABSENT: u32 = 0xffff_ffff;

const PIC_MASK_PORTS: [u16; 2] = [0x21, 0xa1];

pub(super) fn mask_legacy() {
    for port in PIC_MASK_PORTS {
        cpu::out8(port, 0xff);
    }
}

struct Chip {
    select: *mut u32,
    window: *mut u32,
}

impl Chip {
    fn read(&self, register: u32) -> u32 {
        // SAFETY: both pointers are the chip's registers, mapped uncached by `map_mmio`.
        unsafe { self.select.write_volatile(register) };
        // SAFETY: as above.
        unsafe { self.window.read_volatile() }
    }

    fn write(&self, register: u32, value: u32) {
        // SAFETY: as in `read`.
        unsafe { self.select.write_volatile(register) };
        // SAFETY: as in `read`.
        unsafe { self.window.write_volatile(value) }
    }
}

/// Sends line `gsi` as `vector`, edge-triggered, to the CPU with `apic_id`; false when no chip has that line.
pub(super) fn route(gsi: u32, vector: u8, apic_id: u32) -> bool {
    let base = FIRST_CHIP + u64::from(gsi / LINES_PER_CHIP) * CHIP_DISTANCE;
    let Some(registers) = map_mmio(base, 0x20) else { return false };
    let chip = Chip { select: registers.cast(), window: registers.wrapping_add(WINDOW).cast() };
    let version = chip.read(REGISTER_VERSION);
    let pin = gsi % LINES_PER_CHIP;
    let pins = if version == ABSENT { 0 } else { ((version >> 16) & 0xff) + 1 };
    if pin >= pins {
        return false;
    }
    let register = REGISTER_REDIRECTION + pin * 2;
    chip.write(register + 1, apic_id << 24);
    chip.write(register, u32::from(vector));
    true
}
