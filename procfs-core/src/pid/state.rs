//! The states a task can show.
//!
//! Source: Linux 6.12 fs/proc/array.c task_state_array.

/// The state of a task, as `stat` and `status` show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// On a processor or waiting for one.
    Running,
    /// Waiting, and a signal may end the wait.
    Sleeping,
    /// Waiting, and signals have no effect.
    DiskSleep,
    /// Stopped by job control.
    Stopped,
    /// Stopped by a tracer.
    TracingStop,
    /// Gone, not yet unlinked.
    Dead,
    /// Exited, not yet waited for.
    Zombie,
    /// A kernel thread that is parked.
    Parked,
    /// A kernel thread that waits without counting as load.
    Idle,
}

impl TaskState {
    /// The letter, field 3 of `stat`.
    #[must_use]
    pub const fn letter(self) -> u8 {
        self.text().as_bytes()[0]
    }

    /// The text of the `State:` line, such as `R (running)`.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            TaskState::Running => "R (running)",
            TaskState::Sleeping => "S (sleeping)",
            TaskState::DiskSleep => "D (disk sleep)",
            TaskState::Stopped => "T (stopped)",
            TaskState::TracingStop => "t (tracing stop)",
            TaskState::Dead => "X (dead)",
            TaskState::Zombie => "Z (zombie)",
            TaskState::Parked => "P (parked)",
            TaskState::Idle => "I (idle)",
        }
    }
}
