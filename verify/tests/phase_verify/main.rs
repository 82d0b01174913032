//! The real `phase-verify` on real files: what is good, every kind of damage, its exit status and its JSON.

// clippy.toml lets #[test] functions unwrap; these helpers are tests as well.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/log.rs"]
mod log;
#[path = "../support/release.rs"]
mod release;
mod tree;

mod damage;
mod documented;
mod documents;
mod usage;
