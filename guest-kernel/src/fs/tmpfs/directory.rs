//! The entries of a tmpfs directory, with positions that survive changes.
//!
//! Owns entries only. Invariant: both maps hold the same entries; an entry keeps its position until it is removed, so a
//! reader of the directory sees each lasting entry exactly once.
//! Source: Linux 6.12 fs/libfs.c simple_offset_add(), offset_iterate_dir().

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use hashbrown::HashMap;

use super::Node;

/// The first position after `.` and `..`.
pub(super) const FIRST_OFFSET: u64 = 2;

/// The entries of a directory.
pub(super) struct Directory {
    offsets: HashMap<Arc<[u8]>, u64>,
    entries: BTreeMap<u64, (Arc<[u8]>, Arc<Node>)>,
    next_offset: u64,
}

impl Directory {
    pub(super) fn new() -> Self {
        Self { offsets: HashMap::new(), entries: BTreeMap::new(), next_offset: FIRST_OFFSET }
    }

    /// How many entries there are, `.` and `..` not counted.
    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<Arc<Node>> {
        let offset = self.offsets.get(name)?;
        self.entries.get(offset).map(|(_, node)| node.clone())
    }

    /// Adds an entry whose name is not there.
    pub(super) fn insert(&mut self, name: &[u8], node: Arc<Node>) {
        let name: Arc<[u8]> = name.into();
        self.offsets.insert(name.clone(), self.next_offset);
        self.entries.insert(self.next_offset, (name, node));
        self.next_offset += 1;
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Arc<Node>> {
        let offset = self.offsets.remove(name)?;
        self.entries.remove(&offset).map(|(_, node)| node)
    }

    /// The first entry at or after position `offset`.
    pub(super) fn next_from(&self, offset: u64) -> Option<(u64, Arc<[u8]>, Arc<Node>)> {
        let (&at, (name, node)) = self.entries.range(offset.max(FIRST_OFFSET)..).next()?;
        Some((at, name.clone(), node.clone()))
    }

    /// Empties the directory.
    pub(super) fn take_all(&mut self) -> Vec<Arc<Node>> {
        self.offsets.clear();
        core::mem::take(&mut self.entries).into_values().map(|(_, node)| node).collect()
    }
}
