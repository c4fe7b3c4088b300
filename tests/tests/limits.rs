//! Programs that take all there is: the program may fail or be killed, the kernel and the VMM go on.

use std::process::ExitCode;
use std::time::Duration;

use procvisor_tests::process::Outcome;
use procvisor_tests::procvisor::{procvisor, procvisor_with};
use procvisor_tests::{behaviours, harness, program, root};

fn main() -> ExitCode {
    harness::run(behaviours![
        Kvm: taking_all_memory_ends_the_taker_alone,
            a_flood_of_processes_is_bounded_by_memory,
            a_flood_of_files_is_bounded_by_memory,
            descriptors_end_at_their_limit,
            endless_recursion_ends_in_a_fault,
            endless_arguments_are_refused,
            a_thousand_processes_come_and_go,
            random_system_calls_leave_the_kernel_alive,
            fork_bombs_and_memory_eaters_leave_the_kernel_alive;
    ])
}

const DEADLINE: Duration = Duration::from_secs(120);

fn shell_in(memory: &str, script: &str) -> Outcome {
    let root = root::with_programs(&["hog", "recurse"]);
    let arguments = ["run", "--memory", memory, "--root", root::text(root.path()), "--", "/bin/sh", "-c", script];
    let outcome = procvisor_with(arguments, b"", DEADLINE);
    assert!(outcome.status != 125 && !outcome.errors().contains("panic"), "the VM itself failed:\n{outcome}");
    outcome
}

fn taking_all_memory_ends_the_taker_alone() {
    let outcome = shell_in("64M", "/bin/hog; echo ended $?; /bin/hog; echo ended $?; echo alive");
    // Told that there is none (0), or killed as Linux does it (137).
    let lines: Vec<String> = outcome.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{outcome}");
    assert!(lines[..2].iter().all(|line| line == "ended 0" || line == "ended 137"), "{outcome}");
    assert_eq!(lines[2], "alive", "{outcome}");
}

fn a_flood_of_processes_is_bounded_by_memory() {
    // Who is killed gives its memory back once it has run: the loop without a fork lets all of them do so.
    let script = "(i=0; while [ $i -lt 5000 ]; do sleep 1000 & i=$((i+1)); done) 2>/dev/null; for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p = 1 ] || kill -9 $p; done 2>/dev/null; \
                  i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; sleep 0.5; sh -c 'echo alive'";
    let outcome = shell_in("48M", script);
    assert!(outcome.text().ends_with("alive\n"), "{outcome}");
}

fn a_flood_of_files_is_bounded_by_memory() {
    let outcome = shell_in(
        "64M",
        "dd if=/dev/zero of=/tmp/big bs=1M count=500 2>/dev/null; echo ended $?; rm /tmp/big; dd if=/dev/zero of=/tmp/small bs=1M count=5 2>/dev/null && echo again",
    );
    assert_eq!(outcome.text(), "ended 1\nagain\n", "{outcome}");
}

fn descriptors_end_at_their_limit() {
    let outcome = shell_in(
        "64M",
        "ulimit -n 20; exec 3</proc/self/stat; for n in 4 5 6 7 8 9; do eval \"exec $n<&3\"; done; echo open; (exec 30<&3) 2>/dev/null || echo refused",
    );
    assert_eq!(outcome.text(), "open\nrefused\n", "{outcome}");
}

fn endless_recursion_ends_in_a_fault() {
    assert_eq!(shell_in("64M", "/bin/recurse; echo ended $?").text(), "ended 139\n");
}

fn endless_arguments_are_refused() {
    let script =
        "x=$(seq 1 40000); /bin/true $x $x $x $x $x $x $x $x $x $x 2>/dev/null; echo ended $?; sh -c 'echo alive'";
    assert_eq!(shell_in("128M", script).text(), "ended 126\nalive\n");
}

fn a_thousand_processes_come_and_go() {
    let script = "i=0; while [ $i -lt 1000 ]; do /bin/true; i=$((i+1)); done; echo $i; cat /proc/self/comm";
    assert_eq!(shell_in("64M", script).text(), "1000\ncat\n");
    // What they used is free again: as much can be taken as at first.
    let root = root::with_programs(&[]);
    let script = "free() { sed -n 's/^MemFree: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo; }; /bin/true; a=$(free); \
                  i=0; while [ $i -lt 300 ]; do /bin/true | /bin/cat; i=$((i+1)); done; b=$(free); [ $((a - b)) -lt 400 ] && echo kept || echo lost $a $b";
    assert_eq!(
        procvisor(["run", "--root", root::text(root.path()), "--", "/bin/sh", "-c", script]).success(),
        "kept\n"
    );
}

/// A program that reports by its status; it takes the whole VM, so it never runs on the host.
fn guest_only(name: &str, argument: &str) {
    let program = program::built(name);
    let outcome = procvisor_with(["run", "--memory", "64M", "--", root::text(&program), argument], b"", DEADLINE);
    assert_eq!(outcome.status, 0, "{outcome}");
}

fn random_system_calls_leave_the_kernel_alive() {
    for seed in ["1", "2", "3"] {
        guest_only("hostile_syscalls", seed);
    }
}

fn fork_bombs_and_memory_eaters_leave_the_kernel_alive() {
    guest_only("hostile_tasks", "guest");
}
