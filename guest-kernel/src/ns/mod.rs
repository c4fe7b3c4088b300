//! Namespaces as objects: what a task sees of names, queues, networks, control groups and clocks, each with a number and an owner.
//!
//! Owns the numbers of all namespaces and the kinds that have no other home. User namespaces are `cred`'s, those of process
//! numbers `pid`'s, those of mounts `vfs`'s; which ones a task has is `task::NsProxy`'s.
//! Invariant: no two namespaces that live have one number. A namespace lives as long as a handle on it.
//! Source: Linux 6.12 include/linux/ns_common.h, include/linux/proc_ns.h, fs/proc/generic.c proc_alloc_inum(); namespaces(7).

mod ida;
mod inum;
mod plain;
mod uts;

use alloc::sync::Arc;
use alloc::vec::Vec;

pub use ida::{Ida, IdaNumber};
pub use inum::{Inum, Inums};
pub use plain::{Cgroup, CgroupNs, Ipc, IpcNs, Net, NetNs, PlainNs, Time, TimeNs};
pub use uts::{Event, UtsField, UtsName, UtsNs};

use crate::cred::UserNs;

/// The namespaces of this module that a kernel starts with.
pub struct InitialNs {
    /// Host and domain name.
    pub uts: Arc<UtsNs>,
    /// Queues of messages.
    pub ipc: Arc<IpcNs>,
    /// The network.
    pub net: Arc<NetNs>,
    /// Control groups.
    pub cgroup: Arc<CgroupNs>,
    /// Clocks.
    pub time: Arc<TimeNs>,
}

impl InitialNs {
    /// The initial namespaces, owned by `user_ns`.
    ///
    /// All but the network's have fixed numbers; the network's is taken from `inums`, in Linux 6.12 as the first, since
    /// start_kernel() makes it before any mount namespace.
    pub fn new(inums: &Inums, user_ns: &Arc<UserNs>, hostname: Vec<u8>) -> Self {
        let net = inums.allocate().expect("numbers do not run out at boot");
        Self {
            uts: UtsNs::initial(user_ns.clone(), hostname),
            ipc: IpcNs::new(Inum::fixed(Inum::IPC_INIT), user_ns.clone()),
            net: NetNs::new(net, user_ns.clone()),
            cgroup: CgroupNs::new(Inum::fixed(Inum::CGROUP_INIT), user_ns.clone()),
            time: TimeNs::new(Inum::fixed(Inum::TIME_INIT), user_ns.clone()),
        }
    }
}
