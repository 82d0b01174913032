//! `phase serve` and connections that do not go as they should: what one peer does is nothing to the others.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    common::program,
    serve::{Server, home, status},
};

/// Longer than anything here takes, and shorter than what the server waits for by itself.
const PATIENCE: Duration = Duration::from_secs(20);

const LARGE: usize = 64 << 20;

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends `request`, with an end of its head, and reads until the server closes the connection.
fn talk(server: &Server, request: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The head of an answer, and the stream behind it.
fn ask(server: &Server, path: &str) -> (String, BufReader<TcpStream>) {
    let mut stream = BufReader::new(connect(server));
    write!(stream.get_mut(), "GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
    }
    (head, stream)
}

#[test]
fn requests_in_one_packet_are_answered_in_turn() {
    let home = home();
    fs::write(home.path().join("tree/one"), "1").unwrap();
    fs::write(home.path().join("tree/two"), "22").unwrap();
    let server = Server::start(home.path());
    let answers = talk(
        &server,
        b"GET /one HTTP/1.1\r\nHost: h\r\n\r\nHEAD /two HTTP/1.1\r\nHost: h\r\n\r\nGET /two HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    );
    let bodies: Vec<_> = answers.split("\r\n\r\n").skip(1).map(|part| part.split("HTTP/1.1").next().unwrap()).collect();
    assert_eq!(bodies, ["1", "", "22"], "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 3, "{answers}");
    assert_eq!(answers.matches("connection: close\r\n").count(), 1, "{answers}");
    let old = talk(&server, b"GET /one HTTP/1.0\r\n\r\n");
    assert!(old.contains("connection: close\r\n") && old.ends_with("\r\n\r\n1"), "{old}");
}

#[test]
fn what_is_no_request_is_refused_and_ends_the_connection() {
    let home = home();
    let server = Server::start(home.path());
    let endless = format!("GET / HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(100));
    let cases: [(&[u8], &str); 7] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505 HTTP Version Not Supported"),
        (endless.as_bytes(), "431 Request Header Fields Too Large"),
        (many.as_bytes(), "431 Request Header Fields Too Large"),
        // Not refused for its body, which nobody reads; what follows it is no request.
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 36\r\n\r\nGET /blobs/file HTTP/1.1\r\nHost: h\r\n\r\n",
            "405 Method Not Allowed",
        ),
    ];
    for (request, wanted) in cases {
        let answer = talk(&server, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {wanted}\r\n")), "{wanted}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    let (_, log) = server.stop();
    assert!(log.contains(" - - 400 0 ") && log.contains(" POST / 405 0 "), "{log}");
}

#[test]
fn nothing_from_a_peer_reaches_the_terminal() {
    let home = home();
    let server = Server::start(home.path());
    // U+009B begins an escape sequence, like ESC [.
    let answer = talk(&server, "GET /\u{9b}2J HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".as_bytes());
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    let (_, log) = server.stop();
    assert!(log.lines().count() > 0 && !log.contains('\u{9b}'), "{log:?}");
}

#[test]
fn a_file_that_is_replaced_is_sent_to_its_end() {
    let home = home();
    let tree = home.path().join("tree");
    fs::write(tree.join("large"), vec![b'a'; LARGE]).unwrap();
    let server = Server::start(home.path());
    let (head, mut body) = ask(&server, "/large");
    assert!(head.contains(&format!("content-length: {LARGE}\r\n")), "{head}");
    // As `phase publish` writes: a new file takes the name.
    fs::write(tree.join("new"), "another").unwrap();
    fs::rename(tree.join("new"), tree.join("large")).unwrap();
    let mut old = vec![0; LARGE];
    body.read_exact(&mut old).unwrap();
    assert!(old.iter().all(|byte| *byte == b'a'));
    // The same connection has the new one.
    write!(body.get_mut(), "GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut new = String::new();
    body.read_to_string(&mut new).unwrap();
    assert!(new.ends_with("\r\n\r\nanother"), "{new}");
}

#[test]
fn a_file_that_becomes_shorter_cuts_the_transfer() {
    let home = home();
    let file = home.path().join("tree/large");
    fs::write(&file, vec![b'a'; LARGE]).unwrap();
    let server = Server::start(home.path());
    let (_, mut body) = ask(&server, "/large");
    fs::File::options().write(true).open(&file).unwrap().set_len(10).unwrap();
    let mut got = Vec::new();
    body.read_to_end(&mut got).unwrap();
    assert!(got.len() < LARGE, "{}", got.len());
    let (_, log) = server.stop();
    assert!(log.contains("GET /large 200 ") && log.contains(" cut "), "{log}");
}

#[test]
fn a_fifo_in_the_tree_holds_nobody() {
    let home = home();
    program(home.path(), "mkfifo", &["tree/fifo"]);
    let server = Server::start(home.path());
    for arguments in [&["--max-time", "20"][..], &["--max-time", "20", "-I"]] {
        let url = format!("{}/fifo", server.url);
        assert_eq!(status(home.path(), &[arguments, &[&*url]].concat()), "404");
    }
}

/// 300 peers: some say nothing, some half of a request, some ask for much and take nothing.
fn stuck(server: &Server) -> Vec<TcpStream> {
    let connections = (0..300).map(|number| {
        let mut stream = connect(server);
        match number % 3 {
            0 => {}
            1 => stream.write_all(b"GET /large HTTP/1.1\r\nHos").unwrap(),
            _ => stream.write_all(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n").unwrap(),
        }
        stream
    });
    connections.collect()
}

/// Whether a file can be fetched now.
fn is_served(home: &Path, server: &Server) -> bool {
    status(home, &["--max-time", "20", &format!("{}/blobs/file", server.url)]) == "200"
}

#[test]
fn peers_that_are_stuck_cost_the_others_nothing_and_do_not_hold_the_end() {
    let home = home();
    fs::write(home.path().join("tree/large"), vec![0; LARGE]).unwrap();
    // Fewer open files than that takes; the server raises the limit as far as it may.
    let server = Server::start_limited(home.path(), "ulimit -S -n 128");
    let connections = stuck(&server);
    for _ in 0..20 {
        assert!(is_served(home.path(), &server));
    }
    let begin = Instant::now();
    let (well, log) = server.stop();
    assert!(well && begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    // Every request that was understood is in the log, whatever became of it.
    assert_eq!(log.matches("GET /large 200 ").count(), 100, "{log}");
    assert_eq!(log.matches(" cut ").count(), 100, "{log}");
    assert_eq!(log.matches("GET /blobs/file 200 100000 ").count(), 20, "{log}");
    drop(connections);
}

#[test]
fn peers_wait_for_their_turn_if_files_are_few() {
    let home = home();
    // Eight connections at once (80, less 64 for everything else, two for each).
    let server = Server::start_limited(home.path(), "ulimit -n 80");
    let waiting: Vec<_> = (0..30)
        .map(|_| {
            let mut stream = connect(&server);
            stream.write_all(b"GET /blobs/file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
            stream
        })
        .collect();
    for mut stream in waiting {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 OK") && answer.len() > 100_000);
    }
}
