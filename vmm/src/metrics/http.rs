//! The endpoint: `GET /metrics` over HTTP/1.1, one request a connection.
//!
//! Requests are taken apart by the library; what is here bounds what a client can take: [`MAX_CONNECTIONS`] at once, each with
//! [`PATIENCE`] to ask and as long again to take the answer, and a head of [`MAX_HEAD_BYTES`]. Who comes when there is no room is
//! turned away at once. Bodies of requests are not read.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Connections that are served at once.
const MAX_CONNECTIONS: usize = 16;
/// How long a client may take to send its request, and again to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a request's line and headers.
const MAX_HEAD_BYTES: usize = 8 * 1024;
const MAX_HEADERS: usize = 64;
/// How long nobody is accepted after accept(2) failed, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves for ever; `scrape` gives the text, or one line that says why there is none.
pub fn serve(listener: &TcpListener, scrape: impl Fn() -> Result<String, String> + Send + Sync + 'static) -> ! {
    let scrape = Arc::new(scrape);
    let busy = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        let slot = Slot::take(&busy);
        if slot.0.load(Ordering::Relaxed) > MAX_CONNECTIONS {
            continue;
        }
        let scrape = Arc::clone(&scrape);
        // Without a thread the client sees its connection close, which it must expect at any time.
        let _ = thread::Builder::new().name("http".into()).spawn(move || {
            let _slot = slot;
            // Whatever failed, the client has gone or was too slow: there is nobody to tell.
            let _ = answer(&stream, &*scrape);
        });
    }
}

/// One connection's share of the bound.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(busy: &Arc<AtomicUsize>) -> Self {
        busy.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(busy))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn answer(stream: &TcpStream, scrape: &dyn Fn() -> Result<String, String>) -> io::Result<()> {
    let (status, kind, body) = match read_request(stream)? {
        Asked::Metrics => match scrape() {
            Ok(text) => ("200 OK", OPENMETRICS, text),
            Err(why) => ("500 Internal Server Error", PLAIN, why + "\n"),
        },
        Asked::Root => ("200 OK", PLAIN, "procvisor: the metrics are at /metrics\n".to_owned()),
        Asked::Other => ("404 Not Found", PLAIN, "the metrics are at /metrics\n".to_owned()),
        Asked::OtherMethod => ("405 Method Not Allowed\r\nAllow: GET", PLAIN, "only GET\n".to_owned()),
        Asked::Nonsense => ("400 Bad Request", PLAIN, "no HTTP request\n".to_owned()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    send(stream, head.as_bytes(), body.as_bytes())?;
    stream.shutdown(Shutdown::Write)
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Metrics,
    Root,
    Other,
    OtherMethod,
    Nonsense,
}

fn read_request(mut stream: &TcpStream) -> io::Result<Asked> {
    let deadline = Instant::now() + PATIENCE;
    let (mut head, mut length) = ([0; MAX_HEAD_BYTES], 0);
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut head[length..]) {
            Ok(0) => return Ok(Asked::Nonsense),
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        match parse(&head[..length]) {
            Some(asked) => return Ok(asked),
            None if length == MAX_HEAD_BYTES => return Ok(Asked::Nonsense),
            None => {}
        }
    }
}

/// What is asked for; `None` when there is more of it to come.
fn parse(head: &[u8]) -> Option<Asked> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => None,
        Err(_) => Some(Asked::Nonsense),
        Ok(httparse::Status::Complete(_)) if request.method != Some("GET") => Some(Asked::OtherMethod),
        Ok(httparse::Status::Complete(_)) => {
            let path = request.path.unwrap_or_default();
            Some(match path.split_once('?').map_or(path, |(path, _)| path) {
                "/metrics" => Asked::Metrics,
                "/" => Asked::Root,
                _ => Asked::Other,
            })
        }
    }
}

fn send(mut stream: &TcpStream, head: &[u8], body: &[u8]) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for part in [head, body] {
        let mut sent = 0;
        while sent < part.len() {
            stream.set_write_timeout(Some(left(deadline)?))?;
            match stream.write(&part[sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the server says to `request`.
    fn ask(request: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            drop(answer(&stream, &|| Ok("numbers\n# EOF\n".to_owned())));
        });
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request).unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        server.join().unwrap();
        text
    }

    #[test]
    fn metrics_are_answered_with_their_type_and_length() {
        let text = ask(b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n");
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0;"),
            "{text}"
        );
        assert!(text.contains("\r\nContent-Length: 14\r\n") && text.ends_with("\r\n\r\nnumbers\n# EOF\n"), "{text}");
    }

    #[test]
    fn anything_else_is_refused_by_its_own_status() {
        for (request, status) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "200"),
            (b"GET /metricsx HTTP/1.1\r\n\r\n", "404"),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
            (b"\x00\x01\x02\r\n\r\n", "400"),
            (b"GET /metrics HTTP/9.9\r\n\r\n", "400"),
        ] {
            let text = ask(request);
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{text}");
        }
    }

    #[test]
    fn a_head_is_bounded_and_may_come_in_pieces() {
        assert_eq!(parse(b"GET /metrics HT"), None);
        let many = format!("GET /metrics HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(parse(many.as_bytes()), Some(Asked::Nonsense));
        let text = ask(format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_HEAD_BYTES - 16)).as_bytes());
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    }
}
