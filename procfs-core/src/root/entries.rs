//! What stands in `/proc` beside the processes.
//!
//! Owns names, modes and the order in which the directory lists them: sorted as Linux's tree of entries is, by length and
//! then by bytes, `self` and `thread-self` after the rest and before the processes.
//! Source: Linux 6.12 fs/proc/generic.c proc_match(), fs/proc/root.c proc_root_readdir().

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A symbolic link whose text is fixed.
    Link(&'static str),
    /// A symbolic link whose text depends on the reader.
    ReaderLink,
    /// A file read by the rules of [`SeqFile`](crate::seq::SeqFile), one record for the whole.
    Single,
    /// The same with a record for each line.
    Records,
}

/// Which entry it is, for the code behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the entry of that name")]
pub enum Node {
    Net,
    Sys,
    Misc,
    Stat,
    Locks,
    Swaps,
    Mounts,
    Uptime,
    Vmstat,
    Cgroups,
    Cmdline,
    Cpuinfo,
    Devices,
    Loadavg,
    Meminfo,
    Modules,
    Version,
    Pressure,
    Softirqs,
    Buddyinfo,
    Diskstats,
    Interrupts,
    Partitions,
    Execdomains,
    Filesystems,
    SelfLink,
    ThreadSelf,
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
}

const fn entry(name: &'static str, node: Node, kind: Kind, mode: u16) -> Entry {
    Entry { name, node, kind, mode }
}

/// The entries, in the order of the directory; the processes follow.
pub const ENTRIES: &[Entry] = &[
    entry("net", Node::Net, Kind::Link("self/net"), 0o777),
    entry("sys", Node::Sys, Kind::Dir, 0o555),
    entry("misc", Node::Misc, Kind::Records, 0o444),
    entry("stat", Node::Stat, Kind::Single, 0o444),
    entry("locks", Node::Locks, Kind::Records, 0o444),
    entry("swaps", Node::Swaps, Kind::Records, 0o444),
    entry("mounts", Node::Mounts, Kind::Link("self/mounts"), 0o777),
    entry("uptime", Node::Uptime, Kind::Single, 0o444),
    entry("vmstat", Node::Vmstat, Kind::Records, 0o444),
    entry("cgroups", Node::Cgroups, Kind::Single, 0o444),
    entry("cmdline", Node::Cmdline, Kind::Single, 0o444),
    entry("cpuinfo", Node::Cpuinfo, Kind::Records, 0o444),
    entry("devices", Node::Devices, Kind::Records, 0o444),
    entry("loadavg", Node::Loadavg, Kind::Single, 0o444),
    entry("meminfo", Node::Meminfo, Kind::Single, 0o444),
    entry("modules", Node::Modules, Kind::Records, 0o444),
    entry("version", Node::Version, Kind::Single, 0o444),
    entry("pressure", Node::Pressure, Kind::Dir, 0o555),
    entry("softirqs", Node::Softirqs, Kind::Single, 0o444),
    entry("buddyinfo", Node::Buddyinfo, Kind::Records, 0o444),
    entry("diskstats", Node::Diskstats, Kind::Records, 0o444),
    entry("interrupts", Node::Interrupts, Kind::Records, 0o444),
    entry("partitions", Node::Partitions, Kind::Records, 0o444),
    entry("execdomains", Node::Execdomains, Kind::Single, 0o444),
    entry("filesystems", Node::Filesystems, Kind::Single, 0o444),
    entry("self", Node::SelfLink, Kind::ReaderLink, 0o777),
    entry("thread-self", Node::ThreadSelf, Kind::ReaderLink, 0o777),
];

/// The entry with that name.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.name.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES, Kind, find};

    #[test]
    fn entries_are_in_the_order_of_linuxs_tree() {
        let tree: alloc::vec::Vec<_> = ENTRIES.iter().filter(|entry| entry.kind != Kind::ReaderLink).collect();
        assert!(tree.is_sorted_by_key(|entry| (entry.name.len(), entry.name)));
        assert!(find(b"self").is_some());
        assert!(find(b"cpuinf").is_none());
    }
}
