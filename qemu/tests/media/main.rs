//! Every way in: each row of a table is one artefact of `phase image`, and one firmware that starts it, up to the release's
//! PID 1 in the mode that its menu set. The table is printed at the end (docs/testing.md).
//!
//! They need what the tests of boots/ need, and the packages that the Makefile calls `MEDIA_PACKAGES`; what is missing fails a row
//! by name. `make test-media` runs all rows; `cargo test --profile host -p qemu --test media -- --include-ignored usb-x64` one.
//!
//! # Adding a row
//!
//! There is a file for each way in, whose `rows()` stands in [`rows`] below. A row is a name of its own (the first word of the
//! test's name, and of its line in the table), a sentence, and a function that makes the artefact, starts it, and returns the
//! [`Outcome`](row::Outcome); what goes wrong panics:
//!
//! ```text
//! Row::new("ISO-x64", "boots in private mode from the disc", || boots(Firmware::X64, &Scene::tiny(Mode::Private)))
//! ```
//!
//! `.quick()` puts a row into `make test`, which has time for four; `.isolated()` runs it in namespaces of its own, where it may
//! start servers and a LAN ([`qemu::lan`]).
//!
//! [`Scene`](scene::Scene) has what most rows share: a release that the artefact carries or a server offers, the options that every
//! `phase image` command has, and the menu's key; [`Arrival`](arrival::Arrival) is what has to be true once the release runs.

// A test that cannot go on says so by panicking, and so does what it stands on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arm64;
mod arrival;
mod disk;
mod iso;
mod kernel;
mod kexec;
mod memory;
mod network;
mod qcow2;
mod quick_start;
mod row;
mod scene;
mod secure_boot;
// The other test programs use the rest of it.
#[allow(dead_code, unused_imports)]
#[path = "../boots/support/mod.rs"]
mod support;
mod uki;

use std::process::ExitCode;

use row::Row;

/// The table, in the order in which it is printed.
fn rows() -> Vec<Row> {
    [
        disk::rows(),
        memory::rows(),
        iso::rows(),
        qcow2::rows(),
        uki::rows(),
        secure_boot::rows(),
        kernel::rows(),
        network::rows(),
        kexec::rows(),
        arm64::rows(),
        quick_start::rows(),
    ]
    .concat()
}

fn main() -> ExitCode {
    row::main(rows())
}
