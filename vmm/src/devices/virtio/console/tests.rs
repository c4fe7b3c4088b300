//! The device driven through its registers and rings by a driver made for the purpose, good and bad.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, Timespec, poll};
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::*;
use crate::config::PortBackend;
use crate::devices::virtio::mmio::VirtioMmio;
use crate::memory::GuestRam;

const QUEUE_SIZE: u16 = 8;
const NEEDS_RESET: u32 = 64;
const CONTROL_BYTES: u32 = 64;

/// Addresses of queue `q`'s three parts and its buffers.
fn desc(q: usize) -> u64 {
    0x10_0000 + q as u64 * 0x1_0000
}
fn avail(q: usize) -> u64 {
    desc(q) + 0x1000
}
fn used(q: usize) -> u64 {
    desc(q) + 0x2000
}
fn buffer(q: usize) -> u64 {
    desc(q) + 0x3000
}

struct Bench {
    device: VirtioMmio,
    ram: GuestRam,
    seen: [u16; 12],
    posted: [u16; 12],
}

impl Bench {
    fn new(ports: Ports, rows_cols: Option<(u16, u16)>) -> Self {
        let ram = GuestRam::new(4 << 20).unwrap();
        let console = Console::new(ports, StdioKind::Streams, rows_cols);
        let eventfd = || EventFd::new(EFD_NONBLOCK).unwrap();
        let device = VirtioMmio::new(console, ram.view().clone(), eventfd(), eventfd());
        Self { device, ram, seen: [0; 12], posted: [0; 12] }
    }

    /// Negotiates multiport, sets every queue up and has every port announced, ready and open.
    fn started(ports: Ports) -> Self {
        let mut bench = Self::new(ports, None);
        bench.start(1 << 32 | F_MULTIPORT);
        bench.say(u32::MAX, 0, 1);
        for id in 0..5 {
            bench.say(id, 3, 1);
        }
        bench.messages();
        bench
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.device.write(offset, &value.to_le_bytes());
    }

    fn read(&mut self, offset: u64) -> u32 {
        let mut word = [0; 4];
        self.device.read(offset, &mut word);
        u32::from_le_bytes(word)
    }

    fn start(&mut self, features: u64) {
        self.write(0x70, 0);
        self.write(0x70, 3);
        for (select, word) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.write(0x24, select);
            self.write(0x20, word);
        }
        self.write(0x70, 11);
        for q in 0..12 {
            self.write(0x30, q);
            self.write(0x38, QUEUE_SIZE.into());
            let q = q as usize;
            for (offset, address) in [(0x80, desc(q)), (0x90, avail(q)), (0xa0, used(q))] {
                self.write(offset, address as u32);
                self.write(offset + 4, 0);
            }
            self.write(0x44, 1);
        }
        self.write(0x70, 15);
        (self.seen, self.posted) = ([0; 12], [0; 12]);
    }

    /// Posts one buffer of `len` bytes; returns its address.
    fn post(&mut self, q: usize, len: u32, is_writable: bool) -> u64 {
        let slot = self.posted[q] % QUEUE_SIZE;
        let address = buffer(q) + u64::from(slot) * 0x1000;
        self.post_at(q, address, len, is_writable);
        address
    }

    fn post_at(&mut self, q: usize, address: u64, len: u32, is_writable: bool) {
        let slot = self.posted[q] % QUEUE_SIZE;
        let flags: u16 = if is_writable { 2 } else { 0 };
        self.descriptor(q, slot, address, len, flags, 0);
        let memory = self.ram.view();
        memory.write_obj(slot, GuestAddress(avail(q) + 4 + u64::from(slot) * 2)).unwrap();
        self.posted[q] += 1;
        memory.write_obj(self.posted[q], GuestAddress(avail(q) + 2)).unwrap();
    }

    fn descriptor(&self, q: usize, slot: u16, address: u64, len: u32, flags: u16, next: u16) {
        let memory = self.ram.view();
        let at = desc(q) + u64::from(slot) * 16;
        memory.write_obj(address, GuestAddress(at)).unwrap();
        memory.write_obj(len, GuestAddress(at + 8)).unwrap();
        memory.write_obj(u32::from(flags) | u32::from(next) << 16, GuestAddress(at + 12)).unwrap();
    }

    fn send(&mut self, q: usize, bytes: &[u8]) {
        let address = self.post(q, u32::try_from(bytes.len()).unwrap(), false);
        self.ram.view().write_slice(bytes, GuestAddress(address)).unwrap();
    }

    /// One control message from the driver, handled.
    fn say(&mut self, id: u32, event: u16, value: u16) {
        let message = [&id.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes()].concat();
        self.send(CONTROL_FROM_GUEST, &message);
        self.turn();
    }

    /// What came back on `q` since the last time: the contents of the used buffers.
    fn received(&mut self, q: usize) -> Vec<Vec<u8>> {
        let memory = self.ram.view();
        let end: u16 = memory.read_obj(GuestAddress(used(q) + 2)).unwrap();
        let mut out = Vec::new();
        while self.seen[q] != end {
            let at = used(q) + 4 + u64::from(self.seen[q] % QUEUE_SIZE) * 8;
            let [id, len]: [u32; 2] = [at, at + 4].map(|at| memory.read_obj(GuestAddress(at)).unwrap());
            let mut bytes = vec![0; len as usize];
            let address: u64 = memory.read_obj(GuestAddress(desc(q) + u64::from(id) * 16)).unwrap();
            memory.read_slice(&mut bytes, GuestAddress(address)).unwrap();
            out.push(bytes);
            self.seen[q] += 1;
        }
        out
    }

    /// All control messages the device has for us, as (port, event, value, payload).
    fn messages(&mut self) -> Vec<(u8, u8, u8, String)> {
        let mut out = Vec::new();
        loop {
            self.post(CONTROL_TO_GUEST, CONTROL_BYTES, true);
            self.turn();
            let came = self.received(CONTROL_TO_GUEST);
            if came.is_empty() {
                // Take the unused buffer back, so that the next call starts as this one did.
                self.posted[CONTROL_TO_GUEST] -= 1;
                let at = GuestAddress(avail(CONTROL_TO_GUEST) + 2);
                self.ram.view().write_obj(self.posted[CONTROL_TO_GUEST], at).unwrap();
                return out;
            }
            let decode = |m: Vec<u8>| (m[0], m[4], m[6], String::from_utf8_lossy(&m[8..]).into_owned());
            out.extend(came.into_iter().map(decode));
        }
    }

    /// What the event thread does: waits (a moment only), then a turn, until nothing is left.
    fn turn(&mut self) {
        while self.device.service() {}
        let mut ready = Vec::new();
        self.device.interests(|interest| {
            let mut fds = [PollFd::from_borrowed_fd(interest.fd, interest.events)];
            poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
            if !fds[0].revents().is_empty() {
                ready.push((interest.token, fds[0].revents()));
            }
        });
        for (token, events) in ready {
            self.device.console_mut().is_polled(token, events);
        }
        while self.device.service() {}
    }

    fn is_broken(&mut self) -> bool {
        self.read(0x70) & NEEDS_RESET != 0
    }
}

fn input(fd: impl Into<OwnedFd>) -> PortBackend {
    PortBackend { input: Some(fd.into()), output: None }
}

fn output(fd: impl Into<OwnedFd>) -> PortBackend {
    PortBackend { input: None, output: Some(fd.into()) }
}

const STDIN: usize = 6;
const STDOUT: usize = 9;

#[test]
fn ports_are_announced_named_and_opened_in_order() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let ports = Ports { stdout: output(writer), ..Ports::default() };
    let mut bench = Bench::new(ports, Some((24, 80)));
    bench.start(1 << 32 | F_MULTIPORT | F_SIZE);
    assert_eq!(bench.messages(), []);
    bench.say(u32::MAX, 0, 1);
    let added: Vec<_> = (0..5).map(|id| (id, 1, 1, String::new())).collect();
    assert_eq!(bench.messages(), added);
    bench.say(0, 3, 1);
    let size = String::from_utf8(vec![80, 0, 24, 0]).unwrap();
    assert_eq!(bench.messages(), [(0, 4, 1, String::new()), (0, 6, 1, String::new()), (0, 5, 0, size)]);
    bench.say(3, 3, 1);
    assert_eq!(bench.messages(), [(3, 7, 1, "procvisor.stdout".into()), (3, 6, 1, String::new())]);
    // Nobody is at stdin: opened and closed.
    bench.say(2, 3, 1);
    let stdin = [(2, 7, 1, "procvisor.stdin".into()), (2, 6, 1, String::new()), (2, 6, 0, String::new())];
    assert_eq!(bench.messages(), stdin);
    assert_eq!((bench.read(0x100), bench.read(0x104)), (80 | 24 << 16, 5));
    bench.device.resize(100, 30);
    let size = String::from_utf8(vec![100, 0, 30, 0]).unwrap();
    assert_eq!(bench.messages(), [(0, 5, 0, size)]);
}

#[test]
fn output_waits_for_a_slow_reader_and_loses_nothing() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut bench = Bench::started(Ports { stdout: output(writer), ..Ports::default() });
    let mut expected = Vec::new();
    for letter in b'a'..b'e' {
        expected.extend_from_slice(&[letter; 3000]);
        bench.send(STDOUT, &[letter; 3000]);
    }
    bench.turn();
    assert_eq!(bench.received(STDOUT).len(), 1, "the second buffer is half written");
    let mut got = Vec::new();
    while got.len() < expected.len() {
        let mut chunk = [0; 1000];
        let len = reader.read(&mut chunk).unwrap();
        got.extend_from_slice(&chunk[..len]);
        bench.turn();
    }
    assert!(got == expected);
    assert_eq!(bench.received(STDOUT).len(), 3);
}

#[test]
fn input_is_read_only_into_posted_buffers_and_its_end_comes_last() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let watch = reader.try_clone().unwrap();
    let mut bench = Bench::started(Ports { stdin: input(reader), ..Ports::default() });
    writer.write_all(b"hello").unwrap();
    bench.turn();
    assert_eq!(rustix::io::ioctl_fionread(watch.as_fd()).unwrap(), 5, "nothing is taken without a buffer");
    bench.post(STDIN, 3, true);
    bench.turn();
    drop(writer);
    assert_eq!(bench.received(STDIN), [b"hel"]);
    assert_eq!(bench.messages(), []);
    bench.post(STDIN, 100, true);
    bench.turn();
    assert_eq!(bench.received(STDIN), [b"lo"]);
    assert_eq!(bench.messages(), []);
    bench.post(STDIN, 100, true);
    bench.turn();
    assert_eq!(bench.messages(), [(2, 6, 0, String::new())]);
}

#[test]
fn a_reader_that_goes_away_closes_the_port_and_output_is_dropped() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut bench = Bench::started(Ports { stdout: output(writer), ..Ports::default() });
    assert_eq!(bench.messages(), []);
    drop(reader);
    assert_eq!(bench.messages(), [(3, 6, 0, String::new())]);
    bench.send(STDOUT, b"nobody hears");
    bench.turn();
    assert_eq!(bench.received(STDOUT).len(), 1);
}

#[test]
fn the_guest_closing_stdout_ends_the_hosts_stream_after_its_bytes() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut bench = Bench::started(Ports { stdout: output(writer), ..Ports::default() });
    bench.send(STDOUT, b"bye");
    bench.say(3, 6, 0);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "bye");
}

#[test]
fn the_proc_port_carries_both_ways_and_closes_with_its_peer() {
    let (guest, mut host) = UnixStream::pair().unwrap();
    let proc_ = PortBackend::duplex(guest.into()).unwrap();
    let mut bench = Bench::started(Ports { proc_, ..Ports::default() });
    host.write_all(b"request").unwrap();
    bench.post(4, 100, true);
    bench.turn();
    assert_eq!(bench.received(4), [b"request"]);
    bench.send(5, b"reply");
    bench.turn();
    let mut reply = [0; 5];
    host.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"reply");
    drop(host);
    assert_eq!(bench.messages(), [(1, 6, 0, String::new())]);
}

#[test]
fn features_that_were_not_offered_are_refused() {
    for features in [F_MULTIPORT, 1 << 32 | 1 << 5] {
        let mut bench = Bench::new(Ports::default(), None);
        bench.start(features);
        assert_eq!(bench.read(0x70) & 8, 0, "FEATURES_OK");
    }
}

#[test]
fn broken_rings_need_a_reset_and_a_reset_heals() {
    type Breakage = fn(&mut Bench);
    let breakages: [Breakage; 5] = [
        |bench| bench.post_at(STDOUT, 1 << 40, 10, false),
        |bench| bench.post_at(STDOUT, (4 << 20) - 1, 2, false),
        |bench| bench.post_at(STDOUT, buffer(STDOUT), u32::MAX, false),
        |bench| bench.ram.view().write_obj(500u16, GuestAddress(avail(STDOUT) + 2)).unwrap(),
        |bench| {
            bench.post(STDOUT, 1, false);
            bench.ram.view().write_obj(999u16, GuestAddress(avail(STDOUT) + 4)).unwrap();
        },
    ];
    for (at, breakage) in breakages.into_iter().enumerate() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let mut bench = Bench::started(Ports { stdout: output(writer), ..Ports::default() });
        breakage(&mut bench);
        bench.turn();
        assert!(bench.is_broken(), "{at}");
        assert!(bench.device.fault().is_some());
        bench.ram.view().write_slice(&[0; 0x3000], GuestAddress(desc(STDOUT))).unwrap();
        for q in 0..12 {
            bench.ram.view().write_slice(&[0; 0x3000], GuestAddress(desc(q))).unwrap();
        }
        bench.start(1 << 32 | F_MULTIPORT);
        bench.say(u32::MAX, 0, 1);
        assert_eq!((bench.is_broken(), bench.messages().len()), (false, 5), "{at}");
    }
}

#[test]
fn a_chain_that_loops_ends() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let mut bench = Bench::started(Ports { stdout: output(writer), ..Ports::default() });
    bench.post(STDOUT, 1, false);
    bench.descriptor(STDOUT, 0, buffer(STDOUT), 1, 1, 0);
    bench.turn();
    assert!(bench.received(STDOUT).len() <= 1);
}

#[test]
fn noise_in_registers_and_rings_never_panics() {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (_reader, writer) = std::io::pipe().unwrap();
    let (stdin, _keep) = std::io::pipe().unwrap();
    let mut bench = Bench::started(Ports { stdout: output(writer), stdin: input(stdin), ..Ports::default() });
    for round in 0..20_000 {
        if round % 200 == 0 {
            bench.start(1 << 32 | F_MULTIPORT | if round % 400 == 0 { 1 << 29 } else { 0 });
        }
        let random = next();
        match random % 4 {
            0 => bench.write(random >> 8 & 0x1fc, (random >> 32) as u32),
            1 => bench.device.write(random >> 8 & 0x1ff, &random.to_le_bytes()[..(random >> 20 & 7) as usize]),
            2 => {
                let at = desc((random >> 8) as usize % 12) + (random >> 16 & 0x2fff);
                bench.ram.view().write_obj((random >> 40) as u16 & 15, GuestAddress(at)).unwrap();
            }
            _ => {
                let mut bytes = [0; 8];
                bench.device.read(random >> 8 & 0x1ff, &mut bytes[..(random >> 20 & 7) as usize]);
            }
        }
        bench.turn();
    }
}
