//! Under a trust file that wants releases to be logged, the keys of the release role are not enough: what was signed in
//! secret is not booted.

use crate::support::{Boot, Lab, Release, Serve, Tree};

fn signed() -> Tree {
    Release { handoff: "direct", ..Release::default() }.publish()
}

#[test]
fn and_boots_the_same_release_with_its_proof() {
    let server = Serve::tree(signed().logged(2));
    let mut boot = Boot::start(&Lab::ready().logged_machine().append(&server.origin()));
    boot.reaches_the_release("direct");
}

#[test]
fn without_a_proof() {
    let server = Serve::tree(signed());
    let mut boot = Boot::start(&Lab::ready().logged_machine().append(&server.origin()));
    boot.is_refused("verify", "transparency", &["no proof that it was logged came with the release"]);
    boot.powers_off();
    assert!(!server.access_log().iter().any(|line| line.contains("/blobs/")), "its blobs were asked for");
}

#[test]
fn with_a_proof_that_too_few_witnesses_have_seen() {
    let server = Serve::tree(signed().logged(1));
    let mut boot = Boot::start(&Lab::ready().logged_machine().append(&server.origin()));
    boot.is_refused("verify", "transparency", &["does not hold: not enough valid cosignatures"]);
    boot.powers_off();
}
