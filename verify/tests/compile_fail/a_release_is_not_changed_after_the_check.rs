//! A release can be read, not written.

use verify::{Manifest, Verified};

fn change(release: &mut Verified<Manifest>) {
    release.version = 1;
    release.rootfs = None;
}

fn main() {}
