//! `kvm_pvm`: telling it from ordinary KVM, and its control register.
//!
//! Without hardware virtualization this module runs the guest's supervisor at the host's user level. One control register says so: it
//! names a page shared with the hypervisor (which holds the guest's interrupt flag) and turns on native supervisor mode and the switching
//! between kernel and user page tables. It is an interface without a published description: whatever does not answer exactly as
//! expected is refused.

use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::VcpuFd;

use super::{Error, get_msr};
use crate::kvm::{self, Platform};
use crate::layout;

/// Control: shared page's address and mode bits.
const MSR_CONTROL: u32 = 0x4b56_4d10;
/// Signature, read-only.
const MSR_SIGNATURE: u32 = 0x4b56_4d11;
/// TSC frequency in kHz, read-only.
pub(super) const MSR_TSC_KHZ: u32 = 0x4b56_4d13;
/// "PVM".
const SIGNATURE: u64 = 0x4d_5650;
/// Native supervisor mode; page-table switching at exceptions; and at system calls.
const CONTROL_MODE: u64 = 0b111;

/// Tells the platform by the signature register, which ordinary KVM does not know.
pub(super) fn detect(fd: &VcpuFd) -> Result<Platform, Error> {
    Ok(if get_msr(fd, MSR_SIGNATURE)? == Some(SIGNATURE) { Platform::Pvm } else { Platform::Hardware })
}

/// Makes the supervisor native from its first instruction.
pub(super) fn take_control(fd: &VcpuFd) -> Result<(), Error> {
    let wrote = layout::PVM_SHARED_PAGE | CONTROL_MODE;
    let entry = kvm_msr_entry { index: MSR_CONTROL, data: wrote, ..Default::default() };
    let msrs = Msrs::from_entries(&[entry]).expect("one entry fits");
    let count = fd.set_msrs(&msrs).map_err(kvm::Error::ioctl("KVM_SET_MSRS"))?;
    let reads = get_msr(fd, MSR_CONTROL)?.unwrap_or(0);
    let kept = !(layout::PAGE_BYTES - 1) | CONTROL_MODE;
    if count == 1 && reads & kept == wrote { Ok(()) } else { Err(Error::PvmRefused { wrote, reads }) }
}

/// The host's time stamp counter, which is also the guest's here.
pub(super) fn host_tsc() -> u64 {
    // SAFETY: every x86-64 processor has RDTSC, and Linux leaves it to user mode.
    unsafe { std::arch::x86_64::_rdtsc() }
}
