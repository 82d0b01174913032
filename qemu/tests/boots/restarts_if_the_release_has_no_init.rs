//! A release whose init is not there ends in a restart, not in a kernel panic: PID 1 of stage two holds as that of stage
//! one does.

use qemu::Event;

use crate::support::{Boot, Lab, Release, Serve};

#[test]
fn and_says_which_file_is_missing() {
    let server = Serve::tree(Release { init: "/sbin/missing", ..Release::default() }.publish());
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    boot.reaches("handoff", Event::Begin);
    let fail = boot.reaches("root", Event::Fail);
    assert_eq!(fail.field("error"), Some("no-init"));
    let recover = boot.reaches("recover", Event::Begin);
    assert_eq!(recover.field("action"), Some("reboot"));
    assert!(boot.says("/sbin/missing"), "the file is named");
    boot.restarts();
    assert!(!boot.says("phase-test:"), "something of the release ran");
}
