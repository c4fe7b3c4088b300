//! The life of a user task: into user mode, back by a trap, and what the trap asks for.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use super::{Task, current, exit};
use crate::mm::{Access, FaultError};
use crate::platform::{self, Trap};
use crate::sched;
use crate::signal::{Signal, deliver, send};
use crate::syscall;
use crate::syscall::restart::Restart;

const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRERR: i32 = 2;
const ILL_ILLOPN: i32 = 2;
const FPE_INTDIV: i32 = 1;
const FPE_FLTINV: i32 = 7;
const TRAP_BRKPT: i32 = 1;
const TRAP_TRACE: i32 = 2;
/// TF of RFLAGS: an exception after each instruction.
const FLAG_TRAP: u64 = 0x100;
const SI_KERNEL: i32 = crate::signal::SI_KERNEL;

/// Where every user task begins.
pub extern "C" fn user_entry(_: usize) -> ! {
    sched::start_first();
    run(current())
}

fn run(task: Arc<Task>) -> ! {
    let mut restart = None;
    loop {
        if (task.thread.signal_pending.load(Relaxed) || restart.is_some())
            && let deliver::Next::Exit(status) = deliver::before_user(&task, restart.take())
        {
            exit::finish(task, status);
        }
        sched::prepare_user();
        if task.thread.signal_pending.load(Relaxed) {
            continue;
        }
        restart = enter(&task);
    }
}

/// Runs user code up to its next trap and answers it.
fn enter(task: &Arc<Task>) -> Option<Restart> {
    task.thread.account_system();
    let mut user = task.thread.user.lock();
    let context = user.as_mut().expect("a user task has a user context");
    let trap = platform::enter_user(context);
    task.thread.account_user();
    task.entry.note(&context.regs);
    match trap {
        Trap::Syscall => {
            let regs = context.regs;
            drop(user);
            return syscall::dispatch(task, &regs);
        }
        Trap::PageFault { address, write, fetch, .. } => {
            drop(user);
            page_fault(task, address, write, fetch);
        }
        Trap::Exception { vector, .. } => {
            let (rip, is_stepping) = (context.regs.rip, context.regs.rflags & FLAG_TRAP != 0);
            drop(user);
            exception(task, vector, rip, is_stepping);
        }
        Trap::Interrupt => {}
    }
    None
}

fn page_fault(task: &Arc<Task>, address: u64, write: bool, fetch: bool) {
    let access = match (write, fetch) {
        (true, _) => Access::Write,
        (_, true) => Access::Execute,
        _ => Access::Read,
    };
    let Some(mm) = task.mm() else { return };
    match mm.handle_fault(address, access) {
        Ok(()) => {
            task.kernel.counters.faults.fetch_add(1, Relaxed);
            task.min_faults.fetch_add(1, Relaxed);
        }
        Err(FaultError::NotMapped) => send::fault(task, Signal::SEGV, SEGV_MAPERR, address),
        Err(FaultError::NotAllowed) => send::fault(task, Signal::SEGV, SEGV_ACCERR, address),
        Err(FaultError::PastEnd) => send::fault(task, Signal::BUS, BUS_ADRERR, address),
        Err(FaultError::OutOfMemory) => crate::task::oom::out_of_memory(task),
    }
}

fn exception(task: &Arc<Task>, vector: u8, rip: u64, is_stepping: bool) {
    let (signal, code, address) = match vector {
        0 => (Signal::FPE, FPE_INTDIV, rip),
        1 => (Signal::TRAP, if is_stepping { TRAP_TRACE } else { TRAP_BRKPT }, rip),
        3 => (Signal::TRAP, SI_KERNEL, 0),
        6 => (Signal::ILL, ILL_ILLOPN, rip),
        9 => (Signal::FPE, SI_KERNEL, 0),
        11 | 12 => (Signal::BUS, SI_KERNEL, 0),
        16 | 19 => (Signal::FPE, FPE_FLTINV, rip),
        17 => (Signal::BUS, 1, 0),
        // #GP and the rest have no address to tell.
        _ => (Signal::SEGV, SI_KERNEL, 0),
    };
    send::fault(task, signal, code, address);
}
