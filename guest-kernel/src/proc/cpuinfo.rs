//! `/proc/cpuinfo`: what CPUID says of the processor.
//!
//! Source: Linux 6.12 arch/x86/kernel/cpu/common.c, proc.c; Intel SDM volume 2A, CPUID.

use alloc::vec::Vec;
use core::arch::x86_64::{__cpuid_count, CpuidResult};

use procfs_core::root::cpu_flags::{LinuxFlags, Words, names};
use procfs_core::root::cpuinfo::{self, Cpu, Topology};

use crate::platform::CpuFacts;
use crate::time::tsc_khz;

const EXTENDED: u32 = 0x8000_0000;

fn leaf(number: u32) -> CpuidResult {
    let highest = __cpuid_count(number & EXTENDED, 0).eax;
    if number > highest { CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 } } else { __cpuid_count(number, 0) }
}

/// Renders the one processor.
pub(super) fn render(facts: CpuFacts, out: &mut Vec<u8>) {
    let vendor = leaf(0);
    let mut vendor_id = Vec::new();
    for register in [vendor.ebx, vendor.edx, vendor.ecx] {
        vendor_id.extend_from_slice(&register.to_le_bytes());
    }
    let mut name = Vec::new();
    for number in EXTENDED + 2..=EXTENDED + 4 {
        let part = leaf(number);
        for register in [part.eax, part.ebx, part.ecx, part.edx] {
            name.extend_from_slice(&register.to_le_bytes());
        }
    }
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let model_name = name[..end].trim_ascii();
    let version = leaf(1);
    let (features, extended, sizes, power) = (leaf(7), leaf(EXTENDED + 1), leaf(EXTENDED + 8), leaf(EXTENDED + 7).edx);
    let base_family = version.eax >> 8 & 0xf;
    let family = if base_family == 0xf { base_family + (version.eax >> 20 & 0xff) } else { base_family };
    let mut model = version.eax >> 4 & 0xf;
    if family >= 6 {
        model |= (version.eax >> 16 & 0xf) << 4;
    }
    let constant_tsc = power & 1 << 8 != 0;
    // AMD repeats bits of leaf 1 in the extended leaf.
    const AMD_REPEATS: u32 = 0x0183_f3ff;
    let words = Words {
        leaf_1_edx: version.edx,
        extended_1_edx: extended.edx & !AMD_REPEATS,
        linux: LinuxFlags {
            constant_tsc,
            rep_good: true,
            nopl: true,
            nonstop_tsc: constant_tsc,
            cpuid: true,
            tsc_known_freq: true,
        },
        leaf_1_ecx: version.ecx,
        extended_1_ecx: extended.ecx,
        leaf_7_ebx: features.ebx,
        leaf_7_ecx: features.ecx,
        leaf_7_edx: features.edx,
    };
    let khz = tsc_khz();
    let clflush_bytes = (version.ebx >> 8 & 0xff) * 8;
    let cpu = Cpu {
        processor: 0,
        vendor_id: &vendor_id,
        family,
        model,
        model_name,
        stepping: version.eax & 0xf,
        microcode: 0,
        freq_khz: u32::try_from(khz).ok(),
        cache_kb: leaf(EXTENDED + 6).ecx >> 16,
        topology: Some(Topology {
            package_id: 0,
            siblings: 1,
            core_id: 0,
            cores: 1,
            apic_id: facts.apic_id,
            initial_apic_id: facts.apic_id,
        }),
        cpuid_level: vendor.eax.cast_signed(),
        flags: &names(&words),
        vmx_flags: None,
        bugs: &[],
        bogomips_thousandths: khz * 2,
        tlb_pages: 0,
        clflush_bytes,
        cache_alignment_bytes: clflush_bytes,
        physical_bits: sizes.eax & 0xff,
        virtual_bits: sizes.eax >> 8 & 0xff,
        power,
    };
    cpuinfo::render(&cpu, out);
}
