//! Virtio devices behind memory-mapped registers, as `virtio_mmio.device=SIZE@ADDRESS:IRQ` names them.
//!
//! Source: virtio 1.2 section 4.2; Linux 6.12 drivers/virtio/virtio_mmio.c vm_cmdline_set().

use core::ptr::NonNull;

use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceStatus, DeviceType, Transport};

use super::queue_registers::QueueRegisters;
use crate::platform;
use crate::sync::{Mutex, Rank};

/// Where a device's registers and its interrupt are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceWindow {
    /// Physical address of the registers.
    pub address: u64,
    /// Bytes of registers.
    pub size: u64,
    /// Interrupt line.
    pub irq: u32,
}

const REGISTER_BYTES: u64 = 0x100;
const VENDOR_ID: usize = 0x0c;
const INTERRUPT_ACK: usize = 0x64;
/// "PrVr": Procvisor's own device (see `Device::is_own`).
const OWN_VENDOR: u32 = 0x7256_7250;
/// Used buffer and configuration change.
const ALL_INTERRUPTS: u32 = 3;

/// The windows that the command line names.
pub fn windows(command_line: &[u8]) -> impl Iterator<Item = DeviceWindow> + '_ {
    command_line
        .split(|b| b.is_ascii_whitespace())
        .filter_map(|word| word.strip_prefix(b"virtio_mmio.device="))
        .filter_map(parse_window)
}

fn parse_window(text: &[u8]) -> Option<DeviceWindow> {
    let text = core::str::from_utf8(text).ok()?;
    let (size, rest) = text.split_once('@')?;
    let mut parts = rest.split(':');
    let address = parse_number(parts.next()?)?;
    let irq = parts.next()?.parse().ok()?;
    Some(DeviceWindow { address, size: parse_number(size)?, irq })
}

fn parse_number(text: &str) -> Option<u64> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_shl(shift)
}

/// A device with its registers.
pub struct Device {
    transport: Mutex<MmioTransport<'static>>,
    acknowledge: NonNull<u32>,
    /// Whether it is Procvisor's, of which more is known than virtio promises: it is reset when the kernel starts, with its address
    /// registers zero, each queue takes `QUEUE_SIZE` entries, and its interrupt is a pulse that needs no acknowledgement. A register
    /// that is not read or written saves 27 µs on pvm, a write that waits in KVM's ring still 5 µs.
    is_own: bool,
    registers: NonNull<u8>,
    /// Its interrupt line.
    pub irq: u32,
}

// SAFETY: `acknowledge` names a device register that stays mapped; writing it from any context is what it is for.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// The device in `window`, if there is one of type `wanted`.
    pub fn probe(window: DeviceWindow, wanted: DeviceType) -> Option<Device> {
        if window.size < REGISTER_BYTES {
            return None;
        }
        let registers = NonNull::new(platform::map_mmio(window.address, window.size)?)?;
        let size = usize::try_from(window.size).ok()?;
        // SAFETY: `map_mmio` gives registers that stay mapped, page-aligned and used by nobody else: the command line
        // names each window once, and a second probe of the same one would only read the identification registers.
        let transport = unsafe { MmioTransport::new(registers.cast::<VirtIOHeader>(), size) }.ok()?;
        if transport.device_type() != wanted {
            // Dropping a transport resets the device; a foreign one is left alone.
            core::mem::forget(transport);
            return None;
        }
        // SAFETY: the offset lies inside the window, whose size was checked.
        let acknowledge = unsafe { registers.byte_add(INTERRUPT_ACK) }.cast();
        // SAFETY: as above.
        let vendor = unsafe { registers.byte_add(VENDOR_ID) }.cast::<u32>();
        // SAFETY: VendorID is a 32-bit register that may be read at any time.
        let is_own = unsafe { vendor.read_volatile() } == OWN_VENDOR;
        let transport = Mutex::new(Rank::VIRTIO_TRANSPORT, transport);
        Some(Device { transport, acknowledge, is_own, registers, irq: window.irq })
    }

    /// Runs `work` with the registers.
    pub fn with<R>(&self, work: impl FnOnce(&mut MmioTransport<'static>) -> R) -> R {
        work(&mut self.transport.lock())
    }

    /// Resets the device and agrees on features: those of `wanted` that it offers. Gives what was agreed.
    pub fn begin(&self, wanted: u64) -> u64 {
        self.with(|transport| {
            let both = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
            if !self.is_own {
                transport.set_status(DeviceStatus::empty());
            }
            transport.set_status(both);
            let agreed = transport.read_device_features() & wanted;
            transport.write_driver_features(agreed);
            transport.set_status(both | DeviceStatus::FEATURES_OK);
            transport.set_guest_page_size(crate::phys::PAGE_SIZE as u32);
            agreed
        })
    }

    /// Runs `work` with the registers, for setting up a queue.
    pub(super) fn with_queue_registers<R>(&self, work: impl FnOnce(&mut QueueRegisters<'_>) -> R) -> R {
        self.with(|transport| {
            let own = self.is_own.then_some(self.registers);
            work(&mut QueueRegisters { transport, own })
        })
    }

    /// The driver is ready.
    pub fn finish(&self) {
        self.with(Transport::finish_init);
    }

    /// Tells the device that queue `index` has new buffers.
    pub fn notify(&self, index: u16) {
        self.with(|transport| transport.notify(index));
    }

    /// Acknowledges every interrupt cause without reading which: all queues are looked at anyway, and a read is an exit.
    pub fn acknowledge(&self) {
        if self.is_own {
            return;
        }
        // SAFETY: `acknowledge` is the device's InterruptACK register, mapped for the life of the kernel.
        unsafe { self.acknowledge.write_volatile(ALL_INTERRUPTS) };
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceWindow, windows};

    #[test]
    fn windows_are_read_from_the_command_line() {
        let line = b"quiet virtio_mmio.device=4K@0xd0000000:5 x=1 virtio_mmio.device=512@0xfeb00e00:12:3 virtio_mmio.device=bad";
        let found: Vec<_> = windows(line).collect();
        assert_eq!(
            found,
            [
                DeviceWindow { address: 0xd000_0000, size: 4096, irq: 5 },
                DeviceWindow { address: 0xfeb0_0e00, size: 512, irq: 12 },
            ]
        );
    }
}
