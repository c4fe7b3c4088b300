//! The host side of Procvisor: a machine with one virtual CPU, what goes into it, and how its `/proc` comes out.
//!
//! | module | what |
//! |---|---|
//! | `config` | what a machine is made of; plain data |
//! | `machine` | a whole machine: made, run, and what came of it |
//! | `kvm`, `memory`, `vcpu` | the host's KVM, guest RAM, the virtual CPU and its two platforms |
//! | `layout`, `loader` | where things lie in guest memory, and putting them there (the boot contract of ARCHITECTURE.md) |
//! | `bus`, `devices` | which device answers where: serial line, exit port, virtio console |
//! | `rootfs` | the initramfs: a directory, an archive, or one program with its libraries |
//! | `proc` | 9P2000.L: the client, the multiplexer that lets several clients share a VM's stream, the FUSE mount |
//! | `control` | what may be asked of a running VM's process: pause, resume, its end, its kernel's log |
//! | `registry` | the VMs of one user on this host |
//! | `metrics` | numbers of all VMs for monitoring: gathered, encoded, served |
//! | `terminal` | the host's terminal in raw mode |
//! | `top` | the live screen of processes: model, view, screen, sources |
//! | `usage` | processor time and memory of a VM, as its guest and as the host count them |
//! | `timing` | where the time of a start and an end goes |
//!
//! Trust: everything that comes from the guest (queues, registers, 9P replies, the log) may be anything at all. It is copied, then
//! checked, then used; it never panics the VMM and never reaches memory or descriptors but the machine's own.
//! `unsafe` is allowed in `memory`, `kvm`, `vcpu::{kick, pvm, run}`, `machine::events` and `devices::virtio::console::fd`.
#![deny(unsafe_code)]

pub mod bus;
pub mod config;
pub mod control;
pub mod devices;
#[expect(unsafe_code, reason = "tells KVM which of this process's memory is the guest's")]
pub mod kvm;
pub mod layout;
pub mod loader;
pub mod machine;
#[expect(unsafe_code, reason = "owns the mapping that is guest RAM")]
pub mod memory;
pub mod metrics;
pub mod proc;
pub mod registry;
pub mod rootfs;
pub mod terminal;
pub mod timing;
pub mod top;
pub mod usage;
pub mod vcpu;

/// The guest kernel, an ELF64 image. A static: each use of a constant could bring megabytes of its own.
pub static GUEST_KERNEL: &[u8] = include_bytes!(env!("GUEST_KERNEL"));
