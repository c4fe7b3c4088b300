//! Physical memory: addresses, frames with counts, the kernel heap, page-table roots.
//!
//! Owns all RAM from boot on. Knows nothing of processes: who maps a frame where is `mm`'s.
//! Invariants: a frame with count 0 is free, reserved or inside a larger block; all RAM is mapped at `DIRECT_MAP`.
//! Locks: the frame allocator (`Rank::FRAMES`), a leaf below the heap's own.

mod address;
mod buddy;
mod frame;
#[cfg(target_os = "none")]
mod heap;
mod ram;
mod root;
mod run;

pub use address::{PAGE_SHIFT, PAGE_SIZE, PhysAddr, is_page_aligned, page_ceil, page_floor};
pub use frame::{AllocError, Frame, FrameUse, frame_of};
pub use ram::{PhysRange, RamStats, add_stack_pages, free_blocks, ram_stats, sub_stack_pages};
pub use root::{Root, new_root};
pub use run::FrameRun;

/// On the host the heap is the process's.
#[cfg(not(target_os = "none"))]
pub fn is_exhausted() -> bool {
    false
}
#[cfg(target_os = "none")]
pub(crate) use heap::heap_pages;
#[cfg(target_os = "none")]
pub use heap::is_exhausted;
#[cfg(target_os = "none")]
pub(crate) use ram::{ReservedRam, find_gap, init as init_ram};
#[cfg(target_os = "none")]
pub(crate) use root::set_template;
