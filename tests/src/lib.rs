//! Support for the tests that boot a VM.
//!
//! Owns how a test finds `procvisor`, builds the guest programs, runs either under a deadline and says what it could not run.
//! Knows nothing of what is tested: that is in `tests/tests`, one file a subject. Only the public command is driven, never the library
//! behind it, so that what passes here is what a user gets.
//! Invariant: nothing that a test starts outlives it; every wait has a deadline.

#![deny(unsafe_code)]

pub mod compare;
pub mod harness;
pub mod kernel;
pub mod mounted;
pub mod process;
pub mod procvisor;
pub mod program;
pub mod root;
pub mod session;
pub mod vm;
