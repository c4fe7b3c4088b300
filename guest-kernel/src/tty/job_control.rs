//! Who may read, write and change a terminal.
//!
//! Source: Linux 6.12 drivers/tty/tty_jobctrl.c __tty_check_change(), tiocspgrp(), tiocsctty(); n_tty.c job_control().

use alloc::sync::Arc;

use procfs_core::Errno;

use super::Tty;
use crate::signal::send::{self, Force};
use crate::signal::{Disposition, Signal};
use crate::task::{Task, exit};

impl Tty {
    fn controls(self: &Arc<Self>, task: &Task) -> bool {
        task.group.pgrp().session.tty().is_some_and(|tty| Arc::ptr_eq(&tty, self))
    }

    /// Stops a member of a background group that does what only the foreground may; `signal` is SIGTTIN or SIGTTOU.
    ///
    /// # Errors
    /// EINTR after the signal was sent (the call is made again); EIO when it cannot stop the caller.
    pub(super) fn check_foreground(self: &Arc<Self>, task: &Arc<Task>, signal: Signal) -> Result<(), Errno> {
        let pgrp = task.group.pgrp();
        if !self.controls(task) || self.foreground().is_none_or(|foreground| Arc::ptr_eq(&foreground, &pgrp)) {
            return Ok(());
        }
        let blocked = task.signals.lock().blocked.has(signal);
        let ignored = task.group.handlers.lock().disposition(signal) == Disposition::Ignore;
        if blocked || ignored {
            return if signal == Signal::TTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        if exit::is_orphaned(&pgrp) {
            return Err(Errno::EIO);
        }
        send::to_process_group(&pgrp, signal, Force::No);
        Err(Errno::EINTR)
    }

    /// `TIOCGPGRP`.
    pub(super) fn foreground_nr(self: &Arc<Self>, task: &Task) -> Result<i32, Errno> {
        if !self.controls(task) {
            return Err(Errno::ENOTTY);
        }
        Ok(self.foreground().map_or(0, |group| task.nr_of(&group.pid)))
    }

    /// `TIOCSPGRP`.
    pub(super) fn set_foreground(self: &Arc<Self>, task: &Arc<Task>, nr: i32) -> Result<(), Errno> {
        self.check_foreground(task, Signal::TTOU)?;
        if !self.controls(task) {
            return Err(Errno::ENOTTY);
        }
        if nr < 0 {
            return Err(Errno::EINVAL);
        }
        let group = task.find_process_group(nr).ok_or(Errno::ESRCH)?;
        if !Arc::ptr_eq(&group.session, &task.group.pgrp().session) {
            return Err(Errno::EPERM);
        }
        self.state.lock().foreground = Arc::downgrade(&group);
        Ok(())
    }

    /// `TIOCSCTTY`: a session leader without a terminal takes this one.
    pub(super) fn acquire(self: &Arc<Self>, task: &Task) -> Result<(), Errno> {
        let pgrp = task.group.pgrp();
        let session = &pgrp.session;
        if self.controls(task) && Arc::ptr_eq(&session.pid, &task.group.pid) {
            return Ok(());
        }
        if !Arc::ptr_eq(&session.pid, &task.group.pid) || session.tty().is_some() || self.session().is_some() {
            return Err(Errno::EPERM);
        }
        self.control(session, &pgrp);
        Ok(())
    }

    /// `TIOCNOTTY`: the caller's session gives the terminal up.
    pub(super) fn release(self: &Arc<Self>, task: &Task) -> Result<(), Errno> {
        if !self.controls(task) {
            return Err(Errno::ENOTTY);
        }
        let pgrp = task.group.pgrp();
        if Arc::ptr_eq(&pgrp.session.pid, &task.group.pid) {
            self.session_leader_ended();
            pgrp.session.set_tty(None);
        }
        Ok(())
    }
}
