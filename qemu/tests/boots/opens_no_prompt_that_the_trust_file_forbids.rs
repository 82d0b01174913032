//! The kernel command line can ask for the rescue prompt; only the trust file's policy can grant it.

use crate::support::{Boot, Lab};

#[test]
fn neither_at_the_start_nor_after_a_failure() {
    let parameters = "phase.shell phase.on_failure=shell ip=off";
    let mut boot = Boot::start(&Lab::ready().locked_machine().append(parameters));
    let words = ["phase.shell is ignored: the trust file's policy does not allow the rescue prompt"];
    let recover = boot.is_refused("network", "network", &words);
    assert_eq!(recover.field("action"), Some("reboot"));
    boot.restarts();
    assert!(!boot.says("phase>"), "there was a prompt");
}
