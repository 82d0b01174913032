//! A release without a kernel runs under the boot kernel, and sees the command line that was signed.

use crate::support::{Boot, Lab, Release, Serve};

#[test]
fn its_init_runs_and_sees_the_signed_command_line() {
    let server = Serve::tree(Release { handoff: "direct", ..Release::default() }.publish());
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    let receipt = boot.reaches_the_release("direct");
    assert_eq!(receipt["handoff"], "direct");
    assert!(
        boot.says("phase-test: cmdline quiet panic=-1 no_timer_check signed=yes console=ttyS0"),
        "the signed command line"
    );
    assert!(boot.says("phase-test: the root takes writes"));
    assert!(!boot.began("load"), "there is no kernel to load");
}
