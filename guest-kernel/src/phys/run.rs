//! A run of neighbouring frames: kernel stacks, heap chunks, device rings.
//!
//! Owns 2^order frames as one block, freed together. Invariant: the counts inside stay 0 but the first, so `frame_of`
//! gives no handle on the rest.

use super::buddy::MAX_ORDER;
use super::ram::{records, with_allocator};
use super::{AllocError, PAGE_SIZE, PhysAddr};
use core::sync::atomic::Ordering::Relaxed;

/// An owned block of neighbouring frames.
#[derive(Debug)]
pub struct FrameRun {
    pfn: u32,
    order: u32,
}

impl FrameRun {
    /// At least `pages` neighbours (the next power of two) of undefined content, aligned to their size.
    ///
    /// # Errors
    /// When no block is large enough, and always for more than 1024 pages.
    pub fn alloc(pages: usize) -> Result<FrameRun, AllocError> {
        let order = order_of(pages).ok_or(AllocError)?;
        let pfn = with_allocator(|buddy| buddy.take(order)).ok_or(AllocError)?;
        records()[pfn as usize].count.store(1, Relaxed);
        Ok(FrameRun { pfn, order })
    }

    /// The address of its first byte.
    pub fn phys(&self) -> PhysAddr {
        PhysAddr::from_pfn(u64::from(self.pfn))
    }

    /// Where the kernel sees its first byte.
    pub fn as_ptr(&self) -> *mut u8 {
        self.phys().as_ptr()
    }

    /// How many frames it has.
    pub fn pages(&self) -> usize {
        1 << self.order
    }

    /// How many bytes it has.
    pub fn len_bytes(&self) -> usize {
        self.pages() * PAGE_SIZE as usize
    }

    /// Fills it with zeros.
    pub fn zero(&self) {
        // SAFETY: the run is RAM in the direct map, owned by this handle.
        unsafe { core::ptr::write_bytes(self.as_ptr(), 0, self.len_bytes()) }
    }

    /// Gives up the handle and keeps the block, to be undone by `from_raw`; returns its address.
    pub fn into_raw(self) -> PhysAddr {
        let phys = self.phys();
        core::mem::forget(self);
        phys
    }

    /// Makes the handle again that `into_raw` gave up.
    ///
    /// # Safety
    /// `phys` is from `into_raw` of a run that was allocated with this many `pages`, and used here once.
    ///
    /// # Panics
    /// If `phys` or `pages` cannot be a run's.
    pub unsafe fn from_raw(phys: PhysAddr, pages: usize) -> FrameRun {
        let pfn = u32::try_from(phys.pfn()).expect("a run's address is in RAM");
        FrameRun { pfn, order: order_of(pages).expect("a run of that size was allocated") }
    }
}

fn order_of(pages: usize) -> Option<u32> {
    let order = pages.max(1).checked_next_power_of_two()?.ilog2();
    (order <= MAX_ORDER).then_some(order)
}

impl Drop for FrameRun {
    fn drop(&mut self) {
        records()[self.pfn as usize].count.store(0, Relaxed);
        with_allocator(|buddy| buddy.free(self.pfn, self.order));
    }
}

#[cfg(test)]
mod tests {
    use super::FrameRun;

    #[test]
    fn a_run_is_rounded_up_and_aligned() {
        let run = FrameRun::alloc(3).unwrap();
        assert_eq!(run.pages(), 4);
        assert_eq!(run.phys().as_u64() % 0x4000, 0);
        run.zero();
        assert!(FrameRun::alloc(1025).is_err());
    }
}
