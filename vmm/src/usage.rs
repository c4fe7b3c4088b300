//! What a VM uses: as its guest counts, from the guest's `/proc`, and as the host does, from its own `/proc` of the VMM's process.
//!
//! The two differ: the host's figures hold the VMM and what the hypervisor does for the guest, the guest's only what ran in it.

use std::fs;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::proc::client::{Client, Options};
use crate::proc::system::{self, System};
use crate::proc::table;
use crate::registry::{self, Condition, Entry};

/// The VMM's process as the host sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VmmUse {
    /// Processor time, the guest's included, in ticks of 1/100 s.
    pub cpu_ticks: u64,
    /// Resident memory in bytes, with the guest RAM that has been touched.
    pub rss_bytes: u64,
}

/// Both sides of a VM; `None` for a side that did not answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Usage {
    /// As the guest counts.
    pub guest: Option<System>,
    /// As the host does.
    pub vmm: Option<VmmUse>,
}

/// Reads the host's `/proc` of a VM's process; `None` when that has ended, even if another process has its number now.
pub fn of_vmm(entry: &Entry) -> Option<VmmUse> {
    let stat = fs::read(format!("/proc/{}/stat", entry.pid)).ok()?;
    let row = table::parse(&stat, b"", b"").filter(|row| row.start_ticks == entry.pid_start)?;
    Some(VmmUse { cpu_ticks: row.cpu_ticks, rss_bytes: row.rss_bytes })
}

/// Asks all VMs at once; one that does not answer within `patience` is given up.
pub fn of_all(entries: &[Entry], patience: Duration) -> Vec<Usage> {
    thread::scope(|scope| {
        let askers: Vec<_> = entries.iter().map(|entry| scope.spawn(move || of_guest(entry, patience))).collect();
        let guests = askers.into_iter().map(|asker| asker.join().ok().flatten());
        entries.iter().zip(guests).map(|(entry, guest)| Usage { guest, vmm: of_vmm(entry) }).collect()
    })
}

fn of_guest(entry: &Entry, patience: Duration) -> Option<System> {
    // One that is paused cannot answer: there is nothing to wait for.
    if entry.state == Condition::Paused {
        return None;
    }
    let stream = registry::connect(&entry.socket).ok()?;
    let mut client = Client::new(stream, &Options { timeout: Some(patience), ..Options::default() }).ok()?;
    match &client.read_files(&system::FILES).ok()?[..] {
        [Ok(stat), Ok(meminfo), Ok(loadavg), Ok(uptime)] => System::parse([stat, meminfo, loadavg, uptime]),
        _ => None,
    }
}

/// A number of bytes in few characters, such as `980K` or `1.5G`.
pub fn size(bytes: u64) -> String {
    let units = [(40, 'T'), (30, 'G'), (20, 'M')];
    match units.iter().find(|(shift, _)| bytes >= 1 << shift) {
        Some((shift, unit)) => {
            let value = bytes as f64 / (1u64 << shift) as f64;
            if value < 99.95 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
        }
        None => format!("{}K", bytes >> 10),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    use super::*;
    use crate::registry::Config;

    fn entry(pid: i32, pid_start: u64, socket: std::path::PathBuf) -> Entry {
        let config = Config { command: vec![], memory_bytes: 0, started_at: 0, detached: false };
        Entry {
            name: "x".into(),
            pid,
            pid_start,
            config,
            state: Condition::Running,
            control: "/".into(),
            output: "/".into(),
            socket,
        }
    }

    #[test]
    fn a_process_is_told_by_its_start_too() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let row = table::parse(&fs::read("/proc/self/stat").unwrap(), b"", b"").unwrap();
        assert!(of_vmm(&entry(pid, row.start_ticks, "/".into())).unwrap().rss_bytes > 0);
        assert_eq!(of_vmm(&entry(pid, row.start_ticks + 1, "/".into())), None);
    }

    #[test]
    fn vms_that_are_silent_cost_their_own_answer_and_bounded_time() {
        let folder = tempfile::tempdir().unwrap();
        let silent = folder.path().join("silent");
        let _listener = UnixListener::bind(&silent).unwrap();
        let start = Instant::now();
        let entries = [entry(0, 0, silent.clone()), entry(0, 0, folder.path().join("none")), entry(0, 0, silent)];
        let usages = of_all(&entries, Duration::from_millis(200));
        assert!(usages.iter().all(|usage| usage.guest.is_none() && usage.vmm.is_none()) && usages.len() == 3);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }

    #[test]
    fn sizes_are_short() {
        let sizes = [0, 1023 << 10, 1 << 20, 150 << 20, 3 << 29, u64::MAX].map(size);
        assert_eq!(sizes, ["0K", "1023K", "1.0M", "150M", "1.5G", "16777216T"]);
    }
}
