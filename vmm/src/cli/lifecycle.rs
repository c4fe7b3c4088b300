//! `pause`, `resume`, `wait` and `logs`: what is asked of a VM's own process, not of its guest.

use std::fs::File;
use std::io::{self, IsTerminal, Read, stdout};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use vmm::control::{Answer, Client, Error, Request};
use vmm::registry::{Entry, Registry};

use super::files::for_terminal;
use super::{Failure, plain, print};

/// How often a log is looked at that is being followed.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// The most of a log that is read at once, in bytes.
const CHUNK_BYTES: usize = 64 << 10;

/// Which log is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// What the program of a detached VM has written.
    Output,
    /// The guest kernel's.
    Kernel,
}

/// Whether the command ends with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// It does.
    Now,
    /// It goes on until the VM ends.
    End,
}

pub(crate) fn pause(name: &str) -> Result<u8, Failure> {
    ask(name, Request::Pause)
}

pub(crate) fn resume(name: &str) -> Result<u8, Failure> {
    ask(name, Request::Resume)
}

fn ask(name: &str, request: Request) -> Result<u8, Failure> {
    match connect(name)?.1.ask(request).map_err(|error| failure(name, &error))? {
        Answer::Done => Ok(0),
        _ => Err(failure(name, &Error::Garbage)),
    }
}

/// Prints the status of the VM's `run`, and ends with it.
pub(crate) fn wait(name: &str) -> Result<u8, Failure> {
    let (_, mut client) = connect(name)?;
    let status = client.ask_for_end().and_then(|()| client.ended()).map_err(|error| failure(name, &error))?;
    print(format!("{status}\n").as_bytes())?;
    Ok(status)
}

pub(crate) fn logs(name: &str, log: Log, until: Until) -> Result<u8, Failure> {
    let (entry, client) = connect(name)?;
    match log {
        Log::Output => output(&entry, client, until),
        Log::Kernel => kernel_log(name, client, until),
    }
}

fn output(entry: &Entry, mut client: Client, until: Until) -> Result<u8, Failure> {
    let name = &entry.name;
    let failed = |error: io::Error| Failure::ours(format!("cannot read what {name} wrote: {}", plain(&error)));
    if !entry.config.detached {
        return Err(Failure::ours(format!("{name} was not started with --detach: its output is where it was started")));
    }
    // Once it is open it can be read to its end, though the entry goes with the VM.
    let mut file = File::open(&entry.output).map_err(failed)?;
    if until == Until::End {
        client.ask_for_end().map_err(|error| failure(name, &error))?;
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        // Asked before the file is read, so that nothing comes between its end and the last look.
        let is_last = until == Until::Now || has_ended(&client, FOLLOW_INTERVAL).map_err(failed)?;
        loop {
            let count = file.read(&mut buffer).map_err(failed)?;
            if count == 0 {
                break;
            }
            show(&buffer[..count])?;
        }
        if is_last {
            return Ok(0);
        }
    }
}

/// Whether the VM has ended, after waiting for that.
fn has_ended(client: &Client, patience: Duration) -> io::Result<bool> {
    let timeout = Timespec { tv_sec: 0, tv_nsec: patience.subsec_nanos().into() };
    match poll(&mut [PollFd::new(client, PollFlags::IN)], Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn kernel_log(name: &str, mut client: Client, until: Until) -> Result<u8, Failure> {
    let mut from = 0;
    loop {
        match client.ask(Request::KernelLog { from }) {
            Ok(Answer::KernelLog { text, next }) => {
                show(text.as_bytes())?;
                from = next;
            }
            Ok(_) => return Err(failure(name, &Error::Garbage)),
            // The VM has ended.
            Err(Error::Closed | Error::Io(_)) if until == Until::End && from > 0 => return Ok(0),
            Err(error) => return Err(failure(name, &error)),
        }
        if until == Until::Now {
            return Ok(0);
        }
        thread::sleep(FOLLOW_INTERVAL);
    }
}

/// What comes from a guest is printed as it is to a file or pipe, and made harmless for a terminal.
fn show(bytes: &[u8]) -> Result<(), Failure> {
    if stdout().is_terminal() { print(&for_terminal(bytes)) } else { print(bytes) }
}

fn connect(name: &str) -> Result<(Entry, Client), Failure> {
    let entry = Registry::open()?.find(name)?;
    let client = Client::connect(&entry.control).map_err(|error| failure(name, &error))?;
    Ok((entry, client))
}

fn failure(name: &str, error: &Error) -> Failure {
    Failure::ours(format!("{name}: {}", plain(error)))
}
