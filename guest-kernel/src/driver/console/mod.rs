//! The virtio console with several ports: console, proc channel and the program's three streams.
//!
//! Owns the device, the control channel and the ports. What a port's bytes mean is others' business: the terminal's, the 9P
//! server's, the first program's.
//! Interrupts move what has arrived into each port's input and wake who waits; nothing else happens in them.
//! Locks: `Rank::VIRTQUEUE` for one queue at a time, `Rank::PORT_INPUT` for a port's input.
//! Source: virtio 1.2 section 5.3; Linux 6.12 drivers/char/virtio_console.c.

mod control;
mod port;
pub mod stream;

pub use port::{Port, Sink};

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use virtio_drivers::transport::{DeviceType, Transport};

use crate::driver::virtio::{BufferQueue, Device, windows};
use crate::platform;
use crate::sched::{WaitMode, WaitQueue, Wchan};
use crate::sync::{Mutex, Rank};
use crate::time::monotonic_ns;
use control::Control;

const F_SIZE: u64 = 1 << 0;
const F_MULTIPORT: u64 = 1 << 1;
const F_VERSION_1: u64 = 1 << 32;
/// How long the end of the VM waits for the proc channel's reader, in ns.
const PROC_FLUSH_NS: u64 = 50_000_000;
/// How long the end of the VM looks for the host's answer without sleeping, and how often after that, in ns.
const FLUSH_SPIN_NS: u64 = 300_000;
const FLUSH_LOOK_NS: u64 = 10_000_000;
/// More ports than this are left alone.
const MAX_PORTS: u32 = 16;

/// The console device.
pub struct Console {
    device: Arc<Device>,
    ports: Vec<Arc<Port>>,
    control: Option<Mutex<Control>>,
    /// Columns in the high half, rows in the low half; 0 when unknown.
    size: AtomicU32,
    /// Woken when a port's name or size becomes known.
    changed: WaitQueue,
    resized: spin::Once<fn(u16, u16)>,
}

impl Console {
    /// Finds the console, sets up every port and starts its interrupts. The console lives as long as the kernel.
    pub fn start(command_line: &[u8]) -> Option<&'static Console> {
        let device = windows(command_line).find_map(|window| Device::probe(window, DeviceType::Console))?;
        let agreed = device.begin(F_SIZE | F_MULTIPORT | F_VERSION_1);
        let device = Arc::new(device);
        let multiport = agreed & F_MULTIPORT != 0;
        let config = |offset| device.with(|transport| transport.read_config_space::<u32>(offset)).unwrap_or(0);
        let count = if multiport { config(4).clamp(1, MAX_PORTS) } else { 1 };
        let control = multiport.then(|| Control::new(&device)).flatten();
        let ports: Vec<_> = (0..count).filter_map(|id| Port::new(&device, id)).collect();
        let size = if agreed & F_SIZE != 0 { config(0).rotate_left(16) } else { 0 };
        let console = alloc::boxed::Box::leak(alloc::boxed::Box::new(Console {
            control: control.map(|control| Mutex::new(Rank::VIRTQUEUE, control)),
            device: device.clone(),
            ports,
            size: AtomicU32::new(size),
            changed: WaitQueue::new(),
            resized: spin::Once::new(),
        }));
        let console: &'static Console = console;
        if platform::register_irq(device.irq, "virtio0", interrupt, core::ptr::from_ref(console) as usize).is_err() {
            log::error!("virtio console: interrupt line {} is not to be had", device.irq);
            return None;
        }
        // Queued before the device starts, so that a host that looks at once has answered when `finish` returns.
        if let Some(control) = &console.control {
            let mut control = control.lock();
            control.post_buffers();
            control.send(0, control::DEVICE_READY, 1);
        }
        device.finish();
        console.start_control();
        Some(console)
    }

    fn start_control(&self) {
        match &self.control {
            Some(control) => {
                let queues = control.lock().take_notifications();
                self.notify_all(queues);
                self.poll();
            }
            None => {
                for port in &self.ports {
                    port.set_name(b"console".to_vec());
                    port.set_host_open(true);
                }
            }
        }
    }

    fn notify_all(&self, queues: impl IntoIterator<Item = u16>) {
        for queue in queues {
            self.device.notify(queue);
        }
    }

    /// The port with this number.
    pub fn port(&self, id: u32) -> Option<&Arc<Port>> {
        self.ports.iter().find(|port| port.id() == id)
    }

    /// The port with this name, as soon as the host has named it and has it open; waits up to `deadline_ns` (monotonic).
    ///
    /// # Context
    /// May switch.
    pub fn named_port(&self, name: &[u8], deadline_ns: u64) -> Option<&Arc<Port>> {
        let find = || self.ports.iter().find(|port| port.has_name(name) && port.is_host_open());
        self.changed.wait(Wchan::NamedPort, WaitMode::Interruptible, Some(deadline_ns), || find().is_some());
        find()
    }

    /// As `named_port`, for the time before there are threads: it looks again and again.
    pub fn wait_for_port(&self, name: &[u8], deadline_ns: u64) -> Option<&Arc<Port>> {
        loop {
            self.poll();
            if let Some(port) = self.ports.iter().find(|port| port.has_name(name) && port.is_host_open()) {
                return Some(port);
            }
            if crate::time::monotonic_ns() > deadline_ns {
                return None;
            }
            core::hint::spin_loop();
        }
    }

    /// Columns and rows of the host's terminal; (0, 0) when unknown.
    pub fn size(&self) -> (u16, u16) {
        let size = self.size.load(Relaxed);
        ((size >> 16) as u16, size as u16)
    }

    /// Calls `resized(columns, rows)` from now on when the host's terminal changes its size.
    pub fn on_resize(&self, resized: fn(u16, u16)) {
        self.resized.call_once(|| resized);
    }

    /// Looks at every queue: what an interrupt does, for callers that must not wait for one.
    pub fn poll(&self) {
        for port in &self.ports {
            port.collect();
        }
        let Some(control) = &self.control else { return };
        loop {
            let message = {
                let mut control = control.lock();
                control.receive()
            };
            let Some(message) = message else { break };
            self.control_message(&message);
        }
        let queues = control.lock().take_notifications();
        self.notify_all(queues);
    }

    fn control_message(&self, message: &control::Message) {
        let port = self.port(message.port);
        let answer = |event, value| {
            if let Some(control) = &self.control {
                control.lock().send(message.port, event, value);
            }
        };
        match (message.event, port) {
            (control::PORT_ADD, Some(_)) => answer(control::PORT_READY, 1),
            (control::PORT_ADD, None) => answer(control::PORT_READY, 0),
            (control::CONSOLE_PORT, Some(port)) => {
                port.set_name(b"console".to_vec());
                port.set_host_open(true);
                answer(control::PORT_OPEN, 1);
            }
            (control::PORT_NAME, Some(port)) => {
                port.set_name(message.rest.clone());
                answer(control::PORT_OPEN, 1);
            }
            (control::PORT_OPEN, Some(port)) => port.set_host_open(message.value != 0),
            (control::RESIZE, Some(_)) => {
                if let Some((columns, rows)) = message.size() {
                    self.size.store(u32::from(columns) << 16 | u32::from(rows), Relaxed);
                    if let Some(resized) = self.resized.get() {
                        resized(columns, rows);
                    }
                }
            }
            _ => {}
        }
        self.changed.wake_all();
    }

    /// Tells the host that nobody in the guest uses port `id` any more.
    pub fn close_port(&self, id: u32) {
        let Some(control) = &self.control else { return };
        let queues = {
            let mut control = control.lock();
            control.send(id, control::PORT_OPEN, 0);
            control.take_notifications()
        };
        self.notify_all(queues);
    }

    /// Waits until the host has taken every byte of output. A reader that is slow is waited for; the proc channel only briefly, since
    /// its reader may have stopped reading.
    pub fn flush(&self) {
        let proc_deadline = monotonic_ns() + PROC_FLUSH_NS;
        let is_flushed = |port: &Arc<Port>| {
            port.is_flushed() || (port.has_name(b"procvisor.proc") && monotonic_ns() > proc_deadline)
        };
        let spin_until = monotonic_ns() + FLUSH_SPIN_NS;
        loop {
            self.poll();
            if self.ports.iter().all(is_flushed) {
                return;
            }
            if monotonic_ns() < spin_until {
                core::hint::spin_loop();
                continue;
            }
            for port in &self.ports {
                port.want_output();
            }
            crate::time::set_timer(Some(monotonic_ns() + FLUSH_LOOK_NS));
            platform::idle();
        }
    }
}

#[expect(unsafe_code, reason = "an interrupt handler gets its device as an address")]
fn interrupt(argument: usize) {
    let console = core::ptr::with_exposed_provenance::<Console>(argument);
    // SAFETY: `start` registers this handler with the address of a console that it has leaked.
    let console = unsafe { &*console };
    console.device.acknowledge();
    console.poll();
}

/// The queue of port `id` that the device fills; the next one takes output.
fn input_queue(id: u32) -> u16 {
    match id {
        0 => 0,
        id => (2 * id + 2) as u16,
    }
}

/// Two queues for each port, the control channel's after the first port's.
fn queue_pair(device: &Device, input: u16) -> Option<(BufferQueue, BufferQueue)> {
    Some((BufferQueue::new(device, input)?, BufferQueue::new(device, input + 1)?))
}
