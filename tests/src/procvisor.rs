//! Finds the `procvisor` command, building it first, and runs it.
//!
//! The environment variable PROCVISOR names another binary, which is then taken as it is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, fs};

use crate::process::{self, DEADLINE, Outcome};

/// The workspace's root.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

/// The folder of the build that this test belongs to: `target/debug` or `target/release`.
pub fn build_folder() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own file");
    let folder = test.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps");
    folder.to_path_buf()
}

/// The command's file.
///
/// # Panics
/// When it does not build.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os("PROCVISOR") {
        Some(path) => fs::canonicalize(&path).unwrap_or_else(|error| panic!("PROCVISOR={}: {error}", path.display())),
        None => build(),
    })
}

/// `cargo test` builds the command only with its own crate's tests, so an old one may lie there: cargo must look at it once.
fn build() -> PathBuf {
    let folder = build_folder();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace()).args(["build", "--quiet", "--package", "procvisor", "--bin", "procvisor"]);
    cargo.arg("--target-dir").arg(folder.parent().expect("a profile's folder lies in the target folder"));
    if folder.file_name() == Some(OsStr::new("release")) {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "procvisor does not build");
    folder.join("procvisor")
}

/// The command with these arguments and a register of VMs of its own in `runtime`.
pub fn command<A: AsRef<OsStr>>(runtime: &Path, arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(binary());
    command.env("XDG_RUNTIME_DIR", runtime).args(arguments);
    command
}

/// Runs the command to its end with nothing on its standard input, in a register of its own.
#[track_caller]
pub fn procvisor<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Outcome {
    procvisor_with(arguments, b"", DEADLINE)
}

/// Runs the command to its end.
#[track_caller]
pub fn procvisor_with<A: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = A>,
    input: &[u8],
    deadline: Duration,
) -> Outcome {
    let runtime = tempfile::tempdir().expect("a temporary directory");
    let outcome = process::run(&mut command(runtime.path(), arguments), input, deadline);
    assert_nothing_left(runtime.path());
    outcome
}

/// Panics when a VM is still registered in `runtime`.
#[track_caller]
pub fn assert_nothing_left(runtime: &Path) {
    let left: Vec<_> = match fs::read_dir(runtime.join("procvisor")) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect(),
        Err(_) => Vec::new(),
    };
    assert!(left.is_empty(), "left in the register of VMs: {left:?}");
}

/// Runs a script of busybox's shell in a VM whose root holds busybox alone.
#[track_caller]
pub fn shell(script: &str) -> Outcome {
    procvisor(["run", "--", "/bin/busybox", "sh", "-c", script])
}
