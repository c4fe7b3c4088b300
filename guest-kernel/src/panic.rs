//! The end of a kernel that cannot go on: message, registers, return addresses on the serial line, then the exit port.
//!
//! The backtrace is every word on the stack that follows a call instruction in the kernel's text. It may name a call that
//! has returned; frame pointers would not, but the precompiled core library has none.

use crate::log::print;
use crate::platform::x86::{paging, trap::KernelFrame};
use crate::platform::{ShutdownKind, shutdown};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

static PANICKING: AtomicBool = AtomicBool::new(false);

/// The status a shell would show for SIGABRT.
const STATUS: u8 = 134;
/// Kernel stacks have this size and alignment, so the top follows from any address inside.
const STACK_BYTES: u64 = 16 << 10;
const MAX_LINES: usize = 32;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let here = 0u64;
    die(format_args!("kernel panic: {info}\n"), &raw const here as u64)
}

/// Ends the VM for a fault of the kernel's own.
pub(crate) fn die_in_kernel(frame: &KernelFrame) -> ! {
    die(format_args!("kernel panic: {frame}\nbacktrace: {:#x}\n", frame.rip), frame.rsp)
}

fn die(message: core::fmt::Arguments<'_>, stack: u64) -> ! {
    if PANICKING.swap(true, Relaxed) {
        print(format_args!("kernel panic: again, while the first was printed\n"));
    } else {
        print(message);
        print_return_addresses(stack);
    }
    shutdown(ShutdownKind::Panicked, STATUS)
}

fn print_return_addresses(stack: u64) {
    let top = (stack | (STACK_BYTES - 1)) + 1;
    let words = (stack.next_multiple_of(8)..top).step_by(8);
    // A wild stack pointer must not fault again.
    let readable = paging::phys_of_mut(stack as *mut u8).is_some();
    let addresses = words.filter(|_| readable).filter_map(|word| {
        // SAFETY: the word lies between the stack pointer and the stack's top, in the direct map or the image.
        let value = unsafe { (word as *const u64).read_volatile() };
        follows_call(value).then_some(value)
    });
    for address in addresses.take(MAX_LINES) {
        print(format_args!("backtrace: {address:#x}\n"));
    }
}

/// Whether the instruction before `address` is a call: E8 with 4 bytes, or FF /2 of 2, 3, 6 or 7 bytes.
fn follows_call(address: u64) -> bool {
    if !paging::is_kernel_text(address) || !paging::is_kernel_text(address - 7) {
        return false;
    }
    // SAFETY: both addresses lie in the kernel's text.
    let byte = |back: u64| unsafe { ((address - back) as *const u8).read() };
    byte(5) == 0xe8 || [2, 3, 6, 7].into_iter().any(|length| byte(length) == 0xff && (byte(length - 1) >> 3) & 7 == 2)
}
