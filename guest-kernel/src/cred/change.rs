//! What becomes of capabilities when ids change, and which credentials a program starts with.
//!
//! Owns the arithmetic only: who calls it replaces the credentials as a whole, or not at all.
//! Source: Linux 6.12 security/commoncap.c cap_task_fix_setuid(), cap_capset(), cap_bprm_creds_from_file(); kernel/cred.c
//! cred_cap_issubset(); capabilities(7).

use procfs_core::Errno;

use super::{Capabilities, Capability, Cred, KGid, KUid, SecureBits};

/// Whether root, working directory and umask are shared with another process while a program starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsSharing {
    /// They are the process's own.
    Private,
    /// Somebody else could change them under a program with more rights.
    Shared,
}

/// What the set-ID bits of a file give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetIds {
    /// The effective user.
    pub uid: Option<KUid>,
    /// The effective group.
    pub gid: Option<KGid>,
}

/// What a program starts with.
#[derive(Clone, Debug)]
pub struct Executed {
    /// Its credentials.
    pub cred: Cred,
    /// Whether it has rights that its caller's user has not, and must not trust its environment (`AT_SECURE`).
    pub is_secure: bool,
}

impl Cred {
    /// Moves the capabilities after `self`'s real, effective and saved user ids have been changed from `old`'s.
    pub fn follow_user_ids(&mut self, old: &Cred) {
        if self.securebits.contains(SecureBits::NO_SETUID_FIXUP) {
            return;
        }
        let root = old.root_uid();
        let has_root = |cred: &Cred| [cred.uid, cred.euid, cred.suid].map(Some).contains(&root);
        if has_root(old) && !has_root(self) {
            if !self.securebits.contains(SecureBits::KEEP_CAPS) {
                self.cap_permitted = Capabilities::EMPTY;
                self.cap_effective = Capabilities::EMPTY;
            }
            self.cap_ambient = Capabilities::EMPTY;
        }
        match (Some(old.euid) == root, Some(self.euid) == root) {
            (true, false) => self.cap_effective = Capabilities::EMPTY,
            (false, true) => self.cap_effective = self.cap_permitted,
            _ => {}
        }
    }

    /// Moves the capabilities over files after `self`'s file-system user id has been changed from `old`'s.
    pub fn follow_fsuid(&mut self, old: &Cred) {
        if self.securebits.contains(SecureBits::NO_SETUID_FIXUP) {
            return;
        }
        let root = old.root_uid();
        match (Some(old.fsuid) == root, Some(self.fsuid) == root) {
            (true, false) => self.cap_effective = self.cap_effective.without(Capabilities::FILE_SYSTEM),
            (false, true) => {
                let gained = self.cap_permitted.intersection(Capabilities::FILE_SYSTEM);
                self.cap_effective = self.cap_effective.union(gained);
            }
            _ => {}
        }
    }

    /// Sets the three sets of capset(2).
    ///
    /// # Errors
    /// `EPERM` for an inheritable capability that was neither inheritable nor permitted (without `CAP_SETPCAP`), or nor in the
    /// bounding set; for a permitted one that was not; for an effective one that is not permitted.
    pub fn set_capabilities(
        &mut self,
        effective: Capabilities,
        permitted: Capabilities,
        inheritable: Capabilities,
    ) -> Result<(), Errno> {
        let is_capped = !self.has(Capability::Setpcap);
        if (is_capped && !self.cap_inheritable.union(self.cap_permitted).contains(inheritable))
            || !self.cap_inheritable.union(self.cap_bounding).contains(inheritable)
            || !self.cap_permitted.contains(permitted)
            || !permitted.contains(effective)
        {
            return Err(Errno::EPERM);
        }
        self.cap_effective = effective;
        self.cap_permitted = permitted;
        self.cap_inheritable = inheritable;
        self.cap_ambient = self.cap_ambient.intersection(permitted.intersection(inheritable));
        Ok(())
    }

    /// Whether `new` can do nothing that `self` could not (cred_cap_issubset()).
    #[must_use]
    pub fn covers(&self, new: &Cred) -> bool {
        if core::ptr::eq(&*self.user_ns, &*new.user_ns) {
            return self.cap_permitted.contains(new.cap_permitted);
        }
        let mut at = &new.user_ns;
        while let Some(parent) = at.parent() {
            if core::ptr::eq(&**parent, &*self.user_ns) && at.owner() == self.euid {
                return true;
            }
            at = parent;
        }
        false
    }

    /// Whether replacing `self` by `new` must keep the process's user from looking into it (commit_creds()).
    #[must_use]
    pub fn is_guarded_against(&self, new: &Cred) -> bool {
        let ids = |cred: &Cred| (cred.euid, cred.egid, cred.fsuid, cred.fsgid);
        ids(self) != ids(new) || !self.covers(new)
    }

    /// What a program starts with whose file gives `set_ids`. Files have no capabilities of their own here.
    #[must_use]
    pub fn exec(&self, set_ids: SetIds, sharing: FsSharing) -> Executed {
        let mut new = self.clone();
        new.euid = set_ids.uid.unwrap_or(self.euid);
        new.egid = set_ids.gid.unwrap_or(self.egid);
        let root = self.root_uid();
        let is_root_privileged = !self.securebits.contains(SecureBits::NOROOT);
        let is_real_root = Some(new.uid) == root;
        let is_effective = is_root_privileged && Some(new.euid) == root;
        new.cap_permitted = if is_effective || (is_root_privileged && is_real_root) {
            self.cap_bounding.union(self.cap_inheritable)
        } else {
            Capabilities::EMPTY
        };
        let is_setid = new.euid != self.uid || new.egid != self.gid;
        let gains = is_setid || !self.cap_permitted.contains(new.cap_permitted);
        if gains && (self.no_new_privs || sharing == FsSharing::Shared) {
            if self.no_new_privs || !self.has(Capability::Setuid) {
                (new.euid, new.egid) = (new.uid, new.gid);
            }
            new.cap_permitted = new.cap_permitted.intersection(self.cap_permitted);
        }
        (new.suid, new.fsuid) = (new.euid, new.euid);
        (new.sgid, new.fsgid) = (new.egid, new.egid);
        if is_setid {
            new.cap_ambient = Capabilities::EMPTY;
        }
        new.cap_permitted = new.cap_permitted.union(new.cap_ambient);
        new.cap_effective = if is_effective { new.cap_permitted } else { new.cap_ambient };
        new.securebits -= SecureBits::KEEP_CAPS;
        let has_grown = is_effective || !new.cap_ambient.contains(new.cap_permitted);
        Executed { is_secure: is_setid || (!is_real_root && has_grown), cred: new }
    }
}
