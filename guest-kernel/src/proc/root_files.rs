//! The files of the whole system: `stat`, `meminfo`, `loadavg` and their neighbours.
//!
//! Owns the gathering of the numbers. What this kernel has no such thing for is 0: swap, reclaim, block devices, soft
//! interrupts. Files of what it has not at all are empty (`locks`, `misc`, `modules`) or have their header only.
//! Source: Linux 6.12 fs/proc/stat.c, meminfo.c, loadavg.c, uptime.c, version.c, cmdline.c, devices.c, cpuinfo.c,
//! interrupts.c, softirqs.c; mm/vmstat.c.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;
use procfs_core::root::interrupts::{self, Line, Special};
use procfs_core::root::loadavg::{Averages, Loadavg};
use procfs_core::root::meminfo::Meminfo;
use procfs_core::root::stat::{CpuTimes, Stat};
use procfs_core::root::texts::{self, FsType, Version};
use procfs_core::root::{Entry, Node as What, block, loadavg, meminfo, stat, vmstat, zones};
use procfs_core::seq::Single;

use super::view::NS_PER_TICK;
use super::{MAGIC, ProcFs, cpuinfo};
use crate::cred::Cred;
use crate::fs::kernfs::{Attributes, Content, FileNode, Node, Unwritable};
use crate::kernel::Kernel;
use crate::phys::{self, PAGE_SIZE};
use crate::platform;
use crate::sched;
use crate::syscall;
use crate::time::monotonic_ns;
use crate::vfs::OpenFlags;

const PAGE_KB: u64 = PAGE_SIZE / 1024;
/// The one zone of memory: Linux's name where no device needs low addresses.
const ZONE: &str = "Normal";
/// The size of the area that Linux maps kernel memory in (VMALLOC_TOTAL with four levels of page tables).
const VMALLOC_TOTAL_KB: u64 = 34_359_738_367;
/// Who made the kernel, and with what.
const BUILDER: &str = "procvisor@build";
const COMPILER: &str = "rustc 1.95";

/// A file at the top.
pub(super) struct RootFile {
    pub(super) fs: Arc<ProcFs>,
    pub(super) ino: u64,
    pub(super) entry: &'static Entry,
}

impl Node for RootFile {
    fn attributes(&self) -> Attributes {
        self.fs.static_attributes(self.ino, self.entry.mode)
    }

    fn magic(&self) -> u32 {
        MAGIC
    }
}

impl FileNode for RootFile {
    fn open(&self, _: OpenFlags, _: &Arc<Cred>) -> Result<Content, Errno> {
        let (fs, node) = (self.fs.clone(), self.entry.node);
        Ok(Content::records(Single(move |out: &mut Vec<u8>| {
            render(&fs, node, out);
            Ok(())
        }))
        .with_writer(Unwritable(Errno::EIO)))
    }
}

fn render(fs: &ProcFs, node: What, out: &mut Vec<u8>) {
    let kernel = fs.kernel;
    match node {
        What::Stat => render_stat(kernel, fs.boot_ns, out),
        What::Swaps => out.extend_from_slice(block::SWAPS_HEADER),
        What::Uptime => texts::render_uptime(monotonic_ns(), sched::idle_ns(), out),
        What::Vmstat => render_vmstat(kernel, out),
        What::Buddyinfo => zones::render_buddyinfo(0, ZONE, &phys::free_blocks(), out),
        What::Interrupts => render_interrupts(out),
        What::Softirqs => interrupts::render_softirqs(&[&[0]; 10], out),
        What::Cgroups => out.extend_from_slice(texts::CGROUPS_HEADER),
        What::Execdomains => out.extend_from_slice(texts::EXECDOMAINS),
        What::Cmdline => texts::render_cmdline(&kernel.command_line, out),
        What::Cpuinfo => cpuinfo::render(kernel.cpu, out),
        What::Devices => {
            const CHARACTER: [(u32, &str); 4] = [(1, "mem"), (5, "/dev/tty"), (5, "/dev/console"), (229, "hvc")];
            texts::render_devices(&CHARACTER, &[], out);
        }
        What::Loadavg => {
            let averages = Averages(kernel.load.lock().fixed_point());
            let load = Loadavg {
                averages,
                running: count_u32(sched::running_threads()),
                threads: count_u32(kernel.tasks.len()),
                last_pid: crate::task::current().pid_ns().last(),
            };
            loadavg::render(&load, out);
        }
        What::Meminfo => meminfo::render(&memory(kernel), out),
        What::Version => {
            let version = Version {
                release: core::str::from_utf8(syscall::RELEASE).unwrap_or_default(),
                builder: BUILDER,
                compiler: COMPILER,
                version: core::str::from_utf8(syscall::VERSION).unwrap_or_default(),
            };
            texts::render_version(&version, out);
        }
        What::Filesystems => {
            let types = kernel.vfs.filesystems();
            let types: Vec<_> =
                types.iter().map(|fs| FsType { name: fs.name, needs_device: fs.needs_device }).collect();
            texts::render_filesystems(&types, out);
        }
        // There are no block devices, modules, file locks and devices of major number 10; the rest are directories and links.
        What::Diskstats
        | What::Locks
        | What::Misc
        | What::Modules
        | What::Pressure
        | What::Partitions
        | What::Net
        | What::Sys
        | What::Mounts
        | What::SelfLink
        | What::ThreadSelf => {}
    }
}

fn count_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn render_stat(kernel: &Kernel, boot_ns: u64, out: &mut Vec<u8>) {
    let counters = &kernel.counters;
    let (mut user, mut system) = (counters.dead_user_ns.load(Relaxed), counters.dead_system_ns.load(Relaxed));
    for group in kernel.tasks.groups(&kernel.pid_ns) {
        let usage = group.usage();
        user += usage.user_ns;
        system += usage.system_ns;
    }
    let times = CpuTimes {
        user: user / NS_PER_TICK,
        system: system / NS_PER_TICK,
        idle: sched::idle_ns() / NS_PER_TICK,
        ..CpuTimes::default()
    };
    let lines = interrupt_counts();
    let local = platform::local_interrupts();
    let snapshot = Stat {
        total: times,
        cpus: &[(0, times)],
        interrupts: lines.iter().sum::<u64>() + local.timer + local.spurious,
        interrupts_by_number: &lines,
        context_switches: sched::switches(),
        boot_time_s: boot_ns / 1_000_000_000,
        forks: counters.forks.load(Relaxed),
        running: sched::running_threads() as u64,
        blocked: sched::uninterruptible_threads() as u64,
        softirqs: [0; 10],
    };
    stat::render(&snapshot, out);
}

/// The interrupts of each line from 0 to the last that has a handler.
fn interrupt_counts() -> Vec<u64> {
    let mut counts = Vec::new();
    platform::for_each_line(|line, count, _| {
        counts.resize(line as usize, 0);
        counts.push(count);
    });
    counts
}

fn render_interrupts(out: &mut Vec<u8>) {
    interrupts::render_header(1, out);
    platform::for_each_line(|number, count, device| {
        let line = Line { number, counts: &[count], chip: "IO-APIC", chip_line: number % 24, trigger: "edge", device };
        interrupts::render_line(&line, out);
    });
    let local = platform::local_interrupts();
    // A non-maskable interrupt ends the VM; nobody sends one processor's worth of the others.
    for (name, count, text) in [
        ("NMI", 0, Some("Non-maskable interrupts")),
        ("LOC", local.timer, Some("Local timer interrupts")),
        ("SPU", local.spurious, Some("Spurious interrupts")),
        ("PMI", 0, Some("Performance monitoring interrupts")),
        ("IWI", 0, Some("IRQ work interrupts")),
        ("RTR", 0, Some("APIC ICR read retries")),
        ("RES", 0, Some("Rescheduling interrupts")),
        ("CAL", 0, Some("Function call interrupts")),
        ("TLB", 0, Some("TLB shootdowns")),
        ("ERR", 0, None),
        ("MIS", 0, None),
    ] {
        interrupts::render_special(&Special { name, counts: &[count], text }, out);
    }
}

/// What the address spaces of all processes hold together.
#[derive(Default)]
struct UserMemory {
    locked_pages: u64,
    committed_pages: u64,
}

impl UserMemory {
    fn of(kernel: &Kernel) -> Self {
        let mut sum = Self::default();
        let mut seen: Vec<*const crate::mm::Mm> = Vec::new();
        for group in kernel.tasks.groups(&kernel.pid_ns) {
            let Some(mm) = group.threads().iter().find_map(|task| task.mm()) else { continue };
            let address = Arc::as_ptr(mm.mm());
            if seen.contains(&address) {
                continue;
            }
            seen.push(address);
            let usage = mm.snapshot().usage;
            sum.locked_pages += usage.locked_vm;
            sum.committed_pages += usage.data_vm + usage.stack_vm;
        }
        sum
    }
}

fn memory(kernel: &Kernel) -> Meminfo {
    let ram = phys::ram_stats();
    let user = UserMemory::of(kernel);
    let (anon, shmem) = (ram.anonymous_pages, ram.shared_pages);
    let total = ram.usable_pages();
    Meminfo {
        total_kb: total * PAGE_KB,
        free_kb: ram.free_pages * PAGE_KB,
        // Nothing can be reclaimed.
        available_kb: ram.free_pages * PAGE_KB,
        cached_kb: shmem * PAGE_KB,
        active_anon_kb: anon * PAGE_KB,
        inactive_anon_kb: shmem * PAGE_KB,
        unevictable_kb: user.locked_pages.min(anon) * PAGE_KB,
        mlocked_kb: user.locked_pages.min(anon) * PAGE_KB,
        anon_pages_kb: anon * PAGE_KB,
        mapped_kb: ram.mapped_shared_pages * PAGE_KB,
        shmem_kb: shmem * PAGE_KB,
        slab_unreclaimable_kb: ram.heap_pages * PAGE_KB,
        kernel_stack_kb: ram.stack_pages * PAGE_KB,
        page_tables_kb: ram.table_pages * PAGE_KB,
        commit_limit_kb: total / 2 * PAGE_KB,
        committed_kb: user.committed_pages * PAGE_KB,
        vmalloc_total_kb: VMALLOC_TOTAL_KB,
        hugepage_kb: 2048,
        direct_map_2m_kb: ram.total_pages * PAGE_KB,
        ..Meminfo::default()
    }
}

fn render_vmstat(kernel: &Kernel, out: &mut Vec<u8>) {
    let ram = phys::ram_stats();
    let locked = UserMemory::of(kernel).locked_pages.min(ram.anonymous_pages);
    let faults = kernel.counters.faults.load(Relaxed);
    let value_of = |name: &str| match name {
        "nr_free_pages" => ram.free_pages,
        "nr_zone_inactive_anon" | "nr_inactive_anon" | "nr_file_pages" | "nr_shmem" => ram.shared_pages,
        "nr_zone_active_anon" | "nr_active_anon" | "nr_anon_pages" => ram.anonymous_pages,
        "nr_zone_unevictable" | "nr_unevictable" | "nr_mlock" => locked,
        "nr_slab_unreclaimable" => ram.heap_pages,
        "nr_mapped" => ram.mapped_shared_pages,
        // This one is in KiB.
        "nr_kernel_stack" => ram.stack_pages * PAGE_KB,
        "nr_page_table_pages" => ram.table_pages,
        "nr_memmap_boot_pages" => ram.frame_record_pages,
        "pgalloc_normal" => ram.taken_pages,
        "pgfree" => ram.returned_pages,
        "pgfault" => faults,
        "oom_kill" => kernel.counters.oom_kills.load(Relaxed),
        _ => 0,
    };
    vmstat::render(value_of, out);
}
