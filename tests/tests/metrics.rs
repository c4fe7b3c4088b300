//! `procvisor metrics`: what it tells is what is true in the guests, and a bad VM costs its own figures only.
//!
//! The text is parsed by somebody else's parser, that of Prometheus's library for Python; the truth comes by `procvisor cat`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::procvisor::command;
use procvisor_tests::vm::Vm;
use procvisor_tests::{behaviours, harness};
use rustix::process::{Pid, Signal, kill_process};
use vmm::registry::{Config, Registration, Registry};

fn main() -> ExitCode {
    harness::run(behaviours![
        Kvm: figures_are_those_that_the_guest_itself_reads,
            a_name_made_to_break_the_format_stays_in_its_label,
            processes_beyond_the_limit_are_counted_without_series,
            a_vm_that_hangs_or_lies_costs_its_own_figures_only,
            the_endpoint_answers_again_and_again_and_drops_a_vm_that_has_ended;
        Nothing: metrics_of_no_vms_are_a_valid_text,
            an_address_that_is_taken_is_one_line;
    ])
}

/// Samples by name and labels (`vm=a,pid=1`, sorted), and the types of the families.
#[derive(Debug, Default)]
struct Parsed {
    samples: BTreeMap<String, f64>,
    types: BTreeMap<String, (String, String)>,
}

/// Has the text parsed by `prometheus_client`, which refuses what is no OpenMetrics.
fn parse(text: &str) -> Parsed {
    let script = "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
for f in parse(sys.stdin.buffer.read().decode()):
    print('family', f.name, f.type, f.unit or '-', sep='\\0')
    for s in f.samples:
        labels = ','.join(f'{k}={v}' for k, v in sorted(s.labels.items()))
        print('sample', s.name + '{' + labels + '}', repr(float(s.value)), sep='\\0')";
    // Debian's own Python, which knows Debian's modules.
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", script]);
    let told = process::run(&mut python, text.as_bytes(), DEADLINE).success();
    let mut parsed = Parsed::default();
    for line in told.lines() {
        match line.split('\0').collect::<Vec<_>>()[..] {
            ["family", name, kind, unit] => {
                parsed.types.insert(name.to_owned(), (kind.to_owned(), unit.to_owned()));
            }
            ["sample", name, value] => {
                let twice = parsed.samples.insert(name.to_owned(), value.parse().expect("a number"));
                assert!(twice.is_none(), "{name} stands twice");
            }
            _ => panic!("{line}"),
        }
    }
    parsed
}

impl Parsed {
    #[track_caller]
    fn value(&self, sample: &str) -> f64 {
        *self.samples.get(sample).unwrap_or_else(|| panic!("no {sample} in {:#?}", self.samples))
    }

    /// The labels of a family's samples.
    fn of(&self, name: &str) -> BTreeSet<&str> {
        self.samples.keys().filter_map(|sample| sample.strip_prefix(name)?.strip_prefix('{')).collect()
    }
}

/// The number behind `name` in a file such as `status` or `meminfo`.
#[track_caller]
fn number(text: &[u8], name: &str) -> f64 {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix([':', ' ']));
    let word = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    word.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// Process 1 and two children, all asleep: nothing of them changes.
fn family(name: &str) -> Vm {
    let vm = Vm::start(name, &["/bin/busybox", "sh", "-c", "sleep 1000 & sleep 1001 & exec sleep 2000"]);
    for line in [&b"sleep\x001000\0"[..], b"sleep\x001001\0"] {
        vm.child(line);
    }
    vm.until(|vm| vm.cat("1/cmdline") == b"sleep\x002000\0");
    vm
}

fn once(vm: &Vm, options: &[&str]) -> Parsed {
    parse(&vm.procvisor([&["metrics", "--once"], options].concat()).success())
}

fn figures_are_those_that_the_guest_itself_reads() {
    let vm = family("web");
    let told = once(&vm, &[]);
    let names = vm.procvisor(["ls", "web"]).success();
    let pids: Vec<&str> = names.split_whitespace().filter(|name| name.parse::<u32>().is_ok()).collect();
    assert_eq!(pids.len(), 4);
    assert_eq!(told.of("procvisor_process_threads").len(), pids.len());
    for pid in pids {
        let status = vm.cat(&format!("{pid}/status"));
        let stat = String::from_utf8(vm.cat(&format!("{pid}/stat"))).expect("text");
        let comm = String::from_utf8(vm.cat(&format!("{pid}/comm"))).expect("text");
        let comm = comm.trim_end();
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let of = |name: &str| told.value(&format!("procvisor_process_{name}{{comm={comm},pid={pid},vm=web}}"));
        let of_kind = |name: &str, key: &str, kind: &str| {
            let mut labels = [("comm", comm), ("pid", pid), ("vm", "web"), (key, kind)];
            labels.sort_unstable();
            let labels = labels.map(|(key, value)| format!("{key}={value}")).join(",");
            told.value(&format!("procvisor_process_{name}{{{labels}}}"))
        };
        assert_eq!(of("threads"), number(&status, "Threads"));
        let fds = vm.procvisor(["ls", "web", &format!("{pid}/fd")]).success().split_whitespace().count();
        assert_eq!(of("open_fds"), fds as f64);
        let boot = number(&vm.cat("stat"), "btime");
        assert_eq!(of("start_time_seconds"), boot + fields[19].parse::<f64>().expect("a number") / 100.0);
        if comm == "proc-9p" {
            // It is at work for this very test: its other figures change.
            continue;
        }
        assert_eq!(of("resident_memory_bytes"), number(&status, "VmRSS") * 1024.0);
        assert_eq!(of("virtual_memory_bytes"), number(&status, "VmSize") * 1024.0);
        assert_eq!(of_kind("state", "state", fields[0]), 1.0);
        assert_eq!(of_kind("page_faults_total", "kind", "minor"), fields[7].parse::<f64>().expect("a number"));
        assert_eq!(
            of_kind("cpu_seconds_total", "mode", "system"),
            fields[12].parse::<f64>().expect("a number") / 100.0
        );
        assert_eq!(
            of_kind("context_switches_total", "kind", "involuntary"),
            number(&status, "nonvoluntary_ctxt_switches")
        );
        assert_eq!(of_kind("io_bytes_total", "kind", "wchar"), number(&vm.cat(&format!("{pid}/io")), "wchar"));
    }
    let of = |name: &str| told.value(&format!("procvisor_vm_{name}{{vm=web}}"));
    assert_eq!((of("up"), of("processes"), of("tasks")), (1.0, 4.0, 4.0));
    assert_eq!(of("memory_total_bytes"), number(&vm.cat("meminfo"), "MemTotal") * 1024.0);
    assert_eq!(of("boot_time_seconds"), number(&vm.cat("stat"), "btime"));
    assert_eq!(of("forks_total"), number(&vm.cat("stat"), "processes"));
    assert!(of("uptime_seconds") > 0.0 && of("context_switches_total") > 0.0);
    assert!(told.value("procvisor_vmm_resident_memory_bytes{vm=web}") > 1e6);
    assert_eq!(told.types["procvisor_vm_cpu_seconds"], ("counter".to_owned(), "seconds".to_owned()));
    assert_eq!(told.types["procvisor_vm_memory_total_bytes"], ("gauge".to_owned(), "bytes".to_owned()));
}

fn a_name_made_to_break_the_format_stays_in_its_label() {
    let script = r#"printf 'a"\n}b' >/proc/$$/comm; sleep 1000; :"#;
    let vm = Vm::start("odd", &["/bin/busybox", "sh", "-c", script]);
    vm.child(b"sleep\0");
    assert_eq!(vm.cat("1/comm"), b"a\"\n}b\n");
    let told = once(&vm, &[]);
    assert_eq!(told.value(r#"procvisor_process_threads{comm=a"\n}b,pid=1,vm=odd}"#), 1.0);
}

fn processes_beyond_the_limit_are_counted_without_series() {
    let vm = family("many");
    let told = once(&vm, &["--max-processes", "2"]);
    assert_eq!(told.value("procvisor_vm_processes{vm=many}"), 4.0);
    assert_eq!(told.value("procvisor_processes_dropped{vm=many}"), 2.0);
    assert_eq!(told.of("procvisor_process_threads").len(), 2);
    assert_eq!(told.value("procvisor_process_threads{comm=sleep,pid=1,vm=many}"), 1.0);
}

/// An entry in the VM's register that belongs to this test's process.
fn register(vm: &Vm, name: &str) -> Registration {
    let registry = Registry::open_at(vm.runtime().join("procvisor")).expect("the register is there");
    let config = Config { command: vec![name.to_owned()], memory_bytes: 1, started_at: 1, detached: true };
    registry.register(Some(name), &config).expect("the name is free")
}

/// A process of the host, stopped until this is dropped.
struct Stopped(Pid);

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may have ended.
        let _ = kill_process(self.0, Signal::CONT);
    }
}

fn a_vm_that_hangs_or_lies_costs_its_own_figures_only() {
    let vm = family("good");
    let (silent, liar, deaf) = (register(&vm, "silent"), register(&vm, "liar"), register(&vm, "deaf"));
    let _silent = silent.listen().expect("a socket");
    let lies = liar.listen().expect("a socket");
    let _liar = std::thread::spawn(move || {
        for stream in lies.incoming() {
            let Ok(mut stream) = stream else { return };
            // The length of a message is a lie in itself.
            drop(stream.write_all(&[0xff; 4096]));
        }
    });
    let start = Instant::now();
    let told = once(&vm, &["--timeout", "1"]);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert_eq!(told.value("procvisor_vms{}"), 4.0);
    for name in ["silent", "liar", "deaf"] {
        assert_eq!(told.value(&format!("procvisor_vm_up{{vm={name}}}")), 0.0);
        assert!(!told.samples.contains_key(&format!("procvisor_vm_uptime_seconds{{vm={name}}}")));
    }
    assert_eq!(told.value("procvisor_vm_up{vm=good}"), 1.0);
    assert_eq!(told.of("procvisor_process_threads").len(), 4);
    drop((silent, liar, deaf));

    // A VMM that does not run: its socket takes connections, and nobody answers.
    let pid = told_pid(&vm);
    kill_process(pid, Signal::STOP).expect("the VMM runs");
    let stopped = Stopped(pid);
    let told = once(&vm, &["--timeout", "0.5"]);
    assert_eq!(told.value("procvisor_vm_up{vm=good}"), 0.0);
    assert!(told.value("procvisor_vmm_resident_memory_bytes{vm=good}") > 1e6);
    drop(stopped);
    assert_eq!(once(&vm, &[]).value("procvisor_vm_up{vm=good}"), 1.0);
}

/// The VMM's process.
fn told_pid(vm: &Vm) -> Pid {
    let list = vm.procvisor(["list", "--json"]).success();
    let line = list.lines().find_map(|line| line.trim().strip_prefix("\"pid\": ")).expect("a pid");
    Pid::from_raw(line.trim_end_matches(',').parse().expect("a number")).expect("not 0")
}

/// Head and body of `GET /metrics`.
fn get(address: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("the endpoint listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it reads");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

/// A process of the host, killed when this is dropped.
struct Server(std::process::Child);

impl Drop for Server {
    fn drop(&mut self) {
        process::kill(&mut self.0);
    }
}

fn the_endpoint_answers_again_and_again_and_drops_a_vm_that_has_ended() {
    let vm = family("web");
    let mut serve = command(vm.runtime(), ["metrics", "--listen", "127.0.0.1:0"]);
    let mut server = Server(process::start(serve.stdin(Stdio::null())));
    let mut line = String::new();
    BufReader::new(server.0.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("it tells where");
    let address =
        line.trim().strip_prefix("http://").and_then(|rest| rest.strip_suffix("/metrics")).expect("an address");
    let (head, body) = get(address);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0"), "{head}");
    let requests = "procvisor_9p_request_duration_seconds_count{vm=web}";
    let first = parse(&body).value(requests);
    let (_, body) = get(address);
    // The histogram goes on from one scrape to the next.
    let second = parse(&body).value(requests);
    assert!(first > 0.0 && second > first, "{first} {second}");
    assert_eq!(vm.procvisor(["stop", "web"]).status, 0);
    let (_, body) = get(address);
    let told = parse(&body);
    assert_eq!(told.value("procvisor_vms{}"), 0.0);
    assert!(told.of("procvisor_vm_up").is_empty());
}

fn metrics_of_no_vms_are_a_valid_text() {
    let text = procvisor_tests::procvisor::procvisor(["metrics", "--once"]).success();
    assert_eq!(parse(&text).value("procvisor_vms{}"), 0.0);
}

fn an_address_that_is_taken_is_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("it is bound").to_string();
    let outcome = procvisor_tests::procvisor::procvisor(["metrics", "--listen", &address]);
    outcome.failed_saying(125, &["cannot listen on", &address, "in use"]);
}
