//! Who may do what to an inode.
//!
//! Source: Linux 6.12 fs/namei.c generic_permission(), may_delete(), check_sticky(); fs/attr.c setattr_prepare();
//! path_resolution(7).

use procfs_core::Errno;

use super::metadata::{Access, FileKind, Metadata, S_ISGID, S_ISUID, S_ISVTX};
use crate::cred::{Capability, Cred};

/// Whether `cred` has all of `mask` by owner, group, other bits and capabilities.
///
/// # Errors
/// `EACCES`.
pub fn generic_permission(inode: &Metadata, cred: &Cred, mask: Access) -> Result<(), Errno> {
    let granted = if cred.fsuid == inode.uid {
        inode.mode >> 6
    } else if cred.is_in_group(inode.gid) {
        inode.mode >> 3
    } else {
        inode.mode
    } & 7;
    if mask.bits() & !granted == 0 {
        return Ok(());
    }
    let overridden = if inode.kind == FileKind::Directory {
        (!mask.contains(Access::WRITE) && has_towards(cred, inode, Capability::DacReadSearch))
            || has_towards(cred, inode, Capability::DacOverride)
    } else {
        (mask == Access::READ && has_towards(cred, inode, Capability::DacReadSearch))
            || ((!mask.contains(Access::EXEC) || inode.mode & 0o111 != 0)
                && has_towards(cred, inode, Capability::DacOverride))
    };
    if overridden { Ok(()) } else { Err(Errno::EACCES) }
}

/// Whether `capability` counts towards the inode: the caller's user namespace must have names for its owners.
#[must_use]
pub fn has_towards(cred: &Cred, inode: &Metadata, capability: Capability) -> bool {
    cred.has_towards(inode.uid, inode.gid, capability)
}

/// Whether the sticky bit of `dir` keeps `cred` from removing `victim` in it.
#[must_use]
pub fn is_kept_by_sticky(dir: &Metadata, victim: &Metadata, cred: &Cred) -> bool {
    dir.mode & S_ISVTX != 0
        && victim.uid != cred.fsuid
        && dir.uid != cred.fsuid
        && !has_towards(cred, victim, Capability::Fowner)
}

/// Whether `cred` owns the inode or acts as its owner (inode_owner_or_capable()).
#[must_use]
pub fn is_owner_or_capable(inode: &Metadata, cred: &Cred) -> bool {
    cred.fsuid == inode.uid || (cred.has(Capability::Fowner) && cred.user_ns.from_kuid(inode.uid).is_some())
}

/// The mode that chmod(2) by `cred` sets: a stranger to the group cannot set the set-group-ID bit.
#[must_use]
pub fn chmod_mode(inode: &Metadata, cred: &Cred, mode: u32) -> u32 {
    if cred.is_in_group(inode.gid) || has_towards(cred, inode, Capability::Fsetid) { mode } else { mode & !S_ISGID }
}

/// The mode left when `cred` changes content or ownership of a file that has set-ID bits; `None` when it stays
/// (setattr_should_drop_suidgid()).
#[must_use]
pub fn mode_without_set_ids(inode: &Metadata, cred: &Cred) -> Option<u32> {
    let mut dropped = inode.mode & S_ISUID;
    if inode.mode & S_ISGID != 0
        && (inode.mode & 0o010 != 0 || !(cred.is_in_group(inode.gid) || has_towards(cred, inode, Capability::Fsetid)))
    {
        dropped |= S_ISGID;
    }
    (dropped != 0).then_some(inode.mode & !dropped)
}
