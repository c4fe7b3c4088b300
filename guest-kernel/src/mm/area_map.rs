//! The areas of one address space, in order of address.
//!
//! Owns lookup, splitting and merging. Page tables and counters are the caller's.
//! Invariants: areas never overlap, and no two neighbours that Linux would have merged stay apart; `gaps` has the hole below each area.
//! Source: Linux 6.12 mm/vma.c vma_merge_new_range(), vma_modify(), __split_vma().

use super::gaps::{Gaps, Hole};
use super::vma::Vma;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Most areas that one address space may have, unless `vm.max_map_count` says otherwise.
pub const MAX_AREAS: usize = 65530;

/// Areas by start address.
#[derive(Debug)]
pub(super) struct AreaMap {
    areas: BTreeMap<u64, Vma>,
    gaps: Gaps,
    /// How many there may be, which may change at any time.
    most: Arc<AtomicUsize>,
}

impl Default for AreaMap {
    fn default() -> Self {
        Self { areas: BTreeMap::new(), gaps: Gaps::default(), most: Arc::new(AtomicUsize::new(MAX_AREAS)) }
    }
}

impl AreaMap {
    /// How many areas there may be.
    pub(super) fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// The number that says so, for a child.
    pub(super) fn shared_most(&self) -> Arc<AtomicUsize> {
        self.most.clone()
    }

    /// Lets `most` say from now on how many areas there may be.
    pub(super) fn obey(&mut self, most: Arc<AtomicUsize>) {
        self.most = most;
    }

    pub(super) fn len(&self) -> usize {
        self.areas.len()
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Vma> {
        self.areas.values()
    }

    /// The first area that ends above `addr` (`find_vma`).
    pub(super) fn at_or_above(&self, addr: u64) -> Option<&Vma> {
        match self.areas.range(..=addr).next_back() {
            Some((_, area)) if area.end > addr => Some(area),
            _ => self.areas.range(addr..).next().map(|(_, area)| area),
        }
    }

    /// The area that covers `addr`.
    pub(super) fn containing(&self, addr: u64) -> Option<&Vma> {
        self.areas.range(..=addr).next_back().map(|(_, area)| area).filter(|area| area.end > addr)
    }

    pub(super) fn containing_mut(&mut self, addr: u64) -> Option<&mut Vma> {
        self.areas.range_mut(..=addr).next_back().map(|(_, area)| area).filter(|area| area.end > addr)
    }

    /// The last area that starts below `addr`.
    pub(super) fn below(&self, addr: u64) -> Option<&Vma> {
        self.areas.range(..addr).next_back().map(|(_, area)| area)
    }

    /// The areas that share an address with `[start, end)`, in order.
    pub(super) fn overlapping(&self, start: u64, end: u64) -> impl DoubleEndedIterator<Item = &Vma> {
        let first = self.containing(start).map_or(start, |area| area.start);
        self.areas.range(first..end.max(first)).map(|(_, area)| area)
    }

    /// Whether every address of `[start, end)` is mapped.
    pub(super) fn covers(&self, start: u64, end: u64) -> bool {
        let mut next = start;
        for area in self.overlapping(start, end) {
            if area.start > next {
                return false;
            }
            next = area.end;
        }
        next >= end
    }

    /// Adds `new` where nothing is, joined with its neighbours as Linux joins them; returns where the result starts.
    pub(super) fn insert(&mut self, mut new: Vma) -> u64 {
        let prev = self.below(new.start).filter(|prev| prev.takes_after(&new));
        let next = self.areas.get(&new.end).filter(|next| next.takes_before(&new));
        // Both at once only when their families of private pages agree; the one below wins otherwise.
        let next = match (prev, next) {
            (Some(prev), Some(next)) => {
                let agree = match (prev.anon, next.anon) {
                    (Some(a), Some(b)) => a.id == b.id,
                    _ => true,
                };
                agree.then_some(next)
            }
            (_, next) => next,
        };
        let (prev, next) = (prev.map(|area| area.start), next.map(|area| area.start));
        if let Some(next) = next.and_then(|key| self.take(key)) {
            new.end = next.end;
            new.anon = new.anon.or(next.anon);
        }
        if let Some(mut prev) = prev.and_then(|key| self.take(key)) {
            prev.end = new.end;
            prev.anon = prev.anon.or(new.anon);
            new = prev;
        }
        let start = new.start;
        self.put(new);
        start
    }

    /// The hole below `area`, which is in the map or is to be.
    fn hole_below(&self, area: &Vma) -> Hole {
        let bottom = self.below(area.start).map_or(0, |below| below.end);
        Hole { bottom, top: area.start_with_gap(), above: area.start }
    }

    /// The first area that starts at `addr` or above.
    fn starting_from(&self, addr: u64) -> Option<&Vma> {
        self.areas.range(addr..).next().map(|(_, area)| area)
    }

    /// Adds `area` as it is.
    fn put(&mut self, area: Vma) {
        let below = self.hole_below(&area);
        if let Some(next) = self.starting_from(area.end) {
            let whole = self.hole_below(next);
            self.gaps.remove(whole);
            self.gaps.add(Hole { bottom: area.end, ..whole });
        }
        self.gaps.add(below);
        self.areas.insert(area.start, area);
    }

    /// Takes the area at `start` out.
    fn take(&mut self, start: u64) -> Option<Vma> {
        let area = self.areas.remove(&start)?;
        let below = self.hole_below(&area);
        self.gaps.remove(below);
        if let Some(next) = self.starting_from(area.end) {
            let whole = self.hole_below(next);
            self.gaps.remove(Hole { bottom: area.end, ..whole });
            self.gaps.add(whole);
        }
        Some(area)
    }

    /// The highest place for `len` bytes (a number of pages) within `[low, high)`.
    pub(super) fn highest_gap(&self, low: u64, high: u64, len: u64) -> Option<u64> {
        self.hole_around(high)
            .fit_high(low, high, len)
            .or_else(|| self.gaps.highest(low, high, len, |above| self.hole_at(above)))
    }

    /// The lowest place for `len` bytes (a number of pages) within `[low, high)`.
    pub(super) fn lowest_gap(&self, low: u64, high: u64, len: u64) -> Option<u64> {
        let last = self.areas.last_key_value().map_or(0, |(_, area)| area.end);
        let above_all = Hole { bottom: last, top: u64::MAX, above: u64::MAX };
        let found = self.gaps.lowest(low, high, len, |above| self.hole_at(above));
        found.or_else(|| above_all.fit_low(low, high, len))
    }

    /// The hole that ends at the first area from `addr` on; past the last area it has no end.
    fn hole_around(&self, addr: u64) -> Hole {
        let bottom = self.below(addr).map_or(0, |below| below.end);
        let top = self.starting_from(addr).map_or(u64::MAX, Vma::start_with_gap);
        Hole { bottom, top, above: addr }
    }

    fn hole_at(&self, above: u64) -> Hole {
        self.areas.get(&above).map_or(Hole { bottom: above, top: above, above }, |area| self.hole_below(area))
    }

    /// Adds `new` where nothing is, never joined: what `fork` copies was apart already.
    pub(super) fn insert_apart(&mut self, new: Vma) {
        self.put(new);
    }

    /// Takes the first piece of `[start, end)` out, cutting an area that reaches over the ends.
    ///
    /// One at a time: a list of all would be the kernel's largest allocation, of a size that the program chooses.
    pub(super) fn remove_first(&mut self, start: u64, end: u64) -> Option<Vma> {
        let key = self.overlapping(start, end).next()?.start;
        let area = self.take(key)?;
        if area.start < start {
            self.put(area.slice(area.start, start));
        }
        if area.end > end {
            self.put(area.slice(end, area.end));
        }
        Some(area.slice(area.start.max(start), area.end.min(end)))
    }

    /// How many more areas there would be after taking `[start, end)` out of the middle of others.
    pub(super) fn cuts(&self, start: u64, end: u64) -> usize {
        let cut = |addr| self.containing(addr).is_some_and(|area| area.start < addr);
        usize::from(cut(start)) + usize::from(cut(end))
    }

    /// Changes the areas of `[start, end)` (which lie inside one area) by `change`, splitting and joining as needed;
    /// returns where the changed area starts afterwards.
    pub(super) fn modify(&mut self, start: u64, end: u64, change: impl Fn(&mut Vma)) -> u64 {
        let Some(mut piece) = self.remove_first(start, end) else { return start };
        change(&mut piece);
        self.insert(piece)
    }

    /// Moves the lower end of the area at `start` down to `new_start`.
    pub(super) fn extend_down(&mut self, start: u64, new_start: u64) {
        if let Some(mut area) = self.take(start) {
            area.page_offset = area.page_offset.wrapping_sub((start - new_start) / crate::phys::PAGE_SIZE);
            area.start = new_start;
            self.put(area);
        }
    }

    /// Empties the map, giving the areas to the caller to drop without a lock held.
    pub(super) fn take_all(&mut self) -> BTreeMap<u64, Vma> {
        self.gaps.clear();
        core::mem::take(&mut self.areas)
    }
}

#[cfg(test)]
mod tests {
    use super::super::vma::VmFlags;
    use super::*;
    use crate::phys::PAGE_SIZE;

    /// A small generator, so that a failure repeats.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % limit
        }
    }

    #[test]
    fn random_changes_agree_with_a_page_by_page_model() {
        const PAGES: u64 = 48;
        for seed in 1..60 {
            let mut numbers = Numbers(seed);
            let mut map = AreaMap::default();
            let mut model: Vec<Option<VmFlags>> = vec![None; PAGES as usize];
            for step in 0..200 {
                let first = numbers.below(PAGES);
                let last = first + 1 + numbers.below((PAGES - first).min(9));
                let (start, end) = (first * PAGE_SIZE, last * PAGE_SIZE);
                let flags = [VmFlags::READ, VmFlags::READ | VmFlags::WRITE][numbers.below(2) as usize];
                let cells = &mut model[first as usize..last as usize];
                match numbers.below(3) {
                    0 => {
                        while map.remove_first(start, end).is_some() {}
                        cells.fill(None);
                    }
                    1 => {
                        while map.remove_first(start, end).is_some() {}
                        map.insert(Vma::anonymous(start, end, flags));
                        cells.fill(Some(flags));
                    }
                    _ => {
                        for page in first..last {
                            let at = page * PAGE_SIZE;
                            if map.containing(at).is_some() {
                                map.modify(at, at + PAGE_SIZE, |area| area.flags = flags);
                            }
                        }
                        cells.iter_mut().flatten().for_each(|cell| *cell = flags);
                    }
                }
                check(&map, &model);
                if step % 8 == 0 {
                    check_places(&map, &model);
                }
            }
        }
    }

    fn check(map: &AreaMap, model: &[Option<VmFlags>]) {
        let mut runs: Vec<(u64, u64, VmFlags)> = Vec::new();
        for (page, flags) in (0_u64..).zip(model) {
            let (start, end) = (page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
            match (flags, runs.last_mut()) {
                (Some(flags), Some(run)) if run.1 == start && run.2 == *flags => run.1 = end,
                (Some(flags), _) => runs.push((start, end, *flags)),
                (None, _) => {}
            }
        }
        let areas: Vec<_> = map.iter().map(|area| (area.start, area.end, area.flags)).collect();
        assert_eq!(areas, runs);
        assert!(map.iter().all(|area| area.page_offset == area.start / PAGE_SIZE));
        assert!(map.gaps.holds_exactly(map.iter().map(|area| map.hole_below(area))));
    }

    /// Every place that is found is the one that trying each page would find.
    fn check_places(map: &AreaMap, model: &[Option<VmFlags>]) {
        let pages = model.len() as u64;
        for (low, high) in [(0, pages), (pages / 3, pages - 1)] {
            for len in [1, 3, 8] {
                let fits = |&first: &u64| {
                    first + len <= high && model[first as usize..(first + len) as usize].iter().all(Option::is_none)
                };
                let in_pages = |place: Option<u64>| place.map(|addr| addr / PAGE_SIZE);
                let (from, to, bytes) = (low * PAGE_SIZE, high * PAGE_SIZE, len * PAGE_SIZE);
                assert_eq!(in_pages(map.highest_gap(from, to, bytes)), (low..high).rev().find(fits));
                assert_eq!(in_pages(map.lowest_gap(from, to, bytes)), (low..high).find(fits));
            }
        }
    }
}
