//! Looks up the host of every request and of every redirect, and says which of the two went wrong.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::base::Zone;
use crate::line::Dial;
use crate::{Hangup, Proxy};

/// How often somebody who waits for an address looks whether somebody else hung up: nothing wakes the system's resolver.
const LOOK: Duration = Duration::from_millis(50);

/// The system's resolver, behind a check of the scheme: a redirect to https must not even reach its server in a build that
/// has no TLS. A link-local address gets the zone of the origin. With a proxy it is the proxy's host that is looked up; the
/// origin's is the proxy's to find.
#[derive(Debug)]
pub(crate) struct Lookup {
    zone: Option<Zone>,
    proxy: Option<Proxy>,
    hangup: Hangup,
}

impl Lookup {
    pub(crate) fn new(zone: Option<Zone>, dial: &Dial) -> Self {
        Self { zone, proxy: dial.proxy.clone(), hangup: dial.hangup.clone() }
    }

    /// Asks the system on a thread of its own, which is left behind if it takes too long or somebody hangs up.
    fn addresses(&self, host: String, timeout: NextTimeout) -> Result<Vec<SocketAddr>, ureq::Error> {
        let failed = |error| ureq::Error::Other(Box::new(LookupFailed(error)));
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let (answer, answered) = sync_channel(1);
        let ask = move || drop(answer.send(host.to_socket_addrs().map(Iterator::collect)));
        Builder::new().name("lookup".to_owned()).spawn(ask).map_err(failed)?;
        let begun = Instant::now();
        while !self.hangup.is_pulled() {
            match answered.recv_timeout(LOOK.min(timeout.after.saturating_sub(begun.elapsed()))) {
                Ok(addresses) => return addresses.map_err(failed),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < *timeout.after => {}
                Err(RecvTimeoutError::Timeout) => return Err(ureq::Error::Timeout(timeout.reason)),
                Err(RecvTimeoutError::Disconnected) => return Err(failed(io::ErrorKind::Other.into())),
            }
        }
        Err(io::Error::from(io::ErrorKind::ConnectionAborted).into())
    }
}

/// What the name servers said; the library reports it like a refused connection.
#[derive(Debug)]
pub(crate) struct LookupFailed(pub(crate) io::Error);

impl fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name servers gave no address")
    }
}

impl std::error::Error for LookupFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Resolver for Lookup {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if uri.scheme_str() != Some("http") && cfg!(not(feature = "tls")) {
            return Err(ureq::Error::TlsRequired);
        }
        let uri = self.proxy.as_ref().map_or(uri, Proxy::uri);
        let host = uri.scheme().zip(uri.authority());
        let host = host.and_then(|(scheme, authority)| DefaultResolver::host_and_port(scheme, authority));
        let mut found = self.addresses(host.ok_or(ureq::Error::HostNotFound)?, timeout)?;
        if let Some(zone) = &self.zone {
            let index = zone.index()?;
            for address in &mut found {
                if let SocketAddr::V6(address) = address
                    && address.ip().is_unicast_link_local()
                {
                    address.set_scope_id(index);
                }
            }
        }
        let mut addresses = self.empty();
        // What there is no room for is not tried.
        _ = found.into_iter().try_for_each(|address| addresses.try_push(address));
        if addresses.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(addresses) }
    }
}
