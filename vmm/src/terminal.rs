//! The host's terminal: raw while the guest's terminal takes its place, and always put back.
//!
//! `RawMode` restores on drop, so on every way out that unwinds; signals are the command's business: it catches those that end a process
//! and leaves by the ordinary way.

use std::io::{IsTerminal, stdin, stdout};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Whether standard input and output are both a terminal: the program then gets one too.
pub fn is_interactive() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// Rows and columns of the terminal on standard output; `None` when there is none or it does not know.
pub fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// Standard input's terminal in raw mode: no echo, no line editing, no signals by keys.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Makes the terminal raw.
    ///
    /// # Errors
    /// What tcgetattr(3) or tcsetattr(3) say.
    pub fn enter() -> std::io::Result<Self> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // What the guest printed last must not be lost; a terminal that has gone away needs nothing.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.before);
    }
}
