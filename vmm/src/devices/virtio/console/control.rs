//! Messages on the console's control queues.
//!
//! Source: virtio 1.2, 5.3.6.2.

use virtio_queue::{Queue, QueueOwnedT, QueueT};

use crate::devices::virtio::BrokenDriver;
use crate::devices::virtio::chain::{self, Half};
use crate::memory::GuestMemory;

/// Length of `struct virtio_console_control`, in bytes.
const HEADER_BYTES: usize = 8;

/// `VIRTIO_CONSOLE_*` events.
mod event {
    pub(super) const DEVICE_READY: u16 = 0;
    pub(super) const PORT_ADD: u16 = 1;
    pub(super) const PORT_READY: u16 = 3;
    pub(super) const CONSOLE_PORT: u16 = 4;
    pub(super) const RESIZE: u16 = 5;
    pub(super) const PORT_OPEN: u16 = 6;
    pub(super) const PORT_NAME: u16 = 7;
}

/// What the driver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FromDriver {
    /// The driver is ready for control messages.
    DeviceReady,
    /// The driver is ready for a port.
    PortReady(u32),
    /// A port was opened or closed in the guest.
    PortOpen { id: u32, is_open: bool },
    /// Nothing that needs an answer.
    Other,
}

impl FromDriver {
    fn decode(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [id @ .., e0, e1, v0, v1] = *bytes;
        let (id, value) = (u32::from_le_bytes(id), u16::from_le_bytes([v0, v1]));
        match (u16::from_le_bytes([e0, e1]), value) {
            (event::DEVICE_READY, 1) => Self::DeviceReady,
            (event::PORT_READY, 1) => Self::PortReady(id),
            (event::PORT_OPEN, _) => Self::PortOpen { id, is_open: value != 0 },
            _ => Self::Other,
        }
    }
}

/// What the device says of one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToDriver {
    /// There is such a port.
    Add,
    /// It is a console.
    Console,
    /// Its name.
    Name(&'static str),
    /// It was opened on the host.
    Open,
    /// The console's size.
    Resize { cols: u16, rows: u16 },
    /// It was closed on the host.
    Close,
}

impl ToDriver {
    pub(super) fn encode(self, id: u32) -> Vec<u8> {
        let (event, value, payload) = match self {
            Self::Add => (event::PORT_ADD, 1u16, Vec::new()),
            Self::Console => (event::CONSOLE_PORT, 1, Vec::new()),
            Self::Name(name) => (event::PORT_NAME, 1, name.as_bytes().to_vec()),
            Self::Open => (event::PORT_OPEN, 1, Vec::new()),
            Self::Close => (event::PORT_OPEN, 0, Vec::new()),
            Self::Resize { cols, rows } => (event::RESIZE, 0, [cols.to_le_bytes(), rows.to_le_bytes()].concat()),
        };
        let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(&event.to_le_bytes());
        out.extend_from_slice(&value.to_le_bytes());
        out.extend_from_slice(&payload);
        out
    }
}

/// Takes the next message of the driver; `None` when there is none.
pub(super) fn receive(memory: &GuestMemory, queue: &mut Queue) -> Result<Option<FromDriver>, BrokenDriver> {
    let Some(chain) = next_chain(memory, queue)? else { return Ok(None) };
    let head = chain.head_index();
    let slices = chain::slices(memory, chain, Half::Readable, 0)?;
    let mut header = [0; HEADER_BYTES];
    let message = match chain::copy_from(&slices, &mut header) {
        HEADER_BYTES => FromDriver::decode(&header),
        _ => FromDriver::Other,
    };
    queue.add_used(memory, head, 0).map_err(|_| BrokenDriver("used ring"))?;
    Ok(Some(message))
}

/// Sends one message; `false` when the driver has posted no buffer.
pub(super) fn send(memory: &GuestMemory, queue: &mut Queue, message: &[u8]) -> Result<bool, BrokenDriver> {
    let Some(chain) = next_chain(memory, queue)? else { return Ok(false) };
    let head = chain.head_index();
    let slices = chain::slices(memory, chain, Half::Writable, 0)?;
    if chain::copy_to(&slices, message) < message.len() {
        return Err(BrokenDriver("control buffer too short"));
    }
    let len = u32::try_from(message.len()).expect("a short message");
    queue.add_used(memory, head, len).map_err(|_| BrokenDriver("used ring"))?;
    Ok(true)
}

/// The next available chain of a queue.
pub(super) fn next_chain<'m>(
    memory: &'m GuestMemory,
    queue: &mut Queue,
) -> Result<Option<virtio_queue::DescriptorChain<&'m GuestMemory>>, BrokenDriver> {
    if !queue.ready() {
        return Ok(None);
    }
    Ok(queue.iter(memory).map_err(|_| BrokenDriver("available ring"))?.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_virtios_layout() {
        assert_eq!(ToDriver::Add.encode(4), [4, 0, 0, 0, 1, 0, 1, 0]);
        assert_eq!(ToDriver::Name("ab").encode(1), [1, 0, 0, 0, 7, 0, 1, 0, b'a', b'b']);
        assert_eq!(ToDriver::Close.encode(2), [2, 0, 0, 0, 6, 0, 0, 0]);
        assert_eq!(ToDriver::Resize { cols: 80, rows: 24 }.encode(0), [0, 0, 0, 0, 5, 0, 0, 0, 80, 0, 24, 0]);
        assert_eq!(FromDriver::decode(&[0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0]), FromDriver::DeviceReady);
        assert_eq!(FromDriver::decode(&[3, 0, 0, 0, 3, 0, 1, 0]), FromDriver::PortReady(3));
        assert_eq!(FromDriver::decode(&[3, 0, 0, 0, 6, 0, 0, 0]), FromDriver::PortOpen { id: 3, is_open: false });
        assert_eq!(FromDriver::decode(&[3, 0, 0, 0, 3, 0, 0, 0]), FromDriver::Other);
    }
}
