//! The files of `/proc/PID` and `/proc/PID/task/TID`.
//!
//! Each module owns one file (or a few of one kind): its snapshot struct, its bytes, and what may be written to it.
//! Taking the snapshots, checking permission and resolving tasks are the caller's.
//! Source: Linux 6.12 fs/proc/base.c, fs/proc/array.c, fs/proc/task_mmu.c.

pub mod auxv;
pub mod cgroup;
pub mod cmdline;
pub mod comm;
pub mod entries;
pub mod environ;
pub mod fdinfo;
pub mod id_map;
pub mod io;
pub mod limits;
pub mod links;
pub mod map_files;
pub mod maps;
pub mod mounts;
pub mod oom;
pub mod pagemap;
pub mod settings;
pub mod smaps;
pub mod stat;
pub mod state;
pub mod statm;
pub mod status;
pub mod syscall;
pub mod texts;

pub use comm::Comm;
pub use entries::{ENTRIES, Entry, Gate, Kind, Node, Scope};
pub use state::TaskState;

/// Whether the reader passes the ptrace read check on the task, where a file shows less without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PtraceRead {
    /// Everything is shown.
    Permitted,
    /// Addresses and the like are hidden.
    Denied,
}
