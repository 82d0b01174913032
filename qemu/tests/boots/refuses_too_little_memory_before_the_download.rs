//! A release that does not fit into the memory is refused while that costs nothing yet.

use crate::support::{Boot, Lab, Release, Serve};

#[test]
fn with_the_shortfall_and_not_one_blob_asked_for() {
    let server = Serve::tree(Release::default().publish());
    let mut boot = Boot::start(&Lab::ready().machine().memory_mib(144).append(&server.origin()));
    boot.is_refused("fit", "memory", &["MiB are available", "MiB are missing"]);
    let log = server.access_log();
    assert!(log.iter().any(|line| line.contains("/manifest.dsse.json 200")), "{log:?}");
    assert!(!log.iter().any(|line| line.contains("/blobs/")), "{log:?}");
    boot.powers_off();
}
