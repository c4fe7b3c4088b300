//! The guest's `/proc` on the host: a 9P2000.L client for a batch and one for many callers ([`pipeline`]), the multiplexer that lets
//! several clients share one VM's stream ([`mux`]), and the mount ([`fuse`]).
//!
//! Nothing that comes from the guest is believed: each reply is checked for its tag, type, length and counts before its
//! content is looked at ([`transport`]), and what a call may take in bytes and time is bounded.

pub mod client;
pub mod fuse;
mod job;
pub mod mux;
mod peer;
pub mod pipeline;
pub(crate) mod stat;
pub mod system;
pub mod table;
pub mod transport;

pub use client::{Client, Entry, Options};
pub use mux::{Mux, MuxError, MuxHandle};
pub use transport::{ClientError, ReplyFault, Stream};
