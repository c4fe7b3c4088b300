//! The boot loader's word: `hvm_start_info`, copied out of its memory and checked.
//!
//! Owns the copies, which live for ever. Every address and count is bounded before it is followed.

use super::info::{BootInfo, MAX_RAM};
use crate::phys::{PhysAddr, PhysRange};
use crate::platform::x86::paging::{BOOT_MAPPED, KERNEL_VIRT};
use spin::Once;

const MAGIC: u32 = 0x336e_c578;
const START_INFO_BYTES: usize = 56;
const MODULE_BYTES: usize = 32;
const MEMORY_BYTES: usize = 24;
const TYPE_RAM: u32 = 1;
const COMMAND_LINE_BYTES: usize = 4096;
const MODULE_WORD: &[u8] = b"procvisor.init";
/// More modules than any of our machines has; the rest is ignored.
const MAX_MODULES: u32 = 8;

static COMMAND_LINE: Once<[u8; COMMAND_LINE_BYTES]> = Once::new();
static BOOT_INFO: Once<BootInfo> = Once::new();

/// Copies all that matters from the start info at physical address `address`.
///
/// # Panics
/// If there is none, or it has no memory map.
pub(super) fn take(address: u64) -> &'static BootInfo {
    BOOT_INFO.call_once(|| read_all(address))
}

fn read_all(address: u64) -> BootInfo {
    let info: [u8; START_INFO_BYTES] = copy(address).expect("rbx does not point to a start info");
    assert!(word32(&info, 0) == MAGIC, "no PVH start info at {address:#x}");
    let (modules, module_list) = (word32(&info, 12), word64(&info, 16));
    let (memory_map, memory_entries) = (word64(&info, 40), word32(&info, 48));
    let mut boot = BootInfo {
        command_line: copy_command_line(word64(&info, 24)),
        initramfs: None,
        init_records: None,
        ram: [PhysRange::default(); MAX_RAM],
        ram_count: 0,
    };
    assert!(word32(&info, 4) >= 1 && memory_entries > 0, "the start info has no memory map");
    for index in 0..memory_entries {
        let entry: Option<[u8; MEMORY_BYTES]> = copy(memory_map + u64::from(index) * MEMORY_BYTES as u64);
        let entry = entry.expect("the memory map lies in the first GiB");
        let (start, len) = (word64(&entry, 0), word64(&entry, 8));
        if word32(&entry, 16) != TYPE_RAM || len == 0 || boot.ram_count == MAX_RAM {
            continue;
        }
        let end = start.checked_add(len).expect("a RAM range ends below 2^64");
        boot.ram[boot.ram_count] = PhysRange { start, end };
        boot.ram_count += 1;
    }
    for index in 0..modules.min(MAX_MODULES) {
        let entry: Option<[u8; MODULE_BYTES]> = copy(module_list + u64::from(index) * MODULE_BYTES as u64);
        let entry = entry.expect("the module list lies in the first GiB");
        let (start, len) = (word64(&entry, 0), word64(&entry, 8));
        let end = start.checked_add(len);
        let in_ram = boot.ram().iter().any(|ram| ram.start <= start && end.is_some_and(|end| end <= ram.end));
        if len == 0 || !in_ram {
            continue;
        }
        let module = (PhysAddr(start), usize::try_from(len).expect("a module in RAM fits an address"));
        if is_init_records(word64(&entry, 16)) {
            boot.init_records = Some(module);
        } else if index == 0 {
            boot.initramfs = Some(module);
        }
    }
    boot
}

fn is_init_records(command_line: u64) -> bool {
    const LEN: usize = MODULE_WORD.len();
    command_line != 0 && copy::<LEN>(command_line).is_some_and(|bytes| bytes == MODULE_WORD)
}

fn copy_command_line(address: u64) -> &'static [u8] {
    if address == 0 {
        return b"";
    }
    let line = COMMAND_LINE.call_once(|| {
        let mut line = [0; COMMAND_LINE_BYTES];
        for (at, slot) in (address..).zip(line.iter_mut()) {
            match copy::<1>(at) {
                Some([byte]) if byte != 0 => *slot = byte,
                _ => break,
            }
        }
        line
    });
    let len = line.iter().position(|&byte| byte == 0).unwrap_or(line.len());
    &line[..len]
}

/// Copies `N` bytes from physical memory, if the boot loader mapped them.
fn copy<const N: usize>(address: u64) -> Option<[u8; N]> {
    let end = address.checked_add(N as u64)?;
    if end > BOOT_MAPPED {
        return None;
    }
    // SAFETY: the boot loader maps the first GiB at `KERNEL_VIRT`; bytes have no invalid values.
    Some(unsafe { ((KERNEL_VIRT + address) as *const [u8; N]).read_unaligned() })
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from(word32(bytes, at)) | u64::from(word32(bytes, at + 4)) << 32
}
