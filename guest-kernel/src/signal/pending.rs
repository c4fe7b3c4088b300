//! Signals that wait to be delivered to a thread or to a whole process.

use alloc::collections::VecDeque;

use super::{SigInfo, SigSet, Signal};

/// A queue of signals; a standard signal waits in it at most once.
#[derive(Debug, Default)]
pub struct Pending {
    set: SigSet,
    queue: VecDeque<SigInfo>,
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

    /// Adds a signal; `limit` bounds how many real-time instances may wait (`RLIMIT_SIGPENDING`).
    ///
    /// Returns false when it was dropped for the limit.
    pub fn push(&mut self, info: SigInfo, limit: usize) -> bool {
        if info.signal.is_standard() && self.set.has(info.signal) {
            return true;
        }
        if !info.signal.is_standard() && self.queue.len() >= limit {
            return false;
        }
        if self.queue.try_reserve(1).is_err() {
            return false;
        }
        self.set = self.set.with(info.signal);
        self.queue.push_back(info);
        true
    }

    /// Takes the next signal that is not in `blocked`: those of the running instruction first, then by number.
    pub fn pop(&mut self, blocked: SigSet) -> Option<SigInfo> {
        let ready = self.set.minus(blocked);
        let signal = ready.and(SigSet::SYNCHRONOUS).first().or(ready.first())?;
        self.take(signal)
    }

    /// Takes the oldest instance of `signal`.
    pub fn take(&mut self, signal: Signal) -> Option<SigInfo> {
        let at = self.queue.iter().position(|info| info.signal == signal)?;
        let info = self.queue.remove(at)?;
        if !self.queue.iter().any(|other| other.signal == signal) {
            self.set = self.set.without(signal);
        }
        Some(info)
    }

    /// Drops every instance of the signals in `set`.
    pub fn discard(&mut self, set: SigSet) {
        self.queue.retain(|info| !set.has(info.signal));
        self.set = self.set.minus(set);
    }
}

#[cfg(test)]
mod tests {
    use super::Pending;
    use crate::signal::{SigInfo, SigSet, Signal};

    #[test]
    fn a_standard_signal_waits_once_and_faults_come_first() {
        let mut pending = Pending::default();
        for signal in [Signal::HUP, Signal::HUP, Signal::SEGV] {
            assert!(pending.push(SigInfo::kernel(signal), 8));
        }
        assert_eq!(pending.len(), 2);
        assert_eq!(pending.pop(SigSet::EMPTY).map(|info| info.signal), Some(Signal::SEGV));
        assert!(pending.pop(SigSet::EMPTY.with(Signal::HUP)).is_none());
        assert_eq!(pending.pop(SigSet::EMPTY).map(|info| info.signal), Some(Signal::HUP));
        assert!(pending.is_empty());
    }

    #[test]
    fn real_time_signals_queue_up_to_the_limit() {
        let mut pending = Pending::default();
        let rt = Signal::from_raw(40).unwrap();
        assert!(pending.push(SigInfo::kernel(rt), 2));
        assert!(pending.push(SigInfo::kernel(rt), 2));
        assert!(!pending.push(SigInfo::kernel(rt), 2));
        pending.take(rt);
        assert!(pending.set().has(rt));
    }
}
