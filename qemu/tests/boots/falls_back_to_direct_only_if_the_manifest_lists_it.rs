//! Whoever can make kexec fail does not choose how a release is started: its manifest does.

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
    assert_eq!(blobs, 3, "what was proved is not downloaded again");
}

#[test]
fn not_listed_the_boot_is_refused() {
    let server = Serve::tree(Release::default().publish());
    let mut boot = Boot::start(&Lab::ready().machine().append(NO_KEXEC).append(&server.origin()));
    boot.is_refused("load", "kexec-load", &["kernel.kexec_load_disabled"]);
    boot.powers_off();
}
