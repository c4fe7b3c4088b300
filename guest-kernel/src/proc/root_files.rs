//! The files of the whole system: `stat`, `meminfo`, `loadavg` and their neighbours.
//!
//! Owns the gathering of the numbers. What nobody counts apart is derived, and said so where it is.
//! Source: Linux 6.12 fs/proc/stat.c, meminfo.c, loadavg.c, uptime.c, version.c, cmdline.c, devices.c, cpuinfo.c.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;
use procfs_core::root::loadavg::{Averages, Loadavg};
use procfs_core::root::meminfo::Meminfo;
use procfs_core::root::stat::{CpuTimes, Stat};
use procfs_core::root::texts::{self, FsType, Version};
use procfs_core::root::{Entry, Node as What, block, loadavg, meminfo, stat, vmstat};
use procfs_core::seq::Single;

use super::view::NS_PER_TICK;
use super::{MAGIC, ProcFs, cpuinfo};
use crate::cred::Cred;
use crate::fs::kernfs::{Attributes, Content, FileNode, Node};
use crate::kernel::Kernel;
use crate::phys::{self, PAGE_SIZE};
use crate::sched;
use crate::syscall;
use crate::time::monotonic_ns;
use crate::vfs::OpenFlags;

const PAGE_KB: u64 = PAGE_SIZE / 1024;
/// What the tasks' kernel stacks take, in pages each.
const STACK_PAGES: u64 = 4;
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
        })))
    }
}

fn render(fs: &ProcFs, node: What, out: &mut Vec<u8>) {
    let kernel = fs.kernel;
    match node {
        What::Stat => render_stat(kernel, fs.boot_ns, out),
        What::Swaps => out.extend_from_slice(block::SWAPS_HEADER),
        What::Uptime => texts::render_uptime(monotonic_ns(), sched::idle_ns(), out),
        What::Vmstat => render_vmstat(kernel, out),
        What::Cmdline => texts::render_cmdline(&kernel.command_line, out),
        What::Cpuinfo => cpuinfo::render(out),
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
        // There are no block devices, and the rest are directories and links.
        What::Diskstats
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
    let snapshot = Stat {
        total: times,
        cpus: &[(0, times)],
        interrupts: 0,
        interrupts_by_number: &[],
        context_switches: sched::switches(),
        boot_time_s: boot_ns / 1_000_000_000,
        forks: counters.forks.load(Relaxed),
        running: sched::running_threads() as u64,
        blocked: sched::uninterruptible_threads() as u64,
        softirqs: [0; 10],
    };
    stat::render(&snapshot, out);
}

/// What the address spaces of all processes hold together.
#[derive(Default)]
struct UserMemory {
    anon_pages: u64,
    mapped_pages: u64,
    locked_pages: u64,
    table_pages: u64,
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
            sum.anon_pages += usage.anon_pages;
            sum.mapped_pages += usage.file_pages + usage.shmem_pages;
            sum.locked_pages += usage.locked_vm;
            sum.table_pages += usage.table_bytes / PAGE_SIZE;
            sum.committed_pages += usage.data_vm + usage.stack_vm;
        }
        sum
    }
}

fn memory(kernel: &Kernel) -> Meminfo {
    let ram = phys::ram_stats();
    let user = UserMemory::of(kernel);
    let stacks = kernel.tasks.len() as u64 * STACK_PAGES;
    // Pages shared after a fork count in every address space; there are not more of them than frames in use.
    let anon = user.anon_pages.min(ram.other_pages);
    let tables = user.table_pages.min(ram.other_pages - anon);
    // What is left are the pages of tmpfs, with those that the initramfs brought.
    let shmem = ram.initramfs_pages + (ram.other_pages - anon - tables).saturating_sub(stacks);
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
        mapped_kb: user.mapped_pages * PAGE_KB,
        shmem_kb: shmem * PAGE_KB,
        slab_unreclaimable_kb: ram.heap_pages * PAGE_KB,
        kernel_stack_kb: stacks * PAGE_KB,
        page_tables_kb: tables * PAGE_KB,
        commit_limit_kb: total / 2 * PAGE_KB,
        committed_kb: user.committed_pages * PAGE_KB,
        vmalloc_total_kb: VMALLOC_TOTAL_KB,
        hugepage_kb: 2048,
        direct_map_2m_kb: ram.total_pages * PAGE_KB,
        ..Meminfo::default()
    }
}

fn render_vmstat(kernel: &Kernel, out: &mut Vec<u8>) {
    let memory = memory(kernel);
    let pages = |kb: u64| kb / PAGE_KB;
    for (name, value) in [
        ("nr_free_pages", pages(memory.free_kb)),
        ("nr_inactive_anon", pages(memory.inactive_anon_kb)),
        ("nr_active_anon", pages(memory.active_anon_kb)),
        ("nr_mlock", pages(memory.mlocked_kb)),
        ("nr_slab_unreclaimable", pages(memory.slab_unreclaimable_kb)),
        ("nr_anon_pages", pages(memory.anon_pages_kb)),
        ("nr_mapped", pages(memory.mapped_kb)),
        ("nr_file_pages", pages(memory.cached_kb)),
        ("nr_shmem", pages(memory.shmem_kb)),
        ("nr_kernel_stack", memory.kernel_stack_kb),
        ("nr_page_table_pages", pages(memory.page_tables_kb)),
        ("pgpgin", 0),
        ("pgpgout", 0),
        ("pswpin", 0),
        ("pswpout", 0),
        ("pgfault", kernel.counters.faults.load(Relaxed)),
        ("pgmajfault", 0),
    ] {
        vmstat::render(name, value, out);
    }
}
