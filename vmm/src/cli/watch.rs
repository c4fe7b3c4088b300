//! What may end a VM from outside: signals to this process and the time that `--timeout` allows; and what changes the terminal's size.
//!
//! Signals that this process ignored from the start (nohup, background jobs of a shell) stay ignored.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;
use vmm::machine::MachineHandle;
use vmm::terminal;

use super::{Failure, plain};

/// Why a VM was stopped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum StopCause {
    /// This signal came.
    Signal(i32),
    /// The time was over.
    Timeout(Duration),
}

#[derive(Default)]
struct State {
    cause: Option<StopCause>,
    handle: Option<MachineHandle>,
    has_terminal: bool,
}

/// The watch over one VM.
pub(crate) struct Watch {
    state: Arc<Mutex<State>>,
}

impl Watch {
    /// Begins to catch signals and to count the time; what comes before `attach` is kept until then.
    pub(crate) fn start(timeout: Option<Duration>) -> Result<Self, Failure> {
        let ignored = ignored_signals();
        let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH];
        let wanted = wanted.into_iter().filter(|signal| ignored & 1 << (signal - 1) == 0);
        let mut signals =
            Signals::new(wanted).map_err(|error| Failure::ours(format!("cannot catch signals: {}", plain(&error))))?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for signal in signals.forever() {
                if signal == SIGWINCH {
                    resize(&shared);
                } else {
                    stop(&shared, StopCause::Signal(signal));
                }
            }
        });
        if let Some(timeout) = timeout {
            let shared = Arc::clone(&state);
            thread::spawn(move || {
                thread::sleep(timeout);
                stop(&shared, StopCause::Timeout(timeout));
            });
        }
        Ok(Self { state })
    }

    /// Says which VM is meant, and whether this process's terminal is its console.
    pub(crate) fn attach(&self, handle: MachineHandle, has_terminal: bool) {
        let mut state = lock(&self.state);
        if state.cause.is_some() {
            handle.stop();
        }
        state.has_terminal = has_terminal;
        state.handle = Some(handle);
    }

    /// What stopped the VM, if anything did.
    pub(crate) fn cause(&self) -> Option<StopCause> {
        lock(&self.state).cause
    }
}

fn stop(state: &Mutex<State>, cause: StopCause) {
    let mut state = lock(state);
    state.cause.get_or_insert(cause);
    if let Some(handle) = &state.handle {
        handle.stop();
    }
}

fn resize(state: &Mutex<State>) {
    let state = lock(state);
    if let (Some(handle), true, Some((rows, columns))) = (&state.handle, state.has_terminal, terminal::size()) {
        handle.resize(columns, rows);
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    // Nothing panics while it holds this lock with the state half changed.
    state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The signals that this process was started with as ignored; bit n-1 is signal n (proc_pid_status(5), SigIgn).
pub(crate) fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
