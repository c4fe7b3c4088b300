//! A VM's life from outside: pause, resume, wait, logs; and clients of its control socket that misbehave.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use procvisor_tests::mounted::Mountpoint;
use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::procvisor::{assert_nothing_left, command};
use procvisor_tests::session::Session;
use procvisor_tests::vm::Vm;
use procvisor_tests::{behaviours, harness};
use rustix::process::{Pid, Signal, kill_process};

fn main() -> ExitCode {
    harness::run(behaviours![
        Kvm: a_paused_vm_stands_still_until_it_is_resumed,
            a_paused_vm_says_so_instead_of_answering,
            a_paused_vm_can_be_stopped,
            pausing_from_many_sides_at_once_leaves_a_vm_that_runs,
            wait_gives_the_status_of_the_program_and_then_the_name_is_free,
            wait_tells_of_a_vmm_that_was_killed_and_nothing_is_left_of_it,
            a_waiting_client_that_is_killed_harms_nobody,
            logs_print_what_a_detached_vm_wrote,
            logs_follow_a_vm_to_its_end,
            the_kernels_log_is_printed_of_a_vm_in_the_foreground_too,
            a_vm_that_is_not_there_is_named,
            garbage_on_the_control_socket_harms_nobody,
            more_silent_clients_than_are_served_harm_nobody_for_long;
        KvmAndFuse: a_mount_of_a_paused_vm_fails_in_time_and_works_again;
    ])
}

const TICKER: [&str; 4] = ["/bin/busybox", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; usleep 5000; done"];
const SLEEPER: [&str; 3] = ["/bin/busybox", "sleep", "1000"];

/// The last number that a ticker has written.
fn ticks(vm: &Vm) -> u64 {
    let text = vm.procvisor(["logs", vm.name()]).success();
    text.lines().last().and_then(|line| line.parse().ok()).unwrap_or(0)
}

fn state(vm: &Vm) -> String {
    let text = vm.procvisor(["list"]).success();
    let line = text.lines().find(|line| line.starts_with(vm.name())).expect("the VM is listed");
    line.split_whitespace().nth(3).expect("a column STATE").to_owned()
}

fn a_paused_vm_stands_still_until_it_is_resumed() {
    let vm = Vm::start("ticks", &TICKER);
    vm.until(|vm| ticks(vm) > 10);
    assert_eq!(state(&vm), "running");
    for _ in 0..3 {
        vm.procvisor(["pause", "ticks"]).success();
        assert_eq!(state(&vm), "paused");
        let before = ticks(&vm);
        thread::sleep(Duration::from_millis(200));
        assert_eq!(ticks(&vm), before, "it goes on while it is paused");
        // What is paused may be paused.
        vm.procvisor(["pause", "ticks"]).success();
        vm.procvisor(["resume", "ticks"]).success();
        assert_eq!(state(&vm), "running");
        vm.until(|vm| ticks(vm) > before);
    }
    vm.procvisor(["resume", "ticks"]).success();
    assert_eq!(vm.cat("1/comm"), b"busybox\n");
}

fn a_paused_vm_says_so_instead_of_answering() {
    let vm = Vm::start("a", &SLEEPER);
    vm.procvisor(["pause", "a"]).success();
    let folder = tempfile::tempdir().expect("a temporary directory");
    let folder = folder.path().to_str().expect("a plain path");
    for words in
        [&["cat", "a", "1/stat"][..], &["ls", "a"], &["ps", "a"], &["stat", "a", "1"], &["mount", "-b", "a", folder]]
    {
        let begin = Instant::now();
        vm.procvisor(words).failed_saying(125, &["a is paused", "resume"]);
        assert!(begin.elapsed() < Duration::from_secs(5), "{words:?} took {:?}", begin.elapsed());
    }
    vm.procvisor(["resume", "a"]).success();
    assert_eq!(vm.cat("1/comm"), b"busybox\n");
}

fn a_mount_of_a_paused_vm_fails_in_time_and_works_again() {
    let vm = Vm::start("a", &SLEEPER);
    let point = Mountpoint::new();
    vm.procvisor(["mount", "-b", "a", point.text()]).success();
    let read = || std::fs::read_to_string(point.path().join("1/comm"));
    assert_eq!(read().expect("it is mounted"), "busybox\n");
    vm.procvisor(["pause", "a"]).success();
    let begin = Instant::now();
    let error = read().expect_err("nobody answers");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    vm.procvisor(["resume", "a"]).success();
    vm.until(|_| read().is_ok_and(|text| text == "busybox\n"));
    let unmounted = process::run(std::process::Command::new("umount").arg(point.path()), b"", DEADLINE);
    unmounted.success();
}

fn a_paused_vm_can_be_stopped() {
    let vm = Vm::start("a", &TICKER);
    vm.procvisor(["pause", "a"]).success();
    let begin = Instant::now();
    vm.procvisor(["stop", "a"]).success();
    // Five seconds later it would have been killed instead.
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_nothing_left(vm.runtime());
}

fn pausing_from_many_sides_at_once_leaves_a_vm_that_runs() {
    let vm = Vm::start("a", &TICKER);
    thread::scope(|scope| {
        for side in 0..4 {
            let vm = &vm;
            scope.spawn(move || {
                for round in 0..4 {
                    let word = if (side + round) % 2 == 0 { "pause" } else { "resume" };
                    vm.procvisor([word, "a"]).success();
                }
            });
        }
    });
    vm.procvisor(["resume", "a"]).success();
    assert_eq!(state(&vm), "running");
    let before = ticks(&vm);
    vm.until(|vm| ticks(vm) > before);
}

fn wait_gives_the_status_of_the_program_and_then_the_name_is_free() {
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", "sleep 2; exit 7"]);
    let waiting = vm.procvisor(["wait", "a"]);
    assert_eq!((waiting.status, waiting.text().as_str(), waiting.errors().as_str()), (7, "7\n", ""));
    assert_nothing_left(vm.runtime());
    vm.procvisor(["run", "--name", "a", "-d", "--", "/bin/busybox", "sleep", "1000"]).ended_with(0);
    let mut waiting = Session::start(&mut command(vm.runtime(), ["wait", "a"]));
    thread::sleep(Duration::from_millis(300));
    vm.procvisor(["stop", "a"]).success();
    assert_eq!(waiting.line(), "143");
    assert_eq!(waiting.finish(), (143, String::new()));
    vm.procvisor(["wait", "a"]).failed_saying(125, &["no VM named a"]);
}

fn vmm_of(vm: &Vm) -> Pid {
    let text = std::fs::read_to_string(vm.entry().join("pid")).expect("the entry has the process");
    let pid = text.split_whitespace().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    pid.expect("a process number")
}

fn wait_tells_of_a_vmm_that_was_killed_and_nothing_is_left_of_it() {
    let vm = Vm::start("a", &SLEEPER);
    vm.procvisor(["pause", "a"]).success();
    let waiting = Session::start(&mut command(vm.runtime(), ["wait", "a"]));
    let following = Session::start(&mut command(vm.runtime(), ["logs", "-f", "a"]));
    thread::sleep(Duration::from_millis(300));
    kill_process(vmm_of(&vm), Signal::KILL).expect("it is ours");
    let (status, errors) = waiting.finish();
    assert!(status == 125 && errors.contains("ended without a word"), "{status} {errors}");
    assert_eq!(following.finish(), (0, String::new()));
    // The entry it left has all its sockets and says that it is paused.
    assert!(vm.entry().join("paused").exists());
    for words in [["pause", "a"], ["wait", "a"], ["logs", "a"], ["resume", "a"]] {
        vm.procvisor(words).failed_saying(125, &["no VM named a"]);
    }
    vm.procvisor(["run", "--name", "a", "-d", "--", "/bin/busybox", "sleep", "1000"]).ended_with(0);
    assert_eq!(state(&vm), "running");
    assert_eq!(vm.cat("1/comm"), b"busybox\n");
}

fn a_waiting_client_that_is_killed_harms_nobody() {
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", "read x < /dev/zero; sleep 1000"]);
    let other = Session::start(&mut command(vm.runtime(), ["wait", "a"]));
    for _ in 0..5 {
        let killed = Session::start(&mut command(vm.runtime(), ["wait", "a"]));
        thread::sleep(Duration::from_millis(50));
        killed.signal(Signal::KILL);
        assert_eq!(killed.finish().0, 137);
    }
    vm.procvisor(["stop", "a"]).success();
    assert_eq!(other.finish().0, 143);
}

fn logs_print_what_a_detached_vm_wrote() {
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", "echo out; echo err >&2; sleep 1000"]);
    vm.until(|vm| vm.procvisor(["logs", "a"]).success() == "out\nerr\n");
}

fn logs_follow_a_vm_to_its_end() {
    let script = "echo one; while [ $(cat /proc/1/oom_score_adj) = 0 ]; do usleep 20000; done; seq 1 20000; echo end";
    let vm = Vm::start("a", &["/bin/busybox", "sh", "-c", script]);
    let mut following = Session::start(&mut command(vm.runtime(), ["logs", "--follow", "a"]));
    assert_eq!(following.line(), "one");
    let outcome = process::run(&mut command(vm.runtime(), ["write", "a", "1/oom_score_adj"]), b"5", DEADLINE);
    outcome.success();
    let lines = following.lines_until("end");
    assert_eq!(lines.len(), 20000);
    assert_eq!(lines.last().map(String::as_str), Some("20000"));
    assert_eq!(following.finish(), (0, String::new()));
}

fn the_kernels_log_is_printed_of_a_vm_in_the_foreground_too() {
    let runtime = tempfile::tempdir().expect("a temporary directory");
    // A process that is killed for want of memory is logged.
    let script = "echo up; dd if=/dev/zero of=/tmp/x bs=1M 2>/dev/null; dd if=/dev/zero of=/dev/null bs=20M count=1 2>/dev/null; echo tried; grep oom_kill /proc/vmstat; read x";
    let words = ["run", "--name", "fore", "--memory", "48M", "--", "/bin/busybox", "sh", "-c", script];
    let mut vm = Session::start(&mut command(runtime.path(), words));
    assert_eq!((vm.line(), vm.line()), ("up".to_owned(), "tried".to_owned()));
    let kills = vm.line();
    let run = |words: &[&str]| process::run(&mut command(runtime.path(), words), b"", DEADLINE);
    let log = run(&["logs", "--kernel", "fore"]).success();
    let logged = log.matches("out of memory: killing process").count();
    assert!(logged > 0, "{log:?}");
    assert_eq!(kills, format!("oom_kill {logged}"));
    run(&["logs", "fore"]).failed_saying(125, &["--detach"]);
    let following = Session::start(&mut command(runtime.path(), ["logs", "-f", "--kernel", "fore"]));
    thread::sleep(Duration::from_millis(300));
    vm.say("done");
    assert_eq!(vm.finish().0, 0);
    assert_eq!(following.finish(), (0, String::new()));
}

fn a_vm_that_is_not_there_is_named() {
    let runtime = tempfile::tempdir().expect("a temporary directory");
    for word in ["pause", "resume", "wait", "logs", "stop"] {
        let run = |words: &[&str]| process::run(&mut command(runtime.path(), words), b"", DEADLINE);
        run(&[word, "nobody"]).failed_saying(125, &["no VM named nobody", "procvisor list"]);
        run(&[word, "../x"]).failed_saying(125, &["is no name for a VM"]);
        run(&[word]).failed_saying(125, &["VM"]);
        run(&[word, "--connect", "/x", "a"]).failed_saying(125, &["--connect"]);
    }
}

fn garbage_on_the_control_socket_harms_nobody() {
    let vm = Vm::start("a", &SLEEPER);
    let long = [b"[".repeat(100_000), b"\n".to_vec()].concat();
    let sentences: [&[u8]; 7] =
        [b"\n", b"\"pause\"", b"{}\n", b"\"nosuch\"\n", b"\0\xff\xfe\n", &long, b"{\"kernel_log\":{\"from\":-1}}\n"];
    for sentence in sentences {
        let mut stream = UnixStream::connect(vm.control()).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
        // The other side may have hung up already.
        drop(stream.write_all(sentence));
        drop(stream.shutdown(std::net::Shutdown::Write));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        let answer = String::from_utf8(answer).expect("text");
        assert!(answer.is_empty() || answer.contains("refused"), "{sentence:?}: {answer}");
        assert!(answer.len() < 4096, "{} bytes", answer.len());
    }
    assert_eq!(state(&vm), "running");
    vm.procvisor(["pause", "a"]).success();
    vm.procvisor(["resume", "a"]).success();
    assert_eq!(vm.cat("1/comm"), b"busybox\n");
}

fn more_silent_clients_than_are_served_harm_nobody_for_long() {
    let vm = Vm::start("a", &SLEEPER);
    let silent: Vec<_> = (0..64).map(|_| UnixStream::connect(vm.control()).expect("it listens")).collect();
    vm.until(|vm| vm.procvisor(["pause", "a"]).status != 0);
    vm.procvisor(["pause", "a"]).failed_saying(125, &["too many clients"]);
    // /proc has a socket of its own.
    assert_eq!(vm.cat("1/comm"), b"busybox\n");
    drop(silent);
    vm.until(|vm| vm.procvisor(["pause", "a"]).status == 0);
    vm.procvisor(["stop", "a"]).success();
}
