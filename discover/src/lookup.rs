//! Looks up the host of every request and of every redirect, and says which of the two went wrong.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use dns_lookup::{AddrFamily, AddrInfoHints, SockType, getaddrinfo};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::base::Zone;
use crate::line::Dial;
use crate::{Hangup, Proxy};

/// How often somebody who waits for an address looks whether somebody else hung up: nothing wakes the system's resolver.
const LOOK: Duration = Duration::from_millis(50);

/// The kinds of addresses, and how long the second answer is waited for once the first is there and of use.
const KINDS: [AddrFamily; 2] = [AddrFamily::Inet6, AddrFamily::Inet];
const OTHER_KIND: Duration = Duration::from_millis(300);

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

    /// Asks the system for both kinds of addresses, each on a thread of its own, which is left behind if it takes too long or
    /// somebody hangs up.
    ///
    /// One question for both would have one answer: with musl, a name server that refuses the part about IPv6, as those of
    /// small routers do, makes the name unknown.
    fn addresses(&self, host: &str, timeout: NextTimeout) -> Result<Vec<SocketAddr>, ureq::Error> {
        let failed = |error| ureq::Error::Other(Box::new(LookupFailed(error)));
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let (answer, answered) = sync_channel(KINDS.len());
        for kind in KINDS {
            let (host, answer) = (host.to_owned(), answer.clone());
            let ask = move || drop(answer.send(system(&host, kind)));
            Builder::new().name("lookup".to_owned()).spawn(ask).map_err(failed)?;
        }
        drop(answer);
        let begun = Instant::now();
        let (mut found, mut failure, mut until) = (Vec::new(), io::ErrorKind::Other.into(), *timeout.after);
        while !self.hangup.is_pulled() {
            match answered.recv_timeout(LOOK.min(until.saturating_sub(begun.elapsed()))) {
                Ok(Ok(mut addresses)) => {
                    // Those that lead nowhere from here (IPv6, where it is not routed) are no reason to hurry: an answer that
                    // is lost comes again after a second.
                    if addresses.iter().any(has_route) {
                        until = until.min(begun.elapsed() + OTHER_KIND);
                    }
                    found.append(&mut addresses);
                }
                Ok(Err(error)) => failure = error,
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < until => {}
                Err(_) if !found.is_empty() => return Ok(sorted(found)),
                Err(RecvTimeoutError::Timeout) => return Err(ureq::Error::Timeout(timeout.reason)),
                Err(RecvTimeoutError::Disconnected) => return Err(failed(failure)),
            }
        }
        Err(io::Error::from(io::ErrorKind::ConnectionAborted).into())
    }
}

/// The system's answer for a host and its port.
fn system(host: &str, kind: AddrFamily) -> io::Result<Vec<SocketAddr>> {
    let (name, port) = host.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
    let hints = AddrInfoHints { address: kind.into(), socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    let answers = getaddrinfo(Some(name), Some(port), Some(hints))?;
    answers.map(|answer| answer.map(|answer| answer.sockaddr)).collect()
}

/// Those that this machine has a route to come first, and of these IPv6 (the rules of RFC 6724 that matter without policies).
fn sorted(mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    addresses.sort_by_cached_key(|address| (!has_route(address), address.is_ipv4()));
    addresses
}

/// A socket of UDP sends nothing when it is connected.
fn has_route(address: &SocketAddr) -> bool {
    let ours: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    UdpSocket::bind((ours, 0)).and_then(|socket| socket.connect(address)).is_ok()
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
        let mut found = self.addresses(&host.ok_or(ureq::Error::HostNotFound)?, timeout)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_route_is_tried_first() {
        let list = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        // Nobody has a route to what is unspecified for multicast or reserved; loopback is there on every machine.
        let there = list(&["127.0.0.1:80"]);
        let away = list(&["255.255.255.255:80"]);
        assert!(has_route(&there[0]) && !has_route(&away[0]));
        assert_eq!(sorted([&away[..], &there[..]].concat()), [&there[..], &away[..]].concat());
    }
}
