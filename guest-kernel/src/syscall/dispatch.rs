//! From the registers of a SYSCALL instruction to its handler and back.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;

use super::Args;
use super::restart::Restart;
use super::table;
use crate::phys;
use crate::platform::UserRegs;
use crate::task::Task;

/// Answers one system call; gives how it may be restarted when a signal interrupted it.
pub fn dispatch(task: &Arc<Task>, regs: &UserRegs) -> Option<Restart> {
    let number = regs.orig_rax;
    let args = Args([regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9]);
    if phys::is_exhausted() {
        // The kernel heap grows without asking: what a call may take is freed before the call.
        crate::task::oom::out_of_memory(task);
    }
    let (result, restart) = match table::entry(number) {
        Some(call) => {
            let result = (call.handler)(task, &args);
            trace(call.name, &args, &result);
            (result, call.restart)
        }
        None => {
            unknown(task, number);
            (Err(Errno::ENOSYS), None)
        }
    };
    // Pages that copies brought in count as the caller's faults, as on Linux.
    if let Some(mm) = task.mm() {
        task.min_faults.fetch_add(mm.take_copy_faults(), Relaxed);
    }
    let interrupted = result == Err(Errno::EINTR);
    // exec and sigreturn put a whole new context in place and answer with its rax.
    if let Some(context) = task.thread.user.lock().as_mut() {
        context.regs.rax = match result {
            Ok(value) => value,
            Err(errno) => (-i64::from(errno.raw())) as u64,
        };
    }
    restart.filter(|_| interrupted)
}

fn trace(name: &str, args: &Args, result: &Result<u64, Errno>) {
    log::trace!("{name}({:#x}, {:#x}, {:#x}, {:#x}) = {result:?}", args.0[0], args.0[1], args.0[2], args.0[3]);
}

/// Counts a call that is not there and logs it the first time.
fn unknown(task: &Task, number: u64) {
    let first = {
        let mut seen = task.kernel.unknown_syscalls.lock();
        // A program chooses the number: the table stays small.
        if seen.len() >= 1024 && !seen.contains_key(&number) {
            false
        } else {
            let count = seen.entry(number).or_insert(0);
            *count += 1;
            *count == 1
        }
    };
    if first {
        log::info!("system call {number} is not there (pid {})", task.pid().nr());
    }
}
