//! Many machines at once: what sharing is for.

use std::time::Duration;

use crate::host;
use crate::lan::{Lan, ORIGIN, inside, publish};

/// Whatever happens, so long it may take.
const LONGEST: Duration = Duration::from_mins(5);

/// What the origin can send until all of them have begun, and then, in Mbit/s.
const SLOW: u32 = 2;
const FAST: u32 = 100;

/// Lets so many machines get a release at once whose root has so many MiB; gives how many times its size the origin sent.
fn times(test: &str, machines: usize, mib: usize, share: bool) -> f64 {
    let mut lan = Lan::new(SLOW);
    let size = publish(&lan.tree(), mib);
    lan.serve();
    let before = lan.sent();
    let mut hosts: Vec<_> = (0..machines).map(|_| lan.machine(test, &[ORIGIN], share)).collect();
    // All at once, however long each took to start.
    for host in &mut hosts {
        host.wait_for("release 7 from ", LONGEST);
    }
    lan.rate(FAST);
    for host in &mut hosts {
        host.wait_for("jumps", LONGEST);
    }
    let sent = lan.sent() - before;
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let times = sent as f64 / size as f64;
    println!(
        "{machines} machines, {size} bytes each, sharing {share}: the origin sent {sent} bytes, {times:.2} times the release"
    );
    times
}

#[test]
fn five_machines_that_share_ask_the_origin_for_little_more_than_one_release() {
    const TEST: &str = "many::five_machines_that_share_ask_the_origin_for_little_more_than_one_release";
    if host::is_one() || !inside(TEST) {
        return;
    }
    assert!(times(TEST, 5, 20, true) < 3.0);
}

#[test]
#[ignore = "some minutes: make test-scale"]
fn twenty_machines_that_share_ask_the_origin_for_less_than_three_releases() {
    const TEST: &str = "many::twenty_machines_that_share_ask_the_origin_for_less_than_three_releases";
    if host::is_one() || !inside(TEST) {
        return;
    }
    assert!(times(TEST, 20, 50, true) < 3.0);
}

/// The measure measures: without sharing every machine costs the origin a release.
#[test]
#[ignore = "some minutes: make test-scale"]
fn twenty_machines_that_do_not_share_ask_for_twenty() {
    const TEST: &str = "many::twenty_machines_that_do_not_share_ask_for_twenty";
    if host::is_one() || !inside(TEST) {
        return;
    }
    let times = times(TEST, 20, 50, false);
    assert!((19.9..23.0).contains(&times), "{times}");
}
