//! What a request is answered with: a pure decision over what this machine has.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use super::request::{Refused, Request};
use super::shelf::Shelf;
use crate::sys::memory::Reader;

/// All that is served: the verified envelope, and what is proved of the blobs that its manifest names.
#[derive(Debug)]
pub struct Catalogue {
    /// The release's channel.
    pub channel: String,
    /// Its architecture.
    pub arch: String,
    /// The envelope, as it was verified.
    pub envelope: Vec<u8>,
    /// The proof that it was logged, if one came with it.
    pub proof: Option<Vec<u8>>,
    /// The blobs.
    pub shelf: Arc<Shelf>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Status line and fields, with the empty line at the end; behind them the body, if it is a small one.
    pub head: Vec<u8>,
    /// The body, if it is bytes of a blob: where they stand.
    pub blob: Option<(Reader, Range<u64>)>,
}

impl Catalogue {
    /// The answer to a request, or to what was none.
    pub fn answer(&self, request: Result<&Request, Refused>) -> Answer {
        let request = match request {
            Ok(request) => request,
            Err(Refused::Malformed) => return Answer::refusal(400, ""),
            Err(Refused::Method) => return Answer::refusal(405, "Allow: GET, HEAD\r\n"),
            Err(Refused::TooLarge) => return Answer::refusal(431, ""),
        };
        let answer = self.file(request).unwrap_or_else(|| Answer::refusal(404, ""));
        if request.head_only { answer.without_body() } else { answer }
    }

    /// The file at the request's path, if there is one.
    fn file(&self, request: &Request) -> Option<Answer> {
        let path = request.path.strip_prefix('/')?;
        if let Some(hex) = path.strip_prefix("share/") {
            return Some(Answer::document(&self.shelf.board(hex)?.states()));
        }
        let Some(hex) = path.strip_prefix("blobs/sha256/") else {
            let file = path.strip_prefix(&*self.channel)?.strip_prefix('/')?.strip_prefix(&*self.arch)?;
            return match file {
                "/manifest.dsse.json" => Some(Answer::document(&self.envelope)),
                "/manifest.sigsum-proof" => self.proof.as_deref().map(Answer::document),
                _ => None,
            };
        };
        let board = self.shelf.board(hex)?;
        let (size, part) = (board.size(), request.part);
        let Some(range) = part.map_or(Some(0..size), |part| part.of(size)) else {
            return Some(Answer::refusal(416, &format!("Content-Range: bytes */{size}\r\n")));
        };
        let length = range.end - range.start;
        let (status, field) = match part {
            None => (200, String::new()),
            Some(_) => (206, format!("Content-Range: bytes {}-{}/{size}\r\n", range.start, range.end - 1)),
        };
        let blob = board.given(&range)?;
        Some(Answer { status, head: head(status, length, &format!("{CONTENT}{field}")), blob: Some(blob) })
    }
}

/// The field of every answer that has a file.
const CONTENT: &str = "Content-Type: application/octet-stream\r\n";

impl Answer {
    /// An answer without a file.
    pub fn refusal(status: u16, fields: &str) -> Self {
        Self { status, head: head(status, 0, fields), blob: None }
    }

    fn document(bytes: &[u8]) -> Self {
        let mut head = head(200, bytes.len() as u64, CONTENT);
        head.extend_from_slice(bytes);
        Self { status: 200, head, blob: None }
    }

    fn without_body(mut self) -> Self {
        let end = self.head.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(self.head.len(), |at| at + 4);
        self.head.truncate(end);
        Self { blob: None, ..self }
    }
}

fn head(status: u16, length: u64, fields: &str) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        206 => "Partial Content",
        400 => "Bad Request",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Not Found",
    };
    let mut head = String::new();
    // Writing to a string does not fail.
    _ = write!(head, "HTTP/1.1 {status} {reason}\r\nContent-Length: {length}\r\n{fields}Connection: close\r\n\r\n");
    head.into_bytes()
}

#[cfg(test)]
mod tests;
