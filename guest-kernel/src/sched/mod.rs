//! Threads of execution, the run queue, sleeping and waking.
//!
//! Owns who runs and who sleeps. Knows nothing of processes: a `Thread` carries an opaque owner that layer 5 fills in.
//! Kernel code is never preempted, so a thread that checks a condition and then blocks cannot lose the wake-up.
//! Invariant: no spinlock is held across `block` or `yield_now` (asserted by `sync`).

mod pressure;
#[expect(unsafe_code, reason = "switches stacks")]
mod scheduler;
#[expect(unsafe_code, reason = "the saved context is a cell that only the scheduler touches")]
mod thread;
pub mod timer;
mod wait;
mod wchan;

pub use pressure::cpu_pressure;
pub use scheduler::{
    block, cond_resched, current, enter, finish_dead, idle_ns, is_killed, prepare_user, running_threads, schedule,
    spawn, start_first, switches, tick, uninterruptible_threads, wake, yield_now,
};
pub use thread::{Priority, Thread, ThreadState};
pub use wait::{PollTable, WaitMode, WaitQueue, Wake};
pub use wchan::Wchan;
