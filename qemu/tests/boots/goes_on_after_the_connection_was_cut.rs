//! A connection that is cut in the middle of a blob costs the rest of the blob, not the boot; one that never gets further
//! is given up.

use crate::support::{Boot, Fault, Hostile, Lab, Release};

#[test]
fn with_the_rest_if_the_server_sends_it() {
    let tree = Release { handoff: "direct", ..Release::default() }.publish();
    let server = Hostile::tree(tree, "/blobs/", Fault::CutsOnce);
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.reaches_the_release("direct");
    let blobs = server.requests().iter().filter(|path| path.contains("/blobs/")).count();
    assert_eq!(blobs, 2, "once, and once for the rest");
}

#[test]
fn or_not_at_all() {
    let server = Hostile::tree(Release::default().publish(), "/blobs/", Fault::CutsAtHalf);
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.is_refused("download", "cut", &["the connection was cut after 7093216 of 14186432 bytes"]);
    boot.powers_off();
}
