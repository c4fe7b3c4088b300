//! The id map of a user namespace.
//!
//! Source: Linux 6.12 kernel/user_namespace.c map_id_range_down(), map_id_up(); user_namespaces(7).

use alloc::vec::Vec;

/// `count` ids from `first` inside are `lower` onwards in the initial namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named in the type's sentence")]
pub struct Extent {
    pub first: u32,
    pub lower: u32,
    pub count: u32,
}

/// The extents of a map; none until it has been written.
#[derive(Clone, Debug, Default)]
pub struct IdMap {
    extents: Vec<Extent>,
}

impl IdMap {
    /// The map of the initial namespace: every id but the last is itself.
    pub fn identity() -> Self {
        IdMap { extents: alloc::vec![Extent { first: 0, lower: 0, count: u32::MAX }] }
    }

    /// The extents, in the order in which they show.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The kernel's id for `id` inside.
    pub fn down(&self, id: u32) -> Option<u32> {
        self.extents.iter().find_map(|e| {
            let offset = id.checked_sub(e.first)?;
            (offset < e.count).then(|| e.lower + offset)
        })
    }

    /// The id inside for the kernel's `id`.
    pub fn up(&self, id: u32) -> Option<u32> {
        self.extents.iter().find_map(|e| {
            let offset = id.checked_sub(e.lower)?;
            (offset < e.count).then(|| e.first + offset)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, IdMap};

    #[test]
    fn identity_maps_all_but_the_invalid_id() {
        let map = IdMap::identity();
        assert_eq!(map.down(0), Some(0));
        assert_eq!(map.up(u32::MAX - 1), Some(u32::MAX - 1));
        assert_eq!(map.down(u32::MAX), None);
    }

    #[test]
    fn ids_outside_of_every_extent_have_no_mapping() {
        let map = IdMap { extents: vec![Extent { first: 0, lower: 1000, count: 2 }] };
        assert_eq!(map.down(1), Some(1001));
        assert_eq!(map.down(2), None);
        assert_eq!(map.up(999), None);
    }
}
