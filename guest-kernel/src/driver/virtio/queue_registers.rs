//! What `VirtQueue::new` needs of a transport, with as few register accesses as the device allows.
//!
//! Procvisor's own device is known to be unused and large enough (`Device::is_own`), so nothing is read, and an address below 4 GiB needs
//! its low half only. Any other device gets the transport's full sequence. Source: virtio 1.2, 4.2.2 and 4.2.3.2.

use core::ptr::NonNull;

use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::queue::QUEUE_SIZE;

const QUEUE_SEL: usize = 0x30;
const QUEUE_NUM: usize = 0x38;
const QUEUE_READY: usize = 0x44;
const QUEUE_DESC: usize = 0x80;
const QUEUE_DRIVER: usize = 0x90;
const QUEUE_DEVICE: usize = 0xa0;

/// A transport while a queue is set up; everything but the queue's own registers is the transport's.
pub(super) struct QueueRegisters<'a> {
    pub(super) transport: &'a mut MmioTransport<'static>,
    /// The registers of a device of our own.
    pub(super) own: Option<NonNull<u8>>,
}

fn write(registers: NonNull<u8>, offset: usize, value: u32) {
    // SAFETY: `offset` is one of the constants above, inside the window that `Device::probe` checked.
    let register = unsafe { registers.byte_add(offset) }.cast::<u32>();
    // SAFETY: a 32-bit register of a mapped device; whoever has the `QueueRegisters` has the lock on the transport.
    unsafe { register.write_volatile(value) };
}

fn write_address(registers: NonNull<u8>, offset: usize, address: PhysAddr) {
    let bytes = address.to_le_bytes();
    let half = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    write(registers, offset, half(0));
    if half(4) != 0 {
        write(registers, offset + 4, half(4));
    }
}

impl Transport for QueueRegisters<'_> {
    fn queue_set(&mut self, queue: u16, size: u32, descriptors: PhysAddr, driver: PhysAddr, device: PhysAddr) {
        let Some(own) = self.own else {
            return self.transport.queue_set(queue, size, descriptors, driver, device);
        };
        write(own, QUEUE_SEL, queue.into());
        write(own, QUEUE_NUM, size);
        write_address(own, QUEUE_DESC, descriptors);
        write_address(own, QUEUE_DRIVER, driver);
        write_address(own, QUEUE_DEVICE, device);
        write(own, QUEUE_READY, 1);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.own.is_none() && self.transport.queue_used(queue)
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        match self.own {
            Some(_) => QUEUE_SIZE as u32,
            None => self.transport.max_queue_size(queue),
        }
    }

    fn device_type(&self) -> DeviceType {
        self.transport.device_type()
    }

    fn read_device_features(&mut self) -> u64 {
        self.transport.read_device_features()
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        self.transport.write_driver_features(driver_features);
    }

    fn notify(&mut self, queue: u16) {
        self.transport.notify(queue);
    }

    fn get_status(&self) -> DeviceStatus {
        self.transport.get_status()
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.transport.set_status(status);
    }

    fn set_guest_page_size(&mut self, guest_page_size: u32) {
        self.transport.set_guest_page_size(guest_page_size);
    }

    fn requires_legacy_layout(&self) -> bool {
        self.transport.requires_legacy_layout()
    }

    fn queue_unset(&mut self, queue: u16) {
        self.transport.queue_unset(queue);
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        self.transport.ack_interrupt()
    }

    fn read_config_generation(&self) -> u32 {
        self.transport.read_config_generation()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        self.transport.read_config_space(offset)
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, offset: usize, value: T) -> Result<()> {
        self.transport.write_config_space(offset, value)
    }
}
