//! User namespaces: what ids mean, and who owns what.
//!
//! Source: Linux 6.12 kernel/user_namespace.c; user_namespaces(7).

use alloc::sync::Arc;

use super::{IdMap, KGid, KUid, OVERFLOW_ID};
use crate::sync::{Mutex, Rank};

/// The inode number of the initial user namespace (Linux 6.12 include/linux/proc_ns.h PROC_USER_INIT_INO).
const INIT_INUM: u32 = 0xEFFF_FFFD;

/// A user namespace.
#[derive(Debug)]
pub struct UserNs {
    parent: Option<Arc<UserNs>>,
    owner: KUid,
    inum: u32,
    uid_map: Mutex<IdMap>,
    gid_map: Mutex<IdMap>,
}

impl UserNs {
    /// The initial namespace.
    pub fn initial() -> Arc<Self> {
        Arc::new(UserNs {
            parent: None,
            owner: KUid::ROOT,
            inum: INIT_INUM,
            uid_map: Mutex::new(Rank::ID_MAP, IdMap::identity()),
            gid_map: Mutex::new(Rank::ID_MAP, IdMap::identity()),
        })
    }

    /// The namespace that this one was created in.
    pub fn parent(&self) -> Option<Arc<UserNs>> {
        self.parent.clone()
    }

    /// Who created it.
    pub fn owner(&self) -> KUid {
        self.owner
    }

    /// The inode number that `/proc/PID/ns/user` shows.
    pub fn inum(&self) -> u32 {
        self.inum
    }

    /// A copy of the user id map.
    pub fn uid_map(&self) -> IdMap {
        self.uid_map.lock().clone()
    }

    /// A copy of the group id map.
    pub fn gid_map(&self) -> IdMap {
        self.gid_map.lock().clone()
    }

    /// The kernel's id for `uid` as this namespace names it.
    pub fn make_kuid(&self, uid: u32) -> Option<KUid> {
        self.uid_map.lock().down(uid).map(KUid)
    }

    /// The kernel's id for `gid` as this namespace names it.
    pub fn make_kgid(&self, gid: u32) -> Option<KGid> {
        self.gid_map.lock().down(gid).map(KGid)
    }

    /// `uid` as this namespace names it; 65534 when it has no name here.
    pub fn from_kuid_munged(&self, uid: KUid) -> u32 {
        self.uid_map.lock().up(uid.0).unwrap_or(OVERFLOW_ID)
    }

    /// `gid` as this namespace names it; 65534 when it has no name here.
    pub fn from_kgid_munged(&self, gid: KGid) -> u32 {
        self.gid_map.lock().up(gid.0).unwrap_or(OVERFLOW_ID)
    }
}
