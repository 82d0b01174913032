//! Downloads from several origins, as PID 1 does them, against a real nginx whose trees are what the test wants them to be.

// A test that cannot go on says so by panicking, and so does what it stands on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use discover::Origin;
use init::console::{Console, Verbosity};
use init::download::{self, Carrier, DownloadError, Pulse};
use init::pool::Pool;
use init::share::shelf::Shelf;
use init::source::Source;
use tempfile::TempDir;
use verify::{Artifact, Chunks, Pieces, Sha256Digest};

/// Signs releases.
#[path = "../../verify/tests/support/release.rs"]
mod release;

/// Bytes of a piece.
const PIECE: usize = 1 << 20;
/// The place of a wrong bit in an artifact of [`content`].
const WRONG: usize = 5 * PIECE + 12_345;

#[test]
fn one_source_is_one_request_and_one_stream() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    server.put("one", &content);
    assert!(server.download(&artifact, &["one"]) == Ok(content));
    assert_eq!(server.log(), [format!("/one/blobs/sha256/{} 200 -", artifact.sha256)]);
}

#[test]
fn a_lie_costs_its_source_the_rest() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    server.put_as("lying", artifact.sha256, &wrong(&content));
    server.put("honest", &content);
    assert!(server.download(&artifact, &["lying", "honest"]) == Ok(content.clone()));
    let log = server.log();
    let of = |tree: &str| log.iter().filter(|line| line.starts_with(tree)).collect::<Vec<_>>();
    // Its share, in which the wrong piece is.
    assert_eq!(of("/lying/"), [&format!("/lying/blobs/sha256/{} 206 bytes=0-{}", artifact.sha256, 7 * PIECE - 1)]);
}

#[test]
fn two_liars_are_as_good_as_one_honest_source_if_they_lie_about_different_pieces() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    let mut other = content.clone();
    other[0] ^= 1;
    server.put_as("one", artifact.sha256, &wrong(&content));
    server.put_as("two", artifact.sha256, &other);
    assert!(server.download(&artifact, &["one", "two"]) == Ok(content));
}

#[test]
fn nothing_is_given_out_if_all_lie_about_the_same_piece() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    for tree in ["one", "two"] {
        server.put_as(tree, artifact.sha256, &wrong(&content));
    }
    let refused = server.download(&artifact, &["one", "two"]).unwrap_err();
    let bytes = format!("root: the SHA-256 of bytes {} to {} is ", 5 * PIECE, 6 * PIECE - 1);
    assert_eq!(refused.matches(&bytes).count(), 2, "{refused}");
    assert!(refused.starts_with("root came from no source: http://127.0.0.1:"), "{refused}");
}

#[test]
fn what_is_not_there_or_too_short_costs_only_a_question() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, _) = in_pieces(&content);
    server.put_as("short", artifact.sha256, &content[..PIECE]);
    server.put("whole", &content);
    assert!(server.download(&artifact, &["none", "short", "whole"]) == Ok(content));
}

#[test]
fn a_list_of_pieces_comes_from_whoever_has_it_right() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, list) = listed(&content);
    let list_sha256 = Sha256Digest::of(&list);
    let mut evil = list.clone();
    evil[40] ^= 1;
    server.put_as("evil", list_sha256, &evil);
    server.put("evil", &content);
    server.put("whole", &content);
    server.put("whole", &list);
    assert!(server.download(&artifact, &["evil", "bare", "whole"]) == Ok(content));
    let asked = ["evil", "bare", "whole"].map(|tree| format!("/{tree}/blobs/sha256/{list_sha256} "));
    let log = server.log();
    assert!(log.iter().zip(&asked).all(|(line, asked)| line.starts_with(asked)), "{log:?}");
    assert!(log[3..].iter().all(|line| !line.starts_with("/evil/")), "who lied about the list is asked on: {log:?}");
}

#[test]
fn without_a_list_no_piece_is_asked_for() {
    let (content, server) = (content(), Nginx::start());
    let (artifact, list) = listed(&content);
    server.put("bare", &content);
    let refused = server.download(&artifact, &["bare"]).unwrap_err();
    assert!(refused.starts_with("root.pieces came from no source: "), "{refused}");
    assert_eq!(server.log(), [format!("/bare/blobs/sha256/{} 404 -", Sha256Digest::of(&list))]);
}

#[test]
fn an_artifact_without_pieces_comes_whole_from_the_next_source() {
    let (content, server) = (content(), Nginx::start());
    let artifact = Artifact { pieces: None, ..in_pieces(&content).0 };
    server.put_as("lying", artifact.sha256, &wrong(&content));
    server.put("honest", &content);
    assert!(server.download(&artifact, &["lying", "honest"]) == Ok(content));
    let log = server.log();
    assert_eq!(log.len(), 2);
    assert!(log.iter().all(|line| line.ends_with(" 200 -")), "{log:?}");
}

/// Bytes that differ from piece to piece; the last piece is short.
fn content() -> Vec<u8> {
    (0..12 * PIECE + 77).map(|n| (n ^ (n >> 8) ^ (n >> 16)).to_le_bytes()[0]).collect()
}

/// The same with one wrong bit.
fn wrong(content: &[u8]) -> Vec<u8> {
    let mut wrong = content.to_owned();
    wrong[WRONG] ^= 0x20;
    wrong
}

/// The artifact with the digests of its pieces, and those digests one after the other.
fn in_pieces(content: &[u8]) -> (Artifact, Vec<u8>) {
    let digests: Vec<_> = content.chunks(PIECE).map(Sha256Digest::of).collect();
    let list = digests.iter().flat_map(|digest| digest.0).collect();
    (artifact(content, Chunks::Inline(digests)), list)
}

/// The artifact with its list in a blob, and that blob.
fn listed(content: &[u8]) -> (Artifact, Vec<u8>) {
    let (_, list) = in_pieces(content);
    (artifact(content, Chunks::List { list_sha256: Sha256Digest::of(&list) }), list)
}

fn artifact(content: &[u8], chunks: Chunks) -> Artifact {
    let size = content.len() as u64;
    let pieces = Some(Pieces::new(size, PIECE as u64, chunks).unwrap());
    Artifact { name: "root".to_owned(), size, sha256: Sha256Digest::of(content), pieces }
}

#[derive(Debug)]
struct Unheard;

impl Pulse for Unheard {
    fn beat(&self) {}
}

/// An nginx whose folders are trees of as many origins.
struct Nginx {
    program: Child,
    port: u16,
    folder: TempDir,
}

impl Nginx {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let place = folder.path().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
            .concat();
        // As root, nginx's worker would be somebody who cannot read a temporary folder.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let configuration = format!(
            "{user} daemon off; master_process off; pid {place}/pid; error_log {place}/error.log; events {{}}
             http {{ {temporary} log_format part '$uri $status $http_range_or_none'; map $http_range $http_range_or_none {{ '' -; default $http_range; }}
             access_log {place}/access.log part; server {{ listen 127.0.0.1:{port}; root {place}; }} }}"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let mut nginx = Command::new("nginx");
        nginx.env("PATH", path).args(["-e", "stderr", "-c"]).arg(&file).stdin(Stdio::null());
        let mut server = Self { program: nginx.spawn().expect("nginx (package nginx-light)"), port, folder };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert_eq!(server.program.try_wait().unwrap(), None, "nginx ended");
            assert!(Instant::now() < deadline, "nginx does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Puts a blob into a tree, under its digest.
    fn put(&self, tree: &str, bytes: &[u8]) {
        self.put_as(tree, Sha256Digest::of(bytes), bytes);
    }

    /// Puts bytes into a tree that are not what their name says.
    fn put_as(&self, tree: &str, name: Sha256Digest, bytes: &[u8]) {
        let blobs = self.folder.path().join(tree).join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(name.to_string()), bytes).unwrap();
    }

    /// What PID 1 gets from these trees, or why nothing.
    fn download(&self, artifact: &Artifact, trees: &[&str]) -> Result<Vec<u8>, String> {
        let origin =
            |tree: &&str| Source::from(Origin::parse(&format!("http://127.0.0.1:{}/{tree}", self.port)).unwrap());
        let pool: Pool = trees.iter().map(origin).collect();
        let console = Console::attach(Path::new("/nowhere"), "", Verbosity::Quiet);
        let carrier = Carrier { sources: &pool, shelf: &Shelf::closed(), console: &console, pulse: &Unheard };
        let file =
            download::sealed(&release::signed(artifact), &carrier).map_err(|error: DownloadError| error.to_string())?;
        let mut bytes = vec![0; usize::try_from(file.size()).unwrap()];
        let mut at = 0;
        while at < bytes.len() {
            at += rustix::io::pread(&file, &mut bytes[at..], at as u64).unwrap();
        }
        Ok(bytes)
    }

    /// `PATH STATUS RANGE` of every request, in order. nginx writes a line when it is done with a request, so that the
    /// line of one that was broken off may come late.
    fn log(&self) -> Vec<String> {
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

impl Drop for Nginx {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
