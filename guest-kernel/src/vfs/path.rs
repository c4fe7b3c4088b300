//! A place in the mounted tree, and its text.
//!
//! Source: Linux 6.12 fs/d_path.c prepend_path(), d_path(); include/linux/path.h.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::dentry::Dentry;
use super::inode::Inode;
use super::metadata::FileKind;
use super::mount::Mount;

/// A dentry as seen through a mount.
#[derive(Clone)]
pub struct Path {
    /// The mount.
    pub mount: Arc<Mount>,
    /// The dentry.
    pub dentry: Arc<Dentry>,
}

impl Path {
    /// The inode at this place.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        self.dentry.inode()
    }

    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.inode().kind() == FileKind::Directory
    }

    /// Whether both are one place.
    #[must_use]
    pub fn is_same(&self, other: &Path) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && Arc::ptr_eq(&self.dentry, &other.dentry)
    }

    /// Whether the mounted tree leads from `root` to it (is_path_reachable()).
    #[must_use]
    pub fn is_reachable_from(&self, root: &Path) -> bool {
        let mut at = self.clone();
        while !Arc::ptr_eq(&at.mount, &root.mount) {
            let Some(point) = at.mount.parent_point() else { return false };
            at = point;
        }
        at.dentry.is_below(&root.dentry)
    }

    /// The directory above within the mounted tree, crossing mounts; `None` at the root of a namespace.
    #[must_use]
    pub fn parent(&self) -> Option<Path> {
        let mut at = self.clone();
        while Arc::ptr_eq(&at.dentry, &at.mount.root) {
            at = at.mount.parent_point()?;
        }
        Some(Path { dentry: at.dentry.parent()?, mount: at.mount })
    }
}

/// The text of `path` for a process whose root is `root`, without escapes.
///
/// A removed name ends in ` (deleted)`; a place that cannot be reached from `root` is shown from the root of its own
/// namespace or, once unmounted, of its file system; an object outside any tree by its name alone (`pipe:[8]`).
#[must_use]
pub fn d_path(path: &Path, root: &Path) -> Vec<u8> {
    let mut names: Vec<Arc<[u8]>> = Vec::new();
    let mut at = path.clone();
    while !at.is_same(root) {
        if Arc::ptr_eq(&at.dentry, &at.mount.root) {
            let Some(point) = at.mount.parent_point() else { break };
            at = point;
            continue;
        }
        let Some(parent) = at.dentry.parent() else {
            // Objects of pipefs and anon_inodefs have names of their own (d_dname) and no place.
            return at.dentry.name().to_vec();
        };
        names.push(at.dentry.name());
        at.dentry = parent;
    }
    let mut text = Vec::new();
    for name in names.iter().rev() {
        text.push(b'/');
        text.extend_from_slice(name);
    }
    if text.is_empty() {
        text.push(b'/');
    }
    if path.dentry.has_lost_name() {
        text.extend_from_slice(b" (deleted)");
    }
    text
}
