//! What a process does on each signal.

use super::{SigSet, Signal};

/// `SIG_DFL` as a handler address.
const SIG_DFL: u64 = 0;
/// `SIG_IGN` as a handler address.
const SIG_IGN: u64 = 1;

/// `SA_NOCLDSTOP`: no SIGCHLD when a child stops or continues.
pub const SA_NOCLDSTOP: u64 = 1;
/// `SA_NOCLDWAIT`: children do not become zombies.
pub const SA_NOCLDWAIT: u64 = 2;
/// `SA_RESTORER`: `restorer` is set.
pub const SA_RESTORER: u64 = 0x0400_0000;
/// `SA_ONSTACK`: run on the alternate stack.
pub const SA_ONSTACK: u64 = 0x0800_0000;
/// `SA_RESTART`: restart interrupted calls.
pub const SA_RESTART: u64 = 0x1000_0000;
/// `SA_NODEFER`: do not block the signal while its handler runs.
pub const SA_NODEFER: u64 = 0x4000_0000;
/// `SA_RESETHAND`: back to the default once it has been called.
pub const SA_RESETHAND: u64 = 0x8000_0000;

/// The kernel's `struct sigaction` of x86-64.
#[derive(Clone, Copy, Debug, core::default::Default, PartialEq, Eq)]
pub struct SigAction {
    /// Address of the handler, or `SIG_DFL`, or `SIG_IGN`.
    pub handler: u64,
    /// `SA_*` bits.
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: SigSet,
}

impl SigAction {
    /// The action that drops the signal.
    pub fn ignore() -> Self {
        SigAction { handler: SIG_IGN, ..Self::default() }
    }
}

/// What the default action of a signal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Default {
    /// End the process.
    Terminate,
    /// End it and dump core (reported, not written).
    Core,
    /// Nothing.
    Ignore,
    /// Stop it.
    Stop,
    /// Continue it.
    Continue,
}

/// What happens when a signal arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The default action.
    Default(Default),
    /// Dropped.
    Ignore,
    /// The program's handler runs.
    Handler,
}

/// The default action of `signal` (signal(7)).
pub fn default_action(signal: Signal) -> Default {
    match signal {
        Signal::CHLD | Signal::URG | Signal::WINCH => Default::Ignore,
        Signal::CONT => Default::Continue,
        Signal::STOP | Signal::TSTP | Signal::TTIN | Signal::TTOU => Default::Stop,
        Signal::QUIT
        | Signal::ILL
        | Signal::TRAP
        | Signal::ABRT
        | Signal::BUS
        | Signal::FPE
        | Signal::SEGV
        | Signal::XCPU
        | Signal::XFSZ
        | Signal::SYS => Default::Core,
        _ => Default::Terminate,
    }
}

/// The actions of a process, one for each signal.
#[derive(Clone, Debug)]
pub struct SigHandlers([SigAction; Signal::COUNT]);

impl core::default::Default for SigHandlers {
    fn default() -> Self {
        SigHandlers([SigAction::default(); Signal::COUNT])
    }
}

impl SigHandlers {
    /// Every signal without effect, SIGKILL too: a kernel thread's (ignore_signals()).
    pub fn all_ignored() -> Self {
        SigHandlers([SigAction { handler: SIG_IGN, ..SigAction::default() }; Signal::COUNT])
    }

    /// The action for `signal`.
    pub fn get(&self, signal: Signal) -> SigAction {
        self.0[signal.index()]
    }

    /// Replaces the action for `signal`.
    pub fn set(&mut self, signal: Signal, action: SigAction) {
        self.0[signal.index()] = action;
    }

    /// What `signal` would do now.
    pub fn disposition(&self, signal: Signal) -> Disposition {
        match self.get(signal).handler {
            SIG_DFL => Disposition::Default(default_action(signal)),
            SIG_IGN => Disposition::Ignore,
            _ => Disposition::Handler,
        }
    }

    /// Whether `signal` has no effect, by choice or by default.
    pub fn is_ignored(&self, signal: Signal) -> bool {
        matches!(self.disposition(signal), Disposition::Ignore | Disposition::Default(Default::Ignore))
    }

    /// Signals set to `SIG_IGN` (`SigIgn` of /proc/PID/status).
    pub fn ignored(&self) -> SigSet {
        self.collect(|action| action.handler == SIG_IGN)
    }

    /// Signals with a handler (`SigCgt` of /proc/PID/status).
    pub fn caught(&self) -> SigSet {
        self.collect(|action| action.handler > SIG_IGN)
    }

    fn collect(&self, wanted: impl Fn(&SigAction) -> bool) -> SigSet {
        let bits = self.0.iter().enumerate().filter(|(_, action)| wanted(action)).fold(0, |bits, (i, _)| bits | 1 << i);
        SigSet(bits)
    }

    /// What exec does: handlers go back to the default, ignored stays ignored.
    ///
    /// Source: Linux 6.12 kernel/signal.c flush_signal_handlers().
    pub fn reset_for_exec(&mut self) {
        for action in &mut self.0 {
            let handler = if action.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *action = SigAction { handler, ..SigAction::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{SigAction, SigHandlers};
    use crate::signal::{SigSet, Signal};

    #[test]
    fn exec_keeps_ignored_and_drops_handlers() {
        let mut handlers = SigHandlers::default();
        handlers.set(Signal::HUP, SigAction { handler: 1, ..SigAction::default() });
        handlers.set(Signal::USR1, SigAction { handler: 0x1000, ..SigAction::default() });
        assert_eq!(handlers.caught(), SigSet::EMPTY.with(Signal::USR1));
        handlers.reset_for_exec();
        assert_eq!(handlers.ignored(), SigSet::EMPTY.with(Signal::HUP));
        assert_eq!(handlers.caught(), SigSet::EMPTY);
        assert!(handlers.is_ignored(Signal::CHLD));
    }
}
