//! One port: bytes in, bytes out.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

use procfs_core::Errno;

use super::{input_queue, queue_pair};
use crate::driver::virtio::{BufferQueue, Device};
use crate::sched::{WaitMode, WaitQueue, Wake, Wchan};
use crate::sync::{Mutex, Rank};

/// Bytes of one buffer.
const BUFFER_BYTES: usize = 4096;
/// Buffers that a port keeps with the host when it takes whatever comes (terminal, proc channel).
const EAGER_BUFFERS: usize = 4;
/// Received bytes that wait for a reader; beyond it the host gets no more buffers.
const MAX_INPUT: usize = 64 * 1024;

/// Takes what arrives, in interrupt context.
pub type Sink = Box<dyn Fn(&[u8]) + Send + Sync>;

struct Input {
    bytes: VecDeque<u8>,
    /// The host has said that no more comes.
    ended: bool,
}

/// A port.
pub struct Port {
    id: u32,
    device: Arc<Device>,
    name: Mutex<Vec<u8>>,
    input_queue: Mutex<BufferQueue>,
    output_queue: Mutex<BufferQueue>,
    input: Mutex<Input>,
    host_open: AtomicBool,
    /// Takes input before anybody reads (else a buffer is posted only for a reader).
    eager: AtomicBool,
    /// Who gets input instead of readers.
    sink: spin::Once<Sink>,
    /// Woken when bytes or the end arrive.
    pub readable: Arc<WaitQueue>,
    /// Woken when there is room for output, or the host has closed.
    pub writable: Arc<WaitQueue>,
}

impl Port {
    pub(super) fn new(device: &Arc<Device>, id: u32) -> Option<Arc<Self>> {
        let (input, mut output) = queue_pair(device, input_queue(id))?;
        output.set_interrupts(false);
        Some(Arc::new(Port {
            id,
            device: device.clone(),
            name: Mutex::new(Rank::PORT_INPUT, Vec::new()),
            input_queue: Mutex::new(Rank::VIRTQUEUE, input),
            output_queue: Mutex::new(Rank::VIRTQUEUE, output),
            input: Mutex::new(Rank::PORT_INPUT, Input { bytes: VecDeque::new(), ended: false }),
            host_open: AtomicBool::new(false),
            eager: AtomicBool::new(false),
            sink: spin::Once::new(),
            readable: Arc::new(WaitQueue::new()),
            writable: Arc::new(WaitQueue::new()),
        }))
    }

    /// The port's number.
    pub fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn set_name(&self, name: Vec<u8>) {
        let old = core::mem::replace(&mut *self.name.lock(), name);
        drop(old);
    }

    /// Whether the host has given it this name.
    pub fn has_name(&self, name: &[u8]) -> bool {
        self.name.lock().as_slice() == name
    }

    pub(super) fn set_host_open(&self, open: bool) {
        self.host_open.store(open, Relaxed);
        if open {
            self.input.lock().ended = false;
        } else {
            // What was sent before the message has been used before it: collect it first.
            self.collect();
            self.input.lock().ended = true;
            // Output that the host will never take is dropped.
            self.readable.wake_all();
            self.writable.wake_all();
        }
    }

    /// Whether the host has the port open.
    pub fn is_host_open(&self) -> bool {
        self.host_open.load(Relaxed)
    }

    /// Takes input from now on whether or not anybody reads, up to 64 KiB.
    pub fn take_eagerly(&self) {
        self.eager.store(true, Relaxed);
        self.post(EAGER_BUFFERS * BUFFER_BYTES);
    }

    /// Hands all input to `sink` from now on, in interrupt context.
    pub fn deliver_to(&self, sink: Sink) {
        self.sink.call_once(|| sink);
        self.take_eagerly();
    }

    /// Lends the host buffers for `wanted` bytes, as far as the queue has room.
    fn post(&self, wanted: usize) {
        let posted = {
            let mut queue = self.input_queue.lock();
            let mut missing = wanted.min(EAGER_BUFFERS * BUFFER_BYTES);
            let mut posted = false;
            while missing > 0 && queue.in_flight() < EAGER_BUFFERS {
                let size = missing.min(BUFFER_BYTES);
                if queue.add_in(alloc::vec![0; size].into_boxed_slice()).is_err() {
                    break;
                }
                missing -= size;
                posted = true;
            }
            posted && queue.should_notify()
        };
        if posted {
            self.device.notify(input_queue(self.id));
        }
    }

    /// Moves what the host has sent into the input, and takes back buffers that it has read.
    pub(super) fn collect(&self) {
        let mut arrived = false;
        loop {
            let Some((buffer, len)) = self.input_queue.lock().pop() else { break };
            arrived = true;
            match self.sink.get() {
                Some(sink) => sink(&buffer[..len]),
                None => self.input.lock().bytes.extend(&buffer[..len]),
            }
        }
        if arrived {
            if self.eager.load(Relaxed) && self.input.lock().bytes.len() < MAX_INPUT {
                self.post(EAGER_BUFFERS * BUFFER_BYTES);
            }
            self.readable.wake_all();
        }
        if self.reclaim() {
            self.writable.wake_all();
        }
    }

    /// Drops output buffers that the host has read; true when there was one.
    fn reclaim(&self) -> bool {
        let mut any = false;
        loop {
            let Some(done) = self.output_queue.lock().pop() else { return any };
            drop(done);
            any = true;
        }
    }

    /// How many bytes wait to be read.
    pub fn available(&self) -> usize {
        self.input.lock().bytes.len()
    }

    /// Whether a read would not block: bytes wait, or the end has come.
    pub fn is_readable(&self) -> bool {
        let input = self.input.lock();
        !input.bytes.is_empty() || input.ended
    }

    /// Asks the host for input: somebody polls for it.
    pub fn want_input(&self, bytes: usize) {
        if !self.is_readable() && self.input_queue.lock().in_flight() == 0 {
            self.post(bytes);
        }
    }

    /// Reads at least one byte; waits for it unless `nonblocking`. 0 is the end.
    ///
    /// # Errors
    /// EAGAIN when it would have to wait; EINTR when a signal came first.
    ///
    /// # Context
    /// May switch.
    pub fn read(&self, buffer: &mut [u8], nonblocking: bool) -> Result<usize, Errno> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.want_input(buffer.len());
        if nonblocking && !self.is_readable() {
            return Err(Errno::EAGAIN);
        }
        if self.readable.wait(Wchan::PortRead, WaitMode::Interruptible, None, || self.is_readable()) != Wake::Event {
            return Err(Errno::EINTR);
        }
        let taken = {
            let mut input = self.input.lock();
            let taken = buffer.len().min(input.bytes.len());
            for (slot, byte) in buffer.iter_mut().zip(input.bytes.drain(..taken)) {
                *slot = byte;
            }
            taken
        };
        if self.eager.load(Relaxed) {
            self.post(EAGER_BUFFERS * BUFFER_BYTES);
        }
        Ok(taken)
    }

    /// Puts bytes back in front of the input: a reader's memory could not take them.
    pub fn unread(&self, bytes: &[u8]) {
        let mut input = self.input.lock();
        for &byte in bytes.iter().rev() {
            input.bytes.push_front(byte);
        }
    }

    /// Sends as much of `bytes` as there is room for now.
    ///
    /// # Errors
    /// EPIPE when the host has closed the port.
    pub fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        if !self.is_host_open() {
            return Err(Errno::EPIPE);
        }
        self.reclaim();
        let mut sent = 0;
        let notify = {
            let mut queue = self.output_queue.lock();
            if queue.is_broken() {
                return Err(Errno::EIO);
            }
            for chunk in bytes.chunks(BUFFER_BYTES) {
                if queue.add_out(chunk.into(), chunk.len()).is_err() {
                    break;
                }
                sent += chunk.len();
            }
            sent > 0 && queue.should_notify()
        };
        if notify {
            self.device.notify(input_queue(self.id) + 1);
        }
        Ok(sent)
    }

    /// Whether `send` would take something, or fail.
    pub fn is_writable(&self) -> bool {
        self.reclaim();
        !self.is_host_open() || self.output_queue.lock().has_room()
    }

    /// Sends all of `bytes`; waits for room unless `nonblocking`. Gives how many were sent.
    ///
    /// # Errors
    /// EPIPE when the host has closed the port; EAGAIN, EINTR when nothing could be sent.
    ///
    /// # Context
    /// May switch.
    pub fn write(&self, bytes: &[u8], nonblocking: bool) -> Result<usize, Errno> {
        let mut done = 0;
        while done < bytes.len() {
            let error = match self.send(&bytes[done..]) {
                Ok(0) if nonblocking => Errno::EAGAIN,
                Ok(0) => match self.wait_writable() {
                    Ok(()) => continue,
                    Err(errno) => errno,
                },
                Ok(sent) => {
                    done += sent;
                    continue;
                }
                Err(errno) => errno,
            };
            return if done > 0 { Ok(done) } else { Err(error) };
        }
        Ok(done)
    }

    fn wait_writable(&self) -> Result<(), Errno> {
        self.output_queue.lock().set_interrupts(true);
        let wake = self.writable.wait(Wchan::PortWrite, WaitMode::Interruptible, None, || self.is_writable());
        self.output_queue.lock().set_interrupts(false);
        if wake == Wake::Event { Ok(()) } else { Err(Errno::EINTR) }
    }

    /// Asks for an interrupt once there is room again: somebody polls for it.
    pub fn want_output(&self) {
        self.output_queue.lock().set_interrupts(true);
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.reclaim();
        !self.is_host_open() || self.output_queue.lock().in_flight() == 0
    }
}
