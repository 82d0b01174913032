//! The BitTorrent Mainline DHT as a directory: a BEP 44 mutable item under a locator key names the places of a channel.
//!
//! The locator key proves who wrote the list, not what a release is: it is a hint like any other, and so is its sequence number.
//! Whoever holds a node may answer; what is not signed by the locator key, or is not the form below, is dropped.

use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs as _};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use mainline::{DEFAULT_BOOTSTRAP_NODES, Dht, MutableItem};

pub use crate::locator::Locator;
use crate::{Limits, Origin, OriginError};

/// Most bytes of a value: BEP 44 stores 1000 bytes of bencode, of which `996:` before the string takes four.
pub const VALUE_BYTES: usize = 996;

/// Largest sequence number: versions are below 2^53.
const LARGEST: i64 = (1 << 53) - 1;

/// How often it is asked at most, as long as there is time: a lookup costs some seconds, and one lost datagram may be the
/// answer of the only node that was near.
const QUESTIONS: u32 = 3;

/// Most items that one search looks at: each is of one node.
const MOST_ITEMS: usize = 64;

/// What the newest item says.
#[derive(Debug, Clone)]
pub struct Located {
    /// The sequence number, which is meant to be the version. A hint.
    pub sequence: u64,
    /// The places.
    pub origins: Vec<Origin>,
    /// The places that cannot be asked, and why.
    pub ignored: Vec<OriginError>,
}

/// Why there is no list of places.
#[derive(Debug, thiserror::Error)]
pub enum DhtError {
    /// None of the first nodes has an address (the DHT has IPv4 only).
    #[error("none of the bootstrap nodes has an IPv4 address: {nodes}")]
    Bootstrap {
        /// As they were given.
        nodes: String,
    },
    /// No socket.
    #[error("the DHT does not work here: {0}")]
    Socket(std::io::Error),
    /// Nobody is there.
    #[error("no node of the DHT answered; check the bootstrap nodes ({nodes}) and that UDP is let through")]
    NoNode {
        /// The nodes that were asked first.
        nodes: String,
    },
    /// Nodes answered, and none has the item.
    #[error("the DHT has no list of places under this locator key for {salt}")]
    NotFound {
        /// What the key signs lists for.
        salt: String,
    },
    /// The newest item that the key signed is not what docs/formats.md says.
    #[error("the list of places with sequence number {sequence} cannot be read: {source}")]
    Value {
        /// Its sequence number.
        sequence: i64,
        /// What is wrong with it.
        source: ValueError,
    },
    /// The time was over first.
    #[error("the DHT did not answer in time")]
    Late,
    /// The item was not taken.
    #[error("the DHT did not store the item: {0}")]
    Put(String),
}

impl DhtError {
    /// The failure in one short stable word, for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bootstrap { .. } => "dns",
            Self::Socket(_) | Self::NoNode { .. } => "unreachable",
            Self::NotFound { .. } => "not-found",
            Self::Value { .. } => "format",
            Self::Late => "timeout",
            Self::Put(_) => "not-stored",
        }
    }
}

/// Why bytes are no list of places.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Longer than a node stores.
    #[error("it has {seen} bytes, wanted at most {VALUE_BYTES}")]
    TooLong {
        /// Its length.
        seen: usize,
    },
    /// Not the one form of the list.
    #[error("byte {at} is not of the form d1:ul(LENGTH:URL)*ee")]
    Form {
        /// The first byte that is not.
        at: usize,
    },
    /// No URL, or too many.
    #[error("it has {seen} places, wanted 1 to {wanted}")]
    Count {
        /// How many it has.
        seen: usize,
        /// The limit.
        wanted: usize,
    },
    /// A URL that is not printable ASCII.
    #[error("place {index} is not printable ASCII")]
    Text {
        /// Which one, from 0.
        index: usize,
    },
}

/// What a list is signed for: a channel and an architecture.
pub fn salt(channel: &str, arch: &str) -> String {
    format!("pb1/{channel}/{arch}")
}

/// The value of an item: a bencoded dictionary with the one key `u`, the list of base URLs.
pub fn value(urls: &[String]) -> Result<Vec<u8>, ValueError> {
    let mut bytes = b"d1:ul".to_vec();
    for url in urls {
        bytes.extend_from_slice(format!("{}:{url}", url.len()).as_bytes());
    }
    bytes.extend_from_slice(b"ee");
    // What nobody would read is not written.
    urls_of(&bytes)?;
    Ok(bytes)
}

/// The URLs of a value. It has exactly one form for each list; anything else is refused.
pub fn urls_of(bytes: &[u8]) -> Result<Vec<&str>, ValueError> {
    if bytes.len() > VALUE_BYTES {
        return Err(ValueError::TooLong { seen: bytes.len() });
    }
    let form = |rest: &[u8]| ValueError::Form { at: bytes.len() - rest.len() };
    let mut rest = bytes.strip_prefix(b"d1:ul").ok_or(ValueError::Form { at: 0 })?;
    let mut urls = Vec::new();
    while rest != b"ee" {
        let (url, behind) = string(rest).ok_or_else(|| form(rest))?;
        urls.push(url);
        rest = behind;
    }
    let wanted = Limits::default().origins;
    if !(1..=wanted).contains(&urls.len()) {
        return Err(ValueError::Count { seen: urls.len(), wanted });
    }
    let text = |(index, url)| match str::from_utf8(url) {
        Ok(text) if url.iter().all(u8::is_ascii_graphic) => Ok(text),
        _ => Err(ValueError::Text { index }),
    };
    urls.into_iter().enumerate().map(text).collect()
}

/// A bencoded string (BEP 3: its length in decimal without a leading zero, a colon, the bytes), and what stands behind it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().take(5).position(|&byte| byte == b':')?;
    let digits = &bytes[..colon];
    let plain = digits.iter().all(u8::is_ascii_digit) && (digits == b"0" || !digits.starts_with(b"0"));
    let length: usize = str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()?;
    bytes[colon + 1..].split_at_checked(length)
}

/// Looks for the places of a channel; returns at `deadline` at the latest. Of all answers the one with the highest sequence
/// number counts.
pub fn locate(locator: &Locator, channel: &str, arch: &str, deadline: Instant) -> Result<Located, DhtError> {
    let (nodes, salt, key) = (nodes_of(&locator.bootstrap), salt(channel, arch), locator.key);
    let name = salt.clone();
    let item = by(deadline, move |found| {
        let mut answer = ask(&nodes, &key, &salt);
        for _ in 1..QUESTIONS {
            if answer.is_ok() || Instant::now() >= deadline {
                break;
            }
            answer = ask(&nodes, &key, &salt);
        }
        match answer {
            Ok(items) => items.into_iter().for_each(|item| found(Ok(item))),
            Err(error) => found(Err(error)),
        }
    });
    let newest = item?.into_iter().filter(|item| (0..=LARGEST).contains(&item.seq())).max_by_key(MutableItem::seq);
    let newest = newest.ok_or(DhtError::NotFound { salt: name })?;
    let urls = urls_of(newest.value()).map_err(|source| DhtError::Value { sequence: newest.seq(), source })?;
    let mut located = Located { sequence: newest.seq().unsigned_abs(), origins: Vec::new(), ignored: Vec::new() };
    for url in urls {
        match Origin::parse(url) {
            Ok(origin) => located.origins.push(origin),
            Err(error) => located.ignored.push(error),
        }
    }
    Ok(located)
}

/// Asks once: what any nodes have, at least one item.
fn ask(nodes: &[String], key: &[u8; 32], salt: &str) -> Result<Vec<MutableItem>, DhtError> {
    let dht = join(nodes)?;
    let items = get(&dht, key, salt);
    match items.is_empty() {
        false => Ok(items),
        true if is_joined(&dht) => Err(DhtError::NotFound { salt: salt.to_owned() }),
        true => Err(DhtError::NoNode { nodes: nodes.join(", ") }),
    }
}

/// A list of places that is signed and can be stored.
#[derive(Debug, Clone)]
pub struct Item(MutableItem);

impl Item {
    /// Signs the list of places of a channel's version with the locator key: `sign` gets the bytes that BEP 44 has signed.
    pub fn sign(
        key: [u8; 32],
        (channel, arch): (&str, &str),
        (version, urls): (u64, &[String]),
        sign: &dyn Fn(&[u8]) -> [u8; 64],
    ) -> Result<Self, ValueError> {
        let value = value(urls)?;
        let salt = salt(channel, arch);
        let mut signed = format!("4:salt{}:{salt}3:seqi{version}e1:v{}:", salt.len(), value.len()).into_bytes();
        signed.extend_from_slice(&value);
        // Versions are below 2^53.
        let sequence = i64::try_from(version).unwrap_or(i64::MAX);
        Ok(Self(MutableItem::new_signed_unchecked(key, sign(&signed), &value, sequence, Some(salt.as_bytes()))))
    }

    /// Stores it; returns at `deadline` at the latest.
    ///
    /// Nodes keep an item for about two hours: whoever wants it found stores it again within that time.
    pub fn store(&self, bootstrap: &[String], deadline: Instant) -> Result<(), DhtError> {
        let (nodes, item) = (bootstrap.to_vec(), self.0.clone());
        let stored = by(deadline, move |done| {
            done(join(&nodes).and_then(|dht| {
                if !is_joined(&dht) {
                    return Err(DhtError::NoNode { nodes: nodes.join(", ") });
                }
                put(&dht, item).map_err(DhtError::Put)
            }));
        });
        stored.map(|_| ())
    }
}

/// Runs `work` on a thread of its own and collects what it gives until it ends, or until `deadline`: then what is there
/// counts. A thread that is late ends with its query, some seconds later.
fn by<T: Send + 'static>(
    deadline: Instant,
    work: impl FnOnce(&dyn Fn(Result<T, DhtError>)) + Send + 'static,
) -> Result<Vec<T>, DhtError> {
    let (sender, receiver) = mpsc::channel();
    let run = move || work(&|result| _ = sender.send(result));
    thread::Builder::new().name("dht".to_owned()).spawn(run).map_err(DhtError::Socket)?;
    let mut results = Vec::new();
    loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(result) => results.push(result?),
            Err(mpsc::RecvTimeoutError::Timeout) if results.is_empty() => return Err(DhtError::Late),
            Err(_) => return Ok(results),
        }
    }
}

/// The nodes to begin with: the given ones and no others, or else those that are well known.
fn nodes_of(bootstrap: &[String]) -> Vec<String> {
    if bootstrap.is_empty() { DEFAULT_BOOTSTRAP_NODES.map(str::to_owned).to_vec() } else { bootstrap.to_vec() }
}

/// A node of ours that answers nobody.
fn join(bootstrap: &[String]) -> Result<Dht, DhtError> {
    let v4 = |address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    };
    let most = Limits::default().origins;
    let nodes = bootstrap.iter().take(most).filter_map(|node| node.to_socket_addrs().ok()?.find_map(v4));
    let nodes: Vec<SocketAddrV4> = nodes.collect();
    if nodes.is_empty() {
        return Err(DhtError::Bootstrap { nodes: bootstrap.join(", ") });
    }
    Dht::builder().bootstrap(&nodes).build().map_err(DhtError::Socket)
}

/// The one place for the crate's blocking interface, which it calls deprecated in favour of one that needs an executor.
#[expect(deprecated, reason = "an executor costs init more than the three calls are worth")]
mod blocking {
    use super::{Dht, MOST_ITEMS, MutableItem};

    pub(super) fn get(dht: &Dht, key: &[u8; 32], salt: &str) -> Vec<MutableItem> {
        dht.get_mutable(key, Some(salt.as_bytes()), None).take(MOST_ITEMS).collect()
    }

    pub(super) fn put(dht: &Dht, item: MutableItem) -> Result<(), String> {
        dht.put_mutable(item, None).map(|_| ()).map_err(|error| error.to_string())
    }

    pub(super) fn is_joined(dht: &Dht) -> bool {
        dht.bootstrapped()
    }
}
use blocking::{get, is_joined, put};

#[cfg(test)]
mod tests;
