//! Looks up the host of every request and of every redirect, and says which of the two went wrong.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::Proxy;
use crate::base::Zone;

/// The system's resolver, behind a check of the scheme: a redirect to https must not even reach its server in a build that
/// has no TLS. A link-local address gets the zone of the origin. With a proxy it is the proxy's host that is looked up; the
/// origin's is the proxy's to find.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    system: DefaultResolver,
    zone: Option<Zone>,
    proxy: Option<Proxy>,
}

impl Lookup {
    pub(crate) fn new(zone: Option<Zone>, proxy: Option<Proxy>) -> Self {
        Self { system: DefaultResolver::default(), zone, proxy }
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
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        if uri.scheme_str() != Some("http") && cfg!(not(feature = "tls")) {
            return Err(ureq::Error::TlsRequired);
        }
        let uri = self.proxy.as_ref().map_or(uri, Proxy::uri);
        let mut addresses = self.system.resolve(uri, config, timeout).map_err(|error| match error {
            ureq::Error::Io(error) => ureq::Error::Other(Box::new(LookupFailed(error))),
            other => other,
        })?;
        if let Some(zone) = &self.zone {
            let index = zone.index()?;
            for address in &mut *addresses {
                if let SocketAddr::V6(address) = address
                    && address.ip().is_unicast_link_local()
                {
                    address.set_scope_id(index);
                }
            }
        }
        Ok(addresses)
    }
}
