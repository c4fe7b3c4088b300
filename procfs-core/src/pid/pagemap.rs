//! `/proc/PID/pagemap`: eight bytes for each page of the address space.
//!
//! Owns the bits of an entry and which part of the address space a read covers. Soft-dirty marks are not kept, as in a
//! Linux without CONFIG_MEM_SOFT_DIRTY.
//! Source: Linux 6.12 fs/proc/task_mmu.c pagemap_read(), pte_to_pagemap_entry(); Documentation/admin-guide/mm/pagemap.rst.

use crate::Errno;

/// Bytes of one entry.
pub const ENTRY_BYTES: usize = 8;
/// log2 of the bytes of a page.
const PAGE_SHIFT: u32 = 12;
const FRAME_MASK: u64 = (1 << 55) - 1;
const EXCLUSIVE: u64 = 1 << 56;
const FILE: u64 = 1 << 61;
const PRESENT: u64 = 1 << 63;

/// A page that is present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Its frame number, for readers that may know it.
    pub frame: u64,
    /// It is a file's or shared memory's.
    pub is_of_object: bool,
    /// Nobody else maps it.
    pub is_exclusive: bool,
}

/// Whether a reader may see frame numbers (`CAP_SYS_ADMIN`, when the file was opened).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frames {
    /// They are shown.
    Shown,
    /// They read as 0.
    Hidden,
}

/// The entry of a page; `None` is one that is not present.
#[must_use]
pub fn entry(page: Option<Page>, frames: Frames) -> u64 {
    let Some(page) = page else { return 0 };
    let frame = if frames == Frames::Shown { page.frame & FRAME_MASK } else { 0 };
    frame | PRESENT | if page.is_of_object { FILE } else { 0 } | if page.is_exclusive { EXCLUSIVE } else { 0 }
}

/// The addresses whose entries a read of `count` bytes at `pos` gives, in an address space of `task_size` bytes; empty past
/// its end.
///
/// # Errors
/// `EINVAL` if either is not a multiple of 8.
pub fn range(pos: u64, count: usize, task_size: u64) -> Result<core::ops::Range<u64>, Errno> {
    if !pos.is_multiple_of(ENTRY_BYTES as u64) || !count.is_multiple_of(ENTRY_BYTES) {
        return Err(Errno::EINVAL);
    }
    let pages = (count / ENTRY_BYTES) as u64;
    let first = pos / ENTRY_BYTES as u64;
    let start = if first <= u64::MAX >> PAGE_SHIFT { (first << PAGE_SHIFT).min(task_size) } else { task_size };
    let end = pages.checked_mul(1 << PAGE_SHIFT).and_then(|bytes| start.checked_add(bytes));
    Ok(start..end.map_or(task_size, |end| end.min(task_size)))
}

#[cfg(test)]
mod tests {
    use super::{Frames, Page, entry, range};
    use crate::Errno;

    #[test]
    fn bits_are_those_of_linux() {
        let page = Page { frame: 0x1234, is_of_object: false, is_exclusive: true };
        assert_eq!(entry(Some(page), Frames::Shown), 0x8100_0000_0000_1234);
        assert_eq!(entry(Some(page), Frames::Hidden), 0x8100_0000_0000_0000);
        let file = Page { is_of_object: true, is_exclusive: false, ..page };
        assert_eq!(entry(Some(file), Frames::Hidden), 0xa000_0000_0000_0000);
        assert_eq!(entry(None, Frames::Shown), 0);
    }

    #[test]
    fn a_read_covers_whole_entries_up_to_the_end_of_the_address_space() {
        let size = 0x7fff_ffff_f000;
        assert_eq!(range(8, 16, size), Ok(0x1000..0x3000));
        assert_eq!(range((size >> 9) - 8, 80, size), Ok(size - 0x1000..size));
        assert_eq!(range(u64::MAX - 7, 8, size), Ok(size..size));
        assert_eq!(range(4, 8, size), Err(Errno::EINVAL));
        assert_eq!(range(8, 4, size), Err(Errno::EINVAL));
    }
}
