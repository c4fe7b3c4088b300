//! `/proc/cpuinfo`: one block for each processor, as x86-64 has it.
//!
//! Owns the keys, their tabs and their order. Reading CPUID, and naming what it says, is the caller's.
//! Source: Linux 6.12 arch/x86/kernel/cpu/proc.c show_cpuinfo(), arch/x86/kernel/cpu/powerflags.c.

use crate::Sink;

/// One processor.
#[derive(Debug, Clone, Copy)]
pub struct Cpu<'a> {
    /// Its number.
    pub processor: u32,
    /// CPUID's vendor; empty is shown as `unknown`.
    pub vendor_id: &'a [u8],
    /// Family.
    pub family: u32,
    /// Model.
    pub model: u32,
    /// Name; empty is shown as `unknown`.
    pub model_name: &'a [u8],
    /// Stepping.
    pub stepping: u32,
    /// Revision of the microcode; the line is left out at 0.
    pub microcode: u32,
    /// Frequency in kHz; the line is left out without a time-stamp counter.
    pub freq_khz: Option<u32>,
    /// Size of the largest cache in KiB; the line is left out at 0.
    pub cache_kb: u32,
    /// Package; the topology lines are left out without it.
    pub topology: Option<Topology>,
    /// Highest basic CPUID leaf; -1 without CPUID.
    pub cpuid_level: i32,
    /// Names of its features, in Linux's order.
    pub flags: &'a [&'a str],
    /// Names of its VMX features; `None` leaves the line out.
    pub vmx_flags: Option<&'a [&'a str]>,
    /// Names of its known faults.
    pub bugs: &'a [&'a str],
    /// Twice its frequency in kHz, as the delay loop was calibrated; shown in units of 1000.
    pub bogomips_thousandths: u64,
    /// Entries of the TLB; the line is left out at 0.
    pub tlb_pages: u32,
    /// Bytes that CLFLUSH writes back.
    pub clflush_bytes: u32,
    /// Bytes to which it is worth aligning.
    pub cache_alignment_bytes: u32,
    /// Bits of a physical address.
    pub physical_bits: u32,
    /// Bits of a virtual address.
    pub virtual_bits: u32,
    /// CPUID 0x80000007 EDX.
    pub power: u32,
}

/// Where a processor stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    /// Number of the package.
    pub package_id: u32,
    /// Processors in the package.
    pub siblings: u32,
    /// Number of the core in the package.
    pub core_id: u32,
    /// Cores in the package.
    pub cores: u32,
    /// Number at the interrupt controller.
    pub apic_id: u32,
    /// The same at power on.
    pub initial_apic_id: u32,
}

/// Names of the bits of `power`; the empty one shows nothing.
const POWER: [&str; 13] = [
    "ts",
    "fid",
    "vid",
    "ttp",
    "tm",
    "stc",
    "100mhzsteps",
    "hwpstate",
    // Invariant time-stamp counter, which is the flag `constant_tsc`.
    "",
    "cpb",
    "eff_freq_ro",
    "proc_feedback",
    "acc_power",
];

/// Renders one block, with the empty line after it.
pub fn render<S: Sink + ?Sized>(cpu: &Cpu<'_>, out: &mut S) {
    render_identity(cpu, out);
    if let Some(topology) = &cpu.topology {
        for (key, value) in [
            ("physical id\t: ", topology.package_id),
            ("siblings\t: ", topology.siblings),
            ("core id\t\t: ", topology.core_id),
            ("cpu cores\t: ", topology.cores),
            ("apicid\t\t: ", topology.apic_id),
            ("initial apicid\t: ", topology.initial_apic_id),
        ] {
            put_number(key, value, out);
        }
    }
    out.put(b"fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: ");
    out.put_i64(i64::from(cpu.cpuid_level));
    out.put(b"\nwp\t\t: yes\nflags\t\t:");
    put_names(cpu.flags, out);
    if let Some(flags) = cpu.vmx_flags {
        out.put(b"\nvmx flags\t:");
        put_names(flags, out);
    }
    out.put(b"\nbugs\t\t:");
    put_names(cpu.bugs, out);
    out.put(b"\nbogomips\t: ");
    out.put_u64(cpu.bogomips_thousandths / 1000);
    out.put_byte(b'.');
    out.put_u64_zeros(cpu.bogomips_thousandths % 1000 / 10, 2);
    out.put_byte(b'\n');
    if cpu.tlb_pages > 0 {
        out.put(b"TLB size\t: ");
        out.put_u64(u64::from(cpu.tlb_pages));
        out.put(b" 4K pages\n");
    }
    put_number("clflush size\t: ", cpu.clflush_bytes, out);
    put_number("cache_alignment\t: ", cpu.cache_alignment_bytes, out);
    out.put(b"address sizes\t: ");
    out.put_u64(u64::from(cpu.physical_bits));
    out.put(b" bits physical, ");
    out.put_u64(u64::from(cpu.virtual_bits));
    out.put(b" bits virtual\npower management:");
    put_power(cpu.power, out);
    out.put(b"\n\n");
}

fn render_identity<S: Sink + ?Sized>(cpu: &Cpu<'_>, out: &mut S) {
    put_number("processor\t: ", cpu.processor, out);
    out.put(b"vendor_id\t: ");
    out.put(if cpu.vendor_id.is_empty() { b"unknown" } else { cpu.vendor_id });
    out.put_byte(b'\n');
    put_number("cpu family\t: ", cpu.family, out);
    put_number("model\t\t: ", cpu.model, out);
    out.put(b"model name\t: ");
    out.put(if cpu.model_name.is_empty() { b"unknown" } else { cpu.model_name });
    out.put_byte(b'\n');
    if cpu.stepping != 0 || cpu.cpuid_level >= 0 {
        put_number("stepping\t: ", cpu.stepping, out);
    } else {
        out.put(b"stepping\t: unknown\n");
    }
    if cpu.microcode != 0 {
        out.put(b"microcode\t: 0x");
        out.put_hex(u64::from(cpu.microcode), 1);
        out.put_byte(b'\n');
    }
    if let Some(khz) = cpu.freq_khz {
        out.put(b"cpu MHz\t\t: ");
        out.put_u64(u64::from(khz / 1000));
        out.put_byte(b'.');
        out.put_u64_zeros(u64::from(khz % 1000), 3);
        out.put_byte(b'\n');
    }
    if cpu.cache_kb > 0 {
        out.put(b"cache size\t: ");
        out.put_u64(u64::from(cpu.cache_kb));
        out.put(b" KB\n");
    }
}

fn put_number<S: Sink + ?Sized>(key: &str, value: u32, out: &mut S) {
    out.put_str(key);
    out.put_u64(u64::from(value));
    out.put_byte(b'\n');
}

fn put_names<S: Sink + ?Sized>(names: &[&str], out: &mut S) {
    for name in names {
        out.put_byte(b' ');
        out.put_str(name);
    }
}

fn put_power<S: Sink + ?Sized>(power: u32, out: &mut S) {
    for bit in (0..32usize).filter(|bit| power >> bit & 1 != 0) {
        match POWER.get(bit) {
            Some(&"") => {}
            Some(&name) => {
                out.put_byte(b' ');
                out.put_str(name);
            }
            None => {
                out.put(b" [");
                out.put_u64(bit as u64);
                out.put_byte(b']');
            }
        }
    }
}
