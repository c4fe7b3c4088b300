//! `brk` and the zero-filled areas that `exec` makes for `.bss`.
//!
//! Owns the heap's two ends. Source: Linux 6.12 mm/mmap.c brk, do_brk_flags(), vm_brk_flags(); include/linux/mm.h check_data_rlimit().

use super::usage::Limits;
use super::vma::{VmFlags, Vma};
use super::{Mm, State};
use crate::phys::{PAGE_SIZE, page_ceil, ram_stats};
use linux_raw_sys::general::MAP_FIXED;
use procfs_core::Errno;

impl Mm {
    /// `brk(2)`: moves the heap's end to `end` if it can; returns where it is now.
    pub fn brk(&self, end: u64, limits: &Limits) -> u64 {
        let (now, populate) = self.with(|state| {
            let old = page_ceil(state.layout.brk);
            let moved = state.set_brk(end, limits).is_ok();
            let is_locked = state.default_flags.contains(VmFlags::LOCKED);
            (state.layout.brk, (moved && is_locked).then_some(old))
        });
        if let Some(old) = populate {
            self.populate(old, page_ceil(now));
        }
        now
    }

    /// Maps zeros at `[start, start + len)` for a program's `.bss`, executable if `is_executable` (`vm_brk_flags`).
    ///
    /// # Errors
    /// `EINVAL`, `EPERM` and `ENOMEM` as for a fixed `mmap`; `ENOMEM` from the limits.
    pub fn map_bss(&self, start: u64, len: u64, is_executable: bool, limits: &Limits) -> Result<(), Errno> {
        let len = if len == 0 { 0 } else { page_ceil(len) };
        if len == 0 {
            return Ok(());
        }
        let mut extra = VmFlags::empty();
        extra.set(VmFlags::EXEC, is_executable);
        self.with(|state| {
            state.unmapped_area(start, len, MAP_FIXED, limits)?;
            state.unmap(start, start + len)?;
            state.add_heap(start, len, extra, limits)
        })
    }
}

impl Mm {
    /// Maps a new program's stack at `[start, end)`; faults extend it downwards up to `limits.stack`.
    ///
    /// # Errors
    /// `ENOMEM` from the limits or when something is mapped there already.
    pub fn map_stack(&self, start: u64, end: u64, is_executable: bool, limits: &Limits) -> Result<(), Errno> {
        let mut flags = VmFlags::GROWSDOWN | VmFlags::READ | VmFlags::WRITE | VmFlags::MAY_ACCESS | VmFlags::ACCOUNT;
        flags.set(VmFlags::EXEC, is_executable);
        self.set_stack_limit(limits.stack);
        self.with(|state| {
            let is_free = state.areas.overlapping(start, end).next().is_none();
            if !is_free || !state.usage.may_expand(flags, (end - start) / PAGE_SIZE, limits) {
                return Err(Errno::ENOMEM);
            }
            state.add_area(Vma::anonymous(start, end, flags | state.default_flags));
            Ok(())
        })
    }
}

impl State {
    fn set_brk(&mut self, end: u64, limits: &Limits) -> Result<(), Errno> {
        let layout = self.layout;
        if end < layout.start_brk {
            return Err(Errno::EINVAL);
        }
        let data = (end - layout.start_brk).checked_add(layout.end_data.saturating_sub(layout.start_data));
        if limits.data != u64::MAX && data.is_none_or(|data| data > limits.data) {
            return Err(Errno::ENOMEM);
        }
        let (old_end, new_end) = (page_ceil(layout.brk), page_ceil(end));
        if end <= layout.brk && new_end < old_end {
            // Something else may have been mapped over the heap; then it stays as it is.
            let is_there = self.areas.at_or_above(new_end).is_some_and(|area| area.start < old_end);
            if !is_there {
                return Err(Errno::EINVAL);
            }
            self.unmap(new_end, old_end)?;
        } else if new_end != old_end {
            if new_end < old_end {
                return Err(Errno::ENOMEM);
            }
            self.unmapped_area(old_end, new_end - old_end, MAP_FIXED, limits)?;
            let room = new_end.saturating_add(PAGE_SIZE);
            // The first area that ends past the new end must start above it, guard gap included.
            if self.areas.at_or_above(old_end).is_some_and(|next| room > next.start_with_gap()) {
                return Err(Errno::ENOMEM);
            }
            self.add_heap(old_end, new_end - old_end, VmFlags::empty(), limits)?;
        }
        self.layout.brk = end;
        Ok(())
    }

    fn add_heap(&mut self, start: u64, len: u64, extra: VmFlags, limits: &Limits) -> Result<(), Errno> {
        let flags =
            VmFlags::READ | VmFlags::WRITE | VmFlags::MAY_ACCESS | VmFlags::ACCOUNT | self.default_flags | extra;
        let pages = len / PAGE_SIZE;
        if flags.contains(VmFlags::LOCKED) && !self.usage.may_lock(pages, limits) {
            return Err(Errno::EAGAIN);
        }
        let is_too_much = !self.usage.may_expand(flags, pages, limits)
            || self.areas.len() > self.areas.most()
            || pages > ram_stats().total_pages;
        if is_too_much {
            return Err(Errno::ENOMEM);
        }
        self.add_area(Vma::anonymous(start, start + len, flags));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{anon_at, areas};
    use super::*;
    use linux_raw_sys::general::PROT_READ;

    const A: u64 = 0x10_0000;
    const P: u64 = PAGE_SIZE;

    #[test]
    fn the_heap_grows_shrinks_and_never_below_its_start() {
        let mm = Mm::new().unwrap();
        mm.update_layout(|layout| (layout.start_brk, layout.brk) = (A + 8, A + 8));
        assert_eq!(mm.brk(0, &Limits::NONE), A + 8);
        assert_eq!(mm.brk(A + 100, &Limits::NONE), A + 100);
        assert!(areas(&mm).is_empty());
        assert_eq!(mm.brk(A + 3 * P + 1, &Limits::NONE), A + 3 * P + 1);
        assert_eq!(areas(&mm), [(A + P, A + 4 * P, "rw-p".into())]);
        assert!(mm.next_area(0).unwrap().is_heap);
        mm.copy_out(A + 2 * P, b"gone").unwrap();
        assert_eq!(mm.brk(A + P + 1, &Limits::NONE), A + P + 1);
        assert_eq!(mm.brk(A + 4 * P, &Limits::NONE), A + 4 * P);
        assert_eq!(mm.read_value::<u32>(A + 2 * P), Ok(0));
        let limits = Limits { data: 4 * P, ..Limits::NONE };
        assert_eq!(mm.brk(A + 6 * P, &limits), A + 4 * P);
    }

    #[test]
    fn the_heap_stops_before_its_neighbour() {
        let mm = Mm::new().unwrap();
        mm.update_layout(|layout| (layout.start_brk, layout.brk) = (A, A));
        anon_at(&mm, A + 4 * P, P, PROT_READ).unwrap();
        assert_eq!(mm.brk(A + 3 * P, &Limits::NONE), A + 3 * P);
        assert_eq!(mm.brk(A + 4 * P, &Limits::NONE), A + 3 * P);
        assert_eq!(mm.brk(A + 9 * P, &Limits::NONE), A + 3 * P);
    }
}
