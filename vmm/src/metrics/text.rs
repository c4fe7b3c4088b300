//! The texts of a guest's `/proc`, taken apart.
//!
//! The guest writes them and is not trusted: a number that is not there, or is none, is left out, and a process whose `stat` is not what
//! Linux prints is no process. Nothing here allocates more than the text it was given, and no number can overflow.
//! Formats: proc_stat(5), proc_meminfo(5), proc_loadavg(5), proc_uptime(5), proc_pid_stat(5), proc_pid_status(5), proc_pid_io(5).

use procfs_core::c_integer;

use crate::proc::stat::Stat;
use crate::proc::table::printable;

/// The most letters of a process's name that become a label; Linux's names have 15 bytes, those of kernel threads at most 63.
pub(super) const MAX_COMM_CHARS: usize = 64;
/// Clock ticks in a second, as user space sees them (`USER_HZ` on x86).
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: u64 = 4096;

/// The modes in which `/proc/stat` counts CPU time, in its order; time of guests, which follows, is part of `user` already.
pub(super) const CPU_MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
/// What of `/proc/PID/io` is exported, by its names there.
pub(super) const IO_KINDS: [&str; 4] = ["rchar", "wchar", "read_bytes", "write_bytes"];

/// Clock ticks as seconds.
pub(super) fn seconds(ticks: u64) -> f64 {
    // Exact up to 2^53 ticks, which are three million years.
    ticks as f64 / TICKS_PER_SECOND
}

/// From `/proc/stat`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SystemStat {
    /// Seconds since 1970 at which the guest's clock began.
    pub(super) boot_time: Option<u64>,
    /// Clock ticks by [`CPU_MODES`].
    pub(super) cpu_ticks: [Option<u64>; 8],
    pub(super) context_switches: Option<u64>,
    pub(super) forks: Option<u64>,
}

/// From `/proc/loadavg`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    /// Over 1, 5 and 15 minutes.
    pub(super) averages: [f64; 3],
    pub(super) running: u64,
    pub(super) tasks: u64,
}

/// From `/proc/PID/stat`, and from `status`, `io` and `fd` where these could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// Printable, at most [`MAX_COMM_CHARS`] letters.
    pub(super) comm: String,
    /// One ASCII letter.
    pub(super) state: String,
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) user_ticks: u64,
    pub(super) system_ticks: u64,
    pub(super) threads: u64,
    /// Clock ticks after the boot.
    pub(super) start_ticks: u64,
    /// Seconds since 1970 at which its system booted, if that is known.
    pub(super) boot_time: Option<u64>,
    pub(super) virtual_bytes: u64,
    pub(super) resident_bytes: u64,
    pub(super) voluntary_switches: Option<u64>,
    pub(super) involuntary_switches: Option<u64>,
    /// Bytes by [`IO_KINDS`].
    pub(super) io_bytes: [Option<u64>; 4],
    pub(super) open_fds: Option<u64>,
}

/// A process number as a directory's name has it: without a sign and leading zeros, so that one number has one name.
pub(super) fn pid(name: &[u8]) -> Option<i32> {
    c_integer::parse_entry_pid(name)
}

/// Takes `/proc/stat` apart.
pub(super) fn system_stat(text: &[u8]) -> SystemStat {
    let mut ticks = value(text, "cpu").unwrap_or_default().split_ascii_whitespace().map(|word| word.parse().ok());
    SystemStat {
        boot_time: number(text, "btime"),
        cpu_ticks: std::array::from_fn(|_| ticks.next().flatten()),
        context_switches: number(text, "ctxt"),
        forks: number(text, "processes"),
    }
}

/// A field of `/proc/meminfo` in bytes.
pub(super) fn memory_bytes(text: &[u8], name: &str) -> Option<u64> {
    let kilobytes: u64 = value(text, name)?.strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Takes `/proc/loadavg` apart.
pub(super) fn load(text: &[u8]) -> Option<Load> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let mut average = || real(words.next()?);
    let averages = [average()?, average()?, average()?];
    let (running, tasks) = words.next()?.split_once('/')?;
    Some(Load { averages, running: running.parse().ok()?, tasks: tasks.parse().ok()? })
}

/// The seconds since boot, from `/proc/uptime`.
pub(super) fn uptime(text: &[u8]) -> Option<f64> {
    real(std::str::from_utf8(text).ok()?.split_ascii_whitespace().next()?)
}

/// Takes a process's `stat` apart; `None` unless it is that of process `pid`.
pub(super) fn process(pid: i32, text: &[u8]) -> Option<Process> {
    let stat = Stat::parse(text).filter(|stat| stat.pid == pid)?;
    let count = |number: usize| stat.field::<u64>(number);
    Some(Process {
        pid,
        comm: label(stat.comm),
        state: stat.state.to_owned(),
        minor_faults: count(10)?,
        major_faults: count(12)?,
        user_ticks: count(14)?,
        system_ticks: count(15)?,
        threads: count(20)?,
        start_ticks: count(22)?,
        virtual_bytes: count(23)?,
        resident_bytes: count(24)?.checked_mul(PAGE_BYTES)?,
        ..Process::default()
    })
}

impl Process {
    /// Adds what `status` tells.
    pub(super) fn add_status(&mut self, text: &[u8]) {
        self.voluntary_switches = number(text, "voluntary_ctxt_switches");
        self.involuntary_switches = number(text, "nonvoluntary_ctxt_switches");
    }

    /// Adds what `io` tells.
    pub(super) fn add_io(&mut self, text: &[u8]) {
        self.io_bytes = IO_KINDS.map(|kind| number(text, kind));
    }
}

/// Bytes of a guest as a label: valid UTF-8, printable, bounded.
fn label(bytes: &[u8]) -> String {
    // A letter has at most four bytes; what is cut here could not be shown anyway.
    let bytes = &bytes[..bytes.len().min(4 * MAX_COMM_CHARS)];
    printable(&String::from_utf8_lossy(bytes)).chars().take(MAX_COMM_CHARS).collect()
}

/// What follows `name` at the start of a line, behind a colon or a blank.
fn value<'a>(text: &'a [u8], name: &str) -> Option<&'a str> {
    let rest = text.split(|byte| *byte == b'\n').find_map(|line| {
        line.strip_prefix(name.as_bytes()).filter(|rest| matches!(rest.first(), Some(b':' | b' ' | b'\t')))
    })?;
    Some(std::str::from_utf8(&rest[1..]).ok()?.trim())
}

fn number(text: &[u8], name: &str) -> Option<u64> {
    value(text, name)?.parse().ok()
}

/// A number that is finite and not negative.
fn real(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite() && value.is_sign_positive())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "7 (a) b) S 1 7 7 0 -1 4194560 90 0 3 0 250 50 0 0 20 0 2 0 1234 2289664 371 18446744073709551615 1 2";

    #[test]
    fn a_process_is_read_from_its_stat_whatever_its_name_holds() {
        let process = process(7, STAT.as_bytes()).unwrap();
        assert_eq!((process.comm.as_str(), process.state.as_str()), ("a) b", "S"));
        assert_eq!((process.minor_faults, process.major_faults), (90, 3));
        assert_eq!((seconds(process.user_ticks), seconds(process.system_ticks)), (2.5, 0.5));
        assert_eq!((process.threads, process.start_ticks), (2, 1234));
        assert_eq!((process.virtual_bytes, process.resident_bytes), (2_289_664, 371 * 4096));
    }

    #[test]
    fn a_stat_that_linux_would_not_print_is_no_process() {
        assert_eq!(process(8, STAT.as_bytes()), None, "another process's");
        for (from, to) in [
            (" S ", " \u{1b} "),
            (" S ", " SS "),
            (" 371 ", " -1 "),
            (" 371 ", " 99999999999999999 "),
            (" 250 ", " 1e9 "),
        ] {
            assert_eq!(process(7, STAT.replace(from, to).as_bytes()), None, "{to}");
        }
        for text in [&b""[..], b"7", b"7 (", b"7 )(", b"7 (x)", b"7 (x) S 1", b"\xff (x) S", b"7 (x) \xff"] {
            assert_eq!(process(7, text), None);
        }
    }

    #[test]
    fn a_name_becomes_a_printable_and_bounded_label() {
        let named =
            |name: &[u8]| process(7, &[b"7 (", name, STAT.strip_prefix("7 (a) b").unwrap().as_bytes()].concat());
        assert_eq!(named(b"a\nb\"\x1b[2J\xff").unwrap().comm, "a\\nb\"\\x1b[2J\u{fffd}");
        assert_eq!(named(&[b'x'; 100_000]).unwrap().comm.len(), MAX_COMM_CHARS);
        assert_eq!(named(&[1; 100_000]).unwrap().comm.len(), MAX_COMM_CHARS);
    }

    #[test]
    fn numbers_of_the_whole_guest_are_found_by_their_names() {
        let stat = system_stat(
            b"cpu  10 1 20 400 5 0 2 3 9 9\ncpu0 1 1 1 1\nintr 5\nctxt 77\nbtime 1700000000\nprocesses 12\n",
        );
        assert_eq!(stat.cpu_ticks, [10, 1, 20, 400, 5, 0, 2, 3].map(Some));
        assert_eq!((stat.context_switches, stat.boot_time, stat.forks), (Some(77), Some(1_700_000_000), Some(12)));
        assert_eq!(memory_bytes(b"MemTotal:  126000 kB\nMemFree: 5 kB\n", "MemFree"), Some(5120));
        assert_eq!(uptime(b"12.50 3.00\n"), Some(12.5));
        let load = load(b"0.10 0.20 1.50 2/31 99\n").unwrap();
        assert_eq!((load.averages, load.running, load.tasks), ([0.1, 0.2, 1.5], 2, 31));
        let mut process = process(7, STAT.as_bytes()).unwrap();
        process.add_status(b"Name:\tx\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t6\n");
        process.add_io(b"rchar: 1\nwchar: 2\nsyscr: 8\nread_bytes: 3\nwrite_bytes: 4\n");
        assert_eq!((process.voluntary_switches, process.involuntary_switches), (Some(5), Some(6)));
        assert_eq!(process.io_bytes, [1, 2, 3, 4].map(Some));
    }

    #[test]
    fn a_lie_leaves_the_number_out() {
        assert_eq!(
            system_stat(b"cpu x 1\nbtime -1\nctxt 99999999999999999999\nprocesses\n"),
            SystemStat { cpu_ticks: [None, Some(1), None, None, None, None, None, None], ..SystemStat::default() }
        );
        for text in [
            &b""[..],
            b"MemFree",
            b"MemFree: kB",
            b"MemFree: -1 kB",
            b"MemFree: 18446744073709551615 kB",
            b"MemFree: 5",
        ] {
            assert_eq!(memory_bytes(text, "MemFree"), None);
        }
        for text in [&b""[..], b"nan nan nan 1/1 1", b"inf 0 0 1/1 1", b"-1 0 0 1/1 1", b"0 0 0 1 1", b"0 0 0 -1/2 1"] {
            assert_eq!(load(text), None);
        }
        assert_eq!((uptime(b"NaN"), uptime(b"1e999"), uptime(b"\xff")), (None, None, None));
        for name in [&b""[..], b"0", b"01", b"+1", b"-1", b"1a", b"self", b"2147483648", b"\xd9\xa1"] {
            assert_eq!(pid(name), None);
        }
        assert_eq!(pid(b"2147483647"), Some(i32::MAX));
    }
}
