//! Where things lie in guest physical memory.
//!
//! Owns the numbers only. Below 1 MiB: what the VMM hands to the kernel. From 2 MiB: the kernel, where its ELF file says. At the end of
//! the first GiB of RAM (which the boot page tables map): the modules. From 3 GiB to 4 GiB: devices, never RAM.

/// Size of a page, in bytes.
pub const PAGE_BYTES: u64 = 4096;
/// Size of a large page, in bytes; RAM is a multiple of it.
pub const LARGE_PAGE_BYTES: u64 = 2 << 20;

/// The boot GDT.
pub const GDT: u64 = 0x1000;
/// PVH's `hvm_start_info`.
pub const START_INFO: u64 = 0x2000;
/// The module list.
pub const MODULE_LIST: u64 = 0x2100;
/// The memory map.
pub const MEMORY_MAP: u64 = 0x2200;
/// The command line of module 1.
pub const INIT_MODULE_NAME: u64 = 0x2800;
/// The page that the `kvm_pvm` control register names.
pub const PVM_SHARED_PAGE: u64 = 0x3000;
/// The kernel command line.
pub const COMMAND_LINE: u64 = 0x4000;
/// Room for the kernel command line with its NUL, in bytes: Linux's COMMAND_LINE_SIZE is 2048, our kernel takes twice that.
pub const COMMAND_LINE_MAX_BYTES: usize = 0x1000;
/// The top page table, 8 KiB aligned: `kvm_pvm` takes the page after it for the user's table.
pub const PML4: u64 = 0x8000;
/// Table of the lower 512 GiB.
pub const PDPT_IDENTITY: u64 = 0xa000;
/// Table of the upper 512 GiB.
pub const PDPT_KERNEL: u64 = 0xb000;
/// Table of the first GiB, shared by both.
pub const PAGE_DIRECTORY: u64 = 0xc000;
/// The end of what the VMM hands to the kernel.
pub const HANDOVER_END: u64 = 0x10_0000;

/// What the boot page tables map, in bytes.
pub const BOOT_MAPPED_BYTES: u64 = 1 << 30;
/// Where devices begin and low RAM ends.
pub const LOW_RAM_END: u64 = 3 << 30;
/// Where high RAM begins.
pub const HIGH_RAM_START: u64 = 4 << 30;

/// The virtio-console device's registers.
pub const VIRTIO_CONSOLE_MMIO: u64 = 0xd000_0000;
/// Size of a virtio-mmio register block, in bytes.
pub const VIRTIO_MMIO_BYTES: u64 = 0x1000;
/// The virtio-console device's interrupt line.
pub const VIRTIO_CONSOLE_IRQ: u32 = 5;

/// First port of the serial line.
pub const SERIAL_PORT: u16 = 0x3f8;
/// Ports the serial line takes.
pub const SERIAL_PORT_COUNT: u16 = 8;
/// The port whose 32-bit write ends the guest.
pub const EXIT_PORT: u16 = 0xf4;

/// Where Intel processors without unrestricted guest mode keep a task state segment; in the device hole.
pub const KVM_TSS: u64 = 0xfffb_d000;
/// The page below it, for their identity map.
pub const KVM_IDENTITY_MAP: u64 = 0xfffb_c000;

/// A piece of guest RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RamRange {
    /// Guest physical address.
    pub start: u64,
    /// Length in bytes.
    pub len_bytes: u64,
}

/// Splits RAM around the device hole.
pub fn ram_ranges(memory_bytes: u64) -> Vec<RamRange> {
    let low = memory_bytes.min(LOW_RAM_END);
    let mut ranges = vec![RamRange { start: 0, len_bytes: low }];
    if memory_bytes > low {
        ranges.push(RamRange { start: HIGH_RAM_START, len_bytes: memory_bytes - low });
    }
    ranges
}

/// The end of the RAM that the boot page tables reach.
pub fn boot_ram_end(memory_bytes: u64) -> u64 {
    memory_bytes.min(BOOT_MAPPED_BYTES)
}

/// Rounds down to a page.
pub fn page_floor(address: u64) -> u64 {
    address & !(PAGE_BYTES - 1)
}

/// Rounds up to a page; `None` when that overflows.
pub fn page_ceil(address: u64) -> Option<u64> {
    address.checked_next_multiple_of(PAGE_BYTES)
}

const _: () = assert!(PML4.is_multiple_of(2 * PAGE_BYTES));
const _: () = assert!(COMMAND_LINE + COMMAND_LINE_MAX_BYTES as u64 <= PML4);
const _: () = assert!(PAGE_DIRECTORY + PAGE_BYTES <= HANDOVER_END);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_beyond_three_gib_continues_at_four() {
        assert_eq!(ram_ranges(64 << 20), [RamRange { start: 0, len_bytes: 64 << 20 }]);
        assert_eq!(
            ram_ranges(5 << 30),
            [RamRange { start: 0, len_bytes: 3 << 30 }, RamRange { start: 4 << 30, len_bytes: 2 << 30 }]
        );
    }

    #[test]
    fn pages_round_both_ways() {
        assert_eq!((page_floor(0x1fff), page_ceil(0x1001)), (0x1000, Some(0x2000)));
        assert_eq!(page_ceil(u64::MAX), None);
    }
}
