//! The device files of a terminal: /dev/console, /dev/hvc0, /dev/tty.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;

use linux_raw_sys::ioctl;
use procfs_core::Errno;

use super::termios::{Local, TERMIOS_BYTES, Termios};
use super::{HVC0, Tty, WindowSize};
use crate::cred::Cred;
use crate::mm::{IoDst, IoSrc, Mm};
use crate::sched::{PollTable, WaitMode, Wake, Wchan};
use crate::signal::Signal;
use crate::task;
use crate::time::monotonic_ns;
use crate::vfs::{DeviceNumber, DeviceTable, File, FileFeatures, FileOps, OpenFlags, Path, PollEvents};

/// Bytes that one write hands to the terminal at a time.
const CHUNK: usize = 2048;
const FIONREAD: u32 = 0x541b;

struct TtyFile(Arc<Tty>);

/// Makes the terminal's device numbers open it: 5:1 (console), 229:0 (hvc0), 5:0 (the caller's controlling terminal).
pub fn register_devices(devices: &DeviceTable, tty: &Arc<Tty>) {
    let (major, minor) = HVC0;
    for number in [DeviceNumber::new(5, 1), DeviceNumber::new(major, minor)] {
        let tty = tty.clone();
        let is_console = number == DeviceNumber::new(5, 1);
        devices.register(number, move |_: &Path, flags: OpenFlags, _: &Arc<Cred>| {
            if !is_console && !flags.contains(OpenFlags::NOCTTY) {
                // A session leader without a terminal gets this one; anybody else just opens it.
                let _ = tty.acquire(&task::current());
            }
            Ok(Box::new(TtyFile(tty.clone())) as Box<dyn FileOps>)
        });
    }
    devices.register(DeviceNumber::new(5, 0), |_: &Path, _: OpenFlags, _: &Arc<Cred>| {
        let tty = task::current().group.pgrp().session.tty().ok_or(Errno::ENXIO)?;
        Ok(Box::new(TtyFile(tty)) as Box<dyn FileOps>)
    });
}

impl FileOps for TtyFile {
    fn read(&self, file: &File, _: &mut u64, dst: &mut IoDst<'_>) -> Result<usize, Errno> {
        let tty = &self.0;
        tty.check_foreground(&task::current(), Signal::TTIN)?;
        if dst.remaining() == 0 {
            return Ok(0);
        }
        let deadline = match tty.state.lock().discipline.raw_minimum() {
            Some((0, 0)) => Some(monotonic_ns()),
            Some((0, tenths)) => Some(monotonic_ns() + u64::from(tenths) * 100_000_000),
            _ => None,
        };
        let ready = || tty.state.lock().discipline.is_readable();
        if file.is_nonblocking() && !ready() {
            return Err(Errno::EAGAIN);
        }
        match tty.readable.wait(Wchan::WaitWoken, WaitMode::Interruptible, deadline, ready) {
            Wake::Event => {}
            Wake::Timeout => return Ok(0),
            Wake::Signal => return Err(Errno::EINTR),
        }
        let bytes = tty.state.lock().discipline.take(dst.remaining());
        let taken = dst.put(&bytes);
        if taken == 0 && !bytes.is_empty() { Err(Errno::EFAULT) } else { Ok(taken) }
    }

    fn write(&self, file: &File, _: &mut u64, src: &mut IoSrc<'_>) -> Result<usize, Errno> {
        let tty = &self.0;
        if tty.state.lock().discipline.termios.local.contains(Local::TOSTOP) {
            tty.check_foreground(&task::current(), Signal::TTOU)?;
        }
        let mut done = 0;
        let mut chunk = [0; CHUNK];
        while src.remaining() > 0 {
            let want = src.remaining().min(CHUNK);
            let len = src.take(&mut chunk[..want]);
            if len == 0 {
                return if done > 0 { Ok(done) } else { Err(Errno::EFAULT) };
            }
            let mut out = Vec::with_capacity(len + 16);
            {
                let mut state = tty.state.lock();
                for &byte in &chunk[..len] {
                    state.discipline.output_byte(byte, &mut out);
                }
            }
            match tty.port.write(&out, file.is_nonblocking()) {
                Ok(_) => done += len,
                Err(errno) => return if done > 0 { Ok(done) } else { Err(errno) },
            }
        }
        Ok(done)
    }

    fn poll(&self, _: &File, table: Option<&mut PollTable>) -> PollEvents {
        let tty = &self.0;
        if let Some(table) = table {
            table.register(&tty.readable);
            table.register(&tty.port.writable);
        }
        let mut events = PollEvents::empty();
        if tty.state.lock().discipline.is_readable() {
            events |= PollEvents::IN | PollEvents::RDNORM;
        }
        if tty.port.is_writable() {
            events |= PollEvents::OUT | PollEvents::WRNORM;
        } else {
            tty.port.want_output();
        }
        events
    }

    fn ioctl(&self, _: &File, request: u32, arg: u64, mm: &Mm) -> Result<usize, Errno> {
        let tty = &self.0;
        let task = task::current();
        let read_int = || {
            let mut bytes = [0; 4];
            mm.copy_in(arg, &mut bytes).map(|()| i32::from_le_bytes(bytes))
        };
        match request {
            ioctl::TCGETS => {
                let termios = tty.state.lock().discipline.termios;
                mm.copy_out(arg, &termios.to_bytes())?;
            }
            ioctl::TCSETS | ioctl::TCSETSW | ioctl::TCSETSF => {
                tty.check_foreground(&task, Signal::TTOU)?;
                let mut bytes = [0; TERMIOS_BYTES];
                mm.copy_in(arg, &mut bytes)?;
                let mut state = tty.state.lock();
                if request == ioctl::TCSETSF {
                    state.discipline.flush_input();
                }
                state.discipline.set_termios(Termios::from_bytes(&bytes));
            }
            ioctl::TCFLSH => {
                // TCIFLUSH and TCIOFLUSH; output has left already.
                if matches!(arg, 0 | 2) {
                    tty.state.lock().discipline.flush_input();
                } else if arg != 1 {
                    return Err(Errno::EINVAL);
                }
            }
            ioctl::TCSBRK | ioctl::TCXONC => {}
            ioctl::TIOCGWINSZ => {
                let size = tty.size();
                let bytes: Vec<u8> = size.fields.iter().flat_map(|field| field.to_le_bytes()).collect();
                mm.copy_out(arg, &bytes)?;
            }
            ioctl::TIOCSWINSZ => {
                let mut bytes = [[0; 2]; 4];
                mm.copy_in(arg, bytes.as_flattened_mut())?;
                tty.resize(WindowSize { fields: bytes.map(u16::from_le_bytes) });
            }
            ioctl::TIOCGPGRP => mm.copy_out(arg, &tty.foreground_nr(&task)?.to_le_bytes())?,
            ioctl::TIOCSPGRP => tty.set_foreground(&task, read_int()?)?,
            ioctl::TIOCGSID => {
                let session = tty.session().ok_or(Errno::ENOTTY)?;
                mm.copy_out(arg, &task.nr_of(&session.pid).to_le_bytes())?;
            }
            ioctl::TIOCSCTTY => tty.acquire(&task)?,
            ioctl::TIOCNOTTY => tty.release(&task)?,
            FIONREAD => {
                let available = tty.state.lock().discipline.available();
                mm.copy_out(arg, &i32::try_from(available).unwrap_or(i32::MAX).to_le_bytes())?;
            }
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn features(&self) -> FileFeatures {
        FileFeatures::READ | FileFeatures::WRITE | FileFeatures::POLL
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
