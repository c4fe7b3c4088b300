//! The top page of an address space, or the pair of them that `kvm_pvm` wants.
//!
//! Owns the PML4 frame(s); everything below is `mm::page_table`'s. On pvm the user's PML4 is the next frame, and its upper
//! half maps only what the hypervisor needs to deliver an event (tables and entry stacks).
//! Invariant: the upper half is the kernel's and the same in every root; lower-half entries are equal in both of a pair.

use super::{AllocError, Frame, FrameUse, PhysAddr};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// PML4 entries below this one are the user's.
pub const USER_ENTRIES: usize = 256;
const ENTRIES: usize = 512;

/// Physical addresses of the kernel's own PML4 and its twin (0 when the platform has none).
static TEMPLATE: AtomicU64 = AtomicU64::new(0);
static TWIN_TEMPLATE: AtomicU64 = AtomicU64::new(0);

/// An owned PML4 with the kernel's half filled in.
#[derive(Debug)]
pub struct Root {
    kernel: Frame,
    twin: Option<Frame>,
}

/// A root with an empty lower half.
///
/// # Errors
/// When no frame (on pvm: no aligned pair) is free.
pub fn new_root() -> Result<Root, AllocError> {
    let twin_template = TWIN_TEMPLATE.load(Relaxed);
    let (kernel, twin) = if twin_template == 0 {
        (Frame::alloc()?.used_for(FrameUse::PageTable), None)
    } else {
        let (kernel, twin) = Frame::alloc_pair()?;
        (kernel.used_for(FrameUse::PageTable), Some(twin.used_for(FrameUse::PageTable)))
    };
    fill(&kernel, TEMPLATE.load(Relaxed));
    if let Some(twin) = &twin {
        fill(twin, twin_template);
    }
    Ok(Root { kernel, twin })
}

fn fill(root: &Frame, template: u64) {
    root.zero();
    if template == 0 {
        return;
    }
    let source = PhysAddr(template).as_ptr().cast::<u64>();
    for index in USER_ENTRIES..ENTRIES {
        // SAFETY: `set_template` got the address of a live PML4 in the direct map, which has 512 entries.
        root.write_u64(index, unsafe { source.add(index).read_volatile() });
    }
}

/// Tells where the kernel's own PML4 lies, and its twin when the platform has pairs.
#[cfg(target_os = "none")]
pub(crate) fn set_template(kernel: PhysAddr, twin: Option<PhysAddr>) {
    TEMPLATE.store(kernel.as_u64(), Relaxed);
    TWIN_TEMPLATE.store(twin.map_or(0, PhysAddr::as_u64), Relaxed);
}

impl Root {
    /// What `platform::load_address_space` takes.
    pub fn phys(&self) -> PhysAddr {
        self.kernel.phys()
    }

    /// Lower-half entry number `index`.
    ///
    /// # Panics
    /// If `index` is 256 or more.
    pub fn entry(&self, index: usize) -> u64 {
        assert!(index < USER_ENTRIES, "PML4 entry {index} is the kernel's");
        self.kernel.read_u64(index)
    }

    /// Sets lower-half entry number `index`, in both of a pair.
    ///
    /// # Panics
    /// If `index` is 256 or more.
    pub fn set_entry(&self, index: usize, value: u64) {
        assert!(index < USER_ENTRIES, "PML4 entry {index} is the kernel's");
        self.kernel.write_u64(index, value);
        if let Some(twin) = &self.twin {
            twin.write_u64(index, value);
        }
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        crate::platform::leave_address_space(self.phys());
    }
}

#[cfg(test)]
mod tests {
    use super::new_root;

    #[test]
    fn a_new_root_has_an_empty_lower_half_and_keeps_what_is_set() {
        let root = new_root().unwrap();
        assert!((0..256).all(|index| root.entry(index) == 0));
        root.set_entry(255, 0x1007);
        assert_eq!(root.entry(255), 0x1007);
    }

    #[test]
    #[should_panic(expected = "the kernel's")]
    fn the_upper_half_cannot_be_set() {
        new_root().unwrap().set_entry(256, 1);
    }
}
