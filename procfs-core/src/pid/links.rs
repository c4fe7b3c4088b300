//! The texts of symbolic links under `/proc/PID`.
//!
//! Owns names that the kernel makes up: namespaces, descriptors without a path. Paths of real files are the caller's.
//! Source: Linux 6.12 fs/nsfs.c ns_get_name(), fs/proc/namespaces.c ns_entries, fs/d_path.c dynamic_dname(),
//! fs/proc/fd.c tid_fd_update_inode().

use crate::Sink;

/// A link in `/proc/PID/ns`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NsLink {
    /// Network.
    Net,
    /// Host and domain name.
    Uts,
    /// System V IPC and message queues.
    Ipc,
    /// Process ids.
    Pid,
    /// Process ids of children to come.
    PidForChildren,
    /// User and group ids.
    User,
    /// Mounts.
    Mnt,
    /// Control groups.
    Cgroup,
    /// Clocks.
    Time,
    /// Clocks of children to come.
    TimeForChildren,
}

impl NsLink {
    /// All links, in the order of the directory.
    pub const ALL: [NsLink; 10] = [
        NsLink::Net,
        NsLink::Uts,
        NsLink::Ipc,
        NsLink::Pid,
        NsLink::PidForChildren,
        NsLink::User,
        NsLink::Mnt,
        NsLink::Cgroup,
        NsLink::Time,
        NsLink::TimeForChildren,
    ];

    /// Name of the directory entry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            NsLink::Net => "net",
            NsLink::Uts => "uts",
            NsLink::Ipc => "ipc",
            NsLink::Pid => "pid",
            NsLink::PidForChildren => "pid_for_children",
            NsLink::User => "user",
            NsLink::Mnt => "mnt",
            NsLink::Cgroup => "cgroup",
            NsLink::Time => "time",
            NsLink::TimeForChildren => "time_for_children",
        }
    }

    /// The link with that name.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|link| link.name().as_bytes() == name)
    }

    /// Type of the namespace, the word before the colon.
    #[must_use]
    pub const fn type_name(self) -> &'static str {
        match self {
            NsLink::PidForChildren => "pid",
            NsLink::TimeForChildren => "time",
            other => other.name(),
        }
    }
}

/// Renders the text of a namespace link, such as `pid:[4026531836]`.
pub fn render_ns<S: Sink + ?Sized>(link: NsLink, ino: u32, out: &mut S) {
    render_numbered(link.type_name(), u64::from(ino), out);
}

/// Renders the text of a link to a file that has only a number: `pipe:[12]`, `socket:[34]`.
pub fn render_numbered<S: Sink + ?Sized>(kind: &str, ino: u64, out: &mut S) {
    out.put_str(kind);
    out.put(b":[");
    out.put_u64(ino);
    out.put_byte(b']');
}

/// Renders the text of a link to an anonymous inode: `anon_inode:[eventfd]`, with the brackets in `name` if it has any.
pub fn render_anonymous<S: Sink + ?Sized>(name: &str, out: &mut S) {
    out.put(b"anon_inode:");
    out.put_str(name);
}

/// Permission bits of `/proc/PID/fd/N`: owner read, write and search as the file was opened for.
#[must_use]
pub const fn fd_link_mode(is_readable: bool, is_writable: bool) -> u16 {
    (if is_readable { 0o500 } else { 0 }) | (if is_writable { 0o300 } else { 0 })
}

/// Permission bits of `/proc/PID/map_files/START-END`: owner read and write as the mapped file was opened for.
#[must_use]
pub const fn map_link_mode(is_readable: bool, is_writable: bool) -> u16 {
    (if is_readable { 0o400 } else { 0 }) | (if is_writable { 0o200 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::{NsLink, fd_link_mode, render_ns};
    use alloc::vec::Vec;

    #[test]
    fn links_for_children_name_the_plain_type() {
        let mut out = Vec::new();
        render_ns(NsLink::PidForChildren, 4_026_531_836, &mut out);
        assert_eq!(out, b"pid:[4026531836]");
        assert_eq!(NsLink::from_name(b"time_for_children"), Some(NsLink::TimeForChildren));
        assert_eq!(NsLink::from_name(b"pids"), None);
    }

    #[test]
    fn descriptor_links_show_the_open_mode() {
        assert_eq!(fd_link_mode(true, false), 0o500);
        assert_eq!(fd_link_mode(false, true), 0o300);
        assert_eq!(fd_link_mode(true, true), 0o700);
    }
}
