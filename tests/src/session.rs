//! A command that runs while the test talks to it: lines in, lines out, each wait with a deadline.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{self, DEADLINE};

/// A running command; ended when dropped.
#[derive(Debug)]
pub struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Receiver<Vec<u8>>,
    seen: Vec<String>,
}

impl Session {
    /// Starts it.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let mut child = process::start(command.stdin(Stdio::piped()));
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let mut stderr = child.stderr.take().expect("standard error is a pipe");
        let (line, lines) = channel();
        let (error, errors) = channel();
        thread::spawn(move || {
            for text in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.send(text).is_err() {
                    return;
                }
            }
        });
        thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(stderr.read_to_end(&mut bytes));
            drop(error.send(bytes));
        });
        Self { stdin: child.stdin.take(), child, lines, errors, seen: Vec::new() }
    }

    /// The host's number of the command.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to it.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is still open");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("it still reads");
    }

    /// Ends its input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// The next line that it writes.
    ///
    /// # Panics
    /// When none comes before the deadline.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(DEADLINE);
        let Ok(line) = line else {
            process::kill(&mut self.child);
            let errors = self.errors.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
            panic!("no further line; before it came {:?}; stderr:\n{}", self.seen, String::from_utf8_lossy(&errors));
        };
        self.seen.push(line.clone());
        line
    }

    /// Reads lines until one is `last`, and gives those before it.
    #[track_caller]
    pub fn lines_until(&mut self, last: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            if line == last {
                return lines;
            }
            lines.push(line);
        }
    }

    /// Sends a signal to it alone, not to its group.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Waits for its end: exit status as a shell has it, and all of its standard error.
    ///
    /// # Panics
    /// When it does not end before the deadline.
    #[track_caller]
    pub fn finish(mut self) -> (i32, String) {
        self.stdin = None;
        let start = Instant::now();
        let status = process::wait(&mut self.child, DEADLINE);
        process::kill(&mut self.child);
        let errors = self.errors.recv_timeout(Duration::from_secs(5)).unwrap_or_default();
        let errors = String::from_utf8_lossy(&errors).into_owned();
        let Some(status) = status else {
            panic!("not ended after {:?}; it wrote {:?}; stderr:\n{errors}", start.elapsed(), self.seen);
        };
        (process::shell_status(status), errors)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        process::kill(&mut self.child);
    }
}
