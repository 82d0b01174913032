//! Whoever can make kexec fail does not choose how a release is started: its manifest does.

use std::fs;

use crate::support::{Boot, Lab, Release, Serve};

const NO_KEXEC: &str = "sysctl.kernel.kexec_load_disabled=1";

#[test]
fn listed_it_is_taken() {
    let server = Serve::tree(Release { handoff: "kexec,direct", ..Release::default() }.publish());
    let mut boot = Boot::start(&Lab::ready().machine().append(NO_KEXEC).append(&server.origin()));
    let receipt = boot.reaches_the_release("direct");
    assert_eq!(receipt["handoff"], "direct");
    assert!(boot.says("hand-off kexec: kexec_file_load refused the release's kernel"), "the reason is said");
    let blobs = server.access_log().iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!(blobs, 1, "kernel and initramfs of a way that cannot be gone are not fetched");
}

#[test]
fn not_listed_the_boot_is_refused() {
    let server = Serve::tree(Release::default().publish());
    let mut boot = Boot::start(&Lab::ready().machine().append(NO_KEXEC).append(&server.origin()));
    boot.is_refused_at_once("kexec-load", &["kernel.kexec_load_disabled"]);
    boot.powers_off();
}

#[test]
fn what_was_proved_for_kexec_is_not_downloaded_again() {
    // A kernel that no other one loads: it says that it cannot stand above 4 GiB (`XLF_CAN_BE_LOADED_ABOVE_4G` of
    // Documentation/arch/x86/boot.rst).
    let folder = tempfile::tempdir().unwrap();
    let low = folder.path().join("vmlinuz-low");
    let mut bytes = fs::read(Lab::ready().kernel()).unwrap();
    bytes[0x236] &= !0b10;
    fs::write(&low, bytes).unwrap();
    let server = Serve::tree(Release { kernel: Some(low), handoff: "kexec,direct", ..Release::default() }.publish());
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    assert_eq!(boot.reaches_the_release("direct")["handoff"], "direct");
    assert!(
        boot.began("load") && boot.says("kexec_file_load refused the release's kernel"),
        "it was not given to the kernel"
    );
    let blobs = server.access_log().iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!(blobs, 3, "kernel, initramfs and root once each");
}
