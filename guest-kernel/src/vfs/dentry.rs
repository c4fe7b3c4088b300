//! Names in the tree: where an inode was found, and whether that name still exists.
//!
//! Owns identity of names: two walks to one name give the same `Dentry` while anybody holds it, which mount points,
//! rename and ` (deleted)` rest on. Does not own the directory's content: that is the inode's, so the cache of children
//! holds weak references only.
//! Locks: `place` and `children` have one rank and are never held together.
//! Source: Linux 6.12 fs/dcache.c d_alloc(), d_move(), d_delete().

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering};

use hashbrown::HashMap;

use super::inode::Inode;
use super::rank;
use crate::sync::Mutex;

/// How many names of a mount are kept.
const RECENT_NAMES: usize = 32;

struct Place {
    parent: Option<Arc<Dentry>>,
    name: Arc<[u8]>,
}

/// A name and the inode it stands for.
pub struct Dentry {
    inode: Arc<dyn Inode>,
    place: Mutex<Place>,
    children: Mutex<HashMap<Arc<[u8]>, Weak<Dentry>>>,
    unlinked: AtomicBool,
    never_named: bool,
}

impl Dentry {
    /// A dentry without parent: the root of a file system, or an object outside any tree (its name is shown as it is).
    #[must_use]
    pub fn new_root(inode: Arc<dyn Inode>, name: &[u8]) -> Arc<Self> {
        Self::new(inode, None, name.into())
    }

    fn new(inode: Arc<dyn Inode>, parent: Option<Arc<Dentry>>, name: Arc<[u8]>) -> Arc<Self> {
        Arc::new(Self::unshared(inode, parent, name))
    }

    fn unshared(inode: Arc<dyn Inode>, parent: Option<Arc<Dentry>>, name: Arc<[u8]>) -> Self {
        Self {
            inode,
            place: Mutex::new(rank::DENTRY, Place { parent, name }),
            children: Mutex::new(rank::DENTRY, HashMap::new()),
            unlinked: AtomicBool::new(false),
            never_named: false,
        }
    }

    /// The inode.
    #[must_use]
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// The name within the parent.
    #[must_use]
    pub fn name(&self) -> Arc<[u8]> {
        self.place.lock().name.clone()
    }

    /// The directory that holds the name; `None` for a root.
    #[must_use]
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.lock().parent.clone()
    }

    /// Whether the name has been removed, by unlink(2) or its kin.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        self.unlinked.load(Ordering::Relaxed)
    }

    /// Whether the name has been removed, or what it stands for has gone.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.is_unlinked() || self.inode.is_gone()
    }

    /// Whether this is a file that was made without a name, which link(2) may still give it one (I_LINKABLE).
    #[must_use]
    pub fn is_never_named(&self) -> bool {
        self.never_named
    }

    /// Whether the name itself has been removed, as d_path() shows: what lies below a directory that has gone keeps its name.
    #[must_use]
    pub fn has_lost_name(&self) -> bool {
        let is_above_gone = || self.parent().is_some_and(|parent| parent.inode.is_gone());
        self.unlinked.load(Ordering::Relaxed) || (self.inode.is_gone() && !is_above_gone())
    }

    /// Whether `self` is `ancestor` or below it.
    #[must_use]
    pub fn is_below(self: &Arc<Self>, ancestor: &Arc<Dentry>) -> bool {
        let mut at = self.clone();
        loop {
            if Arc::ptr_eq(&at, ancestor) {
                return true;
            }
            let Some(parent) = at.parent() else { return false };
            at = parent;
        }
    }

    /// The dentry of child `name`, if somebody holds it.
    pub(super) fn cached_child(&self, name: &[u8]) -> Option<Arc<Dentry>> {
        self.children.lock().get(name).and_then(Weak::upgrade)
    }

    /// The dentry of child `name`, which stands for `inode`: the one in use if it is the same object, else a new one.
    pub fn child(self: &Arc<Self>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        if let Some(child) = self.cached_child(name)
            && Arc::ptr_eq(&child.inode, &inode)
        {
            return child;
        }
        let name: Arc<[u8]> = name.into();
        let child = Self::new(inode, Some(self.clone()), name.clone());
        let mut children = self.children.lock();
        // Weak references to dropped dentries keep their allocation, so clear them out whenever the table would grow.
        if children.len() == children.capacity() {
            children.retain(|_, child| child.strong_count() > 0);
        }
        children.insert(name, Arc::downgrade(&child));
        child
    }

    /// A dentry under this one that no lookup finds: a file without a name (`O_TMPFILE`), shown as `#ino (deleted)`.
    #[must_use]
    pub fn nameless_child(self: &Arc<Self>, name: &[u8], inode: Arc<dyn Inode>) -> Arc<Dentry> {
        let mut nameless = Self::unshared(inode, Some(self.clone()), name.into());
        nameless.unlinked = AtomicBool::new(true);
        nameless.never_named = true;
        Arc::new(nameless)
    }

    /// Forgets child `name` and marks its dentry deleted.
    pub(super) fn forget_child(&self, name: &[u8]) {
        let removed = self.children.lock().remove(name);
        if let Some(child) = removed.and_then(|child| child.upgrade()) {
            child.unlinked.store(true, Ordering::Relaxed);
        }
    }

    /// Moves child `old_name` to `new_name` under `new_parent`, as a rename of the file system just did.
    pub(super) fn move_child(
        &self,
        old_name: &[u8],
        new_parent: &Arc<Dentry>,
        new_name: &[u8],
        exchange: Option<&Arc<Dentry>>,
    ) {
        let moved = self.children.lock().remove(old_name);
        let replaced = new_parent.children.lock().remove(new_name);
        if let Some(moved) = moved.and_then(|child| child.upgrade()) {
            moved.attach(new_parent, new_name);
        }
        let Some(replaced) = replaced.and_then(|child| child.upgrade()) else { return };
        match exchange {
            Some(old_parent) => replaced.attach(old_parent, old_name),
            None => replaced.unlinked.store(true, Ordering::Relaxed),
        }
    }

    fn attach(self: &Arc<Self>, parent: &Arc<Dentry>, name: &[u8]) {
        let name: Arc<[u8]> = name.into();
        // The former parent may be dropped here, which takes its own locks; not under ours.
        let former = {
            let mut place = self.place.lock();
            place.name = name.clone();
            place.parent.replace(parent.clone())
        };
        drop(former);
        parent.children.lock().insert(name, Arc::downgrade(self));
    }
}

/// The names of computed trees that were looked up last, so that a program that reads them again and again does not have them made
/// anew each time. Few, since each keeps its inode; they belong to a mount and go with it.
#[derive(Default)]
pub(super) struct RecentNames {
    names: [Option<Arc<Dentry>>; RECENT_NAMES],
    oldest: usize,
}

impl RecentNames {
    /// Puts `dentry` in place of the oldest, which is returned to be dropped without a lock held.
    pub(super) fn replace_oldest(&mut self, dentry: Arc<Dentry>) -> Option<Arc<Dentry>> {
        let at = self.oldest;
        self.oldest = (at + 1) % RECENT_NAMES;
        self.names[at].replace(dentry)
    }
}

impl Drop for Dentry {
    fn drop(&mut self) {
        // A deep chain of parents would be dropped recursively, one stack frame each; unwind it in a loop instead.
        let mut parent = self.place.get_mut().parent.take();
        while let Some(dentry) = parent {
            parent = Arc::into_inner(dentry).and_then(|mut dentry| dentry.place.get_mut().parent.take());
        }
    }
}
