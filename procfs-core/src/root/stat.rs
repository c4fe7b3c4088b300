//! `/proc/stat`: what the machine has done since it started.
//!
//! Source: Linux 6.12 fs/proc/stat.c show_stat(); proc_stat(5).

use crate::Sink;

/// Time that one processor, or all of them, spent, in ticks of 10 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTimes {
    /// In user mode, with `guest`.
    pub user: u64,
    /// In user mode at lowered priority, with `guest_nice`.
    pub nice: u64,
    /// In the kernel.
    pub system: u64,
    /// Idle.
    pub idle: u64,
    /// Idle with I/O under way.
    pub iowait: u64,
    /// In interrupts.
    pub irq: u64,
    /// In soft interrupts.
    pub softirq: u64,
    /// Taken by the hypervisor.
    pub steal: u64,
    /// Running a guest.
    pub guest: u64,
    /// Running a guest at lowered priority.
    pub guest_nice: u64,
}

/// What `stat` shows.
#[derive(Debug, Clone, Copy)]
pub struct Stat<'a> {
    /// All processors together.
    pub total: CpuTimes,
    /// Each processor that is online, by its number.
    pub cpus: &'a [(u32, CpuTimes)],
    /// Interrupts of every kind.
    pub interrupts: u64,
    /// Interrupts of each number from 0 on.
    pub interrupts_by_number: &'a [u64],
    /// Switches between tasks.
    pub context_switches: u64,
    /// When the machine started, in seconds since 1970.
    pub boot_time_s: u64,
    /// Tasks created.
    pub forks: u64,
    /// Tasks that run or wait for a processor.
    pub running: u64,
    /// Tasks that wait for I/O.
    pub blocked: u64,
    /// Soft interrupts by number: HI, TIMER, NET_TX, NET_RX, BLOCK, IRQ_POLL, TASKLET, SCHED, HRTIMER, RCU.
    pub softirqs: [u64; 10],
}

/// Renders the file.
pub fn render<S: Sink + ?Sized>(stat: &Stat<'_>, out: &mut S) {
    out.put(b"cpu ");
    put_times(&stat.total, out);
    for (number, times) in stat.cpus {
        out.put(b"cpu");
        out.put_u64(u64::from(*number));
        put_times(times, out);
    }
    out.put(b"intr ");
    out.put_u64(stat.interrupts);
    put_each(stat.interrupts_by_number, out);
    for (key, value) in [
        ("\nctxt ", stat.context_switches),
        ("\nbtime ", stat.boot_time_s),
        ("\nprocesses ", stat.forks),
        ("\nprocs_running ", stat.running),
        ("\nprocs_blocked ", stat.blocked),
        ("\nsoftirq ", stat.softirqs.iter().sum()),
    ] {
        out.put_str(key);
        out.put_u64(value);
    }
    put_each(&stat.softirqs, out);
    out.put_byte(b'\n');
}

fn put_times<S: Sink + ?Sized>(times: &CpuTimes, out: &mut S) {
    let CpuTimes { user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice } = *times;
    put_each(&[user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice], out);
    out.put_byte(b'\n');
}

fn put_each<S: Sink + ?Sized>(values: &[u64], out: &mut S) {
    for &value in values {
        out.put_byte(b' ');
        out.put_u64(value);
    }
}
