//! A server that looks like a machine that shares, and gives whatever it was given.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use init::share::request::{Request, parse};

use crate::lan::PIECE;

/// Names (digests in hex) and bytes, which need not go together.
pub(crate) type Blobs = Vec<(String, Vec<u8>)>;

/// Serves for ever on threads of its own: of every blob it says that all pieces are proved. Each answer comes after `pause`.
pub(crate) fn serve(listener: TcpListener, blobs: Blobs, pause: Duration) {
    let blobs = Arc::new(blobs);
    thread::spawn(move || {
        for peer in listener.incoming().map_while(Result::ok) {
            let blobs = Arc::clone(&blobs);
            // A peer that has heard enough hangs up.
            thread::spawn(move || answer(peer, &blobs, pause).ok());
        }
    });
}

fn answer(mut peer: TcpStream, blobs: &Blobs, pause: Duration) -> std::io::Result<()> {
    let mut head = Vec::new();
    let request: Request = loop {
        let mut bytes = [0; 1024];
        let count = peer.read(&mut bytes)?;
        head.extend_from_slice(&bytes[..count]);
        match parse(&head) {
            Some(Ok(request)) => break request,
            None if count > 0 => {}
            _ => return Ok(()),
        }
    };
    thread::sleep(pause);
    let (kind, hex) = request.path.rsplit_once('/').unwrap_or_default();
    let Some((_, blob)) = blobs.iter().find(|(name, _)| name == hex) else {
        return peer.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let all = 0..blob.len() as u64;
    let (status, field, body) = match (kind, request.part.and_then(|part| part.of(all.end))) {
        ("/share", _) => ("200 OK", String::new(), vec![b'2'; blob.len().div_ceil(PIECE)]),
        (_, None) => ("200 OK", String::new(), blob.clone()),
        (_, Some(range)) => {
            let field = format!("Content-Range: bytes {}-{}/{}\r\n", range.start, range.end - 1, all.end);
            let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            ("206 Partial Content", field, blob[range].to_vec())
        }
    };
    write!(peer, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{field}Connection: close\r\n\r\n", body.len())?;
    peer.write_all(&body)
}
