//! The line discipline: editing a line, echo, signals from the keyboard, output processing.
//!
//! Source: Linux 6.12 drivers/tty/n_tty.c n_tty_receive_char(), eraser(), do_output_char().

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::termios::{Input, Local, Output, Termios, cc};
use crate::signal::Signal;

/// Bytes that wait for a reader at most (`N_TTY_BUF_SIZE`).
const MAX_INPUT: usize = 4096;
/// Marks "end of file here" in the queue of a canonical terminal; `POSIX_VDISABLE` cannot be typed as EOF.
const DISABLED: u8 = 0;

/// What a byte from the keyboard leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing that anybody waits for.
    None,
    /// A reader may go on.
    Input,
    /// The foreground gets this signal.
    Signal(Signal),
}

/// Settings, the line being edited, and what is ready to be read.
#[derive(Default)]
pub(super) struct Discipline {
    pub(super) termios: Termios,
    /// Lines (canonical) or bytes (not) that are ready.
    ready: VecDeque<u8>,
    /// Lengths of the lines in `ready`; a line that ends by EOF has no terminator.
    lines: VecDeque<usize>,
    /// The line being edited.
    edit: Vec<u8>,
    literal_next: bool,
    column: usize,
}

impl Discipline {
    fn local(&self, flag: Local) -> bool {
        self.termios.local.contains(flag)
    }

    fn is(&self, character: usize, byte: u8) -> bool {
        byte != DISABLED && self.termios.characters[character] == byte
    }

    pub(super) fn receive(&mut self, byte: u8, echo: &mut Vec<u8>) -> Effect {
        let input = self.termios.input;
        let mut byte = if input.contains(Input::ISTRIP) { byte & 0x7f } else { byte };
        if self.literal_next {
            self.literal_next = false;
            return self.store(byte, echo);
        }
        match byte {
            b'\r' if input.contains(Input::IGNCR) => return Effect::None,
            b'\r' if input.contains(Input::ICRNL) => byte = b'\n',
            b'\n' if input.contains(Input::INLCR) => byte = b'\r',
            _ => {}
        }
        if self.local(Local::ISIG)
            && let Some(signal) = self.keyboard_signal(byte)
        {
            if !self.local(Local::NOFLSH) {
                self.ready.clear();
                self.lines.clear();
                self.edit.clear();
            }
            self.echo_byte(byte, echo);
            return Effect::Signal(signal);
        }
        if !self.local(Local::ICANON) {
            return self.store(byte, echo);
        }
        self.edit_line(byte, echo)
    }

    fn keyboard_signal(&self, byte: u8) -> Option<Signal> {
        [(cc::INTR, Signal::INT), (cc::QUIT, Signal::QUIT), (cc::SUSP, Signal::TSTP)]
            .into_iter()
            .find(|(character, _)| self.is(*character, byte))
            .map(|(_, signal)| signal)
    }

    fn edit_line(&mut self, byte: u8, echo: &mut Vec<u8>) -> Effect {
        let extended = self.local(Local::IEXTEN);
        if self.is(cc::ERASE, byte) {
            self.erase_character(echo);
        } else if extended && self.is(cc::WERASE, byte) {
            self.erase_word(echo);
        } else if self.is(cc::KILL, byte) {
            while !self.edit.is_empty() {
                self.erase_character(echo);
            }
        } else if extended && self.is(cc::LNEXT, byte) {
            self.literal_next = true;
            if self.local(Local::ECHO) && self.local(Local::ECHOCTL) {
                echo.extend_from_slice(b"^\x08");
            }
        } else if extended && self.is(cc::REPRINT, byte) {
            self.echo_byte(byte, echo);
            self.output_byte(b'\n', echo);
            for byte in self.edit.clone() {
                self.echo_byte(byte, echo);
            }
        } else if self.is(cc::EOF, byte) {
            self.finish_line();
            return Effect::Input;
        } else if byte == b'\n' || self.is(cc::EOL, byte) || self.is(cc::EOL2, byte) {
            if self.local(Local::ECHO) || (byte == b'\n' && self.local(Local::ECHONL)) {
                self.output_byte(byte, echo);
            }
            self.edit.push(byte);
            self.finish_line();
            return Effect::Input;
        } else {
            return self.store(byte, echo);
        }
        Effect::None
    }

    fn finish_line(&mut self) {
        self.lines.push_back(self.edit.len());
        self.ready.extend(self.edit.drain(..));
    }

    fn store(&mut self, byte: u8, echo: &mut Vec<u8>) -> Effect {
        if self.ready.len() + self.edit.len() >= MAX_INPUT - 1 {
            return Effect::None;
        }
        self.echo_byte(byte, echo);
        if self.local(Local::ICANON) {
            self.edit.push(byte);
            return Effect::None;
        }
        self.ready.push_back(byte);
        Effect::Input
    }

    fn echo_byte(&mut self, byte: u8, echo: &mut Vec<u8>) {
        if !self.local(Local::ECHO) {
            return;
        }
        let control = byte < 0x20 && byte != b'\t' && byte != b'\n' || byte == 0x7f;
        if control && self.local(Local::ECHOCTL) {
            echo.extend_from_slice(&[b'^', byte ^ 0x40]);
            self.column += 2;
        } else {
            self.output_byte(byte, echo);
        }
    }

    fn erase_character(&mut self, echo: &mut Vec<u8>) {
        // A character of UTF-8 goes as a whole.
        let mut byte = self.edit.pop();
        while byte.is_some_and(|b| b & 0xc0 == 0x80) && !self.edit.is_empty() {
            byte = self.edit.pop();
        }
        let Some(byte) = byte else { return };
        if !self.local(Local::ECHO) || !self.local(Local::ECHOE) {
            return;
        }
        let width = if byte < 0x20 || byte == 0x7f { 2 } else { 1 };
        for _ in 0..width {
            echo.extend_from_slice(b"\x08 \x08");
            self.column = self.column.saturating_sub(1);
        }
    }

    fn erase_word(&mut self, echo: &mut Vec<u8>) {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
        let mut seen = false;
        while let Some(&last) = self.edit.last() {
            if seen && !is_word(last) {
                break;
            }
            seen |= is_word(last);
            self.erase_character(echo);
        }
    }

    /// One byte of output as the terminal is to get it.
    pub(super) fn output_byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        let flags = self.termios.output;
        if !flags.contains(Output::OPOST) {
            out.push(byte);
            return;
        }
        match byte {
            b'\n' if flags.contains(Output::ONLCR) => {
                out.extend_from_slice(b"\r\n");
                self.column = 0;
            }
            b'\r' if flags.contains(Output::OCRNL) => out.push(b'\n'),
            b'\r' if flags.contains(Output::ONOCR) && self.column == 0 => {}
            b'\r' => {
                out.push(byte);
                self.column = 0;
            }
            byte => {
                out.push(byte);
                self.column += usize::from(byte >= 0x20);
            }
        }
    }

    /// Whether a read would find something: a line, or bytes in raw mode.
    pub(super) fn is_readable(&self) -> bool {
        if self.local(Local::ICANON) { !self.lines.is_empty() } else { !self.ready.is_empty() }
    }

    /// How many bytes a read could take (`FIONREAD`).
    pub(super) fn available(&self) -> usize {
        if self.local(Local::ICANON) { self.lines.iter().sum() } else { self.ready.len() }
    }

    /// The least number of bytes that ends a raw read, and its time-out in tenths of a second.
    pub(super) fn raw_minimum(&self) -> Option<(usize, u8)> {
        let characters = &self.termios.characters;
        (!self.local(Local::ICANON)).then(|| (usize::from(characters[cc::MIN]), characters[cc::TIME]))
    }

    /// Takes what is ready: at most one line in canonical mode.
    pub(super) fn take(&mut self, most: usize) -> Vec<u8> {
        let count = if self.local(Local::ICANON) {
            let Some(line) = self.lines.pop_front() else { return Vec::new() };
            let count = line.min(most);
            if line > count {
                self.lines.push_front(line - count);
            }
            count
        } else {
            most.min(self.ready.len())
        };
        self.ready.drain(..count).collect()
    }

    /// Drops everything that has not been read.
    pub(super) fn flush_input(&mut self) {
        self.ready.clear();
        self.lines.clear();
        self.edit.clear();
    }

    /// Takes new settings; bytes that were typed stay, as lines or not as the new mode has it.
    pub(super) fn set_termios(&mut self, termios: Termios) {
        let was_canonical = self.local(Local::ICANON);
        self.termios = termios;
        let is_canonical = self.local(Local::ICANON);
        if was_canonical && !is_canonical {
            self.lines.clear();
            self.ready.extend(self.edit.drain(..));
        } else if !was_canonical && is_canonical && !self.ready.is_empty() {
            self.lines.push_back(self.ready.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Discipline, Effect, Local};
    use crate::signal::Signal;

    fn type_in(discipline: &mut Discipline, text: &[u8]) -> (Vec<u8>, Effect) {
        let mut echo = Vec::new();
        let mut effect = Effect::None;
        for &byte in text {
            effect = discipline.receive(byte, &mut echo);
        }
        (echo, effect)
    }

    #[test]
    fn a_line_is_edited_and_read_whole() {
        let mut discipline = Discipline::default();
        let (echo, effect) = type_in(&mut discipline, b"lx\x7fs\r");
        assert_eq!(echo, b"lx\x08 \x08s\r\n");
        assert_eq!(effect, Effect::Input);
        assert_eq!(discipline.take(100), b"ls\n");
        assert!(!discipline.is_readable());
    }

    #[test]
    fn control_d_gives_an_empty_read_and_ends_a_partial_line() {
        let mut discipline = Discipline::default();
        type_in(&mut discipline, b"\x04");
        assert!(discipline.is_readable());
        assert_eq!(discipline.take(100), b"");
        type_in(&mut discipline, b"ab\x04");
        assert_eq!(discipline.take(1), b"a");
        assert_eq!(discipline.take(10), b"b");
    }

    #[test]
    fn control_c_drops_the_line_and_signals() {
        let mut discipline = Discipline::default();
        let (echo, effect) = type_in(&mut discipline, b"abc\x03");
        assert_eq!(effect, Effect::Signal(Signal::INT));
        assert_eq!(echo, b"abc^C");
        type_in(&mut discipline, b"\n");
        assert_eq!(discipline.take(10), b"\n");
    }

    #[test]
    fn words_and_literals() {
        let mut discipline = Discipline::default();
        type_in(&mut discipline, b"one two  \x17\x16\x03\n");
        assert_eq!(discipline.take(100), b"one \x03\n");
    }

    #[test]
    fn raw_mode_gives_bytes_at_once_and_no_echo() {
        let mut discipline = Discipline::default();
        let mut termios = discipline.termios;
        termios.local.remove(Local::ICANON | Local::ECHO);
        discipline.set_termios(termios);
        let (echo, effect) = type_in(&mut discipline, b"x");
        assert!(echo.is_empty());
        assert_eq!(effect, Effect::Input);
        assert_eq!(discipline.take(10), b"x");
    }
}
