//! What is done to whole trees of mounts: copying, attaching, moving, taking away, and the same wherever others hear of it.
//!
//! Owns the links between mounts. The caller has checked privilege and that the mounts are in its namespace.
//! Invariant: what can fail is done before the first link of an attached mount changes; kernel code is not preempted, so no
//! walk sees a state in between.
//! Source: Linux 6.12 fs/namespace.c copy_tree(), clone_mnt(), attach_recursive_mnt(), umount_tree(), lock_mnt_tree(); fs/pnode.c
//! propagate_mnt(), propagate_umount(), propagate_mount_busy().

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;

use super::Path;
use super::dentry::Dentry;
use super::filesystems::Vfs;
use super::mount::{Child, Mount, MountFlags};
use super::mount_ns::MountNs;
use super::propagation::{PeerGroup, Propagation, Spread};
use crate::cred::UserNs;
use crate::fs::nsfs::{self, Namespace};

/// What part a copy has in propagation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Copying {
    /// The original's: a peer of a shared mount, a slave beside a slave.
    Same,
    /// A slave of a shared original, and its own master no more; else as `Same` (`CL_SHARED_TO_SLAVE`).
    SharedToSlave,
    /// A slave of the shared original (`CL_SLAVE`).
    Slave,
    /// A slave of the shared original, with a peer group of its own (`CL_SLAVE | CL_MAKE_SHARED`).
    SharedSlave,
}

/// How a tree is copied.
#[derive(Clone, Copy, Debug)]
pub struct CopyRules {
    /// The part in propagation.
    pub copying: Copying,
    /// Whether unbindable mounts come along; else they are left out with all below (`CL_COPY_UNBINDABLE`).
    pub unbindable: bool,
    /// Whether mounts of files of mount namespaces come along (`CL_COPY_MNT_NS_FILE`).
    pub ns_files: bool,
}

/// A copied tree that is not attached anywhere.
pub struct CopiedTree {
    /// Its root.
    pub root: Arc<Mount>,
    /// Each original with its copy, in the order of the tree.
    pub pairs: Vec<(Arc<Mount>, Arc<Mount>)>,
}

/// The mounts of the tree under `root`, each before what is mounted on it.
pub fn tree(root: &Arc<Mount>) -> Vec<Arc<Mount>> {
    let mut found = Vec::new();
    let mut rest = alloc::vec![root.clone()];
    while let Some(mount) = rest.pop() {
        rest.extend(mount.children().into_iter().rev());
        found.push(mount);
    }
    found
}

/// Whether `dentry` is the file of a mount namespace.
fn is_mount_ns_file(dentry: &Dentry) -> bool {
    matches!(nsfs::namespace_of(&**dentry.inode()), Some(Namespace::Mnt(_)))
}

/// Whether `dentry`, mounted in `ns`, would let `ns` keep itself, or two namespaces each other (mnt_ns_loop()): only files of
/// younger ones may be mounted.
pub fn would_loop(ns: &MountNs, dentry: &Dentry) -> bool {
    matches!(nsfs::namespace_of(&**dentry.inode()), Some(Namespace::Mnt(mounted)) if ns.seq() >= mounted.seq())
}

/// A copy of `old` that shows `root` of its file system.
///
/// # Errors
/// `ENOSPC` when there is no number.
pub fn copy_mount(vfs: &Vfs, old: &Mount, root: &Arc<Dentry>, copying: Copying) -> Result<Arc<Mount>, Errno> {
    let of = old.spread();
    let spread = match copying {
        Copying::SharedToSlave if of.peers.is_some() => Spread { peers: None, master: of.peers },
        Copying::Same | Copying::SharedToSlave => of,
        Copying::Slave => Spread { peers: None, master: of.peers },
        Copying::SharedSlave => Spread { peers: Some(PeerGroup::new(vfs)?), master: of.peers },
    };
    let copy = vfs.new_mount(old.super_block.clone(), root.clone(), old.flags())?;
    copy.join(spread, old);
    Ok(copy)
}

/// A copy of the part of the tree under `old` that is at or below `root`, a dentry of `old`.
///
/// # Errors
/// `EINVAL` if `old` itself may not be copied; `EPERM` for a mount that is unbindable and locked; `ENOSPC`.
pub fn copy_tree(vfs: &Vfs, old: &Arc<Mount>, root: &Arc<Dentry>, rules: CopyRules) -> Result<CopiedTree, Errno> {
    let is_left_out = |mount: &Mount, root: &Dentry| {
        (!rules.unbindable && mount.flags().contains(MountFlags::UNBINDABLE))
            || (!rules.ns_files && is_mount_ns_file(root))
    };
    if is_left_out(old, root) {
        return Err(Errno::EINVAL);
    }
    let top = copy_mount(vfs, old, root, rules.copying)?;
    let mut pairs = alloc::vec![(old.clone(), top.clone())];
    let below = |child: &Arc<Mount>| child.parent_point().is_some_and(|point| point.dentry.is_below(root));
    // Each mount with the copy that its copy hangs on.
    let mut rest: Vec<_> = old.children().into_iter().filter(below).rev().map(|child| (child, top.clone())).collect();
    while let Some((mount, parent)) = rest.pop() {
        if is_left_out(&mount, &mount.root) {
            if !rules.unbindable && mount.flags().contains(MountFlags::UNBINDABLE | MountFlags::LOCKED) {
                return Err(Errno::EPERM);
            }
            continue;
        }
        let Some(point) = mount.parent_point() else { continue };
        let copy = copy_mount(vfs, &mount, &mount.root, rules.copying)?;
        hang(&copy, &Path { mount: parent, dentry: point.dentry });
        rest.extend(mount.children().into_iter().rev().map(|child| (child, copy.clone())));
        pairs.push((mount, copy));
    }
    Ok(CopiedTree { root: top, pairs })
}

/// Keeps who gets the tree from uncovering anything or taking a restriction away.
pub fn lock_tree(root: &Arc<Mount>) {
    for mount in tree(root) {
        let mut flags = mount.flags().locked();
        flags.set(MountFlags::LOCKED, flags.contains(MountFlags::LOCKED) || !Arc::ptr_eq(&mount, root));
        mount.set_flags(flags);
    }
}

/// Makes `mount` cover `point`.
fn hang(mount: &Arc<Mount>, point: &Path) {
    *mount.point.lock() = Some((point.mount.clone(), point.dentry.clone()));
    let mut children = point.mount.children.lock();
    children.retain(|child| child.mount.strong_count() > 0);
    children.push(Child { covered: Arc::as_ptr(&point.dentry).addr(), mount: Arc::downgrade(mount) });
}

/// Takes `mount` off what it covers.
fn unhang(mount: &Arc<Mount>) -> Option<Path> {
    let (parent, dentry) = mount.point.lock().take()?;
    parent.children.lock().retain(|child| !core::ptr::eq(child.mount.as_ptr(), Arc::as_ptr(mount)));
    Some(Path { mount: parent, dentry })
}

/// A copied tree and the place where it is to be attached because others hear of it.
type Copies = Vec<(CopiedTree, Path)>;

/// Attaches the tree under `source`, which is not attached yet, at `point`, and copies of it wherever that is heard of.
///
/// # Errors
/// `ENOENT` if the mount point has been removed; `ENOTDIR` if one of the two is a directory and the other not; `ENOSPC` for too
/// many mounts.
pub fn graft(source: &Arc<Mount>, point: &Path, user_ns: &Arc<UserNs>) -> Result<(), Errno> {
    check_point(source, point)?;
    let ns = point.mount.ns().ok_or(Errno::EINVAL)?;
    let added = tree(source);
    ns.check_room(added.len())?;
    let copies = prepare(source, point)?;
    hang(source, point);
    ns.adopt(added);
    commit(copies, user_ns);
    Ok(())
}

/// Moves the attached tree under `source` to `point` of the same namespace.
///
/// # Errors
/// As `graft`.
pub fn move_tree(source: &Arc<Mount>, point: &Path, user_ns: &Arc<UserNs>) -> Result<(), Errno> {
    check_point(source, point)?;
    let copies = prepare(source, point)?;
    let left = unhang(source);
    hang(source, point);
    drop(left);
    if let Some(ns) = source.ns() {
        ns.touch();
    }
    commit(copies, user_ns);
    Ok(())
}

fn check_point(source: &Arc<Mount>, point: &Path) -> Result<(), Errno> {
    if point.dentry.is_deleted() {
        return Err(Errno::ENOENT);
    }
    if point.is_dir() != source.root_path().is_dir() { Err(Errno::ENOTDIR) } else { Ok(()) }
}

/// Makes the tree under `source` shared if the mount point is, and the copies for those who hear of it.
fn prepare(source: &Arc<Mount>, point: &Path) -> Result<Copies, Errno> {
    let Some(group) = point.mount.spread().peers else { return Ok(Vec::new()) };
    let vfs = point.mount.ns().ok_or(Errno::EINVAL)?.vfs.clone();
    let mut made = Vec::new();
    let mounts = tree(source);
    for mount in &mounts {
        made.push(if mount.is_shared() { None } else { Some(PeerGroup::new(&vfs)?) });
    }
    for (mount, group) in mounts.iter().zip(&made) {
        if group.is_some() {
            mount.change_propagation(Propagation::Shared, group.clone());
        }
    }
    let copies = copies_for(&vfs, &group, source, point);
    if copies.is_err() {
        for (mount, _) in mounts.iter().zip(made).filter(|(_, group)| group.is_some()) {
            mount.change_propagation(Propagation::Private, None);
        }
    }
    copies
}

fn copies_for(vfs: &Vfs, group: &Arc<PeerGroup>, source: &Arc<Mount>, point: &Path) -> Result<Copies, Errno> {
    let rules = |copying| CopyRules { copying, unbindable: false, ns_files: false };
    let hears = |mount: &Arc<Mount>| mount.ns().is_some() && point.dentry.is_below(&mount.root);
    let at = |mount: Arc<Mount>| Path { mount, dentry: point.dentry.clone() };
    let mut copies: Copies = Vec::new();
    let mut peers = group.members();
    let own = peers.iter().position(|peer| Arc::ptr_eq(peer, &point.mount)).unwrap_or(0);
    peers.rotate_left(own);
    for peer in peers.into_iter().filter(|peer| !Arc::ptr_eq(peer, &point.mount) && hears(peer)) {
        // Each is copied from the one before, so that peers stand in the order in which they were made.
        let last = copies.last().map_or(source, |(copy, _)| &copy.root);
        let copy = copy_tree(vfs, last, &last.root, rules(Copying::Same))?;
        copies.push((copy, at(peer)));
    }
    // Groups still to be told, each with the tree that its slaves are to be slaves of.
    let mut rest = alloc::vec![(group.clone(), source.clone())];
    let mut told: Vec<Arc<PeerGroup>> = Vec::new();
    while let Some((group, source)) = rest.pop() {
        for slave in group.slaves() {
            let Some(peers) = slave.spread().peers else {
                if hears(&slave) {
                    copies.push((copy_tree(vfs, &source, &source.root, rules(Copying::Slave))?, at(slave)));
                }
                continue;
            };
            if told.iter().any(|other| Arc::ptr_eq(other, &peers)) {
                continue;
            }
            let mut last: Option<Arc<Mount>> = None;
            for member in peers.members().into_iter().filter(hears) {
                let copy = match &last {
                    None => copy_tree(vfs, &source, &source.root, rules(Copying::SharedSlave))?,
                    Some(last) => copy_tree(vfs, last, &last.root, rules(Copying::Same))?,
                };
                last = Some(copy.root.clone());
                copies.push((copy, at(member)));
            }
            told.push(peers.clone());
            rest.push((peers, last.unwrap_or_else(|| source.clone())));
        }
    }
    check_room(&copies)?;
    Ok(copies)
}

/// Whether each namespace has room for what it gets.
fn check_room(copies: &Copies) -> Result<(), Errno> {
    let mut wanted: Vec<(Arc<MountNs>, usize)> = Vec::new();
    for (copy, point) in copies {
        let Some(ns) = point.mount.ns() else { continue };
        match wanted.iter_mut().find(|(of, _)| Arc::ptr_eq(of, &ns)) {
            Some((_, count)) => *count += copy.pairs.len(),
            None => wanted.push((ns, copy.pairs.len())),
        }
    }
    wanted.iter().try_for_each(|(ns, count)| ns.check_room(*count))
}

fn commit(copies: Copies, user_ns: &Arc<UserNs>) {
    for (copy, point) in copies {
        let Some(ns) = point.mount.ns() else { continue };
        // What covered the place already stays on top.
        let topper = point.mount.child_at(&point.dentry);
        if !Arc::ptr_eq(&ns.user_ns, user_ns) {
            lock_tree(&copy.root);
        }
        copy.root.set_flags(copy.root.flags() - MountFlags::LOCKED);
        hang(&copy.root, &point);
        if let Some(topper) = topper {
            unhang(&topper);
            hang(&topper, &copy.root.root_path());
        }
        ns.adopt(copy.pairs.into_iter().map(|(_, mount)| mount).collect());
    }
}

/// Whether umount(2) must leave `mount` alone: something is mounted on it, it is used by more than `references`, or that holds
/// for what would go along elsewhere.
pub fn is_busy(mount: &Arc<Mount>, references: usize) -> bool {
    if mount.has_children() || Arc::strong_count(mount) > references {
        return true;
    }
    let Some(point) = mount.parent_point() else { return false };
    point.mount.receivers().iter().any(|receiver| {
        let Some(child) = receiver.child_at(&point.dentry) else { return false };
        let has_topper = child.child_at(&child.root).is_some();
        if child.children().len() > usize::from(has_topper) {
            return false;
        }
        // Its namespace's reference and `child`, and that of the mount on top.
        Arc::strong_count(&child) > 2 + usize::from(has_topper)
    })
}

/// Takes the tree under `root` away, and what of it others have got.
pub fn umount_tree(root: &Arc<Mount>) {
    let mut going = tree(root);
    let mut addresses: BTreeSet<usize> = going.iter().map(|mount| Arc::as_ptr(mount).addr()).collect();
    for mount in heard_umounts(&going, &addresses) {
        addresses.insert(Arc::as_ptr(&mount).addr());
        going.push(mount);
    }
    let mut namespaces: Vec<Arc<MountNs>> = Vec::new();
    for ns in going.iter().filter_map(|mount| mount.ns()) {
        if !namespaces.iter().any(|other| Arc::ptr_eq(other, &ns)) {
            namespaces.push(ns);
        }
    }
    for mount in &going {
        let topper = mount.child_at(&mount.root).filter(|child| !addresses.contains(&Arc::as_ptr(child).addr()));
        let point = unhang(mount);
        if let (Some(topper), Some(point)) = (topper, &point) {
            unhang(&topper);
            hang(&topper, point);
        }
        mount.leave_all();
    }
    for ns in namespaces {
        ns.forget(&addresses);
    }
}

/// The mounts that go along with `going` because those who hear of it have them at the same places.
fn heard_umounts(going: &[Arc<Mount>], addresses: &BTreeSet<usize>) -> Vec<Arc<Mount>> {
    let mut all = addresses.clone();
    let mut found: Vec<Arc<Mount>> = Vec::new();
    for point in going.iter().filter_map(|mount| mount.parent_point()) {
        for receiver in point.mount.receivers() {
            let Some(child) = receiver.child_at(&point.dentry) else { continue };
            if all.insert(Arc::as_ptr(&child).addr()) {
                found.push(child);
            }
        }
    }
    // One that carries something else than a mount on top of itself, or is locked to what stays, stays too.
    loop {
        let before = found.len();
        let stays = |mount: &Arc<Mount>| {
            let Some(point) = mount.parent_point() else { return true };
            let carries = |child: &Arc<Mount>| {
                !all.contains(&Arc::as_ptr(child).addr())
                    && child.parent_point().is_some_and(|point| !Arc::ptr_eq(&point.dentry, &mount.root))
            };
            let is_locked = mount.flags().contains(MountFlags::LOCKED);
            (is_locked && !all.contains(&Arc::as_ptr(&point.mount).addr())) || mount.children().iter().any(carries)
        };
        let staying: Vec<usize> =
            found.iter().filter(|mount| stays(mount)).map(|mount| Arc::as_ptr(mount).addr()).collect();
        for address in &staying {
            all.remove(address);
        }
        found.retain(|mount| !staying.contains(&Arc::as_ptr(mount).addr()));
        if found.len() == before {
            return found;
        }
    }
}

/// Makes `mount`, or the tree under it, what `to` says.
///
/// # Errors
/// `ENOSPC` when there is no number for a group.
pub fn change_propagation(mounts: &[Arc<Mount>], vfs: &Vfs, to: Propagation) -> Result<(), Errno> {
    let mut groups = Vec::new();
    for mount in mounts {
        let needs_group = to == Propagation::Shared && !mount.is_shared();
        groups.push(if needs_group { Some(PeerGroup::new(vfs)?) } else { None });
    }
    for (mount, group) in mounts.iter().zip(groups) {
        mount.change_propagation(to, group);
    }
    Ok(())
}

/// Puts `new` where `old` is and `old` at `put_old`, a place on `new` or below it (pivot_root(2)).
pub fn pivot(old: &Arc<Mount>, new: &Arc<Mount>, put_old: &Path) {
    let left = unhang(new);
    let Some(place) = unhang(old) else { return };
    if old.flags().contains(MountFlags::LOCKED) {
        new.set_flags(new.flags() | MountFlags::LOCKED);
        old.set_flags(old.flags() - MountFlags::LOCKED);
    }
    hang(old, put_old);
    hang(new, &place);
    drop(left);
}
