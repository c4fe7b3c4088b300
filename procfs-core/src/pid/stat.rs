//! `/proc/PID/stat`: one line of 52 fields.
//!
//! Owns the order, signs and hiding rules of the fields. Sums over a thread group (for the PID level) are the caller's.
//! Source: Linux 6.12 fs/proc/array.c do_task_stat(); proc_pid_stat(5).

use crate::Sink;
use crate::pid::comm::SHOWN_NAME_MAX;
use crate::pid::{Comm, PtraceRead, TaskState};
use crate::sink::{decimal_len, write_decimal_before};

/// `PF_EXITING`: the task is being shut down.
pub const PF_EXITING: u32 = 0x4;
/// `PF_POSTCOREDUMP`: a core dump was made or will not be.
pub const PF_POSTCOREDUMP: u32 = 0x8;
/// `PF_FORKNOEXEC`: forked, but has not called exec.
pub const PF_FORKNOEXEC: u32 = 0x40;
/// `PF_SUPERPRIV`: has used a privilege.
pub const PF_SUPERPRIV: u32 = 0x100;
/// `PF_DUMPCORE`: is dumping core.
pub const PF_DUMPCORE: u32 = 0x200;
/// `PF_SIGNALED`: killed by a signal.
pub const PF_SIGNALED: u32 = 0x400;
/// `PF_KTHREAD`: a kernel thread.
pub const PF_KTHREAD: u32 = 0x20_0000;
/// `PF_RANDOMIZE`: its address space is randomized.
pub const PF_RANDOMIZE: u32 = 0x40_0000;

/// Everything `stat` shows of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// Pid or tid, in the pid namespace of the mount (as every number below).
    pub pid: i32,
    /// Its name.
    pub comm: Comm,
    /// Its state.
    pub state: TaskState,
    /// Thread group of its real parent; 0 if there is none in the namespace.
    pub ppid: i32,
    /// Process group; 0 if its leader is outside the namespace, -1 if the task has already left its group.
    pub pgrp: i32,
    /// Session; as `pgrp`.
    pub session: i32,
    /// Controlling terminal as [`tty_number`] gives it; 0 for none.
    pub tty_nr: i32,
    /// Foreground process group of that terminal; -1 for none.
    pub tpgid: i32,
    /// `PF_*` flags.
    pub flags: u32,
    /// Page faults without I/O: of the group, or of the thread at TID level.
    pub min_flt: u64,
    /// Page faults without I/O of waited-for children.
    pub cmin_flt: u64,
    /// Page faults with I/O: of the group, or of the thread at TID level.
    pub maj_flt: u64,
    /// Page faults with I/O of waited-for children.
    pub cmaj_flt: u64,
    /// User time in ticks of 10 ms: of the group, or of the thread at TID level.
    pub utime_ticks: u64,
    /// System time in ticks of 10 ms: of the group, or of the thread at TID level.
    pub stime_ticks: u64,
    /// User time of waited-for children, in ticks.
    pub cutime_ticks: u64,
    /// System time of waited-for children, in ticks.
    pub cstime_ticks: u64,
    /// 20 + nice for ordinary tasks, -1 - `rt_priority` for real-time ones.
    pub priority: i32,
    /// -20 to 19.
    pub nice: i32,
    /// Threads in the group.
    pub num_threads: u32,
    /// When it started, in ticks since boot.
    pub start_time_ticks: u64,
    /// Its address space; `None` for kernel threads and zombies.
    pub mm: Option<StatMm>,
    /// Soft limit of resident memory in bytes; `u64::MAX` for none.
    pub rss_limit_bytes: u64,
    /// Stack pointer; shown only while the task exits or dumps core.
    pub kstk_esp: u64,
    /// Instruction pointer; shown only while the task exits or dumps core.
    pub kstk_eip: u64,
    /// Pending signals of the task, bit 0 is signal 1.
    pub pending: u64,
    /// Blocked signals.
    pub blocked: u64,
    /// Ignored signals.
    pub ignored: u64,
    /// Caught signals.
    pub caught: u64,
    /// Whether the PID level is asked about a group of several threads; field 35 is 0 then.
    pub is_whole_group: bool,
    /// Signal sent to the parent on exit; -1 for a thread that is not the leader.
    pub exit_signal: i32,
    /// Processor it last ran on.
    pub processor: u32,
    /// 1 to 99 for real-time tasks, else 0.
    pub rt_priority: u32,
    /// Scheduling policy: 0 OTHER, 1 FIFO, 2 RR, 3 BATCH, 5 IDLE, 6 DEADLINE.
    pub policy: u32,
    /// Time waiting for block I/O, in ticks.
    pub delayacct_blkio_ticks: u64,
    /// Time running a guest, in ticks.
    pub gtime_ticks: u64,
    /// The same of waited-for children, in ticks.
    pub cgtime_ticks: u64,
    /// Exit status in `wait(2)`'s form.
    pub exit_code: i32,
}

/// What `stat` shows of an address space; all but the sizes in bytes or pages are addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatMm {
    /// Size of all mappings in bytes.
    pub vsize_bytes: u64,
    /// Resident pages.
    pub rss_pages: u64,
    /// Start of the program's code.
    pub start_code: u64,
    /// End of the program's code.
    pub end_code: u64,
    /// Bottom of the main stack.
    pub start_stack: u64,
    /// Start of the program's data.
    pub start_data: u64,
    /// End of the program's data.
    pub end_data: u64,
    /// Start of the heap.
    pub start_brk: u64,
    /// Start of the arguments.
    pub arg_start: u64,
    /// End of the arguments.
    pub arg_end: u64,
    /// Start of the environment.
    pub env_start: u64,
    /// End of the environment.
    pub env_end: u64,
}

/// Encodes a terminal's device number for field 7 (`new_encode_dev`).
#[must_use]
pub const fn tty_number(major: u32, minor: u32) -> i32 {
    ((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)).cast_signed()
}

/// Renders the file.
pub fn render<S: Sink + ?Sized>(task: &Stat, ptrace: PtraceRead, out: &mut S) {
    let is_permitted = ptrace == PtraceRead::Permitted;
    let mut line = Line { bytes: [0; LINE_MAX], len: 0 };
    line.number(i64::from(task.pid));
    line.text(b" (");
    line.text(task.comm.as_bytes());
    line.text(&[b')', b' ', task.state.letter()]);
    for number in [task.ppid, task.pgrp, task.session, task.tty_nr, task.tpgid] {
        line.signed(number);
    }
    line.unsigned(u64::from(task.flags));
    for number in [
        task.min_flt,
        task.cmin_flt,
        task.maj_flt,
        task.cmaj_flt,
        task.utime_ticks,
        task.stime_ticks,
        task.cutime_ticks,
        task.cstime_ticks,
    ] {
        line.unsigned(number);
    }
    line.signed(task.priority);
    line.signed(task.nice);
    line.unsigned(u64::from(task.num_threads));
    line.text(b" 0");
    line.unsigned(task.start_time_ticks);
    let mm = task.mm.unwrap_or_default();
    line.unsigned(mm.vsize_bytes);
    line.unsigned(mm.rss_pages);
    line.unsigned(task.rss_limit_bytes);
    if is_permitted {
        line.unsigned(mm.start_code);
        line.unsigned(mm.end_code);
        line.unsigned(mm.start_stack);
    } else {
        line.text(if task.mm.is_some() { b" 1 1 0" } else { b" 0 0 0" });
    }
    let is_stopped_for_good = task.flags & (PF_EXITING | PF_DUMPCORE | PF_POSTCOREDUMP) != 0;
    if is_permitted && task.mm.is_some() && is_stopped_for_good {
        line.unsigned(task.kstk_esp);
        line.unsigned(task.kstk_eip);
    } else {
        line.text(b" 0 0");
    }
    for set in [task.pending, task.blocked, task.ignored, task.caught] {
        line.unsigned(set & 0x7fff_ffff);
    }
    let has_wchan = is_permitted && !(task.is_whole_group && task.num_threads > 1) && task.state != TaskState::Running;
    line.text(if has_wchan { b" 1 0 0" } else { b" 0 0 0" });
    line.signed(task.exit_signal);
    for number in [
        u64::from(task.processor),
        u64::from(task.rt_priority),
        u64::from(task.policy),
        task.delayacct_blkio_ticks,
        task.gtime_ticks,
        task.cgtime_ticks,
    ] {
        line.unsigned(number);
    }
    if is_permitted && task.mm.is_some() {
        for address in [mm.start_data, mm.end_data, mm.start_brk, mm.arg_start, mm.arg_end, mm.env_start, mm.env_end] {
            line.unsigned(address);
        }
    } else {
        line.text(b" 0 0 0 0 0 0 0");
    }
    line.signed(if is_permitted { task.exit_code } else { 0 });
    line.text(b"\n");
    out.put(&line.bytes[..line.len]);
}

/// Longest line: 51 numbers of at most 20 characters, a name and a state, 54 separators.
const LINE_MAX: usize = 51 * 20 + SHOWN_NAME_MAX + 1 + 54;

/// The line under construction. It is put at once: over 100 small pieces would cost more than the numbers.
struct Line {
    bytes: [u8; LINE_MAX],
    len: usize,
}

impl Line {
    fn text(&mut self, text: &[u8]) {
        self.bytes[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
    }

    /// A field, after a space.
    fn unsigned(&mut self, value: u64) {
        self.bytes[self.len] = b' ';
        self.len += 1;
        self.digits(value);
    }

    /// A field, after a space.
    fn signed(&mut self, value: i32) {
        self.bytes[self.len] = b' ';
        self.len += 1;
        self.number(i64::from(value));
    }

    fn number(&mut self, value: i64) {
        if value < 0 {
            self.bytes[self.len] = b'-';
            self.len += 1;
        }
        self.digits(value.unsigned_abs());
    }

    fn digits(&mut self, value: u64) {
        if value < 10 {
            // Most fields of most tasks.
            self.bytes[self.len] = b'0' + value as u8;
            self.len += 1;
        } else {
            self.len += decimal_len(value);
            write_decimal_before(&mut self.bytes, self.len, value);
        }
    }
}
