//! `DHCPv6` (RFC 8415) for a machine that boots: an address where routers say that a server gives them, or else only what a
//! server knows about the network. Messages and the client's decisions, without a socket.
//!
//! [`parse`](message::parse) takes a UDP payload from anybody and gives typed values or a reason; it never panics and
//! allocates no more than the payload. [`Client`] takes events and the time and says what to send and how long to wait;
//! it ends when its time is over.
//!
//! Everything in an [`Answer`] is a hint: it may lead nowhere or to an attacker, and it cannot make anything trusted.

pub mod client;
pub mod message;

pub use client::{Client, GaveUp, Question, Step};
pub use message::{Answer, Given, Identity, Kind, MessageError};

/// UDP port that servers listen on.
pub const SERVER_PORT: u16 = 547;
/// UDP port that clients listen on.
pub const CLIENT_PORT: u16 = 546;
