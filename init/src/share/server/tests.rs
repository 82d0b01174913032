//! The server over real sockets of the loopback interface, which is a link too.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::thread::sleep;

use verify::Sha256Digest;

use super::*;
use crate::share::shelf::tests::{PIECE, content, shelf};
use crate::share::shelf::{Board, Shelf};
use crate::sys::memory::SharedBuffer;

pub(in crate::share) fn server(shelf: Shelf) -> Server {
    let (channel, arch, envelope) = ("demo".to_owned(), "x86_64".to_owned(), b"{an envelope}".to_vec());
    Server::begin(Catalogue { channel, arch, envelope, proof: None, shelf: Arc::new(shelf) }).unwrap()
}

fn connect(server: &Server) -> TcpStream {
    let peer = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    peer
}

fn send(mut peer: &TcpStream, path: &str, range: &str) {
    write!(peer, "GET {path} HTTP/1.1\r\nHost: h\r\nRange: {range}\r\n\r\n").unwrap();
}

/// The answer's status and body, once the server has closed the connection.
fn answer(mut peer: TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or_else(|| panic!("{bytes:?}")) + 4;
    let status = String::from_utf8_lossy(&bytes[9..12]).into_owned();
    (status, bytes.split_off(end))
}

fn get(server: &Server, path: &str, range: &str) -> (String, Vec<u8>) {
    let peer = connect(server);
    send(&peer, path, range);
    answer(peer)
}

/// A shelf with one whole blob of `size` bytes, and its path.
pub(in crate::share) fn large(size: usize) -> (Shelf, Arc<Board>, String) {
    let (shelf, buffer, name) =
        (Shelf::open(), SharedBuffer::reserve("large", size).unwrap(), Sha256Digest::of(b"large"));
    let board = shelf.put_up(name, size as u64, size as u64, buffer.reader(), 0);
    board.assume_proved();
    (shelf, board, format!("/blobs/sha256/{name}"))
}

#[test]
fn what_is_proved_is_served_and_what_is_not_is_not() {
    let content = content();
    let (shelf, board) = shelf(&content, &[1]);
    let server = server(shelf);
    let hex = Sha256Digest::of(&content);
    let blob = format!("/blobs/sha256/{hex}");
    assert_eq!(get(&server, "/demo/x86_64/manifest.dsse.json", ""), ("200".to_owned(), b"{an envelope}".to_vec()));
    assert_eq!(get(&server, &format!("/share/{hex}"), "").1, b"020");
    let (status, body) = get(&server, &blob, &format!("bytes={PIECE}-{}", 2 * PIECE - 1));
    assert!(status == "206" && body == content[PIECE..2 * PIECE]);
    board.fetching(0);
    for range in ["", "bytes=0-99", &format!("bytes={}-{}", PIECE - 1, PIECE)] {
        assert_eq!(get(&server, &blob, range), ("404".to_owned(), Vec::new()), "{range:?}");
    }
    assert_eq!(get(&server, &format!("/share/{hex}"), "").1, b"120");
    let activity = server.activity();
    assert_eq!(activity.given.peers, 1);
    assert!(activity.given.bytes > PIECE as u64 && activity.last.elapsed() < Duration::from_secs(5), "{activity:?}");
}

#[test]
fn a_request_in_single_bytes_is_one() {
    let server = server(Shelf::open());
    let mut peer = connect(&server);
    peer.set_nodelay(true).unwrap();
    for byte in b"GET /demo/x86_64/manifest.dsse.json HTTP/1.1\r\nHost: h\r\n\r\n" {
        peer.write_all(&[*byte]).unwrap();
    }
    assert_eq!(answer(peer).0, "200");
}

#[test]
fn rubbish_is_told_so_and_costs_nobody_else_anything() {
    let server = server(Shelf::open());
    for (rubbish, status) in [(&b"\x16\x03\x01\x02\x00\x01"[..], "400"), (&[b'x'; 10_000], "431")] {
        let mut peer = connect(&server);
        peer.write_all(rubbish).unwrap();
        assert_eq!(answer(peer).0, status);
    }
    assert_eq!(get(&server, "/demo/x86_64/manifest.dsse.json", "").0, "200");
}

#[test]
fn who_says_nothing_is_sent_away_and_one_address_has_its_share_of_connections() {
    let server = server(Shelf::open());
    let silent: Vec<TcpStream> = (0..LIMITS.connections_of_one).map(|_| connect(&server)).collect();
    sleep(Duration::from_millis(500));
    // One too many is closed at once; those before it are not.
    let begin = Instant::now();
    assert_eq!((&connect(&server)).read(&mut [0]).unwrap(), 0);
    assert!(begin.elapsed() < LIMITS.request / 2);
    for mut peer in silent {
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    }
    assert!(begin.elapsed() < 2 * LIMITS.request, "{:?}", begin.elapsed());
    assert_eq!(get(&server, "/demo/x86_64/manifest.dsse.json", "").0, "200");
}

#[test]
fn who_reads_nothing_does_not_keep_a_server_from_its_end() {
    let (shelf, _board, path) = large(32 << 20);
    let server = server(shelf);
    let mut peer = connect(&server);
    send(&peer, &path, "");
    peer.read_exact(&mut [0; 100]).unwrap();
    // It is stuck in the middle, and others are not.
    sleep(Duration::from_millis(300));
    assert_eq!(get(&server, &path, "bytes=0-9").1, [0; 10]);
    let begin = Instant::now();
    let port = server.port();
    drop(server);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "somebody still listens");
    let mut rest = Vec::new();
    // Cut: by a reset, or by an end that comes too early.
    let cut = peer.read_to_end(&mut rest).map_or(true, |count| count < 32 << 20);
    assert!(cut, "all of it came");
}

#[test]
fn who_has_had_enough_gets_no_more() {
    let size = 8 << 20;
    let (shelf, _board, path) = large(size);
    let server = server(shelf);
    // Four times the size and 16 MiB: six times 8 MiB.
    for _ in 0..6 {
        let (status, body) = get(&server, &path, "");
        assert_eq!((&*status, body.len()), ("200", size));
    }
    assert_eq!(get(&server, &path, ""), ("503".to_owned(), Vec::new()));
    assert_eq!(get(&server, &path, "bytes=0-9").0, "503");
}
