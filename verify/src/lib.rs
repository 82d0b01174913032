//! From bytes to trusted types.
//!
//! This crate decides what may be believed. It takes bytes that anybody may have sent and returns either a value of a
//! type that only a passed check can make ([`Verified`], [`CheckedBytes`]) or a [`Refusal`] or [`ArtifactError`] that
//! says what was seen and what was wanted. It does no I/O, reads no clock and holds no private key: the caller brings
//! the bytes, the trust file and the time. Formats are those of `docs/formats.md`.
//!
//! The order of a check, top to bottom:
//!
//! 1. [`Trust::parse`]: which keys count, from the initramfs alone;
//! 2. [`Now::decide`]: which time it is, without believing a dead battery;
//! 3. [`verified::newest`]: every envelope through [`verified::manifest`], the highest verified version wins;
//! 4. [`artifact::receive`]: the bytes that a verified manifest names, hashed in place while they arrive.

#![forbid(unsafe_code)]

pub mod artifact;
pub mod clock;
pub mod dsse;
pub mod json;
mod limits;
pub mod manifest;
pub mod names;
mod refusal;
pub mod state;
#[cfg(test)]
mod testing;
pub mod time;
pub mod trust;
pub mod verified;

pub use artifact::{ArtifactError, CheckedBytes, Receiving};
pub use clock::Now;
pub use dsse::{Envelope, Signature};
pub use json::{Fields, FormatError};
pub use limits::{LIMITS, Limits};
pub use manifest::{Artifact, BootFiles, Handoff, Initramfs, Kernel, Manifest};
pub use names::{Arch, Channel, KeyId, Sha256Digest, ValueError};
pub use refusal::{Refusal, Warning};
pub use state::Floors;
pub use time::Timestamp;
pub use trust::{Expiry, Policy, PublicKey, Role, Roles, Trust};
pub use verified::{Candidate, Newest, NoRelease, Rules, Verified};
