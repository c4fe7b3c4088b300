//! The copy of an address space.
//!
//! Owns which areas and pages a child gets. Pages are shared read-only until one side writes; areas without private pages are not
//! copied but faulted in again, as Linux does.
//! Source: Linux 6.12 kernel/fork.c dup_mmap(), mm/memory.c vma_needs_copy(), copy_present_pte(); mm/rmap.c anon_vma_fork().

use super::vma::{AnonFamily, VmFlags};
use super::{Mm, MmUser, State};
use core::sync::atomic::Ordering::Relaxed;
use procfs_core::Errno;

impl Mm {
    /// A copy with one user.
    ///
    /// # Errors
    /// `ENOMEM`; the parent is as it was, but for pages that wait for a write fault.
    pub fn fork(&self) -> Result<MmUser, Errno> {
        let child = self.with(State::fork)?;
        Ok(Self::from_state(child, self.stack_limit.load(Relaxed)))
    }
}

impl State {
    fn fork(&mut self) -> Result<Self, Errno> {
        let mut child = Self::new()?;
        child.layout = self.layout;
        child.areas.obey(self.areas.shared_most());
        child.dumpable = self.dumpable;
        child.dump_filter = self.dump_filter;
        child.auxv = self.auxv.clone();
        child.exe = self.exe.clone();
        child.zero_frame = self.zero_frame.clone();
        child.next_family = self.next_family;
        if let Err(error) = self.copy_areas(&mut child) {
            child.unmap_everything();
            return Err(error);
        }
        Ok(child)
    }

    fn copy_areas(&mut self, child: &mut Self) -> Result<(), Errno> {
        for area in self.areas.iter().filter(|area| !area.flags.contains(VmFlags::DONTCOPY)) {
            let mut copy = area.clone();
            copy.flags -= VmFlags::LOCKED | VmFlags::LOCKONFAULT;
            let is_wiped = area.flags.contains(VmFlags::WIPEONFORK);
            copy.anon = match area.anon {
                Some(family) if !is_wiped => Some(AnonFamily { is_forked: true, ..family }),
                _ => None,
            };
            let (start, end) = (copy.start, copy.end);
            let backing = copy.backing.clone();
            child.usage.add_area(copy.flags, copy.pages());
            child.areas.insert_apart(copy);
            if is_wiped || area.anon.is_none() {
                continue;
            }
            let is_private = !area.flags.contains(VmFlags::SHARED);
            let mut result = Ok(());
            self.tables.change(start, end, |addr, entry| {
                let shared = if is_private { entry.without_write() } else { entry };
                if result.is_ok() {
                    result = child.tables.share(addr, shared);
                    if let (Ok(()), Some(counter)) = (result, child.rss_counter(entry.owner(), backing.as_ref())) {
                        *counter += 1;
                    }
                }
                Some(shared)
            });
            result?;
        }
        debug_assert!(child.usage.rss_pages() <= self.usage.rss_pages());
        child.usage.hiwater_rss = child.usage.rss_pages();
        child.usage.hiwater_vm = child.usage.total_vm;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{anon_at, areas, file_at, page_file};
    use super::super::{Access, Limits, Mm, MmUser};
    use crate::phys::PAGE_SIZE;
    use linux_raw_sys::general::{MADV_DONTFORK, MADV_WIPEONFORK, PROT_READ, PROT_WRITE};

    const RW: u32 = PROT_READ | PROT_WRITE;
    const A: u64 = 0x10_0000;
    const P: u64 = PAGE_SIZE;

    fn byte(mm: &Mm, addr: u64) -> u8 {
        mm.read_value(addr).unwrap()
    }

    #[test]
    fn parent_and_child_see_their_own_writes_only() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 2 * P, RW).unwrap();
        mm.copy_out(A, b"p").unwrap();
        let child = mm.fork().unwrap();
        assert_eq!(child.snapshot().usage.anon_pages, 1);
        let frame = mm.frame_at(A, Access::Read).unwrap().0;
        assert_eq!((frame.count(), frame.map_count()), (3, 2));
        drop(frame);
        child.copy_out(A, b"c").unwrap();
        assert_eq!((byte(&mm, A), byte(&child, A)), (b'p', b'c'));
        // The parent is alone with its page again and keeps it.
        let before = mm.frame_at(A, Access::Read).unwrap().0.pfn();
        mm.copy_out(A, b"q").unwrap();
        assert_eq!(mm.frame_at(A, Access::Read).unwrap().0.pfn(), before);
        assert_eq!((byte(&mm, A), byte(&child, A)), (b'q', b'c'));
    }

    #[test]
    fn advice_keeps_areas_from_the_child_or_wipes_them() {
        let mm = Mm::new().unwrap();
        for at in [A, A + 2 * P, A + 4 * P] {
            anon_at(&mm, at, P, RW).unwrap();
            mm.copy_out(at, b"x").unwrap();
        }
        mm.madvise(A, P, MADV_DONTFORK).unwrap();
        mm.madvise(A + 2 * P, P, MADV_WIPEONFORK).unwrap();
        let child = mm.fork().unwrap();
        assert_eq!(areas(&child).len(), 2);
        assert_eq!((byte(&child, A + 2 * P), byte(&child, A + 4 * P)), (0, b'x'));
        assert_eq!(child.snapshot().usage.total_vm, 2);
    }

    #[test]
    fn clean_file_pages_are_left_to_faults() {
        let mm = Mm::new().unwrap();
        let file = page_file(3);
        file_at(&mm, &file, A, 3 * P, 0, PROT_READ).unwrap();
        mm.handle_fault(A, Access::Read).unwrap();
        let child = mm.fork().unwrap();
        assert_eq!((mm.snapshot().usage.file_pages, child.snapshot().usage.rss_pages()), (3, 0));
        assert_eq!(byte(&child, A + P), 1);
    }

    #[test]
    fn a_childs_heap_grows_as_an_area_of_its_own() {
        let mm = Mm::new().unwrap();
        mm.update_layout(|layout| (layout.start_brk, layout.brk) = (A, A));
        assert_eq!(mm.brk(A + P, &Limits::NONE), A + P);
        mm.copy_out(A, b"x").unwrap();
        let child = mm.fork().unwrap();
        assert_eq!(child.brk(A + 3 * P, &Limits::NONE), A + 3 * P);
        assert_eq!(areas(&child).len(), 2);
        assert_eq!(mm.brk(A + 3 * P, &Limits::NONE), A + 3 * P);
        assert_eq!(areas(&mm).len(), 1);
    }

    #[test]
    fn the_last_user_takes_the_mappings_along() {
        let user = Mm::new().unwrap();
        let file = page_file(1);
        file_at(&user, &file, A, P, 0, PROT_READ).unwrap();
        user.handle_fault(A, Access::Read).unwrap();
        user.set_exe(Some(file.clone()));
        let mm = user.mm().clone();
        let second = MmUser::try_from_mm(&mm).unwrap();
        drop(user);
        assert_eq!((mm.user_count(), file.frame(0).map_count()), (1, 1));
        drop(second);
        assert!(MmUser::try_from_mm(&mm).is_none());
        assert!(mm.next_area(0).is_none() && mm.exe().is_none());
        assert_eq!((file.frame(0).count(), file.frame(0).map_count()), (1, 0));
        let usage = mm.snapshot().usage;
        assert_eq!((usage.total_vm, usage.rss_pages(), usage.table_bytes), (0, 0, 0));
        assert_eq!(alloc::sync::Arc::strong_count(&file), 1);
    }

    #[test]
    fn many_address_spaces_in_turn_leave_no_frame_behind() {
        // The test RAM has 16384 frames; each turn uses more than 40.
        for turn in 0..500_u64 {
            let mm = Mm::new().unwrap();
            anon_at(&mm, A + turn * (1 << 30), 16 * P, RW).unwrap();
            mm.copy_out(A + turn * (1 << 30), &[1; 16 * 4096]).unwrap();
            let child = mm.fork().unwrap();
            child.copy_out(A + turn * (1 << 30), &[2; 16 * 4096]).unwrap();
            assert_eq!(child.snapshot().usage.table_bytes, 3 * P);
            child.munmap(A + turn * (1 << 30), 16 * P).unwrap();
            assert_eq!(child.snapshot().usage.table_bytes, 0);
        }
    }
}
