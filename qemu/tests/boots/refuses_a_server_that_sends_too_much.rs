//! What is longer than the signed size is not received, whether the server announces it or not; what has no size yet has
//! a limit.

use crate::support::{Boot, Fault, Hostile, Lab, Release};

#[test]
fn of_a_blob_announced() {
    is_refused("/blobs/", Fault::OneByteMore, "download", "the server offers 14186433 bytes, wanted 14186432");
}

#[test]
fn of_a_blob_unannounced_whose_bytes_are_right_as_far_as_they_are_wanted() {
    let server = Hostile::tree(Release::default().publish(), "/blobs/", Fault::Endless);
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.reaches_the_release("kexec");
    assert!(boot.says("the server sent more than the 14186432 bytes that are wanted"), "nobody hears of it");
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
