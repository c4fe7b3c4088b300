//! Terminals: the line discipline, job control, and the device files of the console.
//!
//! Owns what lies between a console port and the programs that read from it. Bytes arrive in interrupt context; programs read
//! and write in their own.
//! Locks: `Tty::state` (`Rank::TTY`); signals are sent and waiters woken after it has been dropped.
//! Source: Linux 6.12 drivers/tty/n_tty.c, drivers/tty/tty_jobctrl.c; termios(3), ioctl_tty(2).

mod discipline;
mod file;
mod job_control;
mod termios;

pub use file::register_devices;
pub use termios::Termios;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

use crate::driver::console::Port;
use crate::sched::WaitQueue;
use crate::signal::Signal;
use crate::signal::send::{self, Force};
use crate::sync::{Mutex, Rank};
use crate::task::{ProcessGroup, Session};
use discipline::{Discipline, Effect};

/// Major and minor number of `/dev/hvc0`.
pub const HVC0: (u32, u32) = (229, 0);

/// Rows, columns and pixels of a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSize {
    /// Rows and columns in characters, then width and height in pixels.
    pub fields: [u16; 4],
}

struct State {
    discipline: Discipline,
    size: WindowSize,
    session: Weak<Session>,
    foreground: Weak<ProcessGroup>,
}

/// A terminal.
pub struct Tty {
    port: Arc<Port>,
    state: Mutex<State>,
    readable: Arc<WaitQueue>,
}

impl Tty {
    /// The terminal on `port`, which gets the port's input from now on.
    pub fn new(port: Arc<Port>, size: (u16, u16)) -> Arc<Self> {
        let (columns, rows) = size;
        let tty = Arc::new(Tty {
            port: port.clone(),
            state: Mutex::new(
                Rank::TTY,
                State {
                    discipline: Discipline::default(),
                    size: WindowSize { fields: [rows, columns, 0, 0] },
                    session: Weak::new(),
                    foreground: Weak::new(),
                },
            ),
            readable: Arc::new(WaitQueue::new()),
        });
        let receiver = Arc::downgrade(&tty);
        port.deliver_to(alloc::boxed::Box::new(move |bytes| {
            if let Some(tty) = receiver.upgrade() {
                tty.receive(bytes);
            }
        }));
        tty
    }

    /// Takes bytes that were typed.
    fn receive(&self, bytes: &[u8]) {
        for &byte in bytes {
            let (effect, echo) = {
                let mut state = self.state.lock();
                let mut echo = Vec::new();
                let effect = state.discipline.receive(byte, &mut echo);
                (effect, echo)
            };
            if !echo.is_empty() {
                // Echo that finds no room is lost, as on a real terminal line.
                let _ = self.port.send(&echo);
            }
            match effect {
                Effect::None => {}
                Effect::Input => self.readable.wake_all(),
                Effect::Signal(signal) => {
                    if let Some(group) = self.foreground() {
                        send::to_process_group(&group, signal, Force::Host);
                    }
                    self.readable.wake_all();
                }
            }
        }
    }

    /// The process group that may read and gets the keyboard's signals.
    pub fn foreground(&self) -> Option<Arc<ProcessGroup>> {
        self.state.lock().foreground.upgrade()
    }

    /// The session that it controls.
    pub fn session(&self) -> Option<Arc<Session>> {
        self.state.lock().session.upgrade()
    }

    /// The device number as /proc/PID/stat encodes it.
    pub fn device_number(&self) -> u32 {
        let (major, minor) = HVC0;
        major << 8 | (minor & 0xff) | (minor & !0xff) << 12
    }

    /// Rows and columns.
    pub fn size(&self) -> WindowSize {
        self.state.lock().size
    }

    /// Takes a new size; programs in the foreground get SIGWINCH when it differs.
    pub fn resize(&self, size: WindowSize) {
        let old = core::mem::replace(&mut self.state.lock().size, size);
        if old != size
            && let Some(group) = self.foreground()
        {
            send::to_process_group(&group, Signal::WINCH, Force::No);
        }
    }

    /// Makes it the controlling terminal of `session`, whose foreground is `group`.
    pub fn control(self: &Arc<Self>, session: &Arc<Session>, group: &Arc<ProcessGroup>) {
        {
            let mut state = self.state.lock();
            state.session = Arc::downgrade(session);
            state.foreground = Arc::downgrade(group);
        }
        session.set_tty(Some(self.clone()));
    }

    /// The leader of its session has ended: the foreground is told, and the terminal is free again.
    pub fn session_leader_ended(&self) {
        let foreground = self.foreground();
        {
            let mut state = self.state.lock();
            state.session = Weak::new();
            state.foreground = Weak::new();
        }
        if let Some(group) = foreground {
            send::to_process_group(&group, Signal::HUP, Force::No);
            send::to_process_group(&group, Signal::CONT, Force::No);
        }
    }
}
