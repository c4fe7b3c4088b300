//! A thread for each VM that looks at it when asked, and tells what it saw.
//!
//! The thread alone waits for its VM, at most [`PATIENCE`] for each answer. Dropping the source lets it go: it ends after the answer that it
//! waits for, and nobody waits for that.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::sample::{self, Sample, Sampler};
use crate::proc::client::{Client, Options};
use crate::proc::transport::ClientError;
use crate::registry;

/// How long a VM may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// What a source is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A sample.
    Look,
    /// All there is to say of this process.
    Details(i32),
}

/// What a source tells.
#[derive(Debug)]
pub enum Told {
    /// To [`Ask::Look`].
    Sample(Sample),
    /// To [`Ask::Details`], of this process.
    Details(i32, Vec<String>),
    /// To either: it did not answer, and why.
    Silent(String),
}

/// A VM that can be asked.
#[derive(Debug)]
pub struct Source {
    asks: Sender<Ask>,
}

impl Source {
    /// Starts the thread of the VM at `socket`; `tell` gets each answer.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(socket: PathBuf, tell: impl FnMut(Told) + Send + 'static) -> io::Result<Self> {
        let (asks, asked) = channel();
        thread::Builder::new().name("top-source".into()).spawn(move || serve(&asked, socket, tell))?;
        Ok(Self { asks })
    }

    /// Asks it; the answer comes when it comes.
    pub fn ask(&self, ask: Ask) {
        // The thread ends with this value, not before.
        let _ = self.asks.send(ask);
    }
}

fn serve(asked: &Receiver<Ask>, socket: PathBuf, mut tell: impl FnMut(Told)) {
    let mut client = None;
    let mut sampler = Sampler::default();
    while let Ok(ask) = asked.recv() {
        let told = match answer(&mut client, &mut sampler, &socket, ask) {
            Ok(told) => told,
            Err(error) => {
                // Its replies can no longer be told apart: the next question goes over another connection.
                client = None;
                Told::Silent(error.to_string())
            }
        };
        tell(told);
    }
}

fn answer(
    client: &mut Option<Client<UnixStream>>,
    sampler: &mut Sampler,
    socket: &std::path::Path,
    ask: Ask,
) -> Result<Told, ClientError> {
    let client = match client {
        Some(client) => client,
        None => {
            let stream = registry::connect(socket).map_err(ClientError::Io)?;
            client.insert(Client::new(stream, &Options { timeout: Some(PATIENCE), ..Options::default() })?)
        }
    };
    Ok(match ask {
        Ask::Look => Told::Sample(sampler.look(client)?),
        Ask::Details(pid) => Told::Details(pid, sample::details(client, pid)?),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_vm_that_is_silent_or_not_there_is_told_so_in_bounded_time() {
        let folder = tempfile::tempdir().unwrap();
        let _listener = UnixListener::bind(folder.path().join("silent")).unwrap();
        for name in ["silent", "none"] {
            let (sender, told) = channel();
            let source = Source::start(folder.path().join(name), move |word| sender.send(word).unwrap()).unwrap();
            let start = Instant::now();
            source.ask(Ask::Look);
            let word = told.recv_timeout(PATIENCE * 5).unwrap();
            assert!(matches!(&word, Told::Silent(why) if !why.is_empty()), "{name}: {word:?}");
            assert!(start.elapsed() < PATIENCE * 5);
        }
    }
}
