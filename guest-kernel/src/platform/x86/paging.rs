//! The kernel's half of every address space, and the loading of address spaces.
//!
//! Owns the kernel's own page tables: the image at -2 GiB, all RAM at `DIRECT_MAP`, the device window of the 4th GiB
//! below the top. On pvm the kernel's pages carry U=1 at every level, since it runs at hardware privilege 3 there (the
//! hypervisor keeps user code out of the upper half), and the user's twin PML4 maps only `tables::areas`.
//! Invariant: built once at boot; no upper-half PML4 entry changes afterwards, so roots may copy them.

use super::{is_pvm, tables};
use crate::phys::{PAGE_SIZE, PhysAddr, PhysRange, page_ceil, page_floor};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where the image is linked: physical address 0.
pub(crate) const KERNEL_VIRT: u64 = 0xffff_ffff_8000_0000;
/// Where all RAM is mapped: physical address 0.
pub(crate) const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;
/// The direct map's end: one PML4 entry.
const DIRECT_MAP_BYTES: u64 = 1 << 39;
/// How much the boot loader mapped at `KERNEL_VIRT`.
pub(crate) const BOOT_MAPPED: u64 = 1 << 30;
const DEVICES: u64 = 0xc000_0000;
const DEVICES_END: u64 = 0x1_0000_0000;
/// Physical address to device window address.
const DEVICE_OFFSET: u64 = 0xffff_ffff_0000_0000;

const LARGE_PAGE: u64 = 2 << 20;
const ENTRIES: u64 = 512;
const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const UNCACHED: u64 = 0x18;
/// Accessed and dirty, set beforehand to spare the CPU the update.
const USED: u64 = 0x60;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

static KERNEL_ROOT: AtomicU64 = AtomicU64::new(0);
static CURRENT_ROOT: AtomicU64 = AtomicU64::new(0);

unsafe extern "C" {
    safe static __kernel_start: u8;
    safe static __text_start: u8;
    safe static __text_end: u8;
    safe static __data_start: u8;
    safe static __kernel_end: u8;
}

/// The image's two parts (constant, then writable) in physical memory; the gap between them is free.
pub(crate) fn image_ranges() -> [PhysRange; 2] {
    let phys = |symbol: *const u8| symbol as u64 - KERNEL_VIRT;
    [
        PhysRange { start: phys(&raw const __kernel_start), end: page_ceil(phys(&raw const __text_end)) },
        PhysRange { start: phys(&raw const __data_start), end: phys(&raw const __kernel_end) },
    ]
}

/// Whether `address` lies in the kernel's code.
pub(crate) fn is_kernel_text(address: u64) -> bool {
    (&raw const __text_start as u64..&raw const __text_end as u64).contains(&address)
}

/// How many page-table pages `init` takes at most for this RAM.
pub(crate) fn early_pages(ram: &[PhysRange]) -> u64 {
    let directories: u64 = ram.iter().map(|range| range.end.div_ceil(BOOT_MAPPED) - range.start / BOOT_MAPPED).sum();
    // Two roots, alignment, tables of the direct map, image, devices and the twin.
    directories + 20
}

/// Page-table pages during boot, taken one after the other, reached through the boot loader's mapping.
struct Early {
    next: u64,
    end: u64,
}

impl Early {
    fn take(&mut self) -> u64 {
        let page = self.next;
        assert!(page < self.end, "early_pages is too small");
        self.next += PAGE_SIZE;
        // SAFETY: the range is free RAM below `BOOT_MAPPED`, reserved for this.
        unsafe { core::ptr::write_bytes((KERNEL_VIRT + page) as *mut u8, 0, PAGE_SIZE as usize) };
        page
    }

    fn entry(&self, table: u64, index: u64) -> *mut u64 {
        debug_assert!(table < self.end && index < ENTRIES);
        (KERNEL_VIRT + table + index * 8) as *mut u64
    }

    /// Maps one page of 4 KiB, or of 2 MiB when `flags` has `LARGE`, below `root`.
    fn map(&mut self, root: u64, virt: u64, phys: u64, flags: u64, user: u64) {
        let leaf_level = u32::from(flags & LARGE != 0);
        let mut table = root;
        for level in (leaf_level + 1..4).rev() {
            let slot = self.entry(table, (virt >> (12 + 9 * level)) % ENTRIES);
            // SAFETY: `entry` points into a table page that `take` zeroed.
            let mut entry = unsafe { slot.read() };
            if entry == 0 {
                entry = self.take() | PRESENT | WRITE | user;
                // SAFETY: as above.
                unsafe { slot.write(entry) };
            }
            table = entry & ADDRESS;
        }
        let slot = self.entry(table, (virt >> (12 + 9 * leaf_level)) % ENTRIES);
        // SAFETY: as above.
        unsafe { slot.write(phys | flags | user | PRESENT | USED) };
    }
}

/// Builds the kernel's tables in `early` (free RAM of `early_pages`), loads them and makes them the roots' template.
pub(crate) fn init(ram: &[PhysRange], modules: &[PhysRange], early: PhysRange) {
    let user = if is_pvm() { USER } else { 0 };
    // An aligned pair, whether the platform wants the second or not.
    let mut pages = Early { next: early.start.next_multiple_of(2 * PAGE_SIZE), end: early.end };
    let root = pages.take();
    let twin = pages.take();

    for range in ram.iter().chain(modules) {
        let end = range.end.min(DIRECT_MAP_BYTES);
        let mut phys = range.start / LARGE_PAGE * LARGE_PAGE;
        while phys < end {
            pages.map(root, DIRECT_MAP + phys, phys, WRITE | LARGE | NO_EXECUTE, user);
            phys += LARGE_PAGE;
        }
    }
    map_image(&mut pages, root, user);
    for phys in (DEVICES..DEVICES_END).step_by(LARGE_PAGE as usize) {
        pages.map(root, DEVICE_OFFSET + phys, phys, WRITE | LARGE | NO_EXECUTE | UNCACHED, user);
    }
    if is_pvm() {
        for (start, end, writable) in tables::areas() {
            for virt in (page_floor(start)..end).step_by(PAGE_SIZE as usize) {
                let access = if writable { WRITE } else { 0 };
                pages.map(twin, virt, virt - KERNEL_VIRT, access | NO_EXECUTE, user);
            }
        }
    }
    KERNEL_ROOT.store(root, Relaxed);
    load_address_space(PhysAddr(root));
    crate::phys::set_template(PhysAddr(root), is_pvm().then_some(PhysAddr(twin)));
}

fn map_image(pages: &mut Early, root: u64, user: u64) {
    let [constant, writable] = image_ranges();
    let text = &raw const __text_start as u64 - KERNEL_VIRT;
    if is_pvm() {
        // First touch of a 4 KiB page costs microseconds here, of a 2 MiB page next to nothing.
        for phys in (constant.start..constant.end).step_by(LARGE_PAGE as usize) {
            pages.map(root, KERNEL_VIRT + phys, phys, LARGE, user);
        }
    } else {
        for phys in (constant.start..constant.end).step_by(PAGE_SIZE as usize) {
            let access = if phys < text { NO_EXECUTE } else { 0 };
            pages.map(root, KERNEL_VIRT + phys, phys, access, user);
        }
    }
    for phys in (writable.start..writable.end).step_by(LARGE_PAGE as usize) {
        pages.map(root, KERNEL_VIRT + phys, phys, WRITE | LARGE | NO_EXECUTE, user);
    }
}

/// Where the kernel sees physical address `phys` of RAM.
pub(crate) fn direct_map_ptr(phys: u64) -> *mut u8 {
    (DIRECT_MAP + phys) as *mut u8
}

/// The physical address behind a pointer into the direct map or the image; `None` for others.
pub fn phys_of_mut(pointer: *mut u8) -> Option<PhysAddr> {
    match pointer as u64 {
        address @ KERNEL_VIRT.. if address < KERNEL_VIRT + BOOT_MAPPED => Some(PhysAddr(address - KERNEL_VIRT)),
        address @ DIRECT_MAP.. if address < DIRECT_MAP + DIRECT_MAP_BYTES => Some(PhysAddr(address - DIRECT_MAP)),
        _ => None,
    }
}

/// Where the kernel sees `len_bytes` of device registers at `phys`, uncached. Use plain 8- to 64-bit accesses only.
///
/// `None` outside of the fourth GiB, where all devices of the machines that we know are.
pub fn map_mmio(phys: u64, len_bytes: u64) -> Option<*mut u8> {
    let end = phys.checked_add(len_bytes)?;
    (phys >= DEVICES && end <= DEVICES_END).then_some((DEVICE_OFFSET + phys) as *mut u8)
}

/// Whether page-table entries of the kernel's half carry the user bit.
pub fn kernel_user_bit() -> bool {
    is_pvm()
}

/// The address space of kernel threads: no user half.
pub fn kernel_root() -> PhysAddr {
    PhysAddr(KERNEL_ROOT.load(Relaxed))
}

/// Makes `root` the address space; free when it is already.
pub fn load_address_space(root: PhysAddr) {
    if CURRENT_ROOT.swap(root.as_u64(), Relaxed) != root.as_u64() {
        write_cr3(root.as_u64());
    }
}

/// Makes sure that `root` is not the address space: it is about to be freed.
pub(crate) fn leave_address_space(root: PhysAddr) {
    if CURRENT_ROOT.load(Relaxed) == root.as_u64() {
        load_address_space(kernel_root());
    }
}

/// Forgets the translation of the page at `address` in the current address space.
pub fn flush_tlb_page(address: u64) {
    // SAFETY: only drops a cached translation.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack)) }
}

/// Forgets all translations of the current address space.
pub fn flush_tlb_all() {
    write_cr3(CURRENT_ROOT.load(Relaxed));
}

fn write_cr3(root: u64) {
    // SAFETY: each root has the kernel's half, so code, stack and data stay where they are.
    unsafe { asm!("mov cr3, {}", in(reg) root, options(nostack)) }
}
