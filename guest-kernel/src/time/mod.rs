//! Time: the clock and the one timer below everything that waits.

#[expect(unsafe_code, reason = "reads the time-stamp counter")]
pub mod clock;
#[expect(unsafe_code, reason = "the handler is kept as an address")]
pub mod timer;

pub use clock::{monotonic_ns, realtime_ns, tsc_khz};
pub use timer::{set_timer, set_timer_handler};
