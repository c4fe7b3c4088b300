//! The virtual CPU: its platform, its state at entry, the loop that runs it, and the way to interrupt it.
//!
//! Owns the ioctls on the vCPU. `boot` has the state at entry, `cpuid` what the guest sees of the processor, `pvm` the one control
//! register of `kvm_pvm`, `run` the loop, `kick` the way out of it.

mod boot;
mod cpuid;
#[expect(unsafe_code, reason = "reaches `kvm_run` from another thread")]
mod kick;
#[expect(unsafe_code, reason = "reads the time-stamp counter")]
mod pvm;
#[expect(unsafe_code, reason = "reads unions that KVM fills")]
mod run;

use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::VcpuFd;
use vm_memory::GuestMemoryError;

pub use self::kick::Kick;
pub use self::run::End;
use crate::kvm::{self, Host, Platform, Vm};
use crate::memory::GuestMemory;

/// `MSR_IA32_TSC`.
const MSR_TSC: u32 = 0x10;

/// Why a vCPU cannot be made or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An ioctl failed.
    #[error(transparent)]
    Kvm(#[from] kvm::Error),
    /// `kvm_pvm` is there but is not the one we know.
    #[error(
        "this host's kvm_pvm refuses native supervisor mode (control register wrote {wrote:#x}, reads {reads:#x}); it is not a version procvisor knows"
    )]
    PvmRefused {
        /// What was written.
        wrote: u64,
        /// What came back.
        reads: u64,
    },
    /// Page tables or GDT could not be written.
    #[error("cannot write guest memory")]
    Memory(#[from] GuestMemoryError),
    /// The kick signal's handler could not be installed.
    #[error("cannot install a signal handler")]
    Signal(#[source] std::io::Error),
}

/// A vCPU that has not run yet, or runs.
#[derive(Debug)]
pub struct Vcpu {
    fd: VcpuFd,
    platform: Platform,
    coalesces: bool,
    /// What the guest's last port write carried; kept for its allocation.
    port_bytes: Vec<u8>,
}

impl Vcpu {
    /// Creates the vCPU and finds out its platform.
    ///
    /// # Errors
    /// When an ioctl fails.
    pub fn new(host: &Host, vm: &Vm) -> Result<Self, Error> {
        let fd = vm.create_vcpu()?;
        let platform = pvm::detect(&fd)?;
        cpuid::set(&fd, host)?;
        Ok(Self { fd, platform, coalesces: vm.coalesces_mmio(), port_bytes: Vec::new() })
    }

    /// Which platform it is.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// Frequency of the guest's TSC in kHz, where the host knows it.
    pub fn tsc_khz(&self) -> Option<u32> {
        let from_pvm = || match self.platform {
            Platform::Pvm => get_msr(&self.fd, pvm::MSR_TSC_KHZ).ok().flatten().and_then(|khz| u32::try_from(khz).ok()),
            Platform::Hardware => None,
        };
        from_pvm().or_else(|| self.fd.get_tsc_khz().ok()).filter(|&khz| khz != 0)
    }

    /// The guest's TSC now.
    ///
    /// # Errors
    /// When an ioctl fails.
    pub fn tsc(&self) -> Result<u64, Error> {
        match self.platform {
            // Its guests read the host's counter itself.
            Platform::Pvm => Ok(pvm::host_tsc()),
            Platform::Hardware => Ok(get_msr(&self.fd, MSR_TSC)?.unwrap_or(0)),
        }
    }

    /// Puts the vCPU where the kernel begins: long mode, page tables, GDT, `rbx` at the start info.
    ///
    /// # Errors
    /// When an ioctl fails or `kvm_pvm` refuses its control register.
    pub fn enter_at(&self, memory: &GuestMemory, entry: u64) -> Result<(), Error> {
        boot::prepare(&self.fd, memory, self.platform, entry)?;
        match self.platform {
            Platform::Pvm => pvm::take_control(&self.fd),
            Platform::Hardware => Ok(()),
        }
    }
}

/// Reads one MSR; `None` when KVM does not know it.
fn get_msr(fd: &VcpuFd, index: u32) -> Result<Option<u64>, Error> {
    let entry = kvm_msr_entry { index, ..Default::default() };
    let mut msrs = Msrs::from_entries(&[entry]).expect("one entry fits");
    let count = fd.get_msrs(&mut msrs).map_err(kvm::Error::ioctl("KVM_GET_MSRS"))?;
    Ok((count == 1).then(|| msrs.as_slice()[0].data))
}
