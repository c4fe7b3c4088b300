//! The bytes of a regular file: pages, holes, and parts of the initramfs that were never copied.
//!
//! Owns the pages. A page handed out for a mapping is the page that read and write use.
//! Invariants: no byte of a page past the size is other than zero where a mapping has not written it; `origin.len` never
//! exceeds the size.
//! Source: Linux 6.12 mm/shmem.c shmem_get_folio(), shmem_truncate_range(); mmap(2) on bytes past the end.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use procfs_core::Errno;

use super::Shared;
use crate::phys::{Frame, FrameUse, PhysAddr, frame_of};
use crate::sched::cond_resched;
use crate::sync::Mutex;
use crate::vfs::{MAX_FILE_SIZE, rank};

const PAGE: u64 = crate::phys::PAGE_SIZE;
const PAGE_SIZE: usize = PAGE as usize;

/// A physically contiguous range that holds an initramfs.
///
/// The bytes come from outside, so they are only ever copied out, never borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Archive {
    start: PhysAddr,
    len: u64,
}

impl Archive {
    /// The `len` bytes of RAM from `start`.
    #[must_use]
    pub const fn new(start: PhysAddr, len: u64) -> Self {
        Self { start, len }
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies the bytes at `offset`; false if they are not all within the archive and in RAM.
    #[must_use]
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let len = buffer.len() as u64;
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return false;
        }
        let mut done = 0;
        while done < buffer.len() {
            let address = self.start.0 + offset + done as u64;
            let in_page = (address % PAGE) as usize;
            let count = (PAGE_SIZE - in_page).min(buffer.len() - done);
            let Some(frame) = frame_of(PhysAddr(address - in_page as u64)) else { return false };
            frame.read_at(in_page, &mut buffer[done..done + count]);
            done += count;
        }
        true
    }
}

/// The part of an archive that is a file's first content.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    archive: Archive,
    offset: u64,
    len: u64,
}

impl Origin {
    /// `len` bytes at `offset`; `None` if the archive does not hold them.
    #[must_use]
    pub fn new(archive: Archive, offset: u64, len: u64) -> Option<Self> {
        offset.checked_add(len).is_some_and(|end| end <= archive.len).then_some(Self { archive, offset, len })
    }

    fn pages(&self) -> u64 {
        self.len.div_ceil(PAGE)
    }

    /// The bytes of page `index` that the archive gives, at most a page.
    fn len_in_page(&self, index: u64) -> usize {
        self.len.saturating_sub(index * PAGE).min(PAGE) as usize
    }

    /// The archive's own page, if it holds page `index` of the file and nothing else.
    fn page_in_place(&self, index: u64) -> Option<Frame> {
        let address = self.archive.start.0 + self.offset + index * PAGE;
        let used = self.len_in_page(index);
        if !address.is_multiple_of(PAGE) || used == 0 || !self.is_tail_zero(index, used) {
            return None;
        }
        frame_of(PhysAddr(address))
    }

    fn is_tail_zero(&self, index: u64, used: usize) -> bool {
        let mut tail = [0; 256];
        let mut at = used;
        while at < PAGE_SIZE {
            let count = tail.len().min(PAGE_SIZE - at);
            if !self.archive.read_at(self.offset + index * PAGE + at as u64, &mut tail[..count])
                || tail[..count].iter().any(|&byte| byte != 0)
            {
                return false;
            }
            at += count;
        }
        true
    }

    /// Copies what the archive holds of page `index` into `frame`.
    fn copy_page(&self, index: u64, frame: &Frame) {
        let mut chunk = [0; 512];
        let used = self.len_in_page(index);
        let mut at = 0;
        while at < used {
            let count = chunk.len().min(used - at);
            if self.archive.read_at(self.offset + index * PAGE + at as u64, &mut chunk[..count]) {
                frame.write_at(at, &chunk[..count]);
            }
            at += count;
        }
    }
}

struct Inner {
    size: u64,
    pages: BTreeMap<u64, Frame>,
    origin: Option<Origin>,
}

/// The content of a regular file.
pub(super) struct Content {
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
}

/// Where the bytes of a page are.
pub(super) enum Source {
    /// In a page of the file.
    Page(Frame),
    /// In the archive, not copied.
    Archive(Origin),
    /// Nowhere: they are zero.
    Hole,
}

impl Source {
    /// Copies the bytes at `offset` in page `index`.
    pub(super) fn read(&self, index: u64, offset: usize, buffer: &mut [u8]) {
        match self {
            Self::Page(frame) => frame.read_at(offset, buffer),
            Self::Hole => buffer.fill(0),
            Self::Archive(origin) => {
                let held = origin.len_in_page(index).saturating_sub(offset).min(buffer.len());
                let (head, tail) = buffer.split_at_mut(held);
                tail.fill(0);
                if !origin.archive.read_at(origin.offset + index * PAGE + offset as u64, head) {
                    head.fill(0);
                }
            }
        }
    }
}

impl Content {
    pub(super) fn new(shared: Arc<Shared>, origin: Option<Origin>) -> Self {
        let size = origin.map_or(0, |origin| origin.len);
        Self { shared, inner: Mutex::new(rank::INODE, Inner { size, pages: BTreeMap::new(), origin }) }
    }

    /// The size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.inner.lock().size
    }

    /// How many pages are not holes.
    pub(super) fn page_count(&self) -> u64 {
        let inner = self.inner.lock();
        let original = inner.origin.map_or(0, |origin| origin.pages());
        original + inner.pages.range(original..).count() as u64
    }

    /// Where the bytes of page `index` are now.
    pub(super) fn source(&self, index: u64) -> Source {
        let inner = self.inner.lock();
        if let Some(frame) = inner.pages.get(&index) {
            return Source::Page(frame.clone());
        }
        match inner.origin {
            Some(origin) if index < origin.pages() => Source::Archive(origin),
            _ => Source::Hole,
        }
    }

    /// The page `index`, made if there is none; whoever holds it shares it with the file.
    ///
    /// # Errors
    /// `ENOSPC`, `ENOMEM`.
    pub(super) fn page(&self, index: u64) -> Result<Frame, Errno> {
        let mut inner = self.inner.lock();
        if let Some(frame) = inner.pages.get(&index) {
            return Ok(frame.clone());
        }
        let origin = inner.origin.filter(|origin| index < origin.pages());
        let in_place = origin.and_then(|origin| origin.page_in_place(index));
        let frame = match in_place {
            Some(frame) => frame,
            None => {
                let frame = Frame::alloc_zeroed()?.used_for(FrameUse::Shared);
                if let Some(origin) = origin {
                    origin.copy_page(index, &frame);
                }
                frame
            }
        };
        // What came with the archive was there before the limit was.
        if origin.is_some() {
            self.shared.charge_anyway(1);
        } else {
            self.shared.charge(1)?;
        }
        inner.pages.insert(index, frame.clone());
        Ok(frame)
    }

    /// Makes the file at least `size` bytes long.
    pub(super) fn grow(&self, size: u64) {
        let mut inner = self.inner.lock();
        inner.size = inner.size.max(size);
    }

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// `EFBIG`; `ENOSPC` or `ENOMEM` where a page must be copied to be cut.
    pub(super) fn set_size(&self, size: u64) -> Result<(), Errno> {
        if size > MAX_FILE_SIZE {
            return Err(Errno::EFBIG);
        }
        if size < self.size() {
            if !size.is_multiple_of(PAGE) {
                self.zero_in_page(size, PAGE - size % PAGE)?;
            }
            self.drop_pages_from(size.div_ceil(PAGE));
            let mut inner = self.inner.lock();
            let cut = inner.origin.take().map(|origin| Origin { len: origin.len.min(size), ..origin });
            inner.origin = cut.filter(|origin| origin.len > 0);
        }
        self.inner.lock().size = size;
        Ok(())
    }

    /// Drops what is there and starts anew with `origin`.
    ///
    /// # Errors
    /// As `set_size`.
    pub(super) fn replace(&self, origin: Option<Origin>) -> Result<(), Errno> {
        self.set_size(0)?;
        let mut inner = self.inner.lock();
        inner.size = origin.map_or(0, |origin| origin.len);
        inner.origin = origin;
        Ok(())
    }

    /// Zeroes `len` bytes from `start`; whole pages become holes.
    ///
    /// # Errors
    /// `ENOSPC` or `ENOMEM` where a page must be copied first.
    pub(super) fn punch(&self, start: u64, len: u64) -> Result<(), Errno> {
        let end = start.saturating_add(len).min(self.size().next_multiple_of(PAGE));
        let mut at = start;
        while let Some(index) = self.next_data(at / PAGE) {
            at = at.max(index * PAGE);
            if at >= end {
                break;
            }
            let next = (index * PAGE + PAGE).min(end);
            let whole = next - at == PAGE;
            let original = self.inner.lock().origin.is_some_and(|origin| index < origin.pages());
            if whole && !original {
                self.drop_page(index);
            } else {
                self.zero_in_page(at, next - at)?;
            }
            at = next;
            cond_resched();
        }
        Ok(())
    }

    /// The first page from `index` on that is no hole.
    pub(super) fn next_data(&self, index: u64) -> Option<u64> {
        let inner = self.inner.lock();
        if inner.origin.is_some_and(|origin| index < origin.pages()) {
            return Some(index);
        }
        inner.pages.range(index..).next().map(|(&index, _)| index)
    }

    /// The first page from `index` on that is a hole.
    pub(super) fn next_hole(&self, index: u64) -> u64 {
        let inner = self.inner.lock();
        let mut hole = inner.origin.map_or(index, |origin| index.max(origin.pages()));
        for &page in inner.pages.range(hole..).map(|(page, _)| page) {
            if page != hole {
                break;
            }
            hole += 1;
        }
        hole
    }

    /// Zeroes `len` bytes at `start`, all in one page, unless that is a hole.
    fn zero_in_page(&self, start: u64, len: u64) -> Result<(), Errno> {
        if matches!(self.source(start / PAGE), Source::Hole) {
            return Ok(());
        }
        let frame = self.page(start / PAGE)?;
        let zeros = [0; 256];
        let mut at = (start % PAGE) as usize;
        let end = at + len as usize;
        while at < end {
            let count = zeros.len().min(end - at);
            frame.write_at(at, &zeros[..count]);
            at += count;
        }
        Ok(())
    }

    /// Drops the pages from `first` on; needs next to no memory itself, since it is what frees it.
    fn drop_pages_from(&self, first: u64) {
        let dropped = self.inner.lock().pages.split_off(&first);
        self.shared.uncharge(dropped.len() as u64);
    }

    fn drop_page(&self, index: u64) {
        let dropped = self.inner.lock().pages.remove(&index);
        self.shared.uncharge(u64::from(dropped.is_some()));
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.shared.uncharge(self.inner.get_mut().pages.len() as u64);
    }
}
