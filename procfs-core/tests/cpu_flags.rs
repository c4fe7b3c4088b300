//! The names of processor features against this machine's: what CPUID reports and Linux shows must be in Linux's order.

use procfs_core::root::cpu_flags::{LinuxFlags, Words, names};
use std::fs;

#[test]
fn flags_of_this_processor_are_named_in_the_order_of_its_cpuinfo() {
    let Ok(text) = fs::read_to_string("/proc/cpuinfo") else {
        eprintln!("not run: no /proc/cpuinfo");
        return;
    };
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("flags\t\t: ")) else {
        eprintln!("not run: no flags in /proc/cpuinfo");
        return;
    };
    let shown: Vec<&str> = line.split(' ').collect();
    let every = LinuxFlags {
        constant_tsc: true,
        rep_good: true,
        nopl: true,
        nonstop_tsc: true,
        cpuid: true,
        tsc_known_freq: true,
    };
    let all = u32::MAX;
    let known = names(&Words {
        leaf_1_edx: all,
        extended_1_edx: all,
        linux: every,
        leaf_1_ecx: all,
        extended_1_ecx: all,
        leaf_7_ebx: all,
        leaf_7_ecx: all,
        leaf_7_edx: all,
    });
    let ours: Vec<&str> = known.iter().copied().filter(|name| shown.contains(name)).collect();
    let linux: Vec<&str> = shown.iter().copied().filter(|name| known.contains(name)).collect();
    assert_eq!(ours, linux);
    let unknown: Vec<&str> = shown.iter().copied().filter(|name| !known.contains(name)).collect();
    eprintln!("{} flags compared, not known: {unknown:?}", linux.len());
}
