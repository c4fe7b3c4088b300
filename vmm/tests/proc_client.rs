//! The 9P client against a correct server over a tree in memory, and against servers that lie.

mod lying_server;
mod mem_tree;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use lying_server::encoded;
use mem_tree::MemTree;
use procfs_core::Errno;
use procfs_core::ninep::wire::{Data, FileKind, FrameError, Qid, Reply, Request, WireError, peek};
use vmm::proc::{Client, ClientError, Options, ReplyFault};

fn client(tree: &MemTree, options: &Options) -> Client<UnixStream> {
    Client::new(tree.serve(options.msize), options).unwrap()
}

fn remote(result: Result<impl std::fmt::Debug, ClientError>) -> Errno {
    match result {
        Err(ClientError::Remote(errno)) => errno,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_thousand_files_come_back_in_order_each_with_its_own_error() {
    let tree = MemTree::with_processes(400);
    let mut client = client(&tree, &Options::default());
    let paths: Vec<String> =
        (1..=400).flat_map(|pid| [format!("{pid}/status"), format!("/{pid}//comm"), format!("{pid}/none")]).collect();
    let results = client.read_files(&paths).unwrap();
    assert_eq!(results.len(), 1200);
    for (index, three) in results.chunks(3).enumerate() {
        let pid = index + 1;
        assert_eq!(three[0], Ok(MemTree::status(pid)));
        assert_eq!(three[1], Ok(format!("init{pid}\n").into_bytes()));
        assert_eq!(three[2], Err(Errno::ENOENT));
    }
}

#[test]
fn large_files_do_not_stop_the_stream_when_its_buffers_are_full() {
    let tree = MemTree::with_processes(100);
    let mut client = client(&tree, &Options { window: 100, ..Options::default() });
    let paths: Vec<String> = (1..=100).map(|pid| format!("{pid}/maps")).collect();
    for (index, result) in client.read_files(&paths).unwrap().into_iter().enumerate() {
        assert_eq!(result, Ok(MemTree::maps(index + 1)));
    }
}

#[test]
fn directories_of_many_messages_are_listed_whole_and_without_dots() {
    let tree = MemTree::with_processes(600);
    let mut client = client(&tree, &Options { msize: 4096, ..Options::default() });
    let entries = client.ls("/").unwrap();
    assert_eq!(entries.len(), 602);
    assert!(entries.iter().any(|entry| entry.name == b"self" && entry.kind == FileKind::Symlink));
    assert!(entries.iter().all(|entry| entry.name[0] != b'.'));
    assert_eq!(remote(client.ls("1/status")), Errno::ENOTDIR);
    assert_eq!(remote(client.read_file("1")), Errno::EISDIR);
}

#[test]
fn links_attributes_and_writes_go_through() {
    let tree = MemTree::with_processes(1);
    let mut client = client(&tree, &Options { msize: 4096, ..Options::default() });
    assert_eq!(client.readlink("1/exe").unwrap(), b"/bin/busybox");
    assert_eq!(remote(client.readlink("1/comm")), Errno::EINVAL);
    assert_eq!(client.readlinks(&["self", "1/exe"]).unwrap(), [Ok(b"1".to_vec()), Ok(b"/bin/busybox".to_vec())]);
    let attr = client.getattr("1/status").unwrap();
    assert_eq!((attr.mode, attr.size), (0o100_444, 0));
    assert_eq!(client.write_file("1/comm", b"name").unwrap(), 4);
    assert_eq!(client.write_file("1/comm", &[7; 5000]).unwrap(), 5000);
    let written = tree.written.lock().unwrap();
    assert_eq!(written[0], (0, b"name".to_vec()));
    assert_eq!(written[1..].iter().map(|(_, data)| data.len()).sum::<usize>(), 5000);
    assert_eq!(written[2].0, written[1].1.len() as u64);
}

#[test]
fn the_errno_of_a_walk_that_stops_half_way_is_found_out() {
    let tree = MemTree::with_processes(1);
    let mut client = client(&tree, &Options::default());
    assert_eq!(remote(client.read_file("1/comm/x")), Errno::ENOTDIR);
    assert_eq!(remote(client.read_file("1/none/x")), Errno::ENOENT);
    assert_eq!(remote(client.read_file("none")), Errno::ENOENT);
    assert_eq!(remote(client.read_file("1/".repeat(3) + &"n".repeat(256))), Errno::ENAMETOOLONG);
}

#[test]
fn paths_of_many_names_are_walked_and_never_written_half_way() {
    let tree = MemTree::with_processes(1);
    let mut client = client(&tree, &Options::default());
    let deep = "1/../".repeat(40);
    assert_eq!(client.read_file(deep.clone() + "1/comm").unwrap(), b"init1\n");
    assert_eq!(remote(client.read_file(deep.clone() + "1/comm/x")), Errno::ENOTDIR);
    // Fifteen names lead to a file; the sixteenth is in the next message.
    let fifteen = "1/../".repeat(6) + "1/./../1/comm";
    assert_eq!(remote(client.write_file(fifteen + "/x", b"no")), Errno::ENOTDIR);
    assert_eq!(remote(client.write_file("1/comm/x", b"no")), Errno::ENOTDIR);
    assert!(tree.written.lock().unwrap().is_empty());
    assert_eq!(client.read_file("uptime").unwrap(), b"1.25 0.75\n");
}

#[test]
fn a_file_over_the_limit_is_an_error_of_that_file() {
    let tree = MemTree::with_processes(2);
    let mut client = client(&tree, &Options { max_file_bytes: 10_000, ..Options::default() });
    let results = client.read_files(&["1/maps", "2/status"]).unwrap();
    assert_eq!(results, [Err(Errno::EFBIG), Ok(MemTree::status(2))]);
}

/// A client of a server that answers as `lie` does.
fn lied_to(lie: impl Fn(u16, &Request<'_>) -> Vec<u8> + Send + 'static) -> Client<UnixStream> {
    let options = Options { timeout: Some(Duration::from_millis(300)), ..Options::default() };
    Client::new(lying_server::serve(lie), &options).unwrap()
}

#[test]
fn a_reply_with_a_wrong_tag_is_named_and_the_connection_given_up() {
    let mut client = lied_to(|tag, _| encoded(tag + 500, Reply::Clunk {}));
    assert!(matches!(client.read_file("x"), Err(ClientError::UnknownTag { .. })));
    assert!(matches!(client.read_file("x"), Err(ClientError::Abandoned)));
}

#[test]
fn a_reply_of_a_wrong_type_or_size_or_count_is_named() {
    let fault = |lie: fn(u16, &Request<'_>) -> Vec<u8>| match lied_to(lie).getattr("x") {
        Err(ClientError::Reply(fault)) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(|tag, _| encoded(tag, Reply::Clunk {})), ReplyFault::Kind { expected: 111, got: 121 });
    assert_eq!(
        fault(|tag, _| encoded(tag, Reply::Read { data: Data(&[0; 5000]) })),
        ReplyFault::Oversize { len: 5011, limit: 256 }
    );
    assert_eq!(fault(|tag, _| encoded(tag, Reply::Lerror { errno: 70_000 })), ReplyFault::Errno(70_000));
    let two = |tag, _: &Request<'_>| {
        let qids = procfs_core::ninep::wire::WalkQids::new(&[Qid::default(); 2]).unwrap();
        encoded(tag, Reply::Walk { qids })
    };
    assert_eq!(fault(two), ReplyFault::Count { asked: 1, got: 2 });
    let cut = |tag, _: &Request<'_>| {
        let mut bytes = encoded(tag, Reply::Clunk {});
        bytes.push(0);
        bytes[0] += 1;
        bytes
    };
    assert_eq!(fault(cut), ReplyFault::Malformed(WireError::Trailing(1)));
}

#[test]
fn a_size_field_out_of_bounds_is_named() {
    let mut client = lied_to(|_, _| vec![0xff; 7]);
    let error = client.read_file("x").unwrap_err();
    assert!(matches!(error, ClientError::Frame(FrameError::Oversize { size: u32::MAX, .. })), "{error:?}");
}

#[test]
fn silence_and_a_byte_now_and_then_end_with_the_timeout() {
    let start = Instant::now();
    assert!(matches!(lied_to(|_, _| Vec::new()).read_file("x"), Err(ClientError::Timeout)));
    // One byte more than has been promised never comes.
    let mut client = lied_to(|tag, _| encoded(tag, Reply::Clunk {})[..6].to_vec());
    assert!(client.getattr("x").is_err());
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_directory_without_end_is_cut_off() {
    let mut client = lied_to(|tag, request| match request {
        Request::Walk { names, .. } => {
            let qids = procfs_core::ninep::wire::WalkQids::new(&vec![Qid::default(); names.as_slice().len()]).unwrap();
            encoded(tag, Reply::Walk { qids })
        }
        Request::Lopen { .. } => encoded(tag, Reply::Lopen { qid: Qid::default(), iounit: 0 }),
        Request::Readdir { .. } => {
            let mut data = Vec::new();
            let entry =
                |name| procfs_core::ninep::DirEntry { qid: Qid::default(), next_offset: 1, kind: FileKind::File, name };
            procfs_core::ninep::wire::put_dirent(&entry(b"again"), &mut data);
            encoded(tag, Reply::Readdir { data: Data(&data) })
        }
        _ => encoded(tag, Reply::Clunk {}),
    });
    // Small entries: the time is over before the bytes are.
    assert!(matches!(client.ls("x"), Err(ClientError::Timeout)));
}

#[test]
fn entry_names_that_could_leave_the_directory_are_refused() {
    let mut client = lied_to(|tag, request| match request {
        Request::Walk { .. } => {
            encoded(tag, Reply::Walk { qids: procfs_core::ninep::wire::WalkQids::new(&[]).unwrap() })
        }
        Request::Lopen { .. } => encoded(tag, Reply::Lopen { qid: Qid::default(), iounit: 0 }),
        _ => {
            let mut data = Vec::new();
            let (qid, kind) = (Qid::default(), FileKind::File);
            let entry = procfs_core::ninep::DirEntry { qid, next_offset: 1, kind, name: b"../../etc" };
            procfs_core::ninep::wire::put_dirent(&entry, &mut data);
            encoded(tag, Reply::Readdir { data: Data(&data) })
        }
    });
    assert!(matches!(client.ls("/"), Err(ClientError::EntryName)));
}

#[test]
fn replies_to_someone_before_us_are_dropped_until_the_version() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || {
        theirs.write_all(&encoded(3, Reply::Clunk {})).unwrap();
        let mut message = vec![0; 21];
        theirs.read_exact(&mut message).unwrap();
        assert_eq!(peek(&message), Some((100, 0xffff)));
        theirs.write_all(&encoded(0xffff, Reply::Version { msize: 8192, version: b"unknown" })).unwrap();
    });
    let result = Client::new(ours, &Options::default());
    assert!(matches!(result.err(), Some(ClientError::Version { .. })));
    server.join().unwrap();
}
