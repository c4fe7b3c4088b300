#![doc = include_str!("../README.md")]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod c_integer;
pub mod errno;
pub mod mask;
pub mod net;
pub mod ninep;
pub mod pid;
pub mod root;
pub mod seq;
pub mod sink;
pub mod sys;
pub mod user_memory;

pub use errno::Errno;
pub use sink::Sink;

/// The Linux version whose texts and errors this crate is exact to.
pub const REFERENCE_LINUX: &str = "6.12";
