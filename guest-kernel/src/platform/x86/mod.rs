//! What both CPU platforms share: descriptor tables, entry stubs, page tables, the local APIC, the exit port.
//!
//! Owns the choice of platform, made once at boot. The rest of the kernel asks `is_pvm` only where a rule differs.

pub(crate) mod cpu;
pub(crate) mod entry;
pub(crate) mod exit;
pub(crate) mod interrupt;
pub(crate) mod ioapic;
pub(crate) mod lapic;
pub(crate) mod paging;
pub(crate) mod state;
pub(crate) mod tables;
pub(crate) mod trap;

use crate::phys::PhysAddr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

static PVM: AtomicBool = AtomicBool::new(false);

/// Whether the kernel runs under `kvm_pvm`.
pub fn is_pvm() -> bool {
    PVM.load(Relaxed)
}

/// Chooses the platform, before anything asks.
///
/// # Panics
/// If the command line says pvm and the CPU does not have its signature.
pub(crate) fn choose(pvm: bool) {
    if pvm {
        let signature = cpu::read_msr(super::pvm::MSR_SIGNATURE);
        assert!(signature == super::pvm::SIGNATURE, "no kvm_pvm here: its signature register reads {signature:#x}");
    }
    PVM.store(pvm, Relaxed);
}

/// The TSC's frequency in kHz as the hypervisor of pvm tells it.
pub(crate) fn pvm_tsc_khz() -> u64 {
    cpu::read_msr(super::pvm::MSR_TSC_KHZ)
}

/// Makes traps, interrupts and user mode work; the direct map must be live.
pub(crate) fn init(shared_page: Option<PhysAddr>) {
    if let Some(page) = shared_page {
        super::pvm::set_shared_page(page.as_ptr());
    }
    cpu::init_features();
    state::init();
    ioapic::mask_legacy();
    lapic::init();
}
