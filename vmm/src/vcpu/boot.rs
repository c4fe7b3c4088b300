//! The vCPU's state at the kernel's first instruction, as ARCHITECTURE.md promises it.

use kvm_bindings::{kvm_regs, kvm_segment};
use kvm_ioctls::VcpuFd;
use vm_memory::{Bytes, GuestAddress, GuestMemoryError};

use super::Error;
use crate::kvm::{self, Platform};
use crate::layout;
use crate::memory::GuestMemory;

/// PE, MP, ET, NE, WP, AM, PG.
const CR0: u64 = 0x8005_0033;
/// PAE, OSFXSR, OSXMMEXCPT.
const CR4: u64 = 0x620;
/// SCE, LME, LMA, NXE.
const EFER: u64 = 0xd01;
/// RFLAGS with its fixed bit only: interrupts off.
const RFLAGS: u64 = 2;

const SELECTOR_CODE: u16 = 0x10;
const SELECTOR_DATA: u16 = 0x18;
/// Null, unused, 64-bit code at level 0, data at level 0.
const GDT: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

/// Page-table bits.
const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const ENTRIES: u64 = 512;
/// Entry of the top table that holds the last 512 GiB, and of the table below that holds -2 GiB.
const PML4_KERNEL: u64 = 511;
const PDPT_KERNEL: u64 = 510;

pub(super) fn prepare(fd: &VcpuFd, memory: &GuestMemory, platform: Platform, entry: u64) -> Result<(), Error> {
    write_page_tables(memory, platform)?;
    for (slot, descriptor) in (layout::GDT..).step_by(8).zip(GDT) {
        memory.write_obj(descriptor, GuestAddress(slot))?;
    }
    set_special_registers(fd)?;
    let registers = kvm_regs { rip: entry, rbx: layout::START_INFO, rflags: RFLAGS, ..Default::default() };
    Ok(fd.set_regs(&registers).map_err(kvm::Error::ioctl("KVM_SET_REGS"))?)
}

/// The first GiB at its own addresses and at -2 GiB. `kvm_pvm` runs the supervisor at the processor's user level, so there every level
/// has the user bit; its user table (the page behind the top one) stays empty until the kernel makes its own.
fn write_page_tables(memory: &GuestMemory, platform: Platform) -> Result<(), GuestMemoryError> {
    let flags = match platform {
        Platform::Hardware => PRESENT | WRITABLE,
        Platform::Pvm => PRESENT | WRITABLE | USER,
    };
    let entry = |table: u64, index: u64, value: u64| memory.write_obj(value | flags, GuestAddress(table + index * 8));
    entry(layout::PML4, 0, layout::PDPT_IDENTITY)?;
    entry(layout::PML4, PML4_KERNEL, layout::PDPT_KERNEL)?;
    entry(layout::PDPT_IDENTITY, 0, layout::PAGE_DIRECTORY)?;
    entry(layout::PDPT_KERNEL, PDPT_KERNEL, layout::PAGE_DIRECTORY)?;
    let large = |index: u64| ((index * layout::LARGE_PAGE_BYTES) | flags | LARGE).to_le_bytes();
    let directory: Vec<u8> = (0..ENTRIES).flat_map(large).collect();
    memory.write_slice(&directory, GuestAddress(layout::PAGE_DIRECTORY))
}

fn set_special_registers(fd: &VcpuFd) -> Result<(), Error> {
    let mut special = fd.get_sregs().map_err(kvm::Error::ioctl("KVM_GET_SREGS"))?;
    let code = kvm_segment {
        limit: 0xffff_ffff,
        selector: SELECTOR_CODE,
        // Execute, read, accessed.
        type_: 11,
        present: 1,
        s: 1,
        l: 1,
        g: 1,
        ..Default::default()
    };
    // Read, write, accessed.
    let data = kvm_segment { selector: SELECTOR_DATA, type_: 3, l: 0, db: 1, ..code };
    special.cs = code;
    special.ds = data;
    special.es = data;
    special.fs = data;
    special.gs = data;
    special.ss = data;
    special.gdt.base = layout::GDT;
    special.gdt.limit = u16::try_from(size_of_val(&GDT) - 1).expect("a small table");
    special.idt.base = 0;
    special.idt.limit = 0;
    special.cr0 = CR0;
    special.cr3 = layout::PML4;
    special.cr4 = CR4;
    special.efer = EFER;
    Ok(fd.set_sregs(&special).map_err(kvm::Error::ioctl("KVM_SET_SREGS"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::GuestRam;

    /// Walks the boot tables as a processor does; returns the address and the bits common to all levels.
    fn walk(memory: &GuestMemory, address: u64) -> (u64, u64) {
        let read = |table: u64, shift: u32| {
            memory.read_obj::<u64>(GuestAddress((table & !0xfff) + (address >> shift & 511) * 8)).unwrap()
        };
        let (top, middle) = (read(layout::PML4, 39), 30);
        let middle = read(top, middle);
        let leaf = read(middle, 21);
        assert_ne!(leaf & LARGE, 0);
        ((leaf & !(layout::LARGE_PAGE_BYTES - 1)) + (address & 0x1f_ffff), top & middle & leaf & 0xfff)
    }

    #[test]
    fn both_views_of_the_first_gib_lead_to_it() {
        let ram = GuestRam::new(2 << 20).unwrap();
        for (platform, user) in [(Platform::Hardware, 0), (Platform::Pvm, USER)] {
            write_page_tables(ram.view(), platform).unwrap();
            for physical in [0, 0x20_1234, (1 << 30) - 1] {
                let expected = (physical, PRESENT | WRITABLE | user);
                assert_eq!(walk(ram.view(), physical), expected);
                assert_eq!(walk(ram.view(), 0xffff_ffff_8000_0000 + physical), expected);
            }
        }
    }
}
