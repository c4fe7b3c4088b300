//! `/proc/PID/mounts`, `mountinfo` and `mountstats`: one line for each mount.
//!
//! Owns the lines and their escapes. Order, and leaving out what the task's root cannot reach, is the caller's.
//! Source: Linux 6.12 fs/proc_namespace.c show_vfsmnt(), show_mountinfo(), show_vfsstat().

use crate::Sink;
use bitflags::bitflags;

bitflags! {
    /// Flags of a mount.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// `ro`
        const READ_ONLY = 1;
        /// `nosuid`
        const NOSUID = 1 << 1;
        /// `nodev`
        const NODEV = 1 << 2;
        /// `noexec`
        const NOEXEC = 1 << 3;
        /// `noatime`
        const NOATIME = 1 << 4;
        /// `nodiratime`
        const NODIRATIME = 1 << 5;
        /// `relatime`
        const RELATIME = 1 << 6;
        /// `nosymfollow`
        const NOSYMFOLLOW = 1 << 7;
        /// `idmapped`
        const IDMAPPED = 1 << 8;
    }

    /// Flags of a file system.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct SuperFlags: u32 {
        /// `ro`
        const READ_ONLY = 1;
        /// `sync`
        const SYNC = 1 << 1;
        /// `dirsync`
        const DIRSYNC = 1 << 2;
        /// `mand`
        const MANDLOCK = 1 << 3;
        /// `lazytime`
        const LAZYTIME = 1 << 4;
    }
}

/// How mount events spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Propagation {
    /// Peer group that it shares with.
    pub shared: Option<u32>,
    /// Peer group that it receives from.
    pub master: Option<u32>,
    /// Nearest dominating peer group under the reader's root; shown with `master` if it differs.
    pub propagate_from: Option<u32>,
    /// Whether it cannot be bound elsewhere.
    pub is_unbindable: bool,
}

/// One mount.
#[derive(Debug, Clone, Copy)]
pub struct Mount<'a> {
    /// Its number.
    pub id: i32,
    /// Number of the mount it is on.
    pub parent_id: i32,
    /// Major number of the file system's device.
    pub dev_major: u32,
    /// Minor number of the file system's device.
    pub dev_minor: u32,
    /// What part of the file system is mounted.
    pub root: &'a [u8],
    /// Where, seen from the task's root.
    pub mountpoint: &'a [u8],
    /// Flags of the mount.
    pub flags: MountFlags,
    /// How mount events spread.
    pub propagation: Propagation,
    /// Type of the file system.
    pub fs_type: &'a [u8],
    /// Subtype, such as the name of a FUSE file system.
    pub subtype: Option<&'a [u8]>,
    /// Source; `None` is shown as `none`, an empty one as nothing.
    pub source: Option<&'a [u8]>,
    /// Flags of the file system.
    pub super_flags: SuperFlags,
    /// Options of the file system as it prints them itself: each after a comma, escaped already.
    pub options: &'a [u8],
    /// What the file system adds to `mountstats`.
    pub statistics: Option<&'a [u8]>,
}

const MOUNT_OPTIONS: [(MountFlags, &[u8]); 8] = [
    (MountFlags::NOSUID, b",nosuid"),
    (MountFlags::NODEV, b",nodev"),
    (MountFlags::NOEXEC, b",noexec"),
    (MountFlags::NOATIME, b",noatime"),
    (MountFlags::NODIRATIME, b",nodiratime"),
    (MountFlags::RELATIME, b",relatime"),
    (MountFlags::NOSYMFOLLOW, b",nosymfollow"),
    (MountFlags::IDMAPPED, b",idmapped"),
];

const SUPER_OPTIONS: [(SuperFlags, &[u8]); 4] = [
    (SuperFlags::SYNC, b",sync"),
    (SuperFlags::DIRSYNC, b",dirsync"),
    (SuperFlags::MANDLOCK, b",mand"),
    (SuperFlags::LAZYTIME, b",lazytime"),
];

const IN_PATHS: &[u8] = b" \t\n\\";
const IN_WORDS: &[u8] = b" \t\n\\#";

/// Renders a line of `mounts`.
pub fn render_mounts<S: Sink + ?Sized>(mount: &Mount<'_>, out: &mut S) {
    out.put_escaped(mount.source.unwrap_or(b"none"), IN_WORDS);
    out.put_byte(b' ');
    out.put_escaped(mount.mountpoint, IN_PATHS);
    out.put_byte(b' ');
    put_type(mount, out);
    let is_read_only = mount.flags.contains(MountFlags::READ_ONLY) || mount.super_flags.contains(SuperFlags::READ_ONLY);
    out.put(if is_read_only { b" ro" } else { b" rw" });
    put_super_options(mount.super_flags, out);
    put_mount_options(mount.flags, out);
    out.put(mount.options);
    out.put(b" 0 0\n");
}

/// Renders a line of `mountinfo`.
pub fn render_mountinfo<S: Sink + ?Sized>(mount: &Mount<'_>, out: &mut S) {
    out.put_i64(i64::from(mount.id));
    out.put_byte(b' ');
    out.put_i64(i64::from(mount.parent_id));
    out.put_byte(b' ');
    out.put_u64(u64::from(mount.dev_major));
    out.put_byte(b':');
    out.put_u64(u64::from(mount.dev_minor));
    out.put_byte(b' ');
    out.put_escaped(mount.root, IN_PATHS);
    out.put_byte(b' ');
    out.put_escaped(mount.mountpoint, IN_PATHS);
    out.put(if mount.flags.contains(MountFlags::READ_ONLY) { b" ro" } else { b" rw" });
    put_mount_options(mount.flags, out);
    put_propagation(&mount.propagation, out);
    out.put(b" - ");
    put_type(mount, out);
    out.put_byte(b' ');
    out.put_escaped(mount.source.unwrap_or(b"none"), IN_WORDS);
    out.put(if mount.super_flags.contains(SuperFlags::READ_ONLY) { b" ro" } else { b" rw" });
    put_super_options(mount.super_flags, out);
    out.put(mount.options);
    out.put_byte(b'\n');
}

/// Renders a line of `mountstats`.
pub fn render_mountstats<S: Sink + ?Sized>(mount: &Mount<'_>, out: &mut S) {
    match mount.source {
        Some(source) => {
            out.put(b"device ");
            out.put_escaped(source, IN_WORDS);
        }
        None => out.put(b"no device"),
    }
    out.put(b" mounted on ");
    out.put_escaped(mount.mountpoint, IN_PATHS);
    out.put(b" with fstype ");
    put_type(mount, out);
    if let Some(statistics) = mount.statistics {
        out.put_byte(b' ');
        out.put(statistics);
    }
    out.put_byte(b'\n');
}

fn put_type<S: Sink + ?Sized>(mount: &Mount<'_>, out: &mut S) {
    out.put_escaped(mount.fs_type, IN_WORDS);
    if let Some(subtype) = mount.subtype {
        out.put_byte(b'.');
        out.put_escaped(subtype, IN_WORDS);
    }
}

fn put_mount_options<S: Sink + ?Sized>(flags: MountFlags, out: &mut S) {
    for (flag, option) in MOUNT_OPTIONS {
        if flags.contains(flag) {
            out.put(option);
        }
    }
}

fn put_super_options<S: Sink + ?Sized>(flags: SuperFlags, out: &mut S) {
    for (flag, option) in SUPER_OPTIONS {
        if flags.contains(flag) {
            out.put(option);
        }
    }
}

fn put_propagation<S: Sink + ?Sized>(propagation: &Propagation, out: &mut S) {
    if let Some(group) = propagation.shared {
        out.put(b" shared:");
        out.put_u64(u64::from(group));
    }
    if let Some(master) = propagation.master {
        out.put(b" master:");
        out.put_u64(u64::from(master));
        if let Some(group) = propagation.propagate_from.filter(|&group| group != master) {
            out.put(b" propagate_from:");
            out.put_u64(u64::from(group));
        }
    }
    if propagation.is_unbindable {
        out.put(b" unbindable");
    }
}

#[cfg(test)]
mod tests {
    use super::{Mount, MountFlags, Propagation, SuperFlags, render_mountinfo, render_mounts, render_mountstats};
    use alloc::vec::Vec;

    fn weird() -> Mount<'static> {
        Mount {
            id: 63,
            parent_id: 43,
            dev_major: 0,
            dev_minor: 39,
            root: b"/",
            mountpoint: b"/mnt/we ird\n\t\\#\"\xff dir",
            flags: MountFlags::READ_ONLY
                | MountFlags::NOSUID
                | MountFlags::NODEV
                | MountFlags::NOEXEC
                | MountFlags::NOATIME,
            propagation: Propagation::default(),
            fs_type: b"tmpfs",
            subtype: None,
            source: Some(b"de v#\\\n"),
            super_flags: SuperFlags::READ_ONLY,
            options: b",size=64k,mode=700",
            statistics: None,
        }
    }

    fn rendered(render: fn(&Mount<'_>, &mut Vec<u8>), mount: &Mount<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        render(mount, &mut out);
        out
    }

    #[test]
    fn a_weird_mount_is_escaped_as_linux_does() {
        let line: &[u8] =
            b"63 43 0:39 / /mnt/we\\040ird\\012\\011\\134#\"\xff\\040dir ro,nosuid,nodev,noexec,noatime - tmpfs \
              de\\040v\\043\\134\\012 ro,size=64k,mode=700\n";
        assert_eq!(rendered(render_mountinfo, &weird()), line);
        let line: &[u8] = b"de\\040v\\043\\134\\012 /mnt/we\\040ird\\012\\011\\134#\"\xff\\040dir tmpfs \
              ro,nosuid,nodev,noexec,noatime,size=64k,mode=700 0 0\n";
        assert_eq!(rendered(render_mounts, &weird()), line);
    }

    #[test]
    fn a_missing_source_is_none_and_an_empty_one_is_empty() {
        let plain = Mount {
            mountpoint: b"/x",
            flags: MountFlags::RELATIME,
            super_flags: SuperFlags::SYNC | SuperFlags::LAZYTIME,
            options: b"",
            source: None,
            ..weird()
        };
        assert_eq!(rendered(render_mounts, &plain), b"none /x tmpfs rw,sync,lazytime,relatime 0 0\n");
        assert_eq!(rendered(render_mountstats, &plain), b"no device mounted on /x with fstype tmpfs\n");
        let empty = Mount { source: Some(b""), subtype: Some(b"sub"), statistics: Some(b"age: 1"), ..plain };
        assert_eq!(rendered(render_mounts, &empty), b" /x tmpfs.sub rw,sync,lazytime,relatime 0 0\n");
        assert_eq!(rendered(render_mountstats, &empty), b"device  mounted on /x with fstype tmpfs.sub age: 1\n");
    }

    #[test]
    fn propagation_stands_before_the_dash() {
        let mut mount = Mount {
            mountpoint: b"/x",
            flags: MountFlags::empty(),
            super_flags: SuperFlags::empty(),
            options: b"",
            source: Some(b"s"),
            ..weird()
        };
        mount.propagation =
            Propagation { shared: Some(5), master: Some(1), propagate_from: Some(2), is_unbindable: true };
        let line = b"63 43 0:39 / /x rw shared:5 master:1 propagate_from:2 unbindable - tmpfs s rw\n";
        assert_eq!(rendered(render_mountinfo, &mount), line);
        mount.propagation = Propagation { master: Some(1), propagate_from: Some(1), ..Propagation::default() };
        assert_eq!(rendered(render_mountinfo, &mount), b"63 43 0:39 / /x rw master:1 - tmpfs s rw\n");
    }
}
