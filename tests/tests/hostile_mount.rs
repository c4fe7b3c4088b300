//! A mount whose other side lies, falls silent or goes away: an error for the one who asked, and nothing else.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use procfs_core::ninep::DirEntry;
use procfs_core::ninep::wire::{
    Attr, Data, Fid, FileKind, Qid, Reply, Request, VERSION, WalkQids, put_dirent, qid_type,
};
use procvisor_tests::mounted::Mountpoint;
use procvisor_tests::process::{self, DEADLINE};
use procvisor_tests::{behaviours, harness};
use rustix::io::Errno;
use vmm::proc::fuse::{Access, Mount, Patience};

fn main() -> ExitCode {
    harness::run(behaviours![
        Fuse: lies_about_files_are_errors_of_their_own_request,
            lies_about_directories_are_errors_of_their_own_request,
            a_directory_without_end_is_cut_off,
            a_refusal_that_would_change_the_kernels_mind_does_not,
            silence_is_an_error_and_the_mount_can_be_taken_away,
            a_stream_that_ends_takes_the_mount_away,
            a_mount_before_the_first_answer_waits_for_it;
    ])
}

const ROOT_INO: u64 = 1 << 20;

/// A server of one directory whose names say what is wrong with them.
struct Liar {
    stream: UnixStream,
    /// The name that each fid was walked to; empty for the root.
    fids: HashMap<Fid, String>,
}

impl Liar {
    /// Serves until the other side has gone.
    fn serve(stream: UnixStream) {
        let mut liar = Self { stream, fids: HashMap::new() };
        while let Some(message) = next(&mut liar.stream) {
            let (tag, request) = Request::decode(&message).expect("the client speaks well");
            let mut answer = Vec::new();
            liar.answer(tag, &request, &mut answer);
            if liar.stream.write_all(&answer).is_err() {
                return;
            }
        }
    }

    fn answer(&mut self, tag: u16, request: &Request<'_>, out: &mut Vec<u8>) {
        match *request {
            Request::Version { msize, .. } => Reply::Version { msize, version: VERSION }.encode(tag, out),
            Request::Attach { fid, .. } => {
                self.fids.insert(fid, String::new());
                Reply::Attach { qid: qid("") }.encode(tag, out);
            }
            Request::Walk { newfid, names, .. } => {
                let names: Vec<String> =
                    names.as_slice().iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
                let qids: Vec<Qid> = names.iter().map(|name| qid(name)).collect();
                self.fids.insert(newfid, names.last().cloned().unwrap_or_default());
                Reply::Walk { qids: WalkQids::new(&qids).expect("a few") }.encode(tag, out);
            }
            Request::Getattr { fid, .. } => Reply::Getattr { attr: attr(&self.fids[&fid]) }.encode(tag, out),
            Request::Lopen { fid, .. } if self.fids[&fid] == "file-nosys" => {
                Reply::Lerror { errno: Errno::NOSYS.raw_os_error().unsigned_abs() }.encode(tag, out);
            }
            Request::Lopen { fid, .. } => Reply::Lopen { qid: qid(&self.fids[&fid]), iounit: 0 }.encode(tag, out),
            Request::Read { fid, offset, count } => {
                let data = match self.fids[&fid].as_str() {
                    "file-more" => vec![b'x'; count as usize + 1],
                    _ if offset == 0 => b"fine\n".to_vec(),
                    _ => Vec::new(),
                };
                Reply::Read { data: Data(&data) }.encode(tag, out);
            }
            Request::Readlink { fid } => {
                let target: &[u8] = match self.fids[&fid].as_str() {
                    "link-empty" => b"",
                    "link-nul" => b"a\0b",
                    "link-long" => &[b'x'; 5000],
                    _ => b"there",
                };
                Reply::Readlink { target }.encode(tag, out);
            }
            Request::Readdir { fid, offset, count } => {
                Reply::Readdir { data: Data(&listing(&self.fids[&fid], offset, count)) }.encode(tag, out);
            }
            Request::Clunk { fid } => {
                self.fids.remove(&fid);
                Reply::Clunk {}.encode(tag, out);
            }
            _ => Reply::Lerror { errno: 95 }.encode(tag, out),
        }
    }
}

fn next(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut message = vec![0; 4];
    stream.read_exact(&mut message).ok()?;
    let len = u32::from_le_bytes(message[..4].try_into().expect("four bytes"));
    message.resize(len as usize, 0);
    stream.read_exact(&mut message[4..]).ok()?;
    Some(message)
}

/// The kind is the first word of the name.
fn qid(name: &str) -> Qid {
    let kind = match name {
        "" => qid_type::DIR,
        name if name.starts_with("dir") => qid_type::DIR,
        name if name.starts_with("link") => qid_type::SYMLINK,
        _ => qid_type::FILE,
    };
    let path = match name {
        "file-zero" => 0,
        "file-one" => 1,
        name => ROOT_INO + name.bytes().fold(0, |sum, byte| (sum * 131 + u64::from(byte)) % 1_000_000_007),
    };
    Qid { kind, version: 0, path }
}

fn attr(name: &str) -> Attr {
    let qid = qid(name);
    let mode = match (name, qid.kind) {
        ("file-device", _) => 0o020_666,
        ("file-pipe", _) => 0o010_666,
        ("file-nothing", _) => 0,
        ("file-directory", _) | (_, qid_type::DIR) => 0o040_555,
        (_, qid_type::SYMLINK) => 0o120_777,
        _ => 0o100_644,
    };
    let mut attr = Attr { qid, mode, nlink: 1, ..Attr::default() };
    if name == "file-huge" {
        (attr.size, attr.nlink, attr.blksize, attr.mtime.sec) = (u64::MAX, u64::MAX, u64::MAX, u64::MAX);
    }
    attr
}

fn listing(directory: &str, offset: u64, count: u32) -> Vec<u8> {
    let mut data = Vec::new();
    let mut put = |name: &[u8], next_offset: u64, kind| {
        put_dirent(&DirEntry { qid: qid("file"), next_offset, kind, name }, &mut data);
        data.len()
    };
    match directory {
        "dir-endless" => {
            for at in offset + 1.. {
                if put(format!("{at:016}").as_bytes(), at, FileKind::File) + 64 > count as usize {
                    break;
                }
            }
        }
        _ if offset > 0 => {}
        "dir-slash" => drop(put(b"../../etc", 1, FileKind::Dir)),
        "dir-nul" => drop(put(b"a\0b", 1, FileKind::File)),
        "dir-empty" => drop(put(b"", 1, FileKind::File)),
        "dir-long" => drop(put(&[b'x'; 300], 1, FileKind::File)),
        "dir-back" => {
            put(b"one", 5, FileKind::File);
            put(b"two", 5, FileKind::File);
        }
        "dir-device" => drop(put(b"device", 1, FileKind::Block)),
        "dir-parent" => drop(put(b"..", 1, FileKind::File)),
        _ => {
            put(b"file", 1, FileKind::File);
        }
    }
    data
}

fn mounted(serve: impl FnOnce(UnixStream) + Send + 'static) -> (Mount, Mountpoint) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    thread::spawn(move || serve(theirs));
    let directory = Mountpoint::new();
    let mount = Mount::start(ours, directory.path(), "liar", Access::Owner, Patience::UpTo(DEADLINE));
    (mount.expect("it mounts"), directory)
}

#[track_caller]
fn says<T: std::fmt::Debug>(result: io::Result<T>, errno: Errno, what: &str) {
    match result {
        Err(error) if error.raw_os_error() == Some(errno.raw_os_error()) => {}
        other => panic!("{what}: {other:?} instead of {errno:?}"),
    }
}

#[track_caller]
fn still_works(directory: &Mountpoint, after: &str) {
    let text = fs::read(directory.path().join("file")).unwrap_or_else(|error| panic!("after {after}: {error}"));
    assert_eq!(text, b"fine\n", "after {after}");
}

fn taken_away(mount: Mount, directory: &Mountpoint) {
    process::run(Command::new("umount").arg(directory.path()), b"", DEADLINE).success();
    mount.wait();
    assert!(!directory.is_mounted());
}

fn lies_about_files_are_errors_of_their_own_request() {
    let (mount, directory) = mounted(Liar::serve);
    still_works(&directory, "nothing");
    let path = |name: &str| directory.path().join(name);
    for name in ["file-zero", "file-one", "file-device", "file-pipe", "file-nothing", "file-directory"] {
        says(fs::symlink_metadata(path(name)), Errno::IO, name);
        says(File::open(path(name)), Errno::IO, name);
        still_works(&directory, name);
    }
    for name in ["link-empty", "link-nul", "link-long"] {
        says(fs::read_link(path(name)), Errno::IO, name);
        still_works(&directory, name);
    }
    assert_eq!(fs::read_link(path("link")).expect("a good one"), std::path::Path::new("there"));
    says(fs::read(path("file-more")), Errno::IO, "more bytes than were asked for");
    let huge = fs::metadata(path("file-huge")).expect("numbers are brought within their bounds");
    assert_eq!((huge.size(), huge.nlink()), (i64::MAX.cast_unsigned(), u64::from(u32::MAX)));
    // Its size is only told, never believed.
    let mut file = File::open(path("file-huge")).expect("it opens");
    let mut text = [0; 100];
    assert_eq!(file.read(&mut text).expect("it reads"), 5);
    drop(file);
    still_works(&directory, "a huge file");
    taken_away(mount, &directory);
}

fn names(directory: &Mountpoint, name: &str) -> io::Result<usize> {
    fs::read_dir(directory.path().join(name))?.try_fold(0, |count, entry| entry.map(|_| count + 1))
}

fn lies_about_directories_are_errors_of_their_own_request() {
    let (mount, directory) = mounted(Liar::serve);
    for name in ["dir-slash", "dir-nul", "dir-empty", "dir-long", "dir-back", "dir-device", "dir-parent"] {
        says(names(&directory, name), Errno::IO, name);
        still_works(&directory, name);
    }
    assert_eq!(names(&directory, "dir").expect("a good one"), 1);
    taken_away(mount, &directory);
}

fn a_directory_without_end_is_cut_off() {
    let (mount, directory) = mounted(Liar::serve);
    let start = Instant::now();
    says(names(&directory, "dir-endless"), Errno::IO, "an endless directory");
    assert!(start.elapsed() < DEADLINE, "it took {:?}", start.elapsed());
    still_works(&directory, "an endless directory");
    taken_away(mount, &directory);
}

fn a_refusal_that_would_change_the_kernels_mind_does_not() {
    let (mount, directory) = mounted(Liar::serve);
    // ENOSYS would make the kernel open files without a question from then on.
    says(File::open(directory.path().join("file-nosys")), Errno::OPNOTSUPP, "open");
    still_works(&directory, "ENOSYS");
    says(File::open(directory.path().join("file-nosys")), Errno::OPNOTSUPP, "open again");
    taken_away(mount, &directory);
}

/// Answers what makes a mount, then nothing.
fn silent(mut stream: UnixStream) {
    let mut liar = Liar { stream: stream.try_clone().expect("a descriptor is free"), fids: HashMap::new() };
    while let Some(message) = next(&mut stream) {
        let (tag, request) = Request::decode(&message).expect("the client speaks well");
        if matches!(request, Request::Version { .. } | Request::Attach { .. }) {
            let mut answer = Vec::new();
            liar.answer(tag, &request, &mut answer);
            drop(liar.stream.write_all(&answer));
        }
    }
}

fn silence_is_an_error_and_the_mount_can_be_taken_away() {
    let (mount, directory) = mounted(silent);
    let start = Instant::now();
    thread::scope(|scope| {
        for at in 0..8 {
            let path = directory.path().join(format!("file-{at}"));
            scope.spawn(move || says(File::open(path), Errno::IO, "a file of a silent server"));
        }
    });
    assert!(start.elapsed() < Duration::from_secs(12), "eight at once took {:?}", start.elapsed());
    taken_away(mount, &directory);
}

fn a_stream_that_ends_takes_the_mount_away() {
    let (mount, directory) = mounted(|stream| {
        let copy = stream.try_clone().expect("a descriptor is free");
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(1));
            drop(copy.shutdown(std::net::Shutdown::Both));
        });
        Liar::serve(stream);
    });
    let mut file = File::open(directory.path().join("file")).expect("it opens");
    directory.until_mounted(false);
    // The open file holds the file system a little longer, but nothing answers any more.
    says(file.read(&mut [0; 10]), Errno::IO, "a file whose server has gone");
    drop(file);
    mount.wait();
}

fn a_mount_before_the_first_answer_waits_for_it() {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let directory = Mountpoint::new();
    let mount = Mount::start(ours, directory.path(), "late", Access::Owner, Patience::None).expect("it mounts");
    assert!(directory.is_mounted());
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        Liar::serve(theirs);
    });
    still_works(&directory, "half a second");
    taken_away(mount, &directory);
    late.join().expect("the server ends with the mount");
}
