//! Who may look at a process beyond what modes say.
//!
//! Source: Linux 6.12 kernel/ptrace.c __ptrace_may_access(), security/commoncap.c cap_ptrace_access_check(),
//! kernel/fork.c mm_access(); ptrace(2).

use alloc::sync::Arc;

use procfs_core::Errno;
use procfs_core::pid::PtraceRead;

use crate::cred::{Capability, Cred, UserNs};
use crate::mm::Mm;
use crate::task::{Task, current};

/// Whether the running task may look at `target` (`PTRACE_MODE_READ_FSCREDS`; attaching differs only where a security
/// module says so, and there is none).
pub(super) fn may_access(target: &Task) -> bool {
    let me = current();
    if Arc::ptr_eq(&me.group, &target.group) {
        return true;
    }
    has_right_to(&me.cred(), &target.cred(), target.guarding_user_ns().as_deref())
}

/// `guard` is the namespace in which it takes `CAP_SYS_PTRACE` even for the target's own user.
fn has_right_to(caller: &Cred, target: &Cred, guard: Option<&UserNs>) -> bool {
    let is_same_user = [target.uid, target.euid, target.suid].iter().all(|&uid| uid == caller.fsuid)
        && [target.gid, target.egid, target.sgid].iter().all(|&gid| gid == caller.fsgid);
    let is_tracer = caller.has_in(&target.user_ns, Capability::SysPtrace);
    if !is_same_user && !is_tracer {
        return false;
    }
    if guard.is_some_and(|guard| !caller.has_in(guard, Capability::SysPtrace)) {
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
    use crate::cred::{Capabilities, Cred, KGid, KUid, RootDirectory, UserNs};
    use crate::ns::Inums;

    #[test]
    fn every_id_of_the_target_counts() {
        let ns = UserNs::initial();
        let user = |id| Cred::user(ns.clone(), KUid(id), KGid(id));
        assert!(has_right_to(&user(7), &user(7), None));
        assert!(!has_right_to(&user(7), &user(8), None));
        let mut was_root = user(7);
        was_root.suid = KUid::ROOT;
        assert!(!has_right_to(&user(7), &was_root, None));
        let mut other_group = user(7);
        other_group.egid = KGid(9);
        assert!(!has_right_to(&user(7), &other_group, None));
        assert!(has_right_to(&Cred::root(ns.clone()), &user(7), Some(&*ns)));
    }

    #[test]
    fn a_process_that_may_not_be_dumped_or_has_more_rights_is_closed_to_its_user() {
        let ns = UserNs::initial();
        let user = Cred::user(ns.clone(), KUid(7), KGid(7));
        assert!(!has_right_to(&user, &user, Some(&*ns)));
        assert!(has_right_to(&user, &user, None));
        let mut privileged = user.clone();
        privileged.cap_permitted = Capabilities::from_bits(1);
        assert!(!has_right_to(&user, &privileged, None));
    }

    #[test]
    fn the_maker_of_a_namespace_sees_what_is_guarded_there_and_those_inside_nothing_outside() {
        let outside = Cred::user(UserNs::initial(), KUid(7), KGid(7));
        let mut inside = outside.clone();
        inside.enter_new_user_ns(RootDirectory::OfMountNamespace, &Inums::new()).unwrap();
        assert!(has_right_to(&outside, &inside, Some(&*inside.user_ns)));
        assert!(!has_right_to(&outside, &inside, Some(&*outside.user_ns)));
        // Its own ids are not enough: the capabilities of another namespace do not compare.
        assert!(!has_right_to(&inside, &outside, None));
        assert!(has_right_to(&inside, &inside, Some(&*inside.user_ns)));
    }
}
