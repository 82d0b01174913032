//! A server that answers 404 is named with what it was asked for.

use crate::support::{Boot, Lab, Nginx};

#[test]
fn and_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let server = Nginx::folder(folder.path());
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.is_refused(
        "discover",
        "status",
        &["/e2e/x86_64/manifest.dsse.json: the server answered status 404, wanted 200"],
    );
    boot.powers_off();
}
