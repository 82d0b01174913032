//! A server that has the real files and does not serve them well.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use super::{Tree, boot::LONG, origin};

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
    came: Condvar,
}

impl Hostile {
    /// Serves `tree`, with `fault` for every path that has `on` in it.
    pub(crate) fn tree(tree: Tree, on: &'static str, fault: Fault) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
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

    /// The kernel parameter that leads to it.
    pub(crate) fn origin(&self) -> String {
        origin(self.port)
    }

    /// The paths that were asked for, in order; an empty one for a connection without a request.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.paths.lock().unwrap().clone()
    }

    /// Waits until a path with `part` in it has been asked for.
    pub(crate) fn wait_for_request(&self, part: &str) {
        let paths = self.requests.paths.lock().unwrap();
        let waits = |paths: &mut Vec<String>| !paths.iter().any(|path| path.contains(part));
        let (paths, timeout) = self.requests.came.wait_timeout_while(paths, LONG, waits).unwrap();
        assert!(!timeout.timed_out(), "nobody asked for {part}; requests were {paths:?}");
    }
}

fn answer(mut stream: &TcpStream, root: &Path, requests: &Requests, (on, fault): (&str, Fault)) -> io::Result<()> {
    let mut head = Vec::new();
    for line in BufReader::new(stream).lines().take(100) {
        match line? {
            line if line.is_empty() => break,
            line => head.push(line),
        }
    }
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned();
    let fault = if path.contains(on) { fault } else { Fault::None };
    let asked_before = {
        let mut paths = requests.paths.lock().unwrap();
        paths.push(path.clone());
        requests.came.notify_all();
        paths.iter().filter(|earlier| **earlier == path).count() > 1
    };
    let file: PathBuf = root.join(path.trim_start_matches('/'));
    let Ok(mut body) = fs::read(file) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let size = body.len();
    let from = range_start(&head).filter(|from| *from <= size);
    let start = from.unwrap_or(0);
    let last = size - 1;
    match from {
        Some(from) => write!(stream, "HTTP/1.1 206 Partial\r\nContent-Range: bytes {from}-{last}/{size}\r\n")?,
        None => write!(stream, "HTTP/1.1 200 OK\r\n")?,
    }
    write!(stream, "Connection: close\r\n")?;
    if fault == Fault::OneByteMore {
        body.push(b'!');
    }
    let half = (size / 2).max(start);
    match fault {
        Fault::Endless => write!(stream, "\r\n")?,
        _ => write!(stream, "Content-Length: {}\r\n\r\n", body.len() - start)?,
    }
    match fault {
        Fault::Late(late) => thread::sleep(late),
        Fault::CutsAtHalf => return stream.write_all(&body[start..half]),
        Fault::CutsOnce if !asked_before => return stream.write_all(&body[start..half]),
        Fault::StallsAtHalf => {
            stream.write_all(&body[start..half])?;
            thread::sleep(LONG);
            return Ok(());
        }
        _ => {}
    }
    stream.write_all(&body[start..])?;
    while fault == Fault::Endless {
        stream.write_all(&[b'!'; 4096])?;
    }
    Ok(())
}

/// The N of `Range: bytes=N-`.
fn range_start(head: &[String]) -> Option<usize> {
    let range =
        head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned))?;
    range.trim().split('-').next()?.parse().ok()
}
