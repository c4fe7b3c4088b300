//! The order in which layer 0 comes up.
//!
//! Descriptor tables first, so that a fault is told; then the start info, memory, the platform, the clock.

use super::timeline::{Step, mark};
use super::{BootInfo, start_info, tsc};
use crate::phys::{self, PhysAddr, PhysRange, ReservedRam};
use crate::platform::x86::{self, paging, tables};
use crate::time::clock;

/// Firmware's and the boot loader's own things lie below; not worth telling apart.
const LOW_MEMORY_END: u64 = 1 << 20;

/// The first Rust code: runs on the boot stack, in the boot loader's page tables, with interrupts off.
pub extern "C" fn start(start_info: u64) -> ! {
    let boot_tsc = clock::read_tsc();
    mark(Step::Entry);
    // Until the frequency is known, panics and messages show time 0.
    clock::init(u64::MAX, boot_tsc, 0);
    crate::log::init(None);
    tables::init();
    let boot = start_info::take(start_info);
    let quiet = boot.has_word(b"quiet").then_some(4);
    crate::log::init(boot.number(b"loglevel").and_then(|level| u32::try_from(level).ok()).or(quiet));
    let pvm = boot.value(b"procvisor.platform") == Some(b"pvm".as_slice());
    x86::choose(pvm);
    let shared_page = boot.number(b"procvisor.shared_page").map(PhysAddr);
    assert!(!pvm || shared_page.is_some(), "procvisor.platform=pvm needs procvisor.shared_page");

    bring_up_memory(boot, shared_page);
    mark(Step::Memory);
    x86::init(shared_page.filter(|_| pvm));
    let tsc_khz = tsc::frequency_khz(boot);
    clock::init(tsc_khz, boot_tsc, tsc::epoch_ns(boot, boot_tsc, tsc_khz));
    log::info!("platform {}, TSC {tsc_khz} kHz", if pvm { "pvm" } else { "hw" });
    log::info!("{:?}", phys::ram_stats());
    mark(Step::Platform);
    hand_over(boot)
}

fn hand_over(boot: &'static BootInfo) -> ! {
    if boot.has_word(b"procvisor.selftest") {
        crate::selftest::run();
    }
    if let Some(way) = boot.value(b"procvisor.selftest") {
        crate::selftest::die(way);
    }
    crate::start::kernel_main(boot)
}

fn bring_up_memory(boot: &BootInfo, shared_page: Option<PhysAddr>) {
    let ram = boot.ram();
    let range_of = |module: Option<(PhysAddr, usize)>| {
        module.map(|(start, len)| PhysRange { start: start.as_u64(), end: start.as_u64() + len as u64 })
    };
    let initramfs = range_of(boot.initramfs);
    let records = range_of(boot.init_records);
    let image = paging::image_ranges();
    let shared = shared_page.map(|page| PhysRange { start: page.as_u64(), end: page.as_u64() + phys::PAGE_SIZE });

    let mut taken = [PhysRange { start: 0, end: LOW_MEMORY_END }; 7];
    let others = image.into_iter().chain(initramfs).chain(records).chain(shared);
    for (slot, range) in taken[1..].iter_mut().zip(others) {
        *slot = range;
    }
    let bytes = paging::early_pages(ram) * phys::PAGE_SIZE;
    let early = phys::find_gap(ram, &taken, bytes).filter(|range| range.end <= paging::BOOT_MAPPED);
    let early = early.expect("the first GiB of RAM has room for page tables");

    let mut modules = [PhysRange::default(); 3];
    for (slot, range) in modules.iter_mut().zip(initramfs.into_iter().chain(records).chain(shared)) {
        *slot = range;
    }
    paging::init(ram, &modules, early);

    let low = PhysRange { start: 0, end: LOW_MEMORY_END };
    let mut other = [early, low, PhysRange::default()];
    for (slot, range) in other[2..].iter_mut().zip(shared) {
        *slot = range;
    }
    phys::init_ram(ram, &ReservedRam { kernel: &image, initramfs, init_records: records, other: &other });
}
