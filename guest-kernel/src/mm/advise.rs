//! `madvise` and the names of anonymous areas.
//!
//! Owns what advice changes: flags, or the pages themselves. Advice about huge pages and reading ahead is accepted and noted only.
//! Source: Linux 6.12 mm/madvise.c do_madvise(), madvise_vma_behavior(), madvise_dontneed_free(), prctl_set_vma().

use super::page_table::Owner;
use super::vma::{VmFlags, Vma};
use super::{Access, Mm, State};
use crate::phys::{PAGE_SIZE, is_page_aligned, page_ceil};
use alloc::sync::Arc;
use linux_raw_sys::general::{
    MADV_COLD, MADV_DODUMP, MADV_DOFORK, MADV_DONTDUMP, MADV_DONTFORK, MADV_DONTNEED, MADV_DONTNEED_LOCKED, MADV_FREE,
    MADV_HUGEPAGE, MADV_KEEPONFORK, MADV_NOHUGEPAGE, MADV_NORMAL, MADV_PAGEOUT, MADV_POPULATE_READ,
    MADV_POPULATE_WRITE, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_WIPEONFORK,
};
use procfs_core::Errno;

impl Mm {
    /// `madvise(2)`.
    ///
    /// # Errors
    /// In this order: `EINVAL` for unknown advice or an unaligned `addr`, or a range that wraps; then for each area what the advice refuses
    /// (`EINVAL`; `EFAULT` or `ENOMEM` when populating); `ENOMEM` at the end if parts were not mapped.
    pub fn madvise(&self, addr: u64, len: u64, advice: u32) -> Result<(), Errno> {
        if !is_known(advice) || !is_page_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        let rounded = page_ceil(len);
        if len != 0 && rounded == 0 {
            return Err(Errno::EINVAL);
        }
        let end = addr.checked_add(rounded).ok_or(Errno::EINVAL)?;
        if end == addr {
            return Ok(());
        }
        match advice {
            MADV_POPULATE_READ => self.populate_checked(addr, end, Access::Read),
            MADV_POPULATE_WRITE => self.populate_checked(addr, end, Access::Write),
            _ => self.with(|state| state.advise(addr, end, advice)),
        }
    }

    fn populate_checked(&self, start: u64, end: u64, access: Access) -> Result<(), Errno> {
        let mut at = start;
        while at < end {
            let flags = self.lock().areas.containing(at).map(|area| area.flags).ok_or(Errno::ENOMEM)?;
            let needed = if access == Access::Write { VmFlags::WRITE } else { VmFlags::READ };
            if !flags.contains(needed) {
                return Err(Errno::EINVAL);
            }
            self.handle_fault(at, access)?;
            at += PAGE_SIZE;
        }
        Ok(())
    }

    /// `prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME)`: names the anonymous areas of a range, or takes their names away.
    ///
    /// # Errors
    /// `EINVAL` for an unaligned `addr`; `ENOMEM` for a range that wraps or has holes; `EBADF` for a file's area.
    pub fn name_areas(&self, addr: u64, len: u64, name: Option<&[u8]>) -> Result<(), Errno> {
        if !is_page_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        let end = addr.checked_add(page_ceil(len)).filter(|&end| end > addr || len == 0).ok_or(Errno::ENOMEM)?;
        let name: Option<Arc<[u8]>> = name.map(Arc::from);
        self.with(|state| {
            state.for_areas(addr, end, |state, area, start, stop| {
                if !area.is_anonymous() {
                    return Err(Errno::EBADF);
                }
                state.generation += 1;
                state.areas.modify(start, stop, |piece| piece.name.clone_from(&name));
                Ok(())
            })
        })
    }
}

impl State {
    /// Calls `work` with each area's part of `[start, end)`.
    ///
    /// # Errors
    /// `work`'s first; `ENOMEM` after all if parts were not mapped.
    fn for_areas(
        &mut self,
        start: u64,
        end: u64,
        mut work: impl FnMut(&mut Self, &Vma, u64, u64) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut at = start;
        let mut has_holes = false;
        while at < end {
            let Some(area) = self.areas.at_or_above(at).filter(|area| area.start < end).cloned() else {
                return Err(Errno::ENOMEM);
            };
            has_holes |= area.start > at;
            let (from, to) = (at.max(area.start), area.end.min(end));
            work(self, &area, from, to)?;
            at = to;
        }
        if has_holes { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    fn advise(&mut self, start: u64, end: u64, advice: u32) -> Result<(), Errno> {
        self.for_areas(start, end, |state, area, from, to| state.advise_area(area, from, to, advice))
    }

    fn advise_area(&mut self, area: &Vma, start: u64, end: u64, advice: u32) -> Result<(), Errno> {
        let old = area.flags;
        let order = VmFlags::SEQ_READ | VmFlags::RAND_READ;
        let huge = VmFlags::HUGEPAGE | VmFlags::NOHUGEPAGE;
        let flags = match advice {
            MADV_NORMAL => old - order,
            MADV_SEQUENTIAL => (old - order) | VmFlags::SEQ_READ,
            MADV_RANDOM => (old - order) | VmFlags::RAND_READ,
            MADV_DONTFORK => old | VmFlags::DONTCOPY,
            MADV_DOFORK => old - VmFlags::DONTCOPY,
            MADV_WIPEONFORK if !area.is_anonymous() || old.contains(VmFlags::SHARED) => return Err(Errno::EINVAL),
            MADV_WIPEONFORK => old | VmFlags::WIPEONFORK,
            MADV_KEEPONFORK => old - VmFlags::WIPEONFORK,
            MADV_DONTDUMP => old | VmFlags::DONTDUMP,
            MADV_DODUMP => old - VmFlags::DONTDUMP,
            MADV_HUGEPAGE => (old - huge) | VmFlags::HUGEPAGE,
            MADV_NOHUGEPAGE => (old - huge) | VmFlags::NOHUGEPAGE,
            MADV_DONTNEED if old.contains(VmFlags::LOCKED) => return Err(Errno::EINVAL),
            MADV_DONTNEED | MADV_DONTNEED_LOCKED => {
                self.zap(area, start, end);
                return Ok(());
            }
            MADV_FREE => return self.free_lazily(area, start, end),
            MADV_COLD | MADV_PAGEOUT if old.contains(VmFlags::LOCKED) => return Err(Errno::EINVAL),
            // MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT: there is no storage to read ahead from or write to.
            _ => return Ok(()),
        };
        if self.areas.len() + self.areas.cuts(start, end) > self.areas.most() {
            return Err(Errno::ENOMEM);
        }
        self.change_flags(area, start, end, flags)
    }

    /// `MADV_FREE`: the pages may go at any time, so they go now, as Linux does under memory pressure.
    fn free_lazily(&mut self, area: &Vma, start: u64, end: u64) -> Result<(), Errno> {
        if area.backing.as_ref().is_some_and(|backing| !backing.is_zero_fill()) {
            return Err(Errno::EINVAL);
        }
        let mut gone = 0;
        self.usage.mark_high_water();
        self.tables.change(start, end, |_, entry| {
            if entry.owner() == Owner::Private {
                gone += 1;
                None
            } else {
                Some(entry)
            }
        });
        self.usage.anon_pages -= gone;
        Ok(())
    }
}

fn is_known(advice: u32) -> bool {
    matches!(
        advice,
        MADV_NORMAL
            | MADV_RANDOM
            | MADV_SEQUENTIAL
            | MADV_WILLNEED
            | MADV_DONTNEED
            | MADV_DONTNEED_LOCKED
            | MADV_FREE
            | MADV_DONTFORK
            | MADV_DOFORK
            | MADV_HUGEPAGE
            | MADV_NOHUGEPAGE
            | MADV_DONTDUMP
            | MADV_DODUMP
            | MADV_WIPEONFORK
            | MADV_KEEPONFORK
            | MADV_COLD
            | MADV_PAGEOUT
            | MADV_POPULATE_READ
            | MADV_POPULATE_WRITE
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{anon_at, areas, file_at, page_file};
    use super::super::{Limits, Mm};
    use super::*;
    use linux_raw_sys::general::{MS_ASYNC, MS_SYNC, PROT_READ, PROT_WRITE};

    const RW: u32 = PROT_READ | PROT_WRITE;
    const A: u64 = 0x10_0000;
    const P: u64 = PAGE_SIZE;

    #[test]
    fn pages_not_needed_come_back_as_they_were_at_first() {
        let mm = Mm::new().unwrap();
        let file = page_file(2);
        anon_at(&mm, A, P, RW).unwrap();
        file_at(&mm, &file, A + P, P, P, RW).unwrap();
        mm.copy_out(A, b"x").unwrap();
        mm.copy_out(A + P, b"x").unwrap();
        mm.madvise(A, 2 * P, MADV_DONTNEED).unwrap();
        assert_eq!(mm.snapshot().usage.rss_pages(), 0);
        assert_eq!(mm.snapshot().usage.peak_rss_pages(), 2);
        assert_eq!((mm.read_value::<u8>(A), mm.read_value::<u8>(A + P)), (Ok(0), Ok(1)));
    }

    #[test]
    fn holes_are_told_after_the_work_is_done() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, P, RW).unwrap();
        anon_at(&mm, A + 2 * P, P, RW).unwrap();
        mm.copy_out(A + 2 * P, b"x").unwrap();
        assert_eq!(mm.madvise(A, 3 * P, MADV_DONTNEED), Err(Errno::ENOMEM));
        assert_eq!(mm.snapshot().usage.anon_pages, 0);
        assert_eq!(mm.madvise(A, P, 9999), Err(Errno::EINVAL));
        assert_eq!(mm.madvise(A + 1, P, MADV_NORMAL), Err(Errno::EINVAL));
        assert_eq!(mm.madvise(A, 3 * P, MADV_HUGEPAGE), Err(Errno::ENOMEM));
        assert_eq!(mm.madvise(A + P, 0, MADV_NORMAL), Ok(()));
    }

    #[test]
    fn names_split_and_join_areas() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 2 * P, RW).unwrap();
        mm.name_areas(A, P, Some(b"arena")).unwrap();
        assert_eq!(areas(&mm).len(), 2);
        assert_eq!(mm.next_area(A).unwrap().name.as_deref(), Some(&b"arena"[..]));
        mm.name_areas(A, P, None).unwrap();
        assert_eq!(areas(&mm).len(), 1);
    }

    #[test]
    fn locking_counts_and_fills() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 4 * P, RW).unwrap();
        let limits = Limits { locked: 2 * P, may_lock_all: false, ..Limits::NONE };
        assert_eq!(mm.mlock(A, 4 * P, 0, &limits), Err(Errno::ENOMEM));
        mm.mlock(A + 10, P, 0, &limits).unwrap();
        let usage = mm.snapshot().usage;
        assert_eq!((usage.locked_vm, usage.anon_pages), (2, 2));
        assert_eq!(mm.madvise(A, P, MADV_DONTNEED), Err(Errno::EINVAL));
        mm.munlock(A, 4 * P).unwrap();
        // A touched area does not take an untouched one in (until Linux 6.16).
        assert_eq!((mm.snapshot().usage.locked_vm, areas(&mm).len()), (0, 2));
        assert_eq!(mm.msync(A, 4 * P, MS_SYNC), Ok(()));
        assert_eq!(mm.msync(A, 4 * P, MS_SYNC | MS_ASYNC), Err(Errno::EINVAL));
        assert_eq!(mm.msync(A, 5 * P, MS_SYNC), Err(Errno::ENOMEM));
        assert_eq!(mm.mincore(A, 4).unwrap(), [1, 1, 0, 0]);
    }
}
