//! Runs a file's tests and says of each that cannot run here why not.
//!
//! Owns the list of things that a host may lack. A test that needs a missing one counts as ignored, which `cargo test` prints by name and
//! in its totals; the reason stands in a line of its own before the tests.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};

/// What a test needs of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing that a Debian machine after `scripts/setup` may lack.
    Nothing,
    /// The root user, and the right to make namespaces and to mount.
    Root,
    /// A `/dev/kvm` that may be opened.
    Kvm,
    /// A usable `/dev/kvm` and the root user, to hide it or to give it up.
    KvmAndRoot,
    /// A usable `/dev/fuse`, and the right to mount.
    Fuse,
    /// That and a usable `/dev/kvm`.
    KvmAndFuse,
}

impl Need {
    /// Why the host does not have it; `None` when it does.
    pub fn missing(self) -> Option<String> {
        let kvm = || device("/dev/kvm");
        let fuse = || device("/dev/fuse").or_else(may_not_mount);
        let root = || (!rustix::process::geteuid().is_root()).then(|| "needs root".to_owned());
        match self {
            Self::Nothing => None,
            Self::Root => root().or_else(may_not_mount),
            Self::Kvm => kvm(),
            Self::KvmAndRoot => kvm().or_else(root),
            Self::Fuse => fuse(),
            Self::KvmAndFuse => kvm().or_else(fuse),
        }
    }
}

/// Why a device may not be opened.
fn device(path: &str) -> Option<String> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.err().map(|error| format!("{path}: {error}"))
}

/// Why nothing can be mounted: tried in a mount namespace of its own, as some containers allow not even that.
fn may_not_mount() -> Option<String> {
    let tried = Command::new("unshare").args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("mount: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Some(format!("unshare: {error}")),
    }
}

/// One test: its name, what it needs and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// A sentence of behaviour in snake case.
    pub name: &'static str,
    /// What the host must have.
    pub need: Need,
    /// Panics when the behaviour is another.
    pub run: fn(),
}

/// Makes the list of behaviours of a file from the names of its functions, grouped by what they need.
#[macro_export]
macro_rules! behaviours {
    ($($need:ident: $($name:ident),+ $(,)?;)+) => {
        vec![$($($crate::harness::Behaviour { name: stringify!($name), need: $crate::harness::Need::$need, run: $name }),+),+]
    };
}

/// Runs them with the command line of `cargo test` (filters, `--list`, `--test-threads`).
pub fn run(behaviours: Vec<Behaviour>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Two VMs at once keep a small host busy without making the deadlines a matter of luck.
    arguments.test_threads.get_or_insert(2);
    let trials = behaviours
        .into_iter()
        .map(|behaviour| {
            let missing = behaviour.need.missing();
            if let Some(reason) = missing.as_ref().filter(|_| !arguments.list) {
                println!("not run: {}: {reason}", behaviour.name);
            }
            let trial = Trial::test(behaviour.name, move || {
                (behaviour.run)();
                Ok(())
            });
            trial.with_ignored_flag(missing.is_some())
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Whether a command of the host is on the path.
pub fn has_command(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| Path::new(&folder).join(name).is_file()))
}
