//! One VM's numbers: a directory, some files and their attributes in three batches, all within one deadline.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;

use super::Options;
use super::text::{self, Load, Process, SystemStat};
use crate::proc::{Client, ClientError, client};
use crate::registry;

/// Bytes that the list of processes may have: about twenty thousand of them.
const MAX_LIST_BYTES: usize = 1 << 20;
/// Bytes that one file may have. Small, as those of all processes are held at once.
const MAX_FILE_BYTES: usize = 32 * 1024;
/// The message limit to propose, in bytes; a reply may exceed [`MAX_FILE_BYTES`] by no more.
const MSIZE: u32 = 16 * 1024;
/// Files of the whole guest.
const SYSTEM_FILES: [&str; 4] = ["stat", "meminfo", "loadavg", "uptime"];
/// Files of each process.
const PROCESS_FILES: [&str; 3] = ["stat", "status", "io"];

/// What a guest told; nothing in it was missing when it answered, unless it lied.
#[derive(Debug, Default)]
pub(super) struct Guest {
    pub(super) stat: SystemStat,
    pub(super) memory_total_bytes: Option<u64>,
    pub(super) memory_free_bytes: Option<u64>,
    pub(super) memory_available_bytes: Option<u64>,
    pub(super) load: Option<Load>,
    pub(super) uptime_seconds: Option<f64>,
    /// All that the guest listed.
    pub(super) process_count: usize,
    /// Those of them that were not read, being over the limit.
    pub(super) dropped_count: usize,
    pub(super) processes: Vec<Process>,
}

/// Reads the VM that listens at `socket`, by the client of an earlier scrape if there is one.
pub(super) fn guest(
    socket: &Path,
    kept: &mut Option<Client<UnixStream>>,
    requests: &Histogram,
    options: Options,
) -> Result<Guest, ClientError> {
    let deadline = Instant::now() + options.timeout;
    let left = || {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ClientError::Timeout) } else { Ok(left) }
    };
    let client = match kept {
        Some(client) => client,
        None => kept.insert(connect(socket, requests, left()?)?),
    };
    client.set_limits(Some(left()?), MAX_LIST_BYTES);
    // A set: a guest that lists a process twice must not make two series of one name.
    let pids: BTreeSet<i32> = client.ls("/")?.iter().filter_map(|entry| text::pid(&entry.name)).collect();
    let chosen: Vec<i32> = pids.iter().copied().take(options.max_processes).collect();
    let of_processes = chosen.iter().flat_map(|pid| PROCESS_FILES.map(|file| format!("{pid}/{file}")));
    let paths: Vec<String> = SYSTEM_FILES.map(str::to_owned).into_iter().chain(of_processes).collect();
    client.set_limits(Some(left()?), MAX_FILE_BYTES);
    let texts = client.read_files(&paths)?;
    // Since Linux 6.2 the size of this directory is the count of open descriptors: one request instead of a list.
    let directories: Vec<String> = chosen.iter().map(|pid| format!("{pid}/fd")).collect();
    client.set_limits(Some(left()?), MAX_FILE_BYTES);
    let attributes = client.getattrs(&directories)?;

    let (of_system, of_processes) = texts.split_at(SYSTEM_FILES.len());
    let [stat, memory, load, uptime] = std::array::from_fn(|file| of_system[file].as_deref().unwrap_or_default());
    let each = chosen.iter().zip(of_processes.chunks_exact(PROCESS_FILES.len())).zip(attributes);
    let stat = text::system_stat(stat);
    // A process that has ended since it was listed has no text.
    let processes: Vec<Process> = each
        .filter_map(|((pid, texts), attributes)| {
            let mut process = text::process(*pid, texts[0].as_deref().ok()?)?;
            process.add_status(texts[1].as_deref().unwrap_or_default());
            process.add_io(texts[2].as_deref().unwrap_or_default());
            process.boot_time = stat.boot_time;
            process.open_fds = attributes.ok().map(|attributes| attributes.size);
            Some(process)
        })
        .collect();
    Ok(Guest {
        stat,
        memory_total_bytes: text::memory_bytes(memory, "MemTotal"),
        memory_free_bytes: text::memory_bytes(memory, "MemFree"),
        memory_available_bytes: text::memory_bytes(memory, "MemAvailable"),
        load: text::load(load),
        uptime_seconds: text::uptime(uptime),
        process_count: pids.len(),
        dropped_count: pids.len() - chosen.len(),
        processes,
    })
}

fn connect(socket: &Path, requests: &Histogram, timeout: Duration) -> Result<Client<UnixStream>, ClientError> {
    let stream = registry::try_connect(socket).map_err(ClientError::Io)?;
    let options = client::Options { timeout: Some(timeout), msize: MSIZE, ..client::Options::default() };
    let mut client = Client::new(stream, &options)?;
    let requests = requests.clone();
    client.observe(move |duration| requests.observe(duration.as_secs_f64()));
    Ok(client)
}

/// The VMM's own numbers, from the host's `/proc`; `None` when the process is another or none.
pub(super) fn vmm(pid: i32, start_ticks: u64) -> Option<Process> {
    let text = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    text::process(pid, &text).filter(|process| process.start_ticks == start_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vmm_is_known_by_its_start_too() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let start = text::process(pid, &std::fs::read("/proc/self/stat").unwrap()).unwrap().start_ticks;
        assert!(vmm(pid, start).unwrap().resident_bytes > 0);
        assert_eq!(vmm(pid, start + 1), None);
    }

    #[test]
    fn a_socket_that_nobody_serves_is_an_error_in_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let requests = Histogram::new([1.0]);
        let options = Options { max_processes: 1, timeout: Duration::from_millis(50) };
        assert!(matches!(guest(&path, &mut None, &requests, options), Err(ClientError::Io(_))));
        // Who listens and never accepts: at first the requests get no answer, then the backlog is full.
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 1).unwrap();
        let start = Instant::now();
        let ends: Vec<_> = (0..4).map(|_| guest(&path, &mut None, &requests, options).unwrap_err()).collect();
        assert!(matches!(ends[0], ClientError::Timeout), "{ends:?}");
        assert!(matches!(ends[3], ClientError::Io(_)), "{ends:?}");
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
