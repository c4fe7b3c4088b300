//! A VM that runs in the background while a test looks at it from outside.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{self, DEADLINE, Outcome};
use crate::procvisor::command;

/// A detached VM with a register of its own; stopped when dropped.
#[derive(Debug)]
pub struct Vm {
    runtime: TempDir,
    name: String,
}

impl Vm {
    /// Starts `program` in a VM called `name` and comes back when its `/proc` answers.
    ///
    /// # Panics
    /// When it does not start.
    #[track_caller]
    pub fn start(name: &str, program: &[&str]) -> Self {
        Self::start_with(name, &[], program)
    }

    /// The same with more options of `run`.
    #[track_caller]
    pub fn start_with(name: &str, options: &[&str], program: &[&str]) -> Self {
        let vm = Self { runtime: tempfile::tempdir().expect("a temporary directory"), name: name.to_owned() };
        let mut arguments = vec!["run", "--name", name, "--detach"];
        arguments.extend(options);
        arguments.push("--");
        arguments.extend(program);
        let outcome = vm.procvisor(arguments);
        assert!(outcome.status == 0, "a detached VM should start:\n{outcome}");
        vm.until(|vm| vm.procvisor(["stat", name, "1"]).status == 0);
        vm
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory of the register.
    pub fn runtime(&self) -> &Path {
        self.runtime.path()
    }

    /// Runs `procvisor` with the register that knows this VM.
    #[track_caller]
    pub fn procvisor<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        process::run(&mut command(self.runtime(), arguments), b"", DEADLINE)
    }

    /// The bytes of a file below its /proc.
    #[track_caller]
    pub fn cat(&self, path: &str) -> Vec<u8> {
        let outcome = self.procvisor(["cat", &self.name, path]);
        assert!(outcome.status == 0 && outcome.stderr.is_empty(), "cat {path} should work:\n{outcome}");
        outcome.stdout
    }

    /// The number of a process other than the first whose command line starts with `cmdline`, waiting until there is one.
    ///
    /// # Panics
    /// When there is none before the deadline.
    #[track_caller]
    pub fn child(&self, cmdline: &[u8]) -> u32 {
        let mut child = None;
        self.until(|vm| {
            let names = vm.procvisor(["ls", &vm.name]).text();
            let mut numbers =
                names.split_whitespace().filter_map(|name| name.parse().ok()).filter(|&pid: &u32| pid > 1);
            // A process may have gone since the directory was read.
            child = numbers.find(|pid| {
                let outcome = vm.procvisor(["cat", &vm.name, &format!("{pid}/cmdline")]);
                outcome.status == 0 && outcome.stdout.starts_with(cmdline)
            });
            child.is_some()
        });
        child.expect("it was found")
    }

    /// Its directory in the register.
    pub fn entry(&self) -> PathBuf {
        self.runtime().join("procvisor").join(&self.name)
    }

    /// Its unix socket that speaks 9P.
    ///
    /// # Panics
    /// When there is none in the register.
    pub fn socket(&self) -> PathBuf {
        self.socket_named("proc.sock")
    }

    /// The unix socket of its VMM.
    ///
    /// # Panics
    /// When there is none in the register.
    pub fn control(&self) -> PathBuf {
        self.socket_named("control.sock")
    }

    fn socket_named(&self, name: &str) -> PathBuf {
        let path = self.entry().join(name);
        assert!(fs::symlink_metadata(&path).is_ok_and(|file| file.file_type().is_socket()), "{}", path.display());
        path
    }

    /// Waits until `condition` holds.
    ///
    /// # Panics
    /// When it does not hold before the deadline.
    #[track_caller]
    pub fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < DEADLINE, "the VM {} never got there", self.name);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The socket that speaks 9P of the VM called `name` in the register below `runtime`, once it is there.
pub fn socket_in(runtime: &Path, name: &str) -> Option<PathBuf> {
    let path = runtime.join("procvisor").join(name).join("proc.sock");
    fs::symlink_metadata(&path).is_ok_and(|file| file.file_type().is_socket()).then_some(path)
}

impl Drop for Vm {
    fn drop(&mut self) {
        // In a panic already, perhaps: a VM that does not stop must not hide what went wrong before.
        let mut stop = command(self.runtime(), ["stop", &self.name]);
        let Ok(mut child) = stop.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn() else {
            return;
        };
        if process::wait(&mut child, Duration::from_secs(30)).is_none() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
