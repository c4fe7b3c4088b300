//! Signal numbers and sets of them.

/// A signal number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Signal(u8);

macro_rules! signals {
    ($($name:ident = $number:literal;)*) => {
        #[expect(missing_docs, reason = "signal(7) describes each")]
        impl Signal { $(pub const $name: Signal = Signal($number);)* }
    };
}

signals! {
    HUP = 1; INT = 2; QUIT = 3; ILL = 4; TRAP = 5; ABRT = 6; BUS = 7; FPE = 8; KILL = 9; USR1 = 10; SEGV = 11; USR2 = 12;
    PIPE = 13; ALRM = 14; TERM = 15; STKFLT = 16; CHLD = 17; CONT = 18; STOP = 19; TSTP = 20; TTIN = 21; TTOU = 22;
    URG = 23; XCPU = 24; XFSZ = 25; VTALRM = 26; PROF = 27; WINCH = 28; IO = 29; PWR = 30; SYS = 31;
}

impl Signal {
    /// The first real-time signal: from here on each instance is queued.
    pub const RT_MIN: u8 = 32;
    /// How many signals there are.
    pub const COUNT: usize = 64;

    /// The signal with this number, if there is one.
    pub fn from_raw(raw: u64) -> Option<Self> {
        u8::try_from(raw).ok().filter(|raw| (1..=64).contains(raw)).map(Signal)
    }

    /// The number, 1 to 64.
    pub fn raw(self) -> u8 {
        self.0
    }

    /// The place in a table of `COUNT` entries.
    pub fn index(self) -> usize {
        usize::from(self.0) - 1
    }

    /// Whether only one instance waits at a time.
    pub fn is_standard(self) -> bool {
        self.0 < Self::RT_MIN
    }
}

/// A set of signals, bit n-1 for signal n, as the ABI has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, core::default::Default)]
pub struct SigSet(pub u64);

impl SigSet {
    /// No signal.
    pub const EMPTY: SigSet = SigSet(0);
    /// The two that cannot be blocked, caught or ignored.
    pub const UNBLOCKABLE: SigSet = SigSet((1 << 8) | (1 << 18));
    /// The four that stop a process.
    pub const STOPS: SigSet = SigSet((1 << 18) | (1 << 19) | (1 << 20) | (1 << 21));
    /// Those that the running instruction causes; they are delivered first.
    pub const SYNCHRONOUS: SigSet = SigSet((1 << 3) | (1 << 4) | (1 << 6) | (1 << 7) | (1 << 10) | (1 << 30));

    /// Whether `signal` is in the set.
    pub fn has(self, signal: Signal) -> bool {
        self.0 & (1 << signal.index()) != 0
    }

    /// The set and `signal`.
    #[must_use]
    pub fn with(self, signal: Signal) -> Self {
        SigSet(self.0 | (1 << signal.index()))
    }

    /// The set but `signal`.
    #[must_use]
    pub fn without(self, signal: Signal) -> Self {
        SigSet(self.0 & !(1 << signal.index()))
    }

    /// The members of both.
    #[must_use]
    pub fn and(self, other: SigSet) -> Self {
        SigSet(self.0 & other.0)
    }

    /// The members of either.
    #[must_use]
    pub fn or(self, other: SigSet) -> Self {
        SigSet(self.0 | other.0)
    }

    /// The members that are not in `other`.
    #[must_use]
    pub fn minus(self, other: SigSet) -> Self {
        SigSet(self.0 & !other.0)
    }

    /// Whether it has no member.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The member with the lowest number.
    pub fn first(self) -> Option<Signal> {
        (self.0 != 0).then(|| Signal(self.0.trailing_zeros() as u8 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::{SigSet, Signal};

    #[test]
    fn bits_are_the_number_less_one() {
        assert_eq!(SigSet::EMPTY.with(Signal::HUP).0, 1);
        assert_eq!(SigSet::UNBLOCKABLE, SigSet::EMPTY.with(Signal::KILL).with(Signal::STOP));
        assert_eq!(SigSet::STOPS.without(Signal::STOP).first(), Some(Signal::TSTP));
        assert_eq!(Signal::from_raw(65), None);
        assert_eq!(Signal::from_raw(0), None);
    }
}
