//! Whether a VM is paused, as a file in its entry: it is read without asking the VM, and goes with the entry of a VMM that was killed.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::Serialize;

use super::error::{Error, failed};

/// Whether a VM's processor executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It does.
    Running,
    /// It is held by `procvisor pause`.
    Paused,
}

impl Condition {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
        }
    }
}

/// Tells those who look at the registry whether a VM is paused.
#[derive(Debug)]
pub struct PauseMark(pub(super) PathBuf);

impl PauseMark {
    /// Notes that it is, or that it is no longer.
    ///
    /// # Errors
    /// `Error::Io` when the entry cannot be changed.
    pub fn set(&self, condition: Condition) -> Result<(), Error> {
        match condition {
            Condition::Paused => {
                let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&self.0);
                file.map(drop).map_err(failed("create", &self.0))
            }
            Condition::Running => match fs::remove_file(&self.0) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &self.0)(error)),
                _ => Ok(()),
            },
        }
    }
}
