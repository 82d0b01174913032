//! A server that has the real files and does not serve them well.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    ops::Range,
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use super::{Tree, boot::LONG, origin};

/// What a server that hesitates sends at a time, and the time between two of them: 640 KB/s, which nobody takes for a stall.
const SIP: (usize, Duration) = (64 << 10, Duration::from_millis(100));

/// What the server does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It answers so late.
    Late(Duration),
    /// It never sends a byte of the second half: the connection ends there.
    CutsAtHalf,
    /// The same, but only the first time that a file is asked for.
    CutsOnce,
    /// It stops in the middle and keeps the connection open.
    StallsAtHalf,
    /// It announces, and sends, one byte more than the file has.
    OneByteMore,
    /// It announces nothing and never stops sending.
    Endless,
    /// The same, in chunks.
    EndlessChunks,
}

/// The server; its threads end with the test program.
pub(crate) struct Hostile {
    port: u16,
    requests: Arc<Requests>,
    _tree: Tree,
}

#[derive(Default)]
struct Requests {
    paths: Mutex<Vec<String>>,
    /// Paths of files that are there, and the bytes that were asked for.
    parts: Mutex<Vec<(String, Range<usize>)>>,
    /// Those that were sent to their end.
    sent: Mutex<Vec<String>>,
    came: Condvar,
    went: Condvar,
    hesitates: AtomicBool,
}

impl Requests {
    /// Takes down `path`, and says whether it had been asked for before.
    fn note(&self, path: &str) -> bool {
        let mut paths = self.paths.lock().unwrap();
        let again = paths.iter().any(|earlier| earlier == path);
        paths.push(path.to_owned());
        self.came.notify_all();
        again
    }
}

impl Hostile {
    /// Serves `tree`, with `fault` for every path that has `on` in it.
    pub(crate) fn tree(tree: Tree, on: &'static str, fault: Fault) -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").unwrap(), tree, on, fault)
    }

    /// The same where somebody else has begun to listen.
    pub(crate) fn listening(listener: TcpListener, tree: Tree, on: &'static str, fault: Fault) -> Self {
        let port = listener.local_addr().unwrap().port();
        let root = tree.path().to_owned();
        let server = Self { port, requests: Arc::default(), _tree: tree };
        let requests = Arc::clone(&server.requests);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (root, requests) = (root.clone(), Arc::clone(&requests));
                // A client that goes away is what a hostile server has to expect.
                thread::spawn(move || answer(&stream, &root, &requests, (on, fault)).ok());
            }
        });
        server
    }

    /// The same server, which sends its blobs slowly until it [goes on](Self::goes_on).
    pub(crate) fn hesitating(self) -> Self {
        self.requests.hesitates.store(true, Ordering::Relaxed);
        self
    }

    /// From now on it sends as fast as it can.
    pub(crate) fn goes_on(&self) {
        self.requests.hesitates.store(false, Ordering::Relaxed);
    }

    /// The kernel parameter that leads to it.
    pub(crate) fn origin(&self) -> String {
        origin(self.port)
    }

    /// The paths that were asked for, in order; an empty one for a connection without a request.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.paths.lock().unwrap().clone()
    }

    /// The bytes that were asked for of the file whose path ends with `name`, request by request.
    pub(crate) fn parts(&self, name: &str) -> Vec<Range<usize>> {
        let parts = self.requests.parts.lock().unwrap();
        parts.iter().filter(|(path, _)| path.ends_with(name)).map(|(_, range)| range.clone()).collect()
    }

    /// Waits until a path with `part` in it has been asked for.
    pub(crate) fn wait_for_request(&self, part: &str) {
        let paths = self.requests.paths.lock().unwrap();
        let waits = |paths: &mut Vec<String>| !paths.iter().any(|path| path.contains(part));
        let (paths, timeout) = self.requests.came.wait_timeout_while(paths, LONG, waits).unwrap();
        assert!(!timeout.timed_out(), "nobody asked for {part}; requests were {paths:?}");
    }

    /// Waits until a part of the file whose path ends with `name` has been sent.
    pub(crate) fn wait_until_sent(&self, name: &str) {
        let sent = self.requests.sent.lock().unwrap();
        let waits = |sent: &mut Vec<String>| !sent.iter().any(|path| path.ends_with(name));
        let (sent, timeout) = self.requests.went.wait_timeout_while(sent, LONG, waits).unwrap();
        assert!(!timeout.timed_out(), "nobody got {name}; sent was {sent:?}");
    }
}

fn answer(mut stream: &TcpStream, root: &Path, requests: &Requests, (on, fault): (&str, Fault)) -> io::Result<()> {
    let head = request(stream)?;
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let again = requests.note(path);
    let fault = match fault {
        _ if !path.contains(on) => Fault::None,
        Fault::CutsOnce if again => Fault::None,
        Fault::CutsOnce => Fault::CutsAtHalf,
        fault => fault,
    };
    let Ok(mut body) = fs::read(root.join(path.trim_start_matches('/'))) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let (size, range) = (body.len(), range(&head, body.len()));
    match &range {
        Some(part) => {
            write!(stream, "HTTP/1.1 206 P\r\nContent-Range: bytes {}-{}/{size}\r\n", part.start, part.end - 1)?;
        }
        None => write!(stream, "HTTP/1.1 200 OK\r\n")?,
    }
    let Range { start, end } = range.unwrap_or(0..size);
    requests.parts.lock().unwrap().push((path.to_owned(), start..end));
    body.truncate(end);
    if fault == Fault::OneByteMore {
        body.push(b'!');
    }
    match fault {
        Fault::Endless => {}
        Fault::EndlessChunks => write!(stream, "Transfer-Encoding: chunked\r\n")?,
        _ => write!(stream, "Content-Length: {}\r\n", body.len() - start)?,
    }
    write!(stream, "Connection: close\r\n\r\n")?;
    let first_half = &body[start..(size / 2).max(start)];
    match fault {
        Fault::CutsAtHalf => return stream.write_all(first_half),
        Fault::StallsAtHalf => {
            stream.write_all(first_half)?;
            thread::sleep(LONG);
            return Ok(());
        }
        Fault::EndlessChunks => loop {
            write!(stream, "4\r\n!!!!\r\n")?;
        },
        Fault::Late(late) => thread::sleep(late),
        _ => {}
    }
    for sip in body[start..].chunks(SIP.0) {
        if path.contains("/blobs/") && requests.hesitates.load(Ordering::Relaxed) {
            thread::sleep(SIP.1);
        }
        stream.write_all(sip)?;
    }
    requests.sent.lock().unwrap().push(path.to_owned());
    requests.went.notify_all();
    if fault == Fault::Endless {
        io::copy(&mut io::repeat(b'!'), &mut stream)?;
    }
    Ok(())
}

/// The lines of a request.
fn request(stream: &TcpStream) -> io::Result<Vec<String>> {
    let lines = BufReader::new(stream).lines().take(100);
    lines.take_while(|line| !line.as_ref().is_ok_and(String::is_empty)).collect()
}

/// The part of a file of `size` bytes that is asked for: `Range: bytes=N-`, or `N-M`.
fn range(head: &[String], size: usize) -> Option<Range<usize>> {
    let mut head = head.iter().map(|line| line.to_ascii_lowercase());
    let range = head.find_map(|line| line.strip_prefix("range: bytes=").map(str::to_owned))?;
    let (first, last) = range.trim().split_once('-')?;
    let end = if last.is_empty() { size } else { last.parse::<usize>().ok()? + 1 };
    Some(first.parse().ok()?..end)
}
