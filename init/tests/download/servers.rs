//! Servers, and what PID 1 gets from them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use discover::Origin;
use init::console::{Console, Verbosity};
use init::download::{self, Carrier, DownloadError, Pulse};
use init::pool::Pool;
use init::share::shelf::Shelf;
use init::source::Source;
use tempfile::TempDir;
use verify::{Artifact, Sha256Digest};

use crate::{nginx, release};

#[derive(Debug)]
struct Unheard;

impl Pulse for Unheard {
    fn beat(&self) {}
}

/// A machine: what it downloads, and what its kernel log says.
pub(crate) struct Machine {
    root: TempDir,
    console: Console,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("dev")).unwrap();
        fs::write(root.path().join("dev/kmsg"), []).unwrap();
        let console = Console::attach(root.path(), "", Verbosity::Quiet);
        Self { root, console }
    }

    /// What PID 1 gets from these places, or why nothing.
    pub(crate) fn download(&self, artifact: &Artifact, sources: &Pool) -> Result<Vec<u8>, String> {
        let carrier = Carrier { sources, shelf: &Shelf::closed(), console: &self.console, pulse: &Unheard };
        let file =
            download::sealed(&release::signed(artifact), &carrier).map_err(|error: DownloadError| error.to_string())?;
        let mut bytes = vec![0; usize::try_from(file.size()).unwrap()];
        let mut at = 0;
        while at < bytes.len() {
            at += rustix::io::pread(&file, &mut bytes[at..], at as u64).unwrap();
        }
        Ok(bytes)
    }

    /// What it said of whom.
    pub(crate) fn said_of(&self, place: &str) -> Vec<String> {
        let log = fs::read_to_string(self.root.path().join("dev/kmsg")).unwrap();
        let lines = log.lines().filter(|line| line.contains(&format!("{place}: ")));
        lines.map(str::to_owned).collect()
    }
}

/// Places by their addresses.
pub(crate) fn pool(bases: &[String]) -> Pool {
    bases.iter().map(|base| Source::from(Origin::parse(base).unwrap())).collect()
}

/// An nginx whose folders are trees of as many origins.
pub(crate) struct Nginx {
    port: u16,
    // In this order: the program ends before its folder goes.
    _program: nginx::Nginx,
    folder: TempDir,
}

impl Nginx {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let (program, ports) = nginx::Nginx::start(folder.path(), 1, |ports| {
            format!(
                "log_format part '$uri $status $http_range_or_none'; log_format sent '$uri $body_bytes_sent';
                 map $http_range $http_range_or_none {{ '' -; default $http_range; }}
                 access_log {place}/access.log part; access_log {place}/sent.log sent; sendfile_max_chunk 64k;
                 server {{ listen 127.0.0.1:{}; root {place}; location /slow/ {{ limit_rate 40k; }} location /steady/ {{ limit_rate 4m; }} }}",
                ports[0]
            )
        });
        Self { port: ports[0], _program: program, folder }
    }

    /// Puts a blob into a tree, under its digest.
    pub(crate) fn put(&self, tree: &str, bytes: &[u8]) {
        self.put_as(tree, Sha256Digest::of(bytes), bytes);
    }

    /// Puts bytes into a tree that are not what their name says.
    pub(crate) fn put_as(&self, tree: &str, name: Sha256Digest, bytes: &[u8]) {
        let blobs = self.folder.path().join(tree).join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(name.to_string()), bytes).unwrap();
    }

    /// The address of a tree.
    pub(crate) fn base(&self, tree: &str) -> String {
        format!("http://127.0.0.1:{}/{tree}", self.port)
    }

    /// What PID 1 gets from these trees, or why nothing.
    pub(crate) fn download(&self, artifact: &Artifact, trees: &[&str]) -> Result<Vec<u8>, String> {
        let bases: Vec<String> = trees.iter().map(|tree| self.base(tree)).collect();
        Machine::new().download(artifact, &pool(&bases))
    }

    /// `PATH STATUS RANGE` of every request, in order of their ends.
    pub(crate) fn log(&self) -> Vec<String> {
        self.logged("access.log", "/mark 404 -")
    }

    /// Bytes that were sent of a tree.
    pub(crate) fn sent(&self, tree: &str) -> u64 {
        let log = self.logged("sent.log", "/mark ");
        let lines = log.iter().filter(|line| line.starts_with(&format!("/{tree}/")));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }

    /// The lines of a log about all that came before this call. nginx, which does one thing after the other, writes the line of a
    /// request when it is done with it, and that of one that was broken off when it hears of that: so one more request is made,
    /// whose line, which begins with `mark`, is the last one.
    fn logged(&self, log: &str, mark: &str) -> Vec<String> {
        let read = || fs::read_to_string(self.folder.path().join(log)).unwrap_or_default();
        let marks = |text: &str| text.lines().filter(|line| line.starts_with(mark)).count();
        let before = marks(&read());
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(b"GET /mark HTTP/1.0\r\n\r\n").unwrap();
        let begun = Instant::now();
        loop {
            let text = read();
            if marks(&text) > before {
                return text.lines().filter(|line| !line.starts_with(mark)).map(str::to_owned).collect();
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "nginx writes no line:\n{text}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What a [`Trickster`] does, connection after connection; the last one for all that follow.
#[derive(Clone, Copy)]
pub(crate) enum Trick {
    /// Sends what is asked for.
    None,
    /// Sends this many bytes and closes the connection.
    Cut(usize),
    /// Sends this many bytes, and then nothing.
    Stall(usize),
    /// Closes the connection without an answer.
    Away,
    /// Sends all of it, whatever part is asked for.
    Whole,
}

/// An origin of one blob that misbehaves. Its threads end with the test program.
pub(crate) struct Trickster {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Range<usize>>>>,
}

impl Trickster {
    pub(crate) fn start(blob: &[u8], tricks: &[Trick]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let (blob, mut tricks, kept) = (Arc::new(blob.to_owned()), tricks.to_owned(), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let trick = if tricks.len() > 1 { tricks.remove(0) } else { tricks[0] };
                let (blob, asked) = (Arc::clone(&blob), Arc::clone(&kept));
                thread::spawn(move || answer(stream, &blob, trick, &asked));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The parts that it was asked for.
    pub(crate) fn asked(&self) -> Vec<Range<usize>> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers one request. Who asks may have gone in the meantime.
fn answer(mut stream: TcpStream, blob: &[u8], trick: Trick, asked: &Mutex<Vec<Range<usize>>>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
    let range = request.lines().find_map(|line| line.strip_prefix("range: bytes="));
    let number = |text: &str| text.parse::<usize>().unwrap();
    let part = range.map_or(0..blob.len(), |range| match range.split_once('-').unwrap() {
        (first, "") => number(first)..blob.len(),
        (first, last) => number(first)..number(last) + 1,
    });
    asked.lock().unwrap().push(part.clone());
    let ranged = range.filter(|_| !matches!(trick, Trick::Whole));
    let part = if ranged.is_some() { part } else { 0..blob.len() };
    let (status, place) = match ranged {
        Some(_) => {
            ("206 Partial Content", format!("Content-Range: bytes {}-{}/{}\r\n", part.start, part.end - 1, blob.len()))
        }
        None => ("200 OK", String::new()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{place}\r\n", part.len());
    let body = &blob[part];
    let most = match trick {
        Trick::None | Trick::Whole => body.len(),
        Trick::Cut(most) | Trick::Stall(most) => most.min(body.len()),
        Trick::Away => return,
    };
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body[..most]));
    if matches!(trick, Trick::Stall(_)) {
        thread::sleep(Duration::from_mins(1));
    }
}
