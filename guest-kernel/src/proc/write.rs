//! What the writable files of a task do with a write.
//!
//! Source: Linux 6.12 fs/proc/base.c comm_write(), __set_oom_adj().

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;
use procfs_core::pid::comm::{self, TASK_NAME_MAX};
use procfs_core::pid::oom;

use super::TaskId;
use crate::cred::Capability;
use crate::fs::kernfs::Writer;
use crate::task::{Comm, current};

/// A write to `comm`.
pub(super) struct CommWriter {
    pub(super) id: TaskId,
}

impl Writer for CommWriter {
    fn limit(&self) -> usize {
        TASK_NAME_MAX
    }

    fn moves_offset(&self) -> bool {
        false
    }

    fn write(&mut self, bytes: &[u8], count: usize, _: u64) -> Result<usize, Errno> {
        let task = self.id.resolve()?;
        if !Arc::ptr_eq(&task.group, &current().group) {
            return Err(Errno::EINVAL);
        }
        task.set_comm(Comm::new(comm::Comm::from_write(bytes).as_bytes()));
        Ok(count)
    }
}

/// What a write says, and how many bytes of it counted.
type Parse = fn(&[u8]) -> Result<(i16, usize), Errno>;

/// A write to `oom_score_adj` or `oom_adj`.
pub(super) struct OomWriter {
    pub(super) id: TaskId,
    pub(super) parse: Parse,
    pub(super) is_old_scale: bool,
}

impl Writer for OomWriter {
    fn limit(&self) -> usize {
        oom::WRITE_MAX
    }

    fn moves_offset(&self) -> bool {
        false
    }

    fn write(&mut self, bytes: &[u8], _: usize, _: u64) -> Result<usize, Errno> {
        let (value, taken) = (self.parse)(bytes)?;
        let value = i32::from(value);
        let task = self.id.resolve()?;
        let group = &task.group;
        let is_resource_admin = current().cred().capable(Capability::SysResource);
        let bound = if self.is_old_scale { &group.oom_score_adj } else { &group.oom_score_adj_min };
        if value < bound.load(Relaxed) && !is_resource_admin {
            return Err(Errno::EACCES);
        }
        let set = |group: &crate::task::ThreadGroup| {
            group.oom_score_adj.store(value, Relaxed);
            if !self.is_old_scale && is_resource_admin {
                group.oom_score_adj_min.store(value, Relaxed);
            }
        };
        set(group);
        // Other processes in the same memory die with this one, so they have its value.
        let own = group.threads().iter().find_map(|thread| thread.mm());
        if let Some(mm) = own.filter(|_| !task.is_in_vfork()) {
            for other in group.kernel.tasks.groups(&group.kernel.pid_ns) {
                let threads = other.threads();
                // A child of vfork has what its parent gave it, and no memory of its own yet.
                let is_spared = other.is_init() || threads.iter().any(|thread| thread.is_in_vfork());
                let shared = threads.iter().find_map(|thread| thread.mm());
                if !is_spared && shared.is_some_and(|shared| Arc::ptr_eq(shared.mm(), mm.mm())) {
                    set(&other);
                }
            }
        }
        Ok(taken)
    }
}
