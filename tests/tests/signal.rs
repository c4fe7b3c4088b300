//! Signals from outside to what runs in a VM, and its end by `procvisor stop`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use procfs_core::Errno;
use procvisor_tests::kernel::{self, Deed};
use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::procvisor::{assert_nothing_left, command};
use procvisor_tests::session::Session;
use procvisor_tests::vm::Vm;
use procvisor_tests::{behaviours, harness, root};
use rustix::process::Signal;
use vmm::proc::client::{Client, Options};
use vmm::proc::transport::ClientError;

fn main() -> ExitCode {
    harness::run(behaviours![
        Kvm: a_signal_from_outside_comes_from_the_kernel,
            a_child_is_stopped_continued_and_killed,
            the_first_process_obeys_as_any_other,
            what_cannot_be_signalled_is_named,
            the_kernels_thread_takes_no_signals,
            a_flood_of_signals_and_of_nonsense_harms_nobody,
            stop_lets_the_program_end_by_itself,
            stop_ends_a_program_that_does_not_want_to_after_the_grace,
            stop_with_another_signal_sends_that,
            stop_does_not_wait_for_a_kernel_that_hangs_beyond_the_grace,
            a_stop_that_is_killed_in_the_middle_harms_nobody;
    ])
}

const SLEEPER: [&str; 3] = ["/bin/busybox", "sleep", "1000"];

fn a_signal_from_outside_comes_from_the_kernel() {
    let root = root::with_programs(&["outside-signals"]);
    let runtime = tempfile::tempdir().expect("a temporary directory");
    let words = ["run", "--name", "a", "--root", root::text(root.path()), "--", "/bin/outside-signals"];
    let mut vm = Session::start(&mut command(runtime.path(), words));
    assert_eq!(vm.line(), "ready");
    let send = |signal: &str| {
        process::run(&mut command(runtime.path(), ["signal", "a", "1", signal]), b"", DEADLINE).success();
    };
    for (signal, number) in [("USR1", 10), ("sigusr1", 10), ("10", 10), ("34", 34), ("64", 64)] {
        send(signal);
        assert_eq!(vm.line(), format!("signal {number} code 0x80 pid 0 uid 0"));
    }
    // What is ignored by default does nothing, 0 neither; what is blocked waits.
    for signal in ["CHLD", "0", "HUP"] {
        send(signal);
    }
    send("USR2");
    assert_eq!(vm.line(), "signal 12 code 0x80 pid 0 uid 0");
    assert_eq!(vm.line(), "signal 1 code 0x80 pid 0 uid 0");
    send("TERM");
    assert_eq!(vm.line(), "signal 15 code 0x80 pid 0 uid 0");
    assert_eq!(vm.finish(), (3, String::new()));
}

fn state_of(vm: &Vm, pid: u32) -> String {
    let stat = String::from_utf8(vm.cat(&format!("{pid}/stat"))).expect("text");
    stat.split_whitespace().nth(2).expect("a state").to_owned()
}

fn a_child_is_stopped_continued_and_killed() {
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", "sleep 1000 & wait $!; echo $?; exec sleep 1000"]);
    let child = vm.child(b"sleep\0");
    let number = child.to_string();
    let send = |signal: &str| vm.procvisor(["signal", "a", &number, signal]).success();
    send("STOP");
    vm.until(|vm| state_of(vm, child) == "T");
    send("CONT");
    vm.until(|vm| state_of(vm, child) == "S");
    send("KILL");
    vm.until(|vm| vm.procvisor(["logs", "a"]).success().contains("137\n"));
    vm.procvisor(["signal", "a", &number, "KILL"]).failed_saying(1, &["a has no process", &number]);
}

fn the_first_process_obeys_as_any_other() {
    for (signal, status) in [("TERM", 143), ("KILL", 137), ("SEGV", 139)] {
        let vm = Vm::start("a", &SLEEPER);
        let mut waiting = Session::start(&mut command(vm.runtime(), ["wait", "a"]));
        std::thread::sleep(Duration::from_millis(200));
        vm.procvisor(["signal", "a", "1", signal]).success();
        assert_eq!(waiting.line(), status.to_string());
        assert_eq!(waiting.finish().0, status);
        assert_nothing_left(vm.runtime());
    }
}

fn what_cannot_be_signalled_is_named() {
    let vm = Vm::start("a", &SLEEPER);
    vm.procvisor(["signal", "a", "12345", "TERM"]).failed_saying(1, &["a has no process 12345"]);
    for pid in ["0", "x", "2147483648", "99999999999999999999", ""] {
        vm.procvisor(["signal", "a", pid, "TERM"]).failed_saying(125, &["is no process number"]);
    }
    for signal in ["65", "NOSUCH", "", "1.5"] {
        vm.procvisor(["signal", "a", "1", signal]).failed_saying(125, &["is no signal"]);
        vm.procvisor(["stop", "a", "--signal", signal]).failed_saying(125, &["TERM"]);
    }
    for words in [&["signal", "a"][..], &["signal", "a", "1"], &["signal", "a", "1", "TERM", "more"]] {
        vm.procvisor(words).failed_saying(125, &["procvisor signal VM PID SIG"]);
    }
    vm.procvisor(["signal", "nobody", "1", "TERM"]).failed_saying(125, &["no VM named nobody"]);
    vm.procvisor(["stop", "a", "--grace", "-1"]).ended_with(125);
    vm.procvisor(["pause", "a"]).success();
    vm.procvisor(["signal", "a", "1", "TERM"]).failed_saying(125, &["a is paused"]);
    vm.procvisor(["resume", "a"]).success();
    assert_eq!(vm.cat("1/comm"), b"busybox\n");
}

fn the_kernels_thread_takes_no_signals() {
    let vm = Vm::start("a", &SLEEPER);
    assert_eq!(vm.cat("2/comm"), b"proc-9p\n");
    for signal in ["KILL", "TERM", "STOP", "CONT", "USR1", "64"] {
        // What it answers may be a refusal; it must go on answering.
        let outcome = vm.procvisor(["signal", "a", "2", signal]);
        assert!(outcome.status <= 1, "{outcome}");
        assert_eq!(vm.cat("2/comm"), b"proc-9p\n");
    }
}

fn a_flood_of_signals_and_of_nonsense_harms_nobody() {
    let root = root::with_programs(&["outside-signals"]);
    let vm = Vm::start_with("a", &["--root", root::text(root.path())], &["/bin/outside-signals"]);
    vm.until(|vm| vm.procvisor(["logs", "a"]).text() == "ready\n");
    let options = Options { aname: b"signal".to_vec(), ..Options::default() };
    let mut client = Client::connect(vm.socket(), &options).expect("it answers");
    let is = |result: Result<usize, ClientError>, errno: Errno| matches!(result, Err(ClientError::Remote(it)) if it == errno);
    for nonsense in [&b"\0"[..], b"1", b"1 15 15", b"-1 9", b"0 9", b"1 -9", b"9999999999 9", &[b'1'; 60_000]] {
        assert!(is(client.write_file("", nonsense), Errno::EINVAL), "{nonsense:?}");
    }
    assert!(is(client.write_file("", b"1 65"), Errno::EINVAL));
    assert!(is(client.write_file("", b"4000 0"), Errno::ESRCH));
    assert!(is(client.write_file("x", b"1 15"), Errno::ENOTDIR));
    assert!(matches!(client.read_file(""), Err(ClientError::Remote(Errno::EACCES))));
    assert!(client.ls("").is_err());
    let attr = client.getattr("").expect("it is a file");
    assert_eq!((attr.mode, attr.nlink, attr.size), (0o100_200, 1, 0));
    // Blocked, so it waits once, however often it is sent.
    for _ in 0..500 {
        assert_eq!(client.write_file("", b"1 1\n").expect("it is sent"), 4);
    }
    client.write_file("", b"1 12").expect("it is sent");
    let text = |vm: &Vm| vm.procvisor(["logs", "a"]).success();
    vm.until(|vm| text(vm).contains("signal 1 "));
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(text(&vm).matches("signal 1 ").count(), 1);
    // The VM may end before it has answered all of this.
    drop(client.write_file("", b"1 15"));
    vm.until(|vm| vm.procvisor(["list"]).success().lines().count() == 1);
}

fn stop_lets_the_program_end_by_itself() {
    let script = "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.05; done";
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", script]);
    vm.until(|vm| vm.procvisor(["logs", "a"]).success() == "up\n");
    let mut following = Session::start(&mut command(vm.runtime(), ["logs", "-f", "a"]));
    assert_eq!(following.line(), "up");
    let mut waiting = Session::start(&mut command(vm.runtime(), ["wait", "a"]));
    std::thread::sleep(Duration::from_millis(200));
    vm.procvisor(["stop", "a", "--grace", "50"]).success();
    assert_nothing_left(vm.runtime());
    assert_eq!((following.line(), waiting.line()), ("bye".to_owned(), "4".to_owned()));
    assert_eq!((following.finish().0, waiting.finish().0), (0, 4));
}

fn stop_ends_a_program_that_does_not_want_to_after_the_grace() {
    for (grace, least, most) in [("1.5", 1500, 5000), ("0", 0, 4500)] {
        let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"]);
        vm.until(|vm| vm.procvisor(["logs", "a"]).success() == "up\n");
        let begin = Instant::now();
        vm.procvisor(["stop", "--grace", grace, "a"]).success();
        let took = begin.elapsed().as_millis();
        assert!((least..most).contains(&took), "--grace {grace} took {took} ms");
        assert_nothing_left(vm.runtime());
    }
}

fn stop_with_another_signal_sends_that() {
    let script = "trap 'exit 5' USR1; trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done";
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", script]);
    vm.until(|vm| vm.procvisor(["logs", "a"]).success() == "up\n");
    let waiting = Session::start(&mut command(vm.runtime(), ["wait", "a"]));
    std::thread::sleep(Duration::from_millis(200));
    vm.procvisor(["stop", "a", "--signal", "usr1", "--grace", "50"]).success();
    assert_eq!(waiting.finish().0, 5);
}

fn stop_does_not_wait_for_a_kernel_that_hangs_beyond_the_grace() {
    let (_folder, kernel) = kernel::file(Deed::Hang);
    let runtime = tempfile::tempdir().expect("a temporary directory");
    let kernel = kernel.to_str().expect("a plain path");
    let words = ["run", "--name", "a", "--kernel", kernel, "--", "/bin/busybox", "true"];
    let vm = Session::start(&mut command(runtime.path(), words));
    let run = |words: &[&str]| process::run(&mut command(runtime.path(), words), b"", DEADLINE);
    let begin = Instant::now();
    while !run(&["list"]).text().contains("running") {
        assert!(begin.elapsed() < DEADLINE);
    }
    let begin = Instant::now();
    run(&["stop", "--grace", "1", "a"]).success();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(vm.finish().0, 143);
    assert_nothing_left(runtime.path());
}

fn a_stop_that_is_killed_in_the_middle_harms_nobody() {
    let vm =
        Vm::start("a", &["/bin/busybox", "sh", "-c", "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done"]);
    vm.until(|vm| vm.procvisor(["logs", "a"]).success() == "up\n");
    let stopping = Session::start(&mut command(vm.runtime(), ["stop", "--grace", "50", "a"]));
    vm.until(|vm| vm.procvisor(["logs", "a"]).success() == "up\nasked\n");
    stopping.signal(Signal::KILL);
    assert_eq!(stopping.finish().0, 137);
    assert_eq!(vm.cat("1/comm"), b"busybox\n");
    vm.procvisor(["stop", "--grace", "0", "a"]).success();
}
