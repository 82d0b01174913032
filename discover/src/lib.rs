//! Finds and carries untrusted bytes.
//!
//! Everything that this crate returns came from a network and proves nothing: what is true is decided by `verify`, which
//! this crate does not know. What it does guarantee is that no peer can make it panic, wait without a deadline or allocate
//! without a limit ([`Limits`]), and that every failure names the place, the value seen and the value wanted.
//!
//! - [`origin`]: one static HTTP tree, its envelopes and blobs;
//! - [`gather`](mod@gather): the envelopes of all origins, and the trust files that they have, at once, until a deadline;
//! - [`dhcp`]: DHCPv4 messages and the client's decisions, without a socket.
#![forbid(unsafe_code)]

mod base;
pub mod dhcp;
mod error;
pub mod gather;
#[cfg(test)]
mod hostile;
mod limits;
mod line;
mod link;
mod lookup;
pub mod origin;
#[cfg(feature = "tls")]
pub mod tls;

pub use base::OriginError;
pub use error::FetchError;
pub use gather::{Candidate, Gathered, Request, gather, prove};
pub use limits::Limits;
pub use origin::{Origin, Sink};
#[cfg(feature = "tls")]
pub use tls::Tls;
