//! `mmap`: checks, placement, the new area.
//!
//! Owns the order of errors. What a page shows is `fault`'s.
//! Source: Linux 6.12 mm/mmap.c do_mmap(), __get_unmapped_area(), __mmap_region(); arch/x86/kernel/sys_x86_64.c
//! arch_get_unmapped_area_topdown().

use super::backing::{Backing, SharedAnonymous};
use super::layout::{MMAP_MIN_ADDR, TASK_SIZE};
use super::usage::Limits;
use super::vma::{VmFlags, Vma};
use super::{Mm, State};
use crate::phys::{PAGE_SIZE, is_page_aligned, page_ceil, page_floor, ram_stats};
use alloc::sync::Arc;
use linux_raw_sys::general::{
    MAP_32BIT, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_HUGETLB, MAP_LOCKED, MAP_NONBLOCK, MAP_NORESERVE, MAP_POPULATE,
    MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, MAP_SYNC, MAP_TYPE,
};
use procfs_core::Errno;

/// Flags that Linux knew before `MAP_SHARED_VALIDATE`, and the newer one without a file's say (`LEGACY_MAP_MASK`).
const LEGACY_MAP_MASK: u32 = !MAP_SYNC & 0x000f_ffff;
/// Where `MAP_32BIT` places, in bytes.
const LOW_RANGE: (u64, u64) = (0x4000_0000, 0x8000_0000);

/// An open file to be mapped, and what the way it was opened allows.
#[derive(Clone)]
pub struct FileMapping {
    /// What it shows.
    pub backing: Arc<dyn Backing>,
    /// First byte, a multiple of the page size.
    pub offset: u64,
    /// Opened for reading.
    pub is_readable: bool,
    /// Opened for writing.
    pub is_writable: bool,
    /// Of an append-only inode.
    pub is_append_only: bool,
    /// On a mount without `noexec`.
    pub may_execute: bool,
}

/// What a new mapping shows.
#[derive(Clone)]
pub enum Source {
    /// Zeros. With `MAP_SHARED` they become an object whose inode number is `inode`; else it is not used.
    Anonymous {
        /// A fresh inode number for a shared object.
        inode: u64,
    },
    /// A file.
    File(FileMapping),
}

/// The arguments of `mmap(2)`, its file descriptor already looked up.
#[derive(Clone)]
pub struct MapRequest {
    /// Where, or where about.
    pub addr: u64,
    /// In bytes.
    pub len: u64,
    /// `PROT_*`.
    pub prot: u32,
    /// `MAP_*`.
    pub flags: u32,
    /// What it shows.
    pub source: Source,
}

impl Mm {
    /// `mmap(2)`; returns the address.
    ///
    /// # Errors
    /// In this order: `EINVAL` for an unaligned file offset or no length; `ENOMEM` for too long a one; `EOVERFLOW` past the largest
    /// file offset; `ENOMEM` for too many areas or no room; `EINVAL`, `ENOMEM` or `EPERM` for a fixed address that is unaligned, too high or
    /// below `mmap_min_addr`; `EEXIST` for `MAP_FIXED_NOREPLACE` over a mapping; `EPERM` and `EAGAIN` from the limit on locked memory;
    /// `EOPNOTSUPP`, `EACCES`, `EPERM`, `EINVAL` from the file's mode and the flags; `ENOMEM` from the limits.
    pub fn mmap(&self, request: &MapRequest, limits: &Limits) -> Result<u64, Errno> {
        let len = page_ceil(request.len);
        let addr = self.with(|state| state.map(request, limits))?;
        let is_locked = request.flags & MAP_LOCKED != 0
            || self.lock().areas.containing(addr).is_some_and(|area| area.flags.contains(VmFlags::LOCKED));
        if is_locked || request.flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE {
            self.populate(addr, addr + len);
        }
        Ok(addr)
    }
}

impl State {
    fn map(&mut self, request: &MapRequest, limits: &Limits) -> Result<u64, Errno> {
        let mut flags = request.flags;
        let offset = match &request.source {
            Source::File(file) => file.offset,
            Source::Anonymous { .. } => 0,
        };
        if !is_page_aligned(offset) || request.len == 0 {
            return Err(Errno::EINVAL);
        }
        if flags & MAP_HUGETLB != 0 {
            // There is no pool of huge pages, so none is ever free; a file has to be of hugetlbfs.
            let is_file = matches!(request.source, Source::File(_));
            return Err(if is_file { Errno::EINVAL } else { Errno::ENOMEM });
        }
        if flags & MAP_FIXED_NOREPLACE != 0 {
            flags |= MAP_FIXED;
        }
        let is_fixed = flags & MAP_FIXED != 0;
        let mut hint = request.addr;
        if !is_fixed {
            hint = page_floor(hint);
            if hint != 0 && hint < MMAP_MIN_ADDR {
                hint = MMAP_MIN_ADDR;
            }
        }
        let len = page_ceil(request.len);
        if len == 0 {
            return Err(Errno::ENOMEM);
        }
        let mut page_offset = offset / PAGE_SIZE;
        let end_of_file = offset.checked_add(len).filter(|&end| i64::try_from(end).is_ok());
        if end_of_file.is_none() && matches!(request.source, Source::File(_)) {
            return Err(Errno::EOVERFLOW);
        }
        if self.areas.len() > self.areas.most() {
            return Err(Errno::ENOMEM);
        }
        let mut vm_flags =
            VmFlags::from_prot(request.prot) | VmFlags::from_map(flags) | self.default_flags | VmFlags::MAY_ACCESS;
        let addr = self.unmapped_area(hint, len, flags, limits)?;
        if flags & MAP_FIXED_NOREPLACE != 0 && self.areas.overlapping(addr, addr + len).next().is_some() {
            return Err(Errno::EEXIST);
        }
        if flags & MAP_LOCKED != 0 && limits.locked == 0 && !limits.may_lock_all {
            return Err(Errno::EPERM);
        }
        if vm_flags.contains(VmFlags::LOCKED) && !self.usage.may_lock(len / PAGE_SIZE, limits) {
            return Err(Errno::EAGAIN);
        }

        let map_type = flags & MAP_TYPE;
        let mut backing: Option<Arc<dyn Backing>> = None;
        match &request.source {
            Source::File(file) => {
                vm_flags = file_flags(vm_flags, flags, request.prot, file)?;
                backing = Some(file.backing.clone());
            }
            Source::Anonymous { inode } => match map_type {
                MAP_SHARED => {
                    if vm_flags.contains(VmFlags::GROWSDOWN) {
                        return Err(Errno::EINVAL);
                    }
                    page_offset = 0;
                    vm_flags |= VmFlags::SHARED | VmFlags::MAYSHARE;
                    backing = Some(SharedAnonymous::new(*inode, len));
                }
                MAP_PRIVATE => page_offset = addr / PAGE_SIZE,
                _ => return Err(Errno::EINVAL),
            },
        }
        if flags & MAP_NORESERVE != 0 {
            vm_flags |= VmFlags::NORESERVE;
        }
        let area = Vma { start: addr, end: addr + len, flags: vm_flags, page_offset, backing, anon: None, name: None };
        self.place(area, limits)?;
        Ok(addr)
    }

    /// Puts `area` over whatever is there (`mmap_region`).
    pub(super) fn place(&mut self, mut area: Vma, limits: &Limits) -> Result<(), Errno> {
        let (start, end) = (area.start, area.end);
        let replaced: u64 =
            self.areas.overlapping(start, end).map(|old| (old.end.min(end) - old.start.max(start)) / PAGE_SIZE).sum();
        if !self.usage.may_expand(area.flags, area.pages() - replaced, limits) {
            return Err(Errno::ENOMEM);
        }
        self.unmap(start, end)?;
        let accounted = VmFlags::NORESERVE | VmFlags::SHARED | VmFlags::WRITE;
        if area.flags & accounted == VmFlags::WRITE {
            // The heuristic of vm.overcommit_memory=0: only what can never fit is refused.
            if area.pages() > ram_stats().total_pages {
                return Err(Errno::ENOMEM);
            }
            area.flags |= VmFlags::ACCOUNT;
        }
        self.add_area(area);
        Ok(())
    }

    /// Adds `area`, where nothing is, and counts it.
    pub(super) fn add_area(&mut self, area: Vma) {
        self.generation += 1;
        self.usage.add_area(area.flags, area.pages());
        self.areas.insert(area);
    }

    /// An address for `len` bytes (`__get_unmapped_area`).
    pub(super) fn unmapped_area(&self, hint: u64, len: u64, flags: u32, limits: &Limits) -> Result<u64, Errno> {
        if len > TASK_SIZE {
            return Err(Errno::ENOMEM);
        }
        let addr = if flags & MAP_FIXED != 0 { hint } else { self.free_range(hint, len, flags)? };
        if addr > TASK_SIZE - len {
            return Err(Errno::ENOMEM);
        }
        if !is_page_aligned(addr) {
            return Err(Errno::EINVAL);
        }
        if addr < MMAP_MIN_ADDR && !limits.may_map_low {
            return Err(Errno::EPERM);
        }
        Ok(addr)
    }

    fn free_range(&self, hint: u64, len: u64, flags: u32) -> Result<u64, Errno> {
        if hint != 0 && hint <= TASK_SIZE - len {
            let is_free = self.areas.at_or_above(hint).is_none_or(|area| hint + len <= area.start_with_gap());
            if is_free {
                return Ok(hint);
            }
        }
        if flags & MAP_32BIT != 0 {
            return self.areas.lowest_gap(LOW_RANGE.0, LOW_RANGE.1, len).ok_or(Errno::ENOMEM);
        }
        let floor = MMAP_MIN_ADDR;
        self.areas
            .highest_gap(floor, self.layout.mmap_base, len)
            .or_else(|| self.areas.lowest_gap(page_ceil(TASK_SIZE / 3).max(floor), TASK_SIZE, len))
            .ok_or(Errno::ENOMEM)
    }
}

/// The part of `do_mmap` that asks the file.
fn file_flags(mut vm: VmFlags, map: u32, prot: u32, file: &FileMapping) -> Result<VmFlags, Errno> {
    let map_type = map & MAP_TYPE;
    match map_type {
        MAP_SHARED | MAP_SHARED_VALIDATE => {
            if map_type == MAP_SHARED_VALIDATE && map & !LEGACY_MAP_MASK != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            let wants_write = prot & linux_raw_sys::general::PROT_WRITE != 0;
            if wants_write && !file.is_writable {
                return Err(Errno::EACCES);
            }
            if file.is_append_only && file.is_writable {
                return Err(Errno::EACCES);
            }
            vm |= VmFlags::SHARED | VmFlags::MAYSHARE;
            if !file.is_writable {
                vm -= VmFlags::MAYWRITE | VmFlags::SHARED;
            }
        }
        MAP_PRIVATE => {}
        _ => return Err(Errno::EINVAL),
    }
    if !file.is_readable {
        return Err(Errno::EACCES);
    }
    if !file.may_execute {
        if vm.contains(VmFlags::EXEC) {
            return Err(Errno::EPERM);
        }
        vm -= VmFlags::MAYEXEC;
    }
    if vm.contains(VmFlags::GROWSDOWN) {
        return Err(Errno::EINVAL);
    }
    Ok(vm)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{MAP_ANON, anon, anon_at, areas, file_at, page_file, shared_at};
    use super::super::{Limits, Mm};
    use super::*;
    use linux_raw_sys::general::{PROT_EXEC, PROT_READ, PROT_WRITE};

    const RW: u32 = PROT_READ | PROT_WRITE;
    const P: u64 = PAGE_SIZE;

    #[test]
    fn new_mappings_go_below_the_base_and_join() {
        let mm = Mm::new().unwrap();
        let base = mm.layout().mmap_base;
        assert_eq!(anon(&mm, 2 * P, RW).unwrap(), base - 2 * P);
        assert_eq!(anon(&mm, P, RW).unwrap(), base - 3 * P);
        assert_eq!(areas(&mm), [(base - 3 * P, base, "rw-p".into())]);
        assert_eq!(anon(&mm, P, PROT_READ).unwrap(), base - 4 * P);
        assert_eq!(areas(&mm).len(), 2);
        assert_eq!(mm.snapshot().usage.total_vm, 4);
        assert_eq!(mm.snapshot().usage.data_vm, 3);
    }

    #[test]
    fn a_hole_punched_in_the_middle_splits_and_filling_it_joins_again() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, 0x10_0000, 8 * P, RW).unwrap();
        mm.munmap(0x10_0000 + 2 * P, P).unwrap();
        assert_eq!(areas(&mm).len(), 2);
        anon_at(&mm, 0x10_0000 + 2 * P, P, RW).unwrap();
        assert_eq!(areas(&mm), [(0x10_0000, 0x10_0000 + 8 * P, "rw-p".into())]);
    }

    #[test]
    fn two_touched_neighbours_do_not_join_when_their_pages_are_of_different_families() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, 0x10_0000, P, RW).unwrap();
        anon_at(&mm, 0x10_2000, P, RW).unwrap();
        mm.copy_out(0x10_0000, b"a").unwrap();
        mm.copy_out(0x10_2000, b"b").unwrap();
        anon_at(&mm, 0x10_1000, P, RW).unwrap();
        let expected = [(0x10_0000, 0x10_2000, "rw-p".into()), (0x10_2000, 0x10_3000, "rw-p".into())];
        assert_eq!(areas(&mm), expected);
    }

    #[test]
    fn fixed_replaces_and_noreplace_refuses() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, 0x10_0000, 4 * P, RW).unwrap();
        anon_at(&mm, 0x10_1000, P, PROT_READ).unwrap();
        assert_eq!(areas(&mm).len(), 3);
        let request = MapRequest {
            addr: 0x10_3000,
            len: P,
            prot: RW,
            flags: MAP_ANON | MAP_PRIVATE | MAP_FIXED_NOREPLACE,
            source: Source::Anonymous { inode: 0 },
        };
        assert_eq!(mm.mmap(&request, &Limits::NONE), Err(Errno::EEXIST));
        let free = MapRequest { addr: 0x10_4000, ..request };
        assert_eq!(mm.mmap(&free, &Limits::NONE), Ok(0x10_4000));
    }

    #[test]
    fn errors_come_in_the_order_of_linux() {
        let mm = Mm::new().unwrap();
        let ok = MapRequest {
            addr: 0,
            len: P,
            prot: RW,
            flags: MAP_ANON | MAP_PRIVATE,
            source: Source::Anonymous { inode: 0 },
        };
        let check = |request: MapRequest| mm.mmap(&request, &Limits::NONE);
        assert_eq!(check(MapRequest { len: 0, ..ok.clone() }), Err(Errno::EINVAL));
        assert_eq!(check(MapRequest { len: u64::MAX, ..ok.clone() }), Err(Errno::ENOMEM));
        assert_eq!(check(MapRequest { len: 1 << 48, ..ok.clone() }), Err(Errno::ENOMEM));
        assert_eq!(check(MapRequest { flags: MAP_ANON, ..ok.clone() }), Err(Errno::EINVAL));
        let fixed = MapRequest { flags: MAP_ANON | MAP_PRIVATE | MAP_FIXED, ..ok.clone() };
        assert_eq!(check(MapRequest { addr: 0x1000, ..fixed.clone() }), Err(Errno::EPERM));
        assert_eq!(check(MapRequest { addr: 0x10_0001, ..fixed.clone() }), Err(Errno::EINVAL));
        assert_eq!(check(MapRequest { addr: TASK_SIZE, ..fixed }), Err(Errno::ENOMEM));
        let limits = Limits { address_space: 0, ..Limits::NONE };
        assert_eq!(mm.mmap(&ok, &limits), Err(Errno::ENOMEM));
        let limits = Limits { data: 0, ..Limits::NONE };
        assert_eq!(mm.mmap(&ok, &limits), Err(Errno::ENOMEM));
        assert!(mm.mmap(&MapRequest { prot: PROT_READ, ..ok }, &limits).is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_written_is_shared_for_reading_only() {
        let mm = Mm::new().unwrap();
        let file = page_file(2);
        assert_eq!(shared_at(&mm, &file, 0x10_0000, 2 * P, RW, false), Err(Errno::EACCES));
        shared_at(&mm, &file, 0x10_0000, 2 * P, PROT_READ, false).unwrap();
        assert_eq!(areas(&mm)[0].2, "r--s");
        assert_eq!(mm.mprotect(0x10_0000, P, RW, &Limits::NONE), Err(Errno::EACCES));
    }

    #[test]
    fn parts_of_a_file_that_follow_each_other_join() {
        let mm = Mm::new().unwrap();
        let file = page_file(4);
        file_at(&mm, &file, 0x10_0000, P, 0, PROT_READ | PROT_EXEC).unwrap();
        file_at(&mm, &file, 0x10_1000, P, P, PROT_READ | PROT_EXEC).unwrap();
        file_at(&mm, &file, 0x10_2000, P, 3 * P, PROT_READ | PROT_EXEC).unwrap();
        assert_eq!(areas(&mm).len(), 2);
        assert_eq!(mm.snapshot().usage.exec_vm, 3);
    }
}
