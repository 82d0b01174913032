//! The end of a request from outside: another thread may hang up, whatever the request waits for.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Ends the requests of an origin that was given it ([`Origin::with_hangup`](crate::Origin::with_hangup)): the one that
/// waits for an address, a connection or bytes fails at once, and every later one before it sends anything. What such a
/// request says went wrong means nothing: ask [`Hangup::is_pulled`] first. Copies are one and the same.
#[derive(Debug, Clone, Default)]
pub struct Hangup(Arc<Mutex<Line>>);

#[derive(Debug, Default)]
struct Line {
    pulled: bool,
    /// The connection of the request that goes on; it is closed by who reads from it.
    stream: Weak<TcpStream>,
}

impl Hangup {
    /// Hangs up, for good.
    pub fn pull(&self) {
        let mut line = self.line();
        line.pulled = true;
        if let Some(stream) = line.stream.upgrade() {
            // It fails if the other end was faster. A connection that is being made ends by this, too (Linux, inet_shutdown).
            _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Whether somebody has hung up.
    pub fn is_pulled(&self) -> bool {
        self.line().pulled
    }

    /// Takes hold of a connection before it is made, unless somebody has hung up.
    pub(crate) fn hold(&self, stream: &Arc<TcpStream>) -> io::Result<()> {
        let mut line = self.line();
        line.stream = Arc::downgrade(stream);
        if line.pulled { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Two independent values: no thread can leave them half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
