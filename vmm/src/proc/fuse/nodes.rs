//! Which path each inode number that the kernel holds was found at.
//!
//! A node stays as long as the kernel has more lookups of it than it has forgotten, as FUSE counts them. Only a path is kept, no fid: what
//! the kernel holds costs the guest nothing, and a thousand looked-up processes no open file.
//! Invariant: the root is always there; its number here is FUSE's, whatever the guest calls it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::proc::pipeline::{MAX_NAMES, Path, Target};

/// FUSE's number of the root (FUSE_ROOT_ID).
pub(super) const ROOT: u64 = 1;

struct Node {
    path: Path,
    lookups: u64,
}

#[derive(Default)]
pub(super) struct Nodes {
    /// By inode number; without the root.
    by_ino: HashMap<u64, Node>,
}

impl Nodes {
    /// The node as the other side is asked for it; `None` for a number that the kernel was not told.
    pub(super) fn target(&self, ino: u64) -> Option<Target> {
        if ino == ROOT {
            return Some(Target { path: Arc::new([]), ino: None });
        }
        self.by_ino.get(&ino).map(|node| Target { path: Arc::clone(&node.path), ino: Some(ino) })
    }

    /// Notes that the kernel was told of `ino` at `path` once more.
    pub(super) fn remember(&mut self, ino: u64, path: &Path) {
        let node = self.by_ino.entry(ino).or_insert_with(|| Node { path: Arc::clone(path), lookups: 0 });
        node.path = Arc::clone(path);
        node.lookups += 1;
    }

    /// Notes that the kernel has forgotten `lookups` of them.
    pub(super) fn forget(&mut self, ino: u64, lookups: u64) {
        if let Some(node) = self.by_ino.get_mut(&ino) {
            node.lookups = node.lookups.saturating_sub(lookups);
            if node.lookups == 0 {
                self.by_ino.remove(&ino);
            }
        }
    }
}

/// The path of `name` in the directory at `parent`; `None` if that is deeper than a path can be.
pub(super) fn child(parent: &Path, name: &[u8]) -> Option<Path> {
    (parent.len() < MAX_NAMES).then(|| parent.iter().map(Vec::clone).chain([name.to_vec()]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_lives_until_each_lookup_is_forgotten() {
        let mut nodes = Nodes::default();
        let one = child(&nodes.target(ROOT).unwrap().path, b"1").unwrap();
        let status = child(&one, b"status").unwrap();
        nodes.remember(7, &status);
        nodes.remember(7, &status);
        nodes.forget(7, 1);
        let target = nodes.target(7).unwrap();
        assert_eq!((&target.path[..], target.ino), (&[b"1".to_vec(), b"status".to_vec()][..], Some(7)));
        nodes.forget(7, 5);
        assert!(nodes.target(7).is_none());
        nodes.forget(7, 1);
        nodes.forget(ROOT, u64::MAX);
        assert_eq!(nodes.target(ROOT).unwrap().ino, None);
    }

    #[test]
    fn a_path_is_no_deeper_than_one_walk() {
        let mut path: Path = Arc::new([]);
        for _ in 0..MAX_NAMES {
            path = child(&path, b"x").unwrap();
        }
        assert!(child(&path, b"x").is_none());
    }
}
