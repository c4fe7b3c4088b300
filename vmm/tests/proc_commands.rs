//! `ls`, `cat`, `readlink`, `stat` and `write` by `--connect`, on a tree in memory behind the multiplexer.

mod mem_tree;

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};

use mem_tree::MemTree;
use vmm::proc::{Mux, MuxHandle};

struct Served {
    directory: tempfile::TempDir,
    tree: MemTree,
    _mux: MuxHandle,
}

fn served() -> Served {
    let directory = tempfile::tempdir().unwrap();
    let tree = MemTree::with_processes(12);
    let listener = UnixListener::bind(directory.path().join("proc.sock")).unwrap();
    let mux = Mux::start(listener, tree.serve(64 * 1024)).unwrap();
    Served { directory, tree, _mux: mux }
}

impl Served {
    fn run(&self, words: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_procvisor"))
            .arg("--connect")
            .arg(self.directory.path().join("proc.sock"))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Standard output of a command that succeeds.
    #[track_caller]
    fn prints(&self, words: &[&str]) -> String {
        let output = self.run(words, b"");
        assert!(output.status.success() && output.stderr.is_empty(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn cat_prints_each_file_byte_for_byte_and_goes_on_after_an_error() {
    let served = served();
    let expected = [MemTree::status(1), MemTree::maps(2)].concat();
    assert_eq!(served.prints(&["cat", "1/status", "/proc/2/maps"]).as_bytes(), expected);
    let output = served.run(&["cat", "99/status", "uptime", "1"], b"");
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b"1.25 0.75\n"[..]));
    let error = String::from_utf8(output.stderr).unwrap();
    let mut lines = error.lines();
    assert_eq!(lines.next(), Some("procvisor: 99/status: No such file or directory"));
    assert!(lines.next().is_some_and(|line| line.starts_with("procvisor: 1: ")), "{error}");
}

#[test]
fn ls_lists_directories_files_and_links() {
    let served = served();
    assert_eq!(served.prints(&["ls", "1"]), "comm\nexe\nmaps\nstatus\n");
    assert!(served.prints(&["ls"]).ends_with("9\nself\nuptime\n"));
    assert_eq!(served.prints(&["ls", "uptime", "self"]), "uptime:\nuptime\n\nself:\nself\n");
    let long = served.prints(&["ls", "-l", "1"]);
    assert!(long.lines().any(|line| line.starts_with("lrwxrwxrwx 1 0 0 0 exe -> /bin/busybox")), "{long}");
    assert_eq!(served.prints(&["ls", "-l", "1/comm"]), "-r--r--r-- 1 0 0 0 1/comm\n");
    let json: serde_json::Value = serde_json::from_str(&served.prints(&["ls", "--json", "1"])).unwrap();
    assert_eq!(json[0]["entries"][1]["kind"], "symlink");
    assert_eq!(served.run(&["ls", "77"], b"").status.code(), Some(1));
}

#[test]
fn readlink_and_stat_say_what_a_name_is() {
    let served = served();
    assert_eq!(served.prints(&["readlink", "self", "3/exe"]), "1\n/bin/busybox\n");
    assert_eq!(served.run(&["readlink", "uptime"], b"").status.code(), Some(1));
    assert!(served.prints(&["stat", "1"]).contains("(0555/dr-xr-xr-x)"));
    let output = served.run(&["stat", "--json", "self", "no"], b"");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &json[0]["mode"]), (Some(1), &"0777".into()));
    assert_eq!(json[1]["error"], "No such file or directory");
}

#[test]
fn write_hands_standard_input_over() {
    let served = served();
    let output = served.run(&["write", "1/comm"], b"title");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(*served.tree.written.lock().unwrap(), [(0, b"title".to_vec())]);
    assert_eq!(served.run(&["write"], b"").status.code(), Some(125));
}

#[test]
fn a_reader_that_goes_away_ends_cat_without_a_word() {
    let served = served();
    let socket = served.directory.path().join("proc.sock");
    let script = "\"$0\" --connect \"$1\" cat 1/maps 2/maps 3/maps | head -1; echo \"${PIPESTATUS[0]}\"";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_procvisor")])
        .arg(socket)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with("\n141\n"), "{text}");
}
