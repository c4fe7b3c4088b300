//! What stands in `/proc/PID` and `/proc/PID/task/TID`: one table, in Linux's order.
//!
//! Owns names, modes and the checks that guard each entry. Opening and reading them is the caller's.
//! The table holds every entry of Linux 6.18 but these, of which a kernel may be built without most:
//!
//! | left out | why |
//! |---|---|
//! | `sched` | shows the entity of Linux's fair scheduler (virtual run time, load averages); `schedstat` and `status` have what is true of any |
//! | `autogroup` | groups the sessions of that scheduler (`CONFIG_SCHED_AUTOGROUP`) |
//! | `numa_maps` | `CONFIG_NUMA`: there is one node, and no lists of active pages to count |
//! | `stack` | `CONFIG_STACKTRACE`: a kernel without frame pointers cannot tell the truth about a sleeper's stack; `wchan` has its top |
//! | `arch_status` | the time since AVX-512 was used last, which nobody notes |
//! | `ksm_merging_pages`, `ksm_stat` | `CONFIG_KSM`: pages are not merged |
//! | `cpu_resctrl_groups` | `CONFIG_PROC_CPU_RESCTRL` |
//! | `latency` | `CONFIG_LATENCYTOP` |
//! | `patch_state` | `CONFIG_LIVEPATCH` |
//! | `seccomp_cache` | `CONFIG_SECCOMP_CACHE_DEBUG` |
//! | `stack_depth` | `CONFIG_KSTACK_ERASE_METRICS` |
//! | `make-it-fail`, `fail-nth` | `CONFIG_FAULT_INJECTION` |
//! | below `attr`: `apparmor`, `smack` and such | no security module |
//!
//! Left out of files: the line `[vsyscall]` of `maps`, since there is no such page; soft-dirty marks in `pagemap` and `smaps`
//! (`CONFIG_MEM_SOFT_DIRTY`); the call `PROCMAP_QUERY` of `maps` (ENOTTY).
//! Source: Linux 6.12 fs/proc/base.c tgid_base_stuff, tid_base_stuff.

/// Which of the two directories an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Both.
    Both,
    /// Only `/proc/PID`.
    Pid,
    /// Only `/proc/PID/task/TID`.
    Tid,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A symbolic link that leads straight to an object.
    Link,
    /// A file read by the rules of [`SeqFile`](crate::seq::SeqFile), one record for the whole.
    Single,
    /// The same with a record for each line or object.
    Records,
    /// A file with rules of its own, or read by [`read_simple`](crate::user_memory::read_simple).
    Raw,
}

/// The ptrace check beside the mode, and when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// None.
    None,
    /// Read access at open; `EACCES`.
    ReadAtOpen,
    /// Attach access at open; `EACCES`.
    AttachAtOpen,
    /// Read access at each read; `EACCES`.
    ReadEachRead,
    /// Read access at each read; without it fields are hidden and nothing fails.
    ReadHides,
    /// Attach access at each read; `EPERM`.
    AttachEachRead,
    /// Read access each time the link is read or followed; `EACCES`.
    ReadToFollow,
    /// The mode, but the thread group itself always passes.
    ModeOrSameGroup,
    /// Read access and the mode, for the directory and all in it.
    ReadAndMode,
}

/// Which entry it is, for the code behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the entry of that name")]
pub enum Node {
    Task,
    Fd,
    MapFiles,
    Fdinfo,
    Ns,
    Net,
    Environ,
    Auxv,
    Status,
    Personality,
    Limits,
    TimensOffsets,
    Comm,
    Syscall,
    Cmdline,
    Stat,
    Statm,
    Maps,
    Children,
    Mem,
    Cwd,
    Root,
    Exe,
    Mounts,
    Mountinfo,
    Mountstats,
    ClearRefs,
    Smaps,
    SmapsRollup,
    Pagemap,
    Attr,
    Wchan,
    Schedstat,
    Cpuset,
    Cgroup,
    OomScore,
    OomAdj,
    OomScoreAdj,
    Loginuid,
    Sessionid,
    CoredumpFilter,
    Io,
    UidMap,
    GidMap,
    ProjidMap,
    Setgroups,
    Timers,
    TimerslackNs,
}

/// One entry of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Which entry it is.
    pub node: Node,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// The check beside them.
    pub gate: Gate,
    /// Where it stands.
    pub scope: Scope,
}

const fn entry(name: &'static str, node: Node, kind: Kind, mode: u16, gate: Gate, scope: Scope) -> Entry {
    Entry { name, node, kind, mode, gate, scope }
}

/// The entries, in the order of the directory.
pub const ENTRIES: &[Entry] = &[
    entry("task", Node::Task, Kind::Dir, 0o555, Gate::None, Scope::Pid),
    entry("fd", Node::Fd, Kind::Dir, 0o500, Gate::ModeOrSameGroup, Scope::Both),
    entry("map_files", Node::MapFiles, Kind::Dir, 0o500, Gate::ModeOrSameGroup, Scope::Pid),
    entry("fdinfo", Node::Fdinfo, Kind::Dir, 0o555, Gate::ReadAndMode, Scope::Both),
    entry("ns", Node::Ns, Kind::Dir, 0o511, Gate::None, Scope::Both),
    entry("net", Node::Net, Kind::Dir, 0o555, Gate::None, Scope::Both),
    entry("environ", Node::Environ, Kind::Raw, 0o400, Gate::ReadAtOpen, Scope::Both),
    entry("auxv", Node::Auxv, Kind::Raw, 0o400, Gate::ReadAtOpen, Scope::Both),
    entry("status", Node::Status, Kind::Single, 0o444, Gate::None, Scope::Both),
    entry("personality", Node::Personality, Kind::Single, 0o400, Gate::AttachEachRead, Scope::Both),
    entry("limits", Node::Limits, Kind::Single, 0o444, Gate::None, Scope::Both),
    entry("timens_offsets", Node::TimensOffsets, Kind::Single, 0o644, Gate::None, Scope::Pid),
    entry("comm", Node::Comm, Kind::Single, 0o644, Gate::None, Scope::Pid),
    entry("comm", Node::Comm, Kind::Single, 0o644, Gate::ModeOrSameGroup, Scope::Tid),
    entry("syscall", Node::Syscall, Kind::Single, 0o400, Gate::AttachEachRead, Scope::Both),
    entry("cmdline", Node::Cmdline, Kind::Raw, 0o444, Gate::None, Scope::Both),
    entry("stat", Node::Stat, Kind::Single, 0o444, Gate::ReadHides, Scope::Both),
    entry("statm", Node::Statm, Kind::Single, 0o444, Gate::None, Scope::Both),
    entry("maps", Node::Maps, Kind::Records, 0o444, Gate::ReadAtOpen, Scope::Both),
    entry("children", Node::Children, Kind::Records, 0o444, Gate::None, Scope::Tid),
    entry("mem", Node::Mem, Kind::Raw, 0o600, Gate::AttachAtOpen, Scope::Both),
    entry("cwd", Node::Cwd, Kind::Link, 0o777, Gate::ReadToFollow, Scope::Both),
    entry("root", Node::Root, Kind::Link, 0o777, Gate::ReadToFollow, Scope::Both),
    entry("exe", Node::Exe, Kind::Link, 0o777, Gate::ReadToFollow, Scope::Both),
    entry("mounts", Node::Mounts, Kind::Records, 0o444, Gate::None, Scope::Both),
    entry("mountinfo", Node::Mountinfo, Kind::Records, 0o444, Gate::None, Scope::Both),
    entry("mountstats", Node::Mountstats, Kind::Records, 0o400, Gate::None, Scope::Pid),
    entry("clear_refs", Node::ClearRefs, Kind::Raw, 0o200, Gate::None, Scope::Both),
    entry("smaps", Node::Smaps, Kind::Records, 0o444, Gate::ReadAtOpen, Scope::Both),
    entry("smaps_rollup", Node::SmapsRollup, Kind::Single, 0o444, Gate::ReadAtOpen, Scope::Both),
    entry("pagemap", Node::Pagemap, Kind::Raw, 0o400, Gate::ReadAtOpen, Scope::Both),
    entry("attr", Node::Attr, Kind::Dir, 0o555, Gate::None, Scope::Both),
    entry("wchan", Node::Wchan, Kind::Single, 0o444, Gate::ReadHides, Scope::Both),
    entry("schedstat", Node::Schedstat, Kind::Single, 0o444, Gate::None, Scope::Both),
    entry("cpuset", Node::Cpuset, Kind::Single, 0o444, Gate::None, Scope::Both),
    entry("cgroup", Node::Cgroup, Kind::Single, 0o444, Gate::None, Scope::Both),
    entry("oom_score", Node::OomScore, Kind::Single, 0o444, Gate::None, Scope::Both),
    entry("oom_adj", Node::OomAdj, Kind::Raw, 0o644, Gate::None, Scope::Both),
    entry("oom_score_adj", Node::OomScoreAdj, Kind::Raw, 0o644, Gate::None, Scope::Both),
    entry("loginuid", Node::Loginuid, Kind::Raw, 0o644, Gate::None, Scope::Both),
    entry("sessionid", Node::Sessionid, Kind::Raw, 0o444, Gate::None, Scope::Both),
    entry("coredump_filter", Node::CoredumpFilter, Kind::Raw, 0o644, Gate::None, Scope::Pid),
    entry("io", Node::Io, Kind::Single, 0o400, Gate::ReadEachRead, Scope::Both),
    entry("uid_map", Node::UidMap, Kind::Records, 0o644, Gate::None, Scope::Both),
    entry("gid_map", Node::GidMap, Kind::Records, 0o644, Gate::None, Scope::Both),
    entry("projid_map", Node::ProjidMap, Kind::Records, 0o644, Gate::None, Scope::Both),
    entry("setgroups", Node::Setgroups, Kind::Single, 0o644, Gate::None, Scope::Both),
    entry("timers", Node::Timers, Kind::Records, 0o444, Gate::ReadAtOpen, Scope::Pid),
    entry("timerslack_ns", Node::TimerslackNs, Kind::Single, 0o666, Gate::None, Scope::Pid),
];

impl Scope {
    /// The entries of the directory of that scope ([`Scope::Pid`] or [`Scope::Tid`]), in order.
    pub fn entries(self) -> impl Iterator<Item = &'static Entry> {
        ENTRIES.iter().filter(move |entry| entry.scope == Scope::Both || entry.scope == self)
    }

    /// The entry with that name in the directory of that scope.
    #[must_use]
    pub fn find(self, name: &[u8]) -> Option<&'static Entry> {
        self.entries().find(|entry| entry.name.as_bytes() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::{Gate, Node, Scope};
    use alloc::collections::BTreeSet;

    #[test]
    fn names_are_unique_in_each_directory() {
        for scope in [Scope::Pid, Scope::Tid] {
            let names: BTreeSet<_> = scope.entries().map(|entry| entry.name).collect();
            assert_eq!(names.len(), scope.entries().count());
        }
    }

    #[test]
    fn the_two_directories_differ_where_linux_does() {
        assert!(Scope::Tid.find(b"task").is_none());
        assert!(Scope::Tid.find(b"mountstats").is_none());
        assert!(Scope::Pid.find(b"children").is_none());
        assert_eq!(Scope::Pid.find(b"comm").unwrap().gate, Gate::None);
        assert_eq!(Scope::Tid.find(b"comm").unwrap().gate, Gate::ModeOrSameGroup);
        assert_eq!(Scope::Pid.find(b"stat").unwrap().node, Node::Stat);
        assert!(Scope::Pid.find(b"sta").is_none());
    }
}
