//! A VM whose `/proc` is mounted on a directory of the host while a test looks at it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::process::{self, DEADLINE, Outcome};
use crate::procvisor::command;
use crate::vm::Vm;

/// A directory that is unmounted, by force if need be, when dropped.
#[derive(Debug)]
pub struct Mountpoint(TempDir);

impl Mountpoint {
    /// A new empty one.
    ///
    /// # Panics
    /// When there is no room for temporary files.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Its path as an argument.
    ///
    /// # Panics
    /// When it is not text.
    pub fn text(&self) -> &str {
        self.path().to_str().expect("temporary directories have plain names")
    }

    /// Whether something is mounted on it, by this process's list of mounts.
    ///
    /// # Panics
    /// When there is no such list.
    pub fn is_mounted(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the host has mounts");
        mounts.lines().any(|line| line.split(' ').nth(1) == Some(self.text()))
    }

    /// Waits until something is mounted on it, or no longer.
    ///
    /// # Panics
    /// When that does not come before the deadline.
    #[track_caller]
    pub fn until_mounted(&self, wanted: bool) {
        let start = Instant::now();
        while self.is_mounted() != wanted {
            assert!(start.elapsed() < DEADLINE, "{} mounted: {} for too long", self.text(), !wanted);
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Default for Mountpoint {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Mountpoint {
    fn drop(&mut self) {
        // In a panic, perhaps: what is still mounted must not outlive the test.
        if self.is_mounted() {
            drop(Command::new("umount").arg("--lazy").arg(self.path()).output());
        }
    }
}

/// A detached VM and `procvisor mount` in the foreground.
#[derive(Debug)]
pub struct Mounted {
    /// Dropped before the directory and the VM.
    mount: Child,
    directory: Mountpoint,
    vm: Vm,
}

impl Mounted {
    /// Starts `program` in a VM and mounts its `/proc`.
    ///
    /// # Panics
    /// When either does not work.
    #[track_caller]
    pub fn start(program: &[&str]) -> Self {
        Self::start_with(&[], &[], program)
    }

    /// The same with more options of `run` and of `mount`.
    ///
    /// # Panics
    /// When either does not work.
    #[track_caller]
    pub fn start_with(run: &[&str], mount: &[&str], program: &[&str]) -> Self {
        let vm = Vm::start_with("a", run, program);
        let directory = Mountpoint::new();
        let words = ["mount"].iter().chain(mount).copied().chain(["a", directory.text()]);
        let mut command = command(vm.runtime(), words);
        let mount = process::start(command.stdin(Stdio::null()));
        let mounted = Self { mount, directory, vm };
        mounted.directory.until_mounted(true);
        mounted
    }

    /// The VM.
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// The directory.
    pub fn directory(&self) -> &Mountpoint {
        &self.directory
    }

    /// The path of a file of the guest's `/proc` on the host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a command of the host whose `/proc` is the guest's: in a mount namespace of its own.
    #[track_caller]
    pub fn with_proc(&self, words: &[&str]) -> Outcome {
        process::run(&mut self.command_with_proc(words), b"", DEADLINE)
    }

    /// The command of [`with_proc`](Self::with_proc).
    pub fn command_with_proc(&self, words: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", r#"mount --bind "$0" /proc && exec "$@""#, self.directory.text()]);
        command.args(words);
        command
    }

    /// The host's process that the VM is.
    ///
    /// # Panics
    /// When it is not registered.
    pub fn vmm(&self) -> Pid {
        let path = self.vm.runtime().join("procvisor").join(self.vm.name()).join("pid");
        let text = fs::read_to_string(path).expect("a running VM has a pid file");
        let number = text.split_whitespace().next().and_then(|word| word.parse().ok());
        Pid::from_raw(number.expect("a number")).expect("a positive one")
    }

    /// Sends a signal to the command that mounted.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.mount), signal);
    }

    /// Waits for the end of the command that mounted.
    ///
    /// # Panics
    /// When it does not end with status 0 before the deadline, or leaves the mount.
    #[track_caller]
    pub fn ends_well(&mut self) {
        let status = process::wait(&mut self.mount, DEADLINE).expect("the command should have ended");
        assert_eq!(process::shell_status(status), 0, "the command that mounted");
        assert!(!self.directory.is_mounted(), "it is still mounted");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        if process::wait(&mut self.mount, Duration::from_secs(5)).is_none() {
            process::kill(&mut self.mount);
        }
    }
}
