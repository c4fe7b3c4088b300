//! When each step of bring-up was reached, as TSC values; told on the serial line when the command line has `procvisor.timing`.
//!
//! Told at the end only: a line on the serial port takes longer than many a step.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::BootInfo;
#[cfg(target_os = "none")]
use crate::log::print;
use crate::time::clock::read_tsc;

/// The steps, in order.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The first Rust code runs.
    Entry,
    /// Page tables are the kernel's own and RAM is in the allocator.
    Memory,
    /// Traps, interrupts and the clock work.
    Platform,
    /// The console device is set up.
    Console,
    /// The root file system is unpacked and mounted.
    Root,
    /// The program's streams are open.
    Streams,
    /// The program is loaded.
    Program,
    /// The first instruction of user space comes next.
    User,
    /// The first program has ended.
    Ended,
    /// The host has taken all output.
    Flushed,
}

const NAMES: [&str; 10] =
    ["entry", "memory", "platform", "console", "root", "streams", "program", "user", "ended", "flushed"];

static REACHED: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

/// `step` has been reached.
pub fn mark(step: Step) {
    REACHED[step as usize].store(read_tsc(), Relaxed);
}

/// On the host there is no serial line.
#[cfg(not(target_os = "none"))]
fn print(_: core::fmt::Arguments<'_>) {}

/// Writes `procvisor.timing STEP TSC` lines, if the command line asks for them.
pub fn tell(boot: &BootInfo) {
    if !boot.has_word(b"procvisor.timing") {
        return;
    }
    for (name, reached) in NAMES.iter().zip(&REACHED) {
        let tsc = reached.load(Relaxed);
        if tsc != 0 {
            print(format_args!("procvisor.timing {name} {tsc}\n"));
        }
    }
}
