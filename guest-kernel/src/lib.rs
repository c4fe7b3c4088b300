//! The guest kernel: Linux's system calls and `/proc` on one virtual CPU.
//!
//! ARCHITECTURE.md tells how the parts work together. A module uses its own layer and those below; `scripts/check-layers` knows
//! the few exceptions and their reasons.
//!
//! | layer | modules | what |
//! |---|---|---|
//! | 0 machine | `platform`, `phys`, `sync` | CPU and its two platforms, RAM, locks |
//! | 1 time and devices | `sched`, `time`, `driver` | threads and wait queues, clock and timers, virtio console |
//! | 2 memory | `mm` | address spaces, faults, copies from and to programs |
//! | 3 identity | `cred`, `pid`, `ns` | users, groups, capabilities; process numbers; namespaces |
//! | 4 files | `vfs`, `fd`, `fs` | names, mounts, open files; tmpfs, pipes, devices, kernfs |
//! | 5 tasks | `task`, `signal`, `tty` | processes, execution, signals, terminals |
//! | 6 faces | `syscall`, `proc`, `server` | what programs and the host see |
//!
//! Around them: `boot` brings layer 0 up, `start` the rest; `kernel` is the root of all state above layer 1; `log` and `panic` are
//! the serial line's. Only layers 0 and 1, `boot`, `start` (the console and its terminal) and `fs::random` (its key) keep state in a
//! `static`.
//!
//! Lock order: `sync::Rank` and, where a subsystem numbers its own locks, the ranks in `vfs`, `mm` and `fs::kernfs`. A lock may be
//! taken only while every held one has a lower rank; debug builds check it. ARCHITECTURE.md shows the order as one list.
//!
//! `unsafe` is allowed in these modules and nowhere else; each declaration says why:
//! `main` (entry points), `boot::start_info`, `panic`, `selftest`, `platform`, `phys`, `sync::held`, `sync::mutex`,
//! `sched::scheduler`, `sched::thread`, `time::clock`, `time::timer`, `mm::page_table`, `mm::usercopy`, `driver::virtio`; and two
//! functions that turn an address back into what it was, in `driver::console` and `task::kthread`.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

#[cfg(target_os = "none")]
pub mod log;
#[cfg(target_os = "none")]
#[expect(unsafe_code, reason = "reads its own stack and text to find return addresses")]
mod panic;
#[cfg(target_os = "none")]
#[expect(unsafe_code, reason = "runs user code of its own making")]
mod selftest;

pub mod boot;
pub mod cred;
pub mod driver;
pub mod fd;
pub mod fs;
pub mod kernel;
pub mod mm;
pub mod ns;
#[expect(unsafe_code, reason = "RAM as such: frames, the heap, roots of page tables")]
pub mod phys;
pub mod pid;
#[expect(unsafe_code, reason = "the CPU: its tables, registers, entry and exit")]
pub mod platform;
pub mod proc;
pub mod sched;
pub mod server;
pub mod signal;
pub mod start;
pub mod sync;
pub mod syscall;
pub mod task;
pub mod time;
pub mod tty;
pub mod vfs;
