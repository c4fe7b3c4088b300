//! What CPUID shows: what the host's KVM supports, as one processor.
//!
//! On `kvm_pvm` native code sees the real processor's CPUID whatever is set here; the kernel takes platform facts from its command line.

use kvm_bindings::{CpuId, kvm_cpuid_entry2};
use kvm_ioctls::VcpuFd;

use super::Error;
use crate::kvm::{self, Host};

/// Leaf 1 ECX.
const X2APIC: u32 = 1 << 21;
const TSC_DEADLINE: u32 = 1 << 24;
const HYPERVISOR: u32 = 1 << 31;

pub(super) fn set(fd: &VcpuFd, host: &Host) -> Result<(), Error> {
    let mut cpuid = host.supported_cpuid()?;
    one_processor(&mut cpuid, host.has_tsc_deadline());
    fd.set_cpuid2(&cpuid).map_err(kvm::Error::ioctl("KVM_SET_CPUID2"))?;
    Ok(())
}

fn one_processor(cpuid: &mut CpuId, has_tsc_deadline: bool) {
    for entry in cpuid.as_mut_slice() {
        edit(entry, has_tsc_deadline);
    }
}

fn edit(entry: &mut kvm_cpuid_entry2, has_tsc_deadline: bool) {
    match entry.function {
        1 => {
            entry.ecx |= HYPERVISOR | X2APIC;
            if has_tsc_deadline {
                entry.ecx |= TSC_DEADLINE;
            }
            // Initial APIC id 0, one logical processor in the package.
            entry.ebx = entry.ebx & 0xffff | 1 << 16;
        }
        // One logical processor and x2APIC id 0 at every topology level.
        0xb | 0x1f => {
            entry.edx = 0;
            entry.ebx = entry.ebx.min(1);
        }
        // AMD: number of cores less one.
        0x8000_0008 => entry.ecx &= !0xff,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaf_one_tells_of_one_virtual_processor() {
        let mut cpuid = CpuId::from_entries(&[
            kvm_cpuid_entry2 { function: 1, ebx: 0x0310_0800, ..Default::default() },
            kvm_cpuid_entry2 { function: 0xb, ebx: 16, edx: 3, ..Default::default() },
        ])
        .unwrap();
        one_processor(&mut cpuid, true);
        let [one, topology] = cpuid.as_slice() else { panic!("two entries") };
        assert_eq!((one.ebx, one.ecx), (0x0001_0800, HYPERVISOR | X2APIC | TSC_DEADLINE));
        assert_eq!((topology.ebx, topology.edx), (1, 0));
    }
}
