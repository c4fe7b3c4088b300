//! Where a thread can sleep, by the names that Linux's `/proc/PID/wchan` prints.
//!
//! Owns the names. They are functions of Linux 6.18 as its compiler left them (`.constprop.0`, `.isra.0`), recorded there:
//! tools match on them, so a sleep of ours bears the name of the function that a Linux thread would sleep in. What has no
//! counterpart is named after the function of ours.
//! Source: Linux 6.12 arch/x86/kernel/process.c __get_wchan(), kernel/sched/core.c get_wchan().

/// A place in the kernel where threads sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "`symbol` says what each is")]
pub enum Wchan {
    AnonPipeRead,
    AnonPipeWrite,
    DoEpollWait,
    DoSignalStop,
    DoSigtimedwait,
    DoWait,
    DoWaitIntrIrq,
    EndOtherThreads,
    FutexDoWait,
    HrtimerNanosleep,
    KernelClone,
    NamedPort,
    Pause,
    PollScheduleTimeout,
    PortRead,
    PortWrite,
    Sigsuspend,
    WaitForPartner,
    WaitWoken,
    ZapPidNsProcesses,
}

impl Wchan {
    const ALL: [(Wchan, &'static str); 20] = [
        (Wchan::AnonPipeRead, "anon_pipe_read"),
        (Wchan::AnonPipeWrite, "anon_pipe_write"),
        (Wchan::DoEpollWait, "do_epoll_wait"),
        (Wchan::DoSignalStop, "do_signal_stop"),
        (Wchan::DoSigtimedwait, "do_sigtimedwait.isra.0"),
        (Wchan::DoWait, "do_wait"),
        // Reads and writes of an eventfd.
        (Wchan::DoWaitIntrIrq, "do_wait_intr_irq"),
        // begin_new_exec() waits here for the other threads.
        (Wchan::EndOtherThreads, "begin_new_exec"),
        (Wchan::FutexDoWait, "futex_do_wait"),
        (Wchan::HrtimerNanosleep, "hrtimer_nanosleep"),
        // The parent of a vfork.
        (Wchan::KernelClone, "kernel_clone"),
        (Wchan::NamedPort, "named_port"),
        (Wchan::Pause, "__do_sys_pause"),
        (Wchan::PollScheduleTimeout, "poll_schedule_timeout.constprop.0"),
        (Wchan::PortRead, "port_fops_read"),
        (Wchan::PortWrite, "wait_port_writable"),
        (Wchan::Sigsuspend, "sigsuspend.isra.0"),
        // Opening a fifo.
        (Wchan::WaitForPartner, "wait_for_partner"),
        // Reading a terminal.
        (Wchan::WaitWoken, "wait_woken"),
        (Wchan::ZapPidNsProcesses, "zap_pid_ns_processes"),
    ];

    /// The name that `/proc/PID/wchan` prints.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    pub(super) const fn to_raw(self) -> u8 {
        self as u8
    }

    pub(super) fn from_raw(raw: u8) -> Option<Self> {
        Self::ALL.get(usize::from(raw)).map(|(place, _)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::Wchan;

    #[test]
    fn each_place_has_the_name_at_its_own_number() {
        for (number, (place, symbol)) in Wchan::ALL.into_iter().enumerate() {
            assert_eq!((usize::from(place.to_raw()), place.symbol()), (number, symbol));
            assert_eq!(Wchan::from_raw(place.to_raw()), Some(place));
        }
        assert_eq!(Wchan::from_raw(u8::MAX), None);
    }
}
