//! Two cards as one, of which one has no cable, behind a switch that lets nothing but one VLAN through.

use qemu::Event;
use serde_json::json;

use crate::support::{Boot, Lab, Release, Serve, Trunk};

#[test]
fn with_one_of_two_cables() {
    let server = Serve::tree(Release { handoff: "direct", ..Release::default() }.publish());
    let switch = Trunk::new(2, 42);
    let machine = switch.plug(Lab::ready().machine()).append(&server.origin());
    let mut boot = Boot::start(&machine.append("phase.bond=active-backup:eth0,eth1 phase.vlan=42"));
    boot.qmp().execute("set_link", &json!({"name": "net0", "up": false})).unwrap();
    let end = boot.reaches("network", Event::End);
    assert_eq!(end.field("interface"), Some("bond0.42"));
    boot.reaches_the_release("direct");
    let (tagged, untagged) = switch.frames();
    assert!(tagged > 0);
    assert_eq!(untagged, 0, "frames left without the tag");
}
