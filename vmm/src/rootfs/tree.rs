//! The guest's root file system as a tree of names, before it becomes an archive.
//!
//! Holds what each name is and where its bytes lie on the host; never the bytes of a host file. Paths are absolute guest paths without
//! `.`, `..` or doubled slashes, and the parents of every node are in the tree: `Tree` keeps both.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// A host inode, by which names of one file (hard links) are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostInode {
    /// The device number, as `stat` has it.
    pub device: u64,
    /// The inode number on that device.
    pub inode: u64,
}

/// Where a regular file's bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file of the host, read when the archive is written.
    Host {
        /// Its path on the host.
        path: PathBuf,
        /// Its length in bytes when the tree was made.
        len: u64,
        /// Its identity: two nodes with one identity become hard links.
        identity: HostInode,
    },
    /// Bytes of our own.
    Bytes(Vec<u8>),
}

/// What a name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symbolic link and its target, as it is written.
    Symlink(OsString),
    /// A regular file.
    File(Content),
}

/// Owner, permissions and time of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The permission bits (07777), without the type.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Seconds since 1970; what does not fit in 32 bits is cut off, since the archive has no more.
    pub mtime: u32,
}

impl Attributes {
    /// Root's, with `mode` and the time 0.
    pub fn root(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: 0 }
    }
}

/// One name of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Owner, permissions, time.
    pub attributes: Attributes,
    /// What it is.
    pub kind: Kind,
}

/// The names below `/`; the root itself is implied.
#[derive(Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<PathBuf, Node>,
}

impl Tree {
    /// A tree with nothing below `/`.
    pub fn new() -> Self {
        Self::default()
    }

    /// The node at exactly this path: no symbolic link is followed.
    pub fn get(&self, path: &Path) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Puts a node at `path`, which replaces what was there; parents that are missing become directories of root with mode 0755.
    pub fn insert(&mut self, path: &Path, node: Node) {
        debug_assert!(path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))));
        self.make_parents(path);
        self.nodes.insert(path.to_owned(), node);
    }

    /// Puts a directory at `path` unless some node is there.
    pub fn ensure_directory(&mut self, path: &Path, mode: u32) {
        if path != Path::new("/") && !self.nodes.contains_key(path) {
            self.insert(path, Node { attributes: Attributes::root(mode), kind: Kind::Directory });
        }
    }

    /// Every node with its path, parents before children.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_path(), node))
    }

    fn make_parents(&mut self, path: &Path) {
        let missing: Vec<PathBuf> = path
            .ancestors()
            .skip(1)
            .take_while(|parent| *parent != Path::new("/") && !self.nodes.contains_key(*parent))
            .map(Path::to_owned)
            .collect();
        for parent in missing {
            self.nodes.insert(parent, Node { attributes: Attributes::root(0o755), kind: Kind::Directory });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insert_makes_the_parents_once() {
        let mut tree = Tree::new();
        tree.ensure_directory(Path::new("/a"), 0o700);
        tree.insert(
            Path::new("/a/b/c"),
            Node { attributes: Attributes::root(0o644), kind: Kind::File(Content::Bytes(b"x".to_vec())) },
        );
        let names: Vec<_> = tree.iter().map(|(path, node)| (path.to_str().unwrap(), node.attributes.mode)).collect();
        assert_eq!(names, [("/a", 0o700), ("/a/b", 0o755), ("/a/b/c", 0o644)]);
    }
}
