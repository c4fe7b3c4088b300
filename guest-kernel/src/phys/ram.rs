//! Which RAM there is: the allocator behind its lock, the frame records, the figures for `/proc/meminfo`.
//!
//! Owns the records' memory and the split of RAM into free and reserved. On the host (`cargo test`) RAM is a leaked,
//! aligned allocation of 64 MiB.
//! Locks: `ALLOCATOR` (rank `FRAMES`).

use super::FrameUse;
use super::PAGE_SIZE;
#[cfg(target_os = "none")]
use super::PhysAddr;
use super::buddy::{Buddy, FrameRecord, MAX_ORDER};
use crate::sync::{Mutex, Rank};
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Physical addresses `start..end`, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PhysRange {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl PhysRange {
    /// The whole pages that it touches.
    pub fn pages(&self) -> u64 {
        if self.end <= self.start {
            return 0;
        }
        self.end.div_ceil(PAGE_SIZE) - self.start / PAGE_SIZE
    }
}

/// Figures of RAM, all in pages of 4 KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct RamStats {
    /// RAM that the boot loader reported.
    pub total_pages: u64,
    /// Free now.
    pub free_pages: u64,
    /// The kernel's own image.
    pub kernel_image_pages: u64,
    /// The records that the allocator keeps per frame.
    pub frame_record_pages: u64,
    /// The initramfs as loaded.
    pub initramfs_pages: u64,
    /// What the kernel heap has taken.
    pub heap_pages: u64,
    /// Frames in use: none of the others above, and not free.
    pub other_pages: u64,
    /// Of those and of the initramfs: memory of programs without a file.
    pub anonymous_pages: u64,
    /// Content of tmpfs and shared memory.
    pub shared_pages: u64,
    /// What of that is in page tables.
    pub mapped_shared_pages: u64,
    /// Page tables of programs.
    pub table_pages: u64,
    /// Stacks of the kernel.
    pub stack_pages: u64,
    /// Given out since boot.
    pub taken_pages: u64,
    /// Taken back since boot.
    pub returned_pages: u64,
}

impl RamStats {
    /// RAM less what the kernel keeps for itself for ever: MemTotal of /proc/meminfo, `totalram` of sysinfo(2).
    #[must_use]
    pub fn usable_pages(&self) -> u64 {
        self.total_pages.saturating_sub(self.kernel_image_pages + self.frame_record_pages)
    }
}

static ALLOCATOR: Mutex<Buddy> = Mutex::new(Rank::FRAMES, Buddy::new(&[]));
static RECORDS: AtomicPtr<FrameRecord> = AtomicPtr::new(core::ptr::null_mut());
static RECORD_COUNT: AtomicUsize = AtomicUsize::new(0);
static TOTAL_PAGES: AtomicU64 = AtomicU64::new(0);
static KERNEL_IMAGE_PAGES: AtomicU64 = AtomicU64::new(0);
static FRAME_RECORD_PAGES: AtomicU64 = AtomicU64::new(0);
static INITRAMFS_PAGES: AtomicU64 = AtomicU64::new(0);

/// Frames in use by `FrameUse`; those of the kernel are not counted.
static IN_USE: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
/// Frames of shared content that a page table maps.
pub(super) static MAPPED_SHARED: AtomicU64 = AtomicU64::new(0);
static STACK_PAGES: AtomicU64 = AtomicU64::new(0);

/// A frame is used for `to` (a `FrameUse`) instead of `from`.
pub(super) fn count_use(from: u32, to: u32) {
    let kernel = FrameUse::Kernel as u32;
    if from != kernel {
        IN_USE[from as usize].fetch_sub(1, Relaxed);
    }
    if to != kernel {
        IN_USE[to as usize].fetch_add(1, Relaxed);
    }
}

/// A stack of the kernel was made, of that many pages.
pub fn add_stack_pages(pages: u64) {
    STACK_PAGES.fetch_add(pages, Relaxed);
}

/// One was given back.
pub fn sub_stack_pages(pages: u64) {
    STACK_PAGES.fetch_sub(pages, Relaxed);
}

/// How many free blocks there are of each order, from single frames on.
pub fn free_blocks() -> [u64; MAX_ORDER as usize + 1] {
    with_allocator(|buddy| buddy.blocks)
}

/// The records of all frames, by frame number.
pub(super) fn records() -> &'static [FrameRecord] {
    #[cfg(not(target_os = "none"))]
    fake::ensure();
    let start = RECORDS.load(Relaxed);
    if start.is_null() {
        return &[];
    }
    // SAFETY: `publish` stored a pointer to that many initialised records, which live for ever; their fields are atomic.
    unsafe { core::slice::from_raw_parts(start, RECORD_COUNT.load(Relaxed)) }
}

pub(super) fn with_allocator<R>(work: impl FnOnce(&mut Buddy) -> R) -> R {
    #[cfg(not(target_os = "none"))]
    fake::ensure();
    work(&mut ALLOCATOR.lock())
}

fn publish(records: &'static [FrameRecord]) {
    RECORD_COUNT.store(records.len(), Relaxed);
    RECORDS.store(records.as_ptr().cast_mut(), Relaxed);
    *ALLOCATOR.lock() = Buddy::new(records);
}

/// The figures as they are now.
pub fn ram_stats() -> RamStats {
    let (free_pages, taken_pages, returned_pages) =
        with_allocator(|buddy| (buddy.free_pages, buddy.taken_pages, buddy.returned_pages));
    let in_use = |purpose: FrameUse| IN_USE[purpose as usize].load(Relaxed);
    #[cfg(target_os = "none")]
    let heap_pages = super::heap_pages();
    #[cfg(not(target_os = "none"))]
    let heap_pages = 0;
    let mut stats = RamStats {
        total_pages: TOTAL_PAGES.load(Relaxed),
        free_pages,
        kernel_image_pages: KERNEL_IMAGE_PAGES.load(Relaxed),
        frame_record_pages: FRAME_RECORD_PAGES.load(Relaxed),
        initramfs_pages: INITRAMFS_PAGES.load(Relaxed),
        heap_pages,
        other_pages: 0,
        anonymous_pages: in_use(FrameUse::Anonymous),
        shared_pages: in_use(FrameUse::Shared),
        mapped_shared_pages: MAPPED_SHARED.load(Relaxed),
        table_pages: in_use(FrameUse::PageTable),
        stack_pages: STACK_PAGES.load(Relaxed),
        taken_pages,
        returned_pages,
    };
    let known = stats.free_pages
        + stats.kernel_image_pages
        + stats.frame_record_pages
        + stats.initramfs_pages
        + stats.heap_pages;
    stats.other_pages = stats.total_pages.saturating_sub(known);
    stats
}

/// RAM that must not be given out at boot.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(target_os = "none"), expect(dead_code, reason = "the host's RAM has nothing reserved"))]
pub(crate) struct ReservedRam<'a> {
    /// The parts of the kernel's image.
    pub(crate) kernel: &'a [PhysRange],
    /// Module 0; its frames become owned by count.
    pub(crate) initramfs: Option<PhysRange>,
    /// Module 1, which says what to run; its frames become owned by count.
    pub(crate) init_records: Option<PhysRange>,
    /// All else: page tables, the platform's page.
    pub(crate) other: &'a [PhysRange],
}

/// Takes RAM over: makes the records and frees what is not reserved. Called once, after the direct map is live.
///
/// # Panics
/// If RAM has no room for the records, or they would not fit the 32-bit frame numbers.
#[cfg(target_os = "none")]
pub(crate) fn init(ram: &[PhysRange], reserved: &ReservedRam<'_>) {
    let last = ram.iter().map(|range| range.end / PAGE_SIZE).max().expect("the boot loader reported RAM");
    let count = usize::try_from(last).expect("addresses fit the CPU");
    assert!(u32::try_from(last).is_ok(), "RAM beyond 16 TiB");
    let bytes = (count * size_of::<FrameRecord>()) as u64;

    let mut taken = [PhysRange::default(); 24];
    let mut used = 0;
    let parts = reserved.kernel.iter().chain(&reserved.initramfs).chain(&reserved.init_records).chain(reserved.other);
    for &part in parts {
        taken[used] = PhysRange { start: super::page_floor(part.start), end: super::page_ceil(part.end) };
        used += 1;
    }
    let home = find_gap(ram, &taken[..used], super::page_ceil(bytes)).expect("RAM has room for the frame records");
    taken[used] = home;
    used += 1;

    let first: *mut FrameRecord = PhysAddr(home.start).as_ptr().cast();
    // SAFETY: `home` is a gap of RAM of at least `bytes` bytes that nothing else uses, in the direct map; all zeros is
    // `FrameRecord::new()`.
    unsafe { core::ptr::write_bytes(first, 0, count) };
    // SAFETY: just initialised, aligned to a page, and reserved for ever by `taken`.
    publish(unsafe { core::slice::from_raw_parts(first, count) });

    for_each_gap(ram, &taken[..used], |gap| {
        with_allocator(|buddy| buddy.add(pfn_of(gap.start), pfn_of(gap.end)));
    });
    // The content of the first file system, and what is read once.
    let modules = [(reserved.initramfs, FrameUse::Shared), (reserved.init_records, FrameUse::Kernel)];
    for (module, purpose) in modules.iter().filter_map(|(module, purpose)| Some(((*module)?, *purpose))) {
        for pfn in pfn_of(module.start)..pfn_of(super::page_ceil(module.end)) {
            // Boot keeps this count; whoever takes the module over may undo it with `from_raw`.
            super::Frame::adopt(pfn).used_for(purpose).into_raw();
        }
    }
    INITRAMFS_PAGES.store(reserved.initramfs.map_or(0, |initramfs| initramfs.pages()), Relaxed);
    let total = ram.iter().map(|range| (range.end - range.start) / PAGE_SIZE).sum();
    TOTAL_PAGES.store(total, Relaxed);
    super::heap::make_reserve(total);
    KERNEL_IMAGE_PAGES.store(reserved.kernel.iter().map(PhysRange::pages).sum(), Relaxed);
    FRAME_RECORD_PAGES.store(bytes.div_ceil(PAGE_SIZE), Relaxed);
}

/// The first `bytes` of free RAM in one piece: in `ram`, whole pages, touched by no range of `taken`.
#[cfg(target_os = "none")]
pub(crate) fn find_gap(ram: &[PhysRange], taken: &[PhysRange], bytes: u64) -> Option<PhysRange> {
    let mut found = None;
    for_each_gap(ram, taken, |gap| {
        if found.is_none() && gap.end - gap.start >= bytes {
            found = Some(PhysRange { start: gap.start, end: gap.start + bytes });
        }
    });
    found
}

#[cfg(target_os = "none")]
fn pfn_of(address: u64) -> u32 {
    u32::try_from(PhysAddr(address).pfn()).expect("init checked that frame numbers fit")
}

/// Calls `gap` with each part of `ram`, whole pages, that no range of `taken` touches; never page 0.
#[cfg(any(target_os = "none", test))]
fn for_each_gap(ram: &[PhysRange], taken: &[PhysRange], mut gap: impl FnMut(PhysRange)) {
    for range in ram {
        let mut start = super::page_ceil(range.start).max(PAGE_SIZE);
        let end = super::page_floor(range.end);
        while start < end {
            let blocker = taken.iter().filter(|t| t.end > start && t.start < end).min_by_key(|t| t.start);
            let free_end = blocker.map_or(end, |t| t.start.max(start));
            if free_end > start {
                gap(PhysRange { start, end: free_end });
            }
            start = blocker.map_or(end, |t| t.end);
        }
    }
}

#[cfg(not(target_os = "none"))]
mod fake {
    //! RAM for tests on the host.

    use super::super::PAGE_SHIFT;
    use super::{Buddy, FrameRecord, TOTAL_PAGES, publish};
    use alloc::alloc::{Layout, alloc_zeroed};
    use alloc::vec::Vec;
    use core::sync::atomic::Ordering::Relaxed;

    const BYTES: usize = 64 << 20;

    static READY: spin::Once<()> = spin::Once::new();

    pub(super) fn ensure() {
        READY.call_once(|| {
            let layout = Layout::from_size_align(BYTES, 2 << 20).expect("a constant, valid layout");
            // SAFETY: the layout is not empty.
            let base = unsafe { alloc_zeroed(layout) };
            assert!(!base.is_null(), "no memory for the test RAM");
            crate::platform::fake::set_ram(base);
            let frames = BYTES >> PAGE_SHIFT;
            let records: Vec<FrameRecord> = (0..frames).map(|_| FrameRecord::new()).collect();
            publish(records.leak());
            let end = u32::try_from(frames).expect("64 MiB has few frames");
            let add = |buddy: &mut Buddy| buddy.add(1, end);
            add(&mut super::ALLOCATOR.lock());
            TOTAL_PAGES.store(u64::from(end), Relaxed);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::{PhysRange, for_each_gap};

    #[test]
    fn gaps_leave_out_page_zero_and_what_is_taken() {
        let ram = [PhysRange { start: 0, end: 0x9fc00 }, PhysRange { start: 0x10_0000, end: 0x80_0000 }];
        let taken = [
            PhysRange { start: 0x70_0000, end: 0x80_0000 },
            PhysRange { start: 0x20_0000, end: 0x30_0000 },
            PhysRange { start: 0x28_0000, end: 0x29_0000 },
        ];
        let mut gaps = Vec::new();
        for_each_gap(&ram, &taken, |gap| gaps.push((gap.start, gap.end)));
        assert_eq!(gaps, [(0x1000, 0x9f000), (0x10_0000, 0x20_0000), (0x30_0000, 0x70_0000)]);
    }
}
