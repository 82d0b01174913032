//! A file that differs from its signed digest by one bit is never executed, loaded or mounted.

use crate::support::{Boot, Lab, Release, Serve};

#[test]
fn the_kernel() {
    is_refused("vmlinuz", "kexec");
}

#[test]
fn the_initramfs() {
    is_refused("release.cpio.zst", "kexec");
}

#[test]
fn the_root_through_kexec() {
    is_refused("tiny.squashfs", "kexec");
}

#[test]
fn the_root_directly() {
    is_refused("tiny.squashfs", "direct");
}

fn is_refused(artifact: &str, handoff: &'static str) {
    let tree = Release { handoff, ..Release::default() }.publish();
    tree.flip_bit_of_blob(artifact);
    let server = Serve::tree(tree);
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.is_refused("download", "digest", &[artifact, "SHA-256", "wanted"]);
    assert!(!boot.began("root"), "it was mounted");
    boot.powers_off();
}
