//! A machine that lost its clock still boots: the trust file's age is the least time that it believes. It also goes on asking
//! https origins, whose certificates are not valid in the year that it has.

use crate::support::{Boot, Lab, Nginx, Release, text};

#[test]
fn of_1970_and_says_that_it_is_not_believed() {
    boots("1970-01-01T00:00:00");
}

#[test]
fn of_2099_and_says_that_it_is_not_believed() {
    boots("2099-01-01T00:00:00");
}

#[track_caller]
fn boots(clock: &str) {
    let tree = Release { handoff: "direct", ..Release::default() }.publish();
    let server = Nginx::https(tree.path());
    let directory = tempfile::tempdir().unwrap();
    let initrd = directory.path().join("boot.cpio.zst");
    let machine = Lab::ready().machine_of(&initrd, &["--tls-roots", text(&server.certificate())]);
    let mut boot = Boot::start(&machine.clock(clock).append(&server.origin()));
    let receipt = boot.reaches_the_release("direct");
    assert_eq!(receipt["clock"]["trusted"], false);
    assert!(receipt["source"].as_str().unwrap().starts_with("https://10.0.2.2:"), "{receipt}");
    assert!(boot.says("the machine's clock is not believed"));
}
