//! Sessions and process groups.
//!
//! Source: setsid(2), setpgid(2), credentials(7).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::ThreadGroup;
use crate::pid::Pid;
use crate::sync::{Mutex, Rank};
use crate::tty::Tty;

/// A session: process groups that share a controlling terminal.
pub struct Session {
    /// The number of the process that made it.
    pub pid: Arc<Pid>,
    tty: Mutex<Option<Arc<Tty>>>,
}

impl Session {
    /// A session without a terminal.
    pub fn new(pid: Arc<Pid>) -> Arc<Self> {
        Arc::new(Session { pid, tty: Mutex::new(Rank::SESSION, None) })
    }

    /// The controlling terminal.
    pub fn tty(&self) -> Option<Arc<Tty>> {
        self.tty.lock().clone()
    }

    /// Takes or gives up a controlling terminal.
    pub fn set_tty(&self, tty: Option<Arc<Tty>>) {
        let old = core::mem::replace(&mut *self.tty.lock(), tty);
        drop(old);
    }
}

/// Processes that signals reach together.
pub struct ProcessGroup {
    /// The number of the process that made it.
    pub pid: Arc<Pid>,
    /// The session it is part of.
    pub session: Arc<Session>,
    /// Changed by `TaskTable` only, together with its index.
    pub(super) members: Mutex<Vec<Arc<ThreadGroup>>>,
}

impl ProcessGroup {
    /// A group in `session`.
    pub fn new(pid: Arc<Pid>, session: Arc<Session>) -> Arc<Self> {
        Arc::new(ProcessGroup { pid, session, members: Mutex::new(Rank::PROCESS_GROUP, Vec::new()) })
    }

    /// The processes in it, zombies included, in the order in which they came.
    pub fn members(&self) -> Vec<Arc<ThreadGroup>> {
        self.members.lock().clone()
    }
}
