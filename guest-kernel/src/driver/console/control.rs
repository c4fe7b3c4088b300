//! The control channel: which ports there are, their names, who has them open, the terminal's size.
//!
//! Source: virtio 1.2 section 5.3.6.2 (multiport device operation).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::queue_pair;
use crate::driver::virtio::{BufferQueue, Device};

pub(super) const DEVICE_READY: u16 = 0;
pub(super) const PORT_ADD: u16 = 1;
pub(super) const PORT_READY: u16 = 3;
pub(super) const CONSOLE_PORT: u16 = 4;
pub(super) const RESIZE: u16 = 5;
pub(super) const PORT_OPEN: u16 = 6;
pub(super) const PORT_NAME: u16 = 7;

const HEADER_BYTES: usize = 8;
/// A name is the longest message; QEMU's are at most 64 bytes.
const MESSAGE_BYTES: usize = 128;
const CONTROL_QUEUE: u16 = 2;
/// Three messages of the host for each of five ports, and one to spare.
const BUFFERS: usize = 16;
/// Messages of ours that wait for room in the queue; the host cannot make them more than a few for each of its own.
const MAX_WAITING: usize = 256;

/// What the host says.
pub(super) struct Message {
    pub(super) port: u32,
    pub(super) event: u16,
    pub(super) value: u16,
    /// A name, or the size of a terminal.
    pub(super) rest: Vec<u8>,
}

impl Message {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
        let end = rest.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        let event = u16::from_le_bytes([header[4], header[5]]);
        // Zero bytes end a name; in a size they count.
        let rest = if event == PORT_NAME { &rest[..end] } else { rest };
        Some(Message {
            port: u32::from_le_bytes([header[0], header[1], header[2], header[3]]),
            event,
            value: u16::from_le_bytes([header[6], header[7]]),
            rest: rest.to_vec(),
        })
    }

    /// Columns and rows of a `RESIZE`.
    pub(super) fn size(&self) -> Option<(u16, u16)> {
        let bytes = self.rest.first_chunk::<4>()?;
        // virtio 1.2 has cols before rows; Linux and QEMU agree with it.
        Some((u16::from_le_bytes([bytes[0], bytes[1]]), u16::from_le_bytes([bytes[2], bytes[3]])))
    }
}

/// The two control queues.
pub(super) struct Control {
    input: BufferQueue,
    output: BufferQueue,
    waiting: VecDeque<[u8; HEADER_BYTES]>,
    notify: [bool; 2],
}

impl Control {
    pub(super) fn new(device: &Device) -> Option<Self> {
        let (input, output) = queue_pair(device, CONTROL_QUEUE)?;
        Some(Control { input, output, waiting: VecDeque::new(), notify: [false; 2] })
    }

    pub(super) fn post_buffers(&mut self) {
        while self.input.in_flight() < BUFFERS {
            let buffer = alloc::vec![0; MESSAGE_BYTES].into_boxed_slice();
            if self.input.add_in(buffer).is_err() {
                break;
            }
            self.notify[0] = true;
        }
    }

    pub(super) fn send(&mut self, port: u32, event: u16, value: u16) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&port.to_le_bytes());
        bytes[4..6].copy_from_slice(&event.to_le_bytes());
        bytes[6..8].copy_from_slice(&value.to_le_bytes());
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(bytes);
        }
        self.transmit();
    }

    fn transmit(&mut self) {
        while self.output.pop().is_some() {}
        while let Some(bytes) = self.waiting.pop_front() {
            if self.output.add_out(Box::new(bytes), HEADER_BYTES).is_err() {
                self.waiting.push_front(bytes);
                break;
            }
            self.notify[1] = true;
        }
    }

    pub(super) fn receive(&mut self) -> Option<Message> {
        self.transmit();
        loop {
            let (buffer, len) = self.input.pop()?;
            let message = Message::parse(&buffer[..len]);
            if self.input.add_in(buffer).is_ok() {
                self.notify[0] = true;
            }
            if message.is_some() {
                return message;
            }
        }
    }

    /// The queues whose new buffers the host has not been told of.
    pub(super) fn take_notifications(&mut self) -> impl Iterator<Item = u16> + use<> {
        let notify = core::mem::take(&mut self.notify);
        let (input, output) = (self.input.index(), self.output.index());
        [(notify[0], input), (notify[1], output)].into_iter().filter(|(wanted, _)| *wanted).map(|(_, queue)| queue)
    }
}

#[cfg(test)]
mod tests {
    use super::{Message, PORT_NAME, RESIZE};

    #[test]
    fn a_name_loses_its_padding_and_a_size_keeps_its_zeros() {
        let mut bytes = vec![1, 0, 0, 0, PORT_NAME as u8, 0, 1, 0];
        bytes.extend_from_slice(b"procvisor.proc\0\0");
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.port, message.rest.as_slice()), (1, b"procvisor.proc".as_slice()));
        let message = Message::parse(&[0, 0, 0, 0, RESIZE as u8, 0, 0, 0, 80, 0, 24, 0]).unwrap();
        assert_eq!(message.size(), Some((80, 24)));
        assert!(Message::parse(&[0; 7]).is_none());
    }
}
