//! The virtio-console device: one console, one port for `/proc`, and the program's three streams.
//!
//! Owns the ports and their order on the queues. Called with the queues by the transport, on the event thread; never waits.
//! Queues: 0 and 1 are port 0's (to the guest, from the guest), 2 and 3 carry control messages, port n has 2n+2 and 2n+3.
//! Source: virtio 1.2, 5.3.

mod control;
#[expect(unsafe_code, reason = "hands guest memory to vectored calls that do not wait")]
mod fd;
mod port;
#[cfg(test)]
mod tests;

use rustix::event::PollFlags;
use virtio_queue::{Queue, QueueT};

use self::control::FromDriver;
pub use self::port::{Interest, Token};
use self::port::{Port, Role};
use super::BrokenDriver;
use crate::config::{Ports, StdioKind};
use crate::memory::GuestMemory;

/// `VIRTIO_CONSOLE_F_SIZE`.
const F_SIZE: u64 = 1 << 0;
/// `VIRTIO_CONSOLE_F_MULTIPORT`.
const F_MULTIPORT: u64 = 1 << 1;

const CONTROL_TO_GUEST: usize = 2;
const CONTROL_FROM_GUEST: usize = 3;
/// The most control messages handled before the ports get their turn.
const MESSAGES_PER_TURN: usize = 64;

/// What a turn did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// The driver is to be told.
    pub interrupt: bool,
    /// There is more to do without waiting.
    pub again: bool,
}

/// The device behind the transport.
#[derive(Debug)]
pub struct Console {
    ports: Vec<Port>,
    size: Option<(u16, u16)>,
    has_multiport: bool,
}

impl Console {
    /// A console with these host ends; the streams are there only with [`StdioKind::Streams`]. `rows_cols` is the terminal's size.
    pub fn new(ports: Ports, stdio: StdioKind, rows_cols: Option<(u16, u16)>) -> Self {
        let mut backends = vec![(Role::Console, ports.console), (Role::Duplex("procvisor.proc"), ports.proc_)];
        if stdio == StdioKind::Streams {
            backends.push((Role::Input("procvisor.stdin"), ports.stdin));
            backends.push((Role::Output("procvisor.stdout"), ports.stdout));
            backends.push((Role::Output("procvisor.stderr"), ports.stderr));
        }
        let ports = (0..).zip(backends).map(|(id, (role, backend))| Port::new(id, role, backend)).collect();
        Self { ports, size: rows_cols.map(|(rows, cols)| (cols, rows)), has_multiport: false }
    }

    /// Feature bits of a console, without the transport's.
    pub fn features(&self) -> u64 {
        F_MULTIPORT | F_SIZE
    }

    /// How many queues there are.
    pub fn queue_count(&self) -> usize {
        2 * self.ports.len() + 2
    }

    /// `struct virtio_console_config`: columns, rows, number of ports, emergency write.
    pub fn config(&self) -> [u8; 12] {
        let (cols, rows) = self.size.unwrap_or((0, 0));
        let ports = u32::try_from(self.ports.len()).expect("five at most");
        let mut config = [0; 12];
        config[0..2].copy_from_slice(&cols.to_le_bytes());
        config[2..4].copy_from_slice(&rows.to_le_bytes());
        config[4..8].copy_from_slice(&ports.to_le_bytes());
        config
    }

    /// The driver has chosen these features and starts.
    pub fn start(&mut self, features: u64) {
        self.has_multiport = features & F_MULTIPORT != 0;
    }

    /// The driver was reset.
    pub fn reset(&mut self) {
        self.has_multiport = false;
        self.ports.iter_mut().for_each(Port::reset);
    }

    /// The terminal's size has changed.
    pub fn resize(&mut self, cols: u16, rows: u16) {
        self.size = Some((cols, rows));
        self.ports[0].resize(cols, rows);
    }

    /// poll(2) said something about the descriptor behind `token`.
    pub fn is_polled(&mut self, token: Token, events: PollFlags) {
        if let Some(port) = self.ports.get_mut(token.port) {
            port.is_polled(token.is_input, events);
        }
    }

    /// What is waited for.
    pub fn interests<'a>(&'a self, memory: &GuestMemory, queues: &[Queue], mut add: impl FnMut(Interest<'a>)) {
        for (at, port) in self.ports.iter().enumerate() {
            port.interests(at, memory, queues.get(to_guest(at)), &mut add);
        }
    }

    /// Does what can be done without waiting.
    ///
    /// # Errors
    /// When the driver broke a rule; the device must then be reset.
    pub fn service(&mut self, memory: &GuestMemory, queues: &mut [Queue]) -> Result<Turn, BrokenDriver> {
        let mut turn = Turn::default();
        if self.has_multiport {
            turn.again |= self.take_control(memory, &mut queues[CONTROL_FROM_GUEST], &mut turn.interrupt)?;
        }
        let reachable = if self.has_multiport { self.ports.len() } else { 1 };
        for (at, port) in self.ports.iter_mut().enumerate().take(reachable) {
            let (used, more) = port.transmit(memory, &mut queues[from_guest(at)])?;
            turn.again |= more;
            notify(memory, &mut queues[from_guest(at)], used, &mut turn)?;
            let used = port.receive(memory, &mut queues[to_guest(at)])?;
            notify(memory, &mut queues[to_guest(at)], used, &mut turn)?;
        }
        if self.has_multiport {
            let used = self.send_control(memory, &mut queues[CONTROL_TO_GUEST])?;
            notify(memory, &mut queues[CONTROL_TO_GUEST], used, &mut turn)?;
        }
        for (at, queue) in queues.iter_mut().enumerate().filter(|(_, queue)| queue.ready()) {
            // A buffer that came while notifications were being asked for brings none. For input this is seen by `interests`.
            let is_from_guest = at % 2 == 1;
            let came = queue.enable_notification(memory).map_err(|_| BrokenDriver("available ring"))?;
            turn.again |= came && is_from_guest && !self.is_blocked(at);
        }
        Ok(turn)
    }

    fn take_control(
        &mut self,
        memory: &GuestMemory,
        queue: &mut Queue,
        interrupt: &mut bool,
    ) -> Result<bool, BrokenDriver> {
        let mut turn = Turn::default();
        for count in 0..=MESSAGES_PER_TURN {
            if count == MESSAGES_PER_TURN {
                turn.again = true;
                break;
            }
            let Some(message) = control::receive(memory, queue)? else { break };
            notify(memory, queue, true, &mut turn)?;
            match message {
                FromDriver::DeviceReady => self.ports.iter_mut().for_each(Port::announce),
                FromDriver::PortReady(id) => {
                    let size = self.size;
                    if let Some(port) = self.port(id) {
                        port.driver_is_ready(size);
                    }
                }
                FromDriver::PortOpen { id, is_open } => {
                    if let Some(port) = self.port(id) {
                        port.guest_opened(is_open);
                    }
                }
                FromDriver::Other => {}
            }
        }
        *interrupt |= turn.interrupt;
        Ok(turn.again)
    }

    fn send_control(&mut self, memory: &GuestMemory, queue: &mut Queue) -> Result<bool, BrokenDriver> {
        let mut used = false;
        for port in &mut self.ports {
            while let Some(message) = port.next_message() {
                if !control::send(memory, queue, &message)? {
                    return Ok(used);
                }
                port.message_was_sent();
                used = true;
            }
        }
        Ok(used)
    }

    fn port(&mut self, id: u32) -> Option<&mut Port> {
        self.ports.get_mut(usize::try_from(id).ok()?)
    }

    /// Whether the queue is one from the guest whose host end takes nothing now.
    fn is_blocked(&self, queue: usize) -> bool {
        (0..self.ports.len()).any(|at| from_guest(at) == queue && self.ports[at].is_blocked())
    }
}

fn to_guest(port: usize) -> usize {
    if port == 0 { 0 } else { 2 * port + 2 }
}

fn from_guest(port: usize) -> usize {
    to_guest(port) + 1
}

fn notify(memory: &GuestMemory, queue: &mut Queue, used: bool, turn: &mut Turn) -> Result<(), BrokenDriver> {
    if used {
        turn.interrupt |= queue.needs_notification(memory).map_err(|_| BrokenDriver("used ring"))?;
    }
    Ok(())
}
