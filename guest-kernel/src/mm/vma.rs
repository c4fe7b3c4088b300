//! One mapped area of an address space and the rules by which two of them are one.
//!
//! Owns the area's description. Knows nothing of page tables.
//! Invariant: `start < end`, both page-aligned; `page_offset` of an anonymous private area is its address in pages when
//! it was made (Linux keeps it across `mremap`, which is what keeps a moved area from merging wrongly).
//! Source: Linux 6.12 include/linux/mm.h, mm/vma.c is_mergeable_vma(), is_mergeable_anon_vma(), anon_vma_compatible().

use super::backing::Backing;
use crate::phys::PAGE_SIZE;
use alloc::sync::Arc;
use bitflags::bitflags;
use core::fmt;
use linux_raw_sys::general::{MAP_GROWSDOWN, MAP_LOCKED, MAP_STACK, PROT_EXEC, PROT_READ, PROT_WRITE};

bitflags! {
    /// What may be done with an area; the bits are Linux's, since `VmFlags:` of smaps prints them in bit order.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct VmFlags: u64 {
        /// Readable now.
        const READ = 0x1;
        /// Writable now.
        const WRITE = 0x2;
        /// Executable now.
        const EXEC = 0x4;
        /// Writes are seen by everyone who maps the object.
        const SHARED = 0x8;
        /// `mprotect` may make it readable.
        const MAYREAD = 0x10;
        /// `mprotect` may make it writable.
        const MAYWRITE = 0x20;
        /// `mprotect` may make it executable.
        const MAYEXEC = 0x40;
        /// Mapped with `MAP_SHARED`, even where the file cannot be written.
        const MAYSHARE = 0x80;
        /// A stack: a fault just below it extends it.
        const GROWSDOWN = 0x100;
        /// Locked in memory by `mlock`.
        const LOCKED = 0x2000;
        /// `MADV_SEQUENTIAL`.
        const SEQ_READ = 0x8000;
        /// `MADV_RANDOM`.
        const RAND_READ = 0x1_0000;
        /// `MADV_DONTFORK`.
        const DONTCOPY = 0x2_0000;
        /// `mremap` may not extend it.
        const DONTEXPAND = 0x4_0000;
        /// `mlock2(MLOCK_ONFAULT)`.
        const LOCKONFAULT = 0x8_0000;
        /// Counts towards committed memory.
        const ACCOUNT = 0x10_0000;
        /// `MAP_NORESERVE`.
        const NORESERVE = 0x20_0000;
        /// `MADV_WIPEONFORK`.
        const WIPEONFORK = 0x200_0000;
        /// `MADV_DONTDUMP`.
        const DONTDUMP = 0x400_0000;
        /// `MADV_HUGEPAGE`.
        const HUGEPAGE = 0x2000_0000;
        /// `MADV_NOHUGEPAGE`.
        const NOHUGEPAGE = 0x4000_0000;
        /// `MADV_MERGEABLE`.
        const MERGEABLE = 0x8000_0000;
    }
}

impl VmFlags {
    /// The three access bits (`VM_ACCESS_FLAGS`).
    pub const ACCESS: Self = Self::READ.union(Self::WRITE).union(Self::EXEC);
    /// What `mprotect` may grant when nothing restricts it.
    pub const MAY_ACCESS: Self = Self::MAYREAD.union(Self::MAYWRITE).union(Self::MAYEXEC);

    /// The access bits of a `PROT_*` mask (`calc_vm_prot_bits`).
    #[must_use]
    pub fn from_prot(prot: u32) -> Self {
        let mut flags = Self::empty();
        flags.set(Self::READ, prot & PROT_READ != 0);
        flags.set(Self::WRITE, prot & PROT_WRITE != 0);
        flags.set(Self::EXEC, prot & PROT_EXEC != 0);
        flags
    }

    /// The bits that `MAP_*` flags turn on by themselves (`calc_vm_flag_bits`; `MAP_STACK` asks for no huge pages).
    #[must_use]
    pub fn from_map(map: u32) -> Self {
        let mut flags = Self::empty();
        flags.set(Self::GROWSDOWN, map & MAP_GROWSDOWN != 0);
        flags.set(Self::LOCKED, map & MAP_LOCKED != 0);
        flags.set(Self::NOHUGEPAGE, map & MAP_STACK != 0);
        flags
    }

    /// Whether any access is allowed (`vma_is_accessible`).
    #[must_use]
    pub fn is_accessible(self) -> bool {
        self.intersects(Self::ACCESS)
    }

    /// Whether a write makes a private copy (`is_cow_mapping`).
    #[must_use]
    pub fn is_cow(self) -> bool {
        self & (Self::SHARED | Self::MAYWRITE) == Self::MAYWRITE
    }

    /// Whether it counts as code (`is_exec_mapping`).
    #[must_use]
    pub fn is_exec_mapping(self) -> bool {
        self & (Self::EXEC | Self::WRITE | Self::GROWSDOWN) == Self::EXEC
    }

    /// Whether it counts as stack (`is_stack_mapping`).
    #[must_use]
    pub fn is_stack_mapping(self) -> bool {
        self.contains(Self::GROWSDOWN)
    }

    /// Whether it counts as data (`is_data_mapping`).
    #[must_use]
    pub fn is_data_mapping(self) -> bool {
        self & (Self::WRITE | Self::SHARED | Self::GROWSDOWN) == Self::WRITE
    }
}

/// Which family of private pages an area belongs to (Linux `anon_vma`), as far as merging can show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnonFamily {
    /// Unique within one address space.
    pub id: u64,
    /// Inherited over `fork`: such an area does not merge with a fresh one (`list_is_singular` in Linux).
    pub is_forked: bool,
}

/// One mapped area.
#[derive(Clone)]
pub(super) struct Vma {
    pub start: u64,
    pub end: u64,
    pub flags: VmFlags,
    /// In pages: of the file, or of the address where an anonymous area was made.
    pub page_offset: u64,
    pub backing: Option<Arc<dyn Backing>>,
    /// Set by the first private page.
    pub anon: Option<AnonFamily>,
    /// `PR_SET_VMA_ANON_NAME`.
    pub name: Option<Arc<[u8]>>,
}

impl fmt::Debug for Vma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x} {:?} +{:x}", self.start, self.end, self.flags, self.page_offset)
    }
}

impl Vma {
    pub(super) fn anonymous(start: u64, end: u64, flags: VmFlags) -> Self {
        Self { start, end, flags, page_offset: start / PAGE_SIZE, backing: None, anon: None, name: None }
    }

    pub(super) fn pages(&self) -> u64 {
        (self.end - self.start) / PAGE_SIZE
    }

    pub(super) fn is_anonymous(&self) -> bool {
        self.backing.is_none()
    }

    /// The page of the object that `addr` shows.
    pub(super) fn index_of(&self, addr: u64) -> u64 {
        self.page_offset.wrapping_add((addr - self.start) / PAGE_SIZE)
    }

    /// The part `[start, end)` of it, as an area of its own.
    pub(super) fn slice(&self, start: u64, end: u64) -> Self {
        debug_assert!(self.start <= start && start < end && end <= self.end);
        Self { start, end, page_offset: self.index_of(start), ..self.clone() }
    }

    /// Lowest address that must stay free below it: a stack keeps its guard gap (`vm_start_gap`).
    pub(super) fn start_with_gap(&self) -> u64 {
        if self.flags.contains(VmFlags::GROWSDOWN) { self.start.saturating_sub(STACK_GUARD_GAP) } else { self.start }
    }

    /// Whether `self`, immediately below `next`, describes the same thing as it, families of private pages aside.
    fn continues_as(&self, next: &Self) -> bool {
        self.end == next.start
            && self.flags == next.flags
            && same_backing(self.backing.as_ref(), next.backing.as_ref())
            && self.name == next.name
            && self.page_offset.wrapping_add(self.pages()) == next.page_offset
    }

    /// Whether `new` may be appended to the existing `self` (`can_vma_merge_after`).
    pub(super) fn takes_after(&self, new: &Self) -> bool {
        self.continues_as(new) && self.takes_family(new.anon)
    }

    /// Whether `new` may be put in front of the existing `self` (`can_vma_merge_before`).
    pub(super) fn takes_before(&self, new: &Self) -> bool {
        new.continues_as(self) && self.takes_family(new.anon)
    }

    fn takes_family(&self, other: Option<AnonFamily>) -> bool {
        let is_singular = self.anon.is_some_and(|family| !family.is_forked);
        ((other.is_none() || self.anon.is_none()) && is_singular)
            || other.map(|family| family.id) == self.anon.map(|family| family.id)
    }

    /// Whether a first private page in `self` may join the family of its neighbour (`anon_vma_compatible`).
    pub(super) fn may_share_family(below: &Self, above: &Self) -> bool {
        below.end == above.start
            && same_backing(below.backing.as_ref(), above.backing.as_ref())
            && (below.flags ^ above.flags).difference(VmFlags::ACCESS).is_empty()
            && below.page_offset.wrapping_add(below.pages()) == above.page_offset
    }
}

/// Room kept free below a stack, in bytes (`stack_guard_gap`, 256 pages).
pub const STACK_GUARD_GAP: u64 = 256 * PAGE_SIZE;

fn same_backing(a: Option<&Arc<dyn Backing>>, b: Option<&Arc<dyn Backing>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => core::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b)),
        _ => false,
    }
}
