//! The names under `/proc/sys`: modes, forms, ranges, and where each value lives.
//!
//! Names stand in the order of the table within a directory, sorted as Linux lists them. A file with a value that the kernel
//! cannot change has Linux's mode and a range of that one value, so that a write of another is refused instead of lost.
//! What belongs to something that this kernel has not (swap, modules, tracing) is left out, but for the limits of System V
//! IPC and of the network, which programs read before they ask for either.
//! Source: Linux 6.12 kernel/sysctl.c, kernel/{fork,panic,utsname_sysctl,ucount}.c, ipc/ipc_sysctl.c, fs/{file,pipe,exec}.c,
//! net/core/sysctl_net_core.c, net/ipv4/sysctl_net_ipv4.c; proc_sys(5).

use alloc::vec::Vec;

use procfs_core::sys::write::Numbers;

use super::sys_values as values;
use crate::kernel::Kernel;
use crate::mm::MMAP_MIN_ADDR;
use crate::ns::UtsField;

/// What stands under a name.
pub(super) enum Item {
    /// Further names.
    Dir(&'static [Named]),
    /// A value.
    Value(Knob),
}

/// One value.
pub(super) struct Knob {
    pub(super) mode: u16,
    pub(super) rights: Rights,
    pub(super) source: Source,
}

/// Whose bits of the mode count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rights {
    /// The owner's for root of the initial user namespace.
    Root,
    /// The owner's for who may administer the user namespace's resources; all others read (ucount.c set_permissions()).
    UserNs,
    /// The mode's, and a write needs rights over the writer's pid namespace besides (pid_ns_ctl_handler()).
    PidNs,
}

/// Where a value comes from.
pub(super) enum Source {
    /// Numbers that nothing in the kernel depends on: what was written last, `initial` before.
    Kept { initial: &'static [i64], rule: Numbers, accept: Option<fn(&[i64]) -> bool> },
    /// A text of the same kind, of at most `max` bytes.
    KeptText { initial: &'static str, max: usize },
    /// One number that the kernel obeys.
    Live { rule: Numbers, get: fn(&Kernel) -> i64, set: fn(&Kernel, i64) },
    /// Numbers made for each read.
    Made(fn(&Kernel) -> Vec<i64>),
    /// A text made for each read.
    MadeText(fn(&Kernel) -> Vec<u8>),
    /// Host or domain name.
    UtsName(UtsField),
    /// A number that is a command, read by nobody.
    Command(Numbers),
}

/// A name and what stands under it.
pub(super) struct Named {
    pub(super) name: &'static str,
    pub(super) item: Item,
}

const fn dir(name: &'static str, entries: &'static [Named]) -> Named {
    Named { name, item: Item::Dir(entries) }
}

const fn value(name: &'static str, mode: u16, source: Source) -> Named {
    Named { name, item: Item::Value(Knob { mode, rights: Rights::Root, source }) }
}

/// A constant.
const fn shown(name: &'static str, initial: &'static [i64]) -> Named {
    value(name, 0o444, Source::Kept { initial, rule: Numbers::ANY_INT, accept: None })
}

const fn kept(name: &'static str, initial: &'static [i64], rule: Numbers) -> Named {
    value(name, 0o644, Source::Kept { initial, rule, accept: None })
}

/// A number that stays as it is: the only value that a write may have.
const fn only(name: &'static str, initial: &'static [i64]) -> Named {
    let number = initial[0] as i32;
    value(name, 0o644, Source::Kept { initial, rule: Numbers::Int { min: number, max: number }, accept: None })
}

const fn live(name: &'static str, rule: Numbers, get: fn(&Kernel) -> i64, set: fn(&Kernel, i64)) -> Named {
    value(name, 0o644, Source::Live { rule, get, set })
}

const fn made_text(name: &'static str, make: fn(&Kernel) -> Vec<u8>) -> Named {
    value(name, 0o444, Source::MadeText(make))
}

/// The most namespaces of a kind: they are not counted, so there is no limit, and none can be set.
const fn namespaces(name: &'static str) -> Named {
    const MOST: Numbers = Numbers::Int { min: i32::MAX, max: i32::MAX };
    let source = Source::Kept { initial: &[i32::MAX as i64], rule: MOST, accept: None };
    Named { name, item: Item::Value(Knob { mode: 0o644, rights: Rights::UserNs, source }) }
}

/// The most user namespaces that each user may make below the reader's own; Linux shows that of the namespace at lookup.
const MAX_USER_NAMESPACES: Named = Named {
    name: "max_user_namespaces",
    item: Item::Value(Knob {
        mode: 0o644,
        rights: Rights::UserNs,
        source: Source::Live { rule: NATURAL, get: values::max_user_namespaces, set: values::set_max_user_namespaces },
    }),
};

const BOOL: Numbers = Numbers::Int { min: 0, max: 1 };
const NATURAL: Numbers = Numbers::Int { min: 0, max: i32::MAX };
const POSITIVE: Numbers = Numbers::Int { min: 1, max: i32::MAX };

/// `/proc/sys`.
pub(super) static SYS: Item = Item::Dir(&[
    dir("fs", FS),
    dir("kernel", KERNEL),
    dir("net", &[dir("core", NET_CORE), dir("ipv4", NET_IPV4)]),
    dir("user", USER),
    dir("vm", VM),
]);

const FS: &[Named] = &[
    value(
        "file-max",
        0o644,
        Source::Kept {
            initial: &[i64::MAX],
            rule: Numbers::Ulong { min: i64::MAX as u64, max: i64::MAX as u64 },
            accept: None,
        },
    ),
    value("file-nr", 0o444, Source::Made(|kernel| values::file_nr(kernel).into())),
    live(
        "nr_open",
        // sysctl_nr_open_min and sysctl_nr_open_max: whole words of bits.
        Numbers::Uint { min: 64, max: i32::MAX as u32 & !63 },
        values::nr_open,
        values::set_nr_open,
    ),
    only("overflowgid", &[65534]),
    only("overflowuid", &[65534]),
    live("pipe-max-size", Numbers::Uint { min: 0, max: 1 << 31 }, values::pipe_max_bytes, values::set_pipe_max_bytes),
    only("pipe-user-pages-hard", &[0]),
    only("pipe-user-pages-soft", &[0]),
    only("protected_fifos", &[0]),
    only("protected_hardlinks", &[0]),
    only("protected_regular", &[0]),
    only("protected_symlinks", &[0]),
    live("suid_dumpable", Numbers::Int { min: 0, max: 2 }, values::suid_dumpable, values::set_suid_dumpable),
];

const KERNEL: &[Named] = &[
    value("arch", 0o444, Source::KeptText { initial: "x86_64", max: 6 }),
    shown("cap_last_cap", &[40]),
    value("core_pattern", 0o644, Source::KeptText { initial: "core", max: 127 }),
    kept("core_pipe_limit", &[0], Numbers::Uint { min: 0, max: u32::MAX }),
    kept("core_uses_pid", &[0], Numbers::ANY_INT),
    kept("ctrl-alt-del", &[1], Numbers::ANY_INT),
    kept("dmesg_restrict", &[0], BOOL),
    value("domainname", 0o644, Source::UtsName(UtsField::Domain)),
    value("hostname", 0o644, Source::UtsName(UtsField::Host)),
    kept("kptr_restrict", &[0], Numbers::Int { min: 0, max: 2 }),
    kept("msgmax", &[8192], NATURAL),
    kept("msgmnb", &[16384], NATURAL),
    kept("msgmni", &[32000], Numbers::Int { min: 0, max: 32768 }),
    shown("ngroups_max", &[65536]),
    Named {
        name: "ns_last_pid",
        item: Item::Value(Knob {
            mode: 0o666,
            rights: Rights::PidNs,
            source: Source::Live {
                rule: Numbers::Int { min: 0, max: crate::pid::PID_MAX },
                get: values::ns_last_pid,
                set: values::set_ns_last_pid,
            },
        }),
    },
    made_text("osrelease", |_| crate::syscall::RELEASE.into()),
    value("ostype", 0o444, Source::KeptText { initial: "Linux", max: 5 }),
    only("overflowgid", &[65534]),
    only("overflowuid", &[65534]),
    kept("panic", &[0], Numbers::ANY_INT),
    kept("panic_on_oops", &[1], Numbers::ANY_INT),
    kept("panic_on_warn", &[0], BOOL),
    only("pid_max", &[crate::pid::PID_MAX as i64]),
    kept("printk", &[4, 4, 1, 7], Numbers::ANY_INT),
    kept("printk_delay", &[0], Numbers::Int { min: 0, max: 10000 }),
    kept("printk_ratelimit", &[5], Numbers::ANY_INT),
    kept("printk_ratelimit_burst", &[10], Numbers::ANY_INT),
    dir("random", RANDOM),
    only("randomize_va_space", &[2]),
    kept("sem", &[32000, 1_024_000_000, 500, 32000], Numbers::ANY_INT),
    kept("shm_rmid_forced", &[0], BOOL),
    // ULONG_MAX - (1UL << 24)
    kept("shmall", &[-16_777_217], Numbers::ANY_ULONG),
    kept("shmmax", &[-16_777_217], Numbers::ANY_ULONG),
    kept("shmmni", &[4096], Numbers::Int { min: 0, max: 32768 }),
    live("sysctl_writes_strict", Numbers::Int { min: -1, max: 1 }, values::writes_strict, values::set_writes_strict),
    only("tainted", &[0]),
    live(
        "threads-max",
        Numbers::Int { min: 1, max: crate::kernel::Sysctls::MAX_THREADS },
        values::threads_max,
        values::set_threads_max,
    ),
    made_text("version", |_| crate::syscall::VERSION.into()),
];

const RANDOM: &[Named] = &[
    made_text("boot_id", |_| values::boot_id()),
    shown("entropy_avail", &[256]),
    shown("poolsize", &[256]),
    kept("urandom_min_reseed_secs", &[60], Numbers::ANY_INT),
    made_text("uuid", |_| values::uuid()),
    kept("write_wakeup_threshold", &[256], Numbers::ANY_INT),
];

const NET_CORE: &[Named] = &[
    kept("netdev_max_backlog", &[1000], Numbers::ANY_INT),
    kept("optmem_max", &[131_072], NATURAL),
    kept("rmem_default", &[212_992], Numbers::Int { min: 2304, max: i32::MAX }),
    kept("rmem_max", &[212_992], Numbers::Int { min: 2304, max: i32::MAX }),
    kept("somaxconn", &[4096], NATURAL),
    kept("wmem_default", &[212_992], Numbers::Int { min: 4608, max: i32::MAX }),
    kept("wmem_max", &[212_992], Numbers::Int { min: 4608, max: i32::MAX }),
];

const NET_IPV4: &[Named] = &[
    kept("ip_default_ttl", &[64], Numbers::Int { min: 1, max: 255 }),
    kept("ip_forward", &[0], Numbers::ANY_INT),
    value(
        "ip_local_port_range",
        0o644,
        Source::Kept {
            initial: &[32768, 60999],
            rule: Numbers::Int { min: 1, max: 65535 },
            // Not below ip_unprivileged_port_start either.
            accept: Some(|range| range[0] <= range[1] && range[0] >= 1024),
        },
    ),
    only("ip_unprivileged_port_start", &[1024]),
    kept("tcp_fin_timeout", &[60], Numbers::ANY_INT),
    kept("tcp_keepalive_intvl", &[75], Numbers::ANY_INT),
    kept("tcp_keepalive_probes", &[9], Numbers::Int { min: 0, max: 255 }),
    kept("tcp_keepalive_time", &[7200], Numbers::ANY_INT),
    kept("tcp_rmem", &[4096, 131_072, 6_291_456], POSITIVE),
    kept("tcp_sack", &[1], Numbers::Int { min: 0, max: 255 }),
    kept("tcp_syncookies", &[1], Numbers::Int { min: 0, max: 255 }),
    kept("tcp_timestamps", &[1], Numbers::Int { min: 0, max: 255 }),
    kept("tcp_tw_reuse", &[2], Numbers::Int { min: 0, max: 2 }),
    kept("tcp_window_scaling", &[1], Numbers::Int { min: 0, max: 255 }),
    kept("tcp_wmem", &[4096, 16384, 4_194_304], POSITIVE),
];

const USER: &[Named] = &[
    namespaces("max_cgroup_namespaces"),
    namespaces("max_ipc_namespaces"),
    namespaces("max_mnt_namespaces"),
    namespaces("max_net_namespaces"),
    namespaces("max_pid_namespaces"),
    namespaces("max_time_namespaces"),
    MAX_USER_NAMESPACES,
    namespaces("max_uts_namespaces"),
];

const VM: &[Named] = &[
    // Nothing is cached that could be read again from elsewhere.
    value("drop_caches", 0o200, Source::Command(Numbers::Int { min: 1, max: 4 })),
    live("max_map_count", NATURAL, values::max_map_count, values::set_max_map_count),
    value(
        "mmap_min_addr",
        0o644,
        Source::Kept {
            initial: &[MMAP_MIN_ADDR as i64],
            rule: Numbers::Ulong { min: MMAP_MIN_ADDR, max: MMAP_MIN_ADDR },
            accept: None,
        },
    ),
    only("nr_hugepages", &[0]),
    only("oom_kill_allocating_task", &[0]),
    // Memory is promised without being counted, which is mode 1.
    only("overcommit_memory", &[1]),
    kept("overcommit_ratio", &[50], Numbers::ANY_INT),
    only("panic_on_oom", &[0]),
    kept("swappiness", &[60], Numbers::Int { min: 0, max: 200 }),
];
