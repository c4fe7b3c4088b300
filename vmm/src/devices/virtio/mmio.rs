//! The virtio-mmio transport, version 2: registers, feature negotiation, status, queue set-up.
//!
//! Owns the registers and the queues' addresses; what the queues carry is `console`'s.
//! Invariant: queues are worked on only between DRIVER_OK and a reset or a broken rule.
//! The interrupt line is an edge: it is pulsed for every event, whether or not the driver has acknowledged the one before.
//! Source: virtio 1.2, 4.2.2 (registers), 3.1.1 (initialization), 2.1 (status).

use virtio_bindings::virtio_config::{
    VIRTIO_CONFIG_S_DRIVER_OK, VIRTIO_CONFIG_S_FEATURES_OK, VIRTIO_CONFIG_S_NEEDS_RESET, VIRTIO_F_VERSION_1,
};
use virtio_bindings::virtio_mmio::{VIRTIO_MMIO_INT_CONFIG, VIRTIO_MMIO_INT_VRING};
use virtio_bindings::virtio_ring::VIRTIO_RING_F_EVENT_IDX;
use virtio_queue::{Queue, QueueT};
use vmm_sys_util::eventfd::EventFd;

use super::console::Console;
use crate::memory::GuestMemory;

/// Offset of QueueNotify, which an event descriptor takes.
pub const QUEUE_NOTIFY: u64 = 0x50;
/// Ranges (offset, length) of registers whose writes need nothing done at once: they may wait for the next exit, in order. Status is
/// not among them, so every write before DRIVER_OK has been seen when queues start; InterruptACK neither, since one that waited could
/// acknowledge an event that came after it. A range must not touch QueueNotify: Linux 6.18 (virt/kvm/kvm_main.c, kvm_io_bus_cmp) sorts
/// a range that ends where one of length 0 begins behind it, and then finds neither.
pub const COALESCED: [(u64, u32); 2] = [(0x10, 0x38), (0x80, 0x40)];

/// "virt".
const MAGIC: u32 = 0x7472_6976;
const VERSION: u32 = 2;
/// virtio 1.2, 5.3.
const DEVICE_ID_CONSOLE: u32 = 3;
/// "PrVr". A driver that sees it may rely on more than virtio promises: the device is reset at first, with address registers of zero;
/// every queue takes 256 entries; the interrupt needs no acknowledgement.
const VENDOR_ID: u32 = 0x7256_7250;
/// Most entries of a queue.
const QUEUE_SIZE_MAX: u16 = 256;

/// virtio 1.2, 4.2.2.
mod register {
    pub(super) const MAGIC_VALUE: u64 = 0x00;
    pub(super) const VERSION: u64 = 0x04;
    pub(super) const DEVICE_ID: u64 = 0x08;
    pub(super) const VENDOR_ID: u64 = 0x0c;
    pub(super) const DEVICE_FEATURES: u64 = 0x10;
    pub(super) const DEVICE_FEATURES_SEL: u64 = 0x14;
    pub(super) const DRIVER_FEATURES: u64 = 0x20;
    pub(super) const DRIVER_FEATURES_SEL: u64 = 0x24;
    pub(super) const QUEUE_SEL: u64 = 0x30;
    pub(super) const QUEUE_NUM_MAX: u64 = 0x34;
    pub(super) const QUEUE_NUM: u64 = 0x38;
    pub(super) const QUEUE_READY: u64 = 0x44;
    pub(super) const QUEUE_NOTIFY: u64 = super::QUEUE_NOTIFY;
    pub(super) const INTERRUPT_STATUS: u64 = 0x60;
    pub(super) const INTERRUPT_ACK: u64 = 0x64;
    pub(super) const STATUS: u64 = 0x70;
    pub(super) const QUEUE_DESC_LOW: u64 = 0x80;
    pub(super) const QUEUE_DESC_HIGH: u64 = 0x84;
    pub(super) const QUEUE_DRIVER_LOW: u64 = 0x90;
    pub(super) const QUEUE_DRIVER_HIGH: u64 = 0x94;
    pub(super) const QUEUE_DEVICE_LOW: u64 = 0xa0;
    pub(super) const QUEUE_DEVICE_HIGH: u64 = 0xa4;
    pub(super) const CONFIG_GENERATION: u64 = 0xfc;
    pub(super) const CONFIG: u64 = 0x100;
}

/// The console device as the guest sees it.
#[derive(Debug)]
pub struct VirtioMmio {
    console: Console,
    memory: GuestMemory,
    queues: Vec<Queue>,
    interrupt: EventFd,
    wake: EventFd,
    device_features_sel: u32,
    driver_features_sel: u32,
    driver_features: u64,
    queue_sel: u32,
    status: u32,
    interrupt_status: u32,
    config_generation: u32,
    fault: Option<&'static str>,
}

impl VirtioMmio {
    /// A device in reset. `interrupt` is its line, `wake` the event thread's descriptor.
    pub fn new(console: Console, memory: GuestMemory, interrupt: EventFd, wake: EventFd) -> Self {
        let queues = (0..console.queue_count())
            .map(|_| Queue::new(QUEUE_SIZE_MAX).expect("a power of two below 32769"))
            .collect();
        Self {
            console,
            memory,
            queues,
            interrupt,
            wake,
            device_features_sel: 0,
            driver_features_sel: 0,
            driver_features: 0,
            queue_sel: 0,
            status: 0,
            interrupt_status: 0,
            config_generation: 0,
            fault: None,
        }
    }

    /// Reads a register or the configuration.
    pub fn read(&mut self, offset: u64, bytes: &mut [u8]) {
        bytes.fill(0);
        if let Some(at) = offset.checked_sub(register::CONFIG) {
            let config = self.console.config();
            let from = usize::try_from(at).unwrap_or(usize::MAX);
            for (byte, value) in bytes.iter_mut().zip(config.get(from..).unwrap_or_default()) {
                *byte = *value;
            }
        } else if let Ok(word) = <&mut [u8; 4]>::try_from(bytes) {
            *word = self.read_register(offset).to_le_bytes();
        }
    }

    /// Writes a register; the configuration has nothing to write.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        if let Ok(word) = <[u8; 4]>::try_from(bytes) {
            self.write_register(offset, u32::from_le_bytes(word));
        }
    }

    /// Does all work the queues and the hosts' descriptors allow without waiting; `true` when there is more to do at once.
    pub fn service(&mut self) -> bool {
        if !self.is_running() {
            return false;
        }
        match self.console.service(&self.memory, &mut self.queues) {
            Ok(done) => {
                if done.interrupt {
                    self.raise(VIRTIO_MMIO_INT_VRING);
                }
                done.again
            }
            Err(broken) => {
                self.needs_reset(broken.0);
                false
            }
        }
    }

    /// The rule that the driver broke last.
    pub fn fault(&self) -> Option<&'static str> {
        self.fault
    }

    /// The console, for what is not the driver's business.
    pub fn console_mut(&mut self) -> &mut Console {
        &mut self.console
    }

    /// What the host's descriptors are waited for.
    pub fn interests<'a>(&'a mut self, add: impl FnMut(super::console::Interest<'a>)) {
        if self.is_running() {
            self.console.interests(&self.memory, &self.queues, add);
        }
    }

    /// Tells the driver the console's new size.
    pub fn resize(&mut self, cols: u16, rows: u16) {
        self.console.resize(cols, rows);
        self.config_generation = self.config_generation.wrapping_add(1);
    }

    fn is_running(&self) -> bool {
        self.status & (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_NEEDS_RESET) == VIRTIO_CONFIG_S_DRIVER_OK
    }

    fn device_features(&self) -> u64 {
        self.console.features() | 1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX
    }

    fn read_register(&self, offset: u64) -> u32 {
        let queue = self.selected_queue();
        match offset {
            register::MAGIC_VALUE => MAGIC,
            register::VERSION => VERSION,
            register::DEVICE_ID => DEVICE_ID_CONSOLE,
            register::VENDOR_ID => VENDOR_ID,
            register::DEVICE_FEATURES => feature_word(self.device_features(), self.device_features_sel),
            register::QUEUE_NUM_MAX => queue.map_or(0, |queue| queue.max_size().into()),
            register::QUEUE_READY => queue.is_some_and(Queue::ready).into(),
            register::INTERRUPT_STATUS => self.interrupt_status,
            register::STATUS => self.status,
            register::CONFIG_GENERATION => self.config_generation,
            _ => 0,
        }
    }

    fn write_register(&mut self, offset: u64, value: u32) {
        match offset {
            register::DEVICE_FEATURES_SEL => self.device_features_sel = value,
            register::DRIVER_FEATURES_SEL => self.driver_features_sel = value,
            register::DRIVER_FEATURES if self.status & VIRTIO_CONFIG_S_FEATURES_OK == 0 => {
                let word = u64::from(value);
                match self.driver_features_sel {
                    0 => self.driver_features = self.driver_features & !0xffff_ffff | word,
                    1 => self.driver_features = self.driver_features & 0xffff_ffff | word << 32,
                    _ => {}
                }
            }
            register::QUEUE_SEL => self.queue_sel = value,
            register::QUEUE_NOTIFY => self.wake_events(),
            register::INTERRUPT_ACK => self.interrupt_status &= !value,
            register::STATUS => self.write_status(value),
            _ if self.status & VIRTIO_CONFIG_S_DRIVER_OK == 0 => self.configure_queue(offset, value),
            _ => {}
        }
    }

    fn configure_queue(&mut self, offset: u64, value: u32) {
        let Some(queue) = usize::try_from(self.queue_sel).ok().and_then(|at| self.queues.get_mut(at)) else { return };
        match offset {
            register::QUEUE_NUM => {
                let set = u16::try_from(value).ok().and_then(|size| queue.try_set_size(size).ok());
                if set.is_none() {
                    self.needs_reset("queue size");
                }
            }
            register::QUEUE_READY => queue.set_ready(value == 1),
            register::QUEUE_DESC_LOW => queue.set_desc_table_address(Some(value), None),
            register::QUEUE_DESC_HIGH => queue.set_desc_table_address(None, Some(value)),
            register::QUEUE_DRIVER_LOW => queue.set_avail_ring_address(Some(value), None),
            register::QUEUE_DRIVER_HIGH => queue.set_avail_ring_address(None, Some(value)),
            register::QUEUE_DEVICE_LOW => queue.set_used_ring_address(Some(value), None),
            register::QUEUE_DEVICE_HIGH => queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }

    fn write_status(&mut self, value: u32) {
        if value == 0 {
            self.reset();
            return;
        }
        let added = value & !self.status;
        self.status |= value & !VIRTIO_CONFIG_S_NEEDS_RESET;
        if added & VIRTIO_CONFIG_S_FEATURES_OK != 0 {
            let is_subset = self.driver_features & !self.device_features() == 0;
            if !is_subset || self.driver_features & 1 << VIRTIO_F_VERSION_1 == 0 {
                self.status &= !VIRTIO_CONFIG_S_FEATURES_OK;
            }
        }
        if added & VIRTIO_CONFIG_S_DRIVER_OK != 0 {
            self.start();
        }
    }

    fn start(&mut self) {
        if self.status & VIRTIO_CONFIG_S_FEATURES_OK == 0 {
            self.needs_reset("started without features");
            return;
        }
        let event_idx = self.driver_features & 1 << VIRTIO_RING_F_EVENT_IDX != 0;
        for queue in self.queues.iter_mut().filter(|queue| queue.ready()) {
            if !queue.is_valid(&self.memory) {
                self.needs_reset("queue outside RAM");
                return;
            }
            queue.set_event_idx(event_idx);
        }
        self.console.start(self.driver_features);
        // What the driver has queued beforehand is answered before it goes on; the event thread does the rest.
        self.service();
        self.wake_events();
    }

    fn reset(&mut self) {
        self.console.reset();
        self.queues.iter_mut().for_each(QueueT::reset);
        self.device_features_sel = 0;
        self.driver_features_sel = 0;
        self.driver_features = 0;
        self.queue_sel = 0;
        self.status = 0;
        self.interrupt_status = 0;
    }

    fn needs_reset(&mut self, why: &'static str) {
        tracing::warn!(rule = why, "the guest broke a rule of virtio; the device needs a reset");
        self.fault = Some(why);
        self.status |= VIRTIO_CONFIG_S_NEEDS_RESET;
        if self.status & VIRTIO_CONFIG_S_DRIVER_OK != 0 {
            self.raise(VIRTIO_MMIO_INT_CONFIG);
        }
    }

    fn raise(&mut self, cause: u32) {
        self.interrupt_status |= cause;
        // It fails only when the counter is full, and then the line is being raised anyway.
        let _ = self.interrupt.write(1);
    }

    fn wake_events(&self) {
        // As above.
        let _ = self.wake.write(1);
    }

    fn selected_queue(&self) -> Option<&Queue> {
        self.queues.get(usize::try_from(self.queue_sel).ok()?)
    }
}

fn feature_word(features: u64, select: u32) -> u32 {
    let shift = match select {
        0 => 0,
        1 => 32,
        _ => return 0,
    };
    u32::try_from(features >> shift & 0xffff_ffff).expect("masked to 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_writes_that_wait_do_not_touch_the_notify_register() {
        for (offset, len) in COALESCED {
            assert!(offset + u64::from(len) < QUEUE_NOTIFY || offset > QUEUE_NOTIFY + 4, "{offset:#x}+{len:#x}");
        }
    }
}
