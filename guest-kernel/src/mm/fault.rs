//! Page faults: demand zero, file pages, copy on write, stack growth.
//!
//! Owns the decision what an access to an address does. Entry and exit of the trap are the platform's; the signal is the task's.
//! Invariants: a private page with one owner is written in place; a file page is never writable through a private area; pages
//! of a `Backing` are fetched without the lock, and installed only if the areas are still what they were.
//!
//! Fault-around: a read of a file page maps up to 16 neighbours that the object has at hand, as Linux does. On `kvm_pvm` a fault costs
//! 13 µs, so a first write to anonymous memory there fills the untouched rest of its 16-page window too; resident figures are
//! that much larger than on hardware.
//! Source: Linux 6.12 mm/memory.c handle_pte_fault(), do_anonymous_page(), do_fault_around(), do_wp_page(); mm/mmap.c
//! expand_downwards(), acct_stack_growth(); arch/x86/mm/fault.c access_error().

use super::backing::Backing;
use super::layout::{MMAP_MIN_ADDR, TASK_SIZE};
use super::page_table::{Entry, Owner, Rights};
use super::usage::Limits;
use super::vma::{AnonFamily, STACK_GUARD_GAP, VmFlags, Vma};
use super::{Mm, State};
use crate::phys::{Frame, FrameUse, PAGE_SIZE, page_floor};
use crate::platform;
use crate::sched;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use procfs_core::Errno;

/// Bytes that fault-around looks at (Linux `fault_around_bytes`).
const AROUND: u64 = 16 * PAGE_SIZE;

/// What the program tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// Why an access is refused, as the signal tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultError {
    /// `SIGSEGV`, `SEGV_MAPERR`: nothing is mapped.
    NotMapped,
    /// `SIGSEGV`, `SEGV_ACCERR`: the area does not allow it.
    NotAllowed,
    /// `SIGBUS`, `BUS_ADRERR`: past the end of the object.
    PastEnd,
    /// No frame is left.
    OutOfMemory,
}

impl From<FaultError> for Errno {
    fn from(_: FaultError) -> Self {
        Errno::EFAULT
    }
}

/// What one look at the state came to.
enum Step {
    Done,
    /// Pages of an object are needed first.
    Fetch(Fetch),
}

struct Fetch {
    backing: Arc<dyn Backing>,
    generation: u64,
    /// The page that was asked for.
    addr: u64,
    index: u64,
    /// First address and index to map around it, and how many pages.
    around: (u64, u64, u64),
}

/// Pages fetched for a `Fetch`.
struct Fetched {
    page: Frame,
    around: Vec<(u64, Frame)>,
}

impl Mm {
    /// Makes `access` to `addr` possible; success counts as one minor fault of the task (there is nothing slower than memory
    /// here, so no fault is a major one).
    ///
    /// # Errors
    /// What the program is told by a signal.
    pub fn handle_fault(&self, addr: u64, access: Access) -> Result<(), FaultError> {
        if addr >= TASK_SIZE {
            return Err(FaultError::NotMapped);
        }
        let stack_limit = self.stack_limit.load(Relaxed);
        loop {
            let fetch = match self.with(|state| state.fault_step(addr, access, stack_limit, None))? {
                Step::Done => return Ok(()),
                Step::Fetch(fetch) => fetch,
            };
            let page = match fetch.backing.page(fetch.index) {
                Ok(Some(page)) => page,
                Err(Errno::ENOMEM) => return Err(FaultError::OutOfMemory),
                Ok(None) | Err(_) => return Err(FaultError::PastEnd),
            };
            let (first, first_index, count) = fetch.around;
            let around = (0..count)
                .filter(|n| first + n * PAGE_SIZE != fetch.addr)
                .filter_map(|n| Some((first + n * PAGE_SIZE, fetch.backing.cached_page(first_index + n)?)))
                .collect();
            let fetched = Fetched { page, around };
            let step = self.with(|state| {
                // The object may have slept, and somebody else may have changed the areas meanwhile.
                let fetched = (state.generation == fetch.generation).then_some(fetched);
                state.fault_step(addr, access, stack_limit, fetched)
            })?;
            if matches!(step, Step::Done) {
                return Ok(());
            }
        }
    }

    /// Makes every page of `[start, end)` present as far as it can be, writable where the area is private and writable.
    pub(super) fn populate(&self, start: u64, end: u64) {
        let mut addr = start;
        while addr < end {
            let access = {
                let state = self.lock();
                let Some(area) = state.areas.at_or_above(addr) else { return };
                addr = addr.max(area.start);
                if addr >= end {
                    return;
                }
                if !area.flags.is_accessible() {
                    addr = area.end;
                    continue;
                }
                let wants_write = area.flags & (VmFlags::WRITE | VmFlags::SHARED) == VmFlags::WRITE;
                if wants_write { Access::Write } else { Access::Read }
            };
            if self.handle_fault(addr, access).is_err() || sched::is_killed() {
                return;
            }
            sched::cond_resched();
            addr += PAGE_SIZE;
        }
    }
}

impl State {
    fn fault_step(
        &mut self,
        addr: u64,
        access: Access,
        stack_limit: u64,
        fetched: Option<Fetched>,
    ) -> Result<Step, FaultError> {
        let page = page_floor(addr);
        let area = match self.areas.at_or_above(addr) {
            Some(area) if area.start <= addr => area.clone(),
            Some(area) if area.flags.contains(VmFlags::GROWSDOWN) => {
                let start = area.start;
                self.grow_stack(start, page, stack_limit)?;
                self.areas.containing(addr).ok_or(FaultError::NotMapped)?.clone()
            }
            _ => return Err(FaultError::NotMapped),
        };
        let is_allowed = match access {
            Access::Write => area.flags.contains(VmFlags::WRITE),
            Access::Execute => area.flags.contains(VmFlags::EXEC),
            Access::Read => area.flags.is_accessible(),
        };
        if !is_allowed {
            return Err(FaultError::NotAllowed);
        }
        self.make_present(&area, page, access == Access::Write, fetched)
    }

    /// Makes `page` of `area` readable, or writable.
    fn make_present(
        &mut self,
        area: &Vma,
        page: u64,
        is_write: bool,
        fetched: Option<Fetched>,
    ) -> Result<Step, FaultError> {
        let entry = self.tables.get(page);
        if entry.is_empty() {
            return match &area.backing {
                Some(backing) if !backing.is_zero_fill() => self.fault_object(area, backing, page, is_write, fetched),
                _ => self.fault_anonymous(area, page, is_write).map(|()| Step::Done),
            };
        }
        let rights = rights_of(area.flags);
        if !entry.is_present() {
            self.tables.update(page, entry.with_rights(Rights { is_writable: false, ..rights }));
        }
        if is_write && !entry.is_writable() {
            return self.write_present(area, page, entry, rights).map(|()| Step::Done);
        }
        let entry = self.tables.get(page);
        let marked = if is_write { entry.with_dirty() } else { entry.with_accessed() };
        self.tables.update(page, marked);
        Ok(Step::Done)
    }

    fn fault_anonymous(&mut self, area: &Vma, page: u64, is_write: bool) -> Result<(), FaultError> {
        let rights = rights_of(area.flags);
        if !is_write {
            let zero = self.zero_frame()?;
            let rights = Rights { is_writable: false, ..rights };
            return self.tables.map(page, zero, Owner::Zero, rights).map_err(|_| FaultError::OutOfMemory);
        }
        let family = self.family_for(area);
        let frame = Frame::alloc_zeroed().map_err(|_| FaultError::OutOfMemory)?.used_for(FrameUse::Anonymous);
        self.map_private(page, frame, rights)?;
        self.join_family(page, family);
        if platform::is_pvm() {
            self.fill_window(area, page, rights);
        }
        Ok(())
    }

    /// Fills the 16-page window around `page` when nothing else in it has been touched.
    fn fill_window(&mut self, area: &Vma, page: u64, rights: Rights) {
        let start = (page & !(AROUND - 1)).max(area.start);
        let end = ((page & !(AROUND - 1)) + AROUND).min(area.end);
        let mut touched = 0;
        self.tables.for_each(start, end, |_, _| touched += 1);
        if touched != 1 {
            return;
        }
        for other in (start..end).step_by(PAGE_SIZE as usize).filter(|&other| other != page) {
            let Ok(frame) = Frame::alloc_zeroed() else { return };
            let frame = frame.used_for(FrameUse::Anonymous);
            if self.tables.map(other, frame, Owner::Private, rights).is_err() {
                return;
            }
            self.usage.anon_pages += 1;
        }
    }

    fn fault_object(
        &mut self,
        area: &Vma,
        backing: &Arc<dyn Backing>,
        page: u64,
        is_write: bool,
        fetched: Option<Fetched>,
    ) -> Result<Step, FaultError> {
        let is_shared = area.flags.contains(VmFlags::SHARED);
        let Some(fetched) = fetched else {
            let around = if is_write { (page, area.index_of(page), 1) } else { window(area, page) };
            return Ok(Step::Fetch(Fetch {
                backing: backing.clone(),
                generation: self.generation,
                addr: page,
                index: area.index_of(page),
                around,
            }));
        };
        let rights = rights_of(area.flags);
        if is_write && !is_shared {
            let family = self.family_for(area);
            let copy = Frame::alloc().map_err(|_| FaultError::OutOfMemory)?.used_for(FrameUse::Anonymous);
            copy.copy_from(&fetched.page);
            self.map_private(page, copy, rights)?;
            self.join_family(page, family);
            return Ok(Step::Done);
        }
        let rights = Rights { is_writable: rights.is_writable && is_shared, ..rights };
        self.map_object(backing, page, fetched.page, rights)?;
        let entry = self.tables.get(page);
        self.tables.update(page, if is_write { entry.with_dirty() } else { entry.with_accessed() });
        for (addr, frame) in fetched.around {
            if self.tables.get(addr).is_empty() {
                self.map_object(backing, addr, frame, rights)?;
            }
        }
        Ok(Step::Done)
    }

    fn map_object(
        &mut self,
        backing: &Arc<dyn Backing>,
        page: u64,
        frame: Frame,
        rights: Rights,
    ) -> Result<(), FaultError> {
        self.tables.map(page, frame, Owner::Object, rights).map_err(|_| FaultError::OutOfMemory)?;
        if let Some(counter) = self.rss_counter(Owner::Object, Some(backing)) {
            *counter += 1;
        }
        Ok(())
    }

    fn map_private(&mut self, page: u64, frame: Frame, rights: Rights) -> Result<(), FaultError> {
        self.tables.map(page, frame, Owner::Private, rights).map_err(|_| FaultError::OutOfMemory)?;
        self.usage.anon_pages += 1;
        let entry = self.tables.get(page);
        self.tables.update(page, entry.with_dirty());
        Ok(())
    }

    /// A write to a page that is there but not writable.
    fn write_present(&mut self, area: &Vma, page: u64, entry: Entry, rights: Rights) -> Result<(), FaultError> {
        if area.flags.contains(VmFlags::SHARED) {
            self.tables.update(page, self.tables.get(page).with_rights(rights).with_dirty());
            return Ok(());
        }
        self.own_page(area, page, entry, rights)
    }

    /// Makes the page at `page` of a private area this address space's own, with `rights`, and marks it dirty.
    pub(super) fn own_page(&mut self, area: &Vma, page: u64, entry: Entry, rights: Rights) -> Result<(), FaultError> {
        let frame = entry.frame();
        // Two handles: the entry's and the one just taken.
        if entry.owner() == Owner::Private && frame.count() == 2 {
            self.tables.update(page, entry.with_rights(rights).with_dirty());
            return Ok(());
        }
        let family = self.family_for(area);
        let copy = if entry.owner() == Owner::Zero {
            Frame::alloc_zeroed()
        } else {
            Frame::alloc().inspect(|copy| copy.copy_from(&frame))
        }
        .map_err(|_| FaultError::OutOfMemory)?
        .used_for(FrameUse::Anonymous);
        drop(frame);
        self.usage.mark_high_water();
        let old = self.tables.unmap(page);
        if let Some(counter) = self.rss_counter(old.owner(), area.backing.as_ref()) {
            *counter -= 1;
        }
        self.map_private(page, copy, rights)?;
        self.join_family(page, family);
        Ok(())
    }

    fn zero_frame(&mut self) -> Result<Frame, FaultError> {
        if let Some(frame) = &self.zero_frame {
            return Ok(frame.clone());
        }
        let frame = Frame::alloc_zeroed().map_err(|_| FaultError::OutOfMemory)?;
        self.zero_frame = Some(frame.clone());
        Ok(frame)
    }

    /// The family that a first private page of `area` joins; `None` when it has one already.
    pub(super) fn family_for(&mut self, area: &Vma) -> Option<AnonFamily> {
        if area.anon.is_some() {
            return None;
        }
        let usable = |family: Option<AnonFamily>| family.filter(|family| !family.is_forked);
        let above = self
            .areas
            .containing(area.end)
            .filter(|above| Vma::may_share_family(area, above))
            .and_then(|above| usable(above.anon));
        let below = area
            .start
            .checked_sub(1)
            .and_then(|last| self.areas.containing(last))
            .filter(|below| Vma::may_share_family(below, area))
            .and_then(|below| usable(below.anon));
        Some(above.or(below).unwrap_or_else(|| {
            self.next_family += 1;
            AnonFamily { id: self.next_family, is_forked: false }
        }))
    }

    /// Notes that the area of `addr` has private pages now.
    pub(super) fn join_family(&mut self, addr: u64, family: Option<AnonFamily>) {
        if let (Some(family), Some(area)) = (family, self.areas.containing_mut(addr)) {
            area.anon = Some(family);
        }
    }

    /// Extends the stack that starts at `start` down to `new_start`.
    pub(super) fn grow_stack(&mut self, start: u64, new_start: u64, stack_limit: u64) -> Result<(), FaultError> {
        let refused = FaultError::NotMapped;
        let area = self.areas.containing(start).ok_or(refused)?;
        let (flags, end) = (area.flags, area.end);
        let below = self.areas.below(start);
        let has_gap = below.is_none_or(|below| {
            below.flags.contains(VmFlags::GROWSDOWN)
                || !below.flags.is_accessible()
                || new_start >= below.end.saturating_add(STACK_GUARD_GAP)
        });
        let hits = below.is_some_and(|below| below.end > new_start);
        if new_start < MMAP_MIN_ADDR || !has_gap || hits || end - new_start > stack_limit {
            return Err(refused);
        }
        let pages = (start - new_start) / PAGE_SIZE;
        let limits = Limits { stack: stack_limit, ..Limits::NONE };
        if !self.usage.may_expand(flags, pages, &limits) {
            return Err(refused);
        }
        self.generation += 1;
        self.usage.add_area(flags, pages);
        self.areas.extend_down(start, new_start);
        Ok(())
    }
}

/// What entries of an area may allow at most.
pub(super) fn rights_of(flags: VmFlags) -> Rights {
    Rights {
        is_accessible: flags.is_accessible(),
        is_writable: flags.contains(VmFlags::WRITE),
        is_executable: flags.contains(VmFlags::EXEC),
    }
}

/// The window of fault-around for `page`: first address, its index in the object, number of pages.
fn window(area: &Vma, page: u64) -> (u64, u64, u64) {
    let start = (page & !(AROUND - 1)).max(area.start);
    let end = ((page & !(AROUND - 1)) + AROUND).min(area.end);
    (start, area.index_of(start), (end - start) / PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{anon_at, areas, file_at, page_file, shared_at};
    use super::super::{Limits, Mm};
    use super::*;
    use linux_raw_sys::general::{PROT_READ, PROT_WRITE};

    const RW: u32 = PROT_READ | PROT_WRITE;
    const A: u64 = 0x10_0000;
    const P: u64 = PAGE_SIZE;

    #[test]
    fn reading_untouched_memory_costs_no_page_and_writing_does() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 4 * P, RW).unwrap();
        mm.handle_fault(A, Access::Read).unwrap();
        assert_eq!(mm.snapshot().usage.rss_pages(), 0);
        mm.handle_fault(A + 5, Access::Write).unwrap();
        assert_eq!(mm.snapshot().usage.anon_pages, 1);
        let mut bytes = [9; 8];
        mm.copy_in(A, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 8]);
        // Root aside: one table for each of three levels.
        assert_eq!(mm.snapshot().usage.table_bytes, 3 * P);
    }

    #[test]
    fn a_private_file_page_is_copied_when_written() {
        let mm = Mm::new().unwrap();
        let file = page_file(40);
        file_at(&mm, &file, A, 40 * P, 0, RW).unwrap();
        mm.handle_fault(A + 17 * P, Access::Read).unwrap();
        // The window of 16 pages around it came along.
        assert_eq!(mm.snapshot().usage.file_pages, 16);
        assert_eq!(file.frame(17).map_count(), 1);
        mm.copy_out(A + 17 * P, b"mine").unwrap();
        let usage = mm.snapshot().usage;
        assert_eq!((usage.file_pages, usage.anon_pages), (15, 1));
        assert_eq!(file.frame(17).map_count(), 0);
        let mut bytes = [0; 4];
        file.frame(17).read_at(0, &mut bytes);
        assert_eq!(bytes, [17; 4]);
        mm.copy_out(A, b"m").unwrap();
        assert_eq!(mm.snapshot().usage.anon_pages, 2);
    }

    #[test]
    fn a_shared_page_is_the_objects_own() {
        let mm = Mm::new().unwrap();
        let file = page_file(1);
        shared_at(&mm, &file, A, 2 * P, RW, true).unwrap();
        mm.copy_out(A, b"seen").unwrap();
        let mut bytes = [0; 4];
        file.frame(0).read_at(0, &mut bytes);
        assert_eq!(&bytes, b"seen");
        assert_eq!(mm.handle_fault(A + P, Access::Read), Err(FaultError::PastEnd));
    }

    #[test]
    fn nothing_is_mapped_outside_of_areas() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, P, PROT_READ).unwrap();
        assert_eq!(mm.handle_fault(A - 1, Access::Read), Err(FaultError::NotMapped));
        assert_eq!(mm.handle_fault(A + P, Access::Read), Err(FaultError::NotMapped));
        assert_eq!(mm.handle_fault(A, Access::Write), Err(FaultError::NotAllowed));
        assert_eq!(mm.handle_fault(u64::MAX, Access::Read), Err(FaultError::NotMapped));
    }

    #[test]
    fn a_stack_grows_to_its_limit_and_keeps_its_gap() {
        let mm = Mm::new().unwrap();
        let top = 0x7000_0000;
        let limits = Limits { stack: 64 * P, ..Limits::NONE };
        mm.map_stack(top - P, top, false, &limits).unwrap();
        mm.copy_out(top - 10 * P, b"deep").unwrap();
        assert_eq!(areas(&mm), [(top - 10 * P, top, "rw-p".into())]);
        assert_eq!(mm.snapshot().usage.stack_vm, 10);
        mm.copy_out(top - 64 * P, b"x").unwrap();
        assert_eq!(mm.copy_out(top - 65 * P, b"x"), Err(Errno::EFAULT));
        let other = Mm::new().unwrap();
        other.map_stack(top - P, top, false, &Limits::NONE).unwrap();
        anon_at(&other, top - 300 * P, P, RW).unwrap();
        other.copy_out(top - 43 * P, b"x").unwrap();
        assert_eq!(other.copy_out(top - 44 * P, b"x"), Err(Errno::EFAULT));
    }

    #[test]
    fn a_shared_anonymous_area_is_one_object_after_fork() {
        let mm = Mm::new().unwrap();
        let request = super::super::MapRequest {
            addr: 0,
            len: 2 * P,
            prot: RW,
            flags: super::super::testing::MAP_ANON | linux_raw_sys::general::MAP_SHARED,
            source: super::super::Source::Anonymous { inode: 7 },
        };
        let at = mm.mmap(&request, &Limits::NONE).unwrap();
        let child = mm.fork().unwrap();
        child.copy_out(at + P, b"hello").unwrap();
        let mut bytes = [0; 5];
        mm.copy_in(at + P, &mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        assert_eq!(mm.snapshot().usage.shmem_pages, 1);
        let area = mm.next_area(0).unwrap();
        let backing = area.backing.unwrap();
        let object = backing.as_any().downcast_ref::<super::super::SharedAnonymous>().unwrap();
        assert_eq!((object.inode(), object.resident_pages()), (7, 1));
    }

    #[test]
    fn a_window_is_filled_only_while_nothing_else_in_it_is_touched() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A + 4 * P, 40 * P, RW).unwrap();
        let fill = |page| {
            mm.handle_fault(page, Access::Write).unwrap();
            mm.with(|state| {
                let area = state.areas.containing(page).unwrap().clone();
                state.fill_window(&area, page, rights_of(area.flags));
            });
            mm.snapshot().usage.anon_pages
        };
        // The area starts in the middle of the first window.
        assert_eq!(fill(A + 9 * P), 12);
        assert_eq!(fill(A + 16 * P), 28);
        mm.munmap(A + 16 * P, P).unwrap();
        anon_at(&mm, A + 16 * P, P, RW).unwrap();
        assert_eq!(fill(A + 16 * P), 28);
        drop(mm);
    }
}
