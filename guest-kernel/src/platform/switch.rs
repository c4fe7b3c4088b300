//! Kernel threads of execution: a stack each, and the change from one to another.
//!
//! Owns stacks and the switch of callee-saved registers. Floating point, segment bases and the address space are moved by
//! their own calls. Invariants: only the running context's `rsp` is stale; a stack's lowest word is its guard, checked
//! when the context is left (guard pages would need 4 KiB mappings, which are dear on pvm).

use crate::phys::{self, AllocError, FrameRun};
use core::arch::naked_asm;

/// Pages of a kernel stack.
pub const KERNEL_STACK_PAGES: usize = 4;
const GUARD: u64 = 0x7374_6163_6b20_656e;

/// A kernel stack of 16 KiB with a guard word at its lowest address.
#[derive(Debug)]
pub struct KernelStack {
    run: FrameRun,
}

impl KernelStack {
    /// A fresh stack.
    ///
    /// # Errors
    /// When memory is short.
    pub fn alloc() -> Result<KernelStack, AllocError> {
        let stack = KernelStack { run: FrameRun::alloc(KERNEL_STACK_PAGES)? };
        phys::add_stack_pages(KERNEL_STACK_PAGES as u64);
        // SAFETY: the lowest word of a run that this stack owns.
        unsafe { stack.run.as_ptr().cast::<u64>().write(GUARD) };
        Ok(stack)
    }

    /// One past its highest byte, aligned to 16.
    pub fn top(&self) -> u64 {
        self.run.as_ptr() as u64 + self.run.len_bytes() as u64
    }

    fn is_intact(&self) -> bool {
        // SAFETY: as in `alloc`.
        let word = unsafe { self.run.as_ptr().cast::<u64>().read_volatile() };
        word == GUARD
    }
}

impl Drop for KernelStack {
    fn drop(&mut self) {
        phys::sub_stack_pages(KERNEL_STACK_PAGES as u64);
    }
}

/// What `switch` leaves on a stack, lowest address first.
#[repr(C)]
#[derive(Debug)]
pub struct SwitchFrame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rbx: u64,
    rbp: u64,
    return_address: u64,
}

/// A thread of execution in the kernel that is not running, or the place for the running one.
#[derive(Debug)]
pub struct KernelContext {
    rsp: u64,
    stack: Option<KernelStack>,
}

impl KernelContext {
    /// The place for the execution that runs now, on the stack that boot gave it.
    pub const fn for_boot() -> KernelContext {
        KernelContext { rsp: 0, stack: None }
    }
}

/// A context that calls `entry(arg)` on a stack of its own when first switched to.
///
/// # Errors
/// When memory is short.
pub fn new_kernel_context(entry: extern "C" fn(usize) -> !, arg: usize) -> Result<KernelContext, AllocError> {
    let stack = KernelStack::alloc()?;
    // Two words below the top stay free, so that the stack is aligned at the call in `first_run`.
    let rsp = stack.top() - 16 - size_of::<SwitchFrame>() as u64;
    let frame = SwitchFrame {
        r15: 0,
        r14: 0,
        r13: arg as u64,
        r12: entry as usize as u64,
        rbx: 0,
        rbp: 0,
        return_address: first_run as *const () as u64,
    };
    // SAFETY: the frame lies inside the fresh stack, aligned to 8.
    unsafe { (rsp as *mut SwitchFrame).write(frame) };
    Ok(KernelContext { rsp, stack: Some(stack) })
}

/// Stops the running execution in `from` and continues `to`; returns when something switches back.
///
/// # Safety
/// `from` is the running context's place, `to` one that was stopped here or is new; both stay alive and unmoved until
/// `from` runs again, and no lock is held.
///
/// # Panics
/// If the stack of `from` has overflowed.
pub unsafe fn switch(from: *mut KernelContext, to: *const KernelContext) {
    // SAFETY: the caller gives a live context.
    let stack = unsafe { &(*from).stack };
    assert!(stack.as_ref().is_none_or(KernelStack::is_intact), "kernel stack overflow");
    // SAFETY: as the caller promises; `rsp` of `to` was written by `swap_stacks` or `new_kernel_context`.
    unsafe { swap_stacks(&raw mut (*from).rsp, (*to).rsp) }
}

/// Pushes a `SwitchFrame`, stores the stack pointer at `rdi` and pops the one at `rsi`.
#[unsafe(naked)]
unsafe extern "C" fn swap_stacks(save: *mut u64, next: u64) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Where a new context begins: `r12` has its function, `r13` its argument.
#[unsafe(naked)]
unsafe extern "C" fn first_run() {
    naked_asm!("mov rdi, r13", "xor ebp, ebp", "call r12", "ud2")
}

#[cfg(test)]
mod tests {
    use super::{KernelContext, new_kernel_context, switch};
    use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};

    static MAIN: AtomicPtr<KernelContext> = AtomicPtr::new(core::ptr::null_mut());
    static OTHER: AtomicPtr<KernelContext> = AtomicPtr::new(core::ptr::null_mut());
    static SEEN: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn other(arg: usize) -> ! {
        loop {
            SEEN.fetch_add(arg, SeqCst);
            // SAFETY: both contexts live in the test below, which waits in `switch`.
            unsafe { switch(OTHER.load(SeqCst), MAIN.load(SeqCst)) }
        }
    }

    #[test]
    fn a_context_runs_with_its_argument_and_goes_on_where_it_stopped() {
        let mut main = KernelContext::for_boot();
        let mut context = new_kernel_context(other, 5).unwrap();
        MAIN.store(&raw mut main, SeqCst);
        OTHER.store(&raw mut context, SeqCst);
        for round in 1..=3 {
            // SAFETY: `other` switches back; both contexts stay in this frame.
            unsafe { switch(MAIN.load(SeqCst), OTHER.load(SeqCst)) };
            assert_eq!(SEEN.load(SeqCst), 5 * round);
        }
    }
}
