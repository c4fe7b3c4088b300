//! How much memory an address space uses, as `/proc` counts it.
//!
//! Owns the counters and their high-water marks. Walks nothing.
//! Invariant: `total_vm` is the sum of all areas; each leaf entry but the zero page counts in one of the three rss numbers.
//! Source: Linux 6.12 mm/mmap.c vm_stat_account(), may_expand_vm(), fs/proc/task_mmu.c task_mem(), task_statm().

use super::vma::VmFlags;

/// Limits of the process that asks, each in bytes, `u64::MAX` for none.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `RLIMIT_AS`.
    pub address_space: u64,
    /// `RLIMIT_DATA`.
    pub data: u64,
    /// `RLIMIT_STACK`.
    pub stack: u64,
    /// `RLIMIT_MEMLOCK`.
    pub locked: u64,
    /// `CAP_IPC_LOCK`: the last one does not bind.
    pub may_lock_all: bool,
    /// `CAP_SYS_RAWIO`: may map below `vm.mmap_min_addr`.
    pub may_map_low: bool,
}

impl Limits {
    /// No limit but the size of the address space.
    pub const NONE: Self = Self {
        address_space: u64::MAX,
        data: u64::MAX,
        stack: u64::MAX,
        locked: u64::MAX,
        may_lock_all: true,
        may_map_low: false,
    };
}

/// Counters of one address space, in pages unless they say otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All mapped pages.
    pub total_vm: u64,
    /// Pages of areas locked by `mlock`.
    pub locked_vm: u64,
    /// Pages pinned by devices.
    pub pinned_vm: u64,
    /// Private writable pages that are no stack.
    pub data_vm: u64,
    /// Executable pages that are not writable.
    pub exec_vm: u64,
    /// Stack pages.
    pub stack_vm: u64,
    /// Resident private pages.
    pub anon_pages: u64,
    /// Resident file pages.
    pub file_pages: u64,
    /// Resident pages of shared memory.
    pub shmem_pages: u64,
    /// Page tables, in bytes.
    pub table_bytes: u64,
    /// Most resident pages so far, as of the last decrease.
    pub hiwater_rss: u64,
    /// Most mapped pages so far, as of the last decrease.
    pub hiwater_vm: u64,
    /// How many areas there are.
    pub area_count: usize,
}

impl Usage {
    /// Resident pages of every kind.
    #[must_use]
    pub fn rss_pages(&self) -> u64 {
        self.anon_pages + self.file_pages + self.shmem_pages
    }

    /// Most resident pages so far (`VmHWM`).
    #[must_use]
    pub fn peak_rss_pages(&self) -> u64 {
        self.hiwater_rss.max(self.rss_pages())
    }

    /// Most mapped pages so far (`VmPeak`).
    #[must_use]
    pub fn peak_vm_pages(&self) -> u64 {
        self.hiwater_vm.max(self.total_vm)
    }

    /// Notes the marks, before something is taken away.
    pub(super) fn mark_high_water(&mut self) {
        self.hiwater_rss = self.peak_rss_pages();
        self.hiwater_vm = self.peak_vm_pages();
    }

    /// Counts `pages` more of an area with `flags`.
    pub(super) fn add_area(&mut self, flags: VmFlags, pages: u64) {
        self.total_vm += pages;
        if let Some(class) = self.class_of(flags) {
            *class += pages;
        }
        if flags.contains(VmFlags::LOCKED) {
            self.locked_vm += pages;
        }
    }

    /// Counts `pages` less of an area with `flags`.
    pub(super) fn remove_area(&mut self, flags: VmFlags, pages: u64) {
        self.mark_high_water();
        self.total_vm -= pages;
        if let Some(class) = self.class_of(flags) {
            *class -= pages;
        }
        if flags.contains(VmFlags::LOCKED) {
            self.locked_vm -= pages;
        }
    }

    fn class_of(&mut self, flags: VmFlags) -> Option<&mut u64> {
        if flags.is_exec_mapping() {
            Some(&mut self.exec_vm)
        } else if flags.is_stack_mapping() {
            Some(&mut self.stack_vm)
        } else if flags.is_data_mapping() {
            Some(&mut self.data_vm)
        } else {
            None
        }
    }

    /// Whether `pages` more of an area with `flags` stay within `limits` (`may_expand_vm`).
    pub(super) fn may_expand(&self, flags: VmFlags, pages: u64, limits: &Limits) -> bool {
        let fits = |used: u64, limit: u64| used.checked_add(pages).is_some_and(|sum| sum <= limit >> 12);
        fits(self.total_vm, limits.address_space) && (!flags.is_data_mapping() || fits(self.data_vm, limits.data))
    }

    /// Whether `pages` more may be locked (`mlock_future_ok`).
    pub(super) fn may_lock(&self, pages: u64, limits: &Limits) -> bool {
        limits.may_lock_all || self.locked_vm.checked_add(pages).is_some_and(|sum| sum <= limits.locked >> 12)
    }
}
