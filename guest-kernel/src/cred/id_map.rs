//! The id map of a user namespace.
//!
//! Owns translation between ids inside and the kernel's ids. A map is made once, whole, and never changes.
//! Invariants: the ranges inside do not overlap, nor do those outside, and none wraps (`procfs_core::pid::id_map::parse`
//! has checked both); with more than five extents they are ascending by `first`.
//! Source: Linux 6.12 kernel/user_namespace.c map_id_range_down(), map_id_up(), sort_idmaps(); user_namespaces(7).

use alloc::vec::Vec;

pub use procfs_core::pid::id_map::Extent;
use procfs_core::pid::id_map::{EXTENTS_MAX, EXTENTS_UNSORTED};

/// The extents of a map, as `first` inside and `lower` in the initial namespace; none until it has been written.
#[derive(Clone, Debug, Default)]
pub struct IdMap {
    extents: Vec<Extent>,
    /// The same ascending by `lower`, for maps that are long enough to be searched.
    by_lower: Vec<Extent>,
}

impl IdMap {
    /// The map of the initial namespace: every id but the last is itself.
    #[must_use]
    pub fn identity() -> Self {
        Self::new(alloc::vec![Extent { first: 0, lower: 0, count: u32::MAX }])
    }

    /// The map of `extents`, which `procfs_core::pid::id_map::parse` has checked and ordered.
    #[must_use]
    pub fn new(extents: Vec<Extent>) -> Self {
        debug_assert!(extents.len() <= EXTENTS_MAX);
        let mut by_lower = Vec::new();
        if extents.len() > EXTENTS_UNSORTED {
            by_lower.clone_from(&extents);
            by_lower.sort_unstable_by_key(|extent| extent.lower);
        }
        IdMap { extents, by_lower }
    }

    /// The extents, in the order in which they show.
    #[must_use]
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// Whether it has not been written yet.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        self.extents.is_empty()
    }

    /// The kernel's id for `id` inside.
    #[must_use]
    pub fn down(&self, id: u32) -> Option<u32> {
        self.down_range(id, 1)
    }

    /// The kernel's id for the first of the `count` ids from `id` inside, if one extent has all of them.
    #[must_use]
    pub fn down_range(&self, id: u32, count: u32) -> Option<u32> {
        let extent = find(&self.extents, !self.by_lower.is_empty(), id, |extent| extent.first)?;
        let offset = id - extent.first;
        (count <= extent.count - offset).then(|| extent.lower + offset)
    }

    /// The id inside for the kernel's `id`.
    #[must_use]
    pub fn up(&self, id: u32) -> Option<u32> {
        let is_long = !self.by_lower.is_empty();
        let extents = if is_long { &self.by_lower } else { &self.extents };
        let extent = find(extents, is_long, id, |extent| extent.lower)?;
        Some(extent.first + (id - extent.lower))
    }
}

/// The extent whose range from `start` has `id`; by bisection where the extents are sorted by it.
fn find(extents: &[Extent], is_sorted: bool, id: u32, start: fn(&Extent) -> u32) -> Option<&Extent> {
    let has = |extent: &&Extent| id.checked_sub(start(extent)).is_some_and(|offset| offset < extent.count);
    if is_sorted {
        let after = extents.partition_point(|extent| start(extent) <= id);
        return extents[..after].last().filter(has);
    }
    extents.iter().find(has)
}

#[cfg(test)]
mod tests {
    use super::{Extent, IdMap};

    fn extent(first: u32, lower: u32, count: u32) -> Extent {
        Extent { first, lower, count }
    }

    #[test]
    fn identity_maps_all_but_the_invalid_id() {
        let map = IdMap::identity();
        assert_eq!(map.down(0), Some(0));
        assert_eq!(map.up(u32::MAX - 1), Some(u32::MAX - 1));
        assert_eq!(map.down(u32::MAX), None);
    }

    #[test]
    fn ids_outside_of_every_extent_have_no_mapping() {
        let map = IdMap::new(vec![extent(0, 1000, 2)]);
        assert_eq!(map.down(1), Some(1001));
        assert_eq!(map.down(2), None);
        assert_eq!(map.up(999), None);
        assert_eq!(map.up(1002), None);
        assert_eq!(IdMap::default().down(0), None);
    }

    #[test]
    fn a_range_must_lie_in_one_extent() {
        let map = IdMap::new(vec![extent(0, 1000, 2), extent(2, 1002, 2)]);
        assert_eq!(map.down_range(0, 2), Some(1000));
        assert_eq!(map.down_range(1, 2), None);
        assert_eq!(map.down_range(3, 1), Some(1003));
        assert_eq!(map.down_range(3, 2), None);
    }

    #[test]
    fn a_long_map_translates_as_a_short_one_does() {
        // Outside descending while inside ascends, with gaps on both sides.
        let extents: Vec<_> = (0..340).map(|i| extent(i * 10, 1_000_000 - i * 7, 5)).collect();
        let long = IdMap::new(extents.clone());
        for id in 0..3420 {
            let slow = extents.iter().find(|e| (e.first..e.first + e.count).contains(&id));
            assert_eq!(long.down(id), slow.map(|e| e.lower + id - e.first), "{id}");
        }
        for id in 997_600..1_000_010 {
            let slow = extents.iter().find(|e| (e.lower..e.lower + e.count).contains(&id));
            assert_eq!(long.up(id), slow.map(|e| e.first + id - e.lower), "{id}");
        }
    }
}
