//! In private mode without a medium, the machine says what it looked at instead, within seconds, and sends nothing.

use std::time::Duration;

use qemu::Event;

use crate::support::{Boot, Lab, Medium, Release, frames};

/// What media are waited for, with room for a busy host.
const BOUND: Duration = Duration::from_secs(40);

#[test]
fn and_what_there_is_instead() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("capture");
    let release = Release { handoff: "direct", ..Release::default() }.publish();
    let disk = Medium::ext4("phase", Some(&release));
    let machine = Lab::ready().private_machine().disk(&disk.path()).capture(&capture);
    let mut boot = Boot::start(&machine.append("phase.origin=http://10.0.2.2:9"));
    let begun = boot.reaches("discover", Event::Begin).time();
    let words = ["no file system is labelled PHASE", "/dev/vda1 (ext4 labelled \"phase\")"];
    let recover = boot.is_refused("discover", "no-medium", &words);
    assert!(recover.time().saturating_sub(begun) < BOUND, "it took too long");
    assert!(!boot.began("network"), "the network was touched");
    boot.powers_off();
    assert_eq!(frames(&capture), 0);
}
