//! `/proc/PID/fdinfo/N`: what a descriptor stands for.
//!
//! Owns the lines that every file has. What eventfd, epoll and others add follows them and is theirs.
//! Source: Linux 6.12 fs/proc/fd.c seq_show().

use crate::Sink;

/// An open descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdInfo {
    /// Its offset in bytes.
    pub pos: i64,
    /// `O_*` flags as `F_GETFL` has them, and `O_CLOEXEC` if the descriptor has it.
    pub flags: u32,
    /// Number of the mount the file was opened on.
    pub mount_id: i32,
    /// Inode number of the file.
    pub ino: u64,
}

/// Renders the file.
pub fn render<S: Sink + ?Sized>(fd: &FdInfo, out: &mut S) {
    out.put(b"pos:\t");
    out.put_i64(fd.pos);
    out.put(b"\nflags:\t0");
    out.put_octal(u64::from(fd.flags), 1);
    out.put(b"\nmnt_id:\t");
    out.put_i64(i64::from(fd.mount_id));
    out.put(b"\nino:\t");
    out.put_u64(fd.ino);
    out.put_byte(b'\n');
}
