//! A terminal on the host becomes the program's terminal, and is as it was afterwards.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::procvisor::{assert_nothing_left, binary};
use procvisor_tests::{behaviours, harness};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tempfile::TempDir;

fn main() -> ExitCode {
    harness::run(behaviours![
        Kvm: the_program_sees_a_terminal_of_the_hosts_size,
            what_is_typed_is_echoed_and_read_by_lines,
            control_c_interrupts_the_program,
            control_c_ends_a_child_and_leaves_the_shell,
            control_d_ends_the_input,
            a_change_of_size_reaches_the_program,
            the_terminal_is_restored_after_every_ending;
    ])
}

/// `procvisor run` on a pseudo-terminal.
struct Screen {
    child: Child,
    master: File,
    slave: OwnedFd,
    bytes: Receiver<Vec<u8>>,
    seen: String,
    runtime: TempDir,
}

impl Screen {
    fn start(program: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the host has pseudo-terminals");
        grantpt(&master).expect("a new terminal");
        unlockpt(&master).expect("a new terminal");
        let name = ptsname(&master, Vec::new()).expect("a new terminal has a name");
        let slave = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().expect("a plain name"))
            .expect("it can be opened");
        let slave = OwnedFd::from(slave);
        tcsetwinsize(&slave, Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 })
            .expect("a terminal has a size");
        let runtime = tempfile::tempdir().expect("a temporary directory");
        let end = || Stdio::from(slave.try_clone().expect("a descriptor is free"));
        // A session of its own, with the terminal as its controlling one, as a terminal window has it.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(binary()).args(["run", "--"]).args(program);
        command.env("XDG_RUNTIME_DIR", runtime.path()).stdin(end()).stdout(end()).stderr(end());
        let child = command.spawn().expect("setsid is a part of every Debian");
        let master = File::from(master);
        let (sender, bytes) = channel();
        let mut reader = master.try_clone().expect("a descriptor is free");
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, master, slave, bytes, seen: String::new(), runtime }
    }

    fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes a few bytes");
    }

    /// Reads until the screen shows `text`, beyond what was waited for before.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            match self.bytes.recv_timeout(Duration::from_millis(100)) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) if start.elapsed() < DEADLINE => {}
                Err(error) => panic!("{text:?} never came ({error}); the screen shows {:?}", self.seen),
            }
        }
    }

    /// The exit status of the command.
    #[track_caller]
    fn finish(&mut self) -> i32 {
        let status = process::wait(&mut self.child, DEADLINE);
        let Some(status) = status else { panic!("the VM did not end; the screen shows {:?}", self.seen) };
        process::shell_status(status)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn the_program_sees_a_terminal_of_the_hosts_size() {
    let mut screen =
        Screen::start(&["/bin/busybox", "sh", "-c", "[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo terminal; stty size"]);
    screen.wait_for("terminal\r\n");
    screen.wait_for("33 101\r\n");
    assert_eq!(screen.finish(), 0);
}

fn what_is_typed_is_echoed_and_read_by_lines() {
    let mut screen = Screen::start(&[
        "/bin/busybox",
        "sh",
        "-c",
        "echo ready; read x; echo got $x; stty -echo; echo quiet; read y; echo got $y",
    ]);
    screen.wait_for("ready\r\n");
    screen.type_in("helo\x7flo\r");
    screen.wait_for("got hello\r\n");
    screen.wait_for("quiet\r\n");
    screen.type_in("secret\r");
    screen.wait_for("got secret\r\n");
    assert_eq!(screen.finish(), 0);
}

fn control_c_interrupts_the_program() {
    let mut screen = Screen::start(&[
        "/bin/busybox",
        "sh",
        "-c",
        "trap 'echo interrupted; exit 44' INT; echo ready; while :; do sleep 0.1; done",
    ]);
    screen.wait_for("ready\r\n");
    screen.type_in("\x03");
    screen.wait_for("interrupted\r\n");
    assert_eq!(screen.finish(), 44);
}

fn control_c_ends_a_child_and_leaves_the_shell() {
    let mut screen = Screen::start(&["/bin/busybox", "sh", "-i"]);
    screen.type_in("sleep 1000\r");
    screen.wait_for("sleep 1000");
    thread::sleep(Duration::from_millis(300));
    screen.type_in("\x03");
    screen.type_in("echo still $((40+2))\r");
    screen.wait_for("still 42\r\n");
    screen.type_in("exit 9\r");
    assert_eq!(screen.finish(), 9);
}

fn control_d_ends_the_input() {
    let mut screen = Screen::start(&["/bin/busybox", "sh", "-c", "echo ready; cat; echo over"]);
    screen.wait_for("ready\r\n");
    screen.type_in("line\r");
    screen.wait_for("line\r\nline\r\n");
    screen.type_in("\x04");
    screen.wait_for("over\r\n");
    assert_eq!(screen.finish(), 0);
}

fn a_change_of_size_reaches_the_program() {
    let mut screen = Screen::start(&[
        "/bin/busybox",
        "sh",
        "-c",
        "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.1; done",
    ]);
    screen.wait_for("ready\r\n");
    tcsetwinsize(&screen.slave, Winsize { ws_row: 50, ws_col: 132, ws_xpixel: 0, ws_ypixel: 0 })
        .expect("a terminal has a size");
    screen.wait_for("50 132\r\n");
    assert_eq!(screen.finish(), 0);
}

fn the_terminal_is_restored_after_every_ending() {
    let endings: [(&[&str], Option<Signal>, i32); 4] = [
        (&["/bin/busybox", "sh", "-c", "stty raw -echo; exit 3"], None, 3),
        (&["/bin/busybox", "no-such-applet"], None, 127),
        (&["/no/such/program"], None, 127),
        (&["/bin/busybox", "sh", "-c", "echo ready; exec sleep 1000"], Some(Signal::TERM), 143),
    ];
    for (program, signal, status) in endings {
        let mut screen = Screen::start(program);
        if let Some(signal) = signal {
            screen.wait_for("ready\r\n");
            // setsid(1) has become the command: it forks only when it leads a group already.
            kill_process(Pid::from_child(&screen.child), signal).expect("the command runs");
        }
        assert_eq!(screen.finish(), status, "{program:?}; the screen shows {:?}", screen.seen);
        let modes = tcgetattr(&screen.slave).expect("a terminal").local_modes;
        let cooked = LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        assert!(modes.contains(cooked), "after {program:?} the terminal has {modes:?}");
        assert_nothing_left(screen.runtime.path());
    }
}
