//! One bit of the signed manifest, or of its signature, is enough to be refused.

use crate::support::{Boot, Lab, Release, Serve, Tree};

#[test]
fn in_its_payload() {
    is_refused_after(Tree::flip_bit_of_manifest);
}

#[test]
fn in_its_signature() {
    is_refused_after(Tree::flip_bit_of_signature);
}

fn is_refused_after(change: impl FnOnce(&Tree)) {
    let tree = Release::default().publish();
    change(&tree);
    let server = Serve::tree(tree);
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.is_refused("verify", "signature", &["none of the releases found can be trusted", "signature"]);
    assert!(!server.access_log().iter().any(|line| line.contains("/blobs/")), "nothing of it was asked for");
    boot.powers_off();
}
