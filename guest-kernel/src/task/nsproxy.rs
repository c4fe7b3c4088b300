//! The namespaces of a task but for the user namespace, which is its credentials', and that of its number, which is the number's.
//!
//! Owns which ones a task has, and which a child or unshare(2) gets in their place. A set is immutable and shared; a task
//! that changes one namespace gets a new set. A task that has ended has none.
//! Source: Linux 6.12 include/linux/nsproxy.h, kernel/nsproxy.c create_new_namespaces(), copy_namespaces(),
//! timens_on_fork(), exec_task_namespaces(); namespaces(7).

use alloc::sync::Arc;

use procfs_core::Errno;

use super::clone::CloneFlags;
use super::{FsContext, current};
use crate::cred::UserNs;
use crate::kernel::Kernel;
use crate::ns::{CgroupNs, IpcNs, NetNs, PlainNs, TimeNs, UtsNs};
use crate::pid::PidNs;
use crate::vfs::MountNs;

/// Linux `struct nsproxy`.
#[derive(Clone)]
pub struct NsProxy {
    /// Host and domain name.
    pub uts: Arc<UtsNs>,
    /// Queues of messages.
    pub ipc: Arc<IpcNs>,
    /// Mounts.
    pub mnt: Arc<MountNs>,
    /// Where children get their numbers.
    pub pid_for_children: Arc<PidNs>,
    /// The network.
    pub net: Arc<NetNs>,
    /// Control groups.
    pub cgroup: Arc<CgroupNs>,
    /// Clocks.
    pub time: Arc<TimeNs>,
    /// Clocks of children, and of the task itself once it executes a program.
    pub time_for_children: Arc<TimeNs>,
}

impl CloneFlags {
    /// The flags that ask for a namespace of `NsProxy`.
    pub const NEW_NSPROXY: CloneFlags = Self::NEWNS
        .union(Self::NEWUTS)
        .union(Self::NEWIPC)
        .union(Self::NEWPID)
        .union(Self::NEWNET)
        .union(Self::NEWCGROUP)
        .union(Self::NEWTIME);
}

impl NsProxy {
    /// A set with new namespaces for those that `flags` name, owned by `user_ns`, and the present ones for the others.
    ///
    /// With a new mount namespace, root and working directory of `fs` move to its mounts.
    ///
    /// # Errors
    /// `ENOSPC` when there is no number or the 33rd pid namespace would lie below another; `ENOMEM`; `EINVAL` for a pid namespace
    /// when children get one already.
    pub fn unshared(
        &self,
        kernel: &Kernel,
        flags: CloneFlags,
        user_ns: &Arc<UserNs>,
        fs: &FsContext,
    ) -> Result<Self, Errno> {
        // Linux makes the mount namespace first, the others follow in this order; the numbers tell.
        let mut new = self.clone();
        let (mut root, mut cwd) = (fs.root(), fs.cwd());
        if flags.contains(CloneFlags::NEWNS) {
            new.mnt = self.mnt.copy(kernel.ns_inums.allocate()?, user_ns, [&mut root, &mut cwd])?;
        }
        if flags.contains(CloneFlags::NEWUTS) {
            new.uts = self.uts.copy(kernel.ns_inums.allocate()?, user_ns.clone());
        }
        if flags.contains(CloneFlags::NEWIPC) {
            new.ipc = fresh(kernel, user_ns)?;
        }
        if flags.contains(CloneFlags::NEWPID) {
            new.pid_for_children = new_pid_ns(kernel, user_ns, &self.pid_for_children)?;
        }
        if flags.contains(CloneFlags::NEWCGROUP) {
            new.cgroup = fresh(kernel, user_ns)?;
        }
        if flags.contains(CloneFlags::NEWNET) {
            new.net = fresh(kernel, user_ns)?;
        }
        if flags.contains(CloneFlags::NEWTIME) {
            new.time_for_children = fresh(kernel, user_ns)?;
        }
        if flags.contains(CloneFlags::NEWNS) {
            // Nothing can fail any more, so that a failed call leaves the caller where it was.
            fs.set_root(root);
            fs.set_cwd(cwd);
        }
        Ok(new)
    }

    /// The set of a child made with `flags`; the same one if nothing changes.
    ///
    /// # Errors
    /// As `unshared`.
    pub(super) fn for_child(
        self: &Arc<Self>,
        kernel: &Kernel,
        flags: CloneFlags,
        user_ns: &Arc<UserNs>,
        fs: &FsContext,
    ) -> Result<Arc<Self>, Errno> {
        // A child that shares the memory gets the clocks of children when it executes a program.
        let changes_time = !flags.contains(CloneFlags::VM) && !Arc::ptr_eq(&self.time, &self.time_for_children);
        if !flags.intersects(CloneFlags::NEW_NSPROXY) && !changes_time {
            return Ok(self.clone());
        }
        let mut new = self.unshared(kernel, flags, user_ns, fs)?;
        if !flags.contains(CloneFlags::VM) {
            new.time = new.time_for_children.clone();
        }
        Ok(Arc::new(new))
    }

    /// The set after execve(2), if it is another one.
    pub(super) fn after_exec(&self) -> Option<Self> {
        (!Arc::ptr_eq(&self.time, &self.time_for_children))
            .then(|| Self { time: self.time_for_children.clone(), ..self.clone() })
    }
}

fn fresh<K>(kernel: &Kernel, user_ns: &Arc<UserNs>) -> Result<Arc<PlainNs<K>>, Errno> {
    Ok(PlainNs::new(kernel.ns_inums.allocate()?, user_ns.clone()))
}

/// A pid namespace below `parent`, which must be the caller's own (copy_pid_ns()).
fn new_pid_ns(kernel: &Kernel, user_ns: &Arc<UserNs>, parent: &Arc<PidNs>) -> Result<Arc<PidNs>, Errno> {
    if !Arc::ptr_eq(parent, &current().pid_ns()) {
        return Err(Errno::EINVAL);
    }
    PidNs::create(parent, user_ns.clone(), kernel.ns_inums.allocate()?)
}
