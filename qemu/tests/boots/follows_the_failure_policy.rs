//! After a failed attempt the machine does what it was told to do. (Switching off is what the other tests tell it.)

use qemu::Event;

use crate::support::{Boot, Lab, origin};

/// Fails before anything is asked.
const FAILS: &str = "ip=off";

#[test]
fn retry_tries_again_and_restarts_in_the_end() {
    let machine = Lab::ready().machine().append("phase.on_failure=retry phase.attempts=2").append(&origin(9));
    let mut boot = Boot::start(&machine);
    let recover = boot.is_refused("discover", "unreachable", &[]);
    assert_eq!((recover.field("action"), recover.field("attempt")), (Some("retry"), Some("1")));
    let recover = boot.is_refused("discover", "unreachable", &[]);
    assert_eq!((recover.field("action"), recover.field("attempt")), (Some("reboot"), Some("2")));
    boot.shows("that was the last attempt");
    boot.restarts();
    assert_eq!(boot.count("network", Event::Begin), 2, "the network was set up for each attempt");
}

#[test]
fn reboot_restarts() {
    let mut boot = Boot::start(&Lab::ready().machine().append("phase.on_failure=reboot").append(FAILS));
    let recover = boot.is_refused("network", "network", &[]);
    assert_eq!(recover.field("action"), Some("reboot"));
    boot.restarts();
}

#[test]
fn shell_opens_a_prompt_that_answers() {
    let mut boot = Boot::start(&Lab::ready().machine().append("phase.on_failure=shell").append(FAILS));
    let recover = boot.is_refused("network", "network", &[]);
    assert_eq!(recover.field("action"), Some("shell"));
    for (line, answer) in
        [("help", "switch the machine off"), ("log", "] phase: network: fail"), ("/bin/sh", "no such word: /bin/sh")]
    {
        boot.at_prompt("phase>", line);
        boot.shows(answer);
    }
    boot.at_prompt("phase>", "reboot");
    boot.restarts();
}
