//! The small files of `/proc`: `uptime`, `version`, `filesystems`, `cmdline`, `devices`, and the links of the reader.
//!
//! Source: Linux 6.12 fs/proc/uptime.c, version.c, cmdline.c, devices.c, self.c, thread_self.c; fs/filesystems.c.

use crate::Sink;

/// Renders `uptime` from the time since boot, and the time that all processors together were idle, in nanoseconds.
pub fn render_uptime<S: Sink + ?Sized>(up_ns: u64, idle_ns: u64, out: &mut S) {
    put_hundredths(up_ns, out);
    out.put_byte(b' ');
    put_hundredths(idle_ns, out);
    out.put_byte(b'\n');
}

fn put_hundredths<S: Sink + ?Sized>(ns: u64, out: &mut S) {
    const NS_PER_S: u64 = 1_000_000_000;
    out.put_u64(ns / NS_PER_S);
    out.put_byte(b'.');
    out.put_u64_zeros(ns % NS_PER_S / 10_000_000, 2);
}

/// What `version` and `uname(2)` say.
#[derive(Debug, Clone, Copy)]
pub struct Version<'a> {
    /// Release, such as `6.12.0`.
    pub release: &'a str,
    /// Who built it, as `user@host`.
    pub builder: &'a str,
    /// What it was built with.
    pub compiler: &'a str,
    /// Version, such as `#1 SMP`, then the date.
    pub version: &'a str,
}

/// Renders `version`.
pub fn render_version<S: Sink + ?Sized>(version: &Version<'_>, out: &mut S) {
    out.put(b"Linux version ");
    out.put_str(version.release);
    out.put(b" (");
    out.put_str(version.builder);
    out.put(b") (");
    out.put_str(version.compiler);
    out.put(b") ");
    out.put_str(version.version);
    out.put_byte(b'\n');
}

/// A type of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FsType<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it stands on a block device.
    pub needs_device: bool,
}

/// Renders `filesystems`, in the order given; Linux has them in the order of registration.
pub fn render_filesystems<S: Sink + ?Sized>(types: &[FsType<'_>], out: &mut S) {
    for fs in types {
        out.put(if fs.needs_device { b"\t" } else { b"nodev\t" });
        out.put_str(fs.name);
        out.put_byte(b'\n');
    }
}

/// Renders `cmdline`, the kernel's command line.
pub fn render_cmdline<S: Sink + ?Sized>(command_line: &[u8], out: &mut S) {
    out.put(command_line);
    out.put_byte(b'\n');
}

/// Renders `devices` from major numbers and names, in the order given; Linux sorts by number.
pub fn render_devices<S: Sink + ?Sized>(character: &[(u32, &str)], block: &[(u32, &str)], out: &mut S) {
    out.put(b"Character devices:\n");
    put_majors(character, out);
    out.put(b"\nBlock devices:\n");
    put_majors(block, out);
}

fn put_majors<S: Sink + ?Sized>(majors: &[(u32, &str)], out: &mut S) {
    for (major, name) in majors {
        out.put_u64_wide(u64::from(*major), 3);
        out.put_byte(b' ');
        out.put_str(name);
        out.put_byte(b'\n');
    }
}

/// `execdomains`: the one personality that there is.
pub const EXECDOMAINS: &[u8] = b"0-0\tLinux           \t[kernel]\n";

/// Header of `cgroups`; a line for each controller of the first version follows.
pub const CGROUPS_HEADER: &[u8] = b"#subsys_name\thierarchy\tnum_cgroups\tenabled\n";

/// Renders the text of the link `self`.
pub fn render_self<S: Sink + ?Sized>(tgid: i32, out: &mut S) {
    out.put_i64(i64::from(tgid));
}

/// Renders the text of the link `thread-self`.
pub fn render_thread_self<S: Sink + ?Sized>(tgid: i32, tid: i32, out: &mut S) {
    out.put_i64(i64::from(tgid));
    out.put(b"/task/");
    out.put_i64(i64::from(tid));
}

#[cfg(test)]
mod tests {
    use super::{
        FsType, Version, render_devices, render_filesystems, render_thread_self, render_uptime, render_version,
    };
    use alloc::vec::Vec;

    fn rendered(render: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        render(&mut out);
        out
    }

    #[test]
    fn uptime_has_hundredths_cut_not_rounded() {
        assert_eq!(rendered(|out| render_uptime(12_059_999_999, 7, out)), b"12.05 0.00\n");
    }

    #[test]
    fn small_files_have_linuxs_form() {
        let version = Version { release: "6.12.0", builder: "a@b", compiler: "rustc", version: "#1 SMP" };
        assert_eq!(rendered(|out| render_version(&version, out)), b"Linux version 6.12.0 (a@b) (rustc) #1 SMP\n");
        let types = [FsType { name: "proc", needs_device: false }, FsType { name: "ext4", needs_device: true }];
        assert_eq!(rendered(|out| render_filesystems(&types, out)), b"nodev\tproc\n\text4\n");
        let devices = rendered(|out| render_devices(&[(1, "mem"), (136, "pts")], &[(254, "virtblk")], out));
        assert_eq!(devices, b"Character devices:\n  1 mem\n136 pts\n\nBlock devices:\n254 virtblk\n");
        assert_eq!(rendered(|out| render_thread_self(7, 9, out)), b"7/task/9");
    }
}
