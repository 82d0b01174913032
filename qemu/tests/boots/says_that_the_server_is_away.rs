//! A server that does not answer is named, and nothing else happens.

use crate::support::{Boot, Lab, origin};

#[test]
fn and_what_was_asked_for() {
    // Port 9 is the discard service, which no host of today runs.
    let mut boot = Boot::start(&Lab::ready().machine().append(&origin(9)));
    let url = "http://10.0.2.2:9/e2e/x86_64/manifest.dsse.json";
    boot.is_refused("discover", "unreachable", &[&format!("{url}: the server could not be reached")]);
    boot.powers_off();
}
