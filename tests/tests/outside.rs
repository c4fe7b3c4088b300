//! The VM's /proc from the host: byte for byte what is read inside, by our own client and by somebody else's.

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::procvisor::command;
use procvisor_tests::session::Session;
use procvisor_tests::vm::Vm;
use procvisor_tests::{behaviours, harness, root};

fn main() -> ExitCode {
    harness::run(behaviours![
        Kvm: files_of_a_process_are_the_same_bytes_inside_and_outside,
            a_detached_vm_shows_its_command_line,
            listing_shows_processes_and_files,
            links_and_inodes_are_readable,
            a_missing_file_or_process_is_named,
            writing_comm_renames_the_process,
            several_files_come_in_one_command,
            ps_shows_every_process,
            list_shows_the_running_vms,
            json_is_given_where_it_is_asked_for,
            stop_ends_the_vm_and_its_register_entry,
            a_spinning_program_does_not_keep_the_host_from_reading,
            a_stopped_program_does_not_keep_the_host_from_reading,
            many_clients_read_at_once,
            diod_lists_and_prints_files,
            a_title_is_seen_from_the_host,
            a_process_that_ends_disappears,
            cpu_time_grows_from_outside,
            a_client_that_goes_away_in_mid_sentence_harms_nobody,
            garbage_on_the_socket_harms_nobody,
            a_hundred_processes_are_read;
    ])
}

const SLEEPER: [&str; 3] = ["/bin/busybox", "sleep", "1000"];

fn files_of_a_process_are_the_same_bytes_inside_and_outside() {
    let runtime = tempfile::tempdir().expect("a temporary directory");
    let files = ["cmdline", "environ", "comm", "stat", "status", "statm", "maps", "auxv"];
    let script = "sleep 1000 & p=$!; sleep 0.3; echo $p; for f in cmdline environ comm stat status statm maps auxv; do od -An -v -tx1 /proc/$p/$f | tr -d ' \\n'; echo; done; \
                  readlink /proc/$p/exe; od -An -v -tx1 /proc/version | tr -d ' \\n'; echo; read x";
    let mut inside = Session::start(&mut command(
        runtime.path(),
        ["run", "--name", "both", "--", "/bin/busybox", "sh", "-c", script],
    ));
    let pid = inside.line();
    let cat = |path: &str| {
        let outcome = process::run(&mut command(runtime.path(), ["cat", "both", path]), b"", DEADLINE);
        assert!(outcome.status == 0 && outcome.stderr.is_empty(), "cat {path}: {outcome}");
        outcome.stdout
    };
    let from_inside: Vec<String> = files.iter().map(|_| inside.line()).collect();
    let exe = inside.line();
    let version = inside.line();
    for (file, text) in files.iter().zip(from_inside) {
        let outside = cat(&format!("{pid}/{file}"));
        assert!(!outside.is_empty(), "{file} is empty");
        assert_eq!(hex(&outside), text, "{file} differs: outside it is\n{}", String::from_utf8_lossy(&outside));
    }
    assert_eq!(hex(&cat("version")), version);
    let link = process::run(&mut command(runtime.path(), ["readlink", "both", &format!("{pid}/exe")]), b"", DEADLINE);
    assert_eq!(link.success(), format!("{exe}\n"));
    inside.say("done");
    assert_eq!(inside.finish().0, 0);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn a_detached_vm_shows_its_command_line() {
    let vm = Vm::start("a", &SLEEPER);
    assert_eq!(vm.cat("1/cmdline"), b"/bin/busybox\0sleep\x001000\0");
    assert_eq!(vm.cat("1/comm"), b"busybox\n");
    let status = String::from_utf8(vm.cat("1/status")).expect("text");
    assert!(
        status.starts_with("Name:\tbusybox\nUmask:\t")
            && status.contains("\nState:\tS (sleeping)\n")
            && status.contains("\nPid:\t1\n"),
        "{status}"
    );
}

fn listing_shows_processes_and_files() {
    let vm = Vm::start("a", &SLEEPER);
    let top: BTreeSet<String> = vm.procvisor(["ls", "a"]).success().split_whitespace().map(str::to_owned).collect();
    for name in [
        "1",
        "self",
        "thread-self",
        "uptime",
        "loadavg",
        "meminfo",
        "stat",
        "version",
        "cpuinfo",
        "filesystems",
        "mounts",
    ] {
        assert!(top.contains(name), "{name} is not in {top:?}");
    }
    let process: BTreeSet<String> =
        vm.procvisor(["ls", "a", "1"]).success().split_whitespace().map(str::to_owned).collect();
    for name in
        ["cmdline", "environ", "comm", "stat", "status", "statm", "maps", "auxv", "exe", "cwd", "root", "mounts", "fd"]
    {
        assert!(process.contains(name), "{name} is not in {process:?}");
    }
    let descriptors = vm.procvisor(["ls", "a", "1/fd"]).success();
    assert_eq!(descriptors.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2"]);
}

fn links_and_inodes_are_readable() {
    let vm = Vm::start("a", &SLEEPER);
    // /bin is a link to /usr/bin on some hosts, whose directories the root is made after.
    let exe = std::fs::canonicalize("/bin/busybox").expect("busybox is installed");
    assert_eq!(vm.procvisor(["readlink", "a", "1/exe"]).success(), format!("{}\n", exe.display()));
    assert_eq!(vm.procvisor(["readlink", "a", "1/root"]).success(), "/\n");
    assert_eq!(vm.procvisor(["readlink", "a", "mounts"]).success(), "self/mounts\n");
    let status = vm.procvisor(["stat", "a", "1/status"]).success();
    assert!(status.contains("1/status") && status.contains("444"), "{status}");
}

fn a_missing_file_or_process_is_named() {
    let vm = Vm::start("a", &SLEEPER);
    for arguments in [
        ["cat", "a", "1/nonsense"],
        ["cat", "a", "4242/stat"],
        ["readlink", "a", "1/stat"],
        ["cat", "a", "1/fd"],
        ["ls", "a", "7777"],
    ] {
        let outcome = vm.procvisor(arguments);
        assert_ne!(outcome.status, 0, "{arguments:?}: {outcome}");
        outcome.failed_saying(outcome.status, &[arguments[2]]);
    }
    vm.procvisor(["cat", "a", "../../etc/passwd"])
        .stdout
        .is_empty()
        .then_some(())
        .expect("nothing above /proc is served");
}

fn writing_comm_renames_the_process() {
    let vm = Vm::start("a", &SLEEPER);
    let mut write = command(vm.runtime(), ["write", "a", "1/comm"]);
    let outcome = process::run(&mut write, b"renamed", DEADLINE);
    // Only threads of the process itself may write its name: the host is as foreign as any other process.
    assert!(outcome.status != 0 && outcome.errors().to_lowercase().contains("invalid argument"), "{outcome}");
    assert_eq!(vm.cat("1/comm"), b"busybox\n");
    let outcome = process::run(&mut command(vm.runtime(), ["write", "a", "1/stat"]), b"x", DEADLINE);
    assert_ne!(outcome.status, 0, "{outcome}");
}

fn several_files_come_in_one_command() {
    let vm = Vm::start("a", &SLEEPER);
    let together = vm.procvisor(["cat", "a", "1/comm", "1/cmdline", "version"]).success();
    assert!(together.starts_with("busybox\n/bin/busybox\0sleep\x001000\0Linux version "), "{together:?}");
}

fn ps_shows_every_process() {
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", "sleep 1000 & sleep 1001 & wait"]);
    vm.until(|vm| vm.procvisor(["ps", "a"]).text().contains("1001"));
    let table = vm.procvisor(["ps", "a"]).success();
    for words in ["PID", "sleep 1000", "sleep 1001", "/bin/busybox sh -c"] {
        assert!(table.contains(words), "no {words:?} in\n{table}");
    }
}

fn list_shows_the_running_vms() {
    let vm = Vm::start("first", &SLEEPER);
    let second = vm.procvisor(["run", "--name", "second", "--detach", "--", "/bin/busybox", "sleep", "1000"]);
    assert_eq!(second.status, 0, "{second}");
    let table = vm.procvisor(["list"]).success();
    assert!(table.contains("first") && table.contains("second"), "{table}");
    vm.procvisor(["stop", "second"]).ended_with(0);
    let table = vm.procvisor(["list"]).success();
    assert!(table.contains("first") && !table.contains("second"), "{table}");
}

fn json_is_given_where_it_is_asked_for() {
    let vm = Vm::start("a", &SLEEPER);
    // The processes of the VM are the program and the kernel's own thread.
    let cases = [
        (vec!["list", "--json"], "print([vm['name'] for vm in json.load(sys.stdin)])", "['a']\n"),
        (
            vec!["ps", "a", "--json"],
            "print([p['args'] for p in json.load(sys.stdin) if p['ppid'] == 0 and p['args']])",
            "[['/bin/busybox', 'sleep', '1000']]\n",
        ),
    ];
    for (arguments, print, expected) in cases {
        let text = vm.procvisor(&arguments).success();
        let script = format!("import json,sys; {print}");
        let check = process::run(Command::new("python3").args(["-c", &script]), text.as_bytes(), DEADLINE);
        assert_eq!(check.success(), expected, "{arguments:?} gave {text}");
    }
}

fn stop_ends_the_vm_and_its_register_entry() {
    let vm = Vm::start("a", &SLEEPER);
    vm.procvisor(["stop", "a"]).ended_with(0);
    assert!(!vm.procvisor(["list"]).success().contains('a') || !vm.runtime().join("procvisor/a").exists());
    assert!(!vm.runtime().join("procvisor/a").exists(), "the register still holds it");
    let again = vm.procvisor(["stop", "a"]);
    assert_ne!(again.status, 0, "{again}");
    again.failed_saying(again.status, &["a"]);
}

fn a_spinning_program_does_not_keep_the_host_from_reading() {
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", "while :; do :; done"]);
    let start = Instant::now();
    let status = String::from_utf8(vm.cat("1/status")).expect("text");
    assert!(status.contains("State:\tR (running)"), "{status}");
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
}

fn a_stopped_program_does_not_keep_the_host_from_reading() {
    // A child that is stopped before it has become sleep would show the shell's arguments.
    let script = "sleep 1000 & until grep -q ^sleep /proc/$!/cmdline; do sleep 0.01; done; kill -STOP $!; wait";
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", script]);
    let child = vm.child(b"sleep\x001000\0");
    vm.until(|vm| vm.procvisor(["cat", "a", &format!("{child}/status")]).text().contains("State:\tT (stopped)"));
    assert_eq!(vm.cat(&format!("{child}/cmdline")), b"sleep\x001000\0");
}

fn many_clients_read_at_once() {
    let vm = Vm::start("a", &SLEEPER);
    let expected = vm.cat("1/maps");
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(vm.cat("1/maps"), expected);
                }
            });
        }
    });
}

fn diod_lists_and_prints_files() {
    assert!(harness::has_command("diodcat"), "diod is not installed: run scripts/setup");
    let vm = Vm::start("a", &SLEEPER);
    let socket = vm.socket();
    let printed =
        process::run(Command::new("diodcat").arg("-s").arg(&socket).args(["-a", "/", "1/status"]), b"", DEADLINE);
    assert_eq!(printed.stdout, vm.cat("1/status"), "{printed}");
    printed.ended_with(0);
    let listed = process::run(Command::new("diodls").arg("-s").arg(&socket).args(["-a", "/", "1"]), b"", DEADLINE);
    for name in ["status", "cmdline", "maps", "fd"] {
        assert!(listed.text().split_whitespace().any(|word| word == name), "no {name} in\n{listed}");
    }
    let printed =
        process::run(Command::new("diodcat").arg("-s").arg(&socket).args(["-a", "/", "version"]), b"", DEADLINE);
    assert_eq!(printed.stdout, vm.cat("version"), "{printed}");
}

fn a_title_is_seen_from_the_host() {
    let root = root::with_programs(&["worker"]);
    let vm = Vm::start_with("a", &["--root", root::text(root.path())], &["/bin/worker", "some", "arguments"]);
    vm.until(|vm| vm.cat("1/cmdline").starts_with(b"worker: ready\0"));
    vm.child(b"worker: child at work\0");
    assert_eq!(vm.cat("1/comm"), b"master\n");
}

fn a_process_that_ends_disappears() {
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", "sleep 5 & wait; exec sleep 1000"]);
    let child = format!("{}/comm", vm.child(b"sleep\x005\0"));
    vm.until(|vm| vm.procvisor(["cat", "a", &child]).status != 0);
    vm.until(|vm| vm.cat("1/cmdline").starts_with(b"sleep"));
    assert!(vm.cat("1/cmdline").starts_with(b"sleep\x001000\0"));
}

fn cpu_time_grows_from_outside() {
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", "while :; do :; done"]);
    let ticks = || {
        let stat = String::from_utf8(vm.cat("1/stat")).expect("text");
        let words: Vec<String> = stat[stat.rfind(')').expect("a name") + 2..].split(' ').map(str::to_owned).collect();
        words[11].parse::<u64>().expect("a number") + words[12].parse::<u64>().expect("a number")
    };
    let before = ticks();
    vm.until(|_| ticks() >= before + 20);
}

fn a_client_that_goes_away_in_mid_sentence_harms_nobody() {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    let vm = Vm::start("a", &SLEEPER);
    for bytes in [&b"\x13\0"[..], b"\x13\0\0\0d\xff\xff\0\x20", b""] {
        let mut socket = UnixStream::connect(vm.socket()).expect("the socket is open");
        socket.write_all(bytes).expect("it takes a few bytes");
        drop(socket);
        assert_eq!(vm.cat("1/comm"), b"busybox\n");
    }
}

fn garbage_on_the_socket_harms_nobody() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let vm = Vm::start("a", &SLEEPER);
    // Sizes of 0, of 4 GiB, of less than a header; an unknown message; random bytes.
    let sentences: [&[u8]; 5] = [
        &[0; 64],
        &[0xff; 64],
        b"\x05\0\0\0\x64\x01\x02",
        b"\x0b\0\0\0\xfe\0\0abcd",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    for sentence in sentences {
        let mut socket = UnixStream::connect(vm.socket()).expect("the socket is open");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a plain timeout");
        drop(socket.write_all(sentence));
        drop(socket.read(&mut [0; 100]));
        assert_eq!(vm.cat("1/comm"), b"busybox\n", "after {sentence:?}");
    }
}

fn a_hundred_processes_are_read() {
    let script = "i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; wait";
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", script]);
    vm.until(|vm| vm.procvisor(["ps", "a"]).text().matches("sleep 1000").count() >= 100);
    vm.child(b"sleep\x001000\0");
}
