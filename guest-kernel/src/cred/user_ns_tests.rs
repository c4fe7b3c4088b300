//! What may be mapped by whom, how ids translate through levels, and what becomes of capabilities.

use alloc::sync::Arc;

use procfs_core::Errno;
use procfs_core::pid::id_map::{Extent, SetGroups};

use super::{Capabilities, Capability, Cred, FsSharing, IdKind, KGid, KUid, RootDirectory, SecureBits, SetIds, UserNs};
use crate::ns::Inums;

fn extent(first: u32, lower: u32, count: u32) -> Extent {
    Extent { first, lower, count }
}

fn user(id: u32) -> Cred {
    Cred::user(UserNs::initial(), KUid(id), KGid(id))
}

/// The creator with the namespace that it made and stands in.
fn unshared(cred: &Cred) -> Cred {
    let mut inside = cred.clone();
    inside.enter_new_user_ns(RootDirectory::OfMountNamespace, &Inums::new()).expect("creation");
    inside
}

#[test]
fn whoever_makes_a_namespace_has_every_right_in_it_and_none_outside() {
    let outside = user(7);
    let inside = unshared(&outside);
    let ns = &inside.user_ns;
    assert!(inside.has_in(ns, Capability::SysAdmin));
    assert!(!inside.has_in(&outside.user_ns, Capability::SysAdmin));
    assert!(!inside.capable(Capability::SysAdmin));
    assert_eq!(inside.cap_bounding, Capabilities::FULL);
    // The owner has every right there from outside too; another user has none.
    assert!(outside.has_in(ns, Capability::SysAdmin));
    let mut other = outside.clone();
    other.euid = KUid(8);
    assert!(!other.has_in(ns, Capability::SysAdmin));
    assert!(ns.is_within(&outside.user_ns) && !outside.user_ns.is_within(ns) && ns.is_within(ns));
}

#[test]
fn without_a_map_no_id_has_a_name() {
    let inside = unshared(&user(7));
    assert_eq!(inside.user_ns.from_kuid_munged(KUid(7)), 65534);
    assert_eq!(inside.user_ns.make_kuid(0), None);
    assert_eq!(inside.root_uid(), None);
}

#[test]
fn a_user_maps_its_own_id_alone_and_its_group_once_groups_are_denied() {
    let outside = user(7);
    let inside = unshared(&outside);
    let ns = &inside.user_ns;
    let set = |kind, first, lower, count| ns.set_map(kind, vec![extent(first, lower, count)], &inside, &inside);
    assert_eq!(set(IdKind::User, 0, 8, 1), Err(Errno::EPERM));
    assert_eq!(set(IdKind::User, 0, 7, 2), Err(Errno::EPERM));
    assert_eq!(set(IdKind::User, 0, 7, 1), Ok(()));
    assert_eq!(ns.make_kuid(0), Some(KUid(7)));
    assert_eq!(set(IdKind::Group, 0, 7, 1), Err(Errno::EPERM));
    assert_eq!(ns.set_setgroups(SetGroups::Deny), Ok(()));
    assert_eq!(ns.set_setgroups(SetGroups::Allow), Err(Errno::EPERM));
    assert_eq!(set(IdKind::Group, 0, 7, 1), Ok(()));
    assert!(!ns.may_setgroups());
    assert_eq!(ns.check_map_write(IdKind::User, &inside), Err(Errno::EPERM));
    assert_eq!(set(IdKind::User, 0, 7, 1), Err(Errno::EPERM));
}

#[test]
fn a_privileged_parent_maps_what_it_maps_itself() {
    let root = Cred::root(UserNs::initial());
    let outer = unshared(&root);
    let set = |ns: &UserNs, extents: &[Extent], opener: &Cred, writer: &Cred| {
        ns.set_map(IdKind::User, extents.to_vec(), opener, writer)
    };
    // The writer inside has no rights over the parent.
    let wide = [extent(0, 1000, 100), extent(100, 5000, 10)];
    assert_eq!(set(&outer.user_ns, &wide, &outer, &outer), Err(Errno::EPERM));
    assert_eq!(set(&outer.user_ns, &wide, &root, &outer), Err(Errno::EPERM));
    assert_eq!(set(&outer.user_ns, &wide, &root, &root), Ok(()));
    assert_eq!(outer.user_ns.set_map(IdKind::Group, wide.to_vec(), &root, &root), Ok(()));
    let mut inner = outer.clone();
    (inner.euid, inner.egid) = (KUid(1000), KGid(1000));
    let inner = unshared(&inner);
    // Lower ids are the parent's: 50 is 1050 for the kernel; 100 and 99 lie in two extents, 200 in none.
    assert_eq!(set(&inner.user_ns, &[extent(0, 99, 2)], &outer, &outer), Err(Errno::EPERM));
    assert_eq!(set(&inner.user_ns, &[extent(0, 200, 1)], &outer, &outer), Err(Errno::EPERM));
    assert_eq!(set(&inner.user_ns, &[extent(0, 50, 50)], &outer, &outer), Ok(()));
    assert_eq!(inner.user_ns.make_kuid(0), Some(KUid(1050)));
    assert_eq!(inner.user_ns.extent(IdKind::User, 0), Some(extent(0, 1050, 50)));
    assert_eq!(inner.user_ns.level(), 2);
}

#[test]
fn root_is_mapped_only_by_one_that_could_give_files_capabilities() {
    let mut root = Cred::root(UserNs::initial());
    let with = unshared(&root);
    root.cap_effective = root.cap_effective.without(Capabilities::of_number(31).unwrap());
    let without = unshared(&root);
    let map =
        |inside: &Cred, opener: &Cred| inside.user_ns.set_map(IdKind::User, vec![extent(0, 0, 1)], opener, opener);
    assert_eq!(map(&without, &without), Err(Errno::EPERM));
    assert_eq!(map(&without, &root), Err(Errno::EPERM));
    assert_eq!(map(&with, &with), Ok(()));
}

#[test]
fn namespaces_are_refused_by_depth_number_root_and_unmapped_creator() {
    let cred = user(7);
    assert_eq!(UserNs::create(&cred, RootDirectory::Changed, &Inums::new()).err(), Some(Errno::EPERM));
    let inside = unshared(&cred);
    assert_eq!(UserNs::create(&inside, RootDirectory::OfMountNamespace, &Inums::new()).err(), Some(Errno::EPERM));
    let mut at = Cred::root(UserNs::initial());
    let mut levels = 0;
    loop {
        let mut next = at.clone();
        match next.enter_new_user_ns(RootDirectory::OfMountNamespace, &Inums::new()) {
            Ok(()) => levels += 1,
            Err(errno) => {
                assert_eq!((errno, levels), (Errno::ENOSPC, 33));
                break;
            }
        }
        for kind in [IdKind::User, IdKind::Group] {
            next.user_ns.set_map(kind, vec![extent(0, 0, 1000)], &at, &at).unwrap();
        }
        at = next;
    }
}

#[test]
fn the_number_of_namespaces_counts_in_every_level_and_ends_with_them() {
    let cred = user(7);
    let initial = cred.user_ns.clone();
    initial.set_max_user_namespaces(2);
    let one = unshared(&cred);
    one.user_ns.set_map(IdKind::User, vec![extent(7, 7, 1)], &cred, &cred).unwrap();
    one.user_ns.set_setgroups(SetGroups::Deny).unwrap();
    one.user_ns.set_map(IdKind::Group, vec![extent(7, 7, 1)], &cred, &cred).unwrap();
    let two = unshared(&one);
    let full =
        |of: &Cred| UserNs::create(of, RootDirectory::OfMountNamespace, &Inums::new()).err() == Some(Errno::ENOSPC);
    assert!(full(&one) && full(&cred));
    // A refused one leaves no count behind, an ended one takes its count along.
    drop(two);
    let again = unshared(&one);
    assert!(full(&cred));
    drop(again);
    assert!(Arc::strong_count(&one.user_ns) == 1);
    drop(one);
    let _both = (unshared(&cred), unshared(&cred));
    assert!(full(&cred));
}

#[test]
fn losing_user_id_0_takes_capabilities_unless_they_are_kept() {
    let root = Cred::root(UserNs::initial());
    let become_user = |bits: SecureBits| {
        let mut old = root.clone();
        old.securebits = bits;
        let mut new = old.clone();
        (new.uid, new.euid, new.suid, new.fsuid) = (KUid(7), KUid(7), KUid(7), KUid(7));
        new.follow_user_ids(&old);
        (new.cap_permitted == Capabilities::FULL, new.cap_effective == Capabilities::FULL)
    };
    assert_eq!(become_user(SecureBits::empty()), (false, false));
    assert_eq!(become_user(SecureBits::KEEP_CAPS), (true, false));
    assert_eq!(become_user(SecureBits::NO_SETUID_FIXUP), (true, true));
    let mut new = root.clone();
    new.fsuid = KUid(7);
    new.follow_fsuid(&root);
    assert!(!new.has(Capability::DacOverride) && new.has(Capability::SysAdmin));
    let mut back = new.clone();
    back.fsuid = KUid::ROOT;
    back.follow_fsuid(&new);
    assert_eq!(back.cap_effective, Capabilities::FULL);
}

#[test]
fn a_set_user_id_program_gains_rights_unless_they_are_renounced() {
    let cred = user(7);
    let root_file = SetIds { uid: Some(KUid::ROOT), gid: None };
    let run = cred.exec(root_file, FsSharing::Private);
    assert!(run.is_secure && run.cred.cap_effective == Capabilities::FULL);
    assert_eq!((run.cred.uid, run.cred.euid, run.cred.suid, run.cred.fsuid), (KUid(7), KUid(0), KUid(0), KUid(0)));
    let shared = cred.exec(root_file, FsSharing::Shared);
    assert_eq!((shared.cred.euid, shared.cred.cap_permitted), (KUid(7), Capabilities::EMPTY));
    assert!(shared.is_secure);
    let plain = cred.exec(SetIds::default(), FsSharing::Private);
    assert!(!plain.is_secure && plain.cred.cap_permitted == Capabilities::EMPTY);
    // Root that has given capabilities up gets them back, but not once it has renounced new ones.
    let mut weak = Cred::root(UserNs::initial());
    weak.cap_permitted = Capabilities::EMPTY;
    weak.cap_effective = Capabilities::EMPTY;
    let regained = weak.exec(SetIds::default(), FsSharing::Private);
    assert!(!regained.is_secure && regained.cred.cap_effective == Capabilities::FULL);
    assert!(weak.is_guarded_against(&regained.cred));
    weak.no_new_privs = true;
    assert_eq!(weak.exec(SetIds::default(), FsSharing::Private).cred.cap_effective, Capabilities::EMPTY);
}

#[test]
fn ambient_capabilities_survive_exec_of_a_plain_program() {
    let one = Capabilities::of_number(5).unwrap();
    let mut cred = user(7);
    (cred.cap_permitted, cred.cap_inheritable, cred.cap_ambient) = (one, one, one);
    let run = cred.exec(SetIds::default(), FsSharing::Private);
    assert_eq!((run.cred.cap_permitted, run.cred.cap_effective, run.is_secure), (one, one, false));
    let set_group = SetIds { uid: None, gid: Some(KGid(9)) };
    let run = cred.exec(set_group, FsSharing::Private);
    assert_eq!(
        (run.cred.cap_ambient, run.cred.cap_permitted, run.is_secure),
        (Capabilities::EMPTY, Capabilities::EMPTY, true)
    );
}

#[test]
fn capset_only_lowers_but_for_inheritable_ones() {
    let mut root = Cred::root(UserNs::initial());
    let (full, none) = (Capabilities::FULL, Capabilities::EMPTY);
    let one = Capabilities::of_number(1).unwrap();
    assert_eq!(root.set_capabilities(one, none, none), Err(Errno::EPERM));
    assert_eq!(root.set_capabilities(one, one, full), Ok(()));
    assert_eq!(root.set_capabilities(one, full, full), Err(Errno::EPERM));
    assert_eq!(root.set_capabilities(none, none, one), Ok(()));
    assert_eq!(root.set_capabilities(none, none, full), Err(Errno::EPERM));
}
