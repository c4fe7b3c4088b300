//! Snapshots of tasks: what a renderer needs, copied out under the owners' short locks.
//!
//! Source: Linux 6.12 fs/proc/array.c do_task_stat(), proc_pid_status(), task_sig(), task_cap(); fs/proc/task_mmu.c
//! task_mem(), task_statm().

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::mask::Mask;
use procfs_core::pid::comm::Comm;
use procfs_core::pid::io::Io;
use procfs_core::pid::limits::{Limit, Limits};
use procfs_core::pid::oom;
use procfs_core::pid::stat::{Stat, StatMm};
use procfs_core::pid::statm::Statm;
use procfs_core::pid::status::{self, Capabilities, IndirectBranch, NsIds, Status, StatusMm, StoreBypass};
use procfs_core::pid::syscall::Syscall;
use procfs_core::pid::{Scope, TaskState, texts};

use super::{ProcFs, access};
use crate::cred::UserNs;
use crate::mm::MmSnapshot;
use crate::phys::{self, PAGE_SIZE, page_ceil, page_floor};
use crate::sched::{ThreadState, Wchan};
use crate::signal::SigSet;
use crate::task::{
    EntrySnapshot, ExitState, GroupUsage, JobControl, ProcessGroup, Resource, Task, ThreadGroup, current,
};

/// Nanoseconds of a clock tick that user space sees (`USER_HZ` 100).
pub(super) const NS_PER_TICK: u64 = 10_000_000;
const PAGE_KB: u64 = PAGE_SIZE / 1024;

/// The name of `task`.
pub(super) fn comm_of(task: &Task) -> Comm {
    let comm = task.comm();
    if task.is_kernel_thread() { Comm::kernel_thread(comm.as_bytes()) } else { Comm::new(comm.as_bytes()) }
}

fn state_of(task: &Task) -> TaskState {
    match task.state_letter() {
        b'R' => TaskState::Running,
        b'S' => TaskState::Sleeping,
        b'D' => TaskState::DiskSleep,
        b'T' => TaskState::Stopped,
        b't' => TaskState::TracingStop,
        b'X' => TaskState::Dead,
        b'I' => TaskState::Idle,
        _ => TaskState::Zombie,
    }
}

/// The place of a process among the others.
struct Family {
    ppid: i32,
    pgrp: Arc<ProcessGroup>,
    exit_signal: i32,
    /// What the process as a whole ends or is stopped with.
    group_code: Option<i32>,
}

impl Family {
    fn of(fs: &ProcFs, group: &ThreadGroup) -> Self {
        let state = group.state.lock();
        let parent = state.parent.upgrade();
        let group_code = match (state.exit, state.group_exit, state.job) {
            (ExitState::Zombie(status), _, _) | (_, Some(status), _) => Some(status),
            // wait(2) takes the code along (wait_task_stopped()).
            (_, None, JobControl::Stopped { signal, reported }) => {
                Some(if reported { 0 } else { i32::from(signal.raw()) })
            }
            _ => None,
        };
        Self {
            ppid: parent.map_or(0, |parent| parent.pid.nr_in(&fs.pid_ns)),
            pgrp: state.pgrp.clone(),
            exit_signal: state.exit_signal.map_or(0, |signal| i32::from(signal.raw())),
            group_code,
        }
    }
}

/// Signal sets of a task.
struct Signals {
    pending: SigSet,
    shared_pending: SigSet,
    blocked: SigSet,
    ignored: SigSet,
    caught: SigSet,
}

impl Signals {
    fn of(task: &Task) -> Self {
        let (pending, blocked) = {
            let signals = task.signals.lock();
            (signals.pending.set(), signals.blocked)
        };
        let shared_pending = task.group.pending.lock().set();
        let handlers = task.group.handlers.lock();
        let (ignored, caught) = (handlers.ignored(), handlers.caught());
        drop(handlers);
        Self { pending, shared_pending, blocked, ignored, caught }
    }
}

/// What of `task` counts at the level of `scope`: its process, or itself.
pub(super) fn usage(task: &Task, scope: Scope) -> GroupUsage {
    if scope == Scope::Pid { task.group.usage() } else { GroupUsage::of(task) }
}

/// The figures of the task's address space.
pub(super) fn mm_snapshot(task: &Task) -> Option<MmSnapshot> {
    task.mm().map(|mm| mm.snapshot())
}

/// `stat`.
pub(super) fn stat(fs: &ProcFs, task: &Task, scope: Scope) -> Stat {
    let group = &task.group;
    let family = Family::of(fs, group);
    let tty = family.pgrp.session.tty();
    let (tty_nr, tpgid) = match &tty {
        Some(tty) => {
            let foreground = tty.foreground().map_or(0, |group| group.pid.nr_in(&fs.pid_ns));
            (tty.device_number().cast_signed(), foreground)
        }
        None => (0, -1),
    };
    let used = usage(task, scope);
    let children =
        if scope == Scope::Pid || task.is_leader() { *group.children_usage.lock() } else { GroupUsage::default() };
    let signals = Signals::of(task);
    let own_code = task.exit_code.load(Relaxed);
    let exit_signal = if task.is_leader() { family.exit_signal } else { -1 };
    let rss_limit_bytes = group.limits.lock().get(Resource::Rss).soft;
    Stat {
        pid: fs.nr(task),
        comm: comm_of(task),
        state: state_of(task),
        ppid: family.ppid,
        pgrp: family.pgrp.pid.nr_in(&fs.pid_ns),
        session: family.pgrp.session.pid.nr_in(&fs.pid_ns),
        tty_nr,
        tpgid,
        flags: task.flags().bits(),
        min_flt: used.min_faults,
        cmin_flt: children.min_faults,
        maj_flt: used.maj_faults,
        cmaj_flt: children.maj_faults,
        utime_ticks: used.user_ns / NS_PER_TICK,
        stime_ticks: used.system_ns / NS_PER_TICK,
        cutime_ticks: children.user_ns / NS_PER_TICK,
        cstime_ticks: children.system_ns / NS_PER_TICK,
        priority: 20,
        nice: 0,
        num_threads: threads_of(group),
        start_time_ticks: task.start_ns() / NS_PER_TICK,
        mm: mm_snapshot(task).map(|mm| stat_mm(&mm)),
        rss_limit_bytes,
        kstk_esp: 0,
        kstk_eip: 0,
        pending: signals.pending.0,
        blocked: signals.blocked.0,
        ignored: signals.ignored.0,
        caught: signals.caught.0,
        is_whole_group: scope == Scope::Pid,
        exit_signal,
        processor: 0,
        rt_priority: 0,
        policy: 0,
        delayacct_blkio_ticks: 0,
        gtime_ticks: 0,
        cgtime_ticks: 0,
        exit_code: if scope == Scope::Pid { family.group_code.unwrap_or(own_code) } else { own_code },
    }
}

fn threads_of(group: &ThreadGroup) -> u32 {
    u32::try_from(group.thread_count()).unwrap_or(u32::MAX)
}

fn stat_mm(mm: &MmSnapshot) -> StatMm {
    let layout = &mm.layout;
    StatMm {
        vsize_bytes: mm.usage.total_vm * PAGE_SIZE,
        rss_pages: mm.usage.rss_pages(),
        start_code: layout.start_code,
        end_code: layout.end_code,
        start_stack: layout.start_stack,
        start_data: layout.start_data,
        end_data: layout.end_data,
        start_brk: layout.start_brk,
        arg_start: layout.arg_start,
        arg_end: layout.arg_end,
        env_start: layout.env_start,
        env_end: layout.env_end,
    }
}

fn text_bytes(mm: &MmSnapshot) -> u64 {
    page_ceil(mm.layout.end_code).saturating_sub(page_floor(mm.layout.start_code))
}

/// `statm`.
pub(super) fn statm(task: &Task) -> Statm {
    let Some(mm) = mm_snapshot(task) else { return Statm::default() };
    let usage = &mm.usage;
    Statm {
        size_pages: usage.total_vm,
        resident_pages: usage.rss_pages(),
        shared_pages: usage.file_pages + usage.shmem_pages,
        text_pages: text_bytes(&mm) / PAGE_SIZE,
        data_pages: usage.data_vm + usage.stack_vm,
    }
}

/// Renders `status` for an opener in `viewer`.
pub(super) fn render_status(fs: &ProcFs, task: &Task, viewer: &UserNs, out: &mut Vec<u8>) {
    let group = &task.group;
    let family = Family::of(fs, group);
    let cred = task.cred();
    let signals = Signals::of(task);
    let uid = |uid| viewer.from_kuid_munged(uid);
    let gid = |gid| viewer.from_kgid_munged(gid);
    let groups: Vec<u32> = cred.groups.iter().map(|&group| gid(group)).collect();
    let pid = task.pid();
    let ids: Vec<NsIds> = pid
        .levels()
        .filter(|(ns, _)| ns.is_within(&fs.pid_ns))
        .map(|(ns, pid)| NsIds {
            tgid: group.pid.nr_in(ns),
            pid,
            pgid: family.pgrp.pid.nr_in(ns),
            sid: family.pgrp.session.pid.nr_in(ns),
        })
        .collect();
    let status = Status {
        comm: comm_of(task),
        umask: task.fs().map(|context| context.umask() as u16),
        state: state_of(task),
        tgid: group.pid.nr_in(&fs.pid_ns),
        ngid: 0,
        pid: fs.nr(task),
        ppid: family.ppid,
        tracer_pid: 0,
        uids: [uid(cred.uid), uid(cred.euid), uid(cred.suid), uid(cred.fsuid)],
        gids: [gid(cred.gid), gid(cred.egid), gid(cred.sgid), gid(cred.fsgid)],
        fd_size: task.files().map_or(0, |files| u32::try_from(files.capacity()).unwrap_or(u32::MAX)),
        groups: &groups,
        ns_ids: &ids,
        is_kthread: task.is_kernel_thread(),
        mm: mm_snapshot(task).map(|mm| status_mm(&mm)),
        threads: threads_of(group),
        queued_signals: u32::try_from(task.kernel.queued_signals.waiting(cred.uid)).unwrap_or(u32::MAX),
        queued_signals_limit: group.limits.lock().get(Resource::Sigpending).soft,
        pending: signals.pending.0,
        shared_pending: signals.shared_pending.0,
        blocked: signals.blocked.0,
        ignored: signals.ignored.0,
        caught: signals.caught.0,
        capabilities: Capabilities {
            inheritable: cred.cap_inheritable.bits(),
            permitted: cred.cap_permitted.bits(),
            effective: cred.cap_effective.bits(),
            bounding: cred.cap_bounding.bits(),
            ambient: cred.cap_ambient.bits(),
        },
        no_new_privs: cred.no_new_privs,
        seccomp_mode: 0,
        seccomp_filters: 0,
        // The kernel mitigates neither.
        store_bypass: StoreBypass::Vulnerable,
        indirect_branch: IndirectBranch::AlwaysEnabled,
        cpus_allowed: Mask::new(1, &[1]),
        mems_allowed: Mask::new(1, &[1]),
        voluntary_switches: task.thread.voluntary_switches.load(Relaxed),
        involuntary_switches: task.thread.involuntary_switches.load(Relaxed),
    };
    status::render(&status, out);
}

fn status_mm(mm: &MmSnapshot) -> StatusMm {
    let usage = &mm.usage;
    StatusMm {
        peak_kb: usage.peak_vm_pages() * PAGE_KB,
        size_kb: usage.total_vm * PAGE_KB,
        locked_kb: usage.locked_vm * PAGE_KB,
        pinned_kb: usage.pinned_vm * PAGE_KB,
        peak_rss_kb: usage.peak_rss_pages() * PAGE_KB,
        rss_anon_kb: usage.anon_pages * PAGE_KB,
        rss_file_kb: usage.file_pages * PAGE_KB,
        rss_shmem_kb: usage.shmem_pages * PAGE_KB,
        data_kb: usage.data_vm * PAGE_KB,
        stack_kb: usage.stack_vm * PAGE_KB,
        text_kb: text_bytes(mm) / 1024,
        executable_kb: usage.exec_vm * PAGE_KB,
        page_tables_kb: usage.table_bytes / 1024,
        swap_kb: 0,
        hugetlb_kb: 0,
        is_dumping_core: false,
        is_thp_enabled: false,
        untag_mask: u64::MAX,
    }
}

/// `wchan`: where `task` sleeps, for a reader who may know it.
pub(super) fn wchan(task: &Task) -> Option<&'static str> {
    if !access::may_access(task) {
        return None;
    }
    task.thread.wchan().map(Wchan::symbol)
}

/// `syscall`. The reader itself is in its call; another is only if it sleeps.
pub(super) fn syscall(task: &Arc<Task>) -> Syscall {
    if task.is_dead() {
        return Syscall::ENDED;
    }
    if task.thread.state() == ThreadState::Running && !Arc::ptr_eq(task, &current()) {
        return Syscall::Running;
    }
    let EntrySnapshot { number, args, stack_pointer, instruction_pointer } = task.entry.snapshot();
    Syscall::InKernel { number, args, stack_pointer, instruction_pointer }
}

/// Renders `schedstat`.
pub(super) fn render_schedstat(task: &Task, out: &mut Vec<u8>) {
    let thread = &task.thread;
    let (user_ns, system_ns) = task.cpu_times_ns();
    texts::render_schedstat(user_ns + system_ns, thread.run_delay_ns.load(Relaxed), thread.runs.load(Relaxed), out);
}

/// `io`; nothing is read from or written to storage.
pub(super) fn io(task: &Task, scope: Scope) -> Io {
    let [rchar, wchar, syscr, syscw] = usage(task, scope).io;
    Io { rchar, wchar, syscr, syscw, ..Io::default() }
}

/// `limits`.
pub(super) fn limits(task: &Task) -> Limits {
    let limits = task.group.limits.lock();
    core::array::from_fn(|number| {
        let limit = limits.by_number(number).expect("there are sixteen resources");
        Limit { soft: limit.soft, hard: limit.hard }
    })
}

/// `oom_score`.
pub(super) fn oom_score(task: &Task) -> u64 {
    // What still runs on its parent's memory would free none.
    if task.group.is_init() || task.is_in_vfork() {
        return 0;
    }
    let Some(mm) = task.group.threads().iter().find_map(|thread| mm_snapshot(thread)) else { return 0 };
    let used = mm.usage.rss_pages() + mm.usage.table_bytes / PAGE_SIZE;
    oom::score(used, phys::ram_stats().total_pages, oom_score_adj(task))
}

/// `oom_score_adj`, within -1000 to 1000.
pub(super) fn oom_score_adj(task: &Task) -> i16 {
    task.group.oom_score_adj.load(Relaxed) as i16
}
