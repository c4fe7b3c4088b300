//! One frame of RAM as an owned, counted handle.
//!
//! Owns the meaning of the count: each `Frame` value is one. Map counts are kept here for `mm`, which changes them.
//! Invariant: a frame goes back to the allocator when its last handle is dropped, and only then.
//! Content is copied in and out, never borrowed: user code and devices change it at any time.

use super::ram::{MAPPED_SHARED, count_use, records, with_allocator};
use super::{PAGE_SIZE, PhysAddr};
use core::fmt;
use core::num::NonZeroU32;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use procfs_core::Errno;

/// No memory is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllocError;

impl From<AllocError> for Errno {
    fn from(_: AllocError) -> Errno {
        Errno::ENOMEM
    }
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("out of memory")
    }
}

impl core::error::Error for AllocError {}

/// What a frame is used for, as /proc/meminfo tells memory apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum FrameUse {
    /// The kernel's own, or not told.
    Kernel,
    /// Memory of programs without a file.
    Anonymous,
    /// Content of tmpfs and shared memory.
    Shared,
    /// Page tables.
    PageTable,
}

/// A counted handle on one frame: cloning adds one, dropping takes one, the last frees.
pub struct Frame {
    pfn: NonZeroU32,
}

impl Frame {
    /// A frame of undefined content.
    ///
    /// # Errors
    /// When no frame is free.
    pub fn alloc() -> Result<Frame, AllocError> {
        let pfn = with_allocator(|buddy| buddy.take(0)).ok_or(AllocError)?;
        Ok(Frame::adopt(pfn))
    }

    /// A frame of zeros.
    ///
    /// # Errors
    /// When no frame is free.
    pub fn alloc_zeroed() -> Result<Frame, AllocError> {
        let frame = Frame::alloc()?;
        frame.zero();
        Ok(frame)
    }

    /// Two neighbours of undefined content, the first at an address divisible by 8 KiB.
    ///
    /// # Errors
    /// When no such two are free.
    pub fn alloc_pair() -> Result<(Frame, Frame), AllocError> {
        let pfn = with_allocator(|buddy| buddy.take(1)).ok_or(AllocError)?;
        Ok((Frame::adopt(pfn), Frame::adopt(pfn + 1)))
    }

    /// Makes the first handle on a frame just taken from the allocator or from reserved RAM.
    pub(super) fn adopt(pfn: u32) -> Frame {
        let record = &records()[pfn as usize];
        debug_assert_eq!(record.count.load(Relaxed), 0);
        record.maps.store(0, Relaxed);
        record.next.store(FrameUse::Kernel as u32, Relaxed);
        record.count.store(1, Relaxed);
        Frame { pfn: NonZeroU32::new(pfn).expect("frame 0 is never given out") }
    }

    /// The same frame, counted under what it is used for from now on until it is freed.
    #[must_use]
    pub fn used_for(self, purpose: FrameUse) -> Frame {
        let before = self.record().next.swap(purpose as u32, Relaxed);
        count_use(before, purpose as u32);
        self
    }

    /// The frame's number: its address divided by the page size.
    pub fn pfn(&self) -> u64 {
        u64::from(self.pfn.get())
    }

    /// The address of its first byte.
    pub fn phys(&self) -> PhysAddr {
        PhysAddr::from_pfn(self.pfn())
    }

    /// How many handles there are.
    pub fn count(&self) -> u32 {
        self.record().count.load(Relaxed)
    }

    /// How many page-table entries map it, as `mm` counts them.
    pub fn map_count(&self) -> u32 {
        self.record().maps.load(Relaxed)
    }

    /// One more page-table entry maps it.
    pub fn inc_map_count(&self) {
        let record = self.record();
        if record.maps.fetch_add(1, Relaxed) == 0 && record.next.load(Relaxed) == FrameUse::Shared as u32 {
            MAPPED_SHARED.fetch_add(1, Relaxed);
        }
    }

    /// One page-table entry less maps it; returns how many are left.
    pub fn dec_map_count(&self) -> u32 {
        let record = self.record();
        let before = record.maps.fetch_sub(1, Relaxed);
        debug_assert_ne!(before, 0);
        if before == 1 && record.next.load(Relaxed) == FrameUse::Shared as u32 {
            MAPPED_SHARED.fetch_sub(1, Relaxed);
        }
        before.wrapping_sub(1)
    }

    /// Copies `buffer.len()` bytes from byte `offset` on.
    ///
    /// # Panics
    /// If the range leaves the frame.
    pub fn read_at(&self, offset: usize, buffer: &mut [u8]) {
        let source = self.range(offset, buffer.len());
        // SAFETY: `range` checked that the bytes lie in this frame, which the direct map covers and this handle keeps;
        // `buffer` is kernel memory of its own, never a frame's.
        unsafe { core::ptr::copy_nonoverlapping(source, buffer.as_mut_ptr(), buffer.len()) }
    }

    /// Copies `bytes` to byte `offset` on.
    ///
    /// # Panics
    /// If the range leaves the frame.
    pub fn write_at(&self, offset: usize, bytes: &[u8]) {
        let target = self.range(offset, bytes.len());
        // SAFETY: as in `read_at`, with the directions exchanged.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) }
    }

    /// Fills it with zeros.
    pub fn zero(&self) {
        // SAFETY: the frame is RAM in the direct map, kept by this handle.
        unsafe { core::ptr::write_bytes(self.phys().as_ptr(), 0, PAGE_SIZE as usize) }
    }

    /// Fills it with the content of `source`.
    pub fn copy_from(&self, source: &Frame) {
        // SAFETY: both frames are RAM in the direct map, kept by their handles; `copy` allows them to be the same.
        unsafe { core::ptr::copy(source.phys().as_ptr(), self.phys().as_ptr(), PAGE_SIZE as usize) }
    }

    /// Reads the aligned 8-byte word number `index` (0 to 511), as one access.
    ///
    /// # Panics
    /// If `index` is past the frame's end.
    pub fn read_u64(&self, index: usize) -> u64 {
        // SAFETY: `word` gives an aligned word of this frame; the MMU may change it (accessed, dirty), hence volatile.
        unsafe { core::ptr::read_volatile(self.word(index)) }
    }

    /// Writes the aligned 8-byte word number `index` (0 to 511), as one access.
    ///
    /// # Panics
    /// If `index` is past the frame's end.
    pub fn write_u64(&self, index: usize, value: u64) {
        // SAFETY: as in `read_u64`.
        unsafe { core::ptr::write_volatile(self.word(index), value) }
    }

    /// Gives up the handle but keeps its count, to be undone by `from_raw`; returns the frame's number.
    pub fn into_raw(self) -> u64 {
        let pfn = self.pfn();
        core::mem::forget(self);
        pfn
    }

    /// Makes the handle again that `into_raw` gave up.
    ///
    /// # Safety
    /// `pfn` is from `into_raw`, and used here once.
    ///
    /// # Panics
    /// If `pfn` is no frame's number.
    pub unsafe fn from_raw(pfn: u64) -> Frame {
        let pfn = u32::try_from(pfn).ok().and_then(NonZeroU32::new).expect("into_raw gave a frame number");
        Frame { pfn }
    }

    /// Another handle on a frame whose count somebody keeps in raw form; adds one.
    ///
    /// # Panics
    /// If the frame is not allocated: then the caller kept nothing.
    pub fn borrow_raw(pfn: u64) -> Frame {
        frame_of(PhysAddr::from_pfn(pfn)).expect("a count kept in raw form keeps the frame")
    }

    fn record(&self) -> &'static super::buddy::FrameRecord {
        &records()[self.pfn.get() as usize]
    }

    fn range(&self, offset: usize, len: usize) -> *mut u8 {
        let fits = offset.checked_add(len).is_some_and(|end| end <= PAGE_SIZE as usize);
        assert!(fits, "bytes {offset}+{len} are not inside a frame");
        self.phys().as_ptr().wrapping_add(offset)
    }

    fn word(&self, index: usize) -> *mut u64 {
        self.range(index * 8, 8).cast()
    }
}

impl Clone for Frame {
    fn clone(&self) -> Frame {
        let before = self.record().count.fetch_add(1, Relaxed);
        assert!(before < u32::MAX / 2, "frame count overflows");
        Frame { pfn: self.pfn }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let record = self.record();
        let before = record.count.fetch_sub(1, AcqRel);
        debug_assert_ne!(before, 0);
        if before == 1 {
            debug_assert_eq!(record.maps.load(Relaxed), 0, "a mapped frame is freed");
            record.maps.store(0, Relaxed);
            count_use(record.next.load(Relaxed), FrameUse::Kernel as u32);
            with_allocator(|buddy| buddy.free(self.pfn.get(), 0));
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:#x})", self.pfn())
    }
}

/// A new handle on the frame that `address` lies in, if it is RAM that somebody owns by count; adds one.
pub fn frame_of(address: PhysAddr) -> Option<Frame> {
    let pfn = u32::try_from(address.pfn()).ok().and_then(NonZeroU32::new)?;
    let record = records().get(pfn.get() as usize)?;
    if record.count.load(Relaxed) == 0 {
        return None;
    }
    record.count.fetch_add(1, Relaxed);
    Some(Frame { pfn })
}

#[cfg(test)]
mod tests {
    use super::{Frame, frame_of};
    use crate::phys::PhysAddr;

    #[test]
    fn handles_count_and_raw_forms_keep_the_count() {
        let frame = Frame::alloc_zeroed().unwrap();
        let second = frame.clone();
        assert_eq!(frame.count(), 2);
        let pfn = second.into_raw();
        assert_eq!(frame.count(), 2);
        let third = Frame::borrow_raw(pfn);
        assert_eq!(frame.count(), 3);
        // SAFETY: `pfn` is from `into_raw` above and used once.
        drop(unsafe { Frame::from_raw(pfn) });
        drop(third);
        assert_eq!(frame.count(), 1);
        assert_eq!(frame_of(frame.phys()).unwrap().pfn(), frame.pfn());
        assert!(frame_of(PhysAddr(0)).is_none());
    }

    #[test]
    fn content_is_copied_in_and_out() {
        let frame = Frame::alloc_zeroed().unwrap();
        frame.write_at(4090, b"abcdef");
        let other = Frame::alloc().unwrap();
        other.copy_from(&frame);
        let mut bytes = [0; 6];
        other.read_at(4090, &mut bytes);
        assert_eq!(&bytes, b"abcdef");
        other.write_u64(511, 0x1122_3344_5566_7788);
        assert_eq!((other.read_u64(511), other.read_u64(0)), (0x1122_3344_5566_7788, 0));
    }

    #[test]
    #[should_panic(expected = "not inside")]
    fn a_range_past_the_end_panics() {
        Frame::alloc().unwrap().write_at(4095, b"ab");
    }

    #[test]
    fn a_pair_is_aligned_to_8_kib() {
        let (first, second) = Frame::alloc_pair().unwrap();
        assert_eq!((first.pfn() % 2, second.pfn()), (0, first.pfn() + 1));
    }
}
