//! Where the parts of a program lie in its address space, and where the kernel puts new ones.
//!
//! Owns the limits of the lower half and the addresses that `exec`, `brk` and `prctl(PR_SET_MM)` set. Entropy comes in as a
//! parameter: zero means no randomisation.
//! Source: Linux 6.12 arch/x86/mm/mmap.c mmap_base(), arch/x86/include/asm/processor.h TASK_SIZE_MAX, fs/binfmt_elf.c.

use crate::phys::{PAGE_SIZE, page_ceil, page_floor};

/// One past the last user address (`TASK_SIZE_MAX` with four levels of page tables).
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;
/// Where stacks end before randomisation (`STACK_TOP`).
pub const STACK_TOP: u64 = TASK_SIZE;
/// Lowest address that a program may map (`vm.mmap_min_addr`).
pub const MMAP_MIN_ADDR: u64 = 65536;
/// Where position-independent programs start before randomisation (`ELF_ET_DYN_BASE`).
pub const ELF_DYN_BASE: u64 = TASK_SIZE / 3 * 2;

/// Bits of randomness of the mapping base, in pages (`vm.mmap_rnd_bits`).
const MMAP_RND_PAGES: u64 = 1 << 28;
/// Bits of randomness of the stack top, in pages (`__STACK_RND_MASK`).
const STACK_RND_PAGES: u64 = 1 << 22;

/// Addresses inside one program image; all 0 before `exec` has set them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// First byte of code.
    pub start_code: u64,
    /// One past the last byte of code.
    pub end_code: u64,
    /// First byte of data.
    pub start_data: u64,
    /// One past the last byte of data.
    pub end_data: u64,
    /// Where the heap starts.
    pub start_brk: u64,
    /// Where the heap ends.
    pub brk: u64,
    /// The stack pointer at the program's first instruction.
    pub start_stack: u64,
    /// First byte of the argument strings.
    pub arg_start: u64,
    /// One past the last byte of the argument strings.
    pub arg_end: u64,
    /// First byte of the environment strings.
    pub env_start: u64,
    /// One past the last byte of the environment strings.
    pub env_end: u64,
    /// New mappings are placed below this address.
    pub mmap_base: u64,
}

/// The randomness of one `exec`; each field is any 64-bit number, 0 for none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entropy {
    /// Moves the mapping base.
    pub mmap: u64,
    /// Moves a position-independent program.
    pub image: u64,
    /// Moves the top of the stack by pages.
    pub stack: u64,
    /// Moves the strings and the stack pointer inside their pages.
    pub stack_offset: u64,
    /// Moves the heap.
    pub brk: u64,
}

/// Where new mappings go for a stack limit of `stack_limit` bytes.
#[must_use]
pub fn mmap_base(stack_limit: u64, entropy: &Entropy) -> u64 {
    let stack_span = if entropy.stack == 0 { 0 } else { STACK_RND_PAGES * PAGE_SIZE };
    let pad = stack_span + super::STACK_GUARD_GAP;
    let gap = stack_limit.checked_add(pad).unwrap_or(stack_limit).clamp(128 << 20, TASK_SIZE / 6 * 5);
    page_ceil(TASK_SIZE - gap - mmap_random(entropy.mmap))
}

/// Bytes by which `entropy` moves a mapping base or image (`arch_mmap_rnd`).
#[must_use]
pub fn mmap_random(entropy: u64) -> u64 {
    entropy % MMAP_RND_PAGES * PAGE_SIZE
}

/// The top of the stack area (`randomize_stack_top`).
#[must_use]
pub fn stack_top(entropy: u64) -> u64 {
    STACK_TOP - entropy % STACK_RND_PAGES * PAGE_SIZE
}

/// `address` moved down a little and aligned to 16 (`arch_align_stack`).
#[must_use]
pub fn align_stack(address: u64, entropy: u64) -> u64 {
    (address - entropy % 8192) & !15
}

/// Where the heap starts at or above `brk`, within 1 GiB (`arch_randomize_brk`).
#[must_use]
pub fn random_brk(brk: u64, entropy: u64) -> u64 {
    let start = page_ceil(brk);
    start + page_floor(entropy % (1 << 30))
}

#[cfg(test)]
mod tests {
    use super::{Entropy, TASK_SIZE, align_stack, mmap_base, random_brk, stack_top};

    #[test]
    fn without_entropy_nothing_moves() {
        let base = mmap_base(8 << 20, &Entropy::default());
        assert_eq!(base, TASK_SIZE - (128 << 20));
        assert_eq!(stack_top(0), TASK_SIZE);
        assert_eq!(random_brk(0x1000, 0), 0x1000);
    }

    #[test]
    fn an_unlimited_stack_leaves_a_sixth_for_mappings() {
        let base = mmap_base(u64::MAX, &Entropy::default());
        assert_eq!(base, (TASK_SIZE - TASK_SIZE / 6 * 5 + 0xfff) & !0xfff);
    }

    #[test]
    fn a_moved_stack_pointer_stays_aligned() {
        for entropy in [0, 1, 4095, 8191, 8192, u64::MAX] {
            assert_eq!(align_stack(0x7fff_0000_1008, entropy) % 16, 0);
        }
    }
}
