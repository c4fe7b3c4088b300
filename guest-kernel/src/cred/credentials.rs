//! A task's credentials: an immutable set that tasks share and replace as a whole.
//!
//! Source: Linux 6.12 include/linux/cred.h; credentials(7).

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;

use super::{Capabilities, Capability, KGid, KUid, RootDirectory, SecureBits, UserNs};
use crate::ns::Inums;

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
    pub securebits: SecureBits,
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
            securebits: SecureBits::empty(),
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
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.cap_effective.has(capability)
    }

    /// Whether `capability` is in effect towards what belongs to no namespace but the initial one (capable()).
    #[must_use]
    pub fn capable(&self, capability: Capability) -> bool {
        self.user_ns.is_initial() && self.has(capability)
    }

    /// Whether `capability` is in effect towards objects that belong to `ns`: in the task's own namespace and those below it,
    /// and everywhere below for the owner of a namespace that was made in its own.
    ///
    /// Source: Linux 6.12 security/commoncap.c cap_capable().
    #[must_use]
    pub fn has_in(&self, ns: &UserNs, capability: Capability) -> bool {
        let mut at = ns;
        loop {
            if core::ptr::eq(at, &*self.user_ns) {
                return self.has(capability);
            }
            let Some(parent) = at.parent() else { return false };
            if core::ptr::eq(&**parent, &*self.user_ns) && at.owner() == self.euid {
                return true;
            }
            at = parent;
        }
    }

    /// Whether `capability` is in effect towards a file of these owners: they must have names in the task's namespace
    /// (capable_wrt_inode_uidgid()).
    #[must_use]
    pub fn has_towards(&self, uid: KUid, gid: KGid, capability: Capability) -> bool {
        let ns = &self.user_ns;
        self.has(capability) && ns.from_kuid(uid).is_some() && ns.from_kgid(gid).is_some()
    }

    /// The kernel's id of the task's own namespace's super-user, if it has one.
    #[must_use]
    pub fn root_uid(&self) -> Option<KUid> {
        self.user_ns.make_kuid(0)
    }

    /// Makes a user namespace below the task's own and enters it.
    ///
    /// # Errors
    /// Those of `UserNs::create`.
    pub fn enter_new_user_ns(&mut self, root: RootDirectory, inums: &Inums) -> Result<(), Errno> {
        let ns = UserNs::create(self, root, inums)?;
        self.enter_user_ns(ns);
        Ok(())
    }

    /// Enters `ns`, with every capability there (set_cred_user_ns()).
    pub fn enter_user_ns(&mut self, ns: Arc<UserNs>) {
        self.securebits = SecureBits::empty();
        self.cap_inheritable = Capabilities::EMPTY;
        self.cap_permitted = Capabilities::FULL;
        self.cap_effective = Capabilities::FULL;
        self.cap_ambient = Capabilities::EMPTY;
        self.cap_bounding = Capabilities::FULL;
        self.user_ns = ns;
    }

    /// Whether `gid` is the file-system group or a supplementary one.
    #[must_use]
    pub fn is_in_group(&self, gid: KGid) -> bool {
        self.fsgid == gid || self.groups.binary_search(&gid).is_ok()
    }
}
