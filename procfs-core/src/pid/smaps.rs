//! `/proc/PID/smaps` and `smaps_rollup`: what each mapping, or all of them, costs.
//!
//! Owns the lines after the one that `maps` shows, and the mnemonics of `VmFlags`. Counting pages is the caller's.
//! Source: Linux 6.12 fs/proc/task_mmu.c show_smap(), __show_smap(), show_smap_vma_flags(), show_smaps_rollup().

use crate::Sink;
use crate::pid::maps::{self, Protection, VmaLine, VmaName};

/// What the pages of one or all mappings add up to, in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pages {
    /// Resident.
    pub rss_kb: u64,
    /// Resident, each page divided by how many map it.
    pub pss_kb: u64,
    /// The dirty part of that.
    pub pss_dirty_kb: u64,
    /// The anonymous part; only `smaps_rollup` shows it.
    pub pss_anon_kb: u64,
    /// The part of files; only `smaps_rollup` shows it.
    pub pss_file_kb: u64,
    /// The part of shared memory; only `smaps_rollup` shows it.
    pub pss_shmem_kb: u64,
    /// Clean, mapped more than once.
    pub shared_clean_kb: u64,
    /// Dirty, mapped more than once.
    pub shared_dirty_kb: u64,
    /// Clean, mapped once.
    pub private_clean_kb: u64,
    /// Dirty, mapped once.
    pub private_dirty_kb: u64,
    /// Marked as accessed.
    pub referenced_kb: u64,
    /// Anonymous.
    pub anonymous_kb: u64,
    /// Merged by KSM.
    pub ksm_kb: u64,
    /// Marked free by `madvise(2)`, not yet freed.
    pub lazy_free_kb: u64,
    /// Anonymous huge pages.
    pub anon_huge_kb: u64,
    /// Huge pages of shared memory.
    pub shmem_pmd_kb: u64,
    /// Huge pages of files.
    pub file_pmd_kb: u64,
    /// Pages of hugetlbfs, shared.
    pub shared_hugetlb_kb: u64,
    /// Pages of hugetlbfs, private.
    pub private_hugetlb_kb: u64,
    /// Swapped out.
    pub swap_kb: u64,
    /// Swapped out, each page divided by how many map it.
    pub swap_pss_kb: u64,
    /// Locked: the `pss_kb` of locked mappings.
    pub locked_kb: u64,
}

/// One mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Smap<'a> {
    /// The line that `maps` shows.
    pub vma: VmaLine<'a>,
    /// Size of the kernel's pages.
    pub kernel_page_kb: u64,
    /// Size of the processor's pages.
    pub mmu_page_kb: u64,
    /// What its pages add up to.
    pub pages: Pages,
    /// Whether transparent huge pages may be used.
    pub is_thp_eligible: bool,
    /// Its protection key; `None` where the processor has none.
    pub protection_key: Option<u32>,
    /// Linux's `VM_*` bits, see [`render_vm_flags`].
    pub vm_flags: u64,
}

/// Mnemonics of the `VM_*` bits of x86-64; `None` where nothing is shown.
const MNEMONICS: [(u32, Option<&[u8; 2]>); 38] = [
    (0, Some(b"rd")),
    (1, Some(b"wr")),
    (2, Some(b"ex")),
    (3, Some(b"sh")),
    (4, Some(b"mr")),
    (5, Some(b"mw")),
    (6, Some(b"me")),
    (7, Some(b"ms")),
    (8, Some(b"gd")),
    (9, Some(b"um")),
    (10, Some(b"pf")),
    (12, Some(b"uw")),
    (13, Some(b"lo")),
    (14, Some(b"io")),
    (15, Some(b"sr")),
    (16, Some(b"rr")),
    (17, Some(b"dc")),
    (18, Some(b"de")),
    (19, Some(b"lf")),
    (20, Some(b"ac")),
    (21, Some(b"nr")),
    (22, Some(b"ht")),
    (23, Some(b"sf")),
    (24, Some(b"ar")),
    (25, Some(b"wf")),
    (26, Some(b"dd")),
    (28, Some(b"mm")),
    (29, Some(b"hg")),
    (30, Some(b"nh")),
    (31, Some(b"mg")),
    // Bits of the protection key.
    (32, None),
    (33, None),
    (34, None),
    (35, None),
    (37, Some(b"ss")),
    (38, Some(b"ui")),
    (40, Some(b"dp")),
    (63, Some(b"sl")),
];

/// Renders one mapping.
pub fn render<S: Sink + ?Sized>(smap: &Smap<'_>, out: &mut S) {
    maps::render(&smap.vma, out);
    put_kb("Size:           ", smap.vma.end.saturating_sub(smap.vma.start) / 1024, out);
    put_kb("KernelPageSize: ", smap.kernel_page_kb, out);
    put_kb("MMUPageSize:    ", smap.mmu_page_kb, out);
    render_pages(&smap.pages, Scope::Mapping, out);
    out.put(b"THPeligible:    ");
    out.put_u64_wide(u64::from(smap.is_thp_eligible), 8);
    out.put_byte(b'\n');
    if let Some(key) = smap.protection_key {
        out.put(b"ProtectionKey:  ");
        out.put_u64_wide(u64::from(key), 8);
        out.put_byte(b'\n');
    }
    render_vm_flags(smap.vm_flags, out);
}

/// Renders `smaps_rollup` of mappings from `start` to `end`.
pub fn render_rollup<S: Sink + ?Sized>(start: u64, end: u64, pages: &Pages, out: &mut S) {
    let header = VmaLine {
        start,
        end,
        protection: Protection::default(),
        offset_bytes: 0,
        dev_major: 0,
        dev_minor: 0,
        ino: 0,
        name: VmaName::Special("[rollup]"),
    };
    maps::render(&header, out);
    render_pages(pages, Scope::Rollup, out);
}

/// Renders the `VmFlags` line: the mnemonic of each bit that is set, ascending; `??` for a bit without one.
pub fn render_vm_flags<S: Sink + ?Sized>(flags: u64, out: &mut S) {
    out.put(b"VmFlags: ");
    let mut rest = flags;
    while rest != 0 {
        let bit = rest.trailing_zeros();
        rest &= rest - 1;
        match MNEMONICS.iter().find(|(known, _)| *known == bit) {
            Some((_, Some(mnemonic))) => out.put(&[mnemonic[0], mnemonic[1], b' ']),
            Some((_, None)) => {}
            None => out.put(b"?? "),
        }
    }
    out.put_byte(b'\n');
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Mapping,
    Rollup,
}

fn render_pages<S: Sink + ?Sized>(pages: &Pages, scope: Scope, out: &mut S) {
    put_kb("Rss:            ", pages.rss_kb, out);
    put_kb("Pss:            ", pages.pss_kb, out);
    put_kb("Pss_Dirty:      ", pages.pss_dirty_kb, out);
    if scope == Scope::Rollup {
        put_kb("Pss_Anon:       ", pages.pss_anon_kb, out);
        put_kb("Pss_File:       ", pages.pss_file_kb, out);
        put_kb("Pss_Shmem:      ", pages.pss_shmem_kb, out);
    }
    for (label, value) in [
        ("Shared_Clean:   ", pages.shared_clean_kb),
        ("Shared_Dirty:   ", pages.shared_dirty_kb),
        ("Private_Clean:  ", pages.private_clean_kb),
        ("Private_Dirty:  ", pages.private_dirty_kb),
        ("Referenced:     ", pages.referenced_kb),
        ("Anonymous:      ", pages.anonymous_kb),
        ("KSM:            ", pages.ksm_kb),
        ("LazyFree:       ", pages.lazy_free_kb),
        ("AnonHugePages:  ", pages.anon_huge_kb),
        ("ShmemPmdMapped: ", pages.shmem_pmd_kb),
        ("FilePmdMapped:  ", pages.file_pmd_kb),
        ("Shared_Hugetlb: ", pages.shared_hugetlb_kb),
    ] {
        put_kb(label, value, out);
    }
    out.put(b"Private_Hugetlb: ");
    out.put_u64_wide(pages.private_hugetlb_kb, 7);
    out.put(b" kB\n");
    put_kb("Swap:           ", pages.swap_kb, out);
    put_kb("SwapPss:        ", pages.swap_pss_kb, out);
    put_kb("Locked:         ", pages.locked_kb, out);
}

fn put_kb<S: Sink + ?Sized>(label: &str, value: u64, out: &mut S) {
    out.put_str(label);
    out.put_u64_wide(value, 8);
    out.put(b" kB\n");
}
