//! A mode whose promise this build cannot keep never becomes a mode that sends something.

use crate::support::{Boot, Fault, Hostile, Lab, Release};

#[test]
fn local() {
    sends_nothing("local");
}

fn sends_nothing(mode: &str) {
    let server = Hostile::tree(Release::default().publish(), "", Fault::None);
    let machine = Lab::ready().machine().append(&format!("phase.mode={mode}")).append(&server.origin());
    let mut boot = Boot::start(&machine);
    boot.is_refused("mode", "mode-unavailable", &[&format!("phase.mode={mode} is not in this build")]);
    assert!(!boot.began("network"), "the network was touched");
    boot.powers_off();
    assert_eq!(server.requests(), [] as [String; 0]);
}
