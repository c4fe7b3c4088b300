//! The life of `procvisor run` around a VM whose kernel is a few bytes of code: statuses, names, signals, the terminal.
//!
//! What a real kernel and program do is tested elsewhere; here the guest ends at once or never. Without /dev/kvm nothing is run.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};

/// Where Procvisor's kernel is linked and loaded (ARCHITECTURE.md).
const VIRTUAL: u64 = 0xffff_ffff_8020_0000;
const PHYSICAL: u64 = 0x20_0000;

/// An ELF64 image with one segment that holds `code`.
fn kernel(code: &[u8]) -> Vec<u8> {
    let size = 4096 + code.len() as u64;
    let mut image = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    image.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    image.extend((VIRTUAL + 4096).to_le_bytes());
    image.extend(64u64.to_le_bytes());
    image.extend(0u64.to_le_bytes());
    image.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    image.extend([1, 0, 0, 0, 7, 0, 0, 0]);
    for word in [0, VIRTUAL, PHYSICAL, size, size, 4096] {
        image.extend(word.to_le_bytes());
    }
    image.resize(4096, 0);
    image.extend(code);
    image
}

/// Writes `code` to the debug-exit port, for ever.
fn exits_with(code: u32) -> Vec<u8> {
    // mov eax, code; mov edx, 0xf4; again: out dx, eax; jmp again
    [&[0xb8], &code.to_le_bytes()[..], &[0xba, 0xf4, 0, 0, 0, 0xef, 0xeb, 0xfd]].concat()
}

/// jmp to itself.
const SPINS: &[u8] = &[0xeb, 0xfe];

struct Host {
    directory: tempfile::TempDir,
}

impl Host {
    /// A run-time directory of its own; `None` when this host cannot run VMs.
    fn new() -> Option<Self> {
        if File::open("/dev/kvm").is_err() {
            println!("not run: no /dev/kvm on this host");
            return None;
        }
        Some(Self { directory: tempfile::tempdir().unwrap() })
    }

    fn entries(&self) -> usize {
        fs::read_dir(self.directory.path().join("procvisor")).map_or(0, Iterator::count)
    }

    fn kernel(&self, code: &[u8]) -> PathBuf {
        let name: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = self.directory.path().join(name);
        fs::write(&path, kernel(code)).unwrap();
        path
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_procvisor"));
        command.args(words).env("XDG_RUNTIME_DIR", self.directory.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// `run` with a kernel of `code` and further options.
    fn boot(&self, code: &[u8], options: &[&str]) -> Command {
        let kernel = self.kernel(code);
        let mut command = self.command(&["run", "--kernel", kernel.to_str().unwrap()]);
        command.args(options).arg("/bin/true");
        command
    }

    /// A VM that spins, registered as `name`.
    fn spinning(&self, name: &str) -> Child {
        let child = self.boot(SPINS, &["--name", name]).stderr(Stdio::piped()).spawn().unwrap();
        let socket = self.directory.path().join("procvisor").join(name).join("proc.sock");
        wait_until(|| socket.exists());
        child
    }
}

#[track_caller]
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "still waiting");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

fn error_of(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_status_is_the_programs_or_says_why_it_did_not_run() {
    let Some(host) = Host::new() else { return };
    for (code, status, part) in [
        (7, 7, ""),
        (139, 139, ""),
        (0x27e, 126, "cannot execute"),
        (0x27f, 127, "not found"),
        (0x300, 0, ""),
        (0x100, 125, "panicked"),
    ] {
        let output = host.boot(&exits_with(code), &[]).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{code:#x}: {output:?}");
        assert!(error_of(&output).contains(part) && (part.is_empty() == output.stderr.is_empty()), "{output:?}");
        assert_eq!(host.entries(), 0);
    }
    // ud2 without an IDT
    let output = host.boot(&[0x0f, 0x0b], &[]).output().unwrap();
    assert!(output.status.code() == Some(125) && error_of(&output).contains("triple fault"), "{output:?}");
}

#[test]
fn a_timeout_ends_the_vm_with_124() {
    let Some(host) = Host::new() else { return };
    let output = host.boot(SPINS, &["--timeout", "0.3"]).output().unwrap();
    assert_eq!(
        (output.status.code(), error_of(&output).as_str()),
        (Some(124), "procvisor: stopped after 0.3 s (--timeout)\n")
    );
}

#[test]
fn signals_end_the_vm_and_leave_nothing_behind() {
    let Some(host) = Host::new() else { return };
    for (name, number) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let child = host.spinning("a");
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), host.entries()), (Some(number), 0), "{output:?}");
    }
}

#[test]
fn a_name_is_taken_while_its_vm_runs_and_free_after_a_kill() {
    let Some(host) = Host::new() else { return };
    let mut first = host.spinning("a");
    let output = host.boot(SPINS, &["--name", "a"]).output().unwrap();
    assert!(output.status.code() == Some(125) && error_of(&output).contains("a VM named a runs already"), "{output:?}");
    let listed = String::from_utf8(host.run(&["list"]).stdout).unwrap();
    assert!(
        listed.lines().nth(1).is_some_and(|line| line.starts_with("a ") && line.ends_with(" /bin/true")),
        "{listed}"
    );
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(host.entries(), 1);
    let output = host.run(&["ps", "a"]);
    assert!(error_of(&output).contains("no VM named a runs"), "{output:?}");
    assert_eq!(host.entries(), 0);
    let second = host.spinning("a");
    assert!(host.run(&["stop", "a"]).status.success());
    assert_eq!((second.wait_with_output().unwrap().status.code(), host.entries()), (Some(143), 0));
}

#[test]
fn a_detached_vm_that_ended_by_itself_counts_as_started() {
    let Some(host) = Host::new() else { return };
    let output = host.boot(&exits_with(3), &["--detach", "--name", "short"]).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"short\n"[..]), "{output:?}");
    let output = host.boot(&exits_with(0x27f), &["--detach"]).output().unwrap();
    assert!(output.status.code() == Some(127) && error_of(&output).contains("not found"), "{output:?}");
    wait_until(|| host.entries() == 0);
}

#[test]
fn closed_standard_descriptors_do_no_harm() {
    let Some(host) = Host::new() else { return };
    let kernel = host.kernel(&exits_with(5));
    let script = "\"$0\" run --kernel \"$1\" /bin/true <&- >&- 2>&-";
    let status = Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_procvisor")])
        .arg(kernel)
        .env("XDG_RUNTIME_DIR", host.directory.path())
        .status();
    assert_eq!(status.unwrap().code(), Some(5));
}

/// A terminal: the end that a program holds, and the user's.
fn terminal() -> (OwnedFd, OwnedFd) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let user = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&user).unwrap();
    unlockpt(&user).unwrap();
    let name = ptsname(&user, vec![]).unwrap();
    let program = File::options().read(true).write(true).open(Path::new(name.to_str().unwrap())).unwrap();
    (program.into(), user)
}

#[test]
fn the_terminal_is_raw_while_the_vm_runs_and_restored_after() {
    let Some(host) = Host::new() else { return };
    for end in [None, Some(Signal::TERM), Some(Signal::INT), Some(Signal::HUP)] {
        let (program, user) = terminal();
        let is_raw = || !tcgetattr(&user).unwrap().local_modes.contains(LocalModes::ICANON);
        let before = format!("{:?}", tcgetattr(&user).unwrap());
        let limit: &[&str] = if end.is_none() { &["--timeout", "0.5"] } else { &[] };
        let mut command = host.boot(SPINS, limit);
        command.stdin(program.try_clone().unwrap()).stdout(program.try_clone().unwrap()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        wait_until(is_raw);
        if let Some(end) = end {
            signal(&child, end);
        }
        child.wait().unwrap();
        assert_eq!(format!("{:?}", tcgetattr(&user).unwrap()), before, "{end:?}");
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!(errors.is_empty(), end.is_some(), "{errors}");
    }
}
