//! unshare(2), setns(2) and the ioctl(2) requests of nsfs.
//!
//! Source: Linux 6.12 kernel/fork.c ksys_unshare(), check_unshare_flags(); kernel/nsproxy.c setns(), and the install()
//! of each kind of namespace; fs/nsfs.c ns_ioctl(); unshare(2), setns(2), ioctl_ns(2).

use alloc::sync::Arc;

use linux_raw_sys::general::AT_FDCWD;
use procfs_core::Errno;

use super::file::install;
use super::path::{context, files_of};
use super::{Args, SyscallResult, mm_of};
use crate::cred::{Capability, Cred, UserNs};
use crate::fd::FdTable;
use crate::fs::nsfs::{self, Namespace};
use crate::task::clone::CloneFlags;
use crate::task::{FsContext, NsProxy, Task};
use crate::vfs::{MountNs, OpenFlags};

/// `_IO(0xb7, 1)`
const NS_GET_USERNS: u32 = 0xb701;
/// `_IO(0xb7, 2)`
const NS_GET_PARENT: u32 = 0xb702;
/// `_IO(0xb7, 3)`
const NS_GET_NSTYPE: u32 = 0xb703;
/// `_IO(0xb7, 4)`
const NS_GET_OWNER_UID: u32 = 0xb704;
/// `_IOR(0xb7, 5, __u64)`
const NS_GET_MNTNS_ID: u32 = 0x8008_b705;

pub fn sys_unshare(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let flags = CloneFlags::from_bits(args.word(0)).ok_or(Errno::EINVAL)?;
    let flags = with_implied(flags);
    check_unshare(task, flags)?;
    let shared_fs = if flags.contains(CloneFlags::FS) { task.shared_fs() } else { None };
    let new_fs = shared_fs.map(|fs| Arc::new(fs.copy()));
    let shared_files = if flags.contains(CloneFlags::FILES) { task.shared_files() } else { None };
    let new_files = shared_files.map(|files| files.fork()).transpose()?.map(Arc::new);
    let new_cred = unshare_user_ns(task, flags)?;
    let user_ns = new_cred.as_ref().map_or_else(|| task.cred().user_ns.clone(), |cred| cred.user_ns.clone());
    let new_nsproxy = unshare_nsproxy(task, flags, &user_ns, new_fs.as_deref())?;
    commit(task, new_fs, new_files, new_nsproxy);
    if let Some(cred) = new_cred {
        task.commit_cred(cred);
    }
    Ok(0)
}

/// `flags` and what unsharing them takes along.
fn with_implied(mut flags: CloneFlags) -> CloneFlags {
    if flags.contains(CloneFlags::NEWUSER) {
        flags |= CloneFlags::THREAD | CloneFlags::FS;
    }
    if flags.contains(CloneFlags::VM) {
        flags |= CloneFlags::SIGHAND;
    }
    if flags.contains(CloneFlags::SIGHAND) {
        flags |= CloneFlags::THREAD;
    }
    if flags.contains(CloneFlags::NEWNS) {
        flags |= CloneFlags::FS;
    }
    flags
}

fn check_unshare(task: &Task, flags: CloneFlags) -> Result<(), Errno> {
    let known = CloneFlags::THREAD
        | CloneFlags::FS
        | CloneFlags::SIGHAND
        | CloneFlags::VM
        | CloneFlags::FILES
        | CloneFlags::SYSVSEM
        | CloneFlags::NEWUSER
        | CloneFlags::NEW_NSPROXY;
    if !known.contains(flags) {
        return Err(Errno::EINVAL);
    }
    // A thread cannot leave its process; signal actions are shared within a process only.
    if flags.contains(CloneFlags::THREAD) && task.group.thread_count() > 1 {
        return Err(Errno::EINVAL);
    }
    if flags.contains(CloneFlags::VM) && !is_single_threaded(task) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Whether no other task uses the memory of `task` (current_is_single_threaded()).
fn is_single_threaded(task: &Task) -> bool {
    let Some(own) = task.mm() else { return true };
    let shares = |other: &Arc<Task>| {
        !core::ptr::eq(Arc::as_ptr(other), task) && other.mm().is_some_and(|mm| Arc::ptr_eq(mm.mm(), own.mm()))
    };
    !task.kernel.tasks.tasks(&task.kernel.pid_ns).iter().any(shares)
}

/// Credentials in a new user namespace, which the other new namespaces then belong to.
fn unshare_user_ns(task: &Task, flags: CloneFlags) -> Result<Option<Cred>, Errno> {
    if !flags.contains(CloneFlags::NEWUSER) {
        return Ok(None);
    }
    let mut cred = (*task.cred()).clone();
    cred.enter_new_user_ns(task.root_directory(), &task.kernel.ns_inums)?;
    Ok(Some(cred))
}

fn unshare_nsproxy(
    task: &Task,
    flags: CloneFlags,
    user_ns: &Arc<UserNs>,
    new_fs: Option<&FsContext>,
) -> Result<Option<NsProxy>, Errno> {
    if !flags.intersects(CloneFlags::NEW_NSPROXY) {
        return Ok(None);
    }
    if !task.cred().has_in(user_ns, Capability::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let fs = task.fs().ok_or(Errno::EINVAL)?;
    let nsproxy = task.nsproxy().ok_or(Errno::EINVAL)?;
    nsproxy.unshared(task.kernel, flags, user_ns, new_fs.unwrap_or(&fs)).map(Some)
}

fn commit(task: &Task, new_fs: Option<Arc<FsContext>>, new_files: Option<Arc<FdTable>>, new_nsproxy: Option<NsProxy>) {
    if let Some(nsproxy) = new_nsproxy {
        task.set_nsproxy(nsproxy);
    }
    if let Some(fs) = new_fs {
        task.set_fs(fs);
    }
    if let Some(files) = new_files {
        task.set_files(files);
    }
}

pub fn sys_setns(task: &Arc<Task>, args: &Args) -> SyscallResult {
    let file = files_of(task)?.get_opened(args.int(0))?;
    let flags = args.uint(1);
    let namespace = nsfs::namespace_of(&**file.inode()).ok_or(Errno::EINVAL)?;
    if flags != 0 && flags != namespace.clone_flag() {
        return Err(Errno::EINVAL);
    }
    join(task, namespace)?;
    Ok(0)
}

/// Makes `namespace` the caller's.
fn join(task: &Arc<Task>, namespace: &Namespace) -> Result<(), Errno> {
    let cred = task.cred();
    let mut new = (*task.nsproxy().ok_or(Errno::EINVAL)?).clone();
    let may_in = |ns: &Arc<UserNs>, capability| {
        if cred.has_in(ns, capability) { Ok(()) } else { Err(Errno::EPERM) }
    };
    let may_join = |owner: &Arc<UserNs>| {
        may_in(owner, Capability::SysAdmin)?;
        may_in(&cred.user_ns, Capability::SysAdmin)
    };
    match namespace {
        Namespace::Mnt(ns) => {
            may_in(&ns.user_ns, Capability::SysAdmin)?;
            may_in(&cred.user_ns, Capability::SysChroot)?;
            may_in(&cred.user_ns, Capability::SysAdmin)?;
            enter_mounts(task, ns)?;
            new.mnt = ns.clone();
        }
        Namespace::Uts(ns) => {
            may_join(ns.user_ns())?;
            new.uts = ns.clone();
        }
        Namespace::Ipc(ns) => {
            may_join(ns.user_ns())?;
            new.ipc = ns.clone();
        }
        Namespace::Net(ns) => {
            may_join(ns.user_ns())?;
            new.net = ns.clone();
        }
        Namespace::Cgroup(ns) => {
            may_join(ns.user_ns())?;
            new.cgroup = ns.clone();
        }
        Namespace::Time(ns) => {
            if task.group.thread_count() > 1 || !is_single_threaded(task) {
                return Err(Errno::EUSERS);
            }
            may_join(ns.user_ns())?;
            new.time = ns.clone();
            new.time_for_children = ns.clone();
        }
        Namespace::Pid(ns) => {
            may_join(ns.user_ns())?;
            // Only the caller's own or one below it.
            if !ns.is_within(&task.pid_ns()) {
                return Err(Errno::EINVAL);
            }
            new.pid_for_children = ns.clone();
        }
        Namespace::User(ns) => return enter_user_ns(task, ns),
    }
    task.set_nsproxy(new);
    Ok(())
}

/// Enters a user namespace, but not the caller's own, which would give it back what it has given up (userns_install()).
fn enter_user_ns(task: &Arc<Task>, ns: &Arc<UserNs>) -> Result<(), Errno> {
    let cred = task.cred();
    if Arc::ptr_eq(ns, &cred.user_ns) || task.group.thread_count() > 1 || task.shared_fs().is_some() {
        return Err(Errno::EINVAL);
    }
    if !cred.has_in(ns, Capability::SysAdmin) {
        return Err(Errno::EPERM);
    }
    let mut new = (*cred).clone();
    new.enter_user_ns(ns.clone());
    task.commit_cred(new);
    Ok(())
}

/// Moves root and working directory to the root of `ns`.
fn enter_mounts(task: &Arc<Task>, ns: &Arc<MountNs>) -> Result<(), Errno> {
    if task.shared_fs().is_some() {
        return Err(Errno::EINVAL);
    }
    let root = ns.root().ok_or(Errno::EINVAL)?;
    let fs = task.fs().ok_or(Errno::EINVAL)?;
    fs.set_root(root.clone());
    fs.set_cwd(root);
    Ok(())
}

/// ioctl(2) on a file of nsfs.
///
/// # Errors
/// `ENOTTY` for an unknown request; `EPERM` for a relative outside of the caller's namespaces; `EINVAL` for a request that
/// namespaces of this kind do not know; `EMFILE`, `EFAULT`.
pub(super) fn ioctl(task: &Arc<Task>, namespace: &Namespace, request: u32, arg: u64) -> SyscallResult {
    match request {
        NS_GET_USERNS => open_related(task, Namespace::User(visible_owner(task, namespace)?)),
        NS_GET_PARENT => {
            let parent = match namespace {
                Namespace::User(_) => Namespace::User(visible_owner(task, namespace)?),
                Namespace::Pid(ns) => {
                    let parent = ns.parent().filter(|parent| parent.is_within(&task.pid_ns()));
                    Namespace::Pid(parent.ok_or(Errno::EPERM)?.clone())
                }
                _ => return Err(Errno::EINVAL),
            };
            open_related(task, parent)
        }
        NS_GET_NSTYPE => Ok(u64::from(namespace.clone_flag())),
        NS_GET_OWNER_UID => {
            let Namespace::User(ns) = namespace else { return Err(Errno::EINVAL) };
            let uid = task.cred().user_ns.from_kuid_munged(ns.owner());
            mm_of(task)?.write_value(arg, &uid)?;
            Ok(0)
        }
        NS_GET_MNTNS_ID => {
            let Namespace::Mnt(ns) = namespace else { return Err(Errno::EINVAL) };
            mm_of(task)?.write_value(arg, &ns.seq())?;
            Ok(0)
        }
        _ => Err(Errno::ENOTTY),
    }
}

/// The owner of `namespace`, if it is the caller's user namespace or below it (ns_get_owner()).
fn visible_owner(task: &Task, namespace: &Namespace) -> Result<Arc<UserNs>, Errno> {
    let own = task.cred().user_ns.clone();
    let owner = namespace.owner().ok_or(Errno::EPERM)?;
    let mut at = owner.clone();
    while !Arc::ptr_eq(&at, &own) {
        at = at.parent().ok_or(Errno::EPERM)?.clone();
    }
    Ok(owner)
}

fn open_related(task: &Arc<Task>, namespace: Namespace) -> SyscallResult {
    let path = nsfs::path_of(&task.kernel.vfs, namespace);
    let file = context(task, AT_FDCWD, b"/")?.open_path(&path, OpenFlags::empty())?;
    install(task, file, true)
}
