//! Physical addresses and page arithmetic.
//!
//! Owns the conversion of a physical address to the pointer through which the kernel reaches it.

use core::fmt;

/// Bits of an address inside of its page.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes of a page.
pub const PAGE_SIZE: u64 = 1 << PAGE_SHIFT;

/// A guest-physical address, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct PhysAddr(pub u64);

impl PhysAddr {
    /// The address `raw`.
    pub const fn new(raw: u64) -> Self {
        PhysAddr(raw)
    }

    /// The start of frame number `pfn`.
    pub const fn from_pfn(pfn: u64) -> Self {
        PhysAddr(pfn << PAGE_SHIFT)
    }

    /// The address as a number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of the frame that it lies in.
    pub const fn pfn(self) -> u64 {
        self.0 >> PAGE_SHIFT
    }

    /// Where the kernel sees it: in the direct map. Valid for RAM only.
    pub fn as_ptr(self) -> *mut u8 {
        crate::platform::direct_map_ptr(self.0)
    }
}

impl fmt::Debug for PhysAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhysAddr({:#x})", self.0)
    }
}

/// `address` rounded down to its page.
pub const fn page_floor(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}

/// `address` rounded up to a page; wraps to 0 past the last page, which callers check.
pub const fn page_ceil(address: u64) -> u64 {
    page_floor(address.wrapping_add(PAGE_SIZE - 1))
}

/// Whether `address` is the first byte of a page.
pub const fn is_page_aligned(address: u64) -> bool {
    address & (PAGE_SIZE - 1) == 0
}

#[cfg(test)]
mod tests {
    use super::{is_page_aligned, page_ceil, page_floor};

    #[test]
    fn rounding_keeps_aligned_addresses() {
        assert_eq!((page_floor(0x1fff), page_ceil(0x1001), page_ceil(0x1000)), (0x1000, 0x2000, 0x1000));
        assert!(is_page_aligned(0x3000) && !is_page_aligned(0x3008));
    }
}
