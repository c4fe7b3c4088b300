//! The frame allocator: a binary buddy over one record per frame.
//!
//! Owns the free lists and the records. Knows neither RAM's layout (`ram` feeds it) nor owners (`frame`, `run`).
//! Invariants: a free block of order n is aligned to 2^n frames and only its first record says so; links are frame
//! numbers, 0 ending a list, since frame 0 is never given out. Last freed is first used: its cache lines and shadow
//! page-table entries are warm.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Orders 0..=MAX_ORDER: blocks of 4 KiB to 4 MiB.
pub(super) const MAX_ORDER: u32 = 10;

const FREE: u32 = 1 << 31;

/// What the kernel knows of one frame.
pub(super) struct FrameRecord {
    /// Handles on an allocated frame; 0 otherwise.
    pub(super) count: AtomicU32,
    /// Page-table entries that map an allocated frame; `FREE | order` in the first frame of a free block.
    pub(super) maps: AtomicU32,
    /// The next free block; of an allocated frame its `FrameUse`.
    pub(super) next: AtomicU32,
    previous: AtomicU32,
}

impl FrameRecord {
    #[cfg(not(target_os = "none"))]
    pub(super) const fn new() -> Self {
        FrameRecord {
            count: AtomicU32::new(0),
            maps: AtomicU32::new(0),
            next: AtomicU32::new(0),
            previous: AtomicU32::new(0),
        }
    }
}

pub(super) struct Buddy {
    records: &'static [FrameRecord],
    /// First free block of each order, 0 for none.
    heads: [u32; MAX_ORDER as usize + 1],
    /// How many free blocks there are of each order.
    pub(super) blocks: [u64; MAX_ORDER as usize + 1],
    pub(super) free_pages: u64,
    /// Pages given out and taken back since boot.
    pub(super) taken_pages: u64,
    pub(super) returned_pages: u64,
}

impl Buddy {
    pub(super) const fn new(records: &'static [FrameRecord]) -> Self {
        const ORDERS: usize = MAX_ORDER as usize + 1;
        Buddy { records, heads: [0; ORDERS], blocks: [0; ORDERS], free_pages: 0, taken_pages: 0, returned_pages: 0 }
    }

    /// Gives frames `first..end` to the allocator, whatever their alignment.
    pub(super) fn add(&mut self, first: u32, end: u32) {
        let mut pfn = first;
        while pfn < end {
            let fits = (end - pfn).ilog2();
            let order = pfn.trailing_zeros().min(fits).min(MAX_ORDER);
            self.insert(pfn, order);
            pfn += 1 << order;
        }
    }

    /// A block of 2^order frames, each with count 0; `None` when no block is large enough.
    pub(super) fn take(&mut self, order: u32) -> Option<u32> {
        let found = (order..=MAX_ORDER).find(|&o| self.heads[o as usize] != 0)?;
        let pfn = self.heads[found as usize];
        self.unlink(pfn, found);
        for smaller in (order..found).rev() {
            self.link(pfn + (1 << smaller), smaller);
        }
        self.free_pages -= 1 << order;
        self.taken_pages += 1 << order;
        Some(pfn)
    }

    /// Takes a block back and joins it with its free buddies.
    pub(super) fn free(&mut self, pfn: u32, order: u32) {
        self.returned_pages += 1 << order;
        self.insert(pfn, order);
    }

    fn insert(&mut self, pfn: u32, order: u32) {
        self.free_pages += 1 << order;
        let (mut pfn, mut order) = (pfn, order);
        while order < MAX_ORDER {
            let buddy = pfn ^ (1 << order);
            let Some(record) = self.records.get(buddy as usize) else { break };
            if record.maps.load(Relaxed) != FREE | order {
                break;
            }
            self.unlink(buddy, order);
            pfn = pfn.min(buddy);
            order += 1;
        }
        self.link(pfn, order);
    }

    fn link(&mut self, pfn: u32, order: u32) {
        let head = self.heads[order as usize];
        let record = &self.records[pfn as usize];
        record.maps.store(FREE | order, Relaxed);
        record.next.store(head, Relaxed);
        record.previous.store(0, Relaxed);
        if head != 0 {
            self.records[head as usize].previous.store(pfn, Relaxed);
        }
        self.heads[order as usize] = pfn;
        self.blocks[order as usize] += 1;
    }

    fn unlink(&mut self, pfn: u32, order: u32) {
        let record = &self.records[pfn as usize];
        debug_assert_eq!(record.maps.load(Relaxed), FREE | order);
        let (next, previous) = (record.next.load(Relaxed), record.previous.load(Relaxed));
        record.maps.store(0, Relaxed);
        self.blocks[order as usize] -= 1;
        if next != 0 {
            self.records[next as usize].previous.store(previous, Relaxed);
        }
        if previous != 0 {
            self.records[previous as usize].next.store(next, Relaxed);
        } else {
            self.heads[order as usize] = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Buddy, FrameRecord, MAX_ORDER};

    fn buddy(frames: usize) -> Buddy {
        let records: Vec<FrameRecord> = (0..frames).map(|_| FrameRecord::new()).collect();
        Buddy::new(Vec::leak(records))
    }

    #[test]
    fn all_frames_come_out_once_and_join_again() {
        let mut buddy = buddy(4096);
        buddy.add(3, 4096);
        assert_eq!(buddy.free_pages, 4093);
        let mut taken: Vec<u32> = std::iter::from_fn(|| buddy.take(0)).collect();
        assert_eq!(buddy.free_pages, 0);
        let order: Vec<u32> = taken.clone();
        taken.sort_unstable();
        assert_eq!(taken, (3..4096).collect::<Vec<u32>>());
        for pfn in order.into_iter().rev().step_by(2).chain([]) {
            buddy.free(pfn, 0);
        }
        assert!(buddy.take(MAX_ORDER).is_none());
    }

    #[test]
    fn freed_halves_make_a_large_block_again() {
        let mut buddy = buddy(2048);
        buddy.add(1024, 2048);
        let frames: Vec<u32> = (0..1024).map(|_| buddy.take(0).unwrap()).collect();
        assert!(buddy.take(0).is_none());
        for pfn in frames {
            buddy.free(pfn, 0);
        }
        assert_eq!(buddy.take(MAX_ORDER), Some(1024));
    }

    #[test]
    fn blocks_are_aligned_to_their_size() {
        let mut buddy = buddy(64);
        buddy.add(1, 64);
        let pair = buddy.take(1).unwrap();
        assert_eq!(pair % 2, 0);
        assert_eq!(buddy.take(4).unwrap() % 16, 0);
    }
}
