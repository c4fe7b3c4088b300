//! The options of a mounted `/proc`: kept where remounting changes them, and whom they hide from whom.
//!
//! Source: Linux 6.12 fs/proc/root.c proc_apply_options(), fs/proc/base.c has_pid_permissions().

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};

use procfs_core::Errno;
use procfs_core::root::options::{Change, HidePid, Options, Subset, render};

use super::access;
use crate::cred::{KGid, UserNs};
use crate::task::{Task, current};
use crate::vfs::SuperOptions;

/// The options of one mount.
#[derive(Default)]
pub(super) struct MountOptions {
    hide_pid: AtomicU8,
    /// The group that sees everything, 0 unless an option names one.
    gid: AtomicU32,
    is_pid_only: AtomicBool,
    /// Who numbers groups in the lines of `mounts`.
    initial_user_ns: Option<Arc<UserNs>>,
}

impl MountOptions {
    /// Those that `data` names, with ids as `user_ns` numbers them.
    ///
    /// # Errors
    /// `EINVAL`.
    pub(super) fn new(data: &[u8], user_ns: &UserNs, initial_user_ns: Arc<UserNs>) -> Result<Self, Errno> {
        let options = Self { initial_user_ns: Some(initial_user_ns), ..Self::default() };
        options.reconfigure(data, user_ns)?;
        Ok(options)
    }

    fn hide_pid(&self) -> HidePid {
        HidePid::from_number(self.hide_pid.load(Relaxed).into()).unwrap_or_default()
    }

    /// Whether there are processes only.
    pub(super) fn is_pid_only(&self) -> bool {
        self.is_pid_only.load(Relaxed)
    }

    /// Whether any process may be hidden from somebody.
    pub(super) fn hides(&self) -> bool {
        self.hide_pid() != HidePid::Off
    }

    /// Whether `task` is open to the running task when processes hide by `least` or more.
    fn is_open(&self, task: &Task, least: HidePid) -> bool {
        let hide_pid = self.hide_pid();
        if hide_pid != HidePid::NotPtraceable
            && (hide_pid < least || current().cred().is_in_group(KGid(self.gid.load(Relaxed))))
        {
            return true;
        }
        access::may_access(task)
    }

    /// Whether `task` is listed, and stat(2) finds it.
    pub(super) fn is_visible(&self, task: &Task) -> bool {
        !self.hides() || self.is_open(task, HidePid::Invisible)
    }

    /// Whether there is `task` at all.
    pub(super) fn exists(&self, task: &Task) -> bool {
        self.hide_pid() != HidePid::NotPtraceable || self.is_open(task, HidePid::NoAccess)
    }

    /// Whether the directory of `task` may be entered.
    ///
    /// # Errors
    /// `ENOENT` where it is not to be seen, else `EPERM`.
    pub(super) fn check_entry(&self, task: &Task) -> Result<(), Errno> {
        if !self.hides() || self.is_open(task, HidePid::NoAccess) {
            return Ok(());
        }
        Err(if self.hide_pid() == HidePid::Invisible { Errno::ENOENT } else { Errno::EPERM })
    }
}

impl SuperOptions for MountOptions {
    fn text(&self) -> String {
        let gid = KGid(self.gid.load(Relaxed));
        let gid = self.initial_user_ns.as_ref().map_or(gid.0, |ns| ns.from_kgid_munged(gid));
        let subset = if self.is_pid_only() { Subset::Pid } else { Subset::All };
        let mut text = Vec::new();
        render(&Options { gid, hide_pid: self.hide_pid(), subset }, &mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    fn reconfigure(&self, data: &[u8], user_ns: &UserNs) -> Result<(), Errno> {
        let change = Change::parse(data)?;
        if let Some(gid) = change.gid {
            // A group that has no number stays one without.
            self.gid.store(user_ns.make_kgid(gid).map_or(u32::MAX, |gid| gid.0), Relaxed);
        }
        if let Some(hide_pid) = change.hide_pid {
            self.hide_pid.store(hide_pid as u8, Relaxed);
        }
        if let Some(subset) = change.subset {
            self.is_pid_only.store(subset == Subset::Pid, Relaxed);
        }
        Ok(())
    }
}
