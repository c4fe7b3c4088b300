//! `/proc/PID/status`: what a person or a tool asks about a task, one line each.
//!
//! Owns the order and the form of the lines. Every line is shown to every reader. Ids are already those of the
//! opener's user namespace (65534 if it has none), pids those of the mount's pid namespace.
//! Built as Linux with NUMA, cpusets, hugetlbfs, seccomp filters and pid namespaces has it.
//! Source: Linux 6.12 fs/proc/array.c proc_pid_status(); fs/proc/task_mmu.c task_mem(); proc_pid_status(5).

use crate::Sink;
use crate::mask::Mask;
use crate::pid::{Comm, TaskState};

/// Everything `status` shows of a task.
#[derive(Debug, Clone)]
pub struct Status<'a> {
    /// Its name.
    pub comm: Comm,
    /// File creation mask; `None` once the task has no file-system state.
    pub umask: Option<u16>,
    /// Its state.
    pub state: TaskState,
    /// Its thread group.
    pub tgid: i32,
    /// NUMA group; 0 for none.
    pub ngid: i32,
    /// Pid or tid.
    pub pid: i32,
    /// Thread group of its real parent; 0 for none in the namespace.
    pub ppid: i32,
    /// Its tracer; 0 for none.
    pub tracer_pid: i32,
    /// Real, effective, saved and file-system user id.
    pub uids: [u32; 4],
    /// Real, effective, saved and file-system group id.
    pub gids: [u32; 4],
    /// Capacity of its descriptor table; 0 once it has none.
    pub fd_size: u32,
    /// Supplementary groups, ascending.
    pub groups: &'a [u32],
    /// Its ids at each level of pid namespaces, from the mount's inwards.
    pub ns_ids: &'a [NsIds],
    /// Whether it is a kernel thread.
    pub is_kthread: bool,
    /// Its address space; `None` for kernel threads and zombies.
    pub mm: Option<StatusMm>,
    /// Threads in the group.
    pub threads: u32,
    /// Signals queued for its real user id.
    pub queued_signals: u32,
    /// Limit of that.
    pub queued_signals_limit: u64,
    /// Signals pending for the thread, bit 0 is signal 1.
    pub pending: u64,
    /// Signals pending for the group.
    pub shared_pending: u64,
    /// Blocked signals.
    pub blocked: u64,
    /// Ignored signals.
    pub ignored: u64,
    /// Caught signals.
    pub caught: u64,
    /// Inheritable, permitted, effective, bounding and ambient capabilities.
    pub capabilities: Capabilities,
    /// Whether exec can no longer give privileges.
    pub no_new_privs: bool,
    /// 0 none, 1 strict, 2 filter.
    pub seccomp_mode: u32,
    /// How many filters are attached.
    pub seccomp_filters: u32,
    /// Whether speculative store bypass is mitigated.
    pub store_bypass: StoreBypass,
    /// Whether indirect branches are speculated.
    pub indirect_branch: IndirectBranch,
    /// Processors it may run on.
    pub cpus_allowed: Mask<'a>,
    /// Memory nodes it may use.
    pub mems_allowed: Mask<'a>,
    /// Times it gave up the processor.
    pub voluntary_switches: u64,
    /// Times the processor was taken from it.
    pub involuntary_switches: u64,
}

/// A task's ids at one level of pid namespaces; 0 where it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NsIds {
    /// Thread group.
    pub tgid: i32,
    /// Thread.
    pub pid: i32,
    /// Process group.
    pub pgid: i32,
    /// Session.
    pub sid: i32,
}

/// Capability sets; bit n is capability n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Kept over exec if the file agrees.
    pub inheritable: u64,
    /// What it may make effective.
    pub permitted: u64,
    /// What counts now.
    pub effective: u64,
    /// What it can ever gain.
    pub bounding: u64,
    /// Kept over exec of ordinary files.
    pub ambient: u64,
}

/// What `status` shows of an address space; sizes in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatusMm {
    /// Largest size so far; shown as at least `size_kb`.
    pub peak_kb: u64,
    /// All mappings.
    pub size_kb: u64,
    /// Locked by `mlock(2)`.
    pub locked_kb: u64,
    /// Pinned.
    pub pinned_kb: u64,
    /// Largest resident size so far; shown as at least what is resident now.
    pub peak_rss_kb: u64,
    /// Resident anonymous memory.
    pub rss_anon_kb: u64,
    /// Resident file pages.
    pub rss_file_kb: u64,
    /// Resident shared memory.
    pub rss_shmem_kb: u64,
    /// Private writable mappings without the stack.
    pub data_kb: u64,
    /// Stack.
    pub stack_kb: u64,
    /// Span of the program's code, in whole pages; shown as at most `executable_kb`.
    pub text_kb: u64,
    /// All executable mappings.
    pub executable_kb: u64,
    /// Page tables.
    pub page_tables_kb: u64,
    /// Swapped out.
    pub swap_kb: u64,
    /// In huge pages.
    pub hugetlb_kb: u64,
    /// Whether it is dumping core.
    pub is_dumping_core: bool,
    /// Whether transparent huge pages are allowed.
    pub is_thp_enabled: bool,
    /// Mask of the address bits that count; `u64::MAX` without linear address masking.
    pub untag_mask: u64,
}

/// Text of `Speculation_Store_Bypass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreBypass {
    /// `unknown`
    Unknown,
    /// `not vulnerable`
    NotVulnerable,
    /// `thread force mitigated`
    ThreadForceMitigated,
    /// `thread mitigated`
    ThreadMitigated,
    /// `thread vulnerable`
    ThreadVulnerable,
    /// `globally mitigated`
    GloballyMitigated,
    /// `vulnerable`
    Vulnerable,
}

impl StoreBypass {
    const fn text(self) -> &'static str {
        match self {
            StoreBypass::Unknown => "unknown",
            StoreBypass::NotVulnerable => "not vulnerable",
            StoreBypass::ThreadForceMitigated => "thread force mitigated",
            StoreBypass::ThreadMitigated => "thread mitigated",
            StoreBypass::ThreadVulnerable => "thread vulnerable",
            StoreBypass::GloballyMitigated => "globally mitigated",
            StoreBypass::Vulnerable => "vulnerable",
        }
    }
}

/// Text of `SpeculationIndirectBranch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndirectBranch {
    /// `unsupported`
    Unsupported,
    /// `not affected`
    NotAffected,
    /// `conditional force disabled`
    ConditionalForceDisabled,
    /// `conditional disabled`
    ConditionalDisabled,
    /// `conditional enabled`
    ConditionalEnabled,
    /// `always enabled`
    AlwaysEnabled,
    /// `always disabled`
    AlwaysDisabled,
    /// `unknown`
    Unknown,
}

impl IndirectBranch {
    const fn text(self) -> &'static str {
        match self {
            IndirectBranch::Unsupported => "unsupported",
            IndirectBranch::NotAffected => "not affected",
            IndirectBranch::ConditionalForceDisabled => "conditional force disabled",
            IndirectBranch::ConditionalDisabled => "conditional disabled",
            IndirectBranch::ConditionalEnabled => "conditional enabled",
            IndirectBranch::AlwaysEnabled => "always enabled",
            IndirectBranch::AlwaysDisabled => "always disabled",
            IndirectBranch::Unknown => "unknown",
        }
    }
}

/// Renders the file.
pub fn render<S: Sink + ?Sized>(task: &Status<'_>, out: &mut S) {
    render_identity(task, out);
    if let Some(mm) = &task.mm {
        render_mm(mm, out);
    }
    render_signals(task, out);
    render_security(task, out);
    out.put(b"Cpus_allowed:\t");
    task.cpus_allowed.render_hex(out);
    out.put(b"\nCpus_allowed_list:\t");
    task.cpus_allowed.render_list(out);
    out.put(b"\nMems_allowed:\t");
    task.mems_allowed.render_hex(out);
    out.put(b"\nMems_allowed_list:\t");
    task.mems_allowed.render_list(out);
    out.put(b"\nvoluntary_ctxt_switches:\t");
    out.put_u64(task.voluntary_switches);
    out.put(b"\nnonvoluntary_ctxt_switches:\t");
    out.put_u64(task.involuntary_switches);
    out.put_byte(b'\n');
}

fn render_identity<S: Sink + ?Sized>(task: &Status<'_>, out: &mut S) {
    out.put(b"Name:\t");
    render_name(&task.comm, out);
    if let Some(umask) = task.umask {
        // `%#04o`: the leading zero that `#` asks for counts towards the width of 4.
        out.put(b"\nUmask:\t");
        out.put_octal(u64::from(umask), 4);
    }
    out.put(b"\nState:\t");
    out.put_str(task.state.text());
    put_id("\nTgid:\t", task.tgid, out);
    put_id("\nNgid:\t", task.ngid, out);
    put_id("\nPid:\t", task.pid, out);
    put_id("\nPPid:\t", task.ppid, out);
    put_id("\nTracerPid:\t", task.tracer_pid, out);
    for (key, ids) in [("\nUid:", task.uids), ("\nGid:", task.gids)] {
        out.put_str(key);
        for id in ids {
            out.put_byte(b'\t');
            out.put_u64(u64::from(id));
        }
    }
    out.put(b"\nFDSize:\t");
    out.put_u64(u64::from(task.fd_size));
    out.put(b"\nGroups:\t");
    for (at, &group) in task.groups.iter().enumerate() {
        if at > 0 {
            out.put_byte(b' ');
        }
        out.put_u64(u64::from(group));
    }
    out.put_byte(b' ');
    put_ns_ids("\nNStgid:", task.ns_ids.iter().map(|ids| ids.tgid), out);
    put_ns_ids("\nNSpid:", task.ns_ids.iter().map(|ids| ids.pid), out);
    put_ns_ids("\nNSpgid:", task.ns_ids.iter().map(|ids| ids.pgid), out);
    put_ns_ids("\nNSsid:", task.ns_ids.iter().map(|ids| ids.sid), out);
    out.put(b"\nKthread:\t");
    out.put(if task.is_kthread { b"1\n" } else { b"0\n" });
}

#[inline]
fn put_id<S: Sink + ?Sized>(key: &str, id: i32, out: &mut S) {
    out.put_str(key);
    out.put_i64(i64::from(id));
}

#[inline]
fn put_kb<S: Sink + ?Sized>(key: &str, kb: u64, out: &mut S) {
    out.put_str(key);
    out.put_u64_wide(kb, 8);
}

#[inline]
fn put_set<S: Sink + ?Sized>(key: &str, set: u64, out: &mut S) {
    out.put_str(key);
    out.put_hex16(set);
}

fn put_ns_ids<S: Sink + ?Sized>(key: &str, ids: impl Iterator<Item = i32>, out: &mut S) {
    out.put_str(key);
    for id in ids {
        out.put_byte(b'\t');
        out.put_i64(i64::from(id));
    }
}

/// Escapes newline and backslash with letters, not octal (`ESCAPE_SPACE | ESCAPE_SPECIAL` limited to `\n\\`).
fn render_name<S: Sink + ?Sized>(comm: &Comm, out: &mut S) {
    let name = comm.as_bytes();
    if !name.iter().any(|byte| matches!(byte, b'\n' | b'\\')) {
        out.put(name);
        return;
    }
    for &byte in name {
        match byte {
            b'\n' => out.put(b"\\n"),
            b'\\' => out.put(b"\\\\"),
            _ => out.put_byte(byte),
        }
    }
}

fn render_mm<S: Sink + ?Sized>(mm: &StatusMm, out: &mut S) {
    let rss_kb = mm.rss_anon_kb + mm.rss_file_kb + mm.rss_shmem_kb;
    let text_kb = mm.text_kb.min(mm.executable_kb);
    put_kb("VmPeak:\t", mm.peak_kb.max(mm.size_kb), out);
    put_kb(" kB\nVmSize:\t", mm.size_kb, out);
    put_kb(" kB\nVmLck:\t", mm.locked_kb, out);
    put_kb(" kB\nVmPin:\t", mm.pinned_kb, out);
    put_kb(" kB\nVmHWM:\t", mm.peak_rss_kb.max(rss_kb), out);
    put_kb(" kB\nVmRSS:\t", rss_kb, out);
    put_kb(" kB\nRssAnon:\t", mm.rss_anon_kb, out);
    put_kb(" kB\nRssFile:\t", mm.rss_file_kb, out);
    put_kb(" kB\nRssShmem:\t", mm.rss_shmem_kb, out);
    put_kb(" kB\nVmData:\t", mm.data_kb, out);
    put_kb(" kB\nVmStk:\t", mm.stack_kb, out);
    put_kb(" kB\nVmExe:\t", text_kb, out);
    put_kb(" kB\nVmLib:\t", mm.executable_kb - text_kb, out);
    put_kb(" kB\nVmPTE:\t", mm.page_tables_kb, out);
    put_kb(" kB\nVmSwap:\t", mm.swap_kb, out);
    put_kb(" kB\nHugetlbPages:\t", mm.hugetlb_kb, out);
    out.put(b" kB\nCoreDumping:\t");
    out.put(if mm.is_dumping_core { b"1" } else { b"0" });
    out.put(b"\nTHP_enabled:\t");
    out.put(if mm.is_thp_enabled { b"1" } else { b"0" });
    out.put(b"\nuntag_mask:\t0x");
    out.put_hex(mm.untag_mask, 1);
    out.put_byte(b'\n');
}

fn render_signals<S: Sink + ?Sized>(task: &Status<'_>, out: &mut S) {
    out.put(b"Threads:\t");
    out.put_u64(u64::from(task.threads));
    out.put(b"\nSigQ:\t");
    out.put_u64(u64::from(task.queued_signals));
    out.put_byte(b'/');
    out.put_u64(task.queued_signals_limit);
    put_set("\nSigPnd:\t", task.pending, out);
    put_set("\nShdPnd:\t", task.shared_pending, out);
    put_set("\nSigBlk:\t", task.blocked, out);
    put_set("\nSigIgn:\t", task.ignored, out);
    put_set("\nSigCgt:\t", task.caught, out);
}

fn render_security<S: Sink + ?Sized>(task: &Status<'_>, out: &mut S) {
    put_set("\nCapInh:\t", task.capabilities.inheritable, out);
    put_set("\nCapPrm:\t", task.capabilities.permitted, out);
    put_set("\nCapEff:\t", task.capabilities.effective, out);
    put_set("\nCapBnd:\t", task.capabilities.bounding, out);
    put_set("\nCapAmb:\t", task.capabilities.ambient, out);
    out.put(b"\nNoNewPrivs:\t");
    out.put(if task.no_new_privs { b"1" } else { b"0" });
    out.put(b"\nSeccomp:\t");
    out.put_u64(u64::from(task.seccomp_mode));
    out.put(b"\nSeccomp_filters:\t");
    out.put_u64(u64::from(task.seccomp_filters));
    out.put(b"\nSpeculation_Store_Bypass:\t");
    out.put_str(task.store_bypass.text());
    out.put(b"\nSpeculationIndirectBranch:\t");
    out.put_str(task.indirect_branch.text());
    out.put_byte(b'\n');
}
