//! An HTTP proxy between a machine and its origins. It carries untrusted bytes like any other server, so that the worst it
//! can do is what an origin can do; it is never asked to be believed.

use std::fmt;
#[cfg(feature = "tls")]
use std::io::{self, Read as _, Write as _};
#[cfg(feature = "tls")]
use std::net::TcpStream;
#[cfg(feature = "tls")]
use std::time::{Duration, Instant};

use thiserror::Error;
use ureq::http::Uri;

/// Longest text that is looked at, in bytes.
const LONGEST: usize = 300;

/// A text that names no proxy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{seen}' names no proxy: {problem}; wanted http://HOST:PORT")]
pub struct ProxyError {
    /// The text, shortened.
    seen: String,
    problem: &'static str,
}

/// A proxy that speaks plain HTTP: it is asked with the whole URL (RFC 9112, section 3.2.2), and for a tunnel to servers of
/// https.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy(Uri);

impl Proxy {
    /// Reads `http://HOST:PORT`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Result<Self, ProxyError> {
        let wrong = |problem| Err(ProxyError { seen: text.chars().take(80).collect(), problem });
        if text.len() > LONGEST {
            return wrong("it is too long");
        }
        if text.split_once("://").is_none_or(|(scheme, _)| !scheme.eq_ignore_ascii_case("http")) {
            return wrong("it does not begin with http://");
        }
        let Ok(uri) = text.parse::<Uri>() else { return wrong("it is no URL") };
        let Some(authority) = uri.authority() else { return wrong("it has no host") };
        if authority.as_str().contains('@') {
            return wrong("it has a user name or a password, which are not supported");
        }
        if authority.host().is_empty() || authority.host() == "[]" {
            return wrong("it has no host");
        }
        if authority.port_u16().is_none_or(|port| port == 0) {
            return wrong("it has no port");
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains('#') {
            return wrong("something follows the port");
        }
        Ok(Self(uri))
    }

    /// Where connections go instead of to the origin.
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0.authority().map_or("", |authority| authority.as_str()))
    }
}

/// Longest answer to a request for a tunnel, in bytes.
#[cfg(feature = "tls")]
const LONGEST_ANSWER: usize = 8192;

/// Asks the proxy at the other end for a tunnel to the host of a URL (CONNECT, RFC 9110, section 9.3.6), within `limit`.
#[cfg(feature = "tls")]
pub(crate) fn tunnel(mut stream: &TcpStream, uri: &Uri, limit: Duration) -> Result<(), ureq::Error> {
    let failed = |reason: String| ureq::Error::ConnectProxyFailed(reason);
    let late = |error: io::Error| failed(format!("it does not answer: {error}"));
    let deadline = Instant::now() + limit;
    let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443));
    stream.set_write_timeout(Some(limit)).map_err(late)?;
    write!(stream, "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n").map_err(late)?;
    // Byte by byte: what follows the answer belongs to the tunnel.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || answer.len() == LONGEST_ANSWER {
            return Err(failed("it does not come to an end".to_owned()));
        }
        stream.set_read_timeout(Some(left)).map_err(late)?;
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(0) => return Err(failed("it closed the connection".to_owned())),
            Ok(_) => answer.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(late(error)),
        }
    }
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    if line.starts_with(b"HTTP/1.") && line.get(8..10) == Some(b" 2") {
        return Ok(());
    }
    let seen: String =
        String::from_utf8_lossy(line).chars().filter(|character| !character.is_control()).take(80).collect();
    Err(failed(format!("it answered '{seen}' to CONNECT {host}:{port}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_proxy_is_a_host_and_a_port() {
        for text in ["http://proxy.lan:3128", "http://10.0.0.1:8080", "http://[fd00::1]:3128"] {
            assert_eq!(Proxy::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Proxy::parse("HTTP://h:1/").unwrap().to_string(), "http://h:1");
    }

    #[test]
    fn other_texts_are_refused_with_what_was_wanted() {
        for (text, problem) in [
            ("proxy:3128", "does not begin with http://"),
            ("https://proxy:3128", "does not begin with http://"),
            ("socks5://proxy:1080", "does not begin with http://"),
            ("http://proxy", "has no port"),
            ("http://proxy:0", "has no port"),
            ("http://proxy:99999", "no port"),
            ("http://:3128", "no host"),
            ("http://me:word@proxy:3128", "user name or a password"),
            ("http://proxy:3128/path", "something follows the port"),
            ("http://proxy:3128?q", "something follows the port"),
            ("http://pro xy:3128", "no URL"),
        ] {
            let error = Proxy::parse(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.ends_with("; wanted http://HOST:PORT"), "{error}");
            assert!(error.contains(problem), "{text}: {error}");
        }
        assert!(Proxy::parse(&format!("http://{}:1", "h".repeat(400))).is_err());
    }

    /// What comes of asking a peer that gives this answer for a tunnel, and what it was asked.
    #[cfg(feature = "tls")]
    fn tunnelled(answer: &[u8]) -> (Result<(), String>, String) {
        let (address, requests) = crate::hostile::serve(vec![answer.to_vec()]);
        let stream = TcpStream::connect(address).unwrap();
        let uri = "https://origin.invalid/path".parse().unwrap();
        let outcome = tunnel(&stream, &uri, Duration::from_secs(5)).map_err(|error| error.to_string());
        (outcome, requests.recv().unwrap())
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_tunnel_is_asked_for_by_host_and_port() {
        let (outcome, request) = tunnelled(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 x\r\n\r\nHOLD");
        assert_eq!(outcome, Ok(()));
        assert_eq!(request, "CONNECT origin.invalid:443 HTTP/1.1\r\nHost: origin.invalid:443\r\n\r\n");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn a_tunnel_that_is_refused_says_how() {
        for (answer, seen) in [
            (
                &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
                "'HTTP/1.1 407 Proxy Authentication Required' to CONNECT",
            ),
            (b"HTTP/1.1 20", "closed the connection"),
            (b"220 ftp ready\r\n\r\n", "'220 ftp ready'"),
            (&[b'x'; 9000], "does not come to an end"),
        ] {
            let (outcome, _) = tunnelled(answer);
            assert!(outcome.as_ref().is_err_and(|error| error.contains(seen)), "{outcome:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_the_same(text in "(http://)?[ -~é]{0,40}(:[0-9]{1,5})?") {
            if let Ok(proxy) = Proxy::parse(&text) {
                prop_assert_eq!(Proxy::parse(&proxy.to_string()), Ok(proxy));
            }
        }
    }
}
