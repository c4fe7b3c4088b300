//! Kernel threads: tasks without user mode.

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;

use super::task_struct::{NewTask, current};
use super::{Comm, FsContext, Inherited, ProcessGroup, Rlimits, Session, Task, TaskFlags, TaskSignals, ThreadGroup};
use crate::cred::Cred;
use crate::fd::FdTable;
use crate::kernel::Kernel;
use crate::pid::Pid;
use crate::sched::{self, Priority, Thread};
use crate::signal::SigHandlers;
use crate::vfs::Path;

type Body = Box<dyn FnOnce(Arc<Task>) + Send>;

/// Starts a kernel thread that runs `body`, as root of the initial namespaces with `root` as its root directory.
///
/// # Errors
/// ENOMEM; EAGAIN when there is no number.
pub fn spawn_kernel_thread(kernel: &'static Kernel, name: &str, root: Path, body: Body) -> Result<Arc<Task>, Errno> {
    // The thread owns the body from its first instruction on; the address travels as its one argument.
    let argument = Box::into_raw(Box::new(body)) as usize;
    let thread = Thread::new(Priority::Kernel, kernel_entry, argument, None).map_err(|_| Errno::ENOMEM)?;
    let pid = Pid::allocate(&kernel.pid_ns)?;
    // As Linux's, which stay in the group and session of what booted.
    let boot = Pid::of_boot(&kernel.pid_ns);
    let pgrp = ProcessGroup::new(boot.clone(), Session::new(boot));
    let limits = Rlimits::initial(crate::phys::ram_stats().total_pages);
    let group = ThreadGroup::new(kernel, pid.clone(), Weak::new(), pgrp, None, SigHandlers::all_ignored(), limits);
    let task = NewTask {
        kernel,
        thread,
        pid,
        group: group.clone(),
        comm: Comm::kernel(name),
        mm: None,
        files: Arc::new(FdTable::new()),
        fs: Arc::new(FsContext::new(root)),
        nsproxy: kernel.nsproxy.clone(),
        cred: Arc::new(Cred::root(kernel.user_ns.clone())),
        mm_user_ns: kernel.user_ns.clone(),
        signals: TaskSignals::default(),
        flags: TaskFlags::KTHREAD | TaskFlags::FORKNOEXEC,
        inherited: Inherited::default(),
        vfork_done: None,
    }
    .build();
    group.threads.lock().push(task.clone());
    group.set_leader(Some(task.clone()));
    kernel.counters.forks.fetch_add(1, Relaxed);
    kernel.counters.tasks.fetch_add(1, Relaxed);
    kernel.tasks.insert(&task);
    sched::spawn(&task.thread);
    Ok(task)
}

#[expect(unsafe_code, reason = "the closure of a kernel thread travels as an address")]
extern "C" fn kernel_entry(argument: usize) -> ! {
    sched::start_first();
    // SAFETY: `spawn_kernel_thread` made this address by `Box::into_raw` and gave it to this one thread.
    let body = unsafe { Box::from_raw(argument as *mut Body) };
    let task = current();
    body(task.clone());
    super::exit::finish(task, 0)
}
