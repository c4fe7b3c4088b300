//! The holes between areas, found by size.
//!
//! Owns an index of the holes below areas: each by the start of the area above it, in a class for each power of two of its length in pages.
//! The hole above the last area is not in it. Knows no areas: whoever changes one tells the hole's ends before and after.
//! Invariant: an entry stands for a hole that has at least one page.
//! Source: Linux 6.12 mm/vma.c unmapped_area_topdown() (what is looked for; Linux has the sizes in the nodes of its maple tree).

use crate::phys::PAGE_SIZE;
use alloc::collections::BTreeSet;

/// The largest class: the whole lower half of addresses has 2^35 pages.
const CLASS_MAX: u32 = 36;

/// A range of addresses without areas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hole {
    /// Its first address.
    pub bottom: u64,
    /// One past its last; a hole that a stack's guard gap swallows has it below `bottom`.
    pub top: u64,
    /// Where the area above it starts: its name in the index.
    pub above: u64,
}

impl Hole {
    /// The highest place for `len` bytes in its part within `[low, high)`.
    pub(super) fn fit_high(self, low: u64, high: u64, len: u64) -> Option<u64> {
        let (bottom, top) = (self.bottom.max(low), self.top.min(high));
        (top >= bottom && top - bottom >= len).then(|| top - len)
    }

    /// The lowest place for `len` bytes in its part within `[low, high)`.
    pub(super) fn fit_low(self, low: u64, high: u64, len: u64) -> Option<u64> {
        let (bottom, top) = (self.bottom.max(low), self.top.min(high));
        (top >= bottom && top - bottom >= len).then_some(bottom)
    }

    fn class(self) -> Option<u32> {
        (self.top.saturating_sub(self.bottom) / PAGE_SIZE).checked_ilog2()
    }
}

/// The index.
#[derive(Debug, Default)]
pub(super) struct Gaps(BTreeSet<(u32, u64)>);

impl Gaps {
    pub(super) fn add(&mut self, hole: Hole) {
        if let Some(class) = hole.class() {
            self.0.insert((class, hole.above));
        }
    }

    pub(super) fn remove(&mut self, hole: Hole) {
        if let Some(class) = hole.class() {
            self.0.remove(&(class, hole.above));
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The highest fit for `len` bytes among the holes below areas that start below `high`; `hole` gives the one below an area's start.
    ///
    /// In the classes above that of `len` every hole is long enough, so one look each does; its own is gone through, from the top.
    pub(super) fn highest(&self, low: u64, high: u64, len: u64, hole: impl Fn(u64) -> Hole) -> Option<u64> {
        let first = (len / PAGE_SIZE).checked_ilog2()?;
        (first..=CLASS_MAX)
            .filter_map(|class| {
                let holes = self.0.range((class, 0)..(class, high)).rev().map(|&(_, above)| hole(above));
                holes.take_while(|hole| hole.top > low).find_map(|hole| hole.fit_high(low, high, len))
            })
            .max()
    }

    /// The lowest fit for `len` bytes among the holes below areas that start above `low`.
    pub(super) fn lowest(&self, low: u64, high: u64, len: u64, hole: impl Fn(u64) -> Hole) -> Option<u64> {
        let first = (len / PAGE_SIZE).checked_ilog2()?;
        (first..=CLASS_MAX)
            .filter_map(|class| {
                let holes = self.0.range((class, low)..(class, u64::MAX)).map(|&(_, above)| hole(above));
                holes.take_while(|hole| hole.bottom < high).find_map(|hole| hole.fit_low(low, high, len))
            })
            .min()
    }

    #[cfg(test)]
    pub(super) fn holds_exactly(&self, holes: impl Iterator<Item = Hole>) -> bool {
        self.0 == holes.filter_map(|hole| hole.class().map(|class| (class, hole.above))).collect()
    }
}
