//! 9P2000.L: how `/proc` leaves the guest.
//!
//! [`wire`] turns bytes into messages and back, [`server`] keeps one session's state over a [`Tree`]. Neither does any I/O:
//! the caller moves bytes between a stream and [`wire::Framer`].
//! Sources: diod's protocol.md; Linux 6.12 include/net/9p/9p.h and net/9p/protocol.c.

pub mod server;
mod tree;
pub mod wire;

pub use server::Session;
pub use tree::{DirEntry, Tree};

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod toy_tree;
