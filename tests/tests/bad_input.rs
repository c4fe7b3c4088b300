//! Everything a user can get wrong: one clear line on standard error, a fitting exit status, nothing left behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use procvisor_tests::kernel::{self, Deed};
use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::procvisor::{assert_nothing_left, binary, command, procvisor};
use procvisor_tests::session::Session;
use procvisor_tests::vm::Vm;
use procvisor_tests::{behaviours, harness, root};
use rustix::process::Signal;
use tempfile::TempDir;

fn main() -> ExitCode {
    harness::run(behaviours![
        Nothing: an_unknown_command_or_option_is_named,
            a_vm_that_is_gone_is_named,
            an_empty_register_lists_nothing;
        Kvm: a_missing_program_gives_127,
            a_program_that_may_not_be_executed_gives_126,
            a_program_that_is_no_elf_file_gives_126,
            a_program_for_another_machine_gives_126,
            a_truncated_program_gives_126,
            absurd_program_headers_give_126,
            a_directory_as_program_gives_126,
            a_program_that_the_root_lacks_gives_127,
            too_little_memory_says_how_much_is_needed,
            more_memory_than_the_host_has_is_refused,
            nonsense_for_memory_is_refused,
            a_root_that_is_missing_is_named,
            a_root_with_a_device_file_is_refused_or_carried,
            a_root_that_is_no_archive_is_refused,
            a_second_vm_of_a_name_is_refused,
            names_that_lead_elsewhere_are_refused,
            a_stale_entry_of_a_killed_vmm_is_recognised,
            a_kernel_that_is_missing_or_no_kernel_is_named,
            a_triple_fault_is_reported_as_125,
            a_kernel_panic_is_reported_as_125,
            a_hanging_kernel_ends_by_its_timeout,
            a_bad_user_or_directory_is_named;
        KvmAndRoot: a_missing_dev_kvm_is_named,
            a_dev_kvm_that_is_none_is_named,
            a_dev_kvm_without_permission_is_named;
    ])
}

/// A file with this content and mode in a directory of its own.
fn file(content: &[u8], mode: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("program");
    fs::write(&path, content).expect("the directory is new");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("the file is ours");
    (folder, path)
}

/// Runs a file of this content as PROGRAM: as the only file of the VM, and as a part of a root directory.
fn refused(content: &[u8], mode: u32, status: i32) {
    let (_folder, path) = file(content, mode);
    procvisor(["run", "--", root::text(&path)]).failed_saying(status, &[root::text(&path)]);
    let root = root::with_programs(&[]);
    fs::copy(&path, root.path().join("bin/bad")).expect("the root is ours");
    procvisor(["run", "--root", root::text(root.path()), "--", "/bin/bad"]).failed_saying(status, &["/bin/bad"]);
    // From inside the VM it is an error of execve(2), not of the VM.
    let outcome =
        procvisor(["run", "--root", root::text(root.path()), "--", "/bin/sh", "-c", "/bin/bad; echo after $?"]);
    assert!(outcome.status == 0 && outcome.text().starts_with("after "), "{outcome}");
}

fn busybox() -> Vec<u8> {
    fs::read("/bin/busybox").expect("busybox-static is installed: run scripts/setup")
}

fn an_unknown_command_or_option_is_named() {
    for arguments in [vec!["frobnicate"], vec!["run", "--frobnicate", "/bin/busybox"], vec!["run"], vec!["cat"]] {
        let outcome = procvisor(&arguments);
        assert!(
            outcome.status != 0 && outcome.stdout.is_empty() && !outcome.stderr.is_empty(),
            "{arguments:?}: {outcome}"
        );
        assert!(!outcome.errors().contains("panicked"), "{outcome}");
    }
    assert!(procvisor(["--help"]).success().contains("run"));
    assert!(procvisor(["--version"]).success().contains("procvisor"));
}

fn a_vm_that_is_gone_is_named() {
    for arguments in [
        vec!["cat", "nosuch", "1/stat"],
        vec!["ps", "nosuch"],
        vec!["stop", "nosuch"],
        vec!["ls", "nosuch"],
        vec!["stat", "nosuch", "1"],
    ] {
        let outcome = procvisor(&arguments);
        assert_ne!(outcome.status, 0, "{arguments:?}");
        outcome.failed_saying(outcome.status, &["nosuch"]);
    }
}

fn an_empty_register_lists_nothing() {
    assert!(procvisor(["list"]).success().lines().count() <= 1);
}

fn a_missing_program_gives_127() {
    procvisor(["run", "--", "/no/such/program"]).failed_saying(127, &["/no/such/program"]);
    procvisor(["run", "--", "no-such-program-on-the-path"]).failed_saying(127, &["no-such-program-on-the-path"]);
}

fn a_program_that_may_not_be_executed_gives_126() {
    refused(&busybox(), 0o644, 126);
}

fn a_program_that_is_no_elf_file_gives_126() {
    refused(b"this is only a text\n", 0o755, 126);
    refused(b"", 0o755, 126);
    refused(b"\x7fELF", 0o755, 126);
}

fn a_program_for_another_machine_gives_126() {
    let mut program = busybox();
    program[18] = 183;
    refused(&program, 0o755, 126);
    let mut program = busybox();
    program[4] = 1;
    refused(&program, 0o755, 126);
}

fn a_truncated_program_gives_126() {
    refused(&busybox()[..5000], 0o755, 126);
    refused(&busybox()[..100], 0o755, 126);
}

fn absurd_program_headers_give_126() {
    // The offset and the number of program headers, and then fields of the first loadable one.
    let absurd = |change: fn(&mut Vec<u8>, usize)| {
        let mut program = busybox();
        let mut headers = (0..10).map(|number| 64 + number * 56);
        let load = headers.find(|at| program[*at..at + 4] == [1, 0, 0, 0]).expect("busybox has a loadable segment");
        change(&mut program, load);
        refused(&program, 0o755, 126);
    };
    absurd(|program, _| program[32..40].fill(0xff));
    absurd(|program, _| program[56..58].fill(0xff));
    absurd(|program, load| program[load + 16..load + 24].copy_from_slice(&0xffff_ffff_8020_0000_u64.to_le_bytes()));
    absurd(|program, load| program[load + 40..load + 48].copy_from_slice(&u64::MAX.to_le_bytes()));
    absurd(|program, load| program[load + 32..load + 40].copy_from_slice(&u64::MAX.to_le_bytes()));
    absurd(|program, load| program[load + 8..load + 16].copy_from_slice(&1u64.to_le_bytes()));
}

fn a_directory_as_program_gives_126() {
    procvisor(["run", "--", "/etc"]).failed_saying(126, &["/etc"]);
}

fn a_program_that_the_root_lacks_gives_127() {
    let root = root::with_programs(&[]);
    procvisor(["run", "--root", root::text(root.path()), "--", "/bin/lacking"]).failed_saying(127, &["/bin/lacking"]);
}

fn too_little_memory_says_how_much_is_needed() {
    procvisor(["run", "--memory", "1M", "--", "/bin/busybox", "true"]).failed_saying(125, &["MiB"]);
}

fn more_memory_than_the_host_has_is_refused() {
    procvisor(["run", "--memory", "1000000G", "--", "/bin/busybox", "true"]).failed_saying(125, &["memory"]);
}

fn nonsense_for_memory_is_refused() {
    for memory in ["0", "-5", "many", "12X", "99999999999999999999"] {
        let outcome = procvisor(["run", &format!("--memory={memory}"), "--", "/bin/busybox", "true"]);
        assert!(outcome.status != 0 && outcome.errors().contains("memory"), "{memory}: {outcome}");
    }
}

fn a_root_that_is_missing_is_named() {
    procvisor(["run", "--root", "/no/such/root", "--", "/bin/sh"]).failed_saying(125, &["/no/such/root"]);
}

fn a_root_with_a_device_file_is_refused_or_carried() {
    let root = root::with_programs(&[]);
    let fifo = root.path().join("fifo");
    process::run(Command::new("mkfifo").arg(&fifo), b"", DEADLINE).success();
    let outcome =
        procvisor(["run", "--root", root::text(root.path()), "--", "/bin/sh", "-c", "test -p /fifo && echo fifo"]);
    // Not carrying it over in silence would be the failure.
    if outcome.status != 0 {
        outcome.failed_saying(125, &["fifo"]);
    } else {
        assert_eq!(outcome.success(), "fifo\n");
    }
    fs::remove_file(&fifo).expect("the fifo is ours");
    symlink("/no/such/target", root.path().join("dangling")).expect("the name is new");
    procvisor(["run", "--root", root::text(root.path()), "--", "/bin/true"]).ended_with(0);
}

fn a_root_that_is_no_archive_is_refused() {
    let (_folder, path) = file(b"no archive at all", 0o644);
    procvisor(["run", "--root", root::text(&path), "--", "/bin/sh"]).failed_saying(125, &[root::text(&path)]);
}

fn a_second_vm_of_a_name_is_refused() {
    let vm = Vm::start("taken", &["/bin/busybox", "sleep", "1000"]);
    vm.procvisor(["run", "--name", "taken", "--", "/bin/busybox", "true"]).failed_saying(125, &["taken"]);
    assert_eq!(vm.cat("1/comm"), b"busybox\n");
}

fn names_that_lead_elsewhere_are_refused() {
    for name in ["../elsewhere", "", ".", "..", "a/b", "new\nline"] {
        let outcome = procvisor(["run", "--name", name, "--", "/bin/busybox", "true"]);
        assert!(outcome.status != 0 && !outcome.stderr.is_empty(), "{name:?}: {outcome}");
    }
}

fn a_stale_entry_of_a_killed_vmm_is_recognised() {
    let runtime = tempfile::tempdir().expect("a temporary directory");
    let arguments = ["run", "--name", "stale", "--", "/bin/busybox", "sh", "-c", "echo up; exec sleep 1000"];
    let mut session = Session::start(&mut command(runtime.path(), arguments));
    session.lines_until("up");
    session.signal(Signal::KILL);
    session.finish();
    let ask = |arguments: &[&str]| process::run(&mut command(runtime.path(), arguments), b"", DEADLINE);
    assert!(!ask(&["list"]).success().lines().skip(1).any(|line| line.contains("stale") && line.contains("running")));
    let outcome = ask(&["cat", "stale", "1/stat"]);
    assert_ne!(outcome.status, 0, "{outcome}");
    outcome.failed_saying(outcome.status, &["stale"]);
    // The name is free again.
    ask(&["run", "--name", "stale", "--", "/bin/busybox", "true"]).success();
    assert_nothing_left(runtime.path());
}

fn a_kernel_that_is_missing_or_no_kernel_is_named() {
    procvisor(["run", "--kernel", "/no/such/kernel", "--", "/bin/busybox", "true"])
        .failed_saying(125, &["/no/such/kernel"]);
    let (_folder, path) = file(b"no kernel", 0o644);
    procvisor(["run", "--kernel", root::text(&path), "--", "/bin/busybox", "true"]).failed_saying(125, &["kernel"]);
}

fn a_triple_fault_is_reported_as_125() {
    let (_folder, path) = kernel::file(Deed::TripleFault);
    let outcome = procvisor(["run", "--kernel", root::text(&path), "--", "/bin/busybox", "true"]);
    outcome.ended_with(125);
    let errors = outcome.errors().to_lowercase();
    assert!(errors.contains("triple fault") || errors.contains("shut down") || errors.contains("rip"), "{outcome}");
}

fn a_kernel_panic_is_reported_as_125() {
    let (_folder, path) = kernel::file(Deed::ReportPanic);
    let outcome = procvisor(["run", "--kernel", root::text(&path), "--", "/bin/busybox", "true"]);
    assert!(outcome.ended_with(125).errors().contains("panic"), "{outcome}");
}

fn a_hanging_kernel_ends_by_its_timeout() {
    let (_folder, path) = kernel::file(Deed::Hang);
    let start = Instant::now();
    let outcome = procvisor(["run", "--kernel", root::text(&path), "--timeout", "1", "--", "/bin/busybox", "true"]);
    assert!(start.elapsed() < Duration::from_secs(30) && outcome.status != 0, "{outcome}");
}

fn a_bad_user_or_directory_is_named() {
    let outcome = procvisor(["run", "--user", "nobody-of-that-name:x", "--", "/bin/busybox", "true"]);
    assert!(outcome.status != 0 && outcome.errors().contains("user"), "{outcome}");
    // Without a root directory of the host's the root is made, and the directory with it.
    let root = root::with_programs(&[]);
    let root = root::text(root.path());
    let outcome = procvisor(["run", "--root", root, "--cwd", "/no/such/directory", "--", "/bin/busybox", "true"]);
    assert!(outcome.status != 0 && outcome.errors().contains("/no/such/directory"), "{outcome}");
}

/// Runs `procvisor run` in a mount namespace that `change` has prepared.
fn in_changed_dev(change: &str) -> process::Outcome {
    let script = format!("{change} && exec \"$0\" run -- /bin/busybox true");
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", &script]).arg(binary()).stdin(Stdio::null());
    process::run(&mut unshare, b"", DEADLINE)
}

fn a_missing_dev_kvm_is_named() {
    in_changed_dev("mount -t tmpfs none /dev").failed_saying(125, &["/dev/kvm"]);
}

fn a_dev_kvm_that_is_none_is_named() {
    in_changed_dev("mount --bind /dev/null /dev/kvm").failed_saying(125, &["/dev/kvm"]);
}

fn a_dev_kvm_without_permission_is_named() {
    // A copy, since the workspace may lie where another user may not look; the device is closed to everybody but root for this.
    let folder = tempfile::tempdir_in("/tmp").expect("a temporary directory");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("the directory is ours");
    let copy = folder.path().join("procvisor");
    fs::copy(binary(), &copy).expect("the directory is ours");
    let mut other = Command::new("unshare");
    let script = "mount -t tmpfs none /mnt && mknod -m 600 /mnt/kvm c 10 232 && mount --bind /mnt/kvm /dev/kvm && rm -f /tmp/kvm-$$ && \
                  exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$0\" run -- /bin/busybox true";
    other.args(["--mount", "sh", "-c", script]).arg(&copy).env_remove("XDG_RUNTIME_DIR");
    process::run(&mut other, b"", DEADLINE).failed_saying(125, &["/dev/kvm"]);
}
