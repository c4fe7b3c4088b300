//! Bring-up: from the entry point to `kernel_main`.
//!
//! Owns what the boot loader said (`BootInfo`, also on the host) and the order in which layer 0 comes up. Everything read from the start
//! info is copied and checked first: its memory is free RAM afterwards, but for the modules.
//! Source: Xen public/arch-x86/hvm/start_info.h; Linux 6.12 Documentation/admin-guide/kernel-parameters.txt.

#[cfg(target_os = "none")]
mod bring_up;
mod info;
#[cfg(target_os = "none")]
#[expect(unsafe_code, reason = "reads what the boot loader left in memory")]
mod start_info;
pub mod timeline;
#[cfg(target_os = "none")]
mod tsc;

#[cfg(target_os = "none")]
pub use bring_up::start;
pub use info::BootInfo;
