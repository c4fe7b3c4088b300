//! `run --detach`, `mount --background`: what outlives the command that started it.
//!
//! The command starts itself again with `--detached-child` and reads what became of it from a pipe, the other's standard output: `+` and
//! the VM's name (nothing for a mount) once its /proc answers (or the program has ended by itself), or `-`, a status byte and a message.
//! A child that dies without a word has failed. A new process image, not a fork, so no state of this one is taken along.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use vmm::registry::Registration;

use super::{Failure, plain, print};

/// Starts the detached process and tells what became of it.
pub(crate) fn start() -> Result<u8, Failure> {
    let mut words: Vec<OsString> = std::env::args_os().skip(1).collect();
    // Behind `run` (no option that may stand before it takes a value of that name) and before the program.
    let run = words.iter().position(|word| word == "run").map_or(words.len(), |at| at + 1);
    words.insert(run, "--detached-child".into());
    start_as(words)
}

/// Starts this command in the background with these words and tells what became of it.
pub(crate) fn start_as(words: Vec<OsString>) -> Result<u8, Failure> {
    let failed = |error: std::io::Error| Failure::ours(format!("cannot start in the background: {}", plain(&error)));
    let mut child = Command::new("/proc/self/exe")
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let mut told = vec![];
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_end(&mut told).map_err(failed)?;
    }
    match told.split_first() {
        Some((b'+', [])) => Ok(0),
        Some((b'+', name)) => {
            let mut name = name.to_vec();
            name.push(b'\n');
            print(&name)?;
            Ok(0)
        }
        Some((b'-', [status, message @ ..])) => Err(Failure::new(*status, String::from_utf8_lossy(message))),
        _ => {
            let status = child.wait().map_err(failed)?;
            Err(Failure::ours(format!("the process in the background ended before it was ready ({status})")))
        }
    }
}

/// Turns standard output and error into nothing, so that no pipe or terminal of the parent is kept open.
pub(crate) fn silence() -> Result<(), Failure> {
    let null = File::options().write(true).open("/dev/null");
    redirect_to(&null.map_err(|error| Failure::ours(format!("cannot open /dev/null: {}", plain(&error))))?)
}

fn redirect_to(output: &File) -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| Failure::ours(format!("cannot redirect output: {}", plain(&error)));
    rustix::stdio::dup2_stdout(output).map_err(failed)?;
    rustix::stdio::dup2_stderr(output).map_err(failed)
}

/// Where a VM's process tells what became of the start; a VM in the foreground has nobody to tell.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    pipe: Mutex<Option<File>>,
}

impl Announcer {
    /// Takes the pipe on standard output of a detached process, which leaves the session of its parent.
    pub(crate) fn detached() -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::ours(format!("cannot detach: {}", plain(&error)));
        let pipe: OwnedFd =
            rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3).map_err(|error| failed(error.into()))?;
        // The parent's child is no process group leader, so this does not fail; if it did, the VM would still run.
        let _ = rustix::process::setsid();
        Ok(Self { pipe: Mutex::new(Some(pipe.into())) })
    }

    /// Turns standard output and error into the VM's log file, so that only the pipe is left of the parent.
    pub(crate) fn redirect(&self, registration: &Registration) -> Result<(), Failure> {
        redirect_to(&registration.create_output()?)
    }

    /// Says that the VM runs; false when nobody waits for it (any more).
    pub(crate) fn ready(&self, name: &str) -> bool {
        self.tell(&[b"+", name.as_bytes()].concat())
    }

    /// Says why there is no VM; false when nobody waits for it (any more).
    pub(crate) fn failed(&self, failure: &Failure) -> bool {
        let message = failure.message.as_deref().unwrap_or_default();
        self.tell(&[&[b'-', failure.status], message.as_bytes()].concat())
    }

    fn tell(&self, bytes: &[u8]) -> bool {
        let pipe = self.pipe.lock().map(|mut pipe| pipe.take()).unwrap_or_default();
        // The pipe of a parent that was killed has no reader.
        pipe.is_some_and(|mut pipe| pipe.write_all(bytes).is_ok())
    }
}
