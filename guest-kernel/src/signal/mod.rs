//! Signals: numbers and sets, actions, queues, sending, delivery.
//!
//! Source: Linux 6.12 kernel/signal.c, arch/x86/kernel/signal_64.c; signal(7).

mod account;
mod action;
pub mod deliver;
mod frame;
mod info;
mod pending;
pub mod send;
mod set;

pub use account::{QueuedSignals, UserAccount};
pub use action::{Default, Disposition, SA_NOCLDSTOP, SA_NOCLDWAIT, SigAction, SigHandlers, default_action};
pub use frame::{on_alt_stack, sigreturn};
pub use info::{Origin, SI_KERNEL, SI_TKILL, SI_USER, SigInfo};
pub use pending::{Pending, Pushed};
pub use set::{SigSet, Signal};
