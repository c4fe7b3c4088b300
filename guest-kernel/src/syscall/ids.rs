//! User and group ids.
//!
//! What a change does to capabilities is `cred`'s; that it closes the process to its user, `Task::commit_cred`'s.
//! Source: Linux 6.12 kernel/sys.c __sys_setuid() and its kin, kernel/groups.c; credentials(7).

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of};
use crate::cred::{Capability, Cred, KGid, KUid};
use crate::task::Task;

const KEEP: u32 = u32::MAX;
const NGROUPS_MAX: usize = 65_536;

fn uid(task: &Task, of: impl Fn(&Cred) -> KUid) -> SyscallResult {
    let cred = task.cred();
    Ok(u64::from(cred.user_ns.from_kuid_munged(of(&cred))))
}

fn gid(task: &Task, of: impl Fn(&Cred) -> KGid) -> SyscallResult {
    let cred = task.cred();
    Ok(u64::from(cred.user_ns.from_kgid_munged(of(&cred))))
}

pub fn sys_getuid(task: &Arc<Task>, _: &Args) -> SyscallResult {
    uid(task, |cred| cred.uid)
}

pub fn sys_geteuid(task: &Arc<Task>, _: &Args) -> SyscallResult {
    uid(task, |cred| cred.euid)
}

pub fn sys_getgid(task: &Arc<Task>, _: &Args) -> SyscallResult {
    gid(task, |cred| cred.gid)
}

pub fn sys_getegid(task: &Arc<Task>, _: &Args) -> SyscallResult {
    gid(task, |cred| cred.egid)
}

pub fn sys_getresuid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let cred = task.cred();
    let mm = mm_of(task)?;
    for (i, id) in [cred.uid, cred.euid, cred.suid].into_iter().enumerate() {
        mm.copy_out(args.word(i), &cred.user_ns.from_kuid_munged(id).to_le_bytes())?;
    }
    Ok(0)
}

pub fn sys_getresgid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let cred = task.cred();
    let mm = mm_of(task)?;
    for (i, id) in [cred.gid, cred.egid, cred.sgid].into_iter().enumerate() {
        mm.copy_out(args.word(i), &cred.user_ns.from_kgid_munged(id).to_le_bytes())?;
    }
    Ok(0)
}

fn kuid(cred: &Cred, raw: u32) -> Result<KUid, Errno> {
    cred.user_ns.make_kuid(raw).ok_or(Errno::EINVAL)
}

fn kgid(cred: &Cred, raw: u32) -> Result<KGid, Errno> {
    cred.user_ns.make_kgid(raw).ok_or(Errno::EINVAL)
}

/// An id that a call may leave as it is.
fn kuid_or_keep(cred: &Cred, raw: u32) -> Result<Option<KUid>, Errno> {
    if raw == KEEP { Ok(None) } else { kuid(cred, raw).map(Some) }
}

fn kgid_or_keep(cred: &Cred, raw: u32) -> Result<Option<KGid>, Errno> {
    if raw == KEEP { Ok(None) } else { kgid(cred, raw).map(Some) }
}

/// Puts the credentials in place that differ from `old` in user ids.
fn commit_user(task: &Task, old: &Cred, mut new: Cred) -> SyscallResult {
    new.follow_user_ids(old);
    task.commit_cred(new);
    Ok(0)
}

pub fn sys_setuid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let id = kuid(&old, args.uint(0))?;
    let mut new = (*old).clone();
    if old.has(Capability::Setuid) {
        (new.uid, new.suid) = (id, id);
    } else if id != old.uid && id != old.suid {
        return Err(Errno::EPERM);
    }
    (new.euid, new.fsuid) = (id, id);
    commit_user(task, &old, new)
}

pub fn sys_setgid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let id = kgid(&old, args.uint(0))?;
    let mut new = (*old).clone();
    if old.has(Capability::Setgid) {
        (new.gid, new.sgid) = (id, id);
    } else if id != old.gid && id != old.sgid {
        return Err(Errno::EPERM);
    }
    (new.egid, new.fsgid) = (id, id);
    task.commit_cred(new);
    Ok(0)
}

pub fn sys_setresuid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let [uid, euid, suid] =
        [kuid_or_keep(&old, args.uint(0))?, kuid_or_keep(&old, args.uint(1))?, kuid_or_keep(&old, args.uint(2))?];
    let is_kept = |wanted: Option<KUid>, id: KUid| wanted.is_none_or(|wanted| wanted == id);
    if is_kept(uid, old.uid) && is_kept(euid, old.euid) && is_kept(euid, old.fsuid) && is_kept(suid, old.suid) {
        return Ok(0);
    }
    let is_new = |id: &KUid| ![old.uid, old.euid, old.suid].contains(id);
    if [uid, euid, suid].iter().flatten().any(is_new) && !old.has(Capability::Setuid) {
        return Err(Errno::EPERM);
    }
    let mut new = (*old).clone();
    new.uid = uid.unwrap_or(old.uid);
    new.euid = euid.unwrap_or(old.euid);
    new.suid = suid.unwrap_or(old.suid);
    new.fsuid = new.euid;
    commit_user(task, &old, new)
}

pub fn sys_setresgid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let [gid, egid, sgid] =
        [kgid_or_keep(&old, args.uint(0))?, kgid_or_keep(&old, args.uint(1))?, kgid_or_keep(&old, args.uint(2))?];
    let is_kept = |wanted: Option<KGid>, id: KGid| wanted.is_none_or(|wanted| wanted == id);
    if is_kept(gid, old.gid) && is_kept(egid, old.egid) && is_kept(egid, old.fsgid) && is_kept(sgid, old.sgid) {
        return Ok(0);
    }
    let is_new = |id: &KGid| ![old.gid, old.egid, old.sgid].contains(id);
    if [gid, egid, sgid].iter().flatten().any(is_new) && !old.has(Capability::Setgid) {
        return Err(Errno::EPERM);
    }
    let mut new = (*old).clone();
    new.gid = gid.unwrap_or(old.gid);
    new.egid = egid.unwrap_or(old.egid);
    new.sgid = sgid.unwrap_or(old.sgid);
    new.fsgid = new.egid;
    task.commit_cred(new);
    Ok(0)
}

pub fn sys_setreuid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let (uid, euid) = (kuid_or_keep(&old, args.uint(0))?, kuid_or_keep(&old, args.uint(1))?);
    let is_privileged = old.has(Capability::Setuid);
    let mut new = (*old).clone();
    if let Some(uid) = uid {
        if !is_privileged && ![old.uid, old.euid].contains(&uid) {
            return Err(Errno::EPERM);
        }
        new.uid = uid;
    }
    if let Some(euid) = euid {
        if !is_privileged && ![old.uid, old.euid, old.suid].contains(&euid) {
            return Err(Errno::EPERM);
        }
        new.euid = euid;
    }
    if uid.is_some() || euid.is_some_and(|euid| euid != old.uid) {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    commit_user(task, &old, new)
}

pub fn sys_setregid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let (gid, egid) = (kgid_or_keep(&old, args.uint(0))?, kgid_or_keep(&old, args.uint(1))?);
    let is_privileged = old.has(Capability::Setgid);
    let mut new = (*old).clone();
    if let Some(gid) = gid {
        if !is_privileged && ![old.gid, old.egid].contains(&gid) {
            return Err(Errno::EPERM);
        }
        new.gid = gid;
    }
    if let Some(egid) = egid {
        if !is_privileged && ![old.gid, old.egid, old.sgid].contains(&egid) {
            return Err(Errno::EPERM);
        }
        new.egid = egid;
    }
    if gid.is_some() || egid.is_some_and(|egid| egid != old.gid) {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    task.commit_cred(new);
    Ok(0)
}

/// Never fails: it gives the old id, and the caller has to ask again to see whether it has changed.
pub fn sys_setfsuid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let before = u64::from(old.user_ns.from_kuid_munged(old.fsuid));
    let Ok(id) = kuid(&old, args.uint(0)) else { return Ok(before) };
    let may = [old.uid, old.euid, old.suid].contains(&id) || old.has(Capability::Setuid);
    if may && id != old.fsuid {
        let mut new = (*old).clone();
        new.fsuid = id;
        new.follow_fsuid(&old);
        task.commit_cred(new);
    }
    Ok(before)
}

/// As `sys_setfsuid`.
pub fn sys_setfsgid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let before = u64::from(old.user_ns.from_kgid_munged(old.fsgid));
    let Ok(id) = kgid(&old, args.uint(0)) else { return Ok(before) };
    let may = [old.gid, old.egid, old.sgid].contains(&id) || old.has(Capability::Setgid);
    if may && id != old.fsgid {
        let mut new = (*old).clone();
        new.fsgid = id;
        task.commit_cred(new);
    }
    Ok(before)
}

pub fn sys_getgroups(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let cred = task.cred();
    let room = usize::try_from(args.int(0)).map_err(|_| Errno::EINVAL)?;
    if room != 0 {
        if room < cred.groups.len() {
            return Err(Errno::EINVAL);
        }
        let bytes: Vec<u8> =
            cred.groups.iter().flat_map(|&gid| cred.user_ns.from_kgid_munged(gid).to_le_bytes()).collect();
        mm_of(task)?.copy_out(args.word(1), &bytes)?;
    }
    Ok(cred.groups.len() as u64)
}

pub fn sys_setgroups(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    if !old.has(Capability::Setgid) || !old.user_ns.may_setgroups() {
        return Err(Errno::EPERM);
    }
    let count = args.uint(0) as usize;
    if count > NGROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    let mut bytes = alloc::vec![0; count * 4];
    mm_of(task)?.copy_in(args.word(1), &mut bytes)?;
    let mut new = (*old).clone();
    new.groups = bytes
        .chunks_exact(4)
        .map(|raw| kgid(&old, u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]])))
        .collect::<Result<_, _>>()?;
    new.groups.sort_unstable();
    task.commit_cred(new);
    Ok(0)
}
