//! A descriptor chain as slices of guest memory, every address checked.

use virtio_queue::DescriptorChain;
use vm_memory::{GuestMemoryBackend, VolatileSlice};

use super::BrokenDriver;
use crate::memory::GuestMemory;

/// The most slices one chain may have; Linux's `UIO_MAXIOV`.
const MAX_SLICES: usize = 1024;

/// Which half of a chain is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// What the driver gives.
    Readable,
    /// What the device fills.
    Writable,
}

/// The slices of `half` of a chain behind its first `skip` bytes.
///
/// # Errors
/// For an empty or endless chain and for addresses outside RAM.
pub fn slices<'m>(
    memory: &'m GuestMemory,
    chain: DescriptorChain<&'m GuestMemory>,
    half: Half,
    mut skip: usize,
) -> Result<Vec<VolatileSlice<'m>>, BrokenDriver> {
    let mut found = Vec::with_capacity(4);
    let mut is_empty = true;
    for descriptor in chain {
        is_empty = false;
        if descriptor.is_write_only() != (half == Half::Writable) {
            continue;
        }
        let len = usize::try_from(descriptor.len()).map_err(|_| BrokenDriver("descriptor too long"))?;
        let slice = memory.get_slice(descriptor.addr(), len).map_err(|_| BrokenDriver("descriptor outside RAM"))?;
        let skipped = skip.min(len);
        skip -= skipped;
        if skipped < len {
            found.push(slice.offset(skipped).map_err(|_| BrokenDriver("descriptor outside RAM"))?);
        }
        if found.len() > MAX_SLICES {
            return Err(BrokenDriver("chain too long"));
        }
    }
    if is_empty { Err(BrokenDriver("empty chain")) } else { Ok(found) }
}

/// Copies the start of `slices` into `buffer`; returns how many bytes.
pub fn copy_from(slices: &[VolatileSlice<'_>], buffer: &mut [u8]) -> usize {
    let mut done = 0;
    for slice in slices {
        done += slice.copy_to(&mut buffer[done..]);
    }
    done
}

/// Copies `bytes` into `slices`; returns how many bytes went in.
pub fn copy_to(slices: &[VolatileSlice<'_>], bytes: &[u8]) -> usize {
    let mut done = 0;
    for slice in slices {
        let len = slice.len().min(bytes.len() - done);
        slice.copy_from(&bytes[done..done + len]);
        done += len;
    }
    done
}
