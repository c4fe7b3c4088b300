//! Which VM the reading commands speak to, and about which paths.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vmm::proc::client::{Client, Options};
use vmm::proc::transport::ClientError;
use vmm::registry::{self, Condition, Registry};

use super::{Failure, plain};

/// A VM and paths below its /proc.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The VM's name, or the socket.
    pub(crate) name: String,
    socket: PathBuf,
    /// The paths as the user gave them.
    pub(crate) paths: Vec<OsString>,
}

/// A client of a VM.
pub(crate) type VmClient = Client<UnixStream>;

/// Takes `VM PATH...` apart, or `PATH...` with `--connect`; `root_by_default` says whether paths may be left out.
pub(crate) fn resolve(connect: Option<&Path>, words: &[OsString], root_by_default: bool) -> Result<Resolved, Failure> {
    let (name, socket, paths) = match (connect, words.split_first()) {
        (Some(socket), _) => (socket.display().to_string(), socket.to_owned(), words.to_vec()),
        (None, Some((name, paths))) => {
            let name = name.to_string_lossy().into_owned();
            let entry = Registry::open()?.find(&name)?;
            (name, entry.socket, paths.to_vec())
        }
        (None, None) => return Err(Failure::ours("which VM? procvisor list shows those that run")),
    };
    if paths.is_empty() && !root_by_default {
        return Err(Failure::ours(format!("which file of {name}? give a path below its /proc, such as 1/status")));
    }
    Ok(Resolved { name, socket, paths })
}

impl Resolved {
    /// Connects to the VM.
    pub(crate) fn connect(&self) -> Result<VmClient, Failure> {
        Client::new(self.stream()?, &Options::default()).map_err(|error| self.failure(&error))
    }

    /// Connects to another tree than `/proc`, and waits for each answer no longer than `patience`.
    pub(crate) fn connect_to(&self, tree: &[u8], patience: Duration) -> Result<VmClient, ClientError> {
        let options = Options { aname: tree.to_vec(), timeout: Some(patience), ..Options::default() };
        Client::new(registry::connect(&self.socket).map_err(ClientError::Io)?, &options)
    }

    /// Connects to the VM's socket, without a word on it.
    pub(crate) fn stream(&self) -> Result<UnixStream, Failure> {
        if self.is_paused() {
            return Err(self.is_paused_failure());
        }
        registry::connect(&self.socket)
            .map_err(|error| Failure::ours(format!("cannot connect to {}: {}", self.socket.display(), plain(&error))))
    }

    /// The VM's failure to answer.
    pub(crate) fn failure(&self, error: &dyn std::error::Error) -> Failure {
        if self.is_paused() {
            return self.is_paused_failure();
        }
        Failure::ours(format!("{}: {}", self.name, plain(error)))
    }

    /// Whether it is a VM of the registry that stands still: then nobody answers.
    pub(crate) fn is_paused(&self) -> bool {
        let entry = Registry::open().and_then(|registry| registry.find(&self.name));
        entry.is_ok_and(|entry| entry.socket == self.socket && entry.state == Condition::Paused)
    }

    pub(crate) fn is_paused_failure(&self) -> Failure {
        Failure::ours(format!("{0} is paused, so it does not answer; procvisor resume {0}", self.name))
    }
}

/// The path as the guest's /proc knows it: what the guest calls `/proc/1/stat` is `1/stat` there.
pub(crate) fn below_proc(path: &OsString) -> &[u8] {
    let bytes = path.as_bytes();
    match bytes.strip_prefix(b"/proc") {
        Some(rest) if rest.is_empty() || rest[0] == b'/' => rest,
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_own_name_of_a_file_works_too() {
        for (given, meant) in
            [("1/stat", "1/stat"), ("/proc/1/stat", "/1/stat"), ("/proc", ""), ("/process", "/process")]
        {
            assert_eq!(below_proc(&given.into()), meant.as_bytes());
        }
    }

    #[test]
    fn connect_takes_the_place_of_the_name() {
        let resolved = resolve(Some(Path::new("/s")), &["1/stat".into()], false).unwrap();
        assert_eq!(resolved.paths, ["1/stat"]);
        assert!(resolve(Some(Path::new("/s")), &[], false).is_err());
        assert!(resolve(None, &[], true).is_err());
    }
}
