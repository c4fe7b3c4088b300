//! The VMs that are looked at, and what follows from two samples of each: processor use.
//!
//! The interval is the guest's own (its uptime), so a host that is late does not inflate the figures. A process is the same one only
//! while number and start are. At the first sample processor use is that since the start, as ps(1) and top(1) have it.

use std::collections::HashMap;

use super::sample::{Process, Sample};
use crate::proc::system::System;
use crate::proc::table::TICKS_PER_SECOND;
use crate::usage::VmmUse;

/// How a VM stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not answered so far.
    New,
    /// It answered when last asked.
    Answers,
    /// It is held, so it cannot.
    Paused,
    /// It did not, and why, in printable text.
    Silent(String),
    /// It is no more.
    Ended,
}

/// A process with its processor use.
#[derive(Clone, Debug, PartialEq)]
pub struct Used {
    /// The process.
    pub process: Process,
    /// Of one processor, in percent.
    pub cpu_percent: f64,
}

/// One VM.
#[derive(Debug)]
pub struct Vm {
    /// Its name, printable.
    pub name: String,
    /// How it stands.
    pub standing: Standing,
    /// The guest at its last answer.
    pub system: System,
    /// The guest's processor use, in percent.
    pub cpu_percent: f64,
    /// Its processes.
    pub processes: Vec<Used>,
    /// The VMM's process.
    pub vmm: Option<VmmUse>,
    /// The VMM's processor use, in percent.
    pub vmm_cpu_percent: f64,
    has_sample: bool,
    vmm_seen_at_ms: Option<u64>,
}

impl Vm {
    /// A VM of which nothing is known.
    pub fn new(name: String) -> Self {
        Self {
            name,
            standing: Standing::New,
            system: System::default(),
            cpu_percent: 0.0,
            processes: Vec::new(),
            vmm: None,
            vmm_cpu_percent: 0.0,
            has_sample: false,
            vmm_seen_at_ms: None,
        }
    }

    /// Takes a sample in.
    pub fn take(&mut self, sample: Sample) {
        let interval = sample.system.uptime_ticks.saturating_sub(self.system.uptime_ticks);
        // By the time that both sums grew: a guest's idle time may be counted late.
        let busy = sample.system.busy_ticks.saturating_sub(self.system.busy_ticks);
        let all = busy.saturating_add(sample.system.idle_ticks.saturating_sub(self.system.idle_ticks));
        self.cpu_percent = percent(busy, all).min(100.0);
        let before: HashMap<(i32, u64), u64> = self
            .processes
            .drain(..)
            .map(|used| ((used.process.pid, used.process.start_ticks), used.process.cpu_ticks))
            .collect();
        let has_sample = self.has_sample;
        let uptime = sample.system.uptime_ticks;
        self.processes.extend(sample.processes.into_iter().map(|process| {
            let cpu_percent = match before.get(&(process.pid, process.start_ticks)) {
                Some(ticks) => percent(process.cpu_ticks.saturating_sub(*ticks), interval),
                // It began within the interval, so all it has used was used in it.
                None if has_sample => percent(process.cpu_ticks, interval),
                None => percent(process.cpu_ticks, uptime.saturating_sub(process.start_ticks)),
            };
            Used { process, cpu_percent: cpu_percent.min(100.0) }
        }));
        self.system = sample.system;
        self.has_sample = true;
        self.standing = Standing::Answers;
    }

    /// Notes that it did not answer. What was known of its processes is not shown as if it still held.
    pub fn fall_silent(&mut self, why: String) {
        self.standing = Standing::Silent(why);
        self.processes.clear();
        self.has_sample = false;
        self.system = System::default();
        self.cpu_percent = 0.0;
    }

    /// Notes that it is held.
    pub fn pause(&mut self) {
        self.fall_silent(String::new());
        self.standing = Standing::Paused;
    }

    /// Notes that it is no more.
    pub fn end(&mut self) {
        self.fall_silent(String::new());
        self.standing = Standing::Ended;
        self.vmm = None;
        self.vmm_cpu_percent = 0.0;
    }

    /// Takes in what the host says of the VMM at `now_ms`, a time of any origin.
    pub fn take_vmm(&mut self, vmm: Option<VmmUse>, now_ms: u64) {
        self.vmm_cpu_percent = match (&self.vmm, &vmm, self.vmm_seen_at_ms) {
            (Some(before), Some(now), Some(seen_at_ms)) => {
                let used_ms = now.cpu_ticks.saturating_sub(before.cpu_ticks).saturating_mul(1000 / TICKS_PER_SECOND);
                percent(used_ms, now_ms.saturating_sub(seen_at_ms))
            }
            _ => 0.0,
        };
        self.vmm = vmm;
        self.vmm_seen_at_ms = Some(now_ms);
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A process of 1 MiB that began at tick 0.
    pub(in super::super) fn process(pid: i32, ppid: i32, cpu_ticks: u64, command: &str) -> Process {
        Process {
            pid,
            ppid,
            uid: 0,
            stat: "S".into(),
            cpu_ticks,
            start_ticks: 0,
            threads: 1,
            vsz_bytes: 2 << 20,
            rss_bytes: 1 << 20,
            command: command.into(),
        }
    }

    /// A guest that has been up, and busy, for so many ticks.
    pub(in super::super) fn sample(uptime_ticks: u64, busy_ticks: u64, processes: Vec<Process>) -> Sample {
        let idle_ticks = uptime_ticks - busy_ticks;
        Sample { system: System { uptime_ticks, busy_ticks, idle_ticks, ..System::default() }, processes }
    }

    fn percents(vm: &Vm) -> Vec<(i32, f64)> {
        vm.processes.iter().map(|used| (used.process.pid, used.cpu_percent)).collect()
    }

    #[test]
    fn use_is_what_was_added_between_two_samples() {
        let mut vm = Vm::new("a".into());
        vm.take(sample(1000, 500, vec![process(1, 0, 100, "one"), process(2, 1, 50, "two")]));
        assert_eq!((vm.cpu_percent, percents(&vm)), (50.0, vec![(1, 10.0), (2, 5.0)]));
        vm.take(sample(1200, 520, vec![process(1, 0, 100, "one"), process(2, 1, 90, "two"), process(3, 1, 10, "new")]));
        assert_eq!((vm.cpu_percent, percents(&vm)), (10.0, vec![(1, 0.0), (2, 20.0), (3, 5.0)]));
    }

    #[test]
    fn another_process_of_the_same_number_starts_anew() {
        let mut vm = Vm::new("a".into());
        vm.take(sample(1000, 0, vec![process(7, 0, 400, "old")]));
        let young = Process { start_ticks: 1050, ..process(7, 0, 20, "young") };
        vm.take(sample(1100, 0, vec![young]));
        assert_eq!(percents(&vm), [(7, 20.0)]);
    }

    #[test]
    fn numbers_that_fall_or_do_not_move_are_no_use_at_all() {
        let mut vm = Vm::new("a".into());
        vm.take(sample(1000, 900, vec![process(1, 0, 400, "x")]));
        vm.take(sample(1000, 900, vec![process(1, 0, 500, "x")]));
        assert_eq!((vm.cpu_percent, percents(&vm)), (0.0, vec![(1, 0.0)]));
        vm.take(sample(10, 0, vec![process(1, 0, 3, "x")]));
        assert_eq!((vm.cpu_percent, percents(&vm)), (0.0, vec![(1, 0.0)]));
    }

    #[test]
    fn a_silent_vm_shows_no_processes_and_comes_back() {
        let mut vm = Vm::new("a".into());
        vm.take(sample(1000, 0, vec![process(1, 0, 400, "x")]));
        vm.fall_silent("no answer".into());
        assert!(vm.processes.is_empty() && vm.standing == Standing::Silent("no answer".into()));
        vm.take(sample(2000, 0, vec![process(1, 0, 500, "x")]));
        assert_eq!((vm.standing.clone(), percents(&vm)), (Standing::Answers, vec![(1, 25.0)]));
        vm.end();
        assert!(vm.standing == Standing::Ended && vm.processes.is_empty());
    }

    #[test]
    fn the_vmms_use_is_over_the_hosts_time() {
        let mut vm = Vm::new("a".into());
        let at = |cpu_ticks| Some(VmmUse { cpu_ticks, rss_bytes: 1 });
        vm.take_vmm(at(100), 5000);
        assert_eq!(vm.vmm_cpu_percent, 0.0);
        vm.take_vmm(at(150), 7000);
        assert_eq!(vm.vmm_cpu_percent, 25.0);
        vm.take_vmm(None, 8000);
        assert_eq!((vm.vmm_cpu_percent, &vm.vmm), (0.0, &None));
    }
}
