//! Who may look at a process beyond what modes say.
//!
//! Source: Linux 6.12 kernel/ptrace.c __ptrace_may_access(), security/commoncap.c cap_ptrace_access_check(),
//! kernel/fork.c mm_access(); ptrace(2).

use alloc::sync::Arc;

use procfs_core::Errno;
use procfs_core::pid::PtraceRead;

use crate::cred::{Capability, Cred};
use crate::mm::{Dumpable, Mm};
use crate::task::{Task, current};

/// Whether the running task may look at `target` (`PTRACE_MODE_READ_FSCREDS`; attaching differs only where a security
/// module says so, and there is none).
pub(super) fn may_access(target: &Task) -> bool {
    let me = current();
    if Arc::ptr_eq(&me.group, &target.group) {
        return true;
    }
    let dumpable = target.mm().map(|mm| mm.dumpable());
    has_right_to(&me.cred(), &target.cred(), dumpable)
}

fn has_right_to(caller: &Cred, target: &Cred, dumpable: Option<Dumpable>) -> bool {
    let is_same_user = [target.uid, target.euid, target.suid].iter().all(|&uid| uid == caller.fsuid)
        && [target.gid, target.egid, target.sgid].iter().all(|&gid| gid == caller.fsgid);
    let is_tracer = caller.has_in(&target.user_ns, Capability::SysPtrace);
    if !is_same_user && !is_tracer {
        return false;
    }
    // All address spaces belong to the initial user namespace.
    if dumpable.is_some_and(|dumpable| dumpable != Dumpable::User) && !is_tracer {
        return false;
    }
    let is_same_ns = Arc::ptr_eq(&caller.user_ns, &target.user_ns);
    (is_same_ns && caller.cap_effective.contains(target.cap_permitted)) || is_tracer
}

/// `may_access` as a rendering wants it.
pub(super) fn ptrace_read(target: &Task) -> PtraceRead {
    if may_access(target) { PtraceRead::Permitted } else { PtraceRead::Denied }
}

/// As `may_access`.
///
/// # Errors
/// `EACCES`.
pub(super) fn check(target: &Task) -> Result<(), Errno> {
    if may_access(target) { Ok(()) } else { Err(Errno::EACCES) }
}

/// The address space of `target` for an open file: `None` for a task without one.
///
/// # Errors
/// `EACCES` where the running task may not look; its own address space is always open to it.
pub(super) fn mm_access(target: &Task) -> Result<Option<Arc<Mm>>, Errno> {
    let Some(user) = target.mm() else { return Ok(None) };
    let mm = user.mm().clone();
    drop(user);
    let is_own = current().mm().is_some_and(|own| Arc::ptr_eq(own.mm(), &mm));
    if is_own || may_access(target) { Ok(Some(mm)) } else { Err(Errno::EACCES) }
}

#[cfg(test)]
mod tests {
    use super::has_right_to;
    use crate::cred::{Capabilities, Cred, KGid, KUid, UserNs};
    use crate::mm::Dumpable;

    #[test]
    fn every_id_of_the_target_counts() {
        let ns = UserNs::initial();
        let user = |id| Cred::user(ns.clone(), KUid(id), KGid(id));
        let dumpable = Some(Dumpable::User);
        assert!(has_right_to(&user(7), &user(7), dumpable));
        assert!(!has_right_to(&user(7), &user(8), dumpable));
        let mut was_root = user(7);
        was_root.suid = KUid::ROOT;
        assert!(!has_right_to(&user(7), &was_root, dumpable));
        let mut other_group = user(7);
        other_group.egid = KGid(9);
        assert!(!has_right_to(&user(7), &other_group, dumpable));
        assert!(has_right_to(&Cred::root(ns.clone()), &user(7), Some(Dumpable::No)));
    }

    #[test]
    fn a_process_that_may_not_be_dumped_or_has_more_rights_is_closed_to_its_user() {
        let ns = UserNs::initial();
        let user = Cred::user(ns.clone(), KUid(7), KGid(7));
        assert!(!has_right_to(&user, &user, Some(Dumpable::No)));
        assert!(!has_right_to(&user, &user, Some(Dumpable::Root)));
        assert!(has_right_to(&user, &user, None));
        let mut privileged = user.clone();
        privileged.cap_permitted = Capabilities::from_bits(1);
        assert!(!has_right_to(&user, &privileged, Some(Dumpable::User)));
    }
}
