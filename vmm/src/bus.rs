//! Which device answers at which address.
//!
//! Addresses nobody answers read as all ones, and writes to them go nowhere, as on a PC.

use std::sync::{Arc, Mutex, PoisonError};

use crate::devices::exit::GuestExit;
use crate::devices::serial::SerialPort;
use crate::devices::virtio::mmio::VirtioMmio;
use crate::layout;

/// The console device, shared by the vCPU's thread (registers) and the event thread (queues).
pub type SharedConsole = Arc<Mutex<VirtioMmio>>;

/// The devices of one machine.
#[derive(Debug)]
pub struct Bus {
    serial: SerialPort,
    console: SharedConsole,
}

impl Bus {
    /// A bus of these devices.
    pub fn new(serial: SerialPort, console: SharedConsole) -> Self {
        Self { serial, console }
    }

    /// A write to an I/O port; `Some` when it ended the guest. `bytes` holds several values in a row for a string instruction.
    pub fn write_port(&mut self, port: u16, bytes: &[u8]) -> Option<GuestExit> {
        if let Some(offset) = serial_offset(port) {
            self.serial.write(offset, bytes);
        } else if let (layout::EXIT_PORT, Ok(value)) = (port, <[u8; 4]>::try_from(bytes)) {
            return Some(GuestExit::from_port_value(u32::from_le_bytes(value)));
        }
        None
    }

    /// A read from an I/O port.
    pub fn read_port(&mut self, port: u16, bytes: &mut [u8]) {
        bytes.fill(0xff);
        if let (Some(offset), [byte, ..]) = (serial_offset(port), bytes) {
            *byte = self.serial.read(offset);
        }
    }

    /// A write to device memory.
    pub fn write_memory(&mut self, address: u64, bytes: &[u8]) {
        if let Some(offset) = console_offset(address) {
            self.console.lock().unwrap_or_else(PoisonError::into_inner).write(offset, bytes);
        }
    }

    /// A read from device memory.
    pub fn read_memory(&mut self, address: u64, bytes: &mut [u8]) {
        bytes.fill(0xff);
        if let Some(offset) = console_offset(address) {
            self.console.lock().unwrap_or_else(PoisonError::into_inner).read(offset, bytes);
        }
    }
}

fn serial_offset(port: u16) -> Option<u8> {
    let offset = port.checked_sub(layout::SERIAL_PORT).filter(|&offset| offset < layout::SERIAL_PORT_COUNT)?;
    u8::try_from(offset).ok()
}

fn console_offset(address: u64) -> Option<u64> {
    address.checked_sub(layout::VIRTIO_CONSOLE_MMIO).filter(|&offset| offset < layout::VIRTIO_MMIO_BYTES)
}
