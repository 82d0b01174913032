//! A machine that lost its clock still boots: the trust file's age is the least time that it believes.

use crate::support::{Boot, Lab, Release, Serve};

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
    let server = Serve::tree(Release { handoff: "direct", ..Release::default() }.publish());
    let mut boot = Boot::start(&Lab::ready().machine().clock(clock).append(&server.origin()));
    let receipt = boot.reaches_the_release("direct");
    assert_eq!(receipt["clock"]["trusted"], false);
    assert!(boot.says("the machine's clock is not believed"));
}
