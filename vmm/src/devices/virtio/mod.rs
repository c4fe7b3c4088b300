//! Virtio devices: the virtio-mmio transport and the console behind it.
//!
//! Everything in the queues is written by the driver and trusted in nothing. A driver that breaks the rules gets a device that needs
//! a reset; it never gets a panic, nor memory outside its own.

pub mod chain;
pub mod console;
pub mod mmio;

/// A driver broke the rules; the device needs a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the guest's driver broke virtio's rules: {0}")]
pub struct BrokenDriver(pub &'static str);
