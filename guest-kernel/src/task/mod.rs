//! Tasks: a thread with its memory, files, credentials and signals.
//!
//! Owns the relation of tasks to each other: thread groups, parents and children, process groups, sessions.
//! A `Task` holds each of its resources behind a short lock of its own and hands out counted handles; what it had is
//! taken away when it exits, so that a zombie holds only what `/proc` still shows of it.
//! Source: Linux 6.12 include/linux/sched.h, kernel/fork.c, kernel/exit.c.

pub mod clone;
mod de_thread;
pub mod elf;
pub mod exec;
pub mod exit;
mod fs_context;
pub mod futex;
mod group;
mod inherited;
pub mod init_stack;
mod kernel_entry;
mod kthread;
mod load;
mod nsproxy;
pub mod oom;
pub mod real_timer;
mod reaper;
mod rlimit;
mod robust_list;
pub mod run;
mod session;
mod table;
mod task_struct;
pub mod wait;

pub use fs_context::FsContext;
pub use group::{ExitState, GroupState, GroupUsage, JobControl, ThreadGroup};
pub use inherited::{AUDIT_UNSET, Inherited};
pub use kernel_entry::{EntrySnapshot, KernelEntry};
pub use kthread::spawn_kernel_thread;
pub use load::{LoadAverage, PERIOD_NS as LOAD_PERIOD_NS};
pub use nsproxy::NsProxy;
pub use reaper::reboot_namespace;
pub use rlimit::{RLIM_INFINITY, Resource, Rlimit, Rlimits};
pub use session::{ProcessGroup, Session};
pub use table::TaskTable;
pub use task_struct::{Comm, Task, TaskFlags, TaskSignals, current};
