//! The host side of Procvisor.

/// The guest kernel, an ELF64 image.
pub const GUEST_KERNEL: &[u8] = include_bytes!(env!("GUEST_KERNEL"));
