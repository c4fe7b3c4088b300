//! What a guest says of itself as a whole: processor, memory, load, uptime.
//!
//! Made of the texts of `/proc/stat`, `meminfo`, `loadavg` and `uptime`, which the guest writes and nobody believes: what does not parse is
//! nothing, and no sum overflows. Formats: proc_stat(5), proc_meminfo(5), proc_loadavg(5), proc_uptime(5).

use serde::Serialize;

use super::table::TICKS_PER_SECOND;

/// The files it is made of, in the order in which [`System::parse`] takes them.
pub const FILES: [&str; 4] = ["stat", "meminfo", "loadavg", "uptime"];

/// A guest at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct System {
    /// Since its boot, in ticks of 1/100 s.
    pub uptime_ticks: u64,
    /// When it booted, in seconds since 1970.
    pub boot_time_seconds: u64,
    /// Processor time of programs and kernel, in ticks.
    pub busy_ticks: u64,
    /// Processor time that nobody wanted, in ticks.
    pub idle_ticks: u64,
    /// RAM that its kernel gives out, in bytes.
    pub memory_total_bytes: u64,
    /// Of it, what programs could still get.
    pub memory_available_bytes: u64,
    /// Load of the last 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Threads that want the processor.
    pub tasks_running: u64,
    /// All threads.
    pub tasks: u64,
}

impl System {
    /// Takes the texts of [`FILES`]; `None` when the first has no line of the processor or the last no uptime.
    pub fn parse(texts: [&[u8]; 4]) -> Option<Self> {
        let [stat, meminfo, loadavg, uptime] = texts.map(|text| std::str::from_utf8(text).unwrap_or(""));
        let mut system = Self { uptime_ticks: hundredths(uptime.split_ascii_whitespace().next()?)?, ..Self::default() };
        let mut has_cpu = false;
        for line in stat.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("cpu") => {
                    has_cpu = true;
                    // user nice system idle iowait irq softirq steal; guest times are in user's already.
                    for (place, ticks) in words.take(8).map_while(|word| word.parse::<u64>().ok()).enumerate() {
                        let sum = if matches!(place, 3 | 4) { &mut system.idle_ticks } else { &mut system.busy_ticks };
                        *sum = sum.saturating_add(ticks);
                    }
                }
                Some("btime") => {
                    system.boot_time_seconds = words.next().and_then(|word| word.parse().ok()).unwrap_or(0)
                }
                _ => {}
            }
        }
        for line in meminfo.lines() {
            let mut words = line.split_ascii_whitespace();
            let place = match words.next() {
                Some("MemTotal:") => &mut system.memory_total_bytes,
                Some("MemAvailable:") => &mut system.memory_available_bytes,
                _ => continue,
            };
            *place = words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0).saturating_mul(1024);
        }
        let mut words = loadavg.split_ascii_whitespace();
        for load in &mut system.load {
            let number = words.next().and_then(|word| word.parse::<f64>().ok());
            *load = number.filter(|load| load.is_finite() && *load >= 0.0).unwrap_or(0.0);
        }
        if let Some((running, all)) = words.next().and_then(|word| word.split_once('/')) {
            system.tasks_running = running.parse().unwrap_or(0);
            system.tasks = all.parse().unwrap_or(0);
        }
        has_cpu.then_some(system)
    }

    /// Memory that programs have, in bytes.
    pub fn memory_used_bytes(&self) -> u64 {
        self.memory_total_bytes.saturating_sub(self.memory_available_bytes)
    }
}

/// `SECONDS.HUNDREDTHS` in ticks.
fn hundredths(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: u64 = seconds.parse().ok()?;
    Some(
        seconds
            .saturating_mul(TICKS_PER_SECOND)
            .saturating_add(fraction.parse::<u64>().ok().filter(|part| *part < 100)?),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_what_its_four_files_say() {
        let system = System::parse([
            b"cpu  1 2 3 100 50 4 5 6 0 0\ncpu0 9 9 9 9\nbtime 1700000000\n",
            b"MemTotal:     1000 kB\nMemFree: 1 kB\nMemAvailable:  400 kB\n",
            b"0.50 0.25 0.10 2/77 123\n",
            b"12.34 10.00\n",
        ]);
        let expected = System {
            uptime_ticks: 1234,
            boot_time_seconds: 1_700_000_000,
            busy_ticks: 21,
            idle_ticks: 150,
            memory_total_bytes: 1_024_000,
            memory_available_bytes: 409_600,
            load: [0.5, 0.25, 0.1],
            tasks_running: 2,
            tasks: 77,
        };
        assert_eq!(system, Some(expected.clone()));
        assert_eq!(expected.memory_used_bytes(), 614_400);
    }

    #[test]
    fn this_hosts_own_files_parse() {
        let texts = FILES.map(|file| std::fs::read(format!("/proc/{file}")).unwrap());
        let system = System::parse(texts.each_ref().map(Vec::as_slice)).unwrap();
        assert!(system.memory_total_bytes > system.memory_available_bytes && system.tasks > 0, "{system:?}");
    }

    #[test]
    fn hostile_texts_give_nothing_or_bounded_numbers() {
        assert_eq!(System::parse([b"", b"", b"", b"1.00"]), None);
        assert_eq!(System::parse([b"cpu 1", b"", b"", b""]), None);
        assert_eq!(System::parse([b"cpu 1", b"", b"", b"1.999"]), None);
        let most = b"cpu 18446744073709551615 18446744073709551615 x";
        let system = System::parse([
            most,
            b"MemTotal: 18446744073709551615 kB\nMemAvailable: -1 kB",
            b"nan inf -1 x",
            b"18446744073709551615.99",
        ]);
        let system = system.unwrap();
        assert_eq!((system.busy_ticks, system.memory_total_bytes, system.load), (u64::MAX, u64::MAX, [0.0; 3]));
        assert_eq!(system.uptime_ticks, u64::MAX);
    }
}
