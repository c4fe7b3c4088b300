//! What `/proc` shows of an address space, taken under the lock and rendered without it.
//!
//! Owns the snapshot structs and the setters of what `exec` and `prctl` put there. Knows no text.
//! Source: Linux 6.12 fs/proc/task_mmu.c show_map_vma(), smaps_account(), smap_gather_stats().

use super::backing::Backing;
use super::layout::Layout;
use super::page_table::Owner;
use super::usage::Usage;
use super::vma::{VmFlags, Vma};
use super::{Dumpable, Mm, State};
use crate::phys::PAGE_SIZE;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The figures of an address space at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmSnapshot {
    /// Sizes.
    pub usage: Usage,
    /// Addresses.
    pub layout: Layout,
    /// Who may look.
    pub dumpable: Dumpable,
}

/// One line of `maps`.
#[derive(Clone)]
pub struct AreaSnapshot {
    /// First address.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Linux's `VM_*` bits.
    pub flags: VmFlags,
    /// Byte offset in the object, 0 for anonymous areas.
    pub offset: u64,
    /// The object.
    pub backing: Option<Arc<dyn Backing>>,
    /// Name given by `PR_SET_VMA_ANON_NAME`.
    pub name: Option<Arc<[u8]>>,
    /// To be shown as `[heap]`.
    pub is_heap: bool,
    /// To be shown as `[stack]`.
    pub is_stack: bool,
}

/// What `smaps` counts in one area, in bytes; the proportional figures are shifted left by 12 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// Present.
    pub rss: u64,
    /// Present, each page divided by how many map it, times 4096.
    pub pss_shifted: u64,
    /// As `pss_shifted`, of dirty pages.
    pub pss_dirty_shifted: u64,
    /// As `pss_shifted`, of private pages.
    pub pss_anon_shifted: u64,
    /// As `pss_shifted`, of file pages.
    pub pss_file_shifted: u64,
    /// As `pss_shifted`, of shared memory.
    pub pss_shmem_shifted: u64,
    /// Mapped more than once and clean.
    pub shared_clean: u64,
    /// Mapped more than once and dirty.
    pub shared_dirty: u64,
    /// Mapped once and clean.
    pub private_clean: u64,
    /// Mapped once and dirty.
    pub private_dirty: u64,
    /// Touched since the marks were cleared.
    pub referenced: u64,
    /// Private pages.
    pub anonymous: u64,
}

/// A page that an address space has at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResidentPage {
    /// The number of its frame.
    pub frame: u64,
    /// It is the area's object's, not the program's own copy.
    pub is_of_object: bool,
    /// No other entry of any page table names it.
    pub is_exclusive: bool,
}

impl Mm {
    /// The figures now.
    #[must_use]
    pub fn snapshot(&self) -> MmSnapshot {
        let state = self.lock();
        MmSnapshot { usage: state.usage_now(), layout: state.layout, dumpable: state.dumpable }
    }

    /// The first area that ends above `from`: `maps` goes on with the end of the one it had.
    #[must_use]
    pub fn next_area(&self, from: u64) -> Option<AreaSnapshot> {
        let state = self.lock();
        state.areas.at_or_above(from).map(|area| state.area_snapshot(area))
    }

    /// Counts the pages of `[start, end)`, one area's range as `next_area` gave it.
    #[must_use]
    pub fn count_pages(&self, start: u64, end: u64) -> PageCounts {
        let state = self.lock();
        let mut counts = PageCounts::default();
        for area in state.areas.overlapping(start, end) {
            state.count_area(area, area.start.max(start), area.end.min(end), &mut counts);
        }
        counts
    }

    /// What is resident of the pages from `start` on, one for each of `pages`.
    pub fn resident_pages(&self, start: u64, pages: &mut [Option<ResidentPage>]) {
        pages.fill(None);
        let end = start + pages.len() as u64 * PAGE_SIZE;
        let state = self.lock();
        state.tables.for_each(start, end, |addr, entry| {
            let at = usize::try_from((addr - start) / PAGE_SIZE).expect("within `pages`");
            pages[at] = Some(ResidentPage {
                frame: entry.phys().pfn(),
                is_of_object: entry.owner() == Owner::Object,
                is_exclusive: entry.owner() != Owner::Zero && entry.frame().map_count() == 1,
            });
        });
    }

    /// Clears the accessed marks (`clear_refs` 1 to 3): of areas with an object, without one, or both.
    pub fn clear_referenced(&self, of_anonymous: bool, of_files: bool) {
        self.with(|state| {
            let ranges: Vec<(u64, u64)> = state
                .areas
                .iter()
                .filter(|area| if area.is_anonymous() { of_anonymous } else { of_files })
                .map(|area| (area.start, area.end))
                .collect();
            for (start, end) in ranges {
                state.tables.change(start, end, |_, entry| Some(entry.without_accessed()));
            }
        });
    }

    /// The addresses of the program's parts.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.lock().layout
    }

    /// Changes the addresses of the program's parts, as `exec` and `prctl(PR_SET_MM)` do.
    pub fn update_layout(&self, change: impl FnOnce(&mut Layout)) {
        change(&mut self.lock().layout);
    }

    /// Whether an area lies at `addr` or above it (find_vma()).
    #[must_use]
    pub fn has_area_at_or_above(&self, addr: u64) -> bool {
        self.lock().areas.at_or_above(addr).is_some()
    }

    /// Who may look at the program.
    #[must_use]
    pub fn dumpable(&self) -> Dumpable {
        self.lock().dumpable
    }

    /// Says who may look at the program.
    pub fn set_dumpable(&self, dumpable: Dumpable) {
        self.lock().dumpable = dumpable;
    }

    /// Which areas a core dump would hold.
    #[must_use]
    pub fn dump_filter(&self) -> u32 {
        self.lock().dump_filter
    }

    /// Says which areas a core dump would hold.
    pub fn set_dump_filter(&self, filter: u32) {
        self.lock().dump_filter = filter;
    }

    /// Lets the largest resident size so far be the present one (`clear_refs` 5).
    pub fn reset_peak_rss(&self) {
        let mut state = self.lock();
        state.usage.hiwater_rss = state.usage.rss_pages();
    }

    /// The saved auxiliary vector: keys and values in turn, up to and including the pair of key 0.
    #[must_use]
    pub fn auxv(&self) -> Vec<u64> {
        self.lock().auxv.clone()
    }

    /// Saves the auxiliary vector.
    pub fn set_auxv(&self, auxv: Vec<u64>) {
        self.lock().auxv = auxv;
    }

    /// The executable; `None` before `exec` and once the last user has gone.
    #[must_use]
    pub fn exe(&self) -> Option<Arc<dyn Backing>> {
        self.lock().exe.clone()
    }

    /// Sets the executable; returns the one before, to be dropped without a lock held.
    pub fn set_exe(&self, exe: Option<Arc<dyn Backing>>) -> Option<Arc<dyn Backing>> {
        core::mem::replace(&mut self.lock().exe, exe)
    }
}

impl State {
    fn usage_now(&self) -> Usage {
        Usage { table_bytes: self.tables.table_bytes(), area_count: self.areas.len(), ..self.usage }
    }

    fn area_snapshot(&self, area: &Vma) -> AreaSnapshot {
        let layout = &self.layout;
        AreaSnapshot {
            start: area.start,
            end: area.end,
            flags: area.flags,
            offset: if area.backing.is_some() { area.page_offset * PAGE_SIZE } else { 0 },
            backing: area.backing.clone(),
            name: area.name.clone(),
            is_heap: area.start < layout.brk && area.end > layout.start_brk,
            is_stack: area.start <= layout.start_stack && area.end >= layout.start_stack,
        }
    }

    fn count_area(&self, area: &Vma, start: u64, end: u64, counts: &mut PageCounts) {
        let is_shmem = area.backing.as_ref().is_some_and(|backing| backing.is_shmem());
        self.tables.for_each(start, end, |_, entry| {
            if entry.owner() == Owner::Zero {
                return;
            }
            let map_count = u64::from(entry.frame().map_count()).max(1);
            let share = (PAGE_SIZE << 12) / map_count;
            counts.rss += PAGE_SIZE;
            counts.pss_shifted += share;
            if entry.owner() == Owner::Private {
                counts.anonymous += PAGE_SIZE;
                counts.pss_anon_shifted += share;
            } else if is_shmem {
                counts.pss_shmem_shifted += share;
            } else {
                counts.pss_file_shifted += share;
            }
            if entry.is_dirty() {
                counts.pss_dirty_shifted += share;
            }
            if entry.is_accessed() {
                counts.referenced += PAGE_SIZE;
            }
            let class = match (map_count > 1, entry.is_dirty()) {
                (true, true) => &mut counts.shared_dirty,
                (true, false) => &mut counts.shared_clean,
                (false, true) => &mut counts.private_dirty,
                (false, false) => &mut counts.private_clean,
            };
            *class += PAGE_SIZE;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{anon_at, file_at, page_file};
    use super::super::{Access, Limits, Mm};
    use super::*;
    use linux_raw_sys::general::{PROT_READ, PROT_WRITE};

    const RW: u32 = PROT_READ | PROT_WRITE;
    const A: u64 = 0x10_0000;
    const P: u64 = PAGE_SIZE;

    #[test]
    fn shared_pages_count_in_proportion() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 4 * P, RW).unwrap();
        mm.copy_out(A, &[1; 2 * 4096]).unwrap();
        let child = mm.fork().unwrap();
        child.copy_out(A, b"own").unwrap();
        let counts = mm.count_pages(A, A + 4 * P);
        assert_eq!((counts.rss, counts.anonymous), (2 * P, 2 * P));
        assert_eq!((counts.private_dirty, counts.shared_dirty), (P, P));
        assert_eq!(counts.pss_shifted >> 12, P + P / 2);
        assert_eq!(counts.pss_anon_shifted, counts.pss_dirty_shifted);
    }

    #[test]
    fn clean_file_pages_and_cleared_marks() {
        let mm = Mm::new().unwrap();
        let file = page_file(4);
        file_at(&mm, &file, A, 4 * P, 0, PROT_READ).unwrap();
        mm.handle_fault(A, Access::Read).unwrap();
        let counts = mm.count_pages(A, A + 4 * P);
        assert_eq!((counts.private_clean, counts.referenced), (4 * P, P));
        mm.clear_referenced(true, false);
        assert_eq!(mm.count_pages(A, A + 4 * P).referenced, P);
        mm.clear_referenced(false, true);
        assert_eq!(mm.count_pages(A, A + 4 * P).referenced, 0);
    }

    #[test]
    fn the_cursor_goes_on_after_what_has_gone() {
        let mm = Mm::new().unwrap();
        for n in 0..3 {
            anon_at(&mm, A + n * 2 * P, P, RW).unwrap();
        }
        let first = mm.next_area(0).unwrap();
        mm.munmap(A + 2 * P, P).unwrap();
        assert_eq!(mm.next_area(first.end).unwrap().start, A + 4 * P);
        assert!(mm.next_area(A + 5 * P).is_none());
        mm.map_stack(0x7000_0000, 0x7001_0000, false, &Limits::NONE).unwrap();
        mm.update_layout(|layout| layout.start_stack = 0x7000_8000);
        assert!(mm.next_area(A + 5 * P).unwrap().is_stack);
    }
}
