//! What a thread hands down to those that it makes, and changes of itself by small calls and files of `/proc`.
//!
//! Source: Linux 6.12 include/linux/sched.h struct task_struct, kernel/fork.c copy_process(), kernel/auditsc.c.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// `ADDR_NO_RANDOMIZE` of personality(2): programs are loaded at the same addresses each time.
pub(super) const ADDR_NO_RANDOMIZE: u32 = 0x004_0000;
/// `READ_IMPLIES_EXEC` of personality(2), of which no 64-bit program is left with after exec.
pub(super) const READ_IMPLIES_EXEC: u32 = 0x040_0000;
/// Bits that exec of a program with more rights takes away (`PER_CLEAR_ON_SETID`).
pub(super) const CLEARED_ON_SETID: u32 = READ_IMPLIES_EXEC | ADDR_NO_RANDOMIZE | 0x020_0000 | 0x010_0000;
/// Nobody has logged in (`AUDIT_UID_UNSET`, `AUDIT_SID_UNSET`).
pub const AUDIT_UNSET: u32 = u32::MAX;
/// Nanoseconds by which timers of the first process may be late (`init_task`).
const INIT_TIMER_SLACK_NS: u64 = 50_000;

/// The part of a thread that clone(2) copies and nobody else's concern is.
#[derive(Debug)]
pub struct Inherited {
    /// personality(2).
    pub personality: AtomicU32,
    /// By how much timers may be late, in nanoseconds (`PR_SET_TIMERSLACK`). They never are: the clock is exact.
    pub timer_slack_ns: AtomicU64,
    /// What `timer_slack_ns` goes back to when it is set to 0: the creator's.
    pub default_timer_slack_ns: u64,
    /// Who has logged in, as the kernel knows the user; `AUDIT_UNSET` for nobody.
    pub login_uid: AtomicU32,
    /// The number of that login.
    pub login_session: AtomicU32,
}

impl Default for Inherited {
    fn default() -> Self {
        Inherited {
            personality: AtomicU32::new(0),
            timer_slack_ns: AtomicU64::new(INIT_TIMER_SLACK_NS),
            default_timer_slack_ns: INIT_TIMER_SLACK_NS,
            login_uid: AtomicU32::new(AUDIT_UNSET),
            login_session: AtomicU32::new(AUDIT_UNSET),
        }
    }
}

impl Inherited {
    /// What a thread made now starts with.
    #[must_use]
    pub fn for_child(&self) -> Self {
        let slack_ns = self.timer_slack_ns.load(Relaxed);
        Inherited {
            personality: AtomicU32::new(self.personality.load(Relaxed)),
            timer_slack_ns: AtomicU64::new(slack_ns),
            default_timer_slack_ns: slack_ns,
            login_uid: AtomicU32::new(self.login_uid.load(Relaxed)),
            login_session: AtomicU32::new(self.login_session.load(Relaxed)),
        }
    }

    /// Sets the timer slack; 0 is the default.
    pub fn set_timer_slack_ns(&self, slack_ns: u64) {
        let slack_ns = if slack_ns == 0 { self.default_timer_slack_ns } else { slack_ns };
        self.timer_slack_ns.store(slack_ns, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::Inherited;
    use core::sync::atomic::Ordering::Relaxed;

    #[test]
    fn a_childs_default_slack_is_its_makers_present_one() {
        let parent = Inherited::default();
        parent.set_timer_slack_ns(7);
        let child = parent.for_child();
        child.set_timer_slack_ns(9);
        child.set_timer_slack_ns(0);
        assert_eq!(child.timer_slack_ns.load(Relaxed), 7);
        parent.set_timer_slack_ns(0);
        assert_eq!(parent.timer_slack_ns.load(Relaxed), 50_000);
    }
}
