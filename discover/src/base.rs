//! The base URL of a published tree: checked once, taken apart once.
//!
//! An IPv6 address that counts on one link only has a zone, the interface behind which it is meant. It stands in the URL as
//! RFC 6874 writes it (`http://[fe80::1%25eth0]:8000`; a bare `%` is read as well), never reaches the server, and is looked up
//! when a connection is made, since interfaces come late and go.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use nix::net::if_::if_nametoindex;
use thiserror::Error;
use ureq::http::Uri;

/// Why a text is not the URL of an origin.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OriginError {
    /// Longer than any sane URL.
    #[error("an origin of {seen} bytes is too long: at most {wanted} are accepted")]
    TooLong {
        /// Bytes of the text.
        seen: usize,
        /// The limit.
        wanted: usize,
    },
    /// https, in a build without TLS.
    #[error("'{seen}': this build has no TLS; use http:// (what is fetched is verified by its signature)")]
    NoTls {
        /// The text.
        seen: String,
    },
    /// Another scheme, or none.
    #[error("'{seen}' does not begin with http:// or https://")]
    Scheme {
        /// The text.
        seen: String,
    },
    /// A part that no origin has: a user name, a query, a fragment.
    #[error("'{seen}' has {part}, which an origin cannot have")]
    Part {
        /// The text.
        seen: String,
        /// The part, in words.
        part: &'static str,
    },
    /// A zone that is no interface, or at an address that has none.
    #[error("'{seen}': only a link-local IPv6 address has a zone, and it is the name or the number of an interface")]
    Zone {
        /// The text.
        seen: String,
    },
    /// A host name where only addresses can be used: local mode asks no name server.
    #[error("'{seen}' has a host name, and local mode asks no name server; use an address of this link")]
    HostName {
        /// The text.
        seen: String,
    },
    /// Not a URL at all, no host, or a port that is no port.
    #[error("'{seen}' is not a URL of the form http://HOST[:PORT][/PATH]")]
    Form {
        /// The text.
        seen: String,
    },
}

/// The URL of a tree, without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    /// For people and as a name: with the zone.
    pub(crate) shown: String,
    /// For requests: without the zone.
    pub(crate) url: String,
    /// The host, if it is an address.
    pub(crate) address: Option<IpAddr>,
    /// Behind which interface a link-local address is meant.
    pub(crate) zone: Option<Zone>,
    /// Whether connections are encrypted.
    pub(crate) https: bool,
}

impl Base {
    /// Reads `http[s]://HOST[:PORT][/PATH]` of at most `most` bytes.
    pub(crate) fn parse(text: &str, most: usize) -> Result<Self, OriginError> {
        let seen = || text.to_owned();
        if text.len() > most {
            return Err(OriginError::TooLong { seen: text.len(), wanted: most });
        }
        if text.contains('#') {
            return Err(OriginError::Part { seen: seen(), part: "a fragment ('#')" });
        }
        let scheme = match text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
            Some("http") => "http",
            Some("https") if cfg!(feature = "tls") => "https",
            Some("https") => return Err(OriginError::NoTls { seen: seen() }),
            _ => return Err(OriginError::Scheme { seen: seen() }),
        };
        let uri: Uri = text.parse().map_err(|_| OriginError::Form { seen: seen() })?;
        let authority = uri.authority().ok_or_else(|| OriginError::Form { seen: seen() })?;
        if authority.as_str().contains('@') {
            return Err(OriginError::Part { seen: seen(), part: "a user name ('@')" });
        }
        if uri.query().is_some() {
            return Err(OriginError::Part { seen: seen(), part: "a query ('?')" });
        }
        let (host, port) = authority.as_str().split_at(authority.host().len());
        if host.is_empty() || (!port.is_empty() && authority.port_u16().is_none_or(|port| port == 0)) {
            return Err(OriginError::Form { seen: seen() });
        }
        let (address, zone) = host_of(host, text)?;
        let rest = format!("{port}{}", uri.path().trim_end_matches('/'));
        let bare = match (&zone, address) {
            (Some(_), Some(address)) => format!("[{address}]"),
            _ => host.to_owned(),
        };
        let shown = match (&zone, address) {
            (Some(zone), Some(address)) => format!("[{address}%25{zone}]"),
            _ => host.to_owned(),
        };
        Ok(Self {
            shown: format!("{scheme}://{shown}{rest}"),
            url: format!("{scheme}://{bare}{rest}"),
            address,
            zone,
            https: scheme == "https",
        })
    }
}

/// What the host of a URL is: an address, perhaps with a zone, or a name (neither).
fn host_of(host: &str, text: &str) -> Result<(Option<IpAddr>, Option<Zone>), OriginError> {
    let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) else {
        return Ok((host.parse().ok(), None));
    };
    let (address, zone) = match inner.split_once('%') {
        None => (inner, None),
        Some((address, zone)) => {
            (address, Some(zone.strip_prefix("25").filter(|rest| !rest.is_empty()).unwrap_or(zone)))
        }
    };
    let address: Ipv6Addr = address.parse().map_err(|_| OriginError::Form { seen: text.to_owned() })?;
    let zone = match zone {
        None => None,
        Some(zone) => match Zone::parse(zone) {
            Some(zone) if address.is_unicast_link_local() => Some(zone),
            _ => return Err(OriginError::Zone { seen: text.to_owned() }),
        },
    };
    Ok((Some(address.into()), zone))
}

/// A network interface, by its name or its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Zone(String);

impl Zone {
    /// Accepts what the kernel gives as the name of an interface and is one component of a path; a number is one too.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let fits = (1..=15).contains(&text.len()) && text != "." && text != "..";
        (fits && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// The interface's number.
    pub(crate) fn index(&self) -> io::Result<u32> {
        self.0.parse().or_else(|_| Ok(if_nametoindex(&*self.0)?))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Base, OriginError> {
        Base::parse(text, 2048)
    }

    #[test]
    fn an_origin_is_an_http_url() {
        for (text, shown) in [
            ("http://h:80/a/b/", "http://h:80/a/b"),
            ("HTTP://10.0.2.2", "http://10.0.2.2"),
            ("http://[fe80::1]:8000", "http://[fe80::1]:8000"),
        ] {
            let base = parse(text).unwrap();
            assert_eq!((&*base.shown, &*base.url, base.zone), (shown, shown, None));
        }
        assert_eq!(parse("http://h").unwrap().address, None);
        assert_eq!(parse("http://10.0.2.2:1/x").unwrap().address, Some("10.0.2.2".parse().unwrap()));
        assert_eq!(parse("http://[fd00::2]/x").unwrap().address, Some("fd00::2".parse().unwrap()));
    }

    #[test]
    fn a_zone_is_shown_and_not_sent() {
        for text in
            ["http://[fe80::1%25eth0]:8000/t/", "http://[fe80::1%eth0]:8000/t", "http://[FE80:0::1%eth0]:8000/t"]
        {
            let base = parse(text).unwrap();
            assert_eq!(base.shown, "http://[fe80::1%25eth0]:8000/t", "{text}");
            assert_eq!(base.url, "http://[fe80::1]:8000/t", "{text}");
            assert_eq!(base.zone, Zone::parse("eth0"), "{text}");
            // What is shown is read again as the same.
            assert_eq!(parse(&base.shown).unwrap(), base);
        }
        assert_eq!(parse("http://[fe80::1%25]").unwrap().zone, Zone::parse("25"));
    }

    #[test]
    fn a_zone_that_is_none_is_refused() {
        for text in
            ["http://[fd00::1%eth0]", "http://[fe80::1%]", "http://[fe80::1%..]", "http://[fe80::1%a-very-long-name]"]
        {
            assert!(matches!(parse(text), Err(OriginError::Zone { .. })), "{text}: {:?}", parse(text));
        }
        assert!(matches!(parse("http://[fe80::1%eth0/x]"), Err(OriginError::Form { .. })));
    }

    #[test]
    fn a_zone_is_looked_up_by_name_or_taken_as_a_number() {
        let index = |zone: &str| Zone::parse(zone).unwrap().index();
        // Every network namespace has its loopback interface first.
        assert_eq!((index("lo").unwrap(), index("3").unwrap()), (1, 3));
        assert_eq!(index("no-such-link").unwrap_err().raw_os_error(), Some(19), "ENODEV");
    }

    #[test]
    fn other_texts_are_refused_by_name() {
        let refused = |text: &str| parse(text).unwrap_err();
        for text in ["ftp://h", "h", "", "//h", "http:/h"] {
            assert!(matches!(refused(text), OriginError::Scheme { .. }), "{text}");
        }
        for text in ["http://u:p@h", "http://h/?q", "http://h/#f"] {
            assert!(matches!(refused(text), OriginError::Part { .. }), "{text}");
        }
        let wrong = ["http://", "http://h:0", "http://h:99999", "http://h:x", "http://:80", "http://a b", "http:///p"];
        for text in wrong.into_iter().chain(["http://[::1", "http://[x]"]) {
            assert!(matches!(refused(text), OriginError::Form { .. }), "{text}");
        }
        let long = format!("http://{}", "h".repeat(3000));
        assert_eq!(refused(&long), OriginError::TooLong { seen: 3007, wanted: 2048 });
    }

    #[test]
    #[cfg(feature = "tls")]
    fn https_is_one_too() {
        assert!(parse("https://h/x").unwrap().https);
        assert_eq!(parse("HTTPS://h:8443/x/").unwrap().shown, "https://h:8443/x");
    }

    #[test]
    #[cfg(not(feature = "tls"))]
    fn https_needs_a_build_with_tls() {
        assert!(matches!(parse("https://h/x"), Err(OriginError::NoTls { .. })));
    }
}
