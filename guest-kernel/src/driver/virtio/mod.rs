//! Virtio: the devices named on the command line, and queues that own their buffers.
//!
//! The transport and the rings are the crate `virtio-drivers`; this module gives it memory (`hal`), wraps its queues so that a
//! buffer cannot be touched while the device has it (`queue`), and finds the devices (`mmio`).
//! Trust: the host may write anything into shared memory. Lengths that come back are clamped to the buffer; a token that
//! was never given out ends the use of the queue, not the kernel.

mod hal;
mod mmio;
mod queue;
mod queue_registers;

pub use hal::KernelHal;
pub use mmio::{Device, DeviceWindow, windows};
pub use queue::BufferQueue;
