//! `procvisor run`: exit statuses, streams, environment, and how a VM ends.

use std::fs::File;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::procvisor::{assert_nothing_left, binary, command, procvisor, procvisor_with, shell};
use procvisor_tests::session::Session;
use procvisor_tests::{behaviours, harness, root};
use rustix::process::Signal;

fn main() -> ExitCode {
    harness::run(behaviours![
        Kvm: the_exit_status_is_the_programs,
            a_program_killed_by_a_signal_gives_128_and_its_number,
            a_program_that_faults_is_reported_as_139,
            standard_input_reaches_the_program_byte_for_byte,
            every_byte_value_passes_both_ways,
            megabytes_pass_both_ways,
            an_ended_input_is_an_end_of_file,
            output_and_errors_stay_apart,
            nothing_is_added_to_the_output,
            the_script_of_the_readme_lists_its_jobs,
            options_set_environment_directory_user_and_hostname,
            a_root_directory_is_the_vms_root,
            a_cpio_file_is_the_vms_root,
            a_dynamic_program_finds_its_libraries,
            writes_in_the_vm_do_not_reach_the_host,
            a_timeout_ends_the_vm,
            a_signal_to_the_command_ends_the_vm,
            a_closed_output_ends_the_writer,
            head_takes_one_line_and_the_vm_ends,
            a_slow_reader_loses_nothing,
            closed_standard_input_is_an_end_of_file,
            orphans_become_children_of_the_program,
            the_vm_ends_with_pid_1_whatever_else_runs,
            vms_run_side_by_side,
            an_idle_vm_costs_no_cpu_time;
    ])
}

fn the_exit_status_is_the_programs() {
    for status in [0, 7, 42, 125, 255] {
        procvisor(["run", "--", "/bin/busybox", "sh", "-c", &format!("exit {status}")]).ended_with(status);
    }
    procvisor(["run", "/bin/busybox", "true"]).ended_with(0);
}

fn a_program_killed_by_a_signal_gives_128_and_its_number() {
    // Pid 1 of a namespace is spared signals that it does not handle, so the shell's child is the one to die.
    shell("sh -c 'kill -TERM $$'; exit $?").ended_with(143);
    shell("sh -c 'kill -9 $$'; exit $?").ended_with(137);
}

fn a_program_that_faults_is_reported_as_139() {
    let root = root::with_programs(&["fault"]);
    procvisor(["run", "--root", root::text(root.path()), "--", "/bin/fault"]).ended_with(139);
    procvisor(["run", "--root", root::text(root.path()), "--", "/bin/sh", "-c", "/bin/fault; exit $?"]).ended_with(139);
}

fn standard_input_reaches_the_program_byte_for_byte() {
    let outcome = procvisor_with(["run", "--", "/bin/busybox", "cat"], b"hi\n", DEADLINE);
    assert_eq!(outcome.stdout, b"hi\n", "{outcome}");
    outcome.success();
}

fn every_byte_value_passes_both_ways() {
    let bytes: Vec<u8> = (0..=255).cycle().take(2000).collect();
    let outcome = procvisor_with(["run", "--", "/bin/busybox", "cat"], &bytes, DEADLINE);
    assert!(outcome.stdout == bytes && outcome.status == 0, "{outcome}");
}

fn megabytes_pass_both_ways() {
    let bytes: Vec<u8> = (0..4_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let outcome = procvisor_with(["run", "--", "/bin/busybox", "cat"], &bytes, DEADLINE);
    assert!(outcome.status == 0, "status {}, stderr {}", outcome.status, outcome.errors());
    assert!(outcome.stdout == bytes, "{} bytes came back", outcome.stdout.len());
}

fn an_ended_input_is_an_end_of_file() {
    assert_eq!(procvisor(["run", "--", "/bin/busybox", "wc", "-c"]).success().trim(), "0");
}

fn output_and_errors_stay_apart() {
    let outcome = shell("echo out; echo err >&2; echo out2; echo err2 >&2");
    assert_eq!((outcome.text(), outcome.errors()), ("out\nout2\n".into(), "err\nerr2\n".into()));
}

fn nothing_is_added_to_the_output() {
    let outcome = shell("printf 'no newline at the end'; printf 'a\\r\\nb\\tc\\003' >&2");
    assert_eq!((&outcome.stdout[..], &outcome.stderr[..]), (&b"no newline at the end"[..], &b"a\r\nb\tc\x03"[..]));
}

fn the_script_of_the_readme_lists_its_jobs() {
    let script = "for i in 1 2 3; do sleep 5 & done; ps; cat /proc/1/stat; ls -l /proc/self/fd; top -bn1 | head -5";
    // ls lists the descriptor of its own listing, which is closed when it reads the link, and says so: on Linux too.
    let text = shell(script).ended_with(0).text();
    assert!(text.matches("sleep 5").count() >= 3, "{text}");
    assert!(text.lines().any(|line| line.starts_with("1 (") && line.split_whitespace().count() >= 52), "{text}");
    assert!(text.contains("/proc/") && text.contains("-> "), "{text}");
    assert!(text.contains("Mem: "), "{text}");
}

fn options_set_environment_directory_user_and_hostname() {
    let root = root::with_programs(&[]);
    let arguments = [
        "run",
        "--root",
        root::text(root.path()),
        "--env",
        "NAME=a value",
        "--env",
        "EMPTY=",
        "--cwd",
        "/tmp",
        "--user",
        "1000:100",
        "--hostname",
        "guest",
    ];
    let script = "echo \"$NAME|$EMPTY|${NONE-unset}\"; pwd; id -u; id -g; hostname; cat /proc/self/environ | tr '\\0' '\\n' | grep NAME";
    let outcome = procvisor(arguments.into_iter().chain(["--", "/bin/sh", "-c", script]));
    assert_eq!(outcome.success(), "a value||unset\n/tmp\n1000\n100\nguest\nNAME=a value\n");
}

fn a_root_directory_is_the_vms_root() {
    let root = root::with_programs(&[]);
    std::fs::write(root.path().join("etc/motd"), "from the root\n").expect("the directory is there");
    let outcome = procvisor([
        "run",
        "--root",
        root::text(root.path()),
        "--",
        "/bin/sh",
        "-c",
        "cat /etc/motd; ls -d /*; readlink /bin/sh; test -x /bin/busybox",
    ]);
    let text = outcome.success();
    assert!(
        text.starts_with("from the root\n")
            && text.contains("/bin\n")
            && text.contains("/etc\n")
            && text.ends_with("busybox\n"),
        "{text}"
    );
}

fn a_cpio_file_is_the_vms_root() {
    let root = root::with_programs(&[]);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let archive = folder.path().join("root.cpio");
    let pack = format!("cd {} && find . | cpio --quiet -o -H newc >{}", root::text(root.path()), root::text(&archive));
    process::run(Command::new("sh").args(["-c", &pack]), b"", DEADLINE).success();
    let outcome = procvisor(["run", "--root", root::text(&archive), "--", "/bin/sh", "-c", "echo packed; exit 4"]);
    assert_eq!((outcome.ended_with(4).text(), outcome.errors()), ("packed\n".into(), String::new()));
}

fn a_dynamic_program_finds_its_libraries() {
    let linux = process::run(Command::new("/usr/bin/printf").args(["%s %d\n", "dynamic", "42"]), b"", DEADLINE);
    assert_eq!(procvisor(["run", "--", "/usr/bin/printf", "%s %d\n", "dynamic", "42"]), linux);
}

fn writes_in_the_vm_do_not_reach_the_host() {
    let root = root::with_programs(&[]);
    let arguments = [
        "run",
        "--root",
        root::text(root.path()),
        "--",
        "/bin/sh",
        "-c",
        "echo x >/etc/new && cat /etc/new && rm /bin/cat",
    ];
    assert_eq!(procvisor(arguments).success(), "x\n");
    assert!(!root.path().join("etc/new").exists() && root.path().join("bin/cat").exists());
}

fn a_timeout_ends_the_vm() {
    let start = Instant::now();
    let outcome = procvisor(["run", "--timeout", "1", "--", "/bin/busybox", "sleep", "100"]);
    assert!(start.elapsed() < Duration::from_secs(30), "it took {:?}", start.elapsed());
    assert_eq!((outcome.status, outcome.errors().lines().count()), (124, 1), "{outcome}");
}

fn a_signal_to_the_command_ends_the_vm() {
    for (signal, status) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let runtime = tempfile::tempdir().expect("a temporary directory");
        let mut session = Session::start(&mut command(
            runtime.path(),
            ["run", "--", "/bin/busybox", "sh", "-c", "echo up; exec sleep 100"],
        ));
        session.lines_until("up");
        session.signal(signal);
        let (ended, errors) = session.finish();
        assert_eq!(ended, status, "after {signal:?}; stderr: {errors}");
        assert_nothing_left(runtime.path());
    }
}

fn a_closed_output_ends_the_writer() {
    let script = format!("{} run -- /bin/busybox yes | head -c 100 | wc -c", binary().display());
    let outcome = process::run(Command::new("bash").args(["-c", &script]), b"", DEADLINE);
    assert_eq!(outcome.text().trim(), "100", "{outcome}");
    let script = format!("{} run -- /bin/busybox sh -c 'echo x; echo y >&2' >&-; echo $?", binary().display());
    let outcome = process::run(Command::new("bash").args(["-c", &script]), b"", DEADLINE);
    assert!(outcome.errors().contains('y') && !outcome.errors().contains("panicked"), "{outcome}");
}

fn head_takes_one_line_and_the_vm_ends() {
    let start = Instant::now();
    let script = format!(
        "set -o pipefail; {} run -- /bin/busybox sh -c 'while echo line; do :; done; exit 3' | head -1; echo $?",
        binary().display()
    );
    let outcome = process::run(Command::new("bash").args(["-c", &script]), b"", DEADLINE);
    assert!(start.elapsed() < Duration::from_secs(30), "it took {:?}", start.elapsed());
    // The shell dies of SIGPIPE, or its echo fails first; either way the VM ended by itself.
    let lines: Vec<_> = outcome.stdout.split(|byte| *byte == b'\n').collect();
    assert_eq!(lines[0], b"line", "{outcome}");
    assert_ne!(lines[1], b"125", "{outcome}");
}

fn a_slow_reader_loses_nothing() {
    let script = format!("{} run -- /bin/busybox seq 1 100000 | (sleep 1; md5sum)", binary().display());
    let outcome = process::run(Command::new("bash").args(["-c", &script]), b"", DEADLINE);
    let linux = process::run(Command::new("bash").args(["-c", "/bin/busybox seq 1 100000 | md5sum"]), b"", DEADLINE);
    assert_eq!(outcome, linux);
}

fn closed_standard_input_is_an_end_of_file() {
    let script = format!("{} run -- /bin/busybox sh -c 'cat; echo read $?' <&-", binary().display());
    let outcome = process::run(Command::new("bash").args(["-c", &script]), b"", DEADLINE);
    assert!(outcome.text().contains("read "), "{outcome}");
    outcome.ended_with(0);
    let runtime = tempfile::tempdir().expect("a temporary directory");
    let null = File::open("/dev/null").expect("it is there");
    let mut from_null = command(runtime.path(), ["run", "--", "/bin/busybox", "wc", "-c"]);
    let child = process::start(from_null.stdin(Stdio::from(null)));
    assert_eq!(process::finish(child, &from_null, DEADLINE).success().trim(), "0");
}

fn orphans_become_children_of_the_program() {
    let outcome = shell(
        "mkdir -p /tmp; sh -c 'sleep 0.4 & echo $!' >/tmp/pid; sleep 0.1; awk '{print $4}' /proc/$(cat /tmp/pid)/stat",
    );
    assert_eq!(outcome.success(), "1\n");
}

fn the_vm_ends_with_pid_1_whatever_else_runs() {
    let start = Instant::now();
    shell("sleep 100 & (while :; do :; done) & echo going; exit 6").ended_with(6);
    assert!(start.elapsed() < Duration::from_secs(20), "it took {:?}", start.elapsed());
}

fn vms_run_side_by_side() {
    let runtime = tempfile::tempdir().expect("a temporary directory");
    let mut sessions: Vec<Session> = (0..8)
        .map(|number| {
            Session::start(&mut command(
                runtime.path(),
                ["run", "--", "/bin/busybox", "sh", "-c", &format!("read x; echo $x from {number}; exit {number}")],
            ))
        })
        .collect();
    for session in &mut sessions {
        session.say("hello");
    }
    for (number, mut session) in (0..).zip(sessions) {
        assert_eq!(session.line(), format!("hello from {number}"));
        assert_eq!(session.finish(), (number, String::new()));
    }
    assert_nothing_left(runtime.path());
}

fn an_idle_vm_costs_no_cpu_time() {
    let runtime = tempfile::tempdir().expect("a temporary directory");
    let mut session =
        Session::start(&mut command(runtime.path(), ["run", "--", "/bin/busybox", "sh", "-c", "echo up; sleep 100"]));
    session.lines_until("up");
    std::thread::sleep(Duration::from_millis(500));
    let before = cpu_ticks(session.pid());
    std::thread::sleep(Duration::from_secs(2));
    let used = cpu_ticks(session.pid()) - before;
    // Two seconds are 200 ticks; a handful leaves room for a late start.
    assert!(used <= 4, "{used} ticks of CPU time in two idle seconds");
}

fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the command runs");
    let words: Vec<&str> = stat[stat.rfind(')').expect("a name in brackets") + 2..].split(' ').collect();
    words[11].parse::<u64>().expect("a number") + words[12].parse::<u64>().expect("a number")
}
