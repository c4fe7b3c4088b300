//! The devices a machine has: a serial line for the kernel's log, the exit port, one virtio-console.

pub mod exit;
pub mod serial;
pub mod virtio;
