//! `munmap` and the end of an address space.
//!
//! Owns the order in which areas, pages and tables go.
//! Source: Linux 6.12 mm/mmap.c do_vmi_munmap(), do_vmi_align_munmap(), exit_mmap(); mm/memory.c zap_pte_range().

use super::layout::TASK_SIZE;
use super::vma::Vma;
use super::{Mm, State};
use crate::phys::{is_page_aligned, page_ceil};
use procfs_core::Errno;

impl Mm {
    /// `munmap(2)`.
    ///
    /// # Errors
    /// `EINVAL` for an unaligned `addr`, a range outside of user space, or an empty one; `ENOMEM` when cutting an area in two
    /// makes too many.
    pub fn munmap(&self, addr: u64, len: u64) -> Result<(), Errno> {
        if !is_page_aligned(addr) || addr > TASK_SIZE || len > TASK_SIZE - addr {
            return Err(Errno::EINVAL);
        }
        let end = addr + page_ceil(len);
        if end == addr {
            return Err(Errno::EINVAL);
        }
        self.with(|state| state.unmap(addr, end))
    }
}

impl State {
    /// Unmaps whatever is mapped in `[start, end)`.
    pub(super) fn unmap(&mut self, start: u64, end: u64) -> Result<(), Errno> {
        let is_middle = self.areas.containing(start).is_some_and(|area| area.start < start && end < area.end);
        if is_middle && self.areas.len() >= self.areas.most() {
            return Err(Errno::ENOMEM);
        }
        let mut is_changed = false;
        while let Some(area) = self.areas.remove_first(start, end) {
            self.usage.remove_area(area.flags, area.pages());
            self.zap(&area, area.start, area.end);
            self.garbage.extend(area.backing);
            is_changed = true;
        }
        if is_changed {
            self.generation += 1;
            self.free_tables_around(start, end);
        }
        Ok(())
    }

    /// Takes out the pages of `[start, end)`, which lies in `area`.
    pub(super) fn zap(&mut self, area: &Vma, start: u64, end: u64) {
        self.usage.mark_high_water();
        let mut gone = [0_u64; 2];
        self.tables.change(start, end, |_, entry| {
            match entry.owner() {
                super::page_table::Owner::Private => gone[0] += 1,
                super::page_table::Owner::Object => gone[1] += 1,
                super::page_table::Owner::Zero => {}
            }
            None
        });
        for (owner, count) in
            [(super::page_table::Owner::Private, gone[0]), (super::page_table::Owner::Object, gone[1])]
        {
            if let Some(counter) = self.rss_counter(owner, area.backing.as_ref()) {
                *counter -= count;
            }
        }
    }

    /// Frees the tables that only `[start, end)`, now unmapped, needed.
    pub(super) fn free_tables_around(&mut self, start: u64, end: u64) {
        let floor = self.areas.below(start).map_or(0, |area| area.end);
        let ceiling = self.areas.at_or_above(start).map_or(u64::MAX, |area| area.start);
        self.tables.free_tables(start, end, floor, ceiling);
    }

    /// Empties the address space.
    pub(super) fn unmap_everything(&mut self) {
        self.generation += 1;
        let areas = self.areas.take_all();
        for area in areas.values() {
            self.usage.remove_area(area.flags, area.pages());
            self.zap(area, area.start, area.end);
        }
        self.tables.free_all_tables();
        self.garbage.extend(areas.into_values().filter_map(|area| area.backing));
    }
}
