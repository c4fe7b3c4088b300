//! Every file of every task is read, in the guest and from the host, while tasks come, change and go.
//!
//! The guest's part is `tests/programs/stress`, which runs on the host's Linux first: what it believes of errors and marks holds there.
//! `PROCVISOR_STRESS_SECONDS` makes it longer or shorter than a minute.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use procfs_core::Errno;
use procvisor_tests::process::{self, DEADLINE, Outcome};
use procvisor_tests::procvisor::command;
use procvisor_tests::vm::socket_in;
use procvisor_tests::{behaviours, harness, program, root};
use vmm::proc::{Client, Options};

fn main() -> ExitCode {
    harness::run(behaviours![
        Root: readers_among_restless_tasks_see_what_linux_shows;
        Kvm: readers_among_restless_tasks_see_the_same_in_the_guest;
    ])
}

/// How long the guest's part runs without anybody's wish, in seconds.
const SECONDS: u64 = 60;
/// What the kernel may keep of a round, in KiB: of buffers on their way to the host's readers, and of pages that its heap holds in part.
const KEPT_KIB: u64 = 1024;
/// The longest time that one call of the host may take: the guest's own readers have as much.
const CALL: Duration = Duration::from_secs(60);

fn seconds() -> u64 {
    let wanted = std::env::var("PROCVISOR_STRESS_SECONDS").ok();
    wanted.map_or(SECONDS, |text| text.parse().expect("PROCVISOR_STRESS_SECONDS is a number of seconds"))
}

#[track_caller]
fn assert_well(outcome: &Outcome) {
    assert_eq!(outcome.status, 0, "{outcome}");
    assert!(outcome.stderr.is_empty() && outcome.text().ends_with("\nwell\n"), "{outcome}");
}

fn readers_among_restless_tasks_see_what_linux_shows() {
    let program = program::built("stress");
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(&program).args(["linux", "5", "1"]);
    assert_well(&process::run(&mut command, b"", DEADLINE));
}

/// The numbers of a line such as `round 1: free 4096 slab 12`.
fn level(text: &str, when: &str) -> BTreeMap<String, u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(when)?.strip_prefix(": "));
    let words: Vec<&str> = line.unwrap_or_else(|| panic!("no {when} in\n{text}")).split(' ').collect();
    words.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].parse().expect("a number"))).collect()
}

fn readers_among_restless_tasks_see_the_same_in_the_guest() {
    let (program, seconds) = (program::built("stress"), seconds());
    let runtime = tempfile::tempdir().expect("a temporary directory");
    let length = seconds.to_string();
    let words = ["run", "--name", "a", "--", root::text(&program), "guest", &length, "1"];
    let mut run = command(runtime.path(), words);
    let child = process::start(run.stdin(Stdio::null()));
    let host = Host { runtime: runtime.path(), is_over: AtomicBool::new(false), marked: AtomicUsize::new(0) };
    let outcome = thread::scope(|scope| {
        let readers = [
            scope.spawn(|| host.until_over(Host::read_with_the_library)),
            scope.spawn(|| host.until_over(Host::read_with_the_library)),
            scope.spawn(|| host.until_over(Host::ask_for_a_table)),
            scope.spawn(|| host.until_over(Host::cat_a_batch)),
        ];
        let outcome = process::finish(child, &run, Duration::from_secs(seconds * 2) + CALL * 3);
        host.is_over.store(true, Ordering::Relaxed);
        for (at, reader) in readers.into_iter().enumerate() {
            assert!(reader.join().is_ok(), "reader {at} of the host failed; the guest:\n{outcome}");
        }
        outcome
    });
    assert_well(&outcome);
    let text = outcome.text();
    let levels: Vec<_> = ["before", "round 1", "round 2", "round 3"].iter().map(|when| level(&text, when)).collect();
    for level in &levels {
        assert_eq!(level["tasks"], levels[0]["tasks"], "a task is left:\n{text}");
        assert!(level["free"] + KEPT_KIB > levels[0]["free"], "memory is lost:\n{text}");
        assert!(level["slab"] < levels[0]["slab"] + KEPT_KIB, "the kernel's heap grows:\n{text}");
    }
    let marked = host.marked.into_inner();
    assert!(marked > 0, "the host saw no marked process");
    println!("{text}the host read {marked} marked files");
}

/// Those who read from the host.
struct Host<'a> {
    runtime: &'a Path,
    is_over: AtomicBool,
    /// Files read that carried the number of their process.
    marked: AtomicUsize,
}

/// Files of a process that carry its number.
const FILES: [&str; 7] = ["stat", "status", "comm", "cmdline", "environ", "limits", "maps"];
/// Those that do not.
const MORE_FILES: [&str; 10] =
    ["smaps", "smaps_rollup", "statm", "io", "auxv", "mountinfo", "mounts", "uid_map", "oom_score_adj", "cgroup"];

impl Host<'_> {
    /// Lets `turn` run again and again; a VM that is not there yet, or no longer, is no failure.
    fn until_over(&self, turn: impl Fn(&Self, u64)) {
        let mut number = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            if socket_in(self.runtime, "a").is_none() {
                thread::sleep(Duration::from_millis(5));
                continue;
            }
            turn(self, number);
            number += 1;
        }
    }

    fn is_running(&self) -> bool {
        socket_in(self.runtime, "a").is_some()
    }

    /// Lists the processes and reads what each shows, in batches, on one connection.
    fn read_with_the_library(&self, _: u64) {
        let options = Options { timeout: Some(CALL), ..Options::default() };
        let Some(socket) = socket_in(self.runtime, "a") else { return };
        let mut client = match Client::connect(&socket, &options) {
            Ok(client) => client,
            Err(error) => return self.excuse(&error),
        };
        let listed = match client.ls("/") {
            Ok(entries) => entries,
            Err(error) => return self.excuse(&error),
        };
        let names = listed.iter().filter_map(|entry| std::str::from_utf8(&entry.name).ok());
        for number in names.filter_map(|name| name.parse::<u32>().ok()) {
            let paths: Vec<String> = FILES.iter().chain(&MORE_FILES).map(|file| format!("{number}/{file}")).collect();
            match client.read_files(&paths) {
                Ok(texts) => self.check(number, &paths, &texts),
                Err(error) => return self.excuse(&error),
            }
            let links: Vec<String> = ["cwd", "fd/9"].iter().map(|link| format!("{number}/{link}")).collect();
            match client.readlinks(&links) {
                Ok(texts) => self.check(number, &links, &texts),
                Err(error) => return self.excuse(&error),
            }
        }
    }

    /// A stream breaks, and open requests fail, only when the VM ends.
    #[track_caller]
    fn excuse(&self, error: &dyn Debug) {
        let start = Instant::now();
        while self.is_running() {
            assert!(start.elapsed() < Duration::from_secs(5), "the VM runs, but: {error:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn check(&self, number: u32, paths: &[String], texts: &[Result<Vec<u8>, Errno>]) {
        for (path, text) in paths.iter().zip(texts) {
            let text = match text {
                Ok(text) => String::from_utf8_lossy(text).replace('\0', " "),
                // It has gone, or is about to: a zombie has neither memory nor namespaces.
                Err(Errno::ENOENT | Errno::ESRCH | Errno::EACCES) => continue,
                Err(Errno::EINVAL) if path.contains("mount") => continue,
                Err(Errno::EIO) => return self.excuse(&path),
                Err(errno) => panic!("{path} says {errno:?}"),
            };
            if let Some(told) = mark(path, &text) {
                assert_eq!(told, number, "{path} is of another process:\n{text}");
                self.marked.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn ask_for_a_table(&self, _: u64) {
        let outcome = process::run(&mut command(self.runtime, ["ps", "a"]), b"", CALL);
        if self.is_running() && outcome.status != 0 {
            thread::sleep(Duration::from_secs(1));
        }
        assert!(outcome.status == 0 || !self.is_running(), "ps fails while the VM runs:\n{outcome}");
        for row in outcome.text().lines().skip(1) {
            let words: Vec<&str> = row.split_whitespace().collect();
            if let Some(at) = words.iter().position(|word| *word == "victim") {
                assert!(words[..at].contains(&words[at + 1]), "a row of two processes: {row}");
                self.marked.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn cat_a_batch(&self, turn: u64) {
        let first = turn * 7 % 2000 + 1;
        let paths = (first..first + 40).map(|number| format!("{number}/status"));
        let words = ["cat".to_owned(), "a".to_owned()].into_iter().chain(paths);
        let outcome = process::run(&mut command(self.runtime, words), b"", CALL);
        // Those that are not there are told, one line each; the rest comes in the order of the request.
        let text = outcome.text();
        let numbers: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("Pid:\t")?.parse().ok()).collect();
        assert!(numbers.is_sorted() && numbers.iter().all(|number| (first..first + 40).contains(number)), "{outcome}");
        assert!(!outcome.errors().contains("panic"), "{outcome}");
    }
}

/// The number that a file of a process tells of its process, if it does.
fn mark(path: &str, text: &str) -> Option<u32> {
    let behind =
        |key: &str| text.split(key).nth(1)?.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok();
    match path.split_once('/')?.1 {
        "stat" => text.split(' ').next()?.parse().ok(),
        "status" => behind("\nPid:\t"),
        "comm" => text.trim_end().strip_prefix('v')?.parse().ok(),
        "cmdline" => behind(" victim "),
        "environ" => behind("VICTIM="),
        "limits" => {
            let line = text.lines().find_map(|line| line.strip_prefix("Max core file size"))?;
            let bytes: u64 = line.split_whitespace().next()?.parse().ok()?;
            u32::try_from(bytes / 4096).ok().filter(|_| bytes > 0 && bytes.is_multiple_of(4096))
        }
        "maps" => {
            // As MARK_AREA of the program.
            const FIRST: u64 = 0x100_0000_0000;
            let starts = text.lines().filter_map(|line| u64::from_str_radix(line.split('-').next()?, 16).ok());
            let mut marks =
                starts.filter_map(|start| start.checked_sub(FIRST)).filter(|offset| *offset < 0x10000 << 22);
            u32::try_from(marks.next()? / 0x10000).ok()
        }
        "cwd" | "fd/9" => behind("/proc/"),
        _ => None,
    }
}
