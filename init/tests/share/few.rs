//! Two or three machines.

use std::time::Duration;

use crate::host;
use crate::lan::{Lan, ORIGIN, inside, publish};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_machine_gets_everything_from_its_neighbour_while_the_origin_is_cut_off() {
    const TEST: &str = "few::a_machine_gets_everything_from_its_neighbour_while_the_origin_is_cut_off";
    if host::is_one() || !inside(TEST) {
        return;
    }
    let mut lan = Lan::new(40);
    publish(&lan.tree(), 10);
    lan.serve();
    let mut first = lan.machine(TEST, &[ORIGIN], true);
    first.wait_for("sharing with this link", SOON);
    // The second one knows of no origin: Local mode. It begins before the first one has everything, and ends when there is no
    // origin any more.
    let mut second = lan.machine(TEST, &[], false);
    first.wait_for("has everything", SOON);
    lan.cut_off();
    second.wait_for("jumps", SOON);
    let told = second.says();
    assert!(told.contains("release 7 from http://10.77.0.2:"), "{told}");
    first.wait_for("shared with 1 neighbour", SOON);
    first.wait_for("jumps", SOON);
}
