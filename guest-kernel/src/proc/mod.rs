//! `/proc`: what the kernel shows of itself and its processes.
//!
//! Owns which file stands where, what each is bound to, who may look, and the taking of snapshots; texts and read rules
//! are `procfs_core`'s, inodes `fs::kernfs`'s.
//! A node of a process holds a `TaskId` and never a task, so that a number given out again cannot alias.
//! Locks: none of its own. Snapshots are taken under the short locks of their owners, one after the other, and rendered
//! without any.
//! Source: Linux 6.12 fs/proc; proc(5).

mod access;
mod attr_dir;
mod cpuinfo;
mod fd_dir;
mod id_maps;
mod identity;
mod links;
mod map_files;
mod maps;
mod memory;
mod mounts;
mod net_dir;
mod ns_dir;
mod options;
mod page_files;
mod pid_dir;
mod pid_files;
mod pressure_dir;
mod root_dir;
mod root_files;
mod settings;
mod sys_dir;
mod sys_table;
mod sys_values;
#[cfg(test)]
mod tests;
mod view;
mod write;

pub use identity::TaskId;

use alloc::boxed::Box;
use alloc::sync::Arc;

use procfs_core::Errno;

use crate::fs::kernfs::{Attributes, Dir};
use crate::kernel::Kernel;
use crate::pid::PidNs;
use crate::task::Task;
use crate::vfs::{FsTypeFlags, MountRequest, NewSuper, SuperBlock, SuperState, Timestamp, Vfs};

/// PROC_SUPER_MAGIC
const MAGIC: u32 = 0x9fa0;
/// The inode number of the root (PROC_ROOT_INO).
const ROOT_INO: u64 = 1;
/// The inode numbers of entries that belong to no process start here (PROC_DYNAMIC_FIRST).
const FIRST_STATIC_INO: u64 = 0xF000_0000;

/// What the kernel lends to procfs as `MountRequest::caller` when it mounts itself; mount(2) lends its task.
pub struct Mounter {
    /// The kernel to be shown.
    pub kernel: &'static Kernel,
    /// The pid namespace whose numbers are shown.
    pub pid_ns: Arc<PidNs>,
}

impl Mounter {
    /// What the kernel itself lends.
    #[must_use]
    pub fn initial(kernel: &'static Kernel) -> Self {
        Self { kernel, pid_ns: kernel.pid_ns.clone() }
    }
}

/// One mounted `/proc`: what its nodes share.
struct ProcFs {
    kernel: &'static Kernel,
    pid_ns: Arc<PidNs>,
    /// When it was mounted: the times of what belongs to no process.
    mounted: Timestamp,
    /// When monotonic time was 0, in wall-clock nanoseconds.
    boot_ns: u64,
    options: Arc<options::MountOptions>,
}

impl ProcFs {
    /// The number of `task` in the namespace of the mount; 0 for none.
    fn nr(&self, task: &Task) -> i32 {
        task.pid().nr_in(&self.pid_ns)
    }

    /// The thread with this number in the namespace of the mount.
    fn task(&self, nr: i32) -> Option<Arc<Task>> {
        self.kernel.tasks.task(&self.pid_ns, nr)
    }

    /// Attributes of an entry that belongs to no process.
    fn static_attributes(&self, ino: u64, mode: u16) -> Attributes {
        let (uid, gid) = (crate::cred::KUid::ROOT, crate::cred::KGid::ROOT);
        Attributes { ino, mode, nlink: 1, uid, gid, size: 0, time: self.mounted }
    }
}

/// Makes the type "proc" known.
pub fn register(vfs: &Vfs) {
    vfs.register_filesystem("proc", FsTypeFlags::USERNS_MOUNT | FsTypeFlags::USERNS_VISIBLE, mount);
}

/// Makes a `/proc` for the pid namespace of the mounter: the calling task, or a `Mounter`.
fn mount(request: &MountRequest<'_>) -> Result<NewSuper, Errno> {
    let caller = request.caller.ok_or(Errno::EINVAL)?;
    let (kernel, pid_ns, ids) = if let Some(task) = caller.downcast_ref::<Arc<Task>>() {
        (task.kernel, task.pid_ns(), task.cred().user_ns.clone())
    } else if let Some(mounter) = caller.downcast_ref::<Mounter>() {
        (mounter.kernel, mounter.pid_ns.clone(), mounter.kernel.user_ns.clone())
    } else {
        return Err(Errno::EINVAL);
    };
    let options = options::MountOptions::new(request.data, &ids, kernel.user_ns.clone())?;
    let options = Arc::new(options);
    let fs = Arc::new(ProcFs {
        kernel,
        pid_ns,
        mounted: Timestamp::now(),
        boot_ns: crate::time::realtime_ns().saturating_sub(crate::time::monotonic_ns()),
        options: options.clone(),
    });
    let super_block = Arc::new(SuperBlock {
        fs_type: "proc",
        source: request.source.to_vec(),
        dev: request.vfs.new_anon_dev(),
        options,
        user_ns: request.user_ns.clone(),
        state: SuperState::default(),
        devices: request.vfs.devices().clone(),
        private: Box::new(()),
    });
    Ok(NewSuper { super_block, root: Arc::new(Dir(root_dir::RootDir::new(fs))) })
}
