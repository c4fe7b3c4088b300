//! `mremap`.
//!
//! Owns shrinking, growing in place and moving of one area's part; pages move by their entries.
//! Source: Linux 6.12 mm/mremap.c sys_mremap(), vma_to_resize(), move_vma(), mremap_to().

use super::layout::TASK_SIZE;
use super::usage::Limits;
use super::vma::{VmFlags, Vma};
use super::{Mm, State};
use crate::phys::{PAGE_SIZE, is_page_aligned, page_ceil};
use linux_raw_sys::general::{MAP_FIXED, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE};
use procfs_core::Errno;

/// The arguments of `mremap(2)`.
#[derive(Clone, Copy, Debug)]
pub struct RemapRequest {
    /// Start of what is mapped now.
    pub addr: u64,
    /// Its length in bytes; 0 duplicates a shared mapping.
    pub old_len: u64,
    /// The length it is to have.
    pub new_len: u64,
    /// `MREMAP_*`.
    pub flags: u32,
    /// Where to, with `MREMAP_FIXED`.
    pub new_addr: u64,
}

impl Mm {
    /// `mremap(2)`; returns the new address.
    ///
    /// # Errors
    /// In this order: `EINVAL` for bad flags, alignment or lengths, or an old and new range that overlap; `EFAULT` where nothing is mapped or
    /// the range leaves its area; `EINVAL` to duplicate a private area; `EAGAIN` over the limit on locked memory; `ENOMEM` from the other
    /// limits or when there is no room and it may not move.
    pub fn mremap(&self, request: &RemapRequest, limits: &Limits) -> Result<u64, Errno> {
        let (addr, is_locked) = self.with(|state| {
            let addr = state.remap(request, limits)?;
            let is_locked = state.areas.containing(addr).is_some_and(|area| area.flags.contains(VmFlags::LOCKED));
            Ok::<_, Errno>((addr, is_locked))
        })?;
        let (old_len, new_len) = (page_ceil(request.old_len), page_ceil(request.new_len));
        if is_locked && new_len > old_len {
            self.populate(addr + old_len, addr + new_len);
        }
        Ok(addr)
    }
}

impl State {
    fn remap(&mut self, request: &RemapRequest, limits: &Limits) -> Result<u64, Errno> {
        let RemapRequest { addr, flags, .. } = *request;
        let is_fixed = flags & MREMAP_FIXED != 0;
        let may_move = flags & MREMAP_MAYMOVE != 0;
        let keeps_old = flags & MREMAP_DONTUNMAP != 0;
        let (old_len, new_len) = (page_ceil(request.old_len), page_ceil(request.new_len));
        let is_bad = flags & !(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP) != 0
            || (is_fixed && !may_move)
            || (keeps_old && (!may_move || old_len != new_len))
            || !is_page_aligned(addr)
            || new_len == 0;
        if is_bad {
            return Err(Errno::EINVAL);
        }
        let area = self.areas.containing(addr).ok_or(Errno::EFAULT)?.clone();
        if is_fixed || keeps_old {
            return self.remap_to(request, old_len, new_len, limits);
        }
        if old_len >= new_len {
            if old_len > new_len {
                let end = addr.checked_add(old_len).filter(|&end| end <= TASK_SIZE).ok_or(Errno::EINVAL)?;
                self.unmap(addr + new_len, end)?;
            }
            return Ok(addr);
        }
        self.check_resize(&area, addr, old_len, new_len, keeps_old, limits)?;
        let grow = new_len - old_len;
        if old_len == area.end - addr && self.has_room_after(&area, grow) {
            return self.extend(&area, grow).map(|()| addr);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        let to = self.unmapped_area(0, new_len, 0, limits)?;
        self.move_area(&area, addr, old_len, to, new_len, false)?;
        Ok(to)
    }

    /// `MREMAP_FIXED` or `MREMAP_DONTUNMAP` (`mremap_to`).
    fn remap_to(
        &mut self,
        request: &RemapRequest,
        mut old_len: u64,
        new_len: u64,
        limits: &Limits,
    ) -> Result<u64, Errno> {
        let RemapRequest { addr, flags, new_addr, .. } = *request;
        let keeps_old = flags & MREMAP_DONTUNMAP != 0;
        if !is_page_aligned(new_addr) || new_len > TASK_SIZE || new_addr > TASK_SIZE - new_len {
            return Err(Errno::EINVAL);
        }
        if addr.saturating_add(old_len) > new_addr && new_addr + new_len > addr {
            return Err(Errno::EINVAL);
        }
        if flags & MREMAP_FIXED != 0 {
            self.unmap(new_addr, new_addr + new_len)?;
        }
        if old_len > new_len {
            let end = addr.checked_add(old_len).filter(|&end| end <= TASK_SIZE).ok_or(Errno::EINVAL)?;
            self.unmap(addr + new_len, end)?;
            old_len = new_len;
        }
        // The unmapping above may have cut the area, or taken it all when there was nothing to move.
        let area = self.areas.containing(addr).cloned().ok_or(Errno::EFAULT)?;
        self.check_resize(&area, addr, old_len, new_len, keeps_old, limits)?;
        if keeps_old && !self.usage.may_expand(area.flags, old_len / PAGE_SIZE, limits) {
            return Err(Errno::ENOMEM);
        }
        let map_flags = if flags & MREMAP_FIXED != 0 { MAP_FIXED } else { 0 };
        let to = self.unmapped_area(new_addr, new_len, map_flags, limits)?;
        self.move_area(&area, addr, old_len, to, new_len, keeps_old)?;
        Ok(to)
    }

    /// `vma_to_resize`.
    fn check_resize(
        &self,
        area: &Vma,
        addr: u64,
        old_len: u64,
        new_len: u64,
        keeps_old: bool,
        limits: &Limits,
    ) -> Result<(), Errno> {
        if old_len == 0 && !area.flags.intersects(VmFlags::SHARED | VmFlags::MAYSHARE) {
            return Err(Errno::EINVAL);
        }
        if keeps_old && area.flags.contains(VmFlags::DONTEXPAND) {
            return Err(Errno::EINVAL);
        }
        if old_len > area.end - addr {
            return Err(Errno::EFAULT);
        }
        if new_len == old_len {
            return Ok(());
        }
        let last = area.index_of(addr).checked_add(new_len / PAGE_SIZE);
        if last.is_none_or(|last| last.checked_mul(PAGE_SIZE).is_none()) {
            return Err(Errno::EINVAL);
        }
        if area.flags.contains(VmFlags::DONTEXPAND) {
            return Err(Errno::EFAULT);
        }
        let more = new_len.saturating_sub(old_len) / PAGE_SIZE;
        if area.flags.contains(VmFlags::LOCKED) && !self.usage.may_lock(more, limits) {
            return Err(Errno::EAGAIN);
        }
        if !self.usage.may_expand(area.flags, more, limits) {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// `vma_expandable`.
    fn has_room_after(&self, area: &Vma, grow: u64) -> bool {
        let Some(end) = area.end.checked_add(grow) else { return false };
        end <= TASK_SIZE && self.areas.overlapping(area.end, end).next().is_none()
    }

    fn extend(&mut self, area: &Vma, grow: u64) -> Result<(), Errno> {
        let mut more = area.clone();
        more.page_offset = area.index_of(area.end);
        more.start = area.end;
        more.end = area.end + grow;
        // As its own continuation it always merges, whatever family it belongs to.
        self.add_area(more);
        Ok(())
    }

    fn move_area(
        &mut self,
        area: &Vma,
        from: u64,
        old_len: u64,
        to: u64,
        new_len: u64,
        keeps_old: bool,
    ) -> Result<(), Errno> {
        let mut moved = area.clone();
        moved.page_offset = area.index_of(from);
        // An anonymous area that nothing has touched takes the offset of its new place, so that it merges there.
        if area.is_anonymous() && area.anon.is_none() {
            moved.page_offset = to / PAGE_SIZE;
        }
        moved.start = to;
        moved.end = to + new_len;
        self.add_area(moved);
        let stop = from + old_len.min(new_len);
        let mut next = self.tables.next_used(from, stop);
        while let Some(at) = next {
            if let Err(error) = self.tables.move_entry(at, to + (at - from)) {
                // Back with what has moved: their tables still exist.
                let mut back = self.tables.next_used(to, to + (at - from));
                while let Some(moved) = back {
                    let _ = self.tables.move_entry(moved, from + (moved - to));
                    back = self.tables.next_used(moved + PAGE_SIZE, to + (at - from));
                }
                self.unmap(to, to + new_len)?;
                return Err(error.into());
            }
            next = self.tables.next_used(at + PAGE_SIZE, stop);
        }
        if keeps_old {
            // What stays behind is empty and not locked.
            if let Some(old) = self.areas.containing(from).cloned() {
                let bits = VmFlags::LOCKED | VmFlags::LOCKONFAULT;
                self.change_flags(&old, from, from + old_len, old.flags - bits)?;
            }
            return Ok(());
        }
        if old_len > 0 {
            self.unmap(from, from + old_len)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{anon_at, areas};
    use super::*;
    use linux_raw_sys::general::{PROT_READ, PROT_WRITE};

    const RW: u32 = PROT_READ | PROT_WRITE;
    const A: u64 = 0x10_0000;
    const P: u64 = PAGE_SIZE;

    fn remap(mm: &Mm, addr: u64, old_len: u64, new_len: u64, flags: u32, new_addr: u64) -> Result<u64, Errno> {
        mm.mremap(&RemapRequest { addr, old_len, new_len, flags, new_addr }, &Limits::NONE)
    }

    #[test]
    fn it_grows_in_place_while_there_is_room_and_moves_after() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 2 * P, RW).unwrap();
        anon_at(&mm, A + 4 * P, P, PROT_READ).unwrap();
        mm.copy_out(A + P, b"data").unwrap();
        assert_eq!(remap(&mm, A, 2 * P, 4 * P, 0, 0), Ok(A));
        assert_eq!(areas(&mm)[0].1, A + 4 * P);
        assert_eq!(remap(&mm, A, 4 * P, 5 * P, 0, 0), Err(Errno::ENOMEM));
        let to = remap(&mm, A, 4 * P, 5 * P, MREMAP_MAYMOVE, 0).unwrap();
        assert_ne!(to, A);
        let mut bytes = [0; 4];
        mm.copy_in(to + P, &mut bytes).unwrap();
        assert_eq!(&bytes, b"data");
        assert!(mm.copy_in(A + P, &mut bytes).is_err());
        let usage = mm.snapshot().usage;
        assert_eq!((usage.anon_pages, usage.total_vm), (1, 6));
        assert_eq!(remap(&mm, to, 5 * P, P, 0, 0), Ok(to));
        assert_eq!(mm.snapshot().usage.anon_pages, 0);
    }

    #[test]
    fn a_fixed_target_replaces_what_is_there() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 2 * P, RW).unwrap();
        anon_at(&mm, A + 8 * P, 4 * P, PROT_READ).unwrap();
        mm.copy_out(A, b"x").unwrap();
        let flags = MREMAP_MAYMOVE | MREMAP_FIXED;
        assert_eq!(remap(&mm, A, 2 * P, 2 * P, flags, A + 9 * P), Ok(A + 9 * P));
        assert_eq!(mm.read_value::<u8>(A + 9 * P), Ok(b'x'));
        assert_eq!(areas(&mm).len(), 3);
        assert_eq!(remap(&mm, A + 9 * P, 2 * P, 2 * P, flags, A + 10 * P), Err(Errno::EINVAL));
        assert_eq!(remap(&mm, A + 9 * P, 2 * P, 2 * P, MREMAP_FIXED, A), Err(Errno::EINVAL));
    }

    #[test]
    fn dontunmap_leaves_an_empty_area_behind() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, P, RW).unwrap();
        mm.copy_out(A, b"x").unwrap();
        let to = remap(&mm, A, P, P, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0).unwrap();
        assert_eq!((mm.read_value::<u8>(A), mm.read_value::<u8>(to)), (Ok(0), Ok(b'x')));
    }

    #[test]
    fn errors_come_in_the_order_of_linux() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 2 * P, RW).unwrap();
        assert_eq!(remap(&mm, A + 1, P, P, 0, 0), Err(Errno::EINVAL));
        assert_eq!(remap(&mm, A, P, 0, 0, 0), Err(Errno::EINVAL));
        assert_eq!(remap(&mm, A, P, P, 64, 0), Err(Errno::EINVAL));
        assert_eq!(remap(&mm, A - P, P, P, 0, 0), Err(Errno::EFAULT));
        assert_eq!(remap(&mm, A, 3 * P, 4 * P, MREMAP_MAYMOVE, 0), Err(Errno::EFAULT));
        assert_eq!(remap(&mm, A, 0, P, MREMAP_MAYMOVE, 0), Err(Errno::EINVAL));
    }
}
