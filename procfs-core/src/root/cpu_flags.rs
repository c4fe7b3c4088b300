//! The names of processor features, in the order of `/proc/cpuinfo`'s `flags`.
//!
//! Owns the names of the bits that CPUID reports itself. Flags that Linux makes up (`rep_good`, `nopl`, `cpuid`, ...) are
//! left out but for those in [`Words::linux`], which the caller sets.
//! Source: Linux 6.12 arch/x86/include/asm/cpufeatures.h, arch/x86/kernel/cpu/capflags.c.

use alloc::vec::Vec;

/// What CPUID said, one register in each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Words {
    /// Leaf 1, EDX.
    pub leaf_1_edx: u32,
    /// Leaf 0x80000001, EDX; bits that AMD repeats from leaf 1 do not count.
    pub extended_1_edx: u32,
    /// Features that Linux adds itself, see [`LinuxFlags`].
    pub linux: LinuxFlags,
    /// Leaf 1, ECX.
    pub leaf_1_ecx: u32,
    /// Leaf 0x80000001, ECX.
    pub extended_1_ecx: u32,
    /// Leaf 7, EBX.
    pub leaf_7_ebx: u32,
    /// Leaf 7, ECX.
    pub leaf_7_ecx: u32,
    /// Leaf 7, EDX.
    pub leaf_7_edx: u32,
}

/// Features of Linux's own word 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinuxFlags {
    /// The time-stamp counter ticks at a constant rate.
    pub constant_tsc: bool,
    /// The string instructions are fast.
    pub rep_good: bool,
    /// The long no-operation works; true of every 64-bit processor.
    pub nopl: bool,
    /// The time-stamp counter does not stop while idle.
    pub nonstop_tsc: bool,
    /// CPUID exists.
    pub cpuid: bool,
    /// The rate of the time-stamp counter is known without measuring.
    pub tsc_known_freq: bool,
}

/// The names of all features that `words` have, in Linux's order.
#[must_use]
pub fn names(words: &Words) -> Vec<&'static str> {
    let mut names = Vec::with_capacity(128);
    let mut add = |word: u32, table: &[(u32, &'static str)]| {
        names.extend(table.iter().filter(|(bit, _)| word >> bit & 1 != 0).map(|(_, name)| *name));
    };
    add(words.leaf_1_edx, LEAF_1_EDX);
    add(words.extended_1_edx, EXTENDED_1_EDX);
    let linux = words.linux;
    let own = [linux.constant_tsc, linux.rep_good, linux.nopl, linux.nonstop_tsc, linux.cpuid, linux.tsc_known_freq];
    for (is_set, name) in own.into_iter().zip(LINUX) {
        add(u32::from(is_set), &[(0, name)]);
    }
    add(words.leaf_1_ecx, LEAF_1_ECX);
    add(words.extended_1_ecx, EXTENDED_1_ECX);
    add(words.leaf_7_ebx, LEAF_7_EBX);
    add(words.leaf_7_ecx, LEAF_7_ECX);
    add(words.leaf_7_edx, LEAF_7_EDX);
    names
}

#[rustfmt::skip]
const LEAF_1_EDX: &[(u32, &str)] = &[
    (0, "fpu"), (1, "vme"), (2, "de"), (3, "pse"), (4, "tsc"), (5, "msr"), (6, "pae"), (7, "mce"), (8, "cx8"),
    (9, "apic"), (11, "sep"), (12, "mtrr"), (13, "pge"), (14, "mca"), (15, "cmov"), (16, "pat"), (17, "pse36"),
    (18, "pn"), (19, "clflush"), (21, "dts"), (22, "acpi"), (23, "mmx"), (24, "fxsr"), (25, "sse"), (26, "sse2"),
    (27, "ss"), (28, "ht"), (29, "tm"), (30, "ia64"), (31, "pbe"),
];

#[rustfmt::skip]
const EXTENDED_1_EDX: &[(u32, &str)] = &[
    (11, "syscall"), (19, "mp"), (20, "nx"), (22, "mmxext"), (25, "fxsr_opt"), (26, "pdpe1gb"), (27, "rdtscp"),
    (29, "lm"), (30, "3dnowext"), (31, "3dnow"),
];

/// In the order of the bits of word 3, as [`LinuxFlags`] lists them.
const LINUX: [&str; 6] = ["constant_tsc", "rep_good", "nopl", "nonstop_tsc", "cpuid", "tsc_known_freq"];

#[rustfmt::skip]
const LEAF_1_ECX: &[(u32, &str)] = &[
    (0, "pni"), (1, "pclmulqdq"), (2, "dtes64"), (3, "monitor"), (4, "ds_cpl"), (5, "vmx"), (6, "smx"), (7, "est"),
    (8, "tm2"), (9, "ssse3"), (10, "cid"), (11, "sdbg"), (12, "fma"), (13, "cx16"), (14, "xtpr"), (15, "pdcm"),
    (17, "pcid"), (18, "dca"), (19, "sse4_1"), (20, "sse4_2"), (21, "x2apic"), (22, "movbe"), (23, "popcnt"),
    (24, "tsc_deadline_timer"), (25, "aes"), (26, "xsave"), (28, "avx"), (29, "f16c"), (30, "rdrand"),
    (31, "hypervisor"),
];

#[rustfmt::skip]
const EXTENDED_1_ECX: &[(u32, &str)] = &[
    (0, "lahf_lm"), (1, "cmp_legacy"), (2, "svm"), (3, "extapic"), (4, "cr8_legacy"), (5, "abm"), (6, "sse4a"),
    (7, "misalignsse"), (8, "3dnowprefetch"), (9, "osvw"), (10, "ibs"), (11, "xop"), (12, "skinit"), (13, "wdt"),
    (15, "lwp"), (16, "fma4"), (17, "tce"), (19, "nodeid_msr"), (21, "tbm"), (22, "topoext"), (23, "perfctr_core"),
    (24, "perfctr_nb"), (26, "bpext"), (27, "ptsc"), (28, "perfctr_llc"), (29, "mwaitx"),
];

#[rustfmt::skip]
const LEAF_7_EBX: &[(u32, &str)] = &[
    (0, "fsgsbase"), (1, "tsc_adjust"), (2, "sgx"), (3, "bmi1"), (4, "hle"), (5, "avx2"), (7, "smep"), (8, "bmi2"),
    (9, "erms"), (10, "invpcid"), (11, "rtm"), (12, "cqm"), (14, "mpx"), (15, "rdt_a"), (16, "avx512f"),
    (17, "avx512dq"), (18, "rdseed"), (19, "adx"), (20, "smap"), (21, "avx512ifma"), (23, "clflushopt"),
    (24, "clwb"), (25, "intel_pt"), (26, "avx512pf"), (27, "avx512er"), (28, "avx512cd"), (29, "sha_ni"),
    (30, "avx512bw"), (31, "avx512vl"),
];

#[rustfmt::skip]
const LEAF_7_ECX: &[(u32, &str)] = &[
    (1, "avx512vbmi"), (2, "umip"), (3, "pku"), (4, "ospke"), (5, "waitpkg"), (6, "avx512_vbmi2"), (8, "gfni"),
    (9, "vaes"), (10, "vpclmulqdq"), (11, "avx512_vnni"), (12, "avx512_bitalg"), (13, "tme"),
    (14, "avx512_vpopcntdq"), (16, "la57"), (22, "rdpid"), (24, "bus_lock_detect"), (25, "cldemote"),
    (27, "movdiri"), (28, "movdir64b"), (29, "enqcmd"),
];

#[rustfmt::skip]
const LEAF_7_EDX: &[(u32, &str)] = &[
    (2, "avx512_4vnniw"), (3, "avx512_4fmaps"), (4, "fsrm"), (8, "avx512_vp2intersect"), (10, "md_clear"),
    (14, "serialize"), (16, "tsxldtrk"), (18, "pconfig"), (19, "arch_lbr"), (20, "ibt"), (22, "amx_bf16"),
    (23, "avx512_fp16"), (24, "amx_tile"), (25, "amx_int8"), (28, "flush_l1d"), (29, "arch_capabilities"),
];

#[cfg(test)]
mod tests {
    use super::{LinuxFlags, Words, names};

    #[test]
    fn names_come_in_linuxs_order() {
        let words = Words {
            leaf_1_edx: 1 | 1 << 26,
            extended_1_edx: 1 << 11 | 1 << 29 | 1,
            linux: LinuxFlags { constant_tsc: true, cpuid: true, ..LinuxFlags::default() },
            leaf_1_ecx: 1 | 1 << 31,
            extended_1_ecx: 1,
            leaf_7_ebx: 1 << 5,
            ..Words::default()
        };
        let expected =
            ["fpu", "sse2", "syscall", "lm", "constant_tsc", "cpuid", "pni", "hypervisor", "lahf_lm", "avx2"];
        assert_eq!(names(&words), expected);
    }
}
