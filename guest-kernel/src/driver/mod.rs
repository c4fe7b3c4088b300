//! Devices.

pub mod console;
#[expect(unsafe_code, reason = "memory shared with devices, and their registers")]
pub mod virtio;
