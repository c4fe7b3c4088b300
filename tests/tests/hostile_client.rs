//! A client of the VM's socket that asks for anything at all: the guest's kernel and the multiplexer refuse, go on, and serve others.
//!
//! Requests are well-formed and drawn by a seeded generator from what the tree holds: any file, any offset, size, name and mode, written
//! to where it can be; then streams that are no messages. Each request is answered before a deadline by a reply that can be right, and
//! nothing is ever made, renamed or removed.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Instant;

use procfs_core::ninep::wire::{
    Data, Datasync, Fid, NO_FID, NO_UID, Reply, Request, SetAttr, Timestamp, VERSION, WalkNames,
};
use procvisor_tests::process::DEADLINE;
use procvisor_tests::vm::Vm;
use procvisor_tests::{behaviours, harness};
use vmm::proc::transport::Expected;
use vmm::proc::{Client, Options};

fn main() -> ExitCode {
    harness::run(behaviours![
        Kvm: random_requests_are_answered_and_leave_the_guest_alive,
            streams_that_are_no_messages_end_alone;
    ])
}

/// Processes that may be written to, made anew as they are killed.
const GUEST: [&str; 4] = [
    "/bin/busybox",
    "sh",
    "-c",
    "trap '' 1 2 15; while :; do for i in 1 2 3 4 5 6; do (exec 2>/dev/null; sleep 0.5) & done; wait; done",
];
/// How many requests one run makes.
const REQUESTS: usize = 6000;
/// How many of them are on their way at once.
const WINDOW: usize = 24;

/// xorshift64.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % bound as u64).expect("below a usize")
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Mostly small, sometimes at a limit of something.
    fn offset(&mut self) -> u64 {
        let near = self.below(5000) as u64;
        *self.of(&[
            0,
            near,
            1 << 31,
            (1 << 31) - 1,
            (1 << 47) + near,
            0x10_0000_0000,
            u64::MAX,
            u64::MAX - near,
            1 << 63,
        ])
    }

    fn number(&mut self) -> u32 {
        let any = self.below(1 << 32) as u32;
        *self.of(&[0, 1, any, any & 0xfff, u32::MAX, 0o777, 0o170_777])
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let words = ["0", "1000\n", "-1000", "0 0 1\n", "deny", "allow", "99999999999999999999999", "name", "\n", ""];
        if self.below(2) == 0 {
            return self.of(&words).as_bytes().to_vec();
        }
        (0..self.below(most)).map(|_| u8::try_from(self.below(256)).expect("a byte")).collect()
    }
}

/// The paths of everything below `/proc`, as far as it is there while it is listed.
fn tree(client: &mut Client<UnixStream>) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut waiting: VecDeque<Vec<String>> = VecDeque::from([Vec::new()]);
    while let Some(directory) = waiting.pop_front() {
        let entries = match client.ls(format!("/{}", directory.join("/"))) {
            Ok(entries) => entries,
            Err(vmm::proc::ClientError::Remote(_)) => continue,
            Err(error) => panic!("{directory:?}: {error}"),
        };
        for entry in entries {
            let mut path = directory.clone();
            path.push(String::from_utf8(entry.name).expect("names of /proc are text"));
            if entry.qid.is_dir() && path.len() < 5 {
                waiting.push_back(path.clone());
            }
            found.push(path);
        }
    }
    found
}

/// What would rightly end the VM: its first process's memory, and the file whose letters are commands.
fn is_spared(path: &[String]) -> bool {
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(words[..], ["1", .., "mem"] | ["sysrq-trigger"])
}

/// One connection, driven request by request.
struct Hostile {
    stream: UnixStream,
    waiting: VecDeque<(u16, Expected, bool)>,
    tag: u16,
    answered: usize,
    refused: usize,
}

impl Hostile {
    fn connect(vm: &Vm) -> Self {
        let stream = UnixStream::connect(vm.socket()).expect("the VM listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a plain timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a plain timeout");
        let mut hostile = Self { stream, waiting: VecDeque::new(), tag: 0, answered: 0, refused: 0 };
        hostile.ask(&Request::Version { msize: 65536, version: VERSION }, false);
        hostile.settle(0);
        hostile.ask(&Request::Attach { fid: Fid(0), afid: NO_FID, uname: b"", aname: b"/", n_uname: 0 }, false);
        hostile.settle(0);
        assert_eq!((hostile.answered, hostile.refused), (2, 0));
        hostile
    }

    /// Sends a request; `may_not_work` says that an answer other than an error would be wrong.
    fn ask(&mut self, request: &Request<'_>, may_not_work: bool) {
        let mut message = Vec::new();
        // The one message that carries no tag of its own.
        let tag = if matches!(request, Request::Version { .. }) { 0xffff } else { self.tag };
        self.tag = (self.tag + 1) % 0xfff0;
        request.encode(tag, &mut message);
        self.stream.write_all(&message).expect("the VM reads");
        self.waiting.push_back((tag, Expected::answer_to(request), may_not_work));
    }

    /// Takes answers until at most `most` requests wait for one.
    fn settle(&mut self, most: usize) {
        while self.waiting.len() > most {
            let mut size = [0; 4];
            self.stream.read_exact(&mut size).expect("an answer comes before the deadline");
            let len = u32::from_le_bytes(size) as usize;
            assert!((7..=65536).contains(&len), "a message of {len} bytes");
            let mut message = size.to_vec();
            message.resize(len, 0);
            self.stream.read_exact(&mut message[4..]).expect("the rest of it comes too");
            let tag = u16::from_le_bytes([message[5], message[6]]);
            let at =
                self.waiting.iter().position(|waiting| waiting.0 == tag).expect("the answer is to something asked");
            let (_, expected, may_not_work) = self.waiting.remove(at).expect("it was found");
            let reply = expected.check(&message).unwrap_or_else(|fault| panic!("a wrong answer: {fault:?}"));
            match reply {
                Reply::Lerror { .. } => self.refused += 1,
                reply => assert!(!may_not_work, "it worked: {reply:?}"),
            }
            self.answered += 1;
        }
    }

    /// A request of a random kind on one of the fids 1 to 8.
    fn ask_anything(&mut self, draw: &mut Draw, paths: &[Vec<String>]) {
        let fid = Fid(u32::try_from(draw.below(8)).expect("a few") + 1);
        let other = Fid(u32::try_from(draw.below(9)).expect("a few"));
        let (name, data) = (draw.bytes(300), draw.bytes(60000));
        let names: [&[u8]; 6] = [&name, b"..", b".", b"", b"self", b"a/b"];
        let name = *draw.of(&names);
        let (flags, mode, gid) = (draw.number(), draw.number(), draw.number());
        let (offset, count) = (draw.offset(), draw.number());
        match draw.below(26) {
            0..=6 => {
                let path = draw.of(paths);
                if is_spared(path) {
                    return;
                }
                // Not always to something that is there.
                let mut names: Vec<&[u8]> = path.iter().map(|name| name.as_bytes()).collect();
                if draw.below(10) == 0 {
                    names.push(name);
                }
                self.ask(&Request::Clunk { fid }, false);
                let names = WalkNames::new(&names).expect("a few");
                self.ask(&Request::Walk { fid: Fid(0), newfid: fid, names }, false);
                self.ask(&Request::Lopen { fid, flags: draw.below(3) as u32 }, false);
            }
            7 => self.ask(&Request::Lopen { fid, flags }, false),
            8..=10 => self.ask(&Request::Read { fid, offset, count: count % 70000 }, false),
            11..=14 => self.ask(&Request::Write { fid, offset, data: Data(&data) }, false),
            15 => self.ask(&Request::Readdir { fid, offset, count: count % 70000 }, false),
            16 => {
                let time = Timestamp { sec: offset, nsec: offset };
                let attr = SetAttr { valid: flags, mode, uid: gid, gid, size: offset, atime: time, mtime: time };
                self.ask(&Request::Setattr { fid, attr }, false);
            }
            17 => self.ask(&Request::Lcreate { fid, name, flags: flags | 0o300, mode, gid }, true),
            18 => self.ask(&Request::Mkdir { fid, name, mode, gid }, true),
            19 => self.ask(&Request::Symlink { fid, name, target: &data[..data.len().min(4000)], gid }, true),
            20 => self.ask(&Request::Mknod { fid, name, mode, major: flags, minor: gid, gid }, true),
            21 => match draw.below(4) {
                0 => self.ask(&Request::Rename { fid, new_dir: other, name }, true),
                1 => self.ask(&Request::Link { dir: fid, fid: other, name }, true),
                2 => self.ask(&Request::Unlinkat { dir: fid, name, flags }, true),
                _ => {
                    self.ask(&Request::Renameat { old_dir: fid, old_name: name, new_dir: other, new_name: name }, true)
                }
            },
            22 => match draw.below(4) {
                0 => self.ask(&Request::Remove { fid }, true),
                1 => self.ask(&Request::Xattrwalk { fid, newfid: Fid(9), name }, false),
                2 => self.ask(&Request::Xattrcreate { fid, name, attr_size: offset, flags }, false),
                _ => self.ask(&Request::Auth { afid: fid, uname: name, aname: name, n_uname: NO_UID }, true),
            },
            23 => match draw.below(4) {
                0 => self.ask(&Request::Statfs { fid }, false),
                1 => self.ask(&Request::Fsync { fid, datasync: Datasync(Some(flags)) }, false),
                2 => self.ask(&Request::Flush { oldtag: draw.below(65535) as u16 }, false),
                _ => self.ask(&Request::Readlink { fid }, false),
            },
            24 => self.ask(&Request::Getattr { fid, mask: offset }, false),
            _ => {
                let (start, length, client_id) = (offset, draw.offset(), name);
                let lock = Request::Lock { fid, lock: flags as u8, flags, start, length, proc_id: gid, client_id };
                let look = Request::Getlock { fid, lock: flags as u8, start, length, proc_id: gid, client_id };
                self.ask(if draw.below(2) == 0 { &lock } else { &look }, false);
            }
        }
    }
}

/// The VM answers, its processes are what they were, and its first one still makes others.
fn assert_alive(vm: &Vm) {
    let stat = String::from_utf8(vm.cat("1/stat")).expect("a line of text");
    assert!(stat.starts_with("1 ("), "{stat}");
    assert!(vm.cat("meminfo").starts_with(b"MemTotal:"));
    assert!(vm.procvisor(["ps", vm.name()]).success().lines().count() > 1);
    let newest = |vm: &Vm| -> u32 {
        let text = String::from_utf8(vm.cat("loadavg")).expect("a line of text");
        text.split_whitespace().last().and_then(|word| word.parse().ok()).expect("a number")
    };
    let first = newest(vm);
    vm.until(|vm| newest(vm) > first);
}

fn random_requests_are_answered_and_leave_the_guest_alive() {
    for seed in [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03, 0x2545_f491_4f6c_dd1d] {
        let vm = Vm::start_with("a", &["--memory", "96M"], &GUEST);
        let mut draw = Draw(seed);
        let mut made = 0;
        while made < REQUESTS / 3 {
            let options = Options { timeout: Some(DEADLINE), ..Options::default() };
            let paths = tree(&mut Client::connect(vm.socket(), &options).expect("the VM answers"));
            assert!(paths.len() > 300, "{} files", paths.len());
            let mut hostile = Hostile::connect(&vm);
            for _ in 0..REQUESTS / 9 {
                hostile.ask_anything(&mut draw, &paths);
                hostile.settle(WINDOW);
            }
            hostile.settle(0);
            assert!(hostile.refused < hostile.answered, "nothing works");
            made += hostile.answered;
        }
        assert_alive(&vm);
    }
}

fn streams_that_are_no_messages_end_alone() {
    let vm = Vm::start("a", &GUEST);
    let mut draw = Draw(7);
    for turn in 0..60 {
        let mut hostile = Hostile::connect(&vm);
        let mut garbage = draw.bytes(9000);
        // A length that can be, so that what follows is looked at.
        if turn % 2 == 0 && garbage.len() >= 5 {
            let len = draw.below(400) as u32;
            garbage[..4].copy_from_slice(&len.to_le_bytes());
            garbage[4] = (8 + draw.below(120)) as u8;
        }
        // It may hang up at once.
        drop(hostile.stream.write_all(&garbage));
        drop(hostile.stream.shutdown(std::net::Shutdown::Write));
        let start = Instant::now();
        drop(hostile.stream.read_to_end(&mut Vec::new()));
        assert!(start.elapsed() < DEADLINE, "neither an answer nor an end");
    }
    assert_alive(&vm);
}
