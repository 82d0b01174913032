//! Sharing between machines, each in a network namespace of its own: what a machine runs from its search to the jump, against
//! a real web server and real multicast DNS. Needs `unshare`, `nsenter`, `ip`, `tc` and `nginx`; without one of them the tests
//! fail and say so.

// Helpers of tests panic too; clippy.toml only knows the test functions themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod fake;
mod few;
mod host;
mod lan;
mod many;

/// Namespaces and what runs in them.
#[path = "../../../discover/tests/support/namespaces.rs"]
mod namespaces;

/// Starts nginx.
#[path = "../../../discover/tests/support/nginx.rs"]
mod nginx;

/// Signs releases.
#[path = "../../../verify/tests/support/release.rs"]
mod release;
