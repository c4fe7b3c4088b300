//! Guest RAM: one anonymous mapping, and the view of it that devices and the loader use.
//!
//! Owns the mapping's life. The guest changes this memory at any time, so nobody borrows it as a slice: vm-memory copies.
//! Invariant: the mapping lives as long as the last clone of [`GuestRam`].

use std::ffi::c_void;
use std::fs::File;
use std::io::{self, Read};
use std::ptr::NonNull;
use std::sync::Arc;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use vm_memory::mmap::MmapRegionError;
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap, MmapRegion};

use crate::layout::{LARGE_PAGE_BYTES, PAGE_BYTES, RamRange, ram_ranges};

/// Why guest RAM cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More than the machine could ever back.
    #[error(
        "guest memory of {asked_mib} MiB is more than this host has available ({available_mib} MiB); ask for less with --memory"
    )]
    MoreThanHost {
        /// Asked for, in MiB.
        asked_mib: u64,
        /// What the host has available, in MiB.
        available_mib: u64,
    },
    /// The address space cannot be had.
    #[error("cannot map {mib} MiB of guest memory")]
    Map {
        /// Asked for, in MiB.
        mib: u64,
        /// The host's reason.
        #[source]
        source: io::Error,
    },
    /// vm-memory refused the mapping.
    #[error("cannot describe guest memory")]
    Region(#[source] MmapRegionError),
    /// vm-memory refused the set of regions.
    #[error("cannot arrange guest memory")]
    Regions(#[source] vm_memory::GuestRegionCollectionError),
}

/// The view that devices work on.
pub type GuestMemory = GuestMemoryMmap<()>;

/// A host mapping that is unmapped with its last user.
#[derive(Debug)]
struct Mapping {
    start: NonNull<c_void>,
    len_bytes: usize,
}

// SAFETY: `Mapping` is an address range; nothing is reached through it without vm-memory's volatile accesses.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range came from `mmap_anonymous`, and every view of it is behind the `Arc` that is going away.
        let _ = unsafe { munmap(self.start.as_ptr(), self.len_bytes) };
    }
}

/// All RAM of one machine.
#[derive(Debug, Clone)]
pub struct GuestRam {
    view: GuestMemory,
    slots: Vec<MemorySlot>,
    len_bytes: u64,
    _mapping: Arc<Mapping>,
}

/// What KVM is told about one piece of RAM.
#[derive(Debug, Clone, Copy)]
pub struct MemorySlot {
    /// Where the guest sees it.
    pub guest: RamRange,
    /// Where the VMM has it.
    pub host_address: u64,
}

impl GuestRam {
    /// Maps RAM of `len_bytes` (rounded up to 2 MiB) without backing it: pages come at the first touch, large ones where possible.
    ///
    /// # Errors
    /// [`Error::MoreThanHost`] when the host cannot back it, [`Error::Map`] when the address space cannot be had.
    pub fn new(len_bytes: u64) -> Result<Self, Error> {
        let asked_mib = len_bytes.div_ceil(1 << 20);
        let available = available_bytes();
        let rounded = len_bytes.max(1).checked_next_multiple_of(LARGE_PAGE_BYTES).filter(|&len| len <= available);
        let Some(len_bytes) = rounded else {
            return Err(Error::MoreThanHost { asked_mib, available_mib: available >> 20 });
        };
        let map_error = |source: rustix::io::Errno| Error::Map { mib: asked_mib, source: source.into() };
        let len = usize::try_from(len_bytes).map_err(|_| map_error(rustix::io::Errno::NOMEM))?;
        let slack = usize::try_from(LARGE_PAGE_BYTES).expect("2 MiB fits");
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                len + slack,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }
        .map_err(map_error)?;
        let mapping =
            Mapping { start: NonNull::new(start).expect("mmap never returns null here"), len_bytes: len + slack };
        let base = (start as usize).next_multiple_of(slack) as *mut c_void;
        // SAFETY: `base..base+len` lies in the mapping just made. Failure means small pages only.
        let _ = unsafe { madvise(base, len, Advice::LinuxHugepage) };
        // SAFETY: as above. Failure means that core dumps hold the guest's memory.
        let _ = unsafe { madvise(base, len, Advice::LinuxDontDump) };

        let mut regions = Vec::with_capacity(2);
        let mut slots = Vec::with_capacity(2);
        let mut host = base.cast::<u8>();
        for guest in ram_ranges(len_bytes) {
            let range_len = usize::try_from(guest.len_bytes).expect("no more than the whole");
            let prot = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
            // SAFETY: the range lies in the mapping, which `_mapping` keeps for as long as this view.
            let region = unsafe { MmapRegion::build_raw(host, range_len, prot, flags) }.map_err(Error::Region)?;
            regions.push(GuestRegionMmap::new(region, GuestAddress(guest.start)).expect("below 2^64"));
            slots.push(MemorySlot { guest, host_address: host as u64 });
            host = host.wrapping_add(range_len);
        }
        let view = GuestMemoryMmap::from_regions(regions).map_err(Error::Regions)?;
        Ok(Self { view, slots, len_bytes, _mapping: Arc::new(mapping) })
    }

    /// The view for volatile access.
    pub fn view(&self) -> &GuestMemory {
        &self.view
    }

    /// What KVM is to map.
    pub fn slots(&self) -> &[MemorySlot] {
        &self.slots
    }

    /// RAM in bytes, a multiple of 2 MiB.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }
}

/// Takes the built-in kernel out of this process's memory, now that the guest has its copy: it is a megabyte that is never read again,
/// but for the names in a backtrace, and those come back from the file.
pub(crate) fn unload_built_in_kernel() {
    let page = usize::try_from(PAGE_BYTES).expect("fits");
    let bytes = crate::GUEST_KERNEL.as_ptr_range();
    // Whole pages of it only: the bytes beside it are others'.
    let (start, end) = ((bytes.start as usize).next_multiple_of(page), bytes.end as usize / page * page);
    if start < end {
        // SAFETY: these pages hold nothing but a constant of bytes, which has no relocations: they are as in the file, from which the
        // next access reads them again. Failure means more memory in use, nothing else.
        let _ = unsafe { madvise(start as *mut c_void, end - start, Advice::LinuxDontNeed) };
    }
}

/// What the host can still give, in bytes: `MemAvailable`, or all RAM where that cannot be read.
fn available_bytes() -> u64 {
    // The line is the third; one short read costs a tenth of reading the file to its end.
    let mut start = [0; 256];
    let from_meminfo = File::open("/proc/meminfo").and_then(|mut file| file.read(&mut start));
    from_meminfo.ok().and_then(|len| parse_mem_available(&start[..len])).unwrap_or_else(|| {
        let pages = rustix::param::page_size() as u64 / PAGE_BYTES;
        rustix::system::sysinfo().totalram.saturating_mul(pages.max(1))
    })
}

fn parse_mem_available(meminfo: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(meminfo).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::{Bytes, GuestMemoryBackend};

    #[test]
    fn ram_is_rounded_to_large_pages_and_aligned() {
        let ram = GuestRam::new(3 << 20).unwrap();
        assert_eq!(ram.len_bytes(), 4 << 20);
        assert_eq!(ram.slots().len(), 1);
        assert!(ram.slots()[0].host_address.is_multiple_of(LARGE_PAGE_BYTES));
        ram.view().write_obj(7u32, GuestAddress((4 << 20) - 4)).unwrap();
        assert!(ram.view().write_obj(7u32, GuestAddress((4 << 20) - 3)).is_err());
    }

    #[test]
    fn a_clone_keeps_the_mapping() {
        let ram = GuestRam::new(2 << 20).unwrap();
        let other = ram.clone();
        drop(ram);
        other.view().write_obj(1u8, GuestAddress(0)).unwrap();
        assert_eq!(other.view().last_addr(), GuestAddress((2 << 20) - 1));
    }

    #[test]
    fn more_memory_than_the_host_has_is_named() {
        let error = GuestRam::new(1 << 50).unwrap_err().to_string();
        assert!(error.contains("1073741824 MiB"), "{error}");
        assert!(GuestRam::new(u64::MAX).is_err());
    }

    #[test]
    fn the_built_in_kernel_is_the_same_after_it_was_unloaded() {
        let before = crate::GUEST_KERNEL.to_vec();
        unload_built_in_kernel();
        assert!(before == crate::GUEST_KERNEL);
    }

    #[test]
    fn mem_available_is_read_in_kib() {
        assert_eq!(parse_mem_available(b"MemTotal: 9 kB\nMemAvailable:     24 kB\n"), Some(24 * 1024));
        assert_eq!(parse_mem_available(b"MemTotal: 9 kB\n"), None);
    }
}
