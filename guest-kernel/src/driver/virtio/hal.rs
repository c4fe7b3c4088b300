//! The kernel's memory as virtio devices see it: physical addresses of the direct map.

use core::ptr::NonNull;

use virtio_drivers::{BufferDirection, Hal};

use crate::phys::{FrameRun, PhysAddr};
use crate::platform;

/// Gives `virtio-drivers` memory and addresses.
pub struct KernelHal;

// SAFETY: `FrameRun` hands out pages that nobody else has, reached through the direct map, which covers all RAM
// for the life of the kernel; `dma_dealloc` gives the same pages back. The heap lies in the direct map too, so `share` can
// translate each buffer, and every heap buffer of ours is physically contiguous because the direct map is linear.
unsafe impl Hal for KernelHal {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (u64, NonNull<u8>) {
        // A physical address of 0 tells the crate that there was no memory.
        let Ok(run) = FrameRun::alloc(pages) else { return (0, NonNull::dangling()) };
        run.zero();
        let pointer = NonNull::new(run.as_ptr()).expect("the direct map is not at address 0");
        (run.into_raw().as_u64(), pointer)
    }

    unsafe fn dma_dealloc(paddr: u64, _: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: the caller passes what `dma_alloc` returned, once.
        drop(unsafe { FrameRun::from_raw(PhysAddr(paddr), pages) });
        0
    }

    unsafe fn mmio_phys_to_virt(paddr: u64, size: usize) -> NonNull<u8> {
        // Only the PCI transport asks, and there is no PCI here.
        platform::map_mmio(paddr, size as u64).and_then(NonNull::new).expect("device registers lie in the MMIO window")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> u64 {
        platform::phys_of_mut(buffer.cast::<u8>().as_ptr()).expect("buffers lie in the direct map").as_u64()
    }

    unsafe fn unshare(_: u64, _: NonNull<[u8]>, _: BufferDirection) {}
}
