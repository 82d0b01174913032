//! DHCPv4 (RFC 2131, options of RFC 2132) for a machine that boots: messages and the client's decisions, without a socket.
//!
//! [`parse`](message::parse) takes a UDP payload from anybody and gives typed values or a reason; it never panics and
//! allocates no more than the payload. [`Client`] takes events and the time and says what to send and how long to wait;
//! it ends when its time is over. Why this is our own: docs/decisions/0002-dhcp.md.
//!
//! Everything in a [`Lease`] is a hint: it may lead nowhere or to an attacker, and it cannot make anything trusted.

mod boot;
pub mod client;
pub mod message;

pub use boot::BootFile;
pub use client::{Client, Event, GaveUp, Step};
pub use message::{Identity, Kind, Lease, MessageError, Reply, Route};

/// UDP port that servers listen on.
pub const SERVER_PORT: u16 = 67;
/// UDP port that clients listen on.
pub const CLIENT_PORT: u16 = 68;

/// The printable part of what a server says, at most 80 characters.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let plain = |byte: &&u8| byte.is_ascii_graphic() || **byte == b' ';
    bytes.iter().filter(plain).take(80).map(|&byte| char::from(byte)).collect()
}
