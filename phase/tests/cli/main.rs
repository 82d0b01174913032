//! The command as a person or a script meets it: every test runs the real binary.

// clippy.toml lets #[test] functions unwrap and panic; these helpers are tests as well.
#![allow(clippy::panic, clippy::unwrap_used)]

mod all;
mod announce;
mod arm64;
mod common;
mod connections;
mod discover;
mod disk;
mod document;
mod holders;
mod image;
mod interop;
mod iso;
mod kexec;
mod keys;
mod keys_document;
mod lab;
mod link;
mod measured;
#[path = "../../../discover/tests/support/namespaces.rs"]
mod namespaces;
mod publish;
mod pxe;
mod serve;
mod signer;
mod trust;
mod uki;
mod write;
