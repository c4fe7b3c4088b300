//! One port: its host descriptors, what is still to be said about it, and the movement of its bytes.
//!
//! Input is read from the host only into buffers the guest has posted; output is taken from the guest only as the host takes it. So
//! nothing is stored here, and both sides press back on each other.

use std::os::fd::BorrowedFd;

use rustix::event::PollFlags;
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::VolatileSlice;

use super::control::{ToDriver, next_chain};
use super::fd::{HostFd, Moved};
use crate::config::PortBackend;
use crate::devices::virtio::BrokenDriver;
use crate::devices::virtio::chain::{self, Half};
use crate::memory::GuestMemory;

/// The most chains handled before other ports get their turn.
const CHAINS_PER_TURN: usize = 64;

/// What a port is for; it decides what closing one direction means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The console: no name.
    Console,
    /// Both ways; either end closing closes it.
    Duplex(&'static str),
    /// Host to guest.
    Input(&'static str),
    /// Guest to host.
    Output(&'static str),
}

/// The messages about a port that the driver has not been sent yet, in the order they go out. One of each kind at most, so they are
/// bounded whatever the driver asks for.
#[derive(Debug, Default, Clone, Copy)]
struct Pending {
    add: bool,
    identity: bool,
    open: bool,
    resize: Option<(u16, u16)>,
    close: bool,
}

/// A host descriptor to wait for.
#[derive(Debug)]
pub struct Interest<'a> {
    /// The descriptor.
    pub fd: BorrowedFd<'a>,
    /// What to wait for.
    pub events: PollFlags,
    /// Whose it is.
    pub token: Token,
}

/// Whose descriptor was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub(super) port: usize,
    pub(super) is_input: bool,
}

/// One port.
#[derive(Debug)]
pub(super) struct Port {
    id: u32,
    role: Role,
    input: Option<HostFd>,
    output: Option<HostFd>,
    pending: Pending,
    is_ready: bool,
    is_host_closed: bool,
    guest_closed: bool,
    input_is_ready: bool,
    output_is_blocked: bool,
    /// Bytes already written of the chain at the queue's head.
    sent_bytes: usize,
}

impl Port {
    pub(super) fn new(id: u32, role: Role, backend: PortBackend) -> Self {
        let (input, output) = (backend.input.map(HostFd::new), backend.output.map(HostFd::new));
        let is_host_closed = match role {
            Role::Input(_) => input.is_none(),
            Role::Output(_) => output.is_none(),
            Role::Console | Role::Duplex(_) => false,
        };
        Self {
            id,
            role,
            input,
            output,
            pending: Pending::default(),
            is_ready: false,
            is_host_closed,
            guest_closed: false,
            input_is_ready: false,
            output_is_blocked: false,
            sent_bytes: 0,
        }
    }

    /// The driver was reset: forget what it knew. What the host has closed stays closed.
    pub(super) fn reset(&mut self) {
        self.pending = Pending::default();
        self.is_ready = false;
        self.guest_closed = false;
        self.output_is_blocked = false;
        self.sent_bytes = 0;
    }

    pub(super) fn announce(&mut self) {
        self.pending.add = true;
    }

    /// The driver is ready for the port: say what it is and how it stands.
    pub(super) fn driver_is_ready(&mut self, size: Option<(u16, u16)>) {
        self.is_ready = true;
        self.pending.identity = true;
        self.pending.open = true;
        self.pending.resize = size.filter(|_| self.role == Role::Console);
        self.pending.close = self.is_host_closed;
    }

    pub(super) fn resize(&mut self, cols: u16, rows: u16) {
        if self.is_ready {
            self.pending.resize = Some((cols, rows));
        }
    }

    /// The guest opened or closed it.
    pub(super) fn guest_opened(&mut self, is_open: bool) {
        self.guest_closed = !is_open;
    }

    /// The next message to send, without taking it off.
    pub(super) fn next_message(&self) -> Option<Vec<u8>> {
        self.pending.first(self.role).map(|message| message.encode(self.id))
    }

    /// The message of `next_message` was sent.
    pub(super) fn message_was_sent(&mut self) {
        match self.pending.first(self.role) {
            Some(ToDriver::Add) => self.pending.add = false,
            Some(ToDriver::Console | ToDriver::Name(_)) => self.pending.identity = false,
            Some(ToDriver::Open) => self.pending.open = false,
            Some(ToDriver::Resize { .. }) => self.pending.resize = None,
            Some(ToDriver::Close) => self.pending.close = false,
            None => {}
        }
    }

    /// poll(2) said something about a descriptor of this port.
    pub(super) fn is_polled(&mut self, is_input: bool, events: PollFlags) {
        if is_input {
            self.input_is_ready = true;
        } else if events.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
            self.output_is_gone();
        } else if events.contains(PollFlags::OUT) {
            self.output_is_blocked = false;
        }
    }

    /// What this port waits for, given its queue from host to guest.
    pub(super) fn interests<'a>(
        &'a self,
        port: usize,
        memory: &GuestMemory,
        receive: Option<&Queue>,
        mut add: impl FnMut(Interest<'a>),
    ) {
        if let Some(input) = self.input.as_ref().filter(|_| receive.is_some_and(|queue| has_chain(memory, queue))) {
            let token = Token { port, is_input: true };
            add(Interest { fd: input.as_fd(), events: PollFlags::IN, token });
        }
        if let Some(output) = self.output.as_ref().filter(|output| self.output_is_blocked || output.can_hang_up()) {
            let events = if self.output_is_blocked { PollFlags::OUT } else { PollFlags::empty() };
            let token = Token { port, is_input: false };
            add(Interest { fd: output.as_fd(), events, token });
        }
    }

    /// Whether the host takes no output now.
    pub(super) fn is_blocked(&self) -> bool {
        self.output_is_blocked
    }

    /// Guest to host. Returns whether chains were used, and whether more wait that could be handled now.
    pub(super) fn transmit(&mut self, memory: &GuestMemory, queue: &mut Queue) -> Result<(bool, bool), BrokenDriver> {
        let mut used = false;
        for _ in 0..CHAINS_PER_TURN {
            if self.output_is_blocked {
                return Ok((used, false));
            }
            let Some(chain) = next_chain(memory, queue)? else {
                self.close_if_guest_did();
                return Ok((used, false));
            };
            let head = chain.head_index();
            let slices = chain::slices(memory, chain, Half::Readable, self.sent_bytes)?;
            if self.write(slices) {
                queue.add_used(memory, head, 0).map_err(|_| BrokenDriver("used ring"))?;
                self.sent_bytes = 0;
                used = true;
            } else {
                queue.go_to_previous_position();
            }
        }
        Ok((used, true))
    }

    /// Host to guest. Returns whether a chain was used.
    pub(super) fn receive(&mut self, memory: &GuestMemory, queue: &mut Queue) -> Result<bool, BrokenDriver> {
        if !std::mem::take(&mut self.input_is_ready) {
            return Ok(false);
        }
        let Some(input) = &mut self.input else { return Ok(false) };
        let Some(chain) = next_chain(memory, queue)? else { return Ok(false) };
        let head = chain.head_index();
        let slices = chain::slices(memory, chain, Half::Writable, 0)?;
        if slices.is_empty() {
            return Err(BrokenDriver("receive buffer without room"));
        }
        match input.read(&slices) {
            Moved::Bytes(len) => {
                let len = u32::try_from(len).expect("a chain holds less than 4 GiB");
                queue.add_used(memory, head, len).map_err(|_| BrokenDriver("used ring"))?;
                return Ok(true);
            }
            Moved::Blocked => {}
            Moved::Closed => {
                self.input = None;
                self.host_closes();
            }
        }
        queue.go_to_previous_position();
        Ok(false)
    }

    /// Writes a chain's rest; `true` when the chain is done with. What nobody reads is done with at once.
    fn write(&mut self, mut slices: Vec<VolatileSlice<'_>>) -> bool {
        while !slices.is_empty() {
            let Some(output) = &mut self.output else { return true };
            match output.write(&slices) {
                Moved::Bytes(len) => {
                    self.sent_bytes += len;
                    slices = behind(&slices, len);
                }
                Moved::Blocked => {
                    self.output_is_blocked = true;
                    return false;
                }
                Moved::Closed => self.output_is_gone(),
            }
        }
        true
    }

    fn output_is_gone(&mut self) {
        self.output = None;
        self.output_is_blocked = false;
        if matches!(self.role, Role::Duplex(_)) {
            self.input = None;
        }
        self.host_closes();
    }

    fn host_closes(&mut self) {
        self.is_host_closed = true;
        self.pending.close = self.is_ready;
    }

    /// The last descriptor in the guest is closed and all its bytes are out: the host's reader shall see the end.
    fn close_if_guest_did(&mut self) {
        if self.guest_closed && matches!(self.role, Role::Output(_)) {
            self.output = None;
        }
    }
}

impl Pending {
    fn first(&self, role: Role) -> Option<ToDriver> {
        let identity = match role {
            Role::Console => ToDriver::Console,
            Role::Duplex(name) | Role::Input(name) | Role::Output(name) => ToDriver::Name(name),
        };
        let resize = self.resize.map(|(cols, rows)| ToDriver::Resize { cols, rows });
        let in_order = [
            self.add.then_some(ToDriver::Add),
            self.identity.then_some(identity),
            self.open.then_some(ToDriver::Open),
            resize,
            self.close.then_some(ToDriver::Close),
        ];
        in_order.into_iter().flatten().next()
    }
}

/// Whether the driver has posted a chain.
fn has_chain(memory: &GuestMemory, queue: &Queue) -> bool {
    let index = queue.avail_idx(memory, std::sync::atomic::Ordering::Acquire);
    queue.ready() && index.is_ok_and(|index| index.0 != queue.next_avail())
}

/// `slices` behind their first `skip` bytes.
fn behind<'m>(slices: &[VolatileSlice<'m>], mut skip: usize) -> Vec<VolatileSlice<'m>> {
    let mut rest = Vec::with_capacity(slices.len());
    for slice in slices {
        let skipped = skip.min(slice.len());
        skip -= skipped;
        if skipped < slice.len() {
            rest.push(slice.offset(skipped).expect("shorter than the slice"));
        }
    }
    rest
}
