//! Servers, and what PID 1 gets from them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
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

use crate::release;

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

/// Where every nginx listens, at its own address.
const PORT: u16 = 18_080;

/// How many were started, and one.
static STARTED: AtomicU8 = AtomicU8::new(1);

/// An nginx whose folders are trees of as many origins.
pub(crate) struct Nginx {
    program: Child,
    address: Ipv4Addr,
    folder: TempDir,
}

impl Nginx {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // An address of its own: nobody else can take the port while nginx starts.
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, high | 1, low, STARTED.fetch_add(1, Ordering::Relaxed));
        let place = folder.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
            .concat();
        // As root, nginx's worker would be somebody who cannot read a temporary folder.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let configuration = format!(
            "{user} daemon off; master_process off; pid {place}/pid; error_log {place}/error.log; events {{}}
             http {{ {temporary} log_format part '$uri $status $http_range_or_none'; log_format sent '$uri $body_bytes_sent'; map $http_range $http_range_or_none {{ '' -; default $http_range; }}
             access_log {place}/access.log part; access_log {place}/sent.log sent; sendfile_max_chunk 64k;
             server {{ listen {address}:{PORT}; root {place}; location /slow/ {{ limit_rate 40k; }} location /steady/ {{ limit_rate 4m; }} }} }}"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut nginx = Command::new("nginx");
        nginx.env("PATH", path).args(["-e", "stderr", "-c"]).arg(&file).stdin(Stdio::null());
        let mut server = Self { program: nginx.spawn().expect("nginx (package nginx-light)"), address, folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect((address, PORT)).is_err() {
            assert_eq!(server.program.try_wait().unwrap(), None, "nginx ended");
            assert!(Instant::now() < deadline, "nginx does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        server
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
        format!("http://{}:{PORT}/{tree}", self.address)
    }

    /// What PID 1 gets from these trees, or why nothing.
    pub(crate) fn download(&self, artifact: &Artifact, trees: &[&str]) -> Result<Vec<u8>, String> {
        let bases: Vec<String> = trees.iter().map(|tree| self.base(tree)).collect();
        Machine::new().download(artifact, &pool(&bases))
    }

    /// `PATH STATUS RANGE` of every request, in order of their ends. nginx writes a line when it is done with a request, so that the
    /// line of one that was broken off may come late.
    pub(crate) fn log(&self) -> Vec<String> {
        let file: PathBuf = self.folder.path().join("access.log");
        let read = || fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
        let mut lines = read();
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(50));
            let now = read();
            if now.len() == lines.len() && !now.is_empty() {
                break;
            }
            lines = now;
        }
        lines
    }
}

impl Nginx {
    /// Bytes that were sent of a tree.
    pub(crate) fn sent(&self, tree: &str) -> u64 {
        self.log();
        let log = fs::read_to_string(self.folder.path().join("sent.log")).unwrap();
        let lines = log.lines().filter(|line| line.starts_with(&format!("/{tree}/")));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.program.kill();
        let _ = self.program.wait();
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
