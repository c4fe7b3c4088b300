//! `mprotect`.
//!
//! Owns the change of rights of areas and of the entries below them. A page of an area without access stays where it is.
//! Source: Linux 6.12 mm/mprotect.c do_mprotect_pkey(), mprotect_fixup(), change_pte_range().

use super::fault::rights_of;
use super::page_table::{Owner, Rights};
use super::usage::Limits;
use super::vma::{VmFlags, Vma};
use super::{Mm, State};
use crate::phys::{PAGE_SIZE, is_page_aligned, page_ceil};
use linux_raw_sys::general::{PROT_EXEC, PROT_GROWSDOWN, PROT_GROWSUP, PROT_READ, PROT_SEM, PROT_WRITE};
use procfs_core::Errno;

impl Mm {
    /// `mprotect(2)`.
    ///
    /// # Errors
    /// In this order: `EINVAL` for both `PROT_GROWS*` bits or an unaligned `addr`; `ENOMEM` for a range that wraps; `EINVAL` for an unknown
    /// bit; `ENOMEM` where nothing is mapped; `EACCES` for a right that the mapping never had; `ENOMEM` from the limits. Areas before the
    /// one that failed have been changed.
    pub fn mprotect(&self, addr: u64, len: u64, prot: u32, limits: &Limits) -> Result<(), Errno> {
        let grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
        let prot = prot & !(PROT_GROWSDOWN | PROT_GROWSUP);
        if grows == PROT_GROWSDOWN | PROT_GROWSUP || !is_page_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let end = addr.wrapping_add(page_ceil(len));
        if end <= addr {
            return Err(Errno::ENOMEM);
        }
        if prot & !(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM) != 0 {
            return Err(Errno::EINVAL);
        }
        self.with(|state| state.protect(addr, end, VmFlags::from_prot(prot), grows, limits))
    }
}

impl State {
    fn protect(&mut self, mut start: u64, end: u64, access: VmFlags, grows: u32, limits: &Limits) -> Result<(), Errno> {
        let first = self.areas.at_or_above(start).ok_or(Errno::ENOMEM)?;
        if grows == PROT_GROWSDOWN {
            if first.start >= end {
                return Err(Errno::ENOMEM);
            }
            start = first.start;
            if !first.flags.contains(VmFlags::GROWSDOWN) {
                return Err(Errno::EINVAL);
            }
        } else if first.start > start {
            return Err(Errno::ENOMEM);
        } else if grows == PROT_GROWSUP {
            // No area grows upwards on x86.
            return Err(Errno::EINVAL);
        }
        let mut at = start;
        while at < end {
            let area = self.areas.containing(at).ok_or(Errno::ENOMEM)?.clone();
            let flags = area.flags.difference(VmFlags::ACCESS) | access;
            let granted = VmFlags::from_bits_truncate(flags.bits() >> 4) & VmFlags::ACCESS;
            if !(flags & VmFlags::ACCESS).difference(granted).is_empty() {
                return Err(Errno::EACCES);
            }
            let stop = area.end.min(end);
            self.protect_area(&area, at, stop, flags, limits)?;
            at = stop;
        }
        Ok(())
    }

    fn protect_area(
        &mut self,
        area: &Vma,
        start: u64,
        end: u64,
        mut flags: VmFlags,
        limits: &Limits,
    ) -> Result<(), Errno> {
        if flags == area.flags {
            return Ok(());
        }
        let pages = (end - start) / PAGE_SIZE;
        if flags.contains(VmFlags::WRITE) {
            if !self.usage.may_expand(flags, pages, limits) && self.usage.may_expand(area.flags, pages, limits) {
                return Err(Errno::ENOMEM);
            }
            let exempt = VmFlags::ACCOUNT | VmFlags::WRITE | VmFlags::SHARED | VmFlags::NORESERVE;
            if !area.flags.intersects(exempt) {
                flags |= VmFlags::ACCOUNT;
            }
        } else if area.flags.contains(VmFlags::ACCOUNT) && area.is_anonymous() && area.anon.is_none() {
            flags -= VmFlags::ACCOUNT;
        }
        self.change_flags(area, start, end, flags)?;
        self.change_rights(start, end, flags);
        Ok(())
    }

    /// Gives `[start, end)` of `area` new flags, splitting and joining, and counts the difference.
    pub(super) fn change_flags(&mut self, area: &Vma, start: u64, end: u64, flags: VmFlags) -> Result<(), Errno> {
        if flags == area.flags {
            return Ok(());
        }
        if self.areas.len() + self.areas.cuts(start, end) > self.areas.most() {
            return Err(Errno::ENOMEM);
        }
        let pages = (end - start) / PAGE_SIZE;
        self.generation += 1;
        self.areas.modify(start, end, |piece| piece.flags = flags);
        self.usage.remove_area(area.flags, pages);
        self.usage.add_area(flags, pages);
        Ok(())
    }

    /// Brings the entries of `[start, end)` in line with `flags`. Private pages that are dirty and have one owner become writable at
    /// once, since nothing has to be copied; all others wait for a fault.
    fn change_rights(&mut self, start: u64, end: u64, flags: VmFlags) {
        let rights = rights_of(flags);
        let is_shared = flags.contains(VmFlags::SHARED);
        self.tables.change(start, end, |_, entry| {
            let is_own = entry.owner() == Owner::Private && entry.frame().count() == 2;
            let is_writable = rights.is_writable && (is_shared || (is_own && entry.is_dirty()));
            Some(entry.with_rights(Rights { is_writable, ..rights }))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{anon_at, areas};
    use super::super::{Access, FaultError, Limits, Mm};
    use super::*;

    const RW: u32 = PROT_READ | PROT_WRITE;
    const A: u64 = 0x10_0000;
    const P: u64 = PAGE_SIZE;

    #[test]
    fn the_middle_splits_off_and_comes_back() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 3 * P, RW).unwrap();
        mm.copy_out(A, &[1; 3 * 4096]).unwrap();
        mm.mprotect(A + P, P, PROT_READ, &Limits::NONE).unwrap();
        let flags: Vec<String> = areas(&mm).into_iter().map(|area| area.2).collect();
        assert_eq!(flags, ["rw-p", "r--p", "rw-p"]);
        assert_eq!(mm.copy_out(A + P, b"x"), Err(Errno::EFAULT));
        mm.mprotect(A + P, P, RW, &Limits::NONE).unwrap();
        assert_eq!(areas(&mm), [(A, A + 3 * P, "rw-p".into())]);
        mm.copy_out(A + P, b"x").unwrap();
    }

    #[test]
    fn a_page_without_access_keeps_its_content() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 2 * P, RW).unwrap();
        mm.copy_out(A, b"kept").unwrap();
        mm.mprotect(A, 2 * P, 0, &Limits::NONE).unwrap();
        let mut bytes = [0; 4];
        assert_eq!(mm.copy_in(A, &mut bytes), Err(Errno::EFAULT));
        assert_eq!(mm.handle_fault(A, Access::Read), Err(FaultError::NotAllowed));
        assert_eq!(mm.snapshot().usage.anon_pages, 1);
        assert!(!mm.lock().tables.get(A).is_present());
        mm.mprotect(A, 2 * P, PROT_READ, &Limits::NONE).unwrap();
        mm.copy_in(A, &mut bytes).unwrap();
        assert_eq!(&bytes, b"kept");
        assert_eq!(mm.snapshot().usage.anon_pages, 1);
    }

    #[test]
    fn holes_and_bad_ranges_are_refused() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, P, RW).unwrap();
        anon_at(&mm, A + 2 * P, P, RW).unwrap();
        assert_eq!(mm.mprotect(A + 1, P, RW, &Limits::NONE), Err(Errno::EINVAL));
        assert_eq!(mm.mprotect(A, 0, RW, &Limits::NONE), Ok(()));
        assert_eq!(mm.mprotect(A, u64::MAX - 8191, RW, &Limits::NONE), Err(Errno::ENOMEM));
        assert_eq!(mm.mprotect(A, P, 0x10, &Limits::NONE), Err(Errno::EINVAL));
        assert_eq!(mm.mprotect(A - P, 2 * P, RW, &Limits::NONE), Err(Errno::ENOMEM));
        assert_eq!(mm.mprotect(A, 3 * P, PROT_READ, &Limits::NONE), Err(Errno::ENOMEM));
        // What came before the hole has changed.
        assert_eq!(areas(&mm)[0].2, "r--p");
    }

    #[test]
    fn fetching_from_a_page_without_exec_is_refused() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, P, RW).unwrap();
        assert_eq!(mm.handle_fault(A, Access::Execute), Err(FaultError::NotAllowed));
        mm.mprotect(A, P, PROT_READ | PROT_EXEC, &Limits::NONE).unwrap();
        assert_eq!(mm.handle_fault(A, Access::Execute), Ok(()));
    }
}
