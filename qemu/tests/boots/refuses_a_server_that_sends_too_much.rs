//! What is longer than the signed size is not received, whether the server announces it or not; what has no size yet has
//! a limit.

use crate::support::{Boot, Fault, Hostile, Lab, Release};

#[test]
fn of_a_blob_announced() {
    is_refused("/blobs/", Fault::OneByteMore, "download", "the server offers 14186433 bytes, wanted 14186432");
}

#[test]
fn of_a_blob_unannounced() {
    is_refused("/blobs/", Fault::Endless, "download", "the server sent more than the 14186432 bytes that are wanted");
}

#[test]
fn of_a_manifest() {
    is_refused("/manifest", Fault::EndlessChunks, "discover", "the server sent more than the");
}

fn is_refused(on: &'static str, fault: Fault, stage: &str, words: &str) {
    let server = Hostile::tree(Release::default().publish(), on, fault);
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.is_refused(stage, "too-much", &[words]);
    boot.powers_off();
}
