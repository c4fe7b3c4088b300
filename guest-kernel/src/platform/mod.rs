//! The machine: entering user mode, traps, interrupts, address spaces, the way out.
//!
//! One binary runs on two CPU platforms, told apart at boot: `hw` (ring 0 of real or emulated hardware) and `pvm` (a
//! hypervisor that runs the kernel at hardware privilege 3). What they share is in `x86`; `fake` stands in under
//! `cargo test` on the host, where there is RAM and a clock but no user mode.
//! Invariants: kernel code runs with interrupts off and is never preempted; interrupts are taken in user mode, in `idle`
//! and in `poll_interrupts`. The kernel never dereferences a user address, so a page fault of its own is a bug.

#[cfg(any(target_os = "none", test))]
mod bytes;
pub mod context;
pub mod descriptors;
mod fpu;
pub mod switch;

#[cfg(not(target_os = "none"))]
pub mod fake;
#[cfg(target_os = "none")]
mod hw;
#[cfg(target_os = "none")]
mod pvm;
#[cfg(target_os = "none")]
pub(crate) mod x86;

pub use context::{FpuState, UserContext, UserRegs};
pub use switch::{KernelContext, KernelStack, new_kernel_context, switch};

#[cfg(not(target_os = "none"))]
pub use fake::{
    cpu_facts, enter_user, flush_tlb_all, flush_tlb_page, for_each_line, hardware_random, idle, is_pvm, kernel_root,
    kernel_user_bit, load_address_space, load_user_state, local_interrupts, map_mmio, phys_of_mut, poll_interrupts,
    register_irq, save_user_state, shutdown, write_fs_base, write_gs_base,
};
#[cfg(not(target_os = "none"))]
pub(crate) use fake::{direct_map_ptr, leave_address_space};
#[cfg(target_os = "none")]
pub use x86::cpu::{cpu_facts, hardware_random};
#[cfg(target_os = "none")]
pub use x86::entry::enter_user;
#[cfg(target_os = "none")]
pub use x86::exit::shutdown;
#[cfg(target_os = "none")]
pub use x86::interrupt::{for_each_line, idle, local_interrupts, poll_interrupts, register_irq};
#[cfg(target_os = "none")]
pub use x86::is_pvm;
#[cfg(target_os = "none")]
pub(crate) use x86::paging::{direct_map_ptr, leave_address_space};
#[cfg(target_os = "none")]
pub use x86::paging::{
    flush_tlb_all, flush_tlb_page, kernel_root, kernel_user_bit, load_address_space, map_mmio, phys_of_mut,
};
#[cfg(target_os = "none")]
pub use x86::state::{load_user_state, save_user_state, write_fs_base, write_gs_base};

/// What programs are told of the processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuFacts {
    /// CPUID leaf 1, EDX (`AT_HWCAP`).
    pub hwcap: u64,
    /// Bit 1: the FSGSBASE instructions may be used (`AT_HWCAP2`).
    pub hwcap2: u64,
    /// Its number on the interrupt bus. CPUID is no source: on pvm it tells the number of the host's processor of the moment.
    pub apic_id: u32,
}

/// How often the local APIC has interrupted on its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalInterrupts {
    /// Its timer.
    pub timer: u64,
    /// Interrupts that vanished before they were taken.
    pub spurious: u64,
}

/// Why user code stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A system call; its number is in `orig_rax` (and still in `rax`).
    Syscall,
    /// An access that the page tables do not allow.
    PageFault {
        /// The address accessed.
        address: u64,
        /// It was a write.
        write: bool,
        /// It was an instruction fetch.
        fetch: bool,
        /// A page was there, but not for this access.
        present: bool,
    },
    /// Any other exception.
    Exception {
        /// Its number, 0 to 31.
        vector: u8,
        /// Its error code, 0 where it has none.
        error: u64,
    },
    /// An interrupt; its handler has run.
    Interrupt,
}

/// How the VM ends, as the exit port tells the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownKind {
    /// The first program ended with the status given.
    Ended = 0,
    /// The kernel panicked; the serial line has the story.
    Panicked = 1,
    /// The first program could not be started (126 or 127).
    NotStarted = 2,
    /// reboot(2) asked for it.
    PowerOff = 3,
}
