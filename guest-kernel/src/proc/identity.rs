//! Which task a node stands for, and what is left of it.
//!
//! Owns the one place where a node finds its task again. Every operation asks anew, so that a task that has been reaped
//! is gone at once, and the owner of a node follows the task's credentials.
//! Source: Linux 6.12 fs/proc/base.c get_proc_task(), task_dump_owner(), proc_pid_make_inode().

use alloc::sync::{Arc, Weak};

use procfs_core::Errno;

use super::ProcFs;
use crate::cred::{KGid, KUid};
use crate::fs::kernfs::Attributes;
use crate::kernel::Kernel;
use crate::mm::Dumpable;
use crate::pid::Pid;
use crate::task::Task;
use crate::vfs::Timestamp;

/// The identity of a task: its `Pid`, which no later task of the same number has. A thread that executes a program becomes what its
/// leader was.
#[derive(Clone)]
pub struct TaskId {
    kernel: &'static Kernel,
    pid: Weak<Pid>,
    /// In the initial namespace.
    number: i32,
    start_ns: u64,
}

impl TaskId {
    /// The identity of `task`.
    #[must_use]
    pub fn of(task: &Arc<Task>) -> Self {
        let pid = task.pid();
        Self { kernel: task.kernel, pid: Arc::downgrade(&pid), number: pid.nr(), start_ns: task.start_ns() }
    }

    /// The task, a zombie included, until it has been reaped.
    #[must_use]
    pub fn task(&self) -> Option<Arc<Task>> {
        let pid = self.pid.upgrade()?;
        self.kernel.tasks.of_pid(&pid)
    }

    /// As `task`, for a read of a file.
    ///
    /// # Errors
    /// `ESRCH` once it has been reaped.
    pub fn resolve(&self) -> Result<Arc<Task>, Errno> {
        self.task().ok_or(Errno::ESRCH)
    }

    /// A number for entry `entry` below the task's directory, the same for as long as the task is, unlike any of a later
    /// task of the same number.
    pub(super) fn ino(&self, entry: u64) -> u64 {
        // The finalizer of splitmix64, over values that differ for each task and entry.
        let mut hash = self.start_ns ^ (u64::from(self.number.unsigned_abs()) << 40) ^ entry.wrapping_mul(0x9E37_79B9);
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // 52 bits, for programs that keep it in a double; above the numbers of all else.
        ((hash ^ (hash >> 31)) >> 12) | 1 << 40
    }

    /// The attributes of a node with `mode`; the owner is root's once the task has gone.
    pub(super) fn attributes(&self, fs: &ProcFs, entry: u64, mode: u16, is_dir: bool) -> Attributes {
        let (uid, gid) = self.task().map_or((KUid::ROOT, KGid::ROOT), |task| owner_of(&task, mode, is_dir));
        let time = Timestamp::from_ns(fs.boot_ns + self.start_ns);
        Attributes { ino: self.ino(entry), mode, nlink: 1, uid, gid, size: 0, time }
    }
}

/// Who owns a node of `task`: its effective ids, or root where it may not be looked at by its user.
fn owner_of(task: &Task, mode: u16, is_dir: bool) -> (KUid, KGid) {
    if task.is_kernel_thread() {
        return (KUid::ROOT, KGid::ROOT);
    }
    let cred = task.cred();
    if is_dir && mode == 0o555 {
        return (cred.euid, cred.egid);
    }
    match task.mm() {
        Some(mm) if mm.dumpable() == Dumpable::User => (cred.euid, cred.egid),
        Some(_) => {
            let ns = task.mm_user_ns();
            (ns.make_kuid(0).unwrap_or(KUid::ROOT), ns.make_kgid(0).unwrap_or(KGid::ROOT))
        }
        None => (KUid::ROOT, KGid::ROOT),
    }
}
