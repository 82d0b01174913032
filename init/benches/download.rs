//! `make bench`: what hashing costs a download, on this host, from nginx over loopback with nothing slowed down.
//!
//! In each round, one after the other: the bytes fetched into an arena and not hashed, the same bytes hashed in memory,
//! and both at once by the code that PID 1 runs ([`init::download::sealed`]), built as it ships: as one whole, and in
//! pieces whose digests are a list of their own. The promise is that both at once take at most [`WANTED`] times as long
//! as the slower of the two; exit status 1 if they take longer. Beside it, and without a promise, since one server on one
//! machine is not faster for being asked twice: the same in pieces from two sources at once.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use discover::{Origin, Sink};
use init::{
    console::{Console, Verbosity},
    download::{self, Carrier, Pulse},
    pool::Pool,
    share::shelf::Shelf,
    source::Source,
    sys::memory::SharedBuffer,
};
use verify::{Artifact, Chunks, Pieces, Sha256Digest};

#[path = "../../verify/tests/support/release.rs"]
mod release;

/// Bytes of the blob.
const SIZE: usize = 300_000_000;
/// Rounds; the first warms up the page cache and does not count.
const ROUNDS: usize = 9;
/// Most that the download with hashing may take, of the slower of download and hash.
const WANTED: f64 = 1.25;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, Error> {
    let directory = tempfile::tempdir()?;
    let artifact = publish(directory.path())?;
    let server = Nginx::start(directory.path())?;
    let [origin, other] = ["", "/other"].map(|tree| Origin::parse(&format!("http://127.0.0.1:{}{tree}", server.port)));
    let (origin, other) = (origin?, other?);

    println!(
        "{:>5} {:>12} {:>12} {:>12} {:>7} {:>12} {:>7} {:>12} {:>7}",
        "round", "download", "hash", "whole", "ratio", "pieces", "ratio", "two sources", "ratio"
    );
    let mut rounds = Vec::new();
    for number in 0..=ROUNDS {
        let round = Round::run(&origin, &other, &artifact)?;
        let name = if number == 0 { "warm".to_owned() } else { number.to_string() };
        println!("{name:>5} {round}");
        rounds.push(round);
    }
    let median = Round::median(&rounds[1..]);
    println!("{:>5} {median}", "");
    // Server, receiver and hash are three on the cores that others leave: without a free one the sum is what is seen.
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average of this host: {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    let mut reached = true;
    for (way, time) in [("as a whole", median.whole), ("in pieces", median.pieces)] {
        let ratio = median.ratio(time);
        reached &= ratio <= WANTED;
        let verdict = if ratio <= WANTED { "reached" } else { "MISSED" };
        println!(
            "download with hashing {way}: {ratio:.2} of the slower of the two, wanted <= {WANTED:.2}: {verdict} (medians of {ROUNDS} rounds)"
        );
    }
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What one round took.
#[derive(Clone, Copy)]
struct Round {
    download: Duration,
    hash: Duration,
    whole: Duration,
    pieces: Duration,
    /// In pieces from two sources.
    two: Duration,
}

impl Round {
    /// `artifact` has pieces.
    fn run(origin: &Origin, other: &Origin, artifact: &Artifact) -> Result<Self, Error> {
        let begun = Instant::now();
        let mut arena = SharedBuffer::reserve("bench", SIZE)?;
        fetch(origin, artifact, arena.bytes())?;
        let download = begun.elapsed();

        let begun = Instant::now();
        let digest = Sha256Digest::of(arena.bytes());
        let hash = begun.elapsed();
        assert_eq!(digest, artifact.sha256, "the download alone brought other bytes");
        drop(arena);

        let whole = sealed(&[origin], &Artifact { pieces: None, ..artifact.clone() })?;
        let pieces = sealed(&[origin], artifact)?;
        let two = sealed(&[origin, other], artifact)?;
        Ok(Self { download, hash, whole, pieces, two })
    }

    fn median(rounds: &[Self]) -> Self {
        let middle = |time: fn(&Self) -> Duration| {
            let mut times: Vec<_> = rounds.iter().map(time).collect();
            times.sort();
            times[times.len() / 2]
        };
        Self {
            download: middle(|round| round.download),
            hash: middle(|round| round.hash),
            whole: middle(|round| round.whole),
            pieces: middle(|round| round.pieces),
            two: middle(|round| round.two),
        }
    }

    /// Of the slower of download and hash.
    fn ratio(&self, both: Duration) -> f64 {
        both.as_secs_f64() / self.download.max(self.hash).as_secs_f64()
    }
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        write!(f, "{:>9.1} ms {:>9.1} ms ", ms(self.download), ms(self.hash))?;
        write!(f, "{:>9.1} ms {:>7.2} ", ms(self.whole), self.ratio(self.whole))?;
        write!(f, "{:>9.1} ms {:>7.2} ", ms(self.pieces), self.ratio(self.pieces))?;
        write!(f, "{:>9.1} ms {:>7.2}", ms(self.two), self.ratio(self.two))
    }
}

/// How long PID 1's own download takes.
fn sealed(origins: &[&Origin], artifact: &Artifact) -> Result<Duration, Error> {
    let console = Console::attach(Path::new("/nowhere"), "", Verbosity::Quiet);
    let pool: Pool = origins.iter().map(|origin| Source::from(Origin::clone(origin))).collect();
    let shelf = Shelf::closed();
    let carrier = Carrier { sources: &pool, shelf: &shelf, console: &console, pulse: &Unheard };
    let artifact = release::signed(artifact);
    let begun = Instant::now();
    let file = download::sealed(&artifact, &carrier)?;
    let time = begun.elapsed();
    drop(file);
    Ok(time)
}

#[derive(Debug)]
struct Unheard;

impl Pulse for Unheard {
    fn beat(&self) {}
}

/// The same fetcher into the same kind of memory, in pieces as `verify` lends them, and nobody hashes.
fn fetch(origin: &Origin, artifact: &Artifact, arena: &mut [u8]) -> Result<(), Error> {
    const PIECE: usize = 256 << 10;
    struct Plain<'a>(&'a mut [u8], usize);
    impl Sink for Plain<'_> {
        fn space(&mut self) -> &mut [u8] {
            let end = (self.1 / PIECE + 1) * PIECE;
            let end = end.min(self.0.len());
            &mut self.0[self.1..end]
        }
        fn filled(&mut self, count: usize) {
            self.1 += count;
        }
        fn position(&self) -> u64 {
            self.1 as u64
        }
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut sink = Plain(arena, 0);
    Ok(origin.blob(&artifact.sha256.to_string(), artifact.size, artifact.size, &mut sink, deadline, &mut |_| ())?)
}

/// Writes a blob that looks like a compressed one below `root`, and the list of its pieces, as a published tree has them.
fn publish(root: &Path) -> Result<Artifact, Error> {
    let mut bytes = Vec::with_capacity(SIZE);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while bytes.len() < SIZE {
        // Xorshift (Marsaglia, 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(SIZE);
    let directory = root.join("blobs/sha256");
    fs::create_dir_all(&directory)?;
    std::os::unix::fs::symlink(root, root.join("other"))?;
    let put = |bytes: &[u8]| {
        let sha256 = Sha256Digest::of(bytes);
        fs::write(directory.join(sha256.to_string()), bytes).map(|()| sha256)
    };
    let pieces = bytes.chunks(usize::try_from(Pieces::USUAL_SIZE)?).flat_map(|piece| Sha256Digest::of(piece).0);
    let chunks = Chunks::List { list_sha256: put(&pieces.collect::<Vec<_>>())? };
    let pieces = Pieces::new(SIZE as u64, Pieces::USUAL_SIZE, chunks)?;
    Ok(Artifact { name: "blob".to_owned(), size: SIZE as u64, sha256: put(&bytes)?, pieces: Some(pieces) })
}

/// nginx on a free port; it ends with this value.
struct Nginx {
    child: Child,
    port: u16,
}

impl Nginx {
    fn start(root: &Path) -> Result<Self, Error> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let place = root.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
            .concat();
        // As root, nginx's worker would be somebody who cannot read a temporary folder.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let configuration = format!(
            "{user} daemon off; worker_processes 1; pid {place}/pid; error_log stderr;\n\
             events {{}}\n\
             http {{ {temporary} access_log off; sendfile on; tcp_nopush on;\n\
             server {{ listen 127.0.0.1:{port}; root {place}; }} }}\n"
        );
        let file = root.join("nginx.conf");
        fs::write(&file, configuration)?;
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut nginx = Command::new("nginx");
        nginx.env("PATH", path).args(["-e", "stderr", "-c"]).arg(&file).stdin(Stdio::null());
        let mut child = nginx.spawn().map_err(|error| format!("nginx (package nginx-light): {error}"))?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(format!("nginx ended: {status}").into());
            }
            if Instant::now() > deadline {
                return Err("nginx does not listen after 10 s".into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { child, port })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM lets the master end its worker too.
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
