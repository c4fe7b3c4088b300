//! New tasks: fork, vfork, clone, and the first process.
//!
//! Source: Linux 6.12 kernel/fork.c copy_process(), kernel_clone(); clone(2).

use alloc::sync::{Arc, Weak};
use core::sync::atomic::Ordering::Relaxed;

use bitflags::bitflags;
use procfs_core::Errno;

use super::task_struct::{NewTask, VforkDone};
use super::{
    Comm, FsContext, Inherited, NsProxy, ProcessGroup, Resource, Rlimits, Session, Task, TaskFlags, TaskSignals,
    ThreadGroup, run,
};
use crate::cred::{Capability, Cred, KUid};
use crate::fd::FdTable;
use crate::kernel::Kernel;
use crate::mm::{MmUser, TASK_SIZE};
use crate::pid::Pid;
use crate::platform::{self, UserContext};
use crate::sched::{self, Priority, Thread, WaitMode, Wchan};
use crate::signal::{SigHandlers, Signal};

bitflags! {
    /// `CLONE_*` of Linux 6.12 include/uapi/linux/sched.h.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct CloneFlags: u64 {
        const VM = 0x100;
        const FS = 0x200;
        const FILES = 0x400;
        const SIGHAND = 0x800;
        const PTRACE = 0x2000;
        const VFORK = 0x4000;
        const PARENT = 0x8000;
        const THREAD = 0x1_0000;
        const NEWNS = 0x2_0000;
        const SYSVSEM = 0x4_0000;
        const SETTLS = 0x8_0000;
        const PARENT_SETTID = 0x10_0000;
        const CHILD_CLEARTID = 0x20_0000;
        const DETACHED = 0x40_0000;
        const UNTRACED = 0x80_0000;
        const CHILD_SETTID = 0x100_0000;
        const IO = 0x8000_0000;
        const NEWTIME = 0x80;
        const NEWCGROUP = 0x0200_0000;
        const NEWUTS = 0x0400_0000;
        const NEWIPC = 0x0800_0000;
        const NEWUSER = 0x1000_0000;
        const NEWPID = 0x2000_0000;
        const NEWNET = 0x4000_0000;
    }
}

/// What clone(2) and its kin ask for.
#[derive(Clone, Copy, Debug)]
pub struct CloneRequest {
    /// What parent and child share.
    pub flags: CloneFlags,
    /// What the parent gets when the child ends.
    pub exit_signal: Option<Signal>,
    /// The child's stack pointer; 0 for the parent's.
    pub stack: u64,
    /// Where the parent wants the child's number (`PARENT_SETTID`).
    pub parent_tid: u64,
    /// Where the child wants its number, or zero at its end.
    pub child_tid: u64,
    /// The child's FS base (`SETTLS`).
    pub tls: u64,
}

/// Makes a child of `parent`, starts it, and waits for it when it is a vfork. Gives its number.
///
/// # Errors
/// EINVAL for flags that contradict each other; EPERM for a thread pointer outside of user space; those of
/// `Cred::enter_new_user_ns`; EAGAIN at `RLIMIT_NPROC` or without a free number; ENOMEM.
pub fn clone(parent: &Arc<Task>, request: &CloneRequest) -> Result<i32, Errno> {
    check(request.flags)?;
    check_family(parent, request.flags)?;
    if request.flags.contains(CloneFlags::SETTLS) && request.tls >= TASK_SIZE {
        return Err(Errno::EPERM);
    }
    let kernel = parent.kernel;
    let flags = request.flags;
    let cred = child_cred(parent, flags)?;
    check_limits(parent)?;
    let context = child_context(parent, request);
    let mm = parent.mm().ok_or(Errno::EINVAL)?;
    let child_mm = if flags.contains(CloneFlags::VM) { mm.clone() } else { mm.fork()? };
    let files = parent.files().ok_or(Errno::EINVAL)?;
    let files = if flags.contains(CloneFlags::FILES) { files } else { Arc::new(files.fork()?) };
    let fs = parent.fs().ok_or(Errno::EINVAL)?;
    let fs = if flags.contains(CloneFlags::FS) { fs } else { Arc::new(fs.copy()) };
    let nsproxy = child_nsproxy(parent, flags, &cred, &fs)?;
    let thread = Thread::new(Priority::User, run::user_entry, 0, Some(context)).map_err(|_| Errno::ENOMEM)?;
    let pid = Pid::allocate(&nsproxy.pid_for_children)?;
    let is_thread = flags.contains(CloneFlags::THREAD);
    let group = if is_thread { parent.group.clone() } else { child_group(parent, &pid, request) };
    let vfork = flags.contains(CloneFlags::VFORK).then(|| Arc::new(VforkDone::default()));
    let blocked = parent.signals.lock().blocked;
    let alt_stack =
        if flags.contains(CloneFlags::VM) && vfork.is_none() { (0, 2, 0) } else { parent.signals.lock().alt_stack };
    let kept = parent.flags().intersection(TaskFlags::RANDOMIZE);
    let child = NewTask {
        kernel,
        thread,
        pid,
        group: group.clone(),
        comm: parent.comm(),
        mm: Some(child_mm.clone()),
        files,
        fs,
        nsproxy,
        cred,
        mm_user_ns: parent.mm_user_ns(),
        signals: TaskSignals { blocked, alt_stack, ..TaskSignals::default() },
        flags: kept.union(TaskFlags::FORKNOEXEC),
        inherited: parent.inherited.for_child(),
        vfork_done: vfork.clone(),
    }
    .build();
    let nr = child.pid().nr_in(&parent.pid_ns());
    if flags.contains(CloneFlags::PARENT_SETTID) {
        // As Linux does, a bad address is not reported, here and below.
        let _ = mm.copy_out(request.parent_tid, &nr.to_le_bytes());
    }
    if flags.contains(CloneFlags::CHILD_SETTID) {
        let own = child.pid().nr_in(&child.pid_ns());
        let _ = child_mm.copy_out(request.child_tid, &own.to_le_bytes());
    }
    if flags.contains(CloneFlags::CHILD_CLEARTID) {
        child.clear_child_tid.store(request.child_tid, Relaxed);
    }
    drop((mm, child_mm));
    publish(&child, is_thread);
    if !is_thread {
        let family =
            if flags.contains(CloneFlags::PARENT) { parent.group.parent() } else { Some(parent.group.clone()) };
        if let Some(family) = family {
            if flags.contains(CloneFlags::PARENT) {
                be_sibling(&group, &parent.group);
            } else {
                let mut state = group.state.lock();
                state.parent_thread = Arc::downgrade(parent);
                state.parent_exec_id = parent.group.exec_id.load(Relaxed);
            }
            family.state.lock().children.push(group);
        }
    }
    sched::spawn(&child.thread);
    drop(child);
    if let Some(vfork) = vfork {
        // Linux waits killably: the child runs on the parent's stack.
        vfork.queue.wait(Wchan::KernelClone, WaitMode::Killable, None, || vfork.done.load(Relaxed));
    }
    Ok(nr)
}

fn check(flags: CloneFlags) -> Result<(), Errno> {
    let known = CloneFlags::all().difference(CloneFlags::PTRACE);
    let has_both = |one: CloneFlags, other: CloneFlags| flags.contains(one.union(other));
    let needs = |has: CloneFlags, wants: CloneFlags| flags.contains(has) && !flags.contains(wants);
    if !known.contains(flags)
        || has_both(CloneFlags::NEWNS, CloneFlags::FS)
        || has_both(CloneFlags::NEWUSER, CloneFlags::FS)
        || needs(CloneFlags::THREAD, CloneFlags::SIGHAND)
        || needs(CloneFlags::SIGHAND, CloneFlags::VM)
        || (flags.contains(CloneFlags::SIGHAND) && !flags.contains(CloneFlags::THREAD))
        || has_both(CloneFlags::NEWUSER, CloneFlags::THREAD)
    {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// The first process of a namespace has no siblings, and the threads of a process have one pid namespace.
fn check_family(parent: &Task, flags: CloneFlags) -> Result<(), Errno> {
    if flags.contains(CloneFlags::PARENT) && parent.group.is_unkillable.load(Relaxed) {
        return Err(Errno::EINVAL);
    }
    if flags.contains(CloneFlags::THREAD) {
        let for_children = parent.nsproxy().ok_or(Errno::EINVAL)?.pid_for_children.clone();
        if flags.intersects(CloneFlags::NEWUSER.union(CloneFlags::NEWPID))
            || !Arc::ptr_eq(&for_children, &parent.pid_ns())
        {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}

/// The namespaces of the child (copy_namespaces()).
fn child_nsproxy(parent: &Task, flags: CloneFlags, cred: &Cred, fs: &FsContext) -> Result<Arc<NsProxy>, Errno> {
    let nsproxy = parent.nsproxy().ok_or(Errno::EINVAL)?;
    if flags.intersects(CloneFlags::NEW_NSPROXY) && !cred.has_in(&cred.user_ns, Capability::SysAdmin) {
        return Err(Errno::EPERM);
    }
    if flags.contains(CloneFlags::NEWIPC.union(CloneFlags::SYSVSEM)) {
        return Err(Errno::EINVAL);
    }
    nsproxy.for_child(parent.kernel, flags, &cred.user_ns, fs)
}

/// copy_process()'s checks of `RLIMIT_NPROC` and the number of tasks.
fn check_limits(parent: &Arc<Task>) -> Result<(), Errno> {
    let kernel = parent.kernel;
    let cred = parent.cred();
    let limit = parent.group.limits.lock().get(Resource::Nproc).soft;
    let is_exempt =
        cred.uid == KUid::ROOT || cred.capable(Capability::SysResource) || cred.capable(Capability::SysAdmin);
    if !is_exempt {
        let own = |group: &Arc<ThreadGroup>| {
            group.leader().filter(|leader| leader.cred().uid == cred.uid).map_or(0, |_| group.thread_count())
        };
        let count: usize = kernel.tasks.groups(&kernel.pid_ns).iter().map(own).sum();
        if count as u64 >= limit {
            return Err(Errno::EAGAIN);
        }
    }
    let tasks = kernel.counters.tasks.load(Relaxed);
    if kernel.sysctls.has_room_for_task(tasks) { Ok(()) } else { Err(Errno::EAGAIN) }
}

/// The child's credentials: its parent's, or those of a new user namespace (copy_creds()).
fn child_cred(parent: &Arc<Task>, flags: CloneFlags) -> Result<Arc<Cred>, Errno> {
    let cred = parent.cred();
    if !flags.contains(CloneFlags::NEWUSER) {
        return Ok(cred);
    }
    let mut cred = (*cred).clone();
    cred.enter_new_user_ns(parent.root_directory(), &parent.kernel.ns_inums)?;
    Ok(Arc::new(cred))
}

fn child_context(parent: &Arc<Task>, request: &CloneRequest) -> UserContext {
    let mut user = parent.thread.user.lock();
    let context = user.as_mut().expect("a task in a system call has a user context");
    platform::save_user_state(context);
    let mut child = context.clone();
    drop(user);
    child.regs.rax = 0;
    if request.stack != 0 {
        child.regs.rsp = request.stack;
    }
    if request.flags.contains(CloneFlags::SETTLS) {
        child.fs_base = request.tls;
    }
    child
}

fn child_group(parent: &Arc<Task>, pid: &Arc<Pid>, request: &CloneRequest) -> Arc<ThreadGroup> {
    let of = &parent.group;
    let family =
        if request.flags.contains(CloneFlags::PARENT) { of.state.lock().parent.clone() } else { Arc::downgrade(of) };
    let handlers = of.handlers.lock().clone();
    let limits = of.limits.lock().clone();
    let group = ThreadGroup::new(of.kernel, pid.clone(), family, of.pgrp(), request.exit_signal, handlers, limits);
    group.oom_score_adj.store(of.oom_score_adj.load(Relaxed), Relaxed);
    group.oom_score_adj_min.store(of.oom_score_adj_min.load(Relaxed), Relaxed);
    group
}

/// With `PARENT` the child is to its parent what the caller is, with the caller's exit signal.
fn be_sibling(group: &ThreadGroup, of: &ThreadGroup) {
    let (thread, exec_id, exit_signal) = {
        let state = of.state.lock();
        (state.parent_thread.clone(), state.parent_exec_id, state.exit_signal)
    };
    let mut state = group.state.lock();
    state.parent_thread = thread;
    state.parent_exec_id = exec_id;
    state.exit_signal = exit_signal;
}

fn publish(task: &Arc<Task>, is_thread: bool) {
    task.group.threads.lock().push(task.clone());
    if !is_thread {
        task.group.is_unkillable.store(task.group.pid.is_reaper(), Relaxed);
        task.group.set_leader(Some(task.clone()));
        task.kernel.tasks.join(&task.group, &task.group.pgrp());
    }
    task.kernel.counters.forks.fetch_add(1, Relaxed);
    task.kernel.counters.tasks.fetch_add(1, Relaxed);
    task.kernel.tasks.insert(task);
}

/// What the first process starts with.
pub struct FirstProcess {
    /// Its name.
    pub comm: Comm,
    /// Its address space, with the program loaded.
    pub mm: MmUser,
    /// The registers at its first instruction.
    pub context: UserContext,
    /// Its descriptors.
    pub files: Arc<FdTable>,
    /// Its root and working directory.
    pub fs: Arc<FsContext>,
    /// Its credentials.
    pub cred: Cred,
    /// Its limits.
    pub limits: Rlimits,
}

/// Makes process 1, leader of its own session and group; it runs once the scheduler is entered.
///
/// # Errors
/// ENOMEM; EAGAIN when there is no number.
pub fn first_process(kernel: &'static Kernel, first: FirstProcess) -> Result<Arc<Task>, Errno> {
    let thread = Thread::new(Priority::User, run::user_entry, 0, Some(first.context)).map_err(|_| Errno::ENOMEM)?;
    let pid = Pid::allocate(&kernel.pid_ns)?;
    let pgrp = ProcessGroup::new(pid.clone(), Session::new(pid.clone()));
    let handlers = SigHandlers::default();
    let group = ThreadGroup::new(kernel, pid.clone(), Weak::new(), pgrp, Some(Signal::CHLD), handlers, first.limits);
    let task = NewTask {
        kernel,
        thread,
        pid,
        group: group.clone(),
        comm: first.comm,
        mm: Some(first.mm),
        files: first.files,
        fs: first.fs,
        nsproxy: kernel.nsproxy.clone(),
        mm_user_ns: first.cred.user_ns.clone(),
        cred: Arc::new(first.cred),
        signals: TaskSignals { alt_stack: (0, 2, 0), ..TaskSignals::default() },
        flags: TaskFlags::RANDOMIZE,
        inherited: Inherited::default(),
        vfork_done: None,
    }
    .build();
    publish(&task, false);
    *kernel.init.lock() = Some(group);
    Ok(task)
}
