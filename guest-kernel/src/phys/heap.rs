//! The kernel heap: talc over runs of frames, taken as they are needed.
//!
//! Owns the global allocator. Invariants: a chunk is claimed whole and given back whole, once nothing in it is in use; an
//! exhausted RAM makes allocation return null, once the reserve is used up.
//! Locks: the allocator's own, around `Rank::FRAMES`; interrupt handlers run only where it is free.

use super::{FrameRun, PAGE_SIZE, page_floor};
use core::alloc::Layout;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use talc::TalcLock;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

/// A chunk is at least this many pages, so that small kernels grow rarely and large allocations do not waste.
const CHUNK_PAGES: usize = 16;
/// What the allocator itself needs in a chunk, generously: its bins in the first, boundary tags in each.
const OVERHEAD_BYTES: usize = PAGE_SIZE as usize;

static HEAP_PAGES: AtomicU64 = AtomicU64::new(0);

/// Pages of a chunk of the reserve: no allocation that must succeed is larger.
const RESERVE_CHUNK_PAGES: usize = 64;
/// The reserve is this part of RAM, and at least and at most so many chunks.
const RESERVE_PART: u64 = 32;
const RESERVE_CHUNKS: (usize, usize) = (4, 64);

/// Whether less than half of the reserve is left.
static RESERVE_IS_LOW: AtomicBool = AtomicBool::new(false);

#[global_allocator]
static HEAP: TalcLock<spin::Mutex<()>, FrameChunks> = TalcLock::new(FrameChunks::new());

/// Sets the reserve aside: most allocations of the kernel cannot fail without ending it, and programs decide how many there
/// are. It consists of whole chunks, since free frames are scattered when memory is short.
pub(super) fn make_reserve(total_pages: u64) {
    let wanted = total_pages / RESERVE_PART / RESERVE_CHUNK_PAGES as u64;
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).clamp(RESERVE_CHUNKS.0, RESERVE_CHUNKS.1);
    let source = &mut HEAP.lock().source;
    source.wanted = wanted;
    source.refill();
}

/// Whether the heap lives off its reserve and could not fill it up again: memory must be freed before more is asked of it.
pub fn is_exhausted() -> bool {
    if !RESERVE_IS_LOW.load(Relaxed) {
        return false;
    }
    let source = &mut HEAP.lock().source;
    source.refill();
    source.is_low()
}

/// Pages that the heap has taken.
pub(crate) fn heap_pages() -> u64 {
    HEAP_PAGES.load(Relaxed)
}

#[derive(Debug)]
struct FrameChunks {
    reserve: [Option<FrameRun>; RESERVE_CHUNKS.1],
    held: usize,
    wanted: usize,
}

impl FrameChunks {
    const fn new() -> Self {
        FrameChunks { reserve: [const { None }; RESERVE_CHUNKS.1], held: 0, wanted: 0 }
    }

    fn is_low(&self) -> bool {
        self.held < self.wanted.div_ceil(2)
    }

    fn refill(&mut self) {
        while self.held < self.wanted {
            let Ok(run) = FrameRun::alloc(RESERVE_CHUNK_PAGES) else { break };
            self.keep(run);
        }
        RESERVE_IS_LOW.store(self.is_low(), Relaxed);
    }

    fn keep(&mut self, run: FrameRun) {
        self.reserve[self.held] = Some(run);
        self.held += 1;
    }

    fn take(&mut self) -> Option<FrameRun> {
        self.held = self.held.checked_sub(1)?;
        RESERVE_IS_LOW.store(self.is_low(), Relaxed);
        self.reserve[self.held].take()
    }
}

// SAFETY: `acquire` uses only the frame allocator, which never allocates from the heap.
unsafe impl Source for FrameChunks {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let bytes = layout.size().checked_add(layout.align()).and_then(|sum| sum.checked_add(OVERHEAD_BYTES));
        let pages = bytes.ok_or(())?.div_ceil(PAGE_SIZE as usize);
        let fresh = FrameRun::alloc(pages.max(CHUNK_PAGES)).or_else(|_| FrameRun::alloc(pages)).ok();
        let from_reserve = || if pages <= RESERVE_CHUNK_PAGES { talc.source.take() } else { None };
        let run = fresh.or_else(from_reserve).ok_or(())?;
        let (count, len) = (run.pages() as u64, run.len_bytes());
        let base = run.into_raw().as_ptr();
        // SAFETY: the run is RAM of that length that was just taken for good; nobody else knows it.
        unsafe { talc.claim(base, len) }.ok_or(())?;
        HEAP_PAGES.fetch_add(count, Relaxed);
        Ok(())
    }

    const TRACK_HEAP_END: bool = true;

    unsafe fn resize(&mut self, chunk_base: *mut u8, heap_end: *mut u8, is_heap_base: bool) -> *mut u8 {
        if !is_heap_base {
            return heap_end;
        }
        // The allocator's own base lies a few bytes above that of the run, and the run's end is a page's.
        let base = page_floor(chunk_base as u64 - 1);
        let len = heap_end as u64 - base;
        let pages = usize::try_from(len / PAGE_SIZE).expect("a chunk fits in memory");
        let Some(phys) = crate::platform::phys_of_mut(base as *mut u8) else { return heap_end };
        // SAFETY: nothing in the chunk is in use, chunks are never cut or extended, and talc forgets this one as
        // `chunk_base` is returned; so this is the run that `acquire` gave up, and this undoes it once.
        let run = unsafe { FrameRun::from_raw(phys, pages) };
        if pages == RESERVE_CHUNK_PAGES && self.held < self.wanted {
            self.keep(run);
        } else {
            drop(run);
        }
        HEAP_PAGES.fetch_sub(pages as u64, Relaxed);
        chunk_base
    }
}
