//! What a machine is made of: kernel, initramfs, the program to run, memory, and the host ends of its ports.
//!
//! Plain data; nothing here touches the host. `loader` and `machine` check what only they can know (does it fit, does the host have it).

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use crate::timing::Timing;

/// RAM of a machine when nothing else is asked for, in bytes.
pub const DEFAULT_MEMORY_BYTES: u64 = 128 << 20;

/// Everything a machine is built from, except the host ends of its ports.
#[derive(Debug)]
pub struct VmConfig {
    /// The kernel, an ELF64 image linked as the boot contract says.
    pub kernel: Cow<'static, [u8]>,
    /// The root file system, a cpio archive (newc).
    pub initramfs: Initramfs,
    /// What to run as process 1; `None` leaves it to `init=` on the command line.
    pub init: Option<InitSpec>,
    /// Guest RAM in bytes, rounded up to 2 MiB.
    pub memory_bytes: u64,
    /// Where the program's descriptors 0, 1 and 2 lead.
    pub stdio: StdioKind,
    /// Words appended to the kernel command line.
    pub extra_cmdline: String,
    /// The console's size as (rows, columns), when it is a terminal.
    pub rows_cols: Option<(u16, u16)>,
    /// A copy of the kernel's serial log goes here as it is written.
    pub log: Option<OwnedFd>,
    /// Takes the time of each step.
    pub timing: Timing,
}

impl Default for VmConfig {
    fn default() -> Self {
        Self {
            kernel: Cow::Borrowed(crate::GUEST_KERNEL),
            initramfs: Initramfs::None,
            init: None,
            memory_bytes: DEFAULT_MEMORY_BYTES,
            stdio: StdioKind::Streams,
            extra_cmdline: String::new(),
            rows_cols: None,
            log: None,
            timing: Timing::default(),
        }
    }
}

/// Where the program's standard descriptors lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdioKind {
    /// A terminal in the guest, on console port 0.
    Console,
    /// Three byte streams to which nothing is added.
    Streams,
}

/// The bytes of module 0.
#[derive(Debug)]
pub enum Initramfs {
    /// No module 0.
    None,
    /// Bytes in memory.
    Bytes(Cow<'static, [u8]>),
    /// A whole regular file, read straight into guest memory.
    File(File),
    /// Several pieces one after another, each read straight into guest memory.
    Parts(Vec<InitramfsPart>),
}

/// One piece of an initramfs.
#[derive(Debug)]
pub enum InitramfsPart {
    /// Bytes in memory.
    Bytes(Vec<u8>),
    /// The first `len_bytes` bytes of a file; a shorter file is padded with zeroes.
    File {
        /// The file, read from its start.
        file: File,
        /// How many bytes of it.
        len_bytes: u64,
    },
}

/// What process 1 runs, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitSpec {
    /// The program's path and its arguments.
    pub args: Vec<OsString>,
    /// The environment, `NAME=VALUE` each.
    pub env: Vec<OsString>,
    /// The working directory; empty leaves the kernel's default.
    pub cwd: OsString,
    /// User number.
    pub uid: u32,
    /// Group number.
    pub gid: u32,
    /// The host name; empty leaves the kernel's default.
    pub hostname: String,
}

impl InitSpec {
    /// The NUL-terminated records of module `procvisor.init`.
    pub fn to_records(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        let mut record = |key: &str, value: &[u8]| {
            out.extend_from_slice(key.as_bytes());
            out.push(b'=');
            out.extend_from_slice(value);
            out.push(0);
        };
        for arg in &self.args {
            record("arg", arg.as_bytes());
        }
        for pair in &self.env {
            record("env", pair.as_bytes());
        }
        if !self.cwd.is_empty() {
            record("cwd", self.cwd.as_bytes());
        }
        record("uid", self.uid.to_string().as_bytes());
        record("gid", self.gid.to_string().as_bytes());
        if !self.hostname.is_empty() {
            record("hostname", self.hostname.as_bytes());
        }
        out
    }

    /// Whether a value holds a NUL byte, which the records cannot carry.
    pub fn has_nul(&self) -> bool {
        let texts = self.args.iter().chain(&self.env).chain(std::iter::once(&self.cwd));
        texts.into_iter().any(|text| text.as_bytes().contains(&0)) || self.hostname.contains('\0')
    }
}

/// The host ends of one port. The descriptors may be shared with other processes: their flags are never changed.
#[derive(Debug, Default)]
pub struct PortBackend {
    /// What the guest reads.
    pub input: Option<OwnedFd>,
    /// Where the guest's output goes.
    pub output: Option<OwnedFd>,
}

impl PortBackend {
    /// One descriptor for both directions, as an end of a socket pair is.
    ///
    /// # Errors
    /// When the descriptor cannot be duplicated.
    pub fn duplex(fd: OwnedFd) -> std::io::Result<Self> {
        Ok(Self { input: Some(fd.try_clone()?), output: Some(fd) })
    }
}

/// The host ends of every port.
#[derive(Debug, Default)]
pub struct Ports {
    /// Port 0, the console.
    pub console: PortBackend,
    /// `procvisor.proc`, 9P2000.L.
    pub proc_: PortBackend,
    /// `procvisor.stdin`; only with [`StdioKind::Streams`].
    pub stdin: PortBackend,
    /// `procvisor.stdout`; only with [`StdioKind::Streams`].
    pub stdout: PortBackend,
    /// `procvisor.stderr`; only with [`StdioKind::Streams`].
    pub stderr: PortBackend,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_records_are_nul_terminated_and_in_order() {
        let spec = InitSpec {
            args: vec!["/bin/sh".into(), "-c".into(), "exit 7".into()],
            env: vec!["A=1".into(), "B=".into()],
            cwd: "/tmp".into(),
            uid: 1000,
            gid: 100,
            hostname: "web".into(),
        };
        assert_eq!(
            spec.to_records(),
            b"arg=/bin/sh\0arg=-c\0arg=exit 7\0env=A=1\0env=B=\0cwd=/tmp\0uid=1000\0gid=100\0hostname=web\0"
        );
        assert!(!spec.has_nul());
    }

    #[test]
    fn a_nul_in_an_argument_is_seen() {
        let spec = InitSpec { args: vec!["a\0b".into()], ..InitSpec::default() };
        assert!(spec.has_nul());
    }
}
