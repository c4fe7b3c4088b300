//! The settings of a terminal, in the layout of the kernel's ABI.
//!
//! Source: Linux 6.12 include/uapi/asm-generic/termbits.h, drivers/tty/tty_io.c tty_std_termios.

/// Bytes of the kernel's `struct termios`.
pub const TERMIOS_BYTES: usize = 36;
const CONTROL_CHARACTERS: usize = 19;

bitflags::bitflags! {
    /// Input flags.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Input: u32 {
        const ISTRIP = 0o40;
        const INLCR = 0o100;
        const IGNCR = 0o200;
        const ICRNL = 0o400;
        const IUCLC = 0o1000;
        const IXON = 0o2000;
        const _ = !0;
    }

    /// Output flags.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Output: u32 {
        const OPOST = 1;
        const ONLCR = 4;
        const OCRNL = 0o10;
        const ONOCR = 0o20;
        const ONLRET = 0o40;
        const _ = !0;
    }

    /// Local flags.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Local: u32 {
        const ISIG = 1;
        const ICANON = 2;
        const ECHO = 0o10;
        const ECHOE = 0o20;
        const ECHOK = 0o40;
        const ECHONL = 0o100;
        const NOFLSH = 0o200;
        const TOSTOP = 0o400;
        const ECHOCTL = 0o1000;
        const ECHOKE = 0o4000;
        const IEXTEN = 0o100_000;
        const _ = !0;
    }
}

/// Places in the table of control characters.
pub(super) mod cc {
    pub(crate) const INTR: usize = 0;
    pub(crate) const QUIT: usize = 1;
    pub(crate) const ERASE: usize = 2;
    pub(crate) const KILL: usize = 3;
    pub(crate) const EOF: usize = 4;
    pub(crate) const TIME: usize = 5;
    pub(crate) const MIN: usize = 6;
    pub(crate) const SUSP: usize = 10;
    pub(crate) const EOL: usize = 11;
    pub(crate) const REPRINT: usize = 12;
    pub(crate) const WERASE: usize = 14;
    pub(crate) const LNEXT: usize = 15;
    pub(crate) const EOL2: usize = 16;
}

/// The settings of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termios {
    /// What happens to bytes that arrive.
    pub input: Input,
    /// What happens to bytes that are written.
    pub output: Output,
    /// Line speed and the like; kept, without effect.
    pub control: u32,
    /// Editing, echo and signals.
    pub local: Local,
    /// The line discipline's number, 0.
    pub line: u8,
    /// The control characters, `VINTR` first.
    pub characters: [u8; CONTROL_CHARACTERS],
}

impl Default for Termios {
    fn default() -> Self {
        // INIT_C_CC: ^C ^\ DEL ^U ^D 0 1 0 ^Q ^S ^Z 0 ^R ^O ^W ^V 0
        let characters = [3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0];
        Termios {
            input: Input::ICRNL | Input::IXON,
            output: Output::OPOST | Output::ONLCR,
            control: 0o17 | 0o60 | 0o200 | 0o2000, // B38400 CS8 CREAD HUPCL
            local: Local::ISIG
                | Local::ICANON
                | Local::ECHO
                | Local::ECHOE
                | Local::ECHOK
                | Local::ECHOCTL
                | Local::ECHOKE
                | Local::IEXTEN,
            line: 0,
            characters,
        }
    }
}

impl Termios {
    /// The layout of `TCGETS`.
    pub fn to_bytes(self) -> [u8; TERMIOS_BYTES] {
        let mut bytes = [0; TERMIOS_BYTES];
        let words = [self.input.bits(), self.output.bits(), self.control, self.local.bits()];
        for (slot, word) in bytes.chunks_exact_mut(4).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        bytes[16] = self.line;
        bytes[17..].copy_from_slice(&self.characters);
        bytes
    }

    /// The settings in the layout of `TCSETS`.
    pub fn from_bytes(bytes: &[u8; TERMIOS_BYTES]) -> Self {
        let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let mut characters = [0; CONTROL_CHARACTERS];
        characters.copy_from_slice(&bytes[17..]);
        Termios {
            input: Input::from_bits_retain(word(0)),
            output: Output::from_bits_retain(word(4)),
            control: word(8),
            local: Local::from_bits_retain(word(12)),
            line: bytes[16],
            characters,
        }
    }
}
