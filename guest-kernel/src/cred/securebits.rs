//! The securebits of a thread: what user id 0 means for capabilities, and what may not change any more.
//!
//! Source: Linux 6.12 include/uapi/linux/securebits.h; capabilities(7).

use bitflags::bitflags;

bitflags! {
    /// `SECBIT_*`; each setting is followed by the bit that locks it.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SecureBits: u32 {
        /// User id 0 gives no capabilities at exec.
        const NOROOT = 1 << 0;
        const NOROOT_LOCKED = 1 << 1;
        /// Changes between user id 0 and others leave the capabilities alone.
        const NO_SETUID_FIXUP = 1 << 2;
        const NO_SETUID_FIXUP_LOCKED = 1 << 3;
        /// The permitted capabilities survive the loss of user id 0, until exec.
        const KEEP_CAPS = 1 << 4;
        const KEEP_CAPS_LOCKED = 1 << 5;
        /// No capability may be raised in the ambient set.
        const NO_CAP_AMBIENT_RAISE = 1 << 6;
        const NO_CAP_AMBIENT_RAISE_LOCKED = 1 << 7;
    }
}

impl SecureBits {
    /// The bits that lock a setting.
    pub const LOCKS: SecureBits = SecureBits::NOROOT_LOCKED
        .union(SecureBits::NO_SETUID_FIXUP_LOCKED)
        .union(SecureBits::KEEP_CAPS_LOCKED)
        .union(SecureBits::NO_CAP_AMBIENT_RAISE_LOCKED);

    /// What `prctl(PR_SET_SECUREBITS, wanted)` makes of these bits, if they may become that.
    #[must_use]
    pub fn changed_to(self, wanted: u64) -> Option<SecureBits> {
        let wanted = SecureBits::from_bits(u32::try_from(wanted).ok()?)?;
        let locks = self & SecureBits::LOCKS;
        let locked = SecureBits::from_bits_retain(locks.bits() >> 1);
        let changed = SecureBits::from_bits_retain(self.bits() ^ wanted.bits());
        (!locked.intersects(changed) && wanted.contains(locks)).then_some(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::SecureBits;

    #[test]
    fn a_locked_bit_stays_and_so_does_its_lock() {
        let locked = SecureBits::KEEP_CAPS_LOCKED;
        assert_eq!(locked.changed_to(0b10_0000), Some(locked));
        assert_eq!(locked.changed_to(0b11_0000), None);
        assert_eq!(locked.changed_to(0), None);
        assert_eq!(locked.changed_to(0b10_0001), Some(locked | SecureBits::NOROOT));
        assert_eq!(SecureBits::empty().changed_to(1 << 8), None);
        assert_eq!(SecureBits::empty().changed_to(1 << 32), None);
    }
}
