//! Segment selectors, the same on every platform.
//!
//! The user's are not Linux's 0x33/0x2b: where the hypervisor runs our kernel at hardware privilege 3 (`pvm`), an IRETQ
//! to the selectors that its own host uses does not trap, so the CPU would go on to user code in supervisor state.

/// Kernel code, 64-bit.
pub const KERNEL_CODE: u16 = 0x10;
/// Kernel data.
pub const KERNEL_DATA: u16 = 0x18;
/// User data and stack, with privilege level 3.
pub const USER_DATA: u16 = 0x3b;
/// User code, 64-bit, with privilege level 3; follows `USER_DATA` as SYSRET wants.
pub const USER_CODE: u16 = 0x43;
/// The task state segment.
pub const TSS: u16 = 0x50;
