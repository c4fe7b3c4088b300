//! Who hears of mounts that come and go: peer groups, and slaves of them.
//!
//! Owns groups and a mount's part in them. Linux links mounts to mounts; here a group is an object, so that a slave names
//! its group and needs no new master when the mount that it was copied from goes.
//! Invariants: all members of a group have one master; a group with slaves has a member; a mount is listed by the group and by the
//! master that it names, and by no other.
//! Locks: `Mount::spread`, the lists of a group: one rank, never two at once.
//! Source: Linux 6.12 fs/pnode.c change_mnt_propagation(), do_make_slave(), propagation_next(), get_dominating_id();
//! Documentation/filesystems/sharedsubtree.rst; mount_namespaces(7).

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use procfs_core::Errno;

use super::filesystems::Vfs;
use super::mount::{Mount, MountFlags};
use super::mount_ns::MountNs;
use super::{Path, rank};
use crate::ns::IdaNumber;
use crate::sync::Mutex;

/// Mounts that tell each other of every mount below them, and those that only listen.
pub struct PeerGroup {
    number: IdaNumber,
    members: Mutex<Vec<Weak<Mount>>>,
    slaves: Mutex<Vec<Weak<Mount>>>,
}

/// A mount's part in propagation.
#[derive(Clone, Default)]
pub struct Spread {
    pub(super) peers: Option<Arc<PeerGroup>>,
    pub(super) master: Option<Arc<PeerGroup>>,
}

/// What mount(2) makes of a mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Propagation {
    /// It tells and hears (`MS_SHARED`).
    Shared,
    /// It only hears (`MS_SLAVE`).
    Slave,
    /// Neither (`MS_PRIVATE`).
    Private,
    /// Neither, and it cannot be bound elsewhere (`MS_UNBINDABLE`).
    Unbindable,
}

/// The numbers that mountinfo shows.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct SpreadNumbers {
    /// The peer group.
    pub shared: Option<u32>,
    /// The group it hears from.
    pub master: Option<u32>,
    /// The nearest group above that has a member under the reader's root, if that is another than the master.
    pub propagate_from: Option<u32>,
}

fn same(listed: &Weak<Mount>, mount: &Mount) -> bool {
    core::ptr::eq(listed.as_ptr(), mount)
}

impl PeerGroup {
    /// A group without members.
    ///
    /// # Errors
    /// `ENOSPC` when there is no number.
    pub(super) fn new(vfs: &Vfs) -> Result<Arc<Self>, Errno> {
        Ok(Arc::new(Self {
            number: vfs.group_numbers.allocate()?,
            members: Mutex::new(rank::MOUNT, Vec::new()),
            slaves: Mutex::new(rank::MOUNT, Vec::new()),
        }))
    }

    /// The members.
    pub(super) fn members(&self) -> Vec<Arc<Mount>> {
        self.members.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// The mounts that listen; of a group that listens each member.
    pub(super) fn slaves(&self) -> Vec<Arc<Mount>> {
        self.slaves.lock().iter().filter_map(Weak::upgrade).collect()
    }
}

impl Mount {
    /// Its part in propagation.
    pub(super) fn spread(&self) -> Spread {
        self.spread.lock().clone()
    }

    /// Whether it tells others.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.spread.lock().peers.is_some()
    }

    /// Makes it take part as `spread` says, next to `old`, of which it is a copy; it has had no part yet.
    pub(super) fn join(self: &Arc<Self>, spread: Spread, old: &Mount) {
        // The order of the lists is that of the copies made for them: behind a peer or a fellow slave, before all other slaves.
        let add = |list: &Mutex<Vec<Weak<Mount>>>| {
            let mut list = list.lock();
            let at = list.iter().position(|mount| same(mount, old)).map_or(0, |at| at + 1);
            list.insert(at, Arc::downgrade(self));
        };
        if let Some(peers) = &spread.peers {
            add(&peers.members);
        }
        if let Some(master) = &spread.master {
            add(&master.slaves);
        }
        *self.spread.lock() = spread;
    }

    /// Leaves the peer group; the group left, if it still has members.
    ///
    /// The slaves of a group that ends get its master.
    fn leave_peers(&self) -> Option<Arc<PeerGroup>> {
        let (peers, master) = {
            let mut spread = self.spread.lock();
            (spread.peers.take()?, spread.master.clone())
        };
        let has_members = {
            let mut members = peers.members.lock();
            members.retain(|member| member.strong_count() > 0 && !same(member, self));
            !members.is_empty()
        };
        if has_members {
            return Some(peers);
        }
        let slaves = core::mem::take(&mut *peers.slaves.lock());
        for slave in slaves.iter().filter_map(Weak::upgrade) {
            slave.spread.lock().master.clone_from(&master);
        }
        if let Some(master) = master {
            master.slaves.lock().extend(slaves);
        }
        None
    }

    fn leave_master(&self) {
        let master = self.spread.lock().master.take();
        if let Some(master) = master {
            master.slaves.lock().retain(|slave| slave.strong_count() > 0 && !same(slave, self));
        }
    }

    /// Takes no part any more.
    pub(super) fn leave_all(&self) {
        drop(self.leave_peers());
        self.leave_master();
    }

    /// Makes it what `to` says (change_mnt_propagation()); `group` is used if it is to be shared and is not yet.
    pub(super) fn change_propagation(self: &Arc<Self>, to: Propagation, group: Option<Arc<PeerGroup>>) {
        let flags = self.flags();
        if to == Propagation::Shared {
            self.set_flags(flags - MountFlags::UNBINDABLE);
            if let Some(group) = group {
                group.members.lock().push(Arc::downgrade(self));
                self.spread.lock().peers = Some(group);
            }
            return;
        }
        if let Some(left) = self.leave_peers() {
            self.leave_master();
            left.slaves.lock().insert(0, Arc::downgrade(self));
            self.spread.lock().master = Some(left);
        }
        if to == Propagation::Slave {
            return;
        }
        self.leave_master();
        let unbindable = to == Propagation::Unbindable;
        self.set_flags(if unbindable { flags | MountFlags::UNBINDABLE } else { flags - MountFlags::UNBINDABLE });
    }

    /// Every other mount that hears of what is mounted on this one.
    pub(super) fn receivers(self: &Arc<Self>) -> Vec<Arc<Mount>> {
        let Some(first) = self.spread().peers else { return Vec::new() };
        let mut found = Vec::new();
        let mut groups = alloc::vec![first];
        let mut at = 0;
        while let Some(group) = groups.get(at).cloned() {
            at += 1;
            found.extend(group.members());
            for slave in group.slaves() {
                match slave.spread().peers {
                    None => found.push(slave),
                    Some(peers) if groups.iter().any(|other| Arc::ptr_eq(other, &peers)) => {}
                    Some(peers) => groups.push(peers),
                }
            }
        }
        found.retain(|mount| !Arc::ptr_eq(mount, self));
        found
    }

    /// The numbers that a reader with root `root` in `ns` sees.
    #[must_use]
    pub fn spread_numbers(&self, ns: &Arc<MountNs>, root: &Path) -> SpreadNumbers {
        let Spread { peers, master } = self.spread();
        let master_number = master.as_ref().map(|group| group.number.get());
        let mut dominating = None;
        let mut at = master;
        while let Some(group) = at {
            let members = group.members();
            let is_seen = |member: &Arc<Mount>| {
                member.ns().is_some_and(|of| Arc::ptr_eq(&of, ns)) && member.root_path().is_reachable_from(root)
            };
            if members.iter().any(is_seen) {
                dominating = Some(group.number.get());
                break;
            }
            at = members.first().and_then(|member| member.spread().master);
        }
        SpreadNumbers {
            shared: peers.map(|group| group.number.get()),
            master: master_number,
            propagate_from: dominating.filter(|_| dominating != master_number),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // One that was taken out of its namespace has left; this is for copies that were never attached.
        self.leave_all();
    }
}
