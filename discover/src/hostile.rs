//! A server for the tests: answers each connection with given bytes, then closes it or holds it open.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Serves `replies` in order, one per connection, each after the request's header has been read. The receiver gets the
/// requests. A reply that ends with `HOLD` keeps the connection open for two seconds instead of closing it.
pub(crate) fn serve(replies: Vec<Vec<u8>>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (requests, seen) = channel();
    thread::spawn(move || {
        for reply in replies {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            let _ = requests.send(String::from_utf8(request).unwrap());
            let (bytes, hold) = match reply.strip_suffix(b"HOLD") {
                Some(bytes) => (bytes, true),
                None => (&reply[..], false),
            };
            let _ = stream.write_all(bytes);
            if hold {
                thread::sleep(Duration::from_secs(2));
            }
        }
    });
    (address, seen)
}

/// A reply with a status line, headers (each ending in `\r\n`) and a body.
pub(crate) fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
