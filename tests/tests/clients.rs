//! Unmodified tools of the host on a mounted /proc: what they say is what is true in the guest.
//!
//! The truth comes by `procvisor cat`, which does not go by way of the mount.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use procfs::FromRead;
use procvisor_tests::mounted::Mounted;
use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::procvisor::workspace;
use procvisor_tests::{behaviours, harness};

fn main() -> ExitCode {
    harness::run(behaviours![
        KvmAndFuse: ps_lists_the_guests_processes,
            ps_in_a_pid_namespace_of_its_own_does_too,
            top_shows_the_guests_memory_and_processes,
            htop_draws_the_guests_processes,
            free_and_vmstat_tell_the_guests_numbers,
            pgrep_and_pidof_find_the_guests_processes,
            uptime_and_pwdx_and_pmap_read_the_guest,
            psutil_reads_the_guest_by_its_path,
            node_exporter_exports_the_guest,
            process_exporter_exports_the_guests_processes,
            lsof_lists_what_the_guests_processes_have_open,
            the_procfs_crate_parses_the_guest;
    ])
}

/// Process 1 and two children, all asleep: nothing of them changes.
const FAMILY: [&str; 4] = ["/bin/busybox", "sh", "-c", "sleep 1000 & sleep 1001 & exec sleep 2000"];

/// A guest of [`FAMILY`] that has come to rest.
fn family() -> Mounted {
    let mounted = Mounted::start(&FAMILY);
    for line in [&b"sleep\x001000\0"[..], b"sleep\x001001\0"] {
        mounted.vm().child(line);
    }
    mounted.vm().until(|vm| vm.cat("1/cmdline") == b"sleep\x002000\0");
    mounted
}

fn text(mounted: &Mounted, path: &str) -> String {
    String::from_utf8(mounted.vm().cat(path)).expect("a file of text")
}

/// The command lines of the guest's processes by number; in brackets the name of one without.
fn processes(mounted: &Mounted) -> BTreeMap<u32, String> {
    let names = mounted.vm().procvisor(["ls", "a"]).success();
    let numbers = names.split_whitespace().filter_map(|name| name.parse().ok());
    numbers
        .map(|number: u32| {
            let line = text(mounted, &format!("{number}/cmdline"));
            let shown = match line.trim_end_matches('\0') {
                "" => format!("[{}]", text(mounted, &format!("{number}/comm")).trim_end()),
                line => line.replace('\0', " "),
            };
            (number, shown)
        })
        .collect()
}

/// The number that `name` has in a file of lines such as `MemTotal: 129536 kB` or `processes 4`.
fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with([':', ' ', '\t'])));
    let number =
        line.and_then(|rest| rest.trim_start_matches([':', ' ', '\t']).split_whitespace().next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

fn ps_lists_the_guests_processes() {
    let mounted = family();
    let table = mounted.with_proc(&["ps", "-e", "-o", "pid=,ppid=,stat=,vsz=,rss=,args="]).success();
    let rows: BTreeMap<u32, Vec<&str>> = table
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            (words[0].parse().expect("a number"), words)
        })
        .collect();
    let wanted = processes(&mounted);
    assert_eq!(wanted.len(), 4);
    assert_eq!(rows.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "{table}");
    for (number, command) in &wanted {
        let (row, status) = (&rows[number], text(&mounted, &format!("{number}/status")));
        assert_eq!(&row[5..].join(" "), command, "{table}");
        assert_eq!(row[1].parse(), Ok(value(&status, "PPid")), "{table}");
        if !command.starts_with('[') {
            assert!(row[2].starts_with('S'), "{table}");
            assert_eq!(row[3].parse(), Ok(value(&status, "VmSize")), "{table}");
            assert_eq!(row[4].parse(), Ok(value(&status, "VmRSS")), "{table}");
        }
    }
    // Threads and the long formats read other files.
    for words in [&["ps", "-efL"][..], &["ps", "aux"], &["ps", "axjf"]] {
        let table = mounted.with_proc(words).success();
        for command in wanted.values() {
            assert!(table.contains(command.as_str()), "{words:?}: no {command} in\n{table}");
        }
    }
}

fn ps_in_a_pid_namespace_of_its_own_does_too() {
    let mounted = family();
    let script = r#"mount --bind "$0" /proc && exec ps -ef"#;
    let words = ["--mount", "--pid", "--fork", "sh", "-c", script, mounted.directory().text()];
    let table = process::run(Command::new("unshare").args(words), b"", DEADLINE).success();
    for command in processes(&mounted).values() {
        assert!(table.contains(command.as_str()), "no {command} in\n{table}");
    }
    assert_eq!(table.lines().count(), 5, "{table}");
}

fn top_shows_the_guests_memory_and_processes() {
    let mounted = family();
    let screen = mounted.with_proc(&["top", "-b", "-n1", "-w", "200"]).success();
    let total = value(&text(&mounted, "meminfo"), "MemTotal");
    // Tenths of MiB, as top rounds them.
    let shown = format!("{:.1} total", f64::from(u32::try_from(total).expect("a small VM")) / 1024.0);
    assert!(screen.lines().any(|line| line.starts_with("MiB Mem") && line.contains(&shown)), "{shown} in\n{screen}");
    assert!(screen.contains("Tasks:   4 total"), "{screen}");
    let rows: Vec<Vec<&str>> = screen.lines().skip(7).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 4, "{screen}");
    for row in rows.iter().filter(|row| row[11] == "sleep") {
        let status = text(&mounted, &format!("{}/status", row[0]));
        assert_eq!(row[5].parse(), Ok(value(&status, "VmRSS")), "{screen}");
    }
}

/// What a full-screen program wrote, without the sequences that move and colour.
fn plain(screen: &[u8]) -> String {
    let screen = String::from_utf8_lossy(screen);
    let mut out = String::new();
    let mut letters = screen.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\x1b' if letters.next_if_eq(&'[').is_some() => {
                let mut number = String::new();
                let last = letters.by_ref().find(|letter| {
                    number.push(*letter);
                    letter.is_ascii_alphabetic()
                });
                // A move to the right stands for blanks.
                out.extend((last == Some('C')).then_some(' '));
            }
            // The choice of a character set takes one letter more.
            '\x1b' if letters.next() == Some('(') => drop(letters.next()),
            letter => out.extend((!letter.is_control()).then_some(letter)),
        }
    }
    out
}

fn htop_draws_the_guests_processes() {
    let mounted = family();
    // util-linux's script(1) gives it a terminal.
    let words = ["script", "--quiet", "--return", "--command"];
    let htop = "stty rows 40 cols 120 && TERM=vt100 HTOPRC=/dev/null exec htop --no-color --delay=5";
    let mut command = mounted.command_with_proc(&[&words[..], &[htop, "/dev/null"]].concat());
    let mut child = process::start(command.stdin(Stdio::piped()));
    let mut keys = child.stdin.take().expect("standard input is a pipe");
    thread::sleep(Duration::from_secs(3));
    keys.write_all(b"q").expect("it reads");
    let outcome = process::finish(child, &command, DEADLINE);
    let screen = plain(&outcome.ended_with(0).stdout);
    for words in ["sleep 2000", "sleep 1000", "sleep 1001", "Tasks: 3"] {
        assert!(screen.contains(words), "no {words:?} in\n{screen}");
    }
    let total = value(&text(&mounted, "meminfo"), "MemTotal") / 1024;
    assert!(
        screen.contains(&format!("/{total}")) || screen.contains(&format!("/{}", total + 1)),
        "{total}M in\n{screen}"
    );
}

fn free_and_vmstat_tell_the_guests_numbers() {
    let mounted = family();
    let meminfo = text(&mounted, "meminfo");
    let free = mounted.with_proc(&["free", "-k"]).success();
    let numbers: Vec<u64> = free
        .lines()
        .find_map(|line| line.strip_prefix("Mem:"))
        .expect("a line of memory")
        .split_whitespace()
        .map(|word| word.parse().expect("a number"))
        .collect();
    assert_eq!(numbers[0], value(&meminfo, "MemTotal"), "{free}");
    // Free memory moves by what the reading itself takes.
    let (told, is) = (numbers[2], value(&meminfo, "MemFree"));
    assert!(told.abs_diff(is) < 2048, "free says {told}, the guest {is}");
    let vmstat = mounted.with_proc(&["vmstat", "-s"]).success();
    let line = |what: &str| -> u64 {
        let line = vmstat.lines().find(|line| line.ends_with(what)).unwrap_or_else(|| panic!("no {what} in\n{vmstat}"));
        line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
    };
    assert_eq!(line("K total memory"), value(&meminfo, "MemTotal"));
    let stat = text(&mounted, "stat");
    assert_eq!(line("forks"), value(&stat, "processes"));
    assert_eq!(line("boot time"), value(&stat, "btime"));
    let table = mounted.with_proc(&["vmstat"]).success();
    assert_eq!(table.lines().nth(2).map(|line| line.split_whitespace().count()), Some(17), "{table}");
}

fn pgrep_and_pidof_find_the_guests_processes() {
    let mounted = family();
    let sleeping: Vec<u32> = processes(&mounted)
        .into_iter()
        .filter_map(|(number, command)| command.starts_with("sleep").then_some(number))
        .collect();
    let numbers = |outcome: String| -> Vec<u32> {
        let mut numbers: Vec<u32> = outcome.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        numbers.sort_unstable();
        numbers
    };
    assert_eq!(numbers(mounted.with_proc(&["pgrep", "-f", "^sleep"]).success()), sleeping);
    assert_eq!(numbers(mounted.with_proc(&["pidof", "sleep"]).success()), sleeping);
    let child = mounted.vm().child(b"sleep\x001001\0");
    assert_eq!(mounted.with_proc(&["pgrep", "-fa", "sleep 1001"]).success(), format!("{child} sleep 1001\n"));
    assert_eq!(mounted.with_proc(&["pgrep", "nosuch"]).status, 1);
    assert_eq!(numbers(mounted.with_proc(&["pgrep", "-P", "1"]).success()).len(), 2);
}

fn uptime_and_pwdx_and_pmap_read_the_guest() {
    let mounted = family();
    let uptime = mounted.with_proc(&["uptime"]).success();
    let loads = text(&mounted, "loadavg");
    let first = loads.split_whitespace().next().expect("a number");
    assert!(uptime.contains(" up 0 min") || uptime.contains(" up 1 min"), "{uptime}");
    assert!(uptime.contains(&format!("load average: {first}")), "{uptime} but {loads}");
    assert_eq!(mounted.with_proc(&["pwdx", "1"]).success(), "1: /\n");
    let map = mounted.with_proc(&["pmap", "1"]).success();
    let size = value(&text(&mounted, "1/status"), "VmSize");
    assert!(map.trim_end().ends_with(&format!("{size}K")), "{size} in\n{map}");
}

fn psutil_reads_the_guest_by_its_path() {
    let mounted = family();
    let script = "import psutil, sys
psutil.PROCFS_PATH = sys.argv[1]
print('memory', psutil.virtual_memory().total)
print('boot', int(psutil.boot_time()))
for p in psutil.process_iter():
    print('process', p.pid, p.ppid(), p.memory_info().rss, p.num_threads(), p.uids().effective, p.name(), ' '.join(p.cmdline()))
print('exe', psutil.Process(1).exe(), psutil.Process(1).cwd(), psutil.Process(1).num_fds())
print('children', sorted(child.pid for child in psutil.Process(1).children()))
print('maps', sum(area.size for area in psutil.Process(1).memory_maps()))";
    // Debian's own Python, which knows Debian's modules.
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", script, mounted.directory().text()]);
    let told = process::run(&mut command, b"", DEADLINE).success();
    let exe = fs::canonicalize("/bin/busybox").expect("busybox is installed");
    let statuses: BTreeMap<u32, String> =
        processes(&mounted).into_keys().map(|number| (number, text(&mounted, &format!("{number}/status")))).collect();
    let mut wanted = format!("memory {}\n", value(&text(&mounted, "meminfo"), "MemTotal") * 1024);
    wanted += &format!("boot {}\n", value(&text(&mounted, "stat"), "btime"));
    for (number, status) in &statuses {
        let line = text(&mounted, &format!("{number}/cmdline"));
        let rss = if line.is_empty() { 0 } else { value(status, "VmRSS") * 1024 };
        let comm = text(&mounted, &format!("{number}/comm"));
        let line = line.trim_end_matches('\0').replace('\0', " ");
        wanted += &format!("process {number} {} {rss} 1 0 {} {line}\n", value(status, "PPid"), comm.trim_end());
    }
    wanted += &format!("exe {} / 3\n", exe.display());
    let children: Vec<&u32> =
        statuses.iter().filter(|(_, status)| value(status, "PPid") == 1).map(|(n, _)| n).collect();
    wanted += &format!("children {children:?}\nmaps {}\n", value(&statuses[&1], "VmSize") * 1024);
    assert_eq!(told, wanted);
}

/// A program of a package that `scripts/setup` has installed, or unpacked where it would start a service.
fn exporter(name: &str) -> PathBuf {
    let unpacked = workspace().join("target/beds/debian/usr/bin").join(name);
    if harness::has_command(name) {
        return name.into();
    }
    assert!(unpacked.is_file(), "{name} is not there: run scripts/setup");
    unpacked
}

/// An exporter on a port of the loopback interface.
struct Exporter {
    child: Child,
    address: String,
}

impl Exporter {
    fn start(program: &Path, arguments: &[&str]) -> Self {
        // Free a moment ago: nobody else on this host is likely to take it meanwhile.
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback interface");
        let address = listener.local_addr().expect("it is bound").to_string();
        drop(listener);
        let mut command = Command::new(program);
        command.args(arguments).arg(format!("--web.listen-address={address}")).stdin(Stdio::null());
        Self { child: process::start(&mut command), address }
    }

    /// The samples, by name with labels.
    fn samples(&self) -> BTreeMap<String, f64> {
        let start = Instant::now();
        let mut stream = loop {
            match TcpStream::connect(&self.address) {
                Ok(stream) => break stream,
                Err(error) => assert!(start.elapsed() < DEADLINE, "{}: {error}", self.address),
            }
            thread::sleep(Duration::from_millis(20));
        };
        stream.set_read_timeout(Some(DEADLINE)).expect("a plain timeout");
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n").expect("it reads");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("it answers");
        assert!(page.starts_with("HTTP/1.0 200"), "{page}");
        let samples = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        samples.filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?))).collect()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        process::kill(&mut self.child);
    }
}

#[track_caller]
fn sample(samples: &BTreeMap<String, f64>, name: &str) -> f64 {
    *samples.get(name).unwrap_or_else(|| panic!("no {name} in {samples:#?}"))
}

#[expect(clippy::cast_precision_loss, reason = "exporters give doubles; the numbers are small")]
fn double(number: u64) -> f64 {
    number as f64
}

fn node_exporter_exports_the_guest() {
    let mounted = family();
    let collectors =
        ["loadavg", "meminfo", "stat", "cpu", "vmstat", "processes", "filefd", "netdev", "sockstat", "diskstats"];
    let mut arguments = vec![format!("--path.procfs={}", mounted.directory().text())];
    arguments.push("--collector.disable-defaults".to_owned());
    arguments.extend(collectors.iter().map(|collector| format!("--collector.{collector}")));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let exporter = Exporter::start(&exporter("prometheus-node-exporter"), &arguments);
    let samples = exporter.samples();
    for collector in collectors {
        let name = format!("node_scrape_collector_success{{collector=\"{collector}\"}}");
        assert_eq!(sample(&samples, &name), 1.0, "{collector}");
    }
    let (meminfo, stat) = (text(&mounted, "meminfo"), text(&mounted, "stat"));
    assert_eq!(sample(&samples, "node_memory_MemTotal_bytes"), double(value(&meminfo, "MemTotal") * 1024));
    assert_eq!(sample(&samples, "node_memory_Shmem_bytes"), double(value(&meminfo, "Shmem") * 1024));
    assert_eq!(sample(&samples, "node_boot_time_seconds"), double(value(&stat, "btime")));
    assert_eq!(sample(&samples, "node_forks_total"), double(value(&stat, "processes")));
    assert_eq!(sample(&samples, "node_processes_pids"), 4.0);
    assert_eq!(sample(&samples, "node_processes_state{state=\"S\"}"), 3.0);
}

fn process_exporter_exports_the_guests_processes() {
    let mounted = family();
    let exporter = Exporter::start(
        &exporter("prometheus-process-exporter"),
        &["-procfs", mounted.directory().text(), "-procnames", "sleep,proc-9p"],
    );
    let samples = exporter.samples();
    let of = |metric: &str, more: &str| {
        sample(&samples, &format!("namedprocess_namegroup_{metric}{{groupname=\"sleep\"{more}}}"))
    };
    assert_eq!(of("num_procs", ""), 3.0);
    assert_eq!(of("num_threads", ""), 3.0);
    let statuses: Vec<String> = processes(&mounted)
        .into_iter()
        .filter(|(_, command)| command.starts_with("sleep"))
        .map(|(number, _)| text(&mounted, &format!("{number}/status")))
        .collect();
    let sum = |name: &str| double(statuses.iter().map(|status| value(status, name) * 1024).sum());
    assert_eq!(of("memory_bytes", ",memtype=\"resident\""), sum("VmRSS"));
    assert_eq!(of("memory_bytes", ",memtype=\"virtual\""), sum("VmSize"));
    assert_eq!(sample(&samples, "namedprocess_scrape_procread_errors"), 0.0);
}

fn lsof_lists_what_the_guests_processes_have_open() {
    let mounted = family();
    // It asks the host for what links lead to, and knows a pipe or socket of the guest by its text only.
    let outcome = mounted.with_proc(&["lsof", "-n", "-P", "-w", "-F", "pcfn"]);
    let told = outcome.success();
    let mut found: BTreeMap<u32, BTreeMap<String, String>> = BTreeMap::new();
    let (mut number, mut descriptor) = (0, String::new());
    for line in told.lines() {
        let (kind, rest) = line.split_at(1);
        match kind {
            "p" => number = rest.parse().expect("a number"),
            "f" => rest.clone_into(&mut descriptor),
            "n" => drop(found.entry(number).or_default().insert(descriptor.clone(), rest.to_owned())),
            _ => {}
        }
    }
    for (number, command) in processes(&mounted) {
        let open = found.get(&number).unwrap_or_else(|| panic!("no {number} in\n{told}"));
        for (descriptor, link) in [("cwd", "cwd"), ("rtd", "root"), ("txt", "exe")] {
            let target = mounted.vm().procvisor(["readlink", "a", &format!("{number}/{link}")]);
            if target.status == 0 {
                assert_eq!(
                    open.get(descriptor).map(String::as_str),
                    Some(target.text().trim_end()),
                    "{command}:\n{told}"
                );
            }
        }
        for descriptor in mounted.vm().procvisor(["ls", "a", &format!("{number}/fd")]).text().split_whitespace() {
            let target = mounted.vm().procvisor(["readlink", "a", &format!("{number}/fd/{descriptor}")]).success();
            let kind = target.trim_end().split(':').next().expect("a first part");
            assert_eq!(open.get(descriptor).map(String::as_str), Some(kind), "{command} has {target}:\n{told}");
        }
    }
}

fn the_procfs_crate_parses_the_guest() {
    let mounted = family();
    let wanted = processes(&mounted);
    let all = procfs::process::all_processes_with_root(mounted.directory().path()).expect("a directory");
    let mut found = BTreeMap::new();
    for process in all {
        let process = process.expect("it lives");
        let number = u32::try_from(process.pid()).expect("a positive number");
        let (stat, status) = (process.stat().expect("stat"), process.status().expect("status"));
        let truth = text(&mounted, &format!("{number}/status"));
        assert_eq!((stat.pid, stat.ppid), (process.pid(), status.ppid));
        assert_eq!(status.ppid, i32::try_from(value(&truth, "PPid")).expect("a number"));
        assert_eq!(stat.num_threads, 1);
        if status.vmsize.is_some() {
            let page = 4096;
            assert_eq!(status.vmrss, Some(value(&truth, "VmRSS")));
            assert_eq!((stat.vsize, stat.rss * page), (value(&truth, "VmSize") * 1024, value(&truth, "VmRSS") * 1024));
            let statm = process.statm().expect("statm");
            assert_eq!((statm.size * page, statm.resident), (stat.vsize, stat.rss));
            let areas = process.maps().expect("maps");
            assert_eq!(areas.iter().map(|area| area.address.1 - area.address.0).sum::<u64>(), stat.vsize);
            assert_eq!(process.fd_count().expect("fd"), 3);
            assert_eq!(
                process.mountinfo().expect("mountinfo").into_iter().count(),
                text(&mounted, "1/mountinfo").lines().count()
            );
            assert!(process.limits().is_ok() && process.tasks().expect("task").count() == 1);
        }
        let line = process.cmdline().expect("cmdline").join(" ");
        found.insert(number, if line.is_empty() { format!("[{}]", stat.comm) } else { line });
    }
    assert_eq!(found, wanted);
    let meminfo = procfs::Meminfo::from_file(mounted.path("meminfo")).expect("meminfo");
    assert_eq!(meminfo.mem_total, value(&text(&mounted, "meminfo"), "MemTotal") * 1024);
    let load = procfs::LoadAverage::from_file(mounted.path("loadavg")).expect("loadavg");
    assert_eq!(load.max, 4);
    assert!(procfs::Uptime::from_file(mounted.path("uptime")).expect("uptime").uptime > 0.0);
}
