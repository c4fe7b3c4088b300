//! Runs a command of the host under a deadline.
//!
//! Owns the waiting and the killing: a command is the leader of a process group of its own, and the whole group is gone when the function
//! returns or the deadline has passed.

use std::fmt::{self, Display, Formatter};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How long a VM that does little may take, on a busy host and with a debug build.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// As a shell has it: the exit status, or 128+n after signal n.
    pub status: i32,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
}

impl Outcome {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Panics unless the command succeeded without a word on standard error; gives its text.
    #[track_caller]
    pub fn success(&self) -> String {
        assert!(self.status == 0 && self.stderr.is_empty(), "it should have succeeded:\n{self}");
        self.text()
    }

    /// Panics unless the command ended with `status`.
    #[track_caller]
    pub fn ended_with(&self, status: i32) -> &Self {
        assert_eq!(self.status, status, "the exit status is another:\n{self}");
        self
    }

    /// Panics unless the command failed with `status` and one line on standard error that has each of `words`.
    #[track_caller]
    pub fn failed_saying(&self, status: i32, words: &[&str]) {
        self.ended_with(status);
        let errors = self.errors();
        let is_one_line = errors.ends_with('\n') && errors.matches('\n').count() == 1 && errors.len() > 10;
        assert!(is_one_line, "standard error should be one line:\n{self}");
        for word in words {
            assert!(errors.contains(word), "standard error should say {word:?}:\n{self}");
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "status {}\nstdout:\n{}\nstderr:\n{}", self.status, self.text(), self.errors())
    }
}

/// Runs `command` to its end with `input` as its standard input.
///
/// # Panics
/// When it cannot be started or does not end before the deadline.
#[track_caller]
pub fn run(command: &mut Command, input: &[u8], deadline: Duration) -> Outcome {
    command.stdin(Stdio::piped());
    let mut child = start(command);
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    let input = input.to_vec();
    // A program that does not read its input ends the pipe, which is no failure of the test.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let outcome = finish(child, command, deadline);
    drop(writer.join());
    outcome
}

/// Starts `command` with pipes for its two outputs, as the leader of a process group; standard input is as the caller set it.
///
/// # Panics
/// When it cannot be started.
#[track_caller]
pub fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"))
}

/// Waits for a command of `start` and collects what it left.
///
/// # Panics
/// When it does not end before the deadline; it is killed then.
#[track_caller]
pub fn finish(mut child: Child, command: &Command, deadline: Duration) -> Outcome {
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let has_ended = wait_for_zombie(&child, deadline);
    // What the command left behind would hold its pipes open for ever; its number names the group until it is waited for.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let status = child.wait().ok().filter(|_| has_ended);
    let (stdout, stderr) = (stdout.join().expect("a reader"), stderr.join().expect("a reader"));
    let outcome = Outcome { status: status.map_or(-1, shell_status), stdout, stderr };
    assert!(status.is_some(), "{command:?} did not end within {deadline:?}:\n{outcome}");
    outcome
}

/// The exit status when the child ends within `deadline`.
pub fn wait(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + deadline;
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours can be waited for") {
            return Some(status);
        }
        if Instant::now() >= until {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether the child ends within `deadline`; it is not waited for.
fn wait_for_zombie(child: &Child, deadline: Duration) -> bool {
    let until = Instant::now() + deadline;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::Pid(Pid::from_child(child)), options) {
            Ok(None) | Err(Errno::INTR) if Instant::now() < until => thread::sleep(Duration::from_millis(2)),
            ended => return matches!(ended, Ok(Some(_))),
        }
    }
}

/// Ends a command of `start` and everything in its group.
pub fn kill(child: &mut Child) {
    // Not reaped so far, so the number is still its own.
    if matches!(child.try_wait(), Ok(None)) {
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
        drop(child.wait());
    }
}

/// A status as a shell has it.
pub fn shell_status(status: ExitStatus) -> i32 {
    status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}

fn collect(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            drop(stream.read_to_end(&mut bytes));
        }
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_leaves_behind_does_not_hold_its_caller() {
        let start = Instant::now();
        let outcome = run(Command::new("sh").args(["-c", "sleep 1000 & echo done; exit 3"]), b"", DEADLINE);
        assert_eq!((outcome.status, outcome.text().as_str()), (3, "done\n"));
        assert!(start.elapsed() < DEADLINE);
    }

    #[test]
    #[should_panic(expected = "did not end within")]
    fn a_command_that_does_not_end_is_ended() {
        run(Command::new("sh").args(["-c", "sleep 1000; true"]), b"", Duration::from_millis(50));
    }
}
