//! What can go wrong with the registry, in the words the user reads.

use std::io;
use std::path::{Path, PathBuf};

/// Why the registry cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that could not be a directory or a host name.
    #[error("{0:?} is no name for a VM; use up to 64 letters, digits, '-', '_' and '.', with a letter or digit first")]
    Name(String),
    /// The name is taken.
    #[error("a VM named {0} runs already; stop it (procvisor stop {0}) or choose another --name")]
    Taken(String),
    /// No such VM.
    #[error("no VM named {0} runs; procvisor list shows those that do")]
    Unknown(String),
    /// The run-time directory belongs to someone else or lets others in.
    #[error("{} {why}; set XDG_RUNTIME_DIR to a directory of your own", path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A system call failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The VMM did not go away.
    #[error("VM {0} did not stop in time and could not be killed")]
    NotStopped(String),
}

/// Says what was tried when a system call failed.
pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { action, path: path.to_owned(), source }
}
