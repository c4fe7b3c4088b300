//! User and group ids.
//!
//! Source: Linux 6.12 kernel/sys.c __sys_setuid() and its kin; security/commoncap.c cap_emulate_setxuid(); credentials(7).

use alloc::sync::Arc;
use alloc::vec::Vec;

use procfs_core::Errno;

use super::{Args, SyscallResult, mm_of};
use crate::cred::{Capabilities, Capability, Cred, KGid, KUid};
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

/// Puts new credentials in place; a change of identity makes the process undumpable and moves the capabilities.
fn commit(task: &Task, old: &Cred, mut new: Cred) -> SyscallResult {
    let roots = |cred: &Cred| [cred.uid, cred.euid, cred.suid].contains(&KUid::ROOT);
    if roots(old) && !roots(&new) {
        new.cap_permitted = Capabilities::EMPTY;
        new.cap_effective = Capabilities::EMPTY;
        new.cap_ambient = Capabilities::EMPTY;
    }
    if old.euid == KUid::ROOT && new.euid != KUid::ROOT {
        new.cap_effective = Capabilities::EMPTY;
    }
    if old.euid != KUid::ROOT && new.euid == KUid::ROOT {
        new.cap_effective = new.cap_permitted;
    }
    let identity = |cred: &Cred| (cred.euid, cred.egid, cred.fsuid, cred.fsgid);
    if identity(old) != identity(&new)
        && let Some(mm) = task.mm()
    {
        mm.set_dumpable(task.kernel.sysctls.dumpable_after_change());
    }
    task.set_cred(new);
    Ok(0)
}

fn kuid(cred: &Cred, raw: u32) -> Result<KUid, Errno> {
    cred.user_ns.make_kuid(raw).ok_or(Errno::EINVAL)
}

fn kgid(cred: &Cred, raw: u32) -> Result<KGid, Errno> {
    cred.user_ns.make_kgid(raw).ok_or(Errno::EINVAL)
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
    commit(task, &old, new)
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
    commit(task, &old, new)
}

pub fn sys_setresuid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let mut new = (*old).clone();
    let mine = [old.uid, old.euid, old.suid];
    for (i, slot) in [&mut new.uid, &mut new.euid, &mut new.suid].into_iter().enumerate() {
        let raw = args.uint(i);
        if raw == KEEP {
            continue;
        }
        let id = kuid(&old, raw)?;
        if !old.has(Capability::Setuid) && !mine.contains(&id) {
            return Err(Errno::EPERM);
        }
        *slot = id;
    }
    new.fsuid = new.euid;
    commit(task, &old, new)
}

pub fn sys_setresgid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let mut new = (*old).clone();
    let mine = [old.gid, old.egid, old.sgid];
    for (i, slot) in [&mut new.gid, &mut new.egid, &mut new.sgid].into_iter().enumerate() {
        let raw = args.uint(i);
        if raw == KEEP {
            continue;
        }
        let id = kgid(&old, raw)?;
        if !old.has(Capability::Setgid) && !mine.contains(&id) {
            return Err(Errno::EPERM);
        }
        *slot = id;
    }
    new.fsgid = new.egid;
    commit(task, &old, new)
}

pub fn sys_setreuid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let mut new = (*old).clone();
    let may = old.has(Capability::Setuid);
    if args.uint(0) != KEEP {
        new.uid = kuid(&old, args.uint(0))?;
        if !may && ![old.uid, old.euid].contains(&new.uid) {
            return Err(Errno::EPERM);
        }
    }
    if args.uint(1) != KEEP {
        new.euid = kuid(&old, args.uint(1))?;
        if !may && ![old.uid, old.euid, old.suid].contains(&new.euid) {
            return Err(Errno::EPERM);
        }
    }
    if args.uint(0) != KEEP || (args.uint(1) != KEEP && new.euid != old.uid) {
        new.suid = new.euid;
    }
    new.fsuid = new.euid;
    commit(task, &old, new)
}

pub fn sys_setregid(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let old = task.cred();
    let mut new = (*old).clone();
    let may = old.has(Capability::Setgid);
    if args.uint(0) != KEEP {
        new.gid = kgid(&old, args.uint(0))?;
        if !may && ![old.gid, old.egid].contains(&new.gid) {
            return Err(Errno::EPERM);
        }
    }
    if args.uint(1) != KEEP {
        new.egid = kgid(&old, args.uint(1))?;
        if !may && ![old.gid, old.egid, old.sgid].contains(&new.egid) {
            return Err(Errno::EPERM);
        }
    }
    if args.uint(0) != KEEP || (args.uint(1) != KEEP && new.egid != old.gid) {
        new.sgid = new.egid;
    }
    new.fsgid = new.egid;
    commit(task, &old, new)
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
    if !old.has(Capability::Setgid) {
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
    task.set_cred(new);
    Ok(0)
}

pub fn sys_capget(task: &Arc<Task>, args: &Args) -> SyscallResult {
    const VERSION_3: u32 = 0x2008_0522;
    let mm = mm_of(task)?;
    let mut header = [0; 8];
    mm.copy_in(args.word(0), &mut header)?;
    let version = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    if version != VERSION_3 {
        mm.copy_out(args.word(0), &VERSION_3.to_le_bytes())?;
        return if args.word(1) == 0 { Ok(0) } else { Err(Errno::EINVAL) };
    }
    let nr = i32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if nr < 0 {
        return Err(Errno::EINVAL);
    }
    let target = if nr == 0 { task.clone() } else { task.find_task(nr).ok_or(Errno::ESRCH)? };
    let cred = target.cred();
    let sets = [cred.cap_effective, cred.cap_permitted, cred.cap_inheritable].map(Capabilities::bits);
    let mut bytes = Vec::with_capacity(24);
    for half in 0..2 {
        for set in sets {
            bytes.extend_from_slice(&((set >> (32 * half)) as u32).to_le_bytes());
        }
    }
    mm.copy_out(args.word(1), &bytes)?;
    Ok(0)
}
