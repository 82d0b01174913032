//! A root file system that differs from the signed digest by one bit is never mounted, whichever way leads to it.

use crate::support::{Boot, Lab, Release, Serve};

#[test]
fn through_kexec() {
    is_refused("kexec");
}

#[test]
fn directly() {
    is_refused("direct");
}

fn is_refused(handoff: &'static str) {
    let tree = Release { handoff, ..Release::default() }.publish();
    tree.flip_bit_of_blob("tiny.squashfs");
    let server = Serve::tree(tree);
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.is_refused("download", "digest", &["tiny.squashfs", "SHA-256", "wanted"]);
    assert!(!boot.began("root"), "it was mounted");
    boot.powers_off();
}
