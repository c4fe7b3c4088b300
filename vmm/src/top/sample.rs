//! What one look at a VM gives, and the reading of it.
//!
//! A look takes a listing and one batch: `stat` of each process and the guest's own four files. `status` and `cmdline` are read of a process that
//! is new, has taken another name, or was last asked [`FRESH_LOOKS`] looks ago: they change seldom and cost twice as much as all the rest.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use crate::proc::client::Client;
use crate::proc::system::{self, System};
use crate::proc::table::{self, printable};
use crate::proc::transport::{ClientError, Stream};

/// How many looks a command line and a user are believed for.
const FRESH_LOOKS: u64 = 10;
/// Lines of one file that the details show.
const DETAIL_LINES: usize = 4096;

/// One process at one moment; its texts are printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process number.
    pub pid: i32,
    /// Its parent's.
    pub ppid: i32,
    /// Effective user.
    pub uid: u32,
    /// State letter and marks, as ps(1) has them.
    pub stat: String,
    /// CPU time used, in clock ticks of 1/100 s.
    pub cpu_ticks: u64,
    /// Its start in clock ticks after the guest's boot.
    pub start_ticks: u64,
    /// Threads.
    pub threads: u64,
    /// Virtual size in bytes.
    pub vsz_bytes: u64,
    /// Resident size in bytes.
    pub rss_bytes: u64,
    /// The command line, or the name in brackets.
    pub command: Arc<str>,
}

/// A VM at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// The guest as a whole.
    pub system: System,
    /// Its processes by number.
    pub processes: Vec<Process>,
}

/// What is remembered of a process between looks.
struct Known {
    start_ticks: u64,
    comm: String,
    uid: u32,
    command: Arc<str>,
    asked_at_look: u64,
}

/// The reader of one VM's samples.
#[derive(Default)]
pub struct Sampler {
    looks: u64,
    known: HashMap<i32, Known>,
    /// Kept for its memory.
    paths: Vec<String>,
}

impl Sampler {
    /// Looks at the VM behind `client`.
    ///
    /// # Errors
    /// A [`ClientError`] of the stream, or the guest's errno for its root directory.
    pub fn look<S: Stream>(&mut self, client: &mut Client<S>) -> Result<Sample, ClientError> {
        self.looks += 1;
        let entries = client.ls("/")?;
        let mut count = 0;
        let mut add = |paths: &mut Vec<String>, text: std::fmt::Arguments<'_>| {
            if count == paths.len() {
                paths.push(String::new());
            }
            paths[count].clear();
            // A string takes all that is written.
            let _ = paths[count].write_fmt(text);
            count += 1;
        };
        for file in system::FILES {
            add(&mut self.paths, format_args!("{file}"));
        }
        for entry in &entries {
            if let Some(pid) =
                std::str::from_utf8(&entry.name).ok().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            {
                add(&mut self.paths, format_args!("{pid}/stat"));
            }
        }
        let texts = client.read_files(&self.paths[..count])?;
        let (of_system, stats) = texts.split_at(system::FILES.len());
        let system = match of_system {
            [Ok(stat), Ok(meminfo), Ok(loadavg), Ok(uptime)] => System::parse([stat, meminfo, loadavg, uptime]),
            _ => None,
        };
        // A process that ended meanwhile has an errno where its text should be.
        let mut rows: Vec<table::Row> =
            stats.iter().filter_map(|text| table::parse(text.as_ref().ok()?, b"", b"")).collect();
        rows.sort_unstable_by_key(|row| row.pid);
        rows.dedup_by_key(|row| row.pid);
        self.learn(client, &rows)?;
        let processes = rows.into_iter().filter_map(|row| {
            let known = self.known.get(&row.pid)?;
            Some(Process {
                pid: row.pid,
                ppid: row.ppid,
                uid: known.uid,
                command: Arc::clone(&known.command),
                stat: row.stat,
                cpu_ticks: row.cpu_ticks,
                start_ticks: row.start_ticks,
                threads: row.threads,
                vsz_bytes: row.vsz_bytes,
                rss_bytes: row.rss_bytes,
            })
        });
        Ok(Sample { processes: processes.collect(), system: system.unwrap_or_default() })
    }

    /// Asks for user and arguments of those of whom they are not known, and forgets those who have gone.
    fn learn<S: Stream>(&mut self, client: &mut Client<S>, rows: &[table::Row]) -> Result<(), ClientError> {
        let looks = self.looks;
        let is_stale = |row: &&table::Row| {
            self.known.get(&row.pid).is_none_or(|known| {
                known.start_ticks != row.start_ticks
                    || known.comm != row.comm
                    || looks - known.asked_at_look >= FRESH_LOOKS
            })
        };
        let stale: Vec<&table::Row> = rows.iter().filter(is_stale).collect();
        let paths: Vec<String> =
            stale.iter().flat_map(|row| [format!("{}/status", row.pid), format!("{}/cmdline", row.pid)]).collect();
        let texts = if paths.is_empty() { Vec::new() } else { client.read_files(&paths)? };
        for (row, texts) in stale.iter().zip(texts.chunks_exact(2)) {
            let [status, cmdline] = [&texts[0], &texts[1]].map(|text| text.as_deref().unwrap_or_default());
            let known = Known {
                start_ticks: row.start_ticks,
                uid: table::effective_id(status, b"Uid:").unwrap_or(0),
                command: table::Row { args: table::arguments(cmdline), ..(*row).clone() }.command().into(),
                comm: row.comm.clone(),
                asked_at_look: looks,
            };
            self.known.insert(row.pid, known);
        }
        self.known.retain(|pid, _| rows.binary_search_by_key(pid, |row| row.pid).is_ok());
        Ok(())
    }
}

/// What there is to say of one process: printable lines, with a title in front of each file's.
///
/// # Errors
/// A [`ClientError`] of the stream, never `Remote`: a file that cannot be read says so in its place.
pub fn details<S: Stream>(client: &mut Client<S>, pid: i32) -> Result<Vec<String>, ClientError> {
    let texts = client.read_files(&["status", "maps"].map(|file| format!("{pid}/{file}")))?;
    let mut lines = Vec::new();
    let mut titled = |title: &str, text: Result<Vec<String>, String>| {
        lines.push(format!("{title}:"));
        match text {
            Ok(text) => lines.extend(text.iter().take(DETAIL_LINES).map(|line| format!("  {line}"))),
            Err(why) => lines.push(format!("  {why}")),
        }
    };
    let split = |text: &Vec<u8>| {
        let text = String::from_utf8_lossy(text).replace('\t', " ");
        text.lines().map(printable).collect::<Vec<_>>()
    };
    titled("status", texts[0].as_ref().map(split).map_err(|errno| errno.to_string()));
    let descriptors = match client.ls(format!("{pid}/fd")) {
        Ok(entries) => {
            let names: Vec<String> =
                entries.iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect();
            let links = client.readlinks(&names.iter().map(|name| format!("{pid}/fd/{name}")).collect::<Vec<_>>())?;
            // One that was closed meanwhile has no line.
            let open = names.iter().zip(links).filter_map(|(name, link)| Some((name, link.ok()?)));
            Ok(open.map(|(name, link)| printable(&format!("{name} -> {}", String::from_utf8_lossy(&link)))).collect())
        }
        Err(ClientError::Remote(errno)) => Err(errno.to_string()),
        Err(error) => return Err(error),
    };
    titled("fd", descriptors);
    titled("maps", texts[1].as_ref().map(split).map_err(|errno| errno.to_string()));
    Ok(lines)
}
