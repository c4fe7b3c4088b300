//! The files of `/proc` itself.
//!
//! Each module owns one file: its snapshot struct and its bytes. Gathering the numbers is the caller's.
//! Source: Linux 6.12 fs/proc.

pub mod block;
pub mod cpu_flags;
pub mod cpuinfo;
pub mod entries;
pub mod interrupts;
pub mod loadavg;
pub mod meminfo;
pub mod options;
pub mod pressure;
pub mod stat;
pub mod texts;
pub mod vmstat;
pub mod zones;

pub use entries::{ENTRIES, Entry, Kind, Node};
