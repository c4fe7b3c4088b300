//! A task's credentials: an immutable set that tasks share and replace as a whole.
//!
//! Source: Linux 6.12 include/linux/cred.h; credentials(7).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Capabilities, Capability, KGid, KUid, UserNs};

/// Real, effective, saved and file-system ids, groups, capabilities.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "credentials(7) describes each field under the same name")]
pub struct Cred {
    pub uid: KUid,
    pub euid: KUid,
    pub suid: KUid,
    pub fsuid: KUid,
    pub gid: KGid,
    pub egid: KGid,
    pub sgid: KGid,
    pub fsgid: KGid,
    /// Supplementary groups, ascending.
    pub groups: Vec<KGid>,
    pub cap_inheritable: Capabilities,
    pub cap_permitted: Capabilities,
    pub cap_effective: Capabilities,
    pub cap_bounding: Capabilities,
    pub cap_ambient: Capabilities,
    pub no_new_privs: bool,
    pub securebits: u32,
    pub user_ns: Arc<UserNs>,
}

impl Cred {
    /// The super-user with every capability, in `user_ns`.
    pub fn root(user_ns: Arc<UserNs>) -> Self {
        Cred {
            uid: KUid::ROOT,
            euid: KUid::ROOT,
            suid: KUid::ROOT,
            fsuid: KUid::ROOT,
            gid: KGid::ROOT,
            egid: KGid::ROOT,
            sgid: KGid::ROOT,
            fsgid: KGid::ROOT,
            groups: Vec::new(),
            cap_inheritable: Capabilities::EMPTY,
            cap_permitted: Capabilities::FULL,
            cap_effective: Capabilities::FULL,
            cap_bounding: Capabilities::FULL,
            cap_ambient: Capabilities::EMPTY,
            no_new_privs: false,
            securebits: 0,
            user_ns,
        }
    }

    /// The credentials of a program that starts as `uid` and `gid`; the capabilities go unless `uid` is root.
    pub fn user(user_ns: Arc<UserNs>, uid: KUid, gid: KGid) -> Self {
        let mut cred = Cred::root(user_ns);
        (cred.uid, cred.euid, cred.suid, cred.fsuid) = (uid, uid, uid, uid);
        (cred.gid, cred.egid, cred.sgid, cred.fsgid) = (gid, gid, gid, gid);
        if uid != KUid::ROOT {
            cred.cap_permitted = Capabilities::EMPTY;
            cred.cap_effective = Capabilities::EMPTY;
        }
        cred
    }

    /// Whether `capability` is in effect in the task's own user namespace.
    pub fn has(&self, capability: Capability) -> bool {
        self.cap_effective.has(capability)
    }

    /// Whether `capability` is in effect towards objects that belong to `ns`.
    ///
    /// Source: Linux 6.12 security/commoncap.c cap_capable().
    pub fn has_in(&self, ns: &Arc<UserNs>, capability: Capability) -> bool {
        let mut at = ns.clone();
        loop {
            if Arc::ptr_eq(&at, &self.user_ns) {
                return self.cap_effective.has(capability);
            }
            let Some(parent) = at.parent() else { return false };
            if Arc::ptr_eq(&parent, &self.user_ns) && at.owner() == self.euid {
                return true;
            }
            at = parent;
        }
    }

    /// Whether `gid` is the file-system group or a supplementary one.
    pub fn is_in_group(&self, gid: KGid) -> bool {
        self.fsgid == gid || self.groups.binary_search(&gid).is_ok()
    }
}
