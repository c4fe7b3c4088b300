//! `mlock` and its relatives, `msync`, `mincore`.
//!
//! Owns the `LOCKED` bit. Nothing is ever swapped out, so locking means making pages present and counting them.
//! Source: Linux 6.12 mm/mlock.c do_mlock(), apply_vma_lock_flags(), apply_mlockall_flags(); mm/msync.c; mm/mincore.c.

use super::usage::Limits;
use super::vma::VmFlags;
use super::{Mm, State};
use crate::phys::{PAGE_SIZE, is_page_aligned, page_ceil, page_floor};
use alloc::vec::Vec;
use linux_raw_sys::general::{MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, MLOCK_ONFAULT, MS_ASYNC, MS_INVALIDATE, MS_SYNC};
use procfs_core::Errno;

const LOCK_BITS: VmFlags = VmFlags::LOCKED.union(VmFlags::LOCKONFAULT);

impl Mm {
    /// `mlock2(2)`; `mlock(2)` has no flags.
    ///
    /// # Errors
    /// `EINVAL` for unknown flags; `EPERM` with no right and no limit left; `ENOMEM` over the limit or where nothing is mapped; `EINVAL` for a
    /// range that wraps.
    pub fn mlock(&self, addr: u64, len: u64, flags: u32, limits: &Limits) -> Result<(), Errno> {
        if flags & !MLOCK_ONFAULT != 0 {
            return Err(Errno::EINVAL);
        }
        if limits.locked == 0 && !limits.may_lock_all {
            return Err(Errno::EPERM);
        }
        let (start, end) = rounded(addr, len)?;
        let bits = if flags & MLOCK_ONFAULT != 0 { LOCK_BITS } else { VmFlags::LOCKED };
        self.with(|state| {
            let already = state.locked_pages(start, end);
            let more = (end - start) / PAGE_SIZE - already;
            if !state.usage.may_lock(more, limits) {
                return Err(Errno::ENOMEM);
            }
            state.set_lock_bits(start, end, bits)
        })?;
        if bits == VmFlags::LOCKED {
            self.populate(start, end);
        }
        Ok(())
    }

    /// `munlock(2)`.
    ///
    /// # Errors
    /// `EINVAL` for a range that wraps; `ENOMEM` where nothing is mapped.
    pub fn munlock(&self, addr: u64, len: u64) -> Result<(), Errno> {
        let (start, end) = rounded(addr, len)?;
        self.with(|state| state.set_lock_bits(start, end, VmFlags::empty()))
    }

    /// `mlockall(2)`.
    ///
    /// # Errors
    /// `EINVAL` for no or unknown flags; `EPERM` with no right and no limit; `ENOMEM` when everything is more than the limit.
    pub fn mlockall(&self, flags: u32, limits: &Limits) -> Result<(), Errno> {
        if flags == 0 || flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0 || flags == MCL_ONFAULT {
            return Err(Errno::EINVAL);
        }
        if limits.locked == 0 && !limits.may_lock_all {
            return Err(Errno::EPERM);
        }
        let bits = if flags & MCL_ONFAULT != 0 { LOCK_BITS } else { VmFlags::LOCKED };
        let areas = self.with(|state| {
            let is_too_much = state.usage.total_vm > limits.locked >> 12 && !limits.may_lock_all;
            if flags & MCL_CURRENT != 0 && is_too_much {
                return Err(Errno::ENOMEM);
            }
            state.default_flags = if flags & MCL_FUTURE != 0 { bits } else { VmFlags::empty() };
            if flags & MCL_CURRENT == 0 {
                return Ok(Vec::new());
            }
            Ok(state.set_lock_bits_everywhere(bits))
        })?;
        if bits == VmFlags::LOCKED {
            for (start, end) in areas {
                self.populate(start, end);
            }
        }
        Ok(())
    }

    /// `munlockall(2)`.
    pub fn munlockall(&self) {
        self.with(|state| {
            state.default_flags = VmFlags::empty();
            state.set_lock_bits_everywhere(VmFlags::empty());
        });
    }

    /// `msync(2)`: checks only, since objects and mappings share their frames.
    ///
    /// # Errors
    /// `EINVAL` for unknown or contradictory flags or an unaligned `addr`; `ENOMEM` for a range that wraps or has holes; `EBUSY` to
    /// invalidate a locked area.
    pub fn msync(&self, addr: u64, len: u64, flags: u32) -> Result<(), Errno> {
        let is_unknown = flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) != 0;
        if is_unknown || !is_page_aligned(addr) || flags & (MS_ASYNC | MS_SYNC) == MS_ASYNC | MS_SYNC {
            return Err(Errno::EINVAL);
        }
        let end = addr.checked_add(page_ceil(len)).filter(|_| len == 0 || page_ceil(len) != 0).ok_or(Errno::ENOMEM)?;
        if end == addr {
            return Ok(());
        }
        let state = self.lock();
        let is_locked = state.areas.overlapping(addr, end).any(|area| area.flags.contains(VmFlags::LOCKED));
        if flags & MS_INVALIDATE != 0 && is_locked {
            return Err(Errno::EBUSY);
        }
        if state.areas.covers(addr, end) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// `mincore(2)`: for each page whether it is in memory, for at most one page's worth of answers.
    ///
    /// # Errors
    /// `EINVAL` for an unaligned `addr`; `ENOMEM` where nothing is mapped.
    pub fn mincore(&self, addr: u64, pages: usize) -> Result<Vec<u8>, Errno> {
        if !is_page_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        let pages = pages.min(4096);
        let end = addr.checked_add(pages as u64 * PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        let state = self.lock();
        if !state.areas.covers(addr, end) {
            return Err(Errno::ENOMEM);
        }
        let mut answer = alloc::vec![0_u8; pages];
        state.tables.for_each(addr, end, |at, _| {
            if let Some(slot) = usize::try_from((at - addr) / PAGE_SIZE).ok().and_then(|n| answer.get_mut(n)) {
                *slot = 1;
            }
        });
        Ok(answer)
    }
}

impl State {
    fn locked_pages(&self, start: u64, end: u64) -> u64 {
        self.areas
            .overlapping(start, end)
            .filter(|area| area.flags.contains(VmFlags::LOCKED))
            .map(|area| (area.end.min(end) - area.start.max(start)) / PAGE_SIZE)
            .sum()
    }

    fn set_lock_bits(&mut self, start: u64, end: u64, bits: VmFlags) -> Result<(), Errno> {
        let mut at = start;
        while at < end {
            let area = self.areas.containing(at).ok_or(Errno::ENOMEM)?.clone();
            let stop = area.end.min(end);
            self.change_flags(&area, at, stop, area.flags.difference(LOCK_BITS) | bits)?;
            at = stop;
        }
        Ok(())
    }

    /// Does so for all areas; a failure to split cannot happen, since whole areas change. Returns them.
    fn set_lock_bits_everywhere(&mut self, bits: VmFlags) -> Vec<(u64, u64)> {
        let areas: Vec<(u64, u64)> = self.areas.iter().map(|area| (area.start, area.end)).collect();
        for &(start, end) in &areas {
            let Some(area) = self.areas.containing(start).cloned() else { continue };
            // Linux ignores failures here as well (apply_mlockall_flags).
            let _ = self.change_flags(&area, start, end, area.flags.difference(LOCK_BITS) | bits);
        }
        areas
    }
}

/// The whole pages of a range, as `do_mlock` rounds it.
fn rounded(addr: u64, len: u64) -> Result<(u64, u64), Errno> {
    let start = page_floor(addr);
    let len = len.checked_add(addr - start).ok_or(Errno::EINVAL)?;
    let rounded = page_ceil(len);
    if len != 0 && rounded == 0 {
        return Err(Errno::EINVAL);
    }
    let end = start.checked_add(rounded).ok_or(Errno::EINVAL)?;
    Ok((start, end))
}
