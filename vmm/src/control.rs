//! What may be asked of a running VM's process, over a unix socket of its own: pause, resume, how it ended, its kernel's log.
//!
//! Owns the messages, their framing and the asking side; `server` has the answering one. A message is one line of JSON, of bounded
//! length. Requests on one connection are answered in order; after [`Request::Wait`] no further one is read. The socket lies in the VM's
//! entry of the registry, so only its user may connect.
//! Nothing here asks the guest for anything, so an answer comes whatever the guest does.

mod server;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::server::{Ending, Server};
use crate::registry;

/// The longest request, in bytes.
const REQUEST_MAX: u64 = 4096;
/// The longest answer, in bytes: the kernel's log with every byte of it escaped.
const ANSWER_MAX: u64 = 1 << 20;
/// How long an answer may take that does not wait for the VM's end. Pausing takes the longest.
const PATIENCE: Duration = Duration::from_secs(15);

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Hold the virtual processor; answered once it stands still.
    Pause,
    /// Let it go on.
    Resume,
    /// Answer when the VM has ended.
    Wait,
    /// What the kernel has logged behind its first `from` bytes.
    KernelLog {
        /// How many bytes of it are known.
        from: u64,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was done.
    Done,
    /// The VM has ended.
    Ended {
        /// The status of its `procvisor run`.
        status: u8,
    },
    /// A piece of the log.
    KernelLog {
        /// Its text.
        text: String,
        /// How many bytes are known now.
        next: u64,
    },
    /// It was not done.
    Refused {
        /// Why not.
        why: String,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody to ask, or the connection failed.
    #[error("its process does not answer")]
    Io(#[from] io::Error),
    /// The VM's process went away before it answered.
    #[error("its process ended without a word")]
    Closed,
    /// Not an answer.
    #[error("its process answered something that is no answer")]
    Garbage,
    /// The request was refused.
    #[error("{0}")]
    Refused(String),
}

/// A connection to a VM's process.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn connect(path: &Path) -> Result<Self, Error> {
        let stream = registry::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks for something that is done at once.
    ///
    /// # Errors
    /// Each [`Error`].
    pub fn ask(&mut self, request: Request) -> Result<Answer, Error> {
        let sent = self.send(request);
        match self.answer() {
            // Who is turned away is told so before it has asked, and then nobody takes the question.
            Err(Error::Closed | Error::Io(_)) => sent.and(Err(Error::Closed)),
            answer => answer,
        }
    }

    /// Asks to be told of the VM's end; [`ended`](Self::ended) then waits for it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn ask_for_end(&mut self) -> Result<(), Error> {
        self.send(Request::Wait)?;
        Ok(self.stream.get_ref().set_read_timeout(None)?)
    }

    /// Waits for the VM's end, and until its name is free again; gives its status.
    ///
    /// # Errors
    /// Each [`Error`].
    pub fn ended(&mut self) -> Result<u8, Error> {
        let Answer::Ended { status } = self.answer()? else { return Err(Error::Garbage) };
        self.stream.get_ref().set_read_timeout(Some(PATIENCE))?;
        // The process holds the connection until it has left the registry; what else it sends or fails at does not matter any more.
        let _ = self.stream.by_ref().take(1).read(&mut [0]);
        Ok(status)
    }

    fn send(&mut self, request: Request) -> Result<(), Error> {
        Ok(self.stream.get_ref().write_all(&line_of(&request))?)
    }

    fn answer(&mut self) -> Result<Answer, Error> {
        match read_line(&mut self.stream, ANSWER_MAX)? {
            None => Err(Error::Closed),
            Some(line) => match parse(&line).ok_or(Error::Garbage)? {
                Answer::Refused { why } => Err(Error::Refused(why)),
                answer => Ok(answer),
            },
        }
    }
}

impl AsFd for Client {
    /// Readable when the VM has ended, after [`ask_for_end`](Client::ask_for_end).
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().as_fd()
    }
}

fn line_of(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("a message is plain data");
    line.push(b'\n');
    line
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

/// The next line with its end, which a line that is too long does not have; `None` at the end of the stream.
fn read_line(stream: &mut BufReader<UnixStream>, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    stream.by_ref().take(max).read_until(b'\n', &mut line)?;
    Ok(Some(line).filter(|line| line.ends_with(b"\n")))
}
