//! One connection whose body can be read straight into the caller's memory.
//!
//! The HTTP library reads a socket into a buffer of its own and copies from there. For a header that is right; for the
//! hundreds of megabytes behind it the copy costs as much as the network. So the library gets a connection that it shares
//! with us: when the bytes that came along with the header are used up, [`Direct`] goes on with the socket itself. An
//! encrypted connection stays the library's: its bytes are copied by the decryption anyway.

use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket as Raw, Type};
use ureq::Timeout;
use ureq::http::Uri;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

use crate::Proxy;
use crate::hangup::Hangup;
use crate::link::{self, OffLink};
#[cfg(feature = "tls")]
use crate::proxy;
#[cfg(feature = "tls")]
use crate::tls::{Secret, Tls, TlsFailed};

/// How every request begins.
const METHOD: &[u8] = b"GET ";

/// How connections are made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dial {
    /// Only to addresses of the link.
    pub(crate) on_link: bool,
    /// Who may end them from outside.
    pub(crate) hangup: Hangup,
    /// To a proxy instead of the origin.
    pub(crate) proxy: Option<Proxy>,
    /// How servers of https prove themselves.
    #[cfg(feature = "tls")]
    pub(crate) tls: Tls,
}

/// Makes the connections of one request, and keeps hold of the last one: the one that answers, after redirects.
#[derive(Debug, Clone)]
pub(crate) struct Line(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    dial: Dial,
    /// When the request ends at the latest.
    deadline: Instant,
    /// The socket of the last connection, if its bytes are the body's.
    stream: Mutex<Option<Arc<TcpStream>>>,
    /// Whether the library may read no more from the socket.
    ours: AtomicBool,
}

impl Line {
    pub(crate) fn new(dial: Dial, deadline: Instant) -> Self {
        Self(Arc::new(Shared { dial, deadline, stream: Mutex::default(), ours: AtomicBool::default() }))
    }

    /// Takes the socket over. What the library has read already, it still gives; after that it reports `WouldBlock`.
    fn take_over(&self) -> Option<Arc<TcpStream>> {
        let stream = self.0.stream.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.0.ours.store(stream.is_some(), Ordering::Relaxed);
        stream
    }

    /// How long a further step of connecting may take: as long as each, but not beyond the deadline, which the library does
    /// not know of before it has its connection.
    #[cfg(feature = "tls")]
    fn limit(&self, timeout: NextTimeout) -> Result<Duration, ureq::Error> {
        let left = self.0.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ureq::Error::Timeout(Timeout::Global)) } else { Ok(limit(timeout)?.min(left)) }
    }

    fn keep(&self, stream: Option<&Arc<TcpStream>>) {
        *self.0.stream.lock().unwrap_or_else(PoisonError::into_inner) = stream.cloned();
    }
}

impl Connector<()> for Line {
    type Out = Socket;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Socket>, ureq::Error> {
        let stream = connect(details, &self.0.dial)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        #[cfg(feature = "tls")]
        if details.needs_tls() {
            self.keep(None);
            let host = details.uri.host().unwrap_or_default();
            if self.0.dial.proxy.is_some() {
                proxy::tunnel(&stream, details.uri, self.limit(details.timeout)?)?;
            }
            let secret =
                self.0.dial.tls.greet(&stream, host, self.limit(details.timeout)?).map_err(
                    |error| match TlsFailed::of(&error) {
                        Some(failed) => ureq::Error::Other(Box::new(failed)),
                        None => timeout_or(error, details.timeout.reason),
                    },
                )?;
            return Ok(Some(Socket { stream, buffers, line: self.clone(), target: None, secret: Some(secret) }));
        }
        self.keep(Some(&stream));
        let target = self.0.dial.proxy.as_ref().and_then(|_| whole(details.uri));
        Ok(Some(Socket {
            stream,
            buffers,
            line: self.clone(),
            target,
            #[cfg(feature = "tls")]
            secret: None,
        }))
    }
}

/// What stands before the path when a proxy is asked (RFC 9112, section 3.2.2): `http://HOST:PORT`.
fn whole(uri: &Uri) -> Option<String> {
    Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
}

/// Tries the addresses in turn; each gets an equal part of the time that is left.
fn connect(details: &ConnectionDetails<'_>, dial: &Dial) -> Result<Arc<TcpStream>, ureq::Error> {
    let deadline = Instant::now() + limit(details.timeout)?;
    let mut last = ureq::Error::HostNotFound;
    for (tried, address) in details.addrs.iter().enumerate() {
        let parts = u32::try_from(details.addrs.len() - tried).unwrap_or(1);
        let part = deadline.saturating_duration_since(Instant::now()) / parts;
        if part.is_zero() {
            return Err(ureq::Error::Timeout(details.timeout.reason));
        }
        match dial.connect(address, part) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(ureq::Error::Io(error)) => last = timeout_or(error, Timeout::Connect),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Dial {
    fn connect(&self, address: &SocketAddr, limit: Duration) -> Result<Arc<TcpStream>, ureq::Error> {
        if self.on_link && !link::is_on_link(Path::new("/"), address) {
            return Err(ureq::Error::Other(Box::new(OffLink(address.ip()))));
        }
        let (socket, address) = if self.on_link {
            link::socket(address)?
        } else {
            (Raw::new(Domain::for_address(*address), Type::STREAM, None)?, *address)
        };
        let stream = Arc::new(TcpStream::from(socket));
        self.hangup.hold(&stream)?;
        SockRef::from(&*stream).connect_timeout(&address.into(), limit)?;
        Ok(stream)
    }
}

/// A connection, as the library wants it.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    line: Line,
    /// What is still to be put before the path of the request.
    target: Option<String>,
    #[cfg(feature = "tls")]
    secret: Option<Secret>,
}

impl Socket {
    /// Sends the library's output. It writes the path alone, which is right for an origin; a proxy needs the whole URL.
    fn send(&mut self, amount: usize) -> io::Result<()> {
        let output = &self.buffers.output()[..amount];
        let mut stream = &*self.stream;
        match (self.target.take(), output.split_at_checked(METHOD.len())) {
            (Some(target), Some((METHOD, rest))) => stream.write_all(&[METHOD, target.as_bytes(), rest].concat()),
            _ => stream.write_all(output),
        }
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        #[cfg(feature = "tls")]
        if let Some(secret) = &mut self.secret {
            let sent = secret.send(&self.stream, &self.buffers.output()[..amount], limit(timeout)?);
            return sent.map_err(|error| timeout_or(error, timeout.reason));
        }
        self.stream.set_write_timeout(Some(limit(timeout)?))?;
        self.send(amount).map_err(|error| timeout_or(error, timeout.reason))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if self.line.0.ours.load(Ordering::Relaxed) {
            return Err(io::Error::from(io::ErrorKind::WouldBlock).into());
        }
        let timeout = timeout.for_read();
        let amount = self.receive(limit(timeout)?).map_err(|error| timeout_or(error, timeout.reason))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Each connection serves one request: the library has nothing to reuse.
    fn is_open(&mut self) -> bool {
        false
    }

    #[cfg(feature = "tls")]
    fn is_tls(&self) -> bool {
        self.secret.is_some()
    }
}

impl Socket {
    /// Reads what comes next behind what the library holds.
    fn receive(&mut self, limit: Duration) -> io::Result<usize> {
        let space = self.buffers.input_append_buf();
        #[cfg(feature = "tls")]
        if let Some(secret) = &mut self.secret {
            return secret.receive(&self.stream, space, limit);
        }
        self.stream.set_read_timeout(Some(limit))?;
        read(&self.stream, space)
    }
}

/// The rest of a body of known length: first what the library holds, then the socket.
pub(crate) struct Direct<R> {
    library: R,
    line: Line,
    stream: Option<Arc<TcpStream>>,
    /// Bytes of the body that are still to come.
    left: u64,
    idle: Duration,
    deadline: Instant,
}

impl<R: Read> Direct<R> {
    /// Takes over a body of `left` bytes that has not been read from.
    pub(crate) fn new(library: R, line: Line, left: u64, idle: Duration, deadline: Instant) -> Self {
        Self { library, line, stream: None, left, idle, deadline }
    }

    fn read_some(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let Some(stream) = &self.stream else {
            // Before anything is read, so that the library never starts a read that we would have to wait for.
            let stream = self.line.take_over();
            return match self.library.read(space) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream = stream;
                    if self.stream.is_some() { self.read_some(space) } else { Err(error) }
                }
                outcome => outcome,
            };
        };
        let left = self.deadline.saturating_duration_since(Instant::now());
        let (limit, reason) = if left < self.idle { (left, Timeout::Global) } else { (self.idle, Timeout::PerRead) };
        if limit.is_zero() {
            return Err(ureq::Error::Timeout(reason).into_io());
        }
        stream.set_read_timeout(Some(limit))?;
        read(stream, space).map_err(|error| timeout_or(error, reason).into_io())
    }
}

impl<R: Read> Read for Direct<R> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let room = space.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let amount = self.read_some(&mut space[..room])?;
        self.left -= amount as u64;
        Ok(amount)
    }
}

/// A read that a signal does not end.
fn read(mut stream: &TcpStream, space: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(space) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// The time that a wait may take: never zero, and never more than a clock can count.
fn limit(timeout: NextTimeout) -> Result<Duration, ureq::Error> {
    let limit = (*timeout.after).min(Duration::from_hours(24));
    if limit.is_zero() { Err(ureq::Error::Timeout(timeout.reason)) } else { Ok(limit) }
}

/// A socket's own limit of time shows as one of two errors (socket(7)).
fn timeout_or(error: io::Error, reason: Timeout) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(reason),
        _ => ureq::Error::Io(error),
    }
}
