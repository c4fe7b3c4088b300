//! A virtqueue that owns the buffers the device has.

use alloc::boxed::Box;

use virtio_drivers::queue::VirtQueue;

use super::{Device, KernelHal};

/// Descriptors of each queue.
pub const QUEUE_SIZE: usize = 16;

enum Slot {
    Free,
    /// The device reads it.
    Out(Box<[u8]>, usize),
    /// The device writes it.
    In(Box<[u8]>),
}

/// A queue of single-buffer chains.
pub struct BufferQueue {
    index: u16,
    queue: VirtQueue<KernelHal, QUEUE_SIZE>,
    slots: [Slot; QUEUE_SIZE],
    in_flight: usize,
    /// The device has broken the protocol; the queue is no longer used.
    broken: bool,
}

impl BufferQueue {
    /// Sets up queue `index` of `device`; `None` when the device has none or there is no memory.
    pub fn new(device: &Device, index: u16) -> Option<Self> {
        let queue = device.with_queue_registers(|registers| VirtQueue::new(registers, index, false, false)).ok()?;
        let slots = [const { Slot::Free }; QUEUE_SIZE];
        Some(BufferQueue { index, queue, slots, in_flight: 0, broken: false })
    }

    /// The queue's number.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// How many buffers the device has.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether another buffer can be added.
    pub fn has_room(&self) -> bool {
        !self.broken && self.in_flight < QUEUE_SIZE
    }

    /// Whether the device broke the protocol.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Gives the device the first `len` bytes of `buffer` to read; gives the buffer back when the queue is full.
    pub fn add_out(&mut self, buffer: Box<[u8]>, len: usize) -> Result<(), Box<[u8]>> {
        if !self.has_room() || len == 0 || len > buffer.len() {
            return Err(buffer);
        }
        // SAFETY: the slot keeps the buffer, untouched, until `pop` gets the same token back.
        match unsafe { self.queue.add(&[&buffer[..len]], &mut []) } {
            Ok(token) => {
                self.slots[usize::from(token)] = Slot::Out(buffer, len);
                self.in_flight += 1;
                Ok(())
            }
            Err(_) => Err(buffer),
        }
    }

    /// Gives the device `buffer` to fill; gives it back when the queue is full.
    pub fn add_in(&mut self, mut buffer: Box<[u8]>) -> Result<(), Box<[u8]>> {
        if !self.has_room() || buffer.is_empty() {
            return Err(buffer);
        }
        // SAFETY: as in `add_out`.
        match unsafe { self.queue.add(&[], &mut [&mut buffer]) } {
            Ok(token) => {
                self.slots[usize::from(token)] = Slot::In(buffer);
                self.in_flight += 1;
                Ok(())
            }
            Err(_) => Err(buffer),
        }
    }

    /// Takes a buffer that the device is done with, and how many bytes it wrote (0 for one that it read).
    pub fn pop(&mut self) -> Option<(Box<[u8]>, usize)> {
        if self.broken {
            return None;
        }
        let token = self.queue.peek_used()?;
        let Some(slot) = self.slots.get_mut(usize::from(token)) else {
            return self.give_up();
        };
        match core::mem::replace(slot, Slot::Free) {
            Slot::Free => self.give_up(),
            Slot::Out(buffer, len) => {
                // SAFETY: the same bytes that `add_out` passed for this token.
                let popped = unsafe { self.queue.pop_used(token, &[&buffer[..len]], &mut []) };
                self.in_flight -= 1;
                popped.ok().map(|_| (buffer, 0))
            }
            Slot::In(mut buffer) => {
                // SAFETY: the same buffer that `add_in` passed for this token.
                let popped = unsafe { self.queue.pop_used(token, &[], &mut [&mut buffer]) };
                self.in_flight -= 1;
                let written = popped.ok()? as usize;
                let written = written.min(buffer.len());
                Some((buffer, written))
            }
        }
    }

    fn give_up(&mut self) -> Option<(Box<[u8]>, usize)> {
        self.broken = true;
        log::error!("virtqueue {}: the device returned a buffer that it did not have", self.index);
        None
    }

    /// Asks the device to interrupt, or not to, when it has used a buffer.
    pub fn set_interrupts(&mut self, wanted: bool) {
        self.queue.set_dev_notify(wanted);
    }

    /// Whether the device wants to be told of new buffers.
    pub fn should_notify(&self) -> bool {
        self.queue.should_notify()
    }
}
