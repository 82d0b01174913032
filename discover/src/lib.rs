//! Finds and carries untrusted bytes.
//!
//! Everything that this crate returns came from a network and proves nothing: what is true is decided by `verify`, which
//! this crate does not know. What it does guarantee is that no peer can make it panic, wait without a deadline or allocate
//! without a limit ([`Limits`]), and that every failure names the place, the value seen and the value wanted.
//!
//! - [`search`](mod@search): every way of finding origins at once, and what those have;
//! - `mdns` and `dht` (cargo features): the directory of the local network, and that of the BitTorrent DHT;
//! - `tls` (cargo feature): which servers of https origins are believed to be the ones that were asked;
//! - [`origin`]: one static HTTP tree, its envelopes and blobs;
//! - [`gather`](mod@gather): the envelopes of all origins, and the trust files that they have, at once, until a deadline;
//! - [`dhcp`]: DHCPv4 messages and the client's decisions, without a socket.
#![forbid(unsafe_code)]

mod base;
#[cfg(feature = "cli")]
mod claim;
#[cfg(feature = "cli")]
pub mod cli;
pub mod dhcp;
pub mod dhcp6;
#[cfg(feature = "dht")]
pub mod dht;
mod error;
pub mod gather;
mod hangup;
#[cfg(test)]
mod hostile;
mod limits;
mod line;
pub mod link;
mod locator;
mod lookup;
#[cfg(feature = "mdns")]
pub mod mdns;
pub mod origin;
mod portal;
mod proxy;
pub mod search;
#[cfg(feature = "tls")]
pub mod tls;

pub use base::OriginError;
#[cfg(feature = "cli")]
pub use claim::Claim;
pub use error::FetchError;
pub use gather::{Candidate, Gathered, Request, gather, prove};
pub use hangup::Hangup;
pub use limits::Limits;
pub use locator::{Locator, LocatorError};
pub use origin::{Origin, Sink};
pub use proxy::{Proxy, ProxyError};
pub use search::{Found, Manner, Remark, Search, Way, search};
#[cfg(feature = "tls")]
pub use tls::Tls;
