//! A forged release does not keep a machine from booting the genuine one, and does not go unnoticed.

use crate::support::{Boot, Lab, Release, Serve};

#[test]
fn and_says_that_the_other_was_refused() {
    let [old, new] = [3, 4].map(|version| Release { version, handoff: "direct", ..Release::default() }.publish());
    new.flip_bit_of_signature();
    let [genuine, forged] = [old, new].map(Serve::tree);
    let mut boot = Boot::start(&Lab::ready().machine().append(&forged.origin()).append(&genuine.origin()));
    assert_eq!(boot.reaches_the_release("direct")["version"], 3);
    let address = forged.origin().replace("phase.origin=", "");
    assert!(boot.says(&format!("{address}: refused: ")), "the forged release is not mentioned");
}
