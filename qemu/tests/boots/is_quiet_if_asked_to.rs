//! With `phase.quiet` the console has markers and problems, and nothing else of ours.

use crate::support::{Boot, Lab, Release, Serve};

/// What is said of a boot that goes well.
const PROSE: [&str; 3] = ["link is up", "signed by 1 key", "downloaded and verified in"];

#[test]
fn and_talks_otherwise() {
    let server = Serve::tree(Release { handoff: "direct", ..Release::default() }.publish());
    let machine = Lab::ready().machine().append(&server.origin());
    let mut talks = Boot::start(&machine);
    talks.reaches_the_release("direct");
    for words in PROSE {
        assert!(talks.says(words), "{words:?} is not said any more: this test would prove nothing");
    }
    drop(talks);
    let mut quiet = Boot::start(&machine.append("phase.quiet"));
    quiet.reaches_the_release("direct");
    for words in PROSE {
        assert!(!quiet.says(words), "{words:?}");
    }
}
