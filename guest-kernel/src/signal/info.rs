//! `siginfo_t`: why a signal was sent.
//!
//! Source: Linux 6.12 include/uapi/asm-generic/siginfo.h; sigaction(2).

use super::Signal;

/// `SI_USER`: sent by kill(2).
pub const SI_USER: i32 = 0;
/// `SI_KERNEL`: sent by the kernel.
pub const SI_KERNEL: i32 = 0x80;
/// `SI_TKILL`: sent by tkill(2) or tgkill(2).
pub const SI_TKILL: i32 = -6;
/// Bytes of a `siginfo_t`.
pub const SIGINFO_BYTES: usize = 128;

/// Who caused a signal, and what it says beside its number.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// The kernel itself.
    Kernel,
    /// A process, by kill(2), tgkill(2) or sigqueue(3).
    Process {
        /// `SI_USER`, `SI_TKILL` or what the sender chose.
        code: i32,
        /// The sender.
        pid: i32,
        /// Its real user.
        uid: u32,
        /// What sigqueue(3) passed.
        value: u64,
    },
    /// A child has changed its state.
    Child {
        /// `CLD_EXITED` and so on.
        code: i32,
        /// The child.
        pid: i32,
        /// Its real user.
        uid: u32,
        /// Exit status or signal.
        status: i32,
        /// User time in clock ticks.
        utime: u64,
        /// System time in clock ticks.
        stime: u64,
    },
    /// The running instruction.
    Fault {
        /// `SEGV_MAPERR` and so on.
        code: i32,
        /// The address at fault.
        address: u64,
    },
}

/// A signal with its cause.
#[derive(Clone, Copy, Debug)]
pub struct SigInfo {
    /// Which signal.
    pub signal: Signal,
    /// Why.
    pub origin: Origin,
}

impl SigInfo {
    /// A signal from the kernel.
    pub fn kernel(signal: Signal) -> Self {
        SigInfo { signal, origin: Origin::Kernel }
    }

    /// `si_code`.
    pub fn code(&self) -> i32 {
        match self.origin {
            Origin::Kernel => SI_KERNEL,
            Origin::Process { code, .. } | Origin::Child { code, .. } | Origin::Fault { code, .. } => code,
        }
    }

    /// The bytes that user space sees.
    pub fn to_bytes(&self) -> [u8; SIGINFO_BYTES] {
        let mut bytes = [0; SIGINFO_BYTES];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &i32::from(self.signal.raw()).to_le_bytes());
        put(8, &self.code().to_le_bytes());
        match self.origin {
            Origin::Kernel => {}
            Origin::Process { pid, uid, value, .. } => {
                put(16, &pid.to_le_bytes());
                put(20, &uid.to_le_bytes());
                put(24, &value.to_le_bytes());
            }
            Origin::Child { pid, uid, status, utime, stime, .. } => {
                put(16, &pid.to_le_bytes());
                put(20, &uid.to_le_bytes());
                put(24, &status.to_le_bytes());
                put(32, &utime.to_le_bytes());
                put(40, &stime.to_le_bytes());
            }
            Origin::Fault { address, .. } => put(16, &address.to_le_bytes()),
        }
        bytes
    }
}
