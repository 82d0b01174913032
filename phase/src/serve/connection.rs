//! One connection: request heads in, answers out (HTTP/1.1, RFC 9112). The kernel sends the files, by sendfile(2).
//!
//! A server from a crate reads a file into memory and writes it to the socket again, which costs three times what the
//! network does (docs/decisions/0011-sendfile.md). What is left without it is small: GET and HEAD, no body from a client is
//! ever read, and a connection that is not understood is closed.
//!
//! No peer holds a connection for ever: a head has [`PATIENCE`] to come, and the kernel ends a connection whose peer takes
//! nothing ([`super::listen::bind`]).

use std::{
    fs::File,
    io::{self, ErrorKind},
    net::SocketAddr,
    ops::Range,
    time::{Duration, SystemTime},
};

use http::{
    HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};
use rustix::{
    fs::sendfile,
    net::{SendFlags, send},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

use super::{
    Site,
    access::Entry,
    files::{Answer, answer},
};

/// Longest wait for a whole request head, from the connection's beginning or the last answer's end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest request head, in bytes.
const HEAD_BYTES: usize = 16 << 10;
/// Most header fields of a request.
const FIELDS: usize = 64;
/// Most bytes that the kernel sends in one call, so that the other connections of this thread get their turn.
const TURN: u64 = 2 << 20;
/// How long, and how much of, what a client still sends is thrown away, so that it reads the answer before the end.
const LINGER: (Duration, u64) = (Duration::from_secs(1), 1 << 20);

/// Answers the requests of a connection until it ends, or until the server stops.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, site: &Site, mut stopping: watch::Receiver<bool>) {
    let mut connection = Connection { stream, buffer: Vec::new() };
    loop {
        let asked = tokio::select! {
            asked = timeout(PATIENCE, connection.request()) => asked,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        // An error is a peer that is gone, or that asked for nothing in time: there is nobody to tell.
        let Ok(Ok(Some(asked))) = asked else { return };
        match connection.exchange(asked, peer, site).await {
            Ok(Then::Next) if !*stopping.borrow() => {}
            Ok(Then::Next) | Err(_) => return,
            Ok(Then::Close) => return connection.close().await,
        }
    }
}

/// What follows an answer.
enum Then {
    Next,
    Close,
}

/// A request, or the answer to what is none.
type Asked = Result<Request<()>, StatusCode>;

struct Connection {
    stream: TcpStream,
    /// What has come and is not yet understood.
    buffer: Vec<u8>,
}

impl Connection {
    /// Waits for the next request; `None` if the peer is done.
    async fn request(&mut self) -> io::Result<Option<Asked>> {
        loop {
            match head(&self.buffer) {
                Ok(Some((request, length))) => {
                    self.buffer.drain(..length);
                    return Ok(Some(Ok(request)));
                }
                Ok(None) if self.buffer.len() < HEAD_BYTES => {}
                Ok(None) => return Ok(Some(Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))),
                Err(status) => return Ok(Some(Err(status))),
            }
            self.buffer.reserve(1 << 10);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Answers one request.
    async fn exchange(&self, asked: Asked, peer: SocketAddr, site: &Site) -> io::Result<Then> {
        let (mut entry, answer, then) = match asked {
            Ok(request) => {
                let entry = site.log.entry(peer, request.method().as_str(), request.uri().path());
                let then = if is_last(&request) { Then::Close } else { Then::Next };
                (entry, answer(&site.tree, request).await, then)
            }
            Err(status) => (site.log.entry(peer, "-", "-"), Answer::of(status), Then::Close),
        };
        if let Some(entry) = &mut entry {
            let announced = answer.body.as_ref().map_or(0, |(_, part)| part.end - part.start);
            entry.answered(answer.status.as_u16(), announced);
        }
        self.send_head(&answer, matches!(then, Then::Close)).await?;
        if let Some((file, part)) = answer.body {
            self.send_file(&file, part, entry.as_mut()).await?;
        }
        Ok(then)
    }

    /// Sends the head; if bytes follow, they go into the same packet.
    async fn send_head(&self, answer: &Answer, close: bool) -> io::Result<()> {
        let head = answer_head(answer, close, SystemTime::now());
        let flags = if answer.body.is_some() { SendFlags::MORE } else { SendFlags::empty() } | SendFlags::NOSIGNAL;
        let mut left = &head[..];
        while !left.is_empty() {
            let sent = self.stream.async_io(Interest::WRITABLE, || Ok(send(&self.stream, left, flags)?)).await?;
            left = &left[sent..];
        }
        Ok(())
    }

    /// Sends a part of a file. A file that has become shorter ends the connection before what was announced: the peer
    /// sees that.
    async fn send_file(&self, file: &File, part: Range<u64>, mut entry: Option<&mut Entry>) -> io::Result<()> {
        let mut place = part.start;
        while place < part.end {
            let turn = usize::try_from((part.end - place).min(TURN)).unwrap_or(usize::MAX);
            let give = || Ok(sendfile(&self.stream, file, Some(&mut place), turn)?);
            match self.stream.async_io(Interest::WRITABLE, give).await {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(sent) => {
                    if let Some(entry) = &mut entry {
                        entry.sent(sent as u64);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends the connection. What the client still sends is read first, for a while: bytes that nobody reads make the kernel
    /// take back what was sent (RFC 9112, section 9.6).
    async fn close(mut self) {
        let (time, bytes) = LINGER;
        let _ = timeout(time, async {
            self.stream.shutdown().await?;
            tokio::io::copy(&mut self.stream.take(bytes), &mut tokio::io::sink()).await
        })
        .await;
    }
}

/// Reads a request's head and says how long it is; `None` if it has not all come yet.
///
/// # Errors
/// What is answered to something that is no request.
fn head(bytes: &[u8]) -> Result<Option<(Request<()>, usize)>, StatusCode> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let length = match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        Err(httparse::Error::Version) => return Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
        Err(_) => return Err(StatusCode::BAD_REQUEST),
    };
    let mut request = Request::new(());
    *request.method_mut() = head.method.unwrap_or_default().parse::<Method>().or(Err(StatusCode::BAD_REQUEST))?;
    *request.uri_mut() = head.path.unwrap_or_default().parse::<Uri>().or(Err(StatusCode::BAD_REQUEST))?;
    *request.version_mut() = if head.version == Some(0) { Version::HTTP_10 } else { Version::HTTP_11 };
    for field in &*head.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).or(Err(StatusCode::BAD_REQUEST))?;
        let value = HeaderValue::from_bytes(field.value).or(Err(StatusCode::BAD_REQUEST))?;
        request.headers_mut().append(name, value);
    }
    // RFC 9112, section 3.2. A target without a path is for proxies.
    let nameless = request.version() == Version::HTTP_11 && request.headers().get_all(HOST).iter().count() != 1;
    if nameless || request.uri().path().is_empty() {
        return Err(StatusCode::BAD_REQUEST);
    }
    Ok(Some((request, length)))
}

/// Whether nothing more is read from the connection of this request: the client wants so, or sends a body.
fn is_last(request: &Request<()>) -> bool {
    let headers = request.headers();
    let closes = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let closes = closes.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"));
    let body = headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|size| size != "0");
    closes || body || request.version() == Version::HTTP_10
}

/// The head of an answer as it goes over the wire.
fn answer_head(answer: &Answer, close: bool, now: SystemTime) -> Vec<u8> {
    let Answer { status, headers, .. } = answer;
    let mut head = format!("HTTP/1.1 {status}\r\ndate: {}\r\n", httpdate::HttpDate::from(now)).into_bytes();
    for (name, value) in headers {
        head.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    if !headers.contains_key(CONTENT_LENGTH) && *status != StatusCode::NOT_MODIFIED {
        head.extend_from_slice(b"content-length: 0\r\n");
    }
    if close {
        head.extend_from_slice(b"connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
