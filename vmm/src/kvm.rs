//! The host's KVM: opening it, what it must be able to do, and one VM with its interrupt chips and event descriptors.
//!
//! Owns the ioctls on `/dev/kvm` and on the VM; those on the vCPU are `vcpu`'s.
//! Invariant: memory slots name mappings of a [`GuestRam`] that the [`Vm`] keeps.

mod close;

use std::os::fd::{AsRawFd, BorrowedFd};

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_userspace_memory_region};
use kvm_ioctls::{Cap, IoEventAddress, Kvm, NoDatamatch, VcpuFd, VmFd};
use vmm_sys_util::eventfd::EventFd;

use crate::devices::virtio::mmio;
use crate::layout;
use crate::memory::GuestRam;

/// The KVM interface version, fixed since Linux 2.6.22.
const API_VERSION: i32 = 12;

/// What a machine cannot do without.
const NEEDED: [(Cap, &str); 7] = [
    (Cap::UserMemory, "KVM_CAP_USER_MEMORY"),
    (Cap::Irqchip, "KVM_CAP_IRQCHIP"),
    (Cap::Irqfd, "KVM_CAP_IRQFD"),
    (Cap::Ioeventfd, "KVM_CAP_IOEVENTFD"),
    (Cap::IoeventfdNoLength, "KVM_CAP_IOEVENTFD_NO_LENGTH"),
    (Cap::ExtCpuid, "KVM_CAP_EXT_CPUID"),
    (Cap::ImmediateExit, "KVM_CAP_IMMEDIATE_EXIT"),
];

/// Which CPU platform a host offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Ordinary KVM: VMX or SVM, or a nested form of them.
    Hardware,
    /// `kvm_pvm`, a hypervisor in software.
    Pvm,
}

/// Why KVM cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such device.
    #[error("there is no /dev/kvm on this host; load a KVM module (kvm_intel, kvm_amd or kvm_pvm)")]
    Missing,
    /// Not allowed.
    #[error("no permission to open /dev/kvm; join the group that owns it (often kvm) or run as root")]
    Permission,
    /// Another failure to open.
    #[error("cannot open /dev/kvm")]
    Open(#[source] std::io::Error),
    /// Not the KVM interface.
    #[error("/dev/kvm speaks interface version {0}; version 12 is needed")]
    Version(i32),
    /// A capability is missing.
    #[error("this host's KVM lacks {0}")]
    Capability(&'static str),
    /// An ioctl failed.
    #[error("{call} failed")]
    Ioctl {
        /// Its name.
        call: &'static str,
        /// The host's reason.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// Wraps an ioctl's failure.
    pub(crate) fn ioctl(call: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> Self {
        move |error| Self::Ioctl { call, source: std::io::Error::from_raw_os_error(error.errno()) }
    }
}

/// An open `/dev/kvm` that can do what is needed.
#[derive(Debug)]
pub struct Host {
    kvm: Kvm,
}

impl Host {
    /// Opens `/dev/kvm` and checks it.
    ///
    /// # Errors
    /// One kind for each way this fails; see [`Error`].
    pub fn open() -> Result<Self, Error> {
        let kvm = Kvm::new().map_err(|error| match error.errno() {
            libc::ENOENT | libc::ENODEV | libc::ENXIO => Error::Missing,
            libc::EACCES | libc::EPERM => Error::Permission,
            errno => Error::Open(std::io::Error::from_raw_os_error(errno)),
        })?;
        let version = kvm.get_api_version();
        if version != API_VERSION {
            return Err(Error::Version(version));
        }
        match NEEDED.iter().find(|(cap, _)| !kvm.check_extension(*cap)) {
            Some((_, name)) => Err(Error::Capability(name)),
            None => Ok(Self { kvm }),
        }
    }

    /// Whether the local APIC's timer can count to a TSC value.
    pub fn has_tsc_deadline(&self) -> bool {
        self.kvm.check_extension(Cap::TscDeadlineTimer)
    }

    /// What CPUID may show.
    ///
    /// # Errors
    /// When the ioctl fails.
    pub fn supported_cpuid(&self) -> Result<CpuId, Error> {
        self.kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(Error::ioctl("KVM_GET_SUPPORTED_CPUID"))
    }

    /// Creates a VM with interrupt chips and `ram`.
    ///
    /// # Errors
    /// When an ioctl fails.
    pub fn create_vm(&self, ram: &GuestRam) -> Result<Vm, Error> {
        let fd = self.kvm.create_vm().map_err(Error::ioctl("KVM_CREATE_VM"))?;
        // Memory first: the chips start a grace period that a later memory slot would wait for, several ms.
        for (number, slot) in (0..).zip(ram.slots()) {
            let region = kvm_userspace_memory_region {
                slot: number,
                flags: 0,
                guest_phys_addr: slot.guest.start,
                memory_size: slot.guest.len_bytes,
                userspace_addr: slot.host_address,
            };
            // SAFETY: the slot names a mapping that `ram` keeps, and `Vm` keeps `ram`.
            unsafe { fd.set_user_memory_region(region) }.map_err(Error::ioctl("KVM_SET_USER_MEMORY_REGION"))?;
        }
        if self.kvm.check_extension(Cap::SetTssAddr) {
            let tss = usize::try_from(layout::KVM_TSS).expect("below 4 GiB");
            fd.set_identity_map_address(layout::KVM_IDENTITY_MAP).map_err(Error::ioctl("KVM_SET_IDENTITY_MAP_ADDR"))?;
            fd.set_tss_address(tss).map_err(Error::ioctl("KVM_SET_TSS_ADDR"))?;
        }
        fd.create_irq_chip().map_err(Error::ioctl("KVM_CREATE_IRQCHIP"))?;
        let coalesces = [Cap::CoalescedMmio, Cap::CoalescedPio].into_iter().all(|cap| self.kvm.check_extension(cap));
        Ok(Vm { fd, coalesces, _ram: ram.clone(), parting: None })
    }
}

/// A VM, its chips and its memory.
#[derive(Debug)]
pub struct Vm {
    fd: VmFd,
    coalesces: bool,
    _ram: GuestRam,
    /// Set at the end; dropped after `fd`.
    parting: Option<close::Parting>,
}

impl Drop for Vm {
    fn drop(&mut self) {
        // SAFETY: `self.fd` is open until the end of this function.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd.as_raw_fd()) };
        // Failure means a slower end, nothing else.
        self.parting = close::leave_to_kernel(fd).ok();
    }
}

impl Vm {
    /// Creates vCPU 0.
    ///
    /// # Errors
    /// When an ioctl fails.
    pub fn create_vcpu(&self) -> Result<VcpuFd, Error> {
        let mut vcpu = self.fd.create_vcpu(0).map_err(Error::ioctl("KVM_CREATE_VCPU"))?;
        if self.coalesces {
            vcpu.map_coalesced_mmio_ring().map_err(Error::ioctl("mmap of the coalesced ring"))?;
        }
        Ok(vcpu)
    }

    /// Lets bytes written to `port` wait for the next exit.
    ///
    /// # Errors
    /// When an ioctl fails.
    pub fn coalesce_port(&self, port: u16) -> Result<(), Error> {
        if self.coalesces {
            self.fd
                .register_coalesced_mmio(IoEventAddress::Pio(port.into()), 1)
                .map_err(Error::ioctl("KVM_REGISTER_COALESCED_MMIO"))?;
        }
        Ok(())
    }

    /// Whether register writes may wait in the coalesced ring.
    pub fn coalesces_mmio(&self) -> bool {
        self.coalesces
    }

    /// Connects a virtio-mmio device: its notify register to `notify`, `interrupt` to its line, and lets its write-only registers be written
    /// without an exit (an exit to the VMM costs ten times more).
    ///
    /// # Errors
    /// When an ioctl fails.
    pub fn connect_virtio(&self, base: u64, irq: u32, notify: &EventFd, interrupt: &EventFd) -> Result<(), Error> {
        let address = IoEventAddress::Mmio(base + mmio::QUEUE_NOTIFY);
        // Any value of any width wakes the event thread, which looks at every queue.
        self.fd.register_ioevent(notify, &address, NoDatamatch).map_err(Error::ioctl("KVM_IOEVENTFD"))?;
        self.fd.register_irqfd(interrupt, irq).map_err(Error::ioctl("KVM_IRQFD"))?;
        if self.coalesces {
            for (offset, len) in mmio::COALESCED {
                self.fd
                    .register_coalesced_mmio(IoEventAddress::Mmio(base + offset), len)
                    .map_err(Error::ioctl("KVM_REGISTER_COALESCED_MMIO"))?;
            }
        }
        Ok(())
    }
}
