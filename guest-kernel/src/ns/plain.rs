//! Namespaces of which this kernel keeps nothing but who they are: what they would hold (System V IPC, networks, control groups,
//! offsets of clocks) is not there.
//!
//! Source: Linux 6.12 ipc/namespace.c, net/core/net_namespace.c, kernel/cgroup/namespace.c, kernel/time/namespace.c.

use alloc::sync::Arc;
use core::marker::PhantomData;

use super::Inum;
use crate::cred::UserNs;

/// A namespace with a number and an owner only; `K` tells the kinds apart.
pub struct PlainNs<K> {
    inum: Inum,
    user_ns: Arc<UserNs>,
    kind: PhantomData<fn() -> K>,
}

/// Tells IPC namespaces from others.
pub enum Ipc {}
/// Tells network namespaces from others.
pub enum Net {}
/// Tells cgroup namespaces from others.
pub enum Cgroup {}
/// Tells time namespaces from others.
pub enum Time {}

/// System V IPC and POSIX message queues.
pub type IpcNs = PlainNs<Ipc>;
/// The network.
pub type NetNs = PlainNs<Net>;
/// Control groups.
pub type CgroupNs = PlainNs<Cgroup>;
/// Offsets of the monotonic and the boot-time clock.
pub type TimeNs = PlainNs<Time>;

impl<K> PlainNs<K> {
    /// A namespace that `user_ns` owns.
    pub fn new(inum: Inum, user_ns: Arc<UserNs>) -> Arc<Self> {
        Arc::new(Self { inum, user_ns, kind: PhantomData })
    }

    /// Its number.
    pub fn inum(&self) -> u32 {
        self.inum.get()
    }

    /// The user namespace that owns it.
    pub fn user_ns(&self) -> &Arc<UserNs> {
        &self.user_ns
    }
}
