//! System calls: the table, the way in, and one file for each family.
//!
//! A handler gets the raw argument registers, narrows each to its C type, checks it, and answers with a number or an errno.
//! A sleep that a signal ends answers EINTR; whether the call is then restarted is data of the table (`restart`).

mod caps;

mod dir;
mod dispatch;
mod epoll;
mod exec;
pub mod fcntl;
mod file;
mod futex;
mod ids;
mod info;
pub mod io;
mod limits;
pub mod memory;
pub mod mount;
mod ns;
pub mod path;
pub mod pipe;
pub mod poll;
mod prctl;
mod process;
pub mod restart;
mod set_mm;
pub mod signal;
pub mod stat;
mod table;
mod time;
mod umount;
mod xattr;

pub use dispatch::dispatch;
pub use info::{RELEASE, VERSION};

use procfs_core::Errno;

use crate::mm::{Mm, MmUser};
use crate::task::Task;

/// What a handler answers: the value for `rax`.
pub type SyscallResult = Result<u64, Errno>;

/// The six argument registers.
#[derive(Clone, Copy, Debug)]
pub struct Args(pub [u64; 6]);

impl Args {
    /// Argument `i` as an address or a size.
    pub fn word(&self, i: usize) -> u64 {
        self.0[i]
    }

    /// Argument `i` as a C `int`: its low half.
    pub fn int(&self, i: usize) -> i32 {
        self.0[i] as i32
    }

    /// Argument `i` as a C `unsigned int`: its low half.
    pub fn uint(&self, i: usize) -> u32 {
        self.0[i] as u32
    }

    /// Argument `i` as a C `long`.
    pub fn long(&self, i: usize) -> i64 {
        self.0[i] as i64
    }
}

/// The caller's address space.
fn mm_of(task: &Task) -> Result<MmUser, Errno> {
    task.mm().ok_or(Errno::EFAULT)
}

/// Seconds and nanoseconds from user memory, as nanoseconds.
///
/// # Errors
/// EFAULT; EINVAL for a negative time or more than 999,999,999 ns.
fn read_timespec(mm: &Mm, address: u64) -> Result<u64, Errno> {
    let (seconds, ns) = read_pair(mm, address)?;
    if seconds < 0 || !(0..1_000_000_000).contains(&ns) {
        return Err(Errno::EINVAL);
    }
    Ok((seconds as u64).saturating_mul(1_000_000_000).saturating_add(ns as u64))
}

fn read_pair(mm: &Mm, address: u64) -> Result<(i64, i64), Errno> {
    let mut bytes = [0; 16];
    mm.copy_in(address, &mut bytes)?;
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        i64::from_le_bytes(word)
    };
    Ok((word(0), word(8)))
}

fn write_words(mm: &Mm, address: u64, words: &[u64]) -> Result<(), Errno> {
    let mut bytes = alloc::vec::Vec::with_capacity(words.len() * 8);
    for word in words {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    mm.copy_out(address, &bytes)
}
