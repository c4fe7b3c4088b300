//! `procvisor top` on a terminal and without one, against VMs whose processes are known.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::procvisor::binary;
use procvisor_tests::vm::Vm;
use procvisor_tests::{behaviours, harness};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

fn main() -> ExitCode {
    harness::run(behaviours![
        Kvm: batch_prints_vms_and_processes,
            batch_tells_who_uses_the_processor,
            a_vm_that_hangs_or_is_paused_costs_its_own_row_only,
            ps_has_columns_tree_and_threads,
            list_tells_what_vms_use,
            the_screen_sorts_filters_resizes_and_is_put_back,
            the_screen_outlives_its_vm;
    ])
}

const FAMILY: [&str; 4] = ["/bin/busybox", "sh", "-c", "n=100; sleep ${n}1 & sleep ${n}2 & while :; do :; done"];

/// `procvisor top` on a pseudo-terminal, and what that shows.
struct Screen {
    child: Child,
    master: File,
    slave: OwnedFd,
    bytes: Receiver<Vec<u8>>,
    parser: vt100::Parser,
}

impl Screen {
    #[track_caller]
    fn start(vm: &Vm, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the host has pseudo-terminals");
        grantpt(&master).expect("a new terminal");
        unlockpt(&master).expect("a new terminal");
        let name = ptsname(&master, Vec::new()).expect("a new terminal has a name");
        let slave = File::options().read(true).write(true).open(name.to_str().expect("a plain name"));
        let slave = OwnedFd::from(slave.expect("it can be opened"));
        resize(&slave, 30, 120);
        let end = || Stdio::from(slave.try_clone().expect("a descriptor is free"));
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(binary()).arg("top").args(arguments);
        command.env("XDG_RUNTIME_DIR", vm.runtime()).env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
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
        Self { child, master, slave, bytes, parser: vt100::Parser::new(30, 120, 0) }
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes a few bytes");
    }

    /// Makes the terminal another size.
    fn resize(&mut self, rows: u16, columns: u16) {
        self.parser.screen_mut().set_size(rows, columns);
        resize(&self.slave, rows, columns);
    }

    /// Reads until the terminal shows what is wanted, and gives that.
    #[track_caller]
    fn wait_until(&mut self, wanted: impl Fn(&vt100::Screen) -> bool) -> String {
        let start = Instant::now();
        while !wanted(self.parser.screen()) {
            assert!(start.elapsed() < DEADLINE, "it never came; the screen shows\n{}", self.parser.screen().contents());
            if let Ok(bytes) = self.bytes.recv_timeout(Duration::from_millis(100)) {
                self.parser.process(&bytes);
            }
        }
        self.parser.screen().contents()
    }

    /// Reads until the terminal shows all of `texts`.
    #[track_caller]
    fn wait_for(&mut self, texts: &[&str]) -> String {
        self.wait_until(|screen| {
            let shown = screen.contents();
            texts.iter().all(|text| shown.contains(text))
        })
    }

    /// Reads until the terminal is back from the screen.
    #[track_caller]
    fn wait_for_return(&mut self) {
        self.wait_until(|screen| !screen.alternate_screen() && !screen.hide_cursor());
    }

    #[track_caller]
    fn finish(&mut self) -> i32 {
        let status = process::wait(&mut self.child, DEADLINE);
        let Some(status) = status else {
            panic!("top did not end; the screen shows\n{}", self.parser.screen().contents())
        };
        process::shell_status(status)
    }

    #[track_caller]
    fn assert_is_as_before(&self) {
        let modes = tcgetattr(&self.slave).expect("a terminal").local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG), "{modes:?}");
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn resize(terminal: &OwnedFd, rows: u16, columns: u16) {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
        .expect("a terminal has a size");
}

/// A VM with three processes of its own, all of them there; the first does not have the names of the others in its command.
fn family() -> Vm {
    let vm = Vm::start("family", &FAMILY);
    vm.until(|vm| vm.procvisor(["ps", "family"]).text().contains("1002"));
    vm
}

/// The words of the first line that has `word`.
#[track_caller]
fn words(text: &str, word: &str) -> Vec<String> {
    let line = text.lines().rfind(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word:?} in\n{text}"));
    line.split_whitespace().map(str::to_owned).collect()
}

fn batch_prints_vms_and_processes() {
    let vm = family();
    let text = vm.procvisor(["top", "--batch", "-n", "1", "--tree"]).success();
    assert_eq!(words(&text, "family")[0], "family", "{text}");
    assert!(text.lines().nth(1).is_some_and(|line| line.contains(" runs ")), "{text}");
    assert!(text.contains("  \\_ sleep 1001") && text.contains("  \\_ sleep 1002"), "{text}");
    let filtered = vm.procvisor(["top", "-b", "-n", "2", "-d", "0.2", "--filter", "1002", "family"]).success();
    assert!(!filtered.contains("1001") && filtered.matches("sleep 1002").count() == 2, "{filtered}");
    vm.procvisor(["top", "--batch", "-n", "1", "nosuch"]).failed_saying(125, &["nosuch"]);
    vm.procvisor(["top", "family"]).failed_saying(125, &["terminal", "--batch"]);
}

fn batch_tells_who_uses_the_processor() {
    let vm = family();
    let text = vm.procvisor(["top", "--batch", "-n", "3", "-d", "1", "family"]).success();
    let last = text.rsplit("%CPU").next().unwrap_or_default();
    // Sorted by processor use: the loop comes first and has nearly all of what the guest had.
    let first = last.lines().nth(1).unwrap_or_default();
    assert!(first.contains("while :"), "{text}");
    let percent: f64 = first.split_whitespace().nth(5).and_then(|word| word.parse().ok()).expect("a number");
    assert!(percent > 50.0, "{text}");
    assert_eq!(words(last, "sleep 1001")[5], "0.0", "{text}");
}

fn a_vm_that_hangs_or_is_paused_costs_its_own_row_only() {
    let vm = family();
    vm.procvisor(["run", "--name", "stuck", "--detach", "--", "/bin/busybox", "sleep", "1000"]).ended_with(0);
    let list = vm.procvisor(["list"]).success();
    let pid = words(&list, "stuck")[1].parse().ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::STOP).expect("the VMM of a VM of ours");
    let start = Instant::now();
    let outcome = vm.procvisor(["top", "--batch", "-n", "1"]);
    let took = start.elapsed();
    kill_process(pid, Signal::CONT).expect("the VMM of a VM of ours");
    vm.procvisor(["pause", "stuck"]).ended_with(0);
    let paused = vm.procvisor(["top", "--batch", "-n", "1", "--filter", "nothing"]).success();
    vm.procvisor(["stop", "stuck"]).ended_with(0);
    assert_eq!((words(&paused, "stuck")[1].as_str(), words(&paused, "family")[1].as_str()), ("paused", "runs"));
    let text = outcome.success();
    assert!(text.contains("sleep 1001") && words(&text, "stuck")[1] != "runs", "{text}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

fn ps_has_columns_tree_and_threads() {
    let vm = family();
    let text = vm.procvisor(["ps", "-o", "pid,ppid,nlwp,ni,comm,args", "--tree", "family"]).success();
    let child = words(&text, "sleep 1002");
    assert_eq!((child[1].as_str(), child[2].as_str(), child[3].as_str()), ("1", "1", "0"), "{text}");
    assert!(text.starts_with("PID PPID NLWP NI COMMAND") && text.contains("  \\_ sleep 1002"), "{text}");
    assert!(vm.procvisor(["ps", "--threads", "family"]).success().starts_with("PID TID PPID"), "no threads");
    vm.procvisor(["ps", "-o", "nosuch", "family"]).failed_saying(125, &["nosuch", "pid"]);
    let json = vm.procvisor(["ps", "--json", "family"]).success();
    let script = "import json,sys; print([(p['ppid'], p['threads'], p['pss_bytes'] > 0, p['elapsed_seconds'] >= 0) \
                  for p in json.load(sys.stdin) if p['args'] == ['sleep', '1001']])";
    let check = process::run(Command::new("python3").args(["-c", script]), json.as_bytes(), DEADLINE);
    assert_eq!(check.success(), "[(1, 1, True, True)]\n", "{json}");
}

fn list_tells_what_vms_use() {
    let vm = family();
    let json = vm.procvisor(["list", "--json"]).success();
    let script = "import json,sys; [vm] = json.load(sys.stdin); guest = vm['guest']; print(vm['name'], \
                  0 < guest['memory_available_bytes'] < guest['memory_total_bytes'] <= vm['memory_bytes'], \
                  guest['tasks'] >= 3, vm['vmm']['rss_bytes'] > 1 << 20)";
    let check = process::run(Command::new("python3").args(["-c", script]), json.as_bytes(), DEADLINE);
    assert_eq!(check.success(), "family True True True\n", "{json}");
}

fn the_screen_sorts_filters_resizes_and_is_put_back() {
    let vm = family();
    let mut screen = Screen::start(&vm, &["-d", "0.5"]);
    screen.wait_for(&["sleep 1001", "sleep 1002", "sort: cpu"]);
    screen.press("M");
    screen.wait_for(&["sort: memory"]);
    screen.press("/1002\r");
    let is_filtered = |shown: &str| shown.contains("filter: 1002") && !shown.contains("sleep 1001");
    screen.wait_until(|screen| is_filtered(&screen.contents()));
    screen.resize(12, 70);
    let shown = screen.wait_until(|screen| {
        let shown = screen.contents();
        is_filtered(&shown) && shown.contains("sleep 1002") && screen.size() == (12, 70)
    });
    assert!(shown.lines().count() <= 12, "{shown}");
    screen.resize(3, 9);
    screen.wait_until(|screen| screen.contents().starts_with("VM ") && screen.contents().contains("q quit"));
    screen.resize(30, 120);
    screen.wait_for(&["sleep 1002", "filter: 1002"]);
    screen.press("\r");
    screen.wait_for(&["process ", "status:", "Name: sleep"]);
    screen.press("q");
    assert_eq!(screen.finish(), 0);
    screen.wait_for_return();
    screen.assert_is_as_before();
    let mut screen = Screen::start(&vm, &["family"]);
    screen.wait_for(&["sleep 1001"]);
    kill_process(Pid::from_child(&screen.child), Signal::TERM).expect("the command runs");
    assert_eq!(screen.finish(), 143);
    screen.wait_for_return();
    screen.assert_is_as_before();
}

fn the_screen_outlives_its_vm() {
    let vm = family();
    let mut screen = Screen::start(&vm, &["-d", "0.3", "family"]);
    screen.wait_for(&["sleep 1001"]);
    vm.procvisor(["stop", "family"]).ended_with(0);
    screen.wait_for(&["ended"]);
    screen.press("q");
    assert_eq!(screen.finish(), 0);
    screen.assert_is_as_before();
}
