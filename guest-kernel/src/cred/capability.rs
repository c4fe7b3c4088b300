//! Capability numbers and sets.
//!
//! Source: Linux 6.12 include/uapi/linux/capability.h; capabilities(7).

/// One capability, by its Linux number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are Linux's; capabilities(7) describes each")]
pub enum Capability {
    Chown = 0,
    DacOverride = 1,
    DacReadSearch = 2,
    Fowner = 3,
    Fsetid = 4,
    Kill = 5,
    Setgid = 6,
    Setuid = 7,
    Setpcap = 8,
    LinuxImmutable = 9,
    NetBindService = 10,
    NetAdmin = 12,
    NetRaw = 13,
    IpcLock = 14,
    SysModule = 16,
    SysRawio = 17,
    SysChroot = 18,
    SysPtrace = 19,
    SysPacct = 20,
    SysAdmin = 21,
    SysBoot = 22,
    SysNice = 23,
    SysResource = 24,
    SysTime = 25,
    SysTtyConfig = 26,
    Mknod = 27,
    AuditControl = 30,
    Setfcap = 31,
    MacOverride = 32,
    CheckpointRestore = 40,
}

/// The highest capability number (`/proc/sys/kernel/cap_last_cap`).
pub const LAST_CAP: u8 = 40;

/// A set of capabilities, bit n for number n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// No capability.
    pub const EMPTY: Capabilities = Capabilities(0);
    /// Every capability that Linux 6.12 knows.
    pub const FULL: Capabilities = Capabilities((1 << (LAST_CAP + 1)) - 1);

    /// What goes with file-system user id 0 (`CAP_FS_SET`).
    pub const FILE_SYSTEM: Capabilities = Capabilities(
        1 << Capability::Chown as u8
            | 1 << Capability::Mknod as u8
            | 1 << Capability::DacOverride as u8
            | 1 << Capability::DacReadSearch as u8
            | 1 << Capability::Fowner as u8
            | 1 << Capability::Fsetid as u8
            | 1 << Capability::MacOverride as u8
            | 1 << Capability::LinuxImmutable as u8,
    );

    /// The set of the one capability with this number, if there is one.
    pub const fn of_number(number: u64) -> Option<Self> {
        if number > LAST_CAP as u64 { None } else { Some(Capabilities(1 << number)) }
    }

    /// The set with these bits; unknown ones are dropped.
    pub const fn from_bits(bits: u64) -> Self {
        Capabilities(bits & Self::FULL.0)
    }

    /// The set as bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether `capability` is in the set.
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }

    /// Whether every member of `other` is in the set.
    pub const fn contains(self, other: Capabilities) -> bool {
        other.0 & !self.0 == 0
    }

    /// The members of both.
    pub const fn intersection(self, other: Capabilities) -> Self {
        Capabilities(self.0 & other.0)
    }

    /// The members that are not in `other`.
    pub const fn without(self, other: Capabilities) -> Self {
        Capabilities(self.0 & !other.0)
    }

    /// The members of either.
    pub const fn union(self, other: Capabilities) -> Self {
        Capabilities(self.0 | other.0)
    }
}
