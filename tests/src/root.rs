//! Root directories for VMs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use crate::program;

/// A directory with busybox, `sh` and the guest programs of these names, all in `/bin`.
///
/// # Panics
/// When busybox is not installed or a program does not compile.
pub fn with_programs(programs: &[&str]) -> TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    let bin = root.path().join("bin");
    fs::create_dir(&bin).expect("the directory is new");
    for folder in ["dev", "proc", "tmp", "etc"] {
        fs::create_dir(root.path().join(folder)).expect("the directory is new");
    }
    fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed: run scripts/setup");
    for applet in ["sh", "cat", "sleep", "ps", "ls", "true", "echo"] {
        symlink("busybox", bin.join(applet)).expect("the name is new");
    }
    for name in programs {
        fs::copy(program::built(name), bin.join(name)).expect("the program was built");
    }
    root
}

/// The path as an argument.
///
/// # Panics
/// When it is not text.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}
