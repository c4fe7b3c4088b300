//! `/proc/meminfo`: where the memory is.
//!
//! Built as Linux with zswap, transparent huge pages and hugetlbfs has it, without CMA and memory-failure handling.
//! Source: Linux 6.12 fs/proc/meminfo.c meminfo_proc_show(); mm/hugetlb.c hugetlb_report_meminfo();
//! arch/x86/mm/pat/set_memory.c arch_report_meminfo(); proc_meminfo(5).

use crate::Sink;

/// What `meminfo` shows, in KiB unless the name says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meminfo {
    /// Memory that the kernel manages.
    pub total_kb: u64,
    /// Unused.
    pub free_kb: u64,
    /// Estimate of what new programs can have without swapping.
    pub available_kb: u64,
    /// Cached blocks of devices.
    pub buffers_kb: u64,
    /// Cached pages of files, without swap cache and buffers.
    pub cached_kb: u64,
    /// Cached in memory and in swap.
    pub swap_cached_kb: u64,
    /// Anonymous pages used lately.
    pub active_anon_kb: u64,
    /// Anonymous pages not used lately.
    pub inactive_anon_kb: u64,
    /// File pages used lately.
    pub active_file_kb: u64,
    /// File pages not used lately.
    pub inactive_file_kb: u64,
    /// Not to be reclaimed.
    pub unevictable_kb: u64,
    /// Locked by `mlock(2)`.
    pub mlocked_kb: u64,
    /// All swap.
    pub swap_total_kb: u64,
    /// Unused swap.
    pub swap_free_kb: u64,
    /// Memory that compressed swap takes.
    pub zswap_kb: u64,
    /// What that memory holds, uncompressed.
    pub zswapped_kb: u64,
    /// Waiting to be written.
    pub dirty_kb: u64,
    /// Being written.
    pub writeback_kb: u64,
    /// Anonymous pages in page tables.
    pub anon_pages_kb: u64,
    /// File pages in page tables.
    pub mapped_kb: u64,
    /// Shared memory and tmpfs.
    pub shmem_kb: u64,
    /// Kernel memory that can be reclaimed, with `slab_reclaimable_kb`.
    pub kernel_reclaimable_kb: u64,
    /// Slab that can be reclaimed.
    pub slab_reclaimable_kb: u64,
    /// Slab that cannot.
    pub slab_unreclaimable_kb: u64,
    /// Kernel stacks.
    pub kernel_stack_kb: u64,
    /// Page tables.
    pub page_tables_kb: u64,
    /// Page tables of second level (of guests, of devices).
    pub secondary_page_tables_kb: u64,
    /// Used by FUSE while writing.
    pub writeback_temp_kb: u64,
    /// What may be committed when overcommit is off.
    pub commit_limit_kb: u64,
    /// What is committed.
    pub committed_kb: u64,
    /// Size of the kernel's mapping area.
    pub vmalloc_total_kb: u64,
    /// Mapped there.
    pub vmalloc_used_kb: u64,
    /// Memory of each processor's own.
    pub percpu_kb: u64,
    /// Anonymous huge pages.
    pub anon_huge_kb: u64,
    /// Huge pages of shared memory.
    pub shmem_huge_kb: u64,
    /// The same in page tables.
    pub shmem_pmd_kb: u64,
    /// Huge pages of files.
    pub file_huge_kb: u64,
    /// The same in page tables.
    pub file_pmd_kb: u64,
    /// Pool of huge pages: how many.
    pub hugepages_total: u64,
    /// Unused ones.
    pub hugepages_free: u64,
    /// Promised ones.
    pub hugepages_reserved: u64,
    /// More than asked for.
    pub hugepages_surplus: u64,
    /// Size of one.
    pub hugepage_kb: u64,
    /// All pools together.
    pub hugetlb_kb: u64,
    /// Mapped by the kernel in pages of 4 KiB.
    pub direct_map_4k_kb: u64,
    /// In pages of 2 MiB.
    pub direct_map_2m_kb: u64,
    /// In pages of 1 GiB; `None` if the processor has none.
    pub direct_map_1g_kb: Option<u64>,
}

/// Renders the file.
pub fn render<S: Sink + ?Sized>(mem: &Meminfo, out: &mut S) {
    for (label, kb) in [
        ("MemTotal:       ", mem.total_kb),
        ("MemFree:        ", mem.free_kb),
        ("MemAvailable:   ", mem.available_kb),
        ("Buffers:        ", mem.buffers_kb),
        ("Cached:         ", mem.cached_kb),
        ("SwapCached:     ", mem.swap_cached_kb),
        ("Active:         ", mem.active_anon_kb + mem.active_file_kb),
        ("Inactive:       ", mem.inactive_anon_kb + mem.inactive_file_kb),
        ("Active(anon):   ", mem.active_anon_kb),
        ("Inactive(anon): ", mem.inactive_anon_kb),
        ("Active(file):   ", mem.active_file_kb),
        ("Inactive(file): ", mem.inactive_file_kb),
        ("Unevictable:    ", mem.unevictable_kb),
        ("Mlocked:        ", mem.mlocked_kb),
        ("SwapTotal:      ", mem.swap_total_kb),
        ("SwapFree:       ", mem.swap_free_kb),
        ("Zswap:          ", mem.zswap_kb),
        ("Zswapped:       ", mem.zswapped_kb),
        ("Dirty:          ", mem.dirty_kb),
        ("Writeback:      ", mem.writeback_kb),
        ("AnonPages:      ", mem.anon_pages_kb),
        ("Mapped:         ", mem.mapped_kb),
        ("Shmem:          ", mem.shmem_kb),
        ("KReclaimable:   ", mem.kernel_reclaimable_kb),
        ("Slab:           ", mem.slab_reclaimable_kb + mem.slab_unreclaimable_kb),
        ("SReclaimable:   ", mem.slab_reclaimable_kb),
        ("SUnreclaim:     ", mem.slab_unreclaimable_kb),
        ("KernelStack:    ", mem.kernel_stack_kb),
        ("PageTables:     ", mem.page_tables_kb),
        ("SecPageTables:  ", mem.secondary_page_tables_kb),
        ("NFS_Unstable:   ", 0),
        ("Bounce:         ", 0),
        ("WritebackTmp:   ", mem.writeback_temp_kb),
        ("CommitLimit:    ", mem.commit_limit_kb),
        ("Committed_AS:   ", mem.committed_kb),
        ("VmallocTotal:   ", mem.vmalloc_total_kb),
        ("VmallocUsed:    ", mem.vmalloc_used_kb),
        ("VmallocChunk:   ", 0),
        ("Percpu:         ", mem.percpu_kb),
        ("AnonHugePages:  ", mem.anon_huge_kb),
        ("ShmemHugePages: ", mem.shmem_huge_kb),
        ("ShmemPmdMapped: ", mem.shmem_pmd_kb),
        ("FileHugePages:  ", mem.file_huge_kb),
        ("FilePmdMapped:  ", mem.file_pmd_kb),
    ] {
        put_kb(label, kb, out);
    }
    for (label, pages) in [
        ("HugePages_Total:   ", mem.hugepages_total),
        ("HugePages_Free:    ", mem.hugepages_free),
        ("HugePages_Rsvd:    ", mem.hugepages_reserved),
        ("HugePages_Surp:    ", mem.hugepages_surplus),
    ] {
        out.put_str(label);
        out.put_u64_wide(pages, 5);
        out.put_byte(b'\n');
    }
    put_kb("Hugepagesize:   ", mem.hugepage_kb, out);
    put_kb("Hugetlb:        ", mem.hugetlb_kb, out);
    put_kb("DirectMap4k:    ", mem.direct_map_4k_kb, out);
    put_kb("DirectMap2M:    ", mem.direct_map_2m_kb, out);
    if let Some(kb) = mem.direct_map_1g_kb {
        put_kb("DirectMap1G:    ", kb, out);
    }
}

fn put_kb<S: Sink + ?Sized>(label: &str, kb: u64, out: &mut S) {
    out.put_str(label);
    out.put_u64_wide(kb, 8);
    out.put(b" kB\n");
}
