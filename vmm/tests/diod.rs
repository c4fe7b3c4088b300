//! Someone else's 9P2000.L client on a VM's socket: Debian's diodls and diodcat, through the multiplexer.

mod mem_tree;

use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mem_tree::MemTree;
use vmm::proc::{Mux, MuxHandle};

/// Where Debian's package puts them; not on an ordinary user's PATH.
const DIRECTORY: &str = "/usr/sbin";

struct Served {
    directory: tempfile::TempDir,
    tree: MemTree,
    _mux: MuxHandle,
}

fn served() -> Served {
    let directory = tempfile::tempdir().unwrap();
    let tree = MemTree::with_processes(3);
    let listener = UnixListener::bind(directory.path().join("proc.sock")).unwrap();
    let mux = Mux::start(listener, tree.serve(64 * 1024)).unwrap();
    Served { directory, tree, _mux: mux }
}

impl Served {
    /// What `command -s SOCKET -a / ARGUMENTS` prints, or `None` if there is no such command.
    fn run(&self, command: &str, arguments: &[&str]) -> Option<Output> {
        let path = Path::new(DIRECTORY).join(command);
        if !path.exists() {
            println!("not run: diod is not installed");
            return None;
        }
        let output = Command::new("timeout")
            .args(["20", path.to_str().unwrap(), "-s"])
            .arg(self.directory.path().join("proc.sock"))
            .args(["-a", "/"])
            .args(arguments)
            .stdin(Stdio::null())
            .output();
        Some(output.unwrap())
    }
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn diodcat_prints_files_byte_for_byte() {
    let served = served();
    let Some(output) = served.run("diodcat", &["1/status", "2/maps", "uptime"]) else { return };
    let expected = [MemTree::status(1), MemTree::maps(2), b"1.25 0.75\n".to_vec()].concat();
    assert_eq!(printed(&output).as_bytes(), expected);
}

#[test]
fn diodcat_gives_the_guests_error() {
    let served = served();
    let Some(output) = served.run("diodcat", &["9/status"]) else { return };
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("No such file or directory"), "{output:?}");
}

#[test]
fn diodls_lists_directories_and_attributes() {
    let served = served();
    let Some(output) = served.run("diodls", &["/"]) else { return };
    let listed = printed(&output);
    for name in ["1", "2", "3", "self", "uptime"] {
        assert!(listed.split_whitespace().any(|word| word == name), "{listed}");
    }
    let Some(output) = served.run("diodls", &["-l", "1"]) else { return };
    let listed = printed(&output);
    assert_eq!(listed.lines().filter(|line| line.starts_with("-r--r--r--")).count(), 3, "{listed}");
    // diodls 1.0.24 has no letter for the type of a link.
    assert!(listed.lines().any(|line| line.contains("rwxrwxrwx") && line.ends_with(" exe")), "{listed}");
    assert!(served.tree.written.lock().unwrap().is_empty());
}
