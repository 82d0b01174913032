//! Of what all origins have, the newest verified release is booted: nobody wins by answering first.

use std::time::Duration;

use crate::support::{Boot, Fault, Hostile, Lab, Release};

#[test]
fn though_an_older_one_answers_first() {
    let [old, new] = [3, 4].map(|version| Release { version, handoff: "direct", ..Release::default() }.publish());
    let quick = Hostile::tree(old, "", Fault::None);
    let late = Hostile::tree(new, "/manifest", Fault::Late(Duration::from_secs(3)));
    let mut boot = Boot::start(&Lab::ready().machine().append(&quick.origin()).append(&late.origin()));
    assert_eq!(boot.reaches_the_release("direct")["version"], 4);
    assert!(!quick.requests().iter().any(|path| path.contains("/blobs/")), "the older one was asked for blobs");
}
