//! A server for the tests: answers each connection with given bytes, then closes it or holds it open.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// Serves `replies` in order, one per connection, each after the request's header has been read. The receiver gets the
/// requests. A reply that ends with `HOLD` keeps the connection open until the other end closes it.
pub(crate) fn serve(replies: Vec<Vec<u8>>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (requests, seen) = channel();
    thread::spawn(move || {
        for reply in replies {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = requests.send(request(&mut stream));
            answer(&mut stream, &reply);
        }
    });
    (address, seen)
}

/// Serves each path with the reply beside it, as often as it is asked for and many at once, and every other with 404.
pub(crate) fn serve_tree(files: Vec<(&'static str, Vec<u8>)>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let files = Arc::new(files);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let files = Arc::clone(&files);
            thread::spawn(move || {
                let request = request(&mut stream);
                let path = request.split(' ').nth(1).unwrap_or_default();
                let missing = reply("404 Not Found", "Content-Length: 0\r\n", b"");
                answer(&mut stream, files.iter().find(|(name, _)| *name == path).map_or(&missing, |(_, reply)| reply));
            });
        }
    });
    address
}

fn request(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            break;
        }
        request.push(byte[0]);
    }
    String::from_utf8(request).unwrap()
}

fn answer(stream: &mut TcpStream, reply: &[u8]) {
    let (bytes, hold) = match reply.strip_suffix(b"HOLD") {
        Some(bytes) => (bytes, true),
        None => (reply, false),
    };
    let _ = stream.write_all(bytes);
    if hold {
        let _ = stream.read(&mut [0]);
    }
}

/// A reply with a status line, headers (each ending in `\r\n`) and a body.
pub(crate) fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
