//! The command as a person or a script meets it: every test runs the real binary.

// clippy.toml lets #[test] functions unwrap; these helpers are tests as well.
#![allow(clippy::unwrap_used)]

mod common;
mod image;
mod keys;
mod publish;
mod serve;
