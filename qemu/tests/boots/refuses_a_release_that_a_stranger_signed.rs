//! A signature by a key that the trust file does not list counts for nothing.

use crate::support::{Boot, Lab, Release, Serve};

#[test]
fn and_names_the_keys_that_would_count() {
    let server = Serve::tree(Release { key: "stranger", ..Release::default() }.publish());
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.is_refused("verify", "unknown-key", &["none of the releases found can be trusted", "key"]);
    boot.powers_off();
}
