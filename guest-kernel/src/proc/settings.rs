//! The small files by which a task is told how to behave: `coredump_filter`, `timerslack_ns`, `loginuid`, `sessionid`,
//! `timens_offsets`.
//!
//! Texts and what may be written are procfs-core's; here is who may write and what then changes.
//! Source: Linux 6.12 fs/proc/base.c proc_coredump_filter_write(), timerslack_ns_write(), timerslack_ns_show(),
//! proc_loginuid_write(), timens_offsets_write(); kernel/auditsc.c audit_set_loginuid(); kernel/time/namespace.c
//! proc_timens_set_offset().

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

use procfs_core::Errno;
use procfs_core::pid::{settings, texts};

use super::TaskId;
use crate::cred::{Capability, Cred};
use crate::fs::kernfs::Writer;
use crate::task::{AUDIT_UNSET, Task, current};

/// `coredump_filter`: nothing for a task without memory.
pub(super) fn render_dump_filter(task: &Task, out: &mut Vec<u8>) {
    if let Some(mm) = task.mm() {
        settings::render_dump_filter(mm.dump_filter(), out);
    }
}

/// A write to `coredump_filter`.
pub(super) struct DumpFilterWriter {
    pub(super) id: TaskId,
}

impl Writer for DumpFilterWriter {
    fn limit(&self) -> usize {
        settings::U32_WRITE_MAX
    }

    fn write(&mut self, bytes: &[u8], count: usize, _: u64) -> Result<usize, Errno> {
        let filter = settings::parse_dump_filter(bytes)?;
        let mm = self.id.resolve()?.mm().ok_or(Errno::ESRCH)?;
        mm.set_dump_filter(filter);
        Ok(count)
    }
}

/// Others' timers are the concern of who may set priorities.
fn check_timerslack(task: &Arc<Task>) -> Result<(), Errno> {
    let me = current();
    let is_allowed = Arc::ptr_eq(task, &me) || me.cred().has_in(&task.cred().user_ns, Capability::SysNice);
    if is_allowed { Ok(()) } else { Err(Errno::EPERM) }
}

/// `timerslack_ns`.
///
/// # Errors
/// `EPERM`.
pub(super) fn render_timerslack(task: &Arc<Task>, out: &mut Vec<u8>) -> Result<(), Errno> {
    check_timerslack(task)?;
    texts::render_timerslack(task.inherited.timer_slack_ns.load(Relaxed), out);
    Ok(())
}

/// A write to `timerslack_ns`.
pub(super) struct TimerslackWriter {
    pub(super) id: TaskId,
}

impl Writer for TimerslackWriter {
    fn limit(&self) -> usize {
        settings::U64_WRITE_MAX
    }

    fn write(&mut self, bytes: &[u8], count: usize, _: u64) -> Result<usize, Errno> {
        let slack_ns = settings::parse_timerslack(bytes)?;
        let task = self.id.resolve()?;
        check_timerslack(&task)?;
        task.inherited.set_timer_slack_ns(slack_ns);
        Ok(count)
    }
}

/// `loginuid`, for an opener with `cred`.
pub(super) fn render_login_uid(task: &Task, cred: &Cred, out: &mut Vec<u8>) {
    let uid = match task.inherited.login_uid.load(Relaxed) {
        AUDIT_UNSET => AUDIT_UNSET,
        uid => cred.user_ns.from_kuid(crate::cred::KUid(uid)).unwrap_or(AUDIT_UNSET),
    };
    texts::render_audit_id(uid, out);
}

/// `sessionid`.
pub(super) fn render_login_session(task: &Task, out: &mut Vec<u8>) {
    texts::render_audit_id(task.inherited.login_session.load(Relaxed), out);
}

/// A write to `loginuid`: by the thread itself, freely the first time.
pub(super) struct LoginUidWriter {
    pub(super) id: TaskId,
    pub(super) opener: Arc<Cred>,
}

impl Writer for LoginUidWriter {
    fn limit(&self) -> usize {
        settings::U32_WRITE_MAX
    }

    fn write(&mut self, bytes: &[u8], count: usize, pos: u64) -> Result<usize, Errno> {
        let me = current();
        if !self.id.task().is_some_and(|task| Arc::ptr_eq(&task, &me)) {
            return Err(Errno::EPERM);
        }
        let uid = match settings::parse_login_uid(bytes, pos)? {
            AUDIT_UNSET => AUDIT_UNSET,
            uid => self.opener.user_ns.make_kuid(uid).ok_or(Errno::EINVAL)?.0,
        };
        let was_set = me.inherited.login_uid.load(Relaxed) != AUDIT_UNSET;
        if was_set && !me.cred().has_in(&me.kernel.user_ns, Capability::AuditControl) {
            return Err(Errno::EPERM);
        }
        let session = if uid == AUDIT_UNSET { AUDIT_UNSET } else { me.kernel.next_login_session() };
        me.inherited.login_session.store(session, Relaxed);
        me.inherited.login_uid.store(uid, Relaxed);
        Ok(count)
    }
}

/// `timens_offsets`: a task that has ended shows none. There is one time namespace, whose clocks are the machine's.
pub(super) fn render_timens(task: &Task, out: &mut Vec<u8>) {
    if task.fs().is_some() {
        settings::render_timens(&[(0, 0); 2], out);
    }
}

/// A write to `timens_offsets`. The initial namespace has processes, so its clocks can no longer be set.
pub(super) struct TimensWriter {
    pub(super) id: TaskId,
    pub(super) opener: Arc<Cred>,
}

impl Writer for TimensWriter {
    fn write(&mut self, bytes: &[u8], count: usize, pos: u64) -> Result<usize, Errno> {
        settings::check_timens_write(bytes, count, pos)?;
        let task = self.id.resolve()?;
        task.fs().ok_or(Errno::ESRCH)?;
        if !self.opener.has_in(&task.kernel.user_ns, Capability::SysTime) {
            return Err(Errno::EPERM);
        }
        Err(Errno::EACCES)
    }
}
