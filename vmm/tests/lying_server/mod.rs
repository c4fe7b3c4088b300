//! A 9P server that agrees on a version and an attach, and from then on answers as the test wants.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use procfs_core::ninep::wire::{Qid, Reply, Request, VERSION};

/// Serves on a thread; gives the client's end of the stream. `lie` makes the bytes that follow each request.
pub(crate) fn serve(mut lie: impl FnMut(u16, &Request<'_>) -> Vec<u8> + Send + 'static) -> UnixStream {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || {
        while let Some(message) = next(&mut theirs) {
            let (tag, request) = Request::decode(&message).unwrap();
            let answer = match request {
                Request::Version { msize, .. } => encoded(tag, Reply::Version { msize, version: VERSION }),
                Request::Attach { .. } => encoded(tag, Reply::Attach { qid: Qid::default() }),
                request => lie(tag, &request),
            };
            if theirs.write_all(&answer).is_err() {
                return;
            }
        }
    });
    ours
}

/// The next whole message; `None` at the end of the stream.
pub(crate) fn next(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut message = vec![0; 4];
    stream.read_exact(&mut message).ok()?;
    message.resize(u32::from_le_bytes(message[..4].try_into().unwrap()) as usize, 0);
    stream.read_exact(&mut message[4..]).ok()?;
    Some(message)
}

/// The bytes of a reply.
pub(crate) fn encoded(tag: u16, reply: Reply<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    reply.encode(tag, &mut bytes);
    bytes
}
