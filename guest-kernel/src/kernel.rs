//! `Kernel`, the root of all state above the machine.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::cred::UserNs;
use crate::ns::{InitialNs, Inums};
use crate::pid::PidNs;
use crate::platform::CpuFacts;
use crate::signal::QueuedSignals;
use crate::sync::{Mutex, Rank};
use crate::task::futex::Futexes;
use crate::task::{LoadAverage, NsProxy, TaskTable, ThreadGroup};
use crate::vfs::{MountNs, Vfs};

mod sysctls;

pub use sysctls::{Kept, Sysctls};

/// Counters of the whole kernel, shown in /proc/stat and /proc/vmstat.
#[derive(Debug, Default)]
pub struct Counters {
    /// Tasks created since boot (`processes`).
    pub forks: AtomicU64,
    /// Tasks that exist.
    pub tasks: AtomicUsize,
    /// User time of all ended tasks, in nanoseconds.
    pub dead_user_ns: AtomicU64,
    /// System time of all ended tasks, in nanoseconds.
    pub dead_system_ns: AtomicU64,
    /// Page faults served without I/O.
    pub faults: AtomicU64,
    /// Processes killed because memory had run out.
    pub oom_kills: AtomicU64,
}

/// The root of all state above the machine layer.
pub struct Kernel {
    /// What programs are told of the processor.
    pub cpu: CpuFacts,
    /// Every task and process group by number.
    pub tasks: TaskTable,
    /// Who sleeps on which futex.
    pub futexes: Futexes,
    /// The initial pid namespace.
    pub pid_ns: Arc<PidNs>,
    /// The initial user namespace.
    pub user_ns: Arc<UserNs>,
    /// The initial mount namespace.
    pub mount_ns: Arc<MountNs>,
    /// The file systems that can be mounted, the devices, the mounts of pipes and anonymous files.
    pub vfs: Arc<Vfs>,
    shmem_inode: AtomicU64,
    login_sessions: AtomicU32,
    /// Where the numbers of further namespaces come from.
    pub ns_inums: Arc<Inums>,
    /// The initial namespaces, as the first process and kernel threads have them.
    pub nsproxy: Arc<NsProxy>,
    /// Counters of the whole kernel.
    pub counters: Counters,
    /// How many signals wait for each user.
    pub queued_signals: QueuedSignals,
    /// The load average.
    pub load: Mutex<LoadAverage>,
    /// The process whose end ends the VM.
    pub init: Mutex<Option<Arc<ThreadGroup>>>,
    /// The kernel's command line.
    pub command_line: Vec<u8>,
    /// What `/proc/sys` has set.
    pub sysctls: Sysctls,
    /// System calls that are not there, so that each is logged once.
    pub unknown_syscalls: Mutex<alloc::collections::BTreeMap<u64, u64>>,
}

impl Kernel {
    /// A kernel with nothing in it but the initial namespaces.
    pub fn new(
        mount_ns: Arc<MountNs>,
        initial_ns: InitialNs,
        ns_inums: Arc<Inums>,
        command_line: Vec<u8>,
        cpu: CpuFacts,
    ) -> Self {
        let vfs = mount_ns.vfs.clone();
        let pid_ns = PidNs::initial(vfs.user_ns().clone());
        let nsproxy = Arc::new(NsProxy {
            uts: initial_ns.uts,
            ipc: initial_ns.ipc,
            mnt: mount_ns.clone(),
            pid_for_children: pid_ns.clone(),
            net: initial_ns.net,
            cgroup: initial_ns.cgroup,
            time: initial_ns.time.clone(),
            time_for_children: initial_ns.time,
        });
        let sysctls = Sysctls::new(crate::phys::ram_stats().total_pages);
        vfs.user_ns().set_max_user_namespaces(u64::from(sysctls.threads_max.load(Relaxed).unsigned_abs()) / 2);
        Kernel {
            cpu,
            tasks: TaskTable::new(),
            futexes: Futexes::new(),
            pid_ns,
            user_ns: vfs.user_ns().clone(),
            vfs,
            mount_ns,
            shmem_inode: AtomicU64::new(1),
            login_sessions: AtomicU32::new(0),
            ns_inums,
            nsproxy,
            counters: Counters::default(),
            queued_signals: QueuedSignals::new(),
            load: Mutex::new(Rank::LOAD, LoadAverage::default()),
            init: Mutex::new(Rank::INIT, None),
            command_line,
            sysctls,
            unknown_syscalls: Mutex::new(Rank::UNKNOWN_SYSCALLS, alloc::collections::BTreeMap::new()),
        }
    }

    /// A number for the next shared-memory object.
    pub fn next_shmem_inode(&self) -> u64 {
        self.shmem_inode.fetch_add(1, Relaxed)
    }

    /// The number of the next login (audit_set_loginuid()); never that of none.
    pub fn next_login_session(&self) -> u32 {
        loop {
            let number = self.login_sessions.fetch_add(1, Relaxed).wrapping_add(1);
            if number != crate::task::AUDIT_UNSET {
                return number;
            }
        }
    }

    /// The first process, once it has been made.
    pub fn init_group(&self) -> Option<Arc<ThreadGroup>> {
        self.init.lock().clone()
    }
}
