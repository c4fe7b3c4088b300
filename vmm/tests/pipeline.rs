//! The 9P client for many callers, against a correct server over a tree in memory, and against servers that lie or fall silent.

mod lying_server;
mod mem_tree;

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use lying_server::{encoded, next};
use mem_tree::MemTree;
use procfs_core::Errno;
use procfs_core::ninep::wire::{Data, Qid, Reply, Request, VERSION, WalkQids, open_flags};
use vmm::proc::pipeline::{
    Answer, Ask, Caller, Done, MAX_JOBS, MAX_NAMES, MAX_OPEN, OpenFile, PATIENCE, Path, Pipeline, Target,
};

/// An answer that outlives the reply it came in.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Attr(u64),
    Bytes(Vec<u8>),
    Open(OpenFile),
    Written(u32),
    Another,
}

type Told = Receiver<Result<Said, Errno>>;

fn teller() -> (Done, Told) {
    let (sender, told) = channel();
    let done = move |answer: Result<Answer<'_>, Errno>| {
        let said = answer.map(|answer| match answer {
            Answer::Attr(attr) => Said::Attr(attr.qid.path),
            Answer::Link(bytes) | Answer::Bytes(bytes) => Said::Bytes(bytes.to_vec()),
            Answer::Open(file) => Said::Open(file),
            Answer::Written(count) => Said::Written(count),
            _ => Said::Another,
        });
        // A test that has failed does not listen any more.
        let _ = sender.send(said);
    };
    (Box::new(done), told)
}

/// A caller for whom a signal waits once the flag is set.
#[derive(Clone, Default)]
struct Flagged(Arc<AtomicBool>);

impl Caller for Flagged {
    fn has_signal(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn caller() -> Box<dyn Caller> {
    Box::new(Flagged::default())
}

fn target(path: &str) -> Target {
    let path: Path = path.split('/').filter(|name| !name.is_empty()).map(|name| name.as_bytes().to_vec()).collect();
    assert!(path.len() <= MAX_NAMES);
    Target { path, ino: None }
}

fn heard(told: &Told) -> Result<Said, Errno> {
    told.recv_timeout(PATIENCE * 3).expect("each question has an answer")
}

fn begin(pipeline: &Pipeline, path: &str, ask: Ask) -> Told {
    let (done, told) = teller();
    pipeline.ask(target(path), ask, caller(), done);
    told
}

fn ask(pipeline: &Pipeline, path: &str, question: Ask) -> Result<Said, Errno> {
    heard(&begin(pipeline, path, question))
}

fn open(pipeline: &Pipeline, path: &str) -> OpenFile {
    match ask(pipeline, path, Ask::Open(open_flags::RDWR)) {
        Ok(Said::Open(file)) => file,
        other => panic!("{path}: {other:?}"),
    }
}

fn read(pipeline: &Pipeline, file: OpenFile, offset: u64, count: u32) -> Result<Said, Errno> {
    let (done, told) = teller();
    pipeline.read(file, offset, count, caller(), done);
    heard(&told)
}

fn over(tree: &MemTree) -> Pipeline {
    Pipeline::start(tree.serve(64 * 1024), || ()).unwrap()
}

/// Waits until nothing is on its way.
fn until_idle(pipeline: &Pipeline) -> usize {
    let start = Instant::now();
    loop {
        match pipeline.load() {
            (0, open_files) => return open_files,
            load => assert!(start.elapsed() < Duration::from_secs(10), "{load:?} are left"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn many_callers_get_their_own_answers_and_leave_nothing_behind() {
    let tree = MemTree::with_processes(40);
    let pipeline = over(&tree);
    thread::scope(|scope| {
        for first in 1..=8 {
            let pipeline = &pipeline;
            scope.spawn(move || {
                for pid in (first..=40).step_by(8) {
                    let file = open(pipeline, &format!("{pid}/maps"));
                    let mut bytes = Vec::new();
                    while let Ok(Said::Bytes(more)) = read(pipeline, file, bytes.len() as u64, 100_000) {
                        if more.is_empty() {
                            break;
                        }
                        bytes.extend(more);
                    }
                    assert!(bytes == MemTree::maps(pid), "maps of {pid}");
                    pipeline.close(file);
                    assert_eq!(
                        ask(pipeline, &format!("{pid}/exe"), Ask::Link),
                        Ok(Said::Bytes(b"/bin/busybox".to_vec()))
                    );
                }
            });
        }
    });
    assert_eq!(until_idle(&pipeline), 0);
}

#[test]
fn writes_go_where_they_were_sent() {
    let tree = MemTree::with_processes(1);
    let pipeline = over(&tree);
    let file = open(&pipeline, "1/comm");
    let (done, told) = teller();
    pipeline.write(file, 7, b"name", caller(), done);
    assert_eq!(heard(&told), Ok(Said::Written(4)));
    assert_eq!(*tree.written.lock().unwrap(), [(7, b"name".to_vec())]);
}

#[test]
fn the_errno_of_a_walk_that_stops_half_way_is_found_out() {
    let pipeline = over(&MemTree::with_processes(1));
    for (path, errno) in
        [("1/comm/x", Errno::ENOTDIR), ("1/none", Errno::ENOENT), ("1/none/x", Errno::ENOENT), ("none", Errno::ENOENT)]
    {
        assert_eq!(ask(&pipeline, path, Ask::Attr), Err(errno), "{path}");
        assert_eq!(ask(&pipeline, path, Ask::Open(open_flags::RDONLY)), Err(errno), "{path}");
    }
    assert_eq!(ask(&pipeline, "1/exe", Ask::Open(open_flags::RDONLY)), Err(Errno::ELOOP));
    assert_eq!(ask(&pipeline, "1/comm", Ask::Link), Err(Errno::EINVAL));
    assert_eq!(until_idle(&pipeline), 0);
}

#[test]
fn another_file_at_the_path_is_not_the_one_that_was_meant() {
    let pipeline = over(&MemTree::with_processes(2));
    let Ok(Said::Attr(ino)) = ask(&pipeline, "1/comm", Ask::Attr) else { panic!("it is there") };
    for (path, answer) in [("1/comm", Ok(Said::Attr(ino))), ("2/comm", Err(Errno::ENOENT))] {
        let (done, told) = teller();
        pipeline.ask(Target { ino: Some(ino), ..target(path) }, Ask::Attr, caller(), done);
        assert_eq!(heard(&told), answer, "{path}");
    }
    let (done, told) = teller();
    pipeline.ask(Target { ino: Some(ino), ..target("2/comm") }, Ask::Open(0), caller(), done);
    assert_eq!(heard(&told), Err(Errno::ENOENT));
    assert_eq!(until_idle(&pipeline), 0, "the file that was not meant is closed");
}

#[test]
fn one_open_file_too_many_is_refused_alone() {
    let pipeline = over(&MemTree::with_processes(1));
    let files: Vec<OpenFile> = (0..MAX_OPEN).map(|_| open(&pipeline, "1/comm")).collect();
    assert_eq!(ask(&pipeline, "1/comm", Ask::Open(0)), Err(Errno::ENFILE));
    assert!(read(&pipeline, files[7], 0, 10).is_ok());
    pipeline.close(files[7]);
    open(&pipeline, "1/comm");
}

/// A pipeline whose server answers as `lie` does; and the sign of its end.
fn lied_to(lie: impl FnMut(u16, &Request<'_>) -> Vec<u8> + Send + 'static) -> (Pipeline, Receiver<()>) {
    let (sender, ended) = channel();
    let stream = lying_server::serve(lie);
    (Pipeline::start(stream, move || sender.send(()).unwrap_or_default()).unwrap(), ended)
}

/// A truthful answer.
fn honest(tag: u16, request: &Request<'_>) -> Vec<u8> {
    let reply = match request {
        Request::Walk { names, .. } => {
            Reply::Walk { qids: WalkQids::new(&vec![Qid::default(); names.as_slice().len()]).unwrap() }
        }
        Request::Getattr { .. } => Reply::Getattr { attr: procfs_core::ninep::wire::Attr::default() },
        Request::Lopen { .. } => Reply::Lopen { qid: Qid::default(), iounit: 0 },
        Request::Read { .. } => Reply::Read { data: Data(b"fine") },
        _ => Reply::Clunk {},
    };
    encoded(tag, reply)
}

#[test]
fn a_reply_that_cannot_be_right_is_an_error_of_its_own_request() {
    /// What is wrong, and the bytes that answer the request with this tag.
    type Named = (&'static str, fn(u16) -> Vec<u8>);
    let lies: [Named; 5] = [
        ("another type", |tag| encoded(tag, Reply::Clunk {})),
        ("too long", |tag| encoded(tag, Reply::Read { data: Data(&[0; 5000]) })),
        ("no errno", |tag| encoded(tag, Reply::Lerror { errno: 70_000 })),
        ("cut", |tag| {
            let mut bytes = encoded(tag, Reply::Clunk {});
            bytes.push(0);
            bytes[0] += 1;
            bytes
        }),
        ("a tag of nobody, then another type", |tag| {
            [encoded(tag + 999, Reply::Clunk {}), encoded(tag, Reply::Clunk {})].concat()
        }),
    ];
    for (what, lie) in lies {
        let mut told = 0;
        let (pipeline, _ended) = lied_to(move |tag, request| match request {
            Request::Getattr { .. } if told == 0 => {
                told += 1;
                lie(tag)
            }
            request => honest(tag, request),
        });
        assert_eq!(ask(&pipeline, "1/comm", Ask::Attr), Err(Errno::EIO), "{what}");
        assert_eq!(ask(&pipeline, "1/comm", Ask::Attr), Ok(Said::Attr(0)), "after {what}");
        assert_eq!(until_idle(&pipeline), 0, "{what}");
    }
}

#[test]
fn a_read_of_more_than_was_asked_for_is_an_error() {
    let (pipeline, _ended) = lied_to(honest);
    let file = open(&pipeline, "x");
    assert_eq!(read(&pipeline, file, 0, 4), Ok(Said::Bytes(b"fine".to_vec())));
    assert_eq!(read(&pipeline, file, 0, 3), Err(Errno::EIO));
}

#[test]
fn walks_with_a_wrong_count_of_names_end_with_an_errno() {
    for count in [0, 1, 3, 16] {
        let (pipeline, _ended) = lied_to(move |tag, request| match request {
            Request::Walk { .. } => {
                encoded(tag, Reply::Walk { qids: WalkQids::new(&vec![Qid::default(); count]).unwrap() })
            }
            request => honest(tag, request),
        });
        assert!(ask(&pipeline, "1/comm", Ask::Attr).is_err(), "{count}");
        until_idle(&pipeline);
    }
}

#[test]
fn a_stream_without_messages_or_that_ends_ends_the_pipeline_and_tells_everybody() {
    for last in [&[0xff; 64][..], &[]] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let server = thread::spawn(move || {
            let (tag, _) = Request::decode(&next(&mut theirs).unwrap()).unwrap();
            theirs.write_all(&encoded(tag, Reply::Version { msize: 65536, version: VERSION })).unwrap();
            let attach = next(&mut theirs).unwrap();
            let (tag, _) = Request::decode(&attach).unwrap();
            theirs.write_all(&encoded(tag, Reply::Attach { qid: Qid::default() })).unwrap();
            next(&mut theirs).unwrap();
            theirs.write_all(last).unwrap();
        });
        let (sender, ended) = channel();
        let pipeline = Pipeline::start(ours, move || sender.send(()).unwrap_or_default()).unwrap();
        pipeline.wait_until_ready(PATIENCE).unwrap();
        let all: Vec<Told> = (0..5).map(|_| begin(&pipeline, "1", Ask::Attr)).collect();
        for told in &all {
            assert_eq!(heard(told), Err(Errno::EIO));
        }
        ended.recv_timeout(PATIENCE).expect("its end is told");
        assert_eq!(ask(&pipeline, "1", Ask::Attr), Err(Errno::EIO));
        server.join().unwrap();
    }
}

#[test]
fn who_does_not_speak_the_dialect_ends_the_pipeline() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || {
        next(&mut theirs).unwrap();
        theirs.write_all(&encoded(0xffff, Reply::Version { msize: 8192, version: b"unknown" })).unwrap();
        theirs
    });
    let pipeline = Pipeline::start(ours, || ()).unwrap();
    assert!(pipeline.wait_until_ready(PATIENCE).is_err());
    assert_eq!(ask(&pipeline, "1", Ask::Attr), Err(Errno::EIO));
    drop(server.join());
}

/// A server that keeps its answers until it is let go.
fn mute() -> (Pipeline, Sender<()>, Arc<Mutex<Vec<u8>>>) {
    let (go, gate) = channel::<()>();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kinds = Arc::clone(&asked);
    let mut is_open = false;
    let (pipeline, _) = lied_to(move |tag, request| {
        kinds.lock().unwrap().push(request.kind());
        is_open = is_open || gate.recv().is_ok();
        honest(tag, request)
    });
    pipeline.wait_until_ready(PATIENCE).unwrap();
    (pipeline, go, asked)
}

#[test]
fn silence_is_an_error_in_time_then_at_once_and_over_with_the_next_reply() {
    let (pipeline, go, asked) = mute();
    let start = Instant::now();
    // As many as there is room for; one more would wait for it.
    let mut all: Vec<Told> = vec![begin(&pipeline, "1/comm", Ask::Open(open_flags::RDONLY))];
    all.extend((1..MAX_JOBS).map(|_| begin(&pipeline, "1/comm", Ask::Attr)));
    let late = {
        let pipeline = pipeline.clone();
        thread::spawn(move || ask(&pipeline, "1", Ask::Attr))
    };
    for told in &all {
        assert_eq!(heard(told), Err(Errno::EIO));
    }
    assert_eq!(late.join().unwrap(), Err(Errno::EIO));
    let took = start.elapsed();
    assert!(took >= PATIENCE && took < PATIENCE * 2, "{took:?}");
    let start = Instant::now();
    assert_eq!(ask(&pipeline, "1", Ask::Attr), Err(Errno::EIO));
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(pipeline.load().0, MAX_JOBS, "what was asked is still on its way");
    go.send(()).unwrap();
    assert_eq!(until_idle(&pipeline), 0, "the file that was opened too late is closed");
    let clunks = asked.lock().unwrap().iter().filter(|kind| **kind == 120).count();
    assert_eq!(clunks, MAX_JOBS, "each fid is given back");
    assert_eq!(ask(&pipeline, "1", Ask::Attr), Ok(Said::Attr(0)));
}

#[test]
fn a_caller_with_a_signal_is_let_go() {
    let (pipeline, go, _) = mute();
    let flagged = Flagged::default();
    let (done, told) = teller();
    pipeline.ask(target("1"), Ask::Attr, Box::new(flagged.clone()), done);
    let other = begin(&pipeline, "2", Ask::Attr);
    thread::sleep(Duration::from_millis(300));
    assert!(told.try_recv().is_err());
    flagged.0.store(true, Ordering::Relaxed);
    assert_eq!(told.recv_timeout(Duration::from_secs(2)).expect("soon"), Err(Errno::EINTR));
    assert!(other.try_recv().is_err());
    go.send(()).unwrap();
    assert_eq!(heard(&other), Ok(Said::Attr(0)));
    assert_eq!(until_idle(&pipeline), 0);
}
