//! Signals that wait to be delivered to a thread or to a whole process.

use alloc::collections::VecDeque;

use super::account::Charge;
use super::{Origin, SI_USER, SigInfo, SigSet, Signal, UserAccount};

/// A queue of signals; a standard signal waits in it at most once.
#[derive(Debug, Default)]
pub struct Pending {
    set: SigSet,
    /// What is queued beyond its user's limit is charged to nobody.
    queue: VecDeque<(SigInfo, Option<Charge>)>,
}

/// What became of a signal that was to be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It waits, or was waiting already.
    Waits,
    /// As many as may wait for its user wait already, or memory is short.
    OverLimit,
}

impl Pending {
    /// Which signals wait.
    pub fn set(&self) -> SigSet {
        self.set
    }

    /// How many instances wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Adds a signal to what waits for the user of `account`; `limit` bounds the real-time ones (`RLIMIT_SIGPENDING`). One
    /// from kill(2) comes through nevertheless, but once and without its cause.
    pub fn push(&mut self, info: SigInfo, account: &UserAccount, limit: usize) -> Pushed {
        let (is_standard, waits) = (info.signal.is_standard(), self.set.has(info.signal));
        if is_standard && waits {
            return Pushed::Waits;
        }
        let is_over = !is_standard && account.count() >= limit;
        if is_over && info.code() != SI_USER || self.queue.try_reserve(1).is_err() {
            return Pushed::OverLimit;
        }
        if is_over && waits {
            return Pushed::Waits;
        }
        let anonymous = Origin::Process { code: SI_USER, pid: 0, uid: 0, value: 0 };
        let entry = match is_over {
            true => (SigInfo { origin: anonymous, ..info }, None),
            // Nobody pays for what ends the process.
            false => (info, (info.signal != Signal::KILL).then(|| account.charge())),
        };
        self.set = self.set.with(info.signal);
        self.queue.push_back(entry);
        Pushed::Waits
    }

    /// Takes the next signal that is not in `blocked`: those of the running instruction first, then by number.
    pub fn pop(&mut self, blocked: SigSet) -> Option<SigInfo> {
        let ready = self.set.minus(blocked);
        let signal = ready.and(SigSet::SYNCHRONOUS).first().or(ready.first())?;
        self.take(signal)
    }

    /// Takes the oldest instance of `signal`.
    pub fn take(&mut self, signal: Signal) -> Option<SigInfo> {
        let at = self.queue.iter().position(|(info, _)| info.signal == signal)?;
        let (info, _charge) = self.queue.remove(at)?;
        if !self.queue.iter().any(|(other, _)| other.signal == signal) {
            self.set = self.set.without(signal);
        }
        Some(info)
    }

    /// Drops every instance of the signals in `set`.
    pub fn discard(&mut self, set: SigSet) {
        self.queue.retain(|(info, _)| !set.has(info.signal));
        self.set = self.set.minus(set);
    }
}

#[cfg(test)]
mod tests {
    use super::{Pending, Pushed};
    use crate::cred::KUid;
    use crate::signal::{Origin, QueuedSignals, SI_USER, SigInfo, SigSet, Signal, UserAccount};

    fn account() -> UserAccount {
        QueuedSignals::new().of(KUid::ROOT)
    }

    #[test]
    fn a_standard_signal_waits_once_and_faults_come_first() {
        let mut pending = Pending::default();
        for signal in [Signal::HUP, Signal::HUP, Signal::SEGV] {
            assert_eq!(pending.push(SigInfo::kernel(signal), &account(), 8), Pushed::Waits);
        }
        assert_eq!(pending.len(), 2);
        assert_eq!(pending.pop(SigSet::EMPTY).map(|info| info.signal), Some(Signal::SEGV));
        assert!(pending.pop(SigSet::EMPTY.with(Signal::HUP)).is_none());
        assert_eq!(pending.pop(SigSet::EMPTY).map(|info| info.signal), Some(Signal::HUP));
        assert!(pending.is_empty());
    }

    #[test]
    fn real_time_signals_queue_up_to_the_limit_of_their_user() {
        let (mut pending, mut other) = (Pending::default(), Pending::default());
        let account = account();
        let rt = Signal::from_raw(40).unwrap();
        assert_eq!(pending.push(SigInfo::kernel(rt), &account, 2), Pushed::Waits);
        assert_eq!(other.push(SigInfo::kernel(rt), &account, 2), Pushed::Waits);
        assert_eq!(pending.push(SigInfo::kernel(rt), &account, 2), Pushed::OverLimit);
        pending.discard(SigSet(u64::MAX));
        assert_eq!(account.count(), 1);
        assert_eq!(pending.push(SigInfo::kernel(rt), &account, 2), Pushed::Waits);
        assert!(pending.set().has(rt));
    }

    #[test]
    fn beyond_the_limit_kill_comes_through_once_without_its_cause() {
        let mut pending = Pending::default();
        let account = account();
        let rt = Signal::from_raw(40).unwrap();
        let kill = SigInfo { signal: rt, origin: Origin::Process { code: SI_USER, pid: 7, uid: 7, value: 0 } };
        for _ in 0..2 {
            assert_eq!(pending.push(kill, &account, 0), Pushed::Waits);
        }
        assert_eq!((pending.len(), account.count()), (1, 0));
        let taken = pending.take(rt).unwrap();
        assert!(matches!(taken.origin, Origin::Process { pid: 0, .. }));
    }
}
