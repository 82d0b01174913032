//! A network card without a cable does not hold up the one that has one.

use std::time::Duration;

use qemu::Event;
use serde_json::json;

use crate::support::{Boot, Lab, Release, Serve};

/// What one card takes, many times over; waiting for a link that never comes takes 45 s.
const WITHOUT_WAITING: Duration = Duration::from_secs(30);

#[test]
fn while_another_has_one() {
    let server = Serve::tree(Release { handoff: "direct", ..Release::default() }.publish());
    let machine = Lab::ready().machine().netdev("user", "virtio-net-pci").append(&server.origin());
    let mut boot = Boot::start(&machine);
    boot.qmp().execute("set_link", &json!({"name": "net0", "up": false})).unwrap();
    let begin = boot.reaches("network", Event::Begin);
    let end = boot.reaches("network", Event::End);
    let took = end.time().saturating_sub(begin.time());
    assert!(took < WITHOUT_WAITING, "the network took {took:?}");
    assert_eq!(end.field("interface"), Some("eth1"), "the first card has no link");
    boot.reaches_the_release("direct");
}
