//! The command's failures that need no VM: one line on standard error, the fitting status, nothing left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the command with a run-time directory of its own.
fn procvisor(runtime: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_procvisor"))
        .args(words)
        .env("XDG_RUNTIME_DIR", runtime)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn fails(words: &[&str], status: i32, part: &str) {
    let runtime = tempfile::tempdir().unwrap();
    let output = procvisor(runtime.path(), words);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{words:?}: {error}");
    assert!(output.stdout.is_empty(), "{words:?}");
    assert!(error.starts_with("procvisor: ") && error.contains(part), "{words:?}: {error}");
    assert_eq!(error.matches('\n').count(), 1, "{words:?}: {error}");
    let entries = fs::read_dir(runtime.path().join("procvisor")).map_or(0, Iterator::count);
    assert_eq!(entries, 0, "{words:?} left something behind");
}

#[test]
fn mistakes_in_the_words_are_125() {
    fails(&[], 125, "--help");
    fails(&["nosuch"], 125, "nosuch");
    fails(&["run"], 125, "PROGRAM");
    fails(&["run", "--memory", "big", "/bin/true"], 125, "64M");
    fails(&["run", "--user", "joe", "/bin/true"], 125, "1000:1000");
    fails(&["run", "--cwd", "tmp", "/bin/true"], 125, "full path");
    fails(&["run", "--name", "../x", "/bin/true"], 125, "no name for a VM");
    fails(&["--connect", "/x", "run", "/bin/true"], 125, "--connect");
    fails(&["cat"], 125, "which VM");
    fails(&["--connect", "/nosuch/socket", "ls"], 125, "No such file or directory");
}

#[test]
fn vms_that_are_gone_are_said_to_be() {
    for words in [&["cat", "gone", "1/stat"][..], &["ps", "gone"], &["ls", "gone"], &["stop", "gone"]] {
        fails(words, 125, "no VM named gone runs");
    }
}

#[test]
fn programs_that_cannot_run_have_the_statuses_of_a_shell() {
    let directory = tempfile::tempdir().unwrap();
    let make = |name: &str, bytes: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let program = fs::read("/bin/true").unwrap();
    let mut foreign = program.clone();
    foreign[18] = 183;
    let mut absurd = program.clone();
    absurd[32..40].fill(0xff);
    fails(&["run", "/nonexistent"], 127, "/nonexistent does not exist");
    fails(&["run", "no-such-program-anywhere"], 127, "PATH");
    fails(&["run", "/"], 126, "is a directory");
    fails(&["run", &make("text", b"hello")], 126, "neither an ELF program nor a script");
    fails(&["run", &make("foreign", &foreign)], 126, "AArch64");
    fails(&["run", &make("cut", &program[..program.len() / 3])], 126, "truncated");
    fails(&["run", &make("absurd", &absurd)], 126, "truncated");
    fails(&["run", &make("script", b"#!/no/such/sh\n")], 127, "/no/such/sh");
    fails(&["run", "--detach", "/nonexistent"], 127, "/nonexistent does not exist");
}

#[test]
fn roots_that_are_none_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let archive = directory.path().join("root.cpio");
    fs::write(&archive, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]).unwrap();
    fails(&["run", "--root", "/nonexistent", "/bin/true"], 125, "--root /nonexistent");
    fails(&["run", "--root", archive.to_str().unwrap(), "/bin/true"], 125, "gzip -dc");
    let program = directory.path().join("run");
    fs::write(&program, "#!/run\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("socket")).unwrap();
    fails(&["run", "--root", directory.path().to_str().unwrap(), "/run"], 125, "/socket is a socket");
}

#[test]
fn listings_of_nothing_are_empty() {
    let runtime = tempfile::tempdir().unwrap();
    let header = b"NAME PID AGE STATE MEMORY USED CPU VMM-RSS VMM-CPU COMMAND\n";
    assert_eq!(procvisor(runtime.path(), &["list"]).stdout, header);
    assert_eq!(procvisor(runtime.path(), &["list", "--json"]).stdout, b"[]\n");
}
