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
//! 2. [`rotation::follow`]: which keys count by now, from trust file to signed trust file;
//! 3. [`state::decide`]: what the machine remembers, and what follows if it does not;
//! 4. [`Now::decide`]: which time it is, without believing a dead battery;
//! 5. [`verified::newest`]: every envelope through [`verified::manifest`], the highest verified version wins;
//! 6. [`pieces`]: the bytes that a verified manifest names, hashed in place while they arrive;
//! 7. [`measured`]: what a TPM is told of the release before it is entered.

#![forbid(unsafe_code)]

pub mod clock;
pub mod dsse;
pub mod json;
mod limits;
pub mod manifest;
pub mod measured;
pub mod names;
pub mod pieces;
mod refusal;
pub mod rotation;
pub mod state;
pub mod store;
#[cfg(test)]
mod testing;
pub mod time;
pub mod transparency;
pub mod trust;
pub mod verified;

pub use clock::Now;
pub use dsse::{Envelope, Signature};
pub use json::{Fields, FormatError};
pub use limits::{LIMITS, Limits};
pub use manifest::{Artifact, BootFiles, Chunks, Handoff, Initramfs, Kernel, Manifest, Pieces, Upper};
pub use names::{Arch, Channel, KeyId, Sha256Digest, ValueError};
pub use pieces::{ArtifactError, CheckedBytes, PieceList};
pub use refusal::{Refusal, TooFewSigners, Warning};
pub use rotation::{Followed, RotationRefusal};
pub use state::{Floors, State, StateError};
pub use store::{PartUuid, Store};
pub use time::Timestamp;
pub use transparency::{ProofRefusal, Transparency};
pub use trust::{Policy, PublicKey, Reaction, Role, Roles, Trust};
pub use verified::{Candidate, Newest, NoRelease, Rules, Signed, Verified};
