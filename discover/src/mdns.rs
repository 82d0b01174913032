//! The directory of the local network: DNS-SD (RFC 6763) over multicast DNS (RFC 6762).
//!
//! Whoever is on the link may answer, with anything. An answer becomes the [`Origin`] of a place to ask, under the rule of local
//! mode (only addresses of the link, no redirect), or it is dropped with a reason that says what was seen. The version that an
//! answer tells is for people; it ranks nothing. The other side, [`Advertisement`], says what this machine offers.

mod advertise;
mod answers;

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use mdns_sd::{DaemonEvent, Receiver, RecvTimeoutError, ScopedIp, ServiceDaemon, ServiceEvent};

pub use self::advertise::{Advertisement, Offer};
use self::answers::Answers;
use crate::Origin;
use crate::base::Zone;

/// The type of the service (docs/formats.md, "Service").
pub const SERVICE: &str = "_phase-boot._tcp.local.";

/// How often links and answers are looked at again: both come late.
const AGAIN: Duration = Duration::from_millis(250);

/// How long the end of the daemon's thread is waited for.
const GOODBYE: Duration = Duration::from_secs(1);

/// A place that somebody on the link offers. Untrusted.
#[derive(Debug, Clone)]
pub struct Place {
    /// What the offer calls itself, printable.
    pub name: String,
    /// Where it says that the tree is.
    pub origin: Origin,
    /// The version that it says it has.
    pub version: Option<u64>,
    /// It is a machine that shares what it has so far (docs/formats.md, "Sharing").
    pub shares: bool,
}

/// What is heard while browsing.
#[derive(Debug)]
pub enum Heard {
    /// A place, once for each origin.
    Place(Box<Place>),
    /// An answer that is not used, and why.
    Dropped(String, Dropped),
    /// A place has said goodbye, or is silent for too long.
    Gone(String),
}

/// Why an answer is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// A channel or an architecture that nobody asked for.
    #[error("it offers {key} {seen:?}, wanted {wanted:?}")]
    Other {
        /// `ch` or `arch`.
        key: &'static str,
        /// What it offers, shortened.
        seen: String,
        /// What is looked for.
        wanted: String,
    },
    /// A value that is not what docs/formats.md says.
    #[error("its {key} is {seen:?}, wanted {wanted}")]
    Value {
        /// The key of the TXT record.
        key: &'static str,
        /// What it is, shortened.
        seen: String,
        /// What it may be, in words.
        wanted: &'static str,
    },
    /// No port to connect to.
    #[error("it has port 0")]
    Port,
    /// No address of this link.
    #[error("none of its addresses is on this link: {seen}")]
    OffLink {
        /// The addresses.
        seen: String,
    },
    /// One answer too many.
    #[error("{limit} others came before it")]
    TooMany {
        /// How many are used.
        limit: usize,
    },
}

/// Why nothing can be heard or said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MdnsError {
    /// No socket, no thread, port 5353 taken by somebody who does not share it.
    #[error("multicast DNS does not work here: {reason}")]
    Daemon {
        /// What the daemon said.
        reason: String,
    },
}

impl From<mdns_sd::Error> for MdnsError {
    fn from(error: mdns_sd::Error) -> Self {
        Self::Daemon { reason: error.to_string() }
    }
}

/// What an answer says, apart from who sends it.
struct Advert<'a> {
    port: u16,
    addresses: Vec<(IpAddr, Option<Zone>)>,
    txt: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

/// Listens until `deadline`, or until `on_heard` says enough by `false`; it is asked at least four times a second, with
/// `None` if nothing was heard.
///
/// Interfaces that come up meanwhile are used. An answer that none of this machine's routes reaches yet is looked at again.
pub fn browse(
    channel: &str,
    arch: &str,
    deadline: Instant,
    on_heard: &mut dyn FnMut(Option<Heard>) -> bool,
) -> Result<(), MdnsError> {
    let mut browser = Browser::start()?;
    let mut answers = Answers::new(channel, arch);
    let mut more = true;
    while more && Instant::now() < deadline {
        let left = deadline.saturating_duration_since(Instant::now());
        let news = match browser.events.recv_timeout(left.min(AGAIN)) {
            Ok(ServiceEvent::ServiceResolved(service)) => answers.resolved(&service),
            Ok(ServiceEvent::ServiceRemoved(_, name)) => answers.removed(&name),
            Ok(_) => Vec::new(),
            Err(RecvTimeoutError::Timeout) => answers.again(),
            Err(RecvTimeoutError::Disconnected) => {
                // It lets go of whoever has a thousand answers waiting, which one neighbour can send in three packets, and
                // keeps them all. A new one begins without.
                browser.end();
                thread::sleep(left.min(AGAIN));
                browser = Browser::start()?;
                Vec::new()
            }
        };
        if let Ok(DaemonEvent::Error(error)) = browser.trouble.try_recv() {
            return Err(error.into());
        }
        more = on_heard(None);
        for heard in news {
            more &= on_heard(Some(heard));
        }
    }
    for heard in answers.unreached() {
        on_heard(Some(heard));
    }
    browser.end();
    Ok(())
}

/// The daemon of one browse: a thread with sockets on every link.
struct Browser {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    trouble: Receiver<DaemonEvent>,
}

impl Browser {
    fn start() -> Result<Self, MdnsError> {
        let daemon = ServiceDaemon::new()?;
        daemon.set_ip_check_interval(1)?;
        let trouble = daemon.monitor()?;
        let events = daemon.browse(SERVICE)?;
        Ok(Self { daemon, events, trouble })
    }

    fn end(self) {
        if let Ok(stopped) = self.daemon.shutdown() {
            // Its sockets are closed by then; if not, they are at the end of the process.
            let _ = stopped.recv_timeout(GOODBYE);
        }
    }
}

fn address(address: &ScopedIp) -> Option<(IpAddr, Option<Zone>)> {
    match address {
        ScopedIp::V4(v4) => Some(((*v4.addr()).into(), None)),
        ScopedIp::V6(v6) if v6.addr().is_unicast_link_local() => {
            Some(((*v6.addr()).into(), Some(Zone::parse(&v6.scope_id().name)?)))
        }
        ScopedIp::V6(v6) => Some(((*v6.addr()).into(), None)),
        _ => None,
    }
}

/// What an answer offers, if it is one for us: of its addresses that are on this link, those of IPv4 come first, then those of
/// IPv6 that have no zone.
fn place(
    name: String,
    advert: &Advert<'_>,
    channel: &str,
    arch: &str,
    is_on_link: &dyn Fn(IpAddr) -> bool,
) -> Result<Place, Dropped> {
    for (key, wanted) in [("ch", channel), ("arch", arch)] {
        let seen = (advert.txt)(key).unwrap_or_default();
        if seen != wanted.as_bytes() {
            return Err(Dropped::Other { key, seen: shortened(&seen), wanted: wanted.to_owned() });
        }
    }
    let version = (advert.txt)("v").map(|value| version(&value)).transpose()?;
    let path = (advert.txt)("path").map(|value| path(&value)).transpose()?.unwrap_or_default();
    let shares = (advert.txt)("share").map(|value| shares(&value)).transpose()?.unwrap_or_default();
    if advert.port == 0 {
        return Err(Dropped::Port);
    }
    let mut reached: Vec<_> = advert.addresses.iter().filter(|(address, _)| is_on_link(*address)).collect();
    reached.sort_by_key(|(address, zone)| (address.is_ipv6(), zone.is_some(), *address));
    for (address, zone) in reached {
        let host = match (address, zone) {
            (IpAddr::V4(address), _) => address.to_string(),
            (IpAddr::V6(address), None) => format!("[{address}]"),
            (IpAddr::V6(address), Some(zone)) => format!("[{address}%25{zone}]"),
        };
        let origin = Origin::parse(&format!("http://{host}:{}{path}", advert.port)).and_then(Origin::on_link);
        if let Ok(origin) = origin {
            return Ok(Place { name, origin, version, shares });
        }
    }
    let seen: Vec<_> = advert.addresses.iter().map(|(address, _)| address.to_string()).collect();
    Err(Dropped::OffLink { seen: seen.join(", ") })
}

/// Largest integer of docs/formats.md.
const LARGEST: u64 = (1 << 53) - 1;

fn version(bytes: &[u8]) -> Result<u64, Dropped> {
    let number = str::from_utf8(bytes).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    number.and_then(|text| text.parse().ok()).filter(|number| *number <= LARGEST).ok_or_else(|| Dropped::Value {
        key: "v",
        seen: shortened(bytes),
        wanted: "a whole number below 2^53",
    })
}

fn shares(bytes: &[u8]) -> Result<bool, Dropped> {
    let wrong = || Dropped::Value { key: "share", seen: shortened(bytes), wanted: "1, or no such key" };
    if bytes == b"1" { Ok(true) } else { Err(wrong()) }
}

/// A path as it may stand in a URL without any escape.
fn path(bytes: &[u8]) -> Result<String, Dropped> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'~' | b'-');
    let wrong = || Dropped::Value {
        key: "path",
        seen: shortened(bytes),
        wanted: "empty, or '/' and then letters, digits, '/', '.', '_', '~' and '-', without '..'",
    };
    let text = str::from_utf8(bytes).map_err(|_| wrong())?;
    let good =
        bytes.iter().all(plain) && (text.is_empty() || text.starts_with('/')) && !text.split('/').any(|it| it == "..");
    if good { Ok(text.trim_end_matches('/').to_owned()) } else { Err(wrong()) }
}

/// The first label of a full name, printable: what people see.
fn instance(fullname: &str) -> String {
    let name = fullname.strip_suffix(SERVICE).and_then(|name| name.strip_suffix('.')).unwrap_or(fullname);
    shortened(name.as_bytes())
}

/// At most 64 characters that no terminal obeys.
fn shortened(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(64).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[(&str, &[u8])] = &[("ch", b"demo"), ("arch", b"x86_64"), ("v", b"7"), ("path", b"/tree/")];

    /// The outcome for a TXT record of `GOOD` in which `changed` stands otherwise, at 192.0.2.7 on this link.
    fn told(changed: &[(&str, &[u8])]) -> Result<Place, Dropped> {
        at(changed, &["192.0.2.7"], 8000)
    }

    fn at(changed: &[(&str, &[u8])], addresses: &[&str], port: u16) -> Result<Place, Dropped> {
        let txt = |wanted: &str| {
            let value =
                |list: &[(&str, &[u8])]| list.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.to_vec());
            value(changed).or_else(|| value(GOOD))
        };
        let addresses = addresses.iter().map(|text| match text.split_once('%') {
            Some((address, zone)) => (address.parse().unwrap(), Zone::parse(zone)),
            None => (text.parse().unwrap(), None),
        });
        let advert = Advert { port, addresses: addresses.collect(), txt: &txt };
        // This link is 192.0.2.0/24, fd00::/16 and fe80::/10.
        let is_on_link = |address: IpAddr| match address {
            IpAddr::V4(address) => address.octets().starts_with(&[192, 0, 2]),
            IpAddr::V6(address) => matches!(address.segments()[0], 0xfd00 | 0xfe80),
        };
        place("somebody".to_owned(), &advert, "demo", "x86_64", &is_on_link)
    }

    #[test]
    fn an_answer_becomes_an_origin() {
        let place = told(&[]).unwrap();
        assert_eq!((place.origin.base(), place.version), ("http://192.0.2.7:8000/tree", Some(7)));
        assert!(!place.shares && told(&[("share", b"1")]).unwrap().shares);
        let bare = told(&[("path", b""), ("v", b"0")]).unwrap();
        assert_eq!((bare.origin.base(), bare.version), ("http://192.0.2.7:8000", Some(0)));
    }

    #[test]
    fn the_best_address_of_the_link_is_used() {
        let base = |addresses: &[&str]| at(&[], addresses, 80).map(|place| place.origin.base().to_owned());
        let all = ["fe80::7%eth0", "2001:db8::7", "fd00::7", "203.0.113.7", "192.0.2.7"];
        assert_eq!(base(&all).unwrap(), "http://192.0.2.7:80/tree");
        assert_eq!(base(&all[..4]).unwrap(), "http://[fd00::7]:80/tree");
        assert_eq!(base(&all[..2]).unwrap(), "http://[fe80::7%25eth0]:80/tree");
        let off = base(&all[1..2]).unwrap_err();
        assert_eq!(off.to_string(), "none of its addresses is on this link: 2001:db8::7");
    }

    #[test]
    fn what_is_for_others_is_dropped() {
        let other = told(&[("ch", b"prod")]).unwrap_err();
        assert_eq!(other.to_string(), "it offers ch \"prod\", wanted \"demo\"");
        assert!(matches!(told(&[("arch", b"aarch64")]), Err(Dropped::Other { key: "arch", .. })));
        assert!(matches!(told(&[("ch", b"demo\0")]), Err(Dropped::Other { .. })));
        assert!(matches!(told(&[("ch", b"")]), Err(Dropped::Other { .. })));
        assert_eq!(at(&[], &["192.0.2.7"], 0).unwrap_err(), Dropped::Port);
    }

    #[test]
    fn hostile_values_are_dropped_and_shown_harmlessly() {
        for value in [&b"-1"[..], b"+1", b"", b" 1", b"9007199254740992", b"99999999999999999999", b"1\n", b"\xff"] {
            assert!(matches!(told(&[("v", value)]), Err(Dropped::Value { key: "v", .. })), "{value:?}");
        }
        assert_eq!(told(&[("v", b"9007199254740991")]).unwrap().version, Some(9_007_199_254_740_991));
        for value in [&b"0"[..], b"", b"yes", b"1\0"] {
            assert!(matches!(told(&[("share", value)]), Err(Dropped::Value { key: "share", .. })), "{value:?}");
        }
        let paths: [&[u8]; 8] =
            [b"tree", b"/../x", b"/a b", b"/%2e%2e", b"/x?y", b"/x#y", b"@evil.example/", b"/\xc3\xa9"];
        for value in paths {
            assert!(matches!(told(&[("path", value)]), Err(Dropped::Value { key: "path", .. })), "{value:?}");
        }
        let message = told(&[("path", b"/\x1b[2J\r\nphase: x")]).unwrap_err().to_string();
        assert!(!message.bytes().any(|byte| byte.is_ascii_control()), "{message:?}");
        let long = told(&[("ch", &[b'x'; 255])]).unwrap_err().to_string();
        assert!(long.len() < 120, "{long}");
    }

    #[test]
    fn names_are_printable() {
        assert_eq!(instance("mirror._phase-boot._tcp.local."), "mirror");
        assert_eq!(instance("a\x1b[31mb._phase-boot._tcp.local."), "a\u{fffd}[31mb");
        assert_eq!(instance("else"), "else");
    }
}
