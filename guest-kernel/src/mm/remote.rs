//! Reads and writes of another program's memory, for `/proc`.
//!
//! Owns the rules of remote access: by the areas' permissions, not the entries'. Never the current address space by trick.
//! Source: Linux 6.12 mm/gup.c check_vma_flags() (FOLL_ANON, FOLL_FORCE), mm/memory.c __access_remote_vm().

use super::fault::{Access, rights_of};
use super::page_table::{Owner, Rights};
use super::usercopy::{read_bytes, write_bytes};
use super::vma::VmFlags;
use super::{Mm, State};
use crate::phys::{PAGE_SIZE, page_floor};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

impl Mm {
    /// What `/proc/PID/cmdline` and `environ` may read: bytes of readable anonymous areas (`FOLL_ANON`, no force). Untouched pages read
    /// as zeros and stay untouched. Returns how many bytes came before the first page that may not be read.
    pub fn read_anonymous(&self, addr: u64, buf: &mut [u8]) -> usize {
        let mut state = self.lock();
        for (at, range) in pieces(addr, buf.len()) {
            state.reach_by_stack(at, self.stack_limit.load(Relaxed));
            let is_readable = state
                .areas
                .containing(at)
                .is_some_and(|area| area.is_anonymous() && area.flags.contains(VmFlags::READ));
            if !is_readable {
                return range.start;
            }
            state.read_present(at, &mut buf[range]);
        }
        buf.len()
    }

    /// What `/proc/PID/mem` reads: any area that is readable or could be made so (`FOLL_FORCE`). Pages of objects are fetched. Returns
    /// how many bytes came before the first page that may not be read.
    pub fn read_remote(&self, addr: u64, buf: &mut [u8]) -> usize {
        for (at, range) in pieces(addr, buf.len()) {
            if !self.read_forced(at, &mut buf[range.clone()]) {
                return range.start;
            }
        }
        buf.len()
    }

    /// What `/proc/PID/mem` writes: writable areas, and private ones that could be made writable; the program's own copy changes and
    /// its right to write does not (`FOLL_FORCE`). Returns how many bytes came before the first page that may not be written.
    pub fn write_remote(&self, addr: u64, bytes: &[u8]) -> usize {
        for (at, range) in pieces(addr, bytes.len()) {
            if !self.write_forced(at, &bytes[range.clone()]) {
                return range.start;
            }
        }
        bytes.len()
    }

    fn read_forced(&self, at: u64, buf: &mut [u8]) -> bool {
        loop {
            let backing = {
                let mut state = self.lock();
                state.reach_by_stack(at, self.stack_limit.load(Relaxed));
                let Some(area) = state.areas.containing(at) else { return false };
                if !area.flags.intersects(VmFlags::READ | VmFlags::MAYREAD) {
                    return false;
                }
                let is_there = !state.tables.get(at).is_empty();
                match &area.backing {
                    Some(backing) if !is_there && !backing.is_zero_fill() => {
                        (backing.clone(), area.index_of(page_floor(at)))
                    }
                    _ => {
                        state.read_present(at, buf);
                        return true;
                    }
                }
            };
            let (backing, index) = backing;
            let Ok(Some(frame)) = backing.page(index) else { return false };
            // A program may have made its own copy while the object slept; that one counts.
            if self.lock().tables.get(at).is_empty() {
                frame.read_at(offset_of(at), buf);
                return true;
            }
        }
    }

    fn write_forced(&self, at: u64, bytes: &[u8]) -> bool {
        loop {
            let needs_fault = {
                let mut state = self.lock();
                state.reach_by_stack(at, self.stack_limit.load(Relaxed));
                let Some(area) = state.areas.containing(at).cloned() else { return false };
                let is_writable = area.flags.contains(VmFlags::WRITE);
                if !is_writable && !area.flags.is_cow() {
                    return false;
                }
                let page = page_floor(at);
                let entry = state.tables.get(page);
                let is_ready = if is_writable {
                    entry.is_present() && entry.is_writable()
                } else {
                    entry.owner() == Owner::Private && !entry.is_empty() && entry.frame().count() == 2
                };
                if is_ready {
                    state.tables.update(page, entry.with_dirty());
                    write_bytes(entry.phys(), offset_of(at), bytes);
                    state.tables.flush();
                    return true;
                }
                if !is_writable && !entry.is_empty() {
                    let rights = Rights { is_writable: false, ..rights_of(area.flags) };
                    let owned = state.own_page(&area, page, entry, rights);
                    state.tables.flush();
                    if owned.is_err() {
                        return false;
                    }
                    continue;
                }
                if !area.flags.is_accessible() {
                    return false;
                }
                is_writable
            };
            let access = if needs_fault { Access::Write } else { Access::Read };
            if self.handle_fault(at, access).is_err() {
                return false;
            }
        }
    }
}

impl State {
    /// Lets a stack grow down to `at` where nothing is mapped, as an access of the program's own would (expand_stack()).
    fn reach_by_stack(&mut self, at: u64, stack_limit: u64) {
        let above = self.areas.at_or_above(at).filter(|area| area.start > at);
        if let Some(start) = above.filter(|area| area.flags.contains(VmFlags::GROWSDOWN)).map(|area| area.start) {
            // A stack that may not grow leaves the page unmapped, which is what the caller then finds.
            let _ = self.grow_stack(start, page_floor(at), stack_limit);
        }
    }

    /// Copies from the page of `at`, inside of one page; zeros where nothing is.
    fn read_present(&self, at: u64, buf: &mut [u8]) {
        let entry = self.tables.get(at);
        if entry.is_empty() {
            buf.fill(0);
        } else {
            read_bytes(entry.phys(), offset_of(at), buf);
        }
    }
}

fn offset_of(addr: u64) -> usize {
    usize::try_from(addr % PAGE_SIZE).expect("below the page size")
}

/// A range of addresses cut at page ends: each piece's address and its place in the buffer. Ends where addresses do.
fn pieces(addr: u64, len: usize) -> impl Iterator<Item = (u64, Range<usize>)> {
    let page = usize::try_from(PAGE_SIZE).expect("small");
    let mut done = 0;
    core::iter::from_fn(move || {
        if done >= len {
            return None;
        }
        let at = u64::try_from(done).ok().and_then(|done| addr.checked_add(done)).unwrap_or(u64::MAX);
        let count = (page - offset_of(at)).min(len - done);
        let range = done..done + count;
        done += count;
        Some((at, range))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{anon_at, file_at, page_file};
    use super::super::{Limits, Mm};
    use crate::phys::PAGE_SIZE;
    use linux_raw_sys::general::{PROT_EXEC, PROT_READ, PROT_WRITE};

    const RW: u32 = PROT_READ | PROT_WRITE;
    const A: u64 = 0x10_0000;
    const P: u64 = PAGE_SIZE;

    #[test]
    fn cmdline_reads_readable_anonymous_memory_only() {
        let mm = Mm::new().unwrap();
        anon_at(&mm, A, 3 * P, RW).unwrap();
        mm.copy_out(A + P - 2, b"abcd").unwrap();
        let mut buf = [1; 8192];
        assert_eq!(mm.read_anonymous(A + P - 2, &mut buf), 8192);
        assert_eq!(&buf[..6], b"abcd\0\0");
        // The third page was never touched: zeros, and still not there.
        assert_eq!((buf[8191], mm.snapshot().usage.anon_pages), (0, 2));
        mm.mprotect(A + P, P, PROT_WRITE, &Limits::NONE).unwrap();
        assert_eq!(mm.read_anonymous(A + P - 2, &mut buf), 2);
        mm.mprotect(A + P, P, 0, &Limits::NONE).unwrap();
        assert_eq!(mm.read_anonymous(A + P, &mut buf), 0);
        mm.munmap(A + P, P).unwrap();
        assert_eq!(mm.read_anonymous(A + P - 1, &mut buf), 1);
        assert_eq!(mm.read_anonymous(u64::MAX - 5, &mut buf), 0);
    }

    #[test]
    fn cmdline_never_reads_a_files_mapping_even_where_it_was_copied() {
        let mm = Mm::new().unwrap();
        let file = page_file(1);
        file_at(&mm, &file, A, P, 0, RW).unwrap();
        mm.copy_out(A, b"mine").unwrap();
        assert_eq!(mm.read_anonymous(A, &mut [0; 4]), 0);
    }

    #[test]
    fn mem_reads_and_writes_past_the_rights_but_keeps_them() {
        let mm = Mm::new().unwrap();
        let file = page_file(2);
        file_at(&mm, &file, A, 2 * P, 0, PROT_READ | PROT_EXEC).unwrap();
        let mut buf = [0; 4];
        assert_eq!(mm.read_remote(A + P, &mut buf), 4);
        assert_eq!((buf, mm.snapshot().usage.file_pages), ([1; 4], 0));
        assert_eq!(mm.write_remote(A + P, b"brk!"), 4);
        assert_eq!(mm.read_remote(A + P, &mut buf), 4);
        assert_eq!(&buf, b"brk!");
        assert!(mm.copy_out(A + P, b"x").is_err());
        file.frame(1).read_at(0, &mut buf);
        assert_eq!(buf, [1; 4]);
        anon_at(&mm, A, P, 0).unwrap();
        assert_eq!(mm.read_remote(A, &mut buf), 4);
        assert_eq!(buf, [0; 4]);
        assert_eq!(mm.read_remote(A - P, &mut buf), 0);
    }
}
