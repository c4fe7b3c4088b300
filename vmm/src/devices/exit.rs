//! The exit port: one 32-bit write ends the guest and says how.
//!
//! Bits 7:0 carry the status, bits 15:8 the kind.

/// How the guest says it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuestExit {
    /// The program ended with this status, as a shell has it.
    Exited(u8),
    /// The kernel panicked.
    Panicked,
    /// The program could not be started: 126 or 127.
    NotStarted(u8),
    /// reboot(2) asked for power off.
    PowerOff,
    /// A value without a meaning.
    Unknown(u32),
}

impl GuestExit {
    /// Decodes what was written to the port.
    pub fn from_port_value(value: u32) -> Self {
        let [status, kind, ..] = value.to_le_bytes();
        match (value >> 16, kind) {
            (0, 0) => Self::Exited(status),
            (0, 1) => Self::Panicked,
            (0, 2) => Self::NotStarted(status),
            (0, 3) => Self::PowerOff,
            _ => Self::Unknown(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::GuestExit;

    #[test]
    fn status_and_kind_are_decoded() {
        assert_eq!(GuestExit::from_port_value(139), GuestExit::Exited(139));
        assert_eq!(GuestExit::from_port_value(0x1ff), GuestExit::Panicked);
        assert_eq!(GuestExit::from_port_value(0x27f), GuestExit::NotStarted(127));
        assert_eq!(GuestExit::from_port_value(0x300), GuestExit::PowerOff);
        assert_eq!(GuestExit::from_port_value(0x400), GuestExit::Unknown(0x400));
        assert_eq!(GuestExit::from_port_value(0x1_0000), GuestExit::Unknown(0x1_0000));
    }
}
