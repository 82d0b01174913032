//! A stolen release key is taken away by a new trust file: what it signs is refused from then on, also where somebody
//! withholds the new file.

use crate::support::{Boot, Lab, PhaseData, Release, Serve, Tpm};

/// What the thief of the first key serves, who does not serve the new trust file: the highest version of all.
fn stolen() -> Serve {
    Serve::tree(Release { version: 9, handoff: "direct", ..Release::default() }.publish())
}

/// What the owner serves.
fn rotated() -> Serve {
    let release = Release { version: 8, handoff: "direct", key: "successor", acknowledges: true, ..Release::default() };
    Serve::tree(release.publish().with_rotation())
}

#[track_caller]
fn follows(machine: &qemu::Machine) {
    let (stolen, rotated) = (stolen(), rotated());
    let mut boot = Boot::start(&machine.clone().append(&stolen.origin()).append(&rotated.origin()));
    let receipt = boot.reaches_the_release("direct");
    assert_eq!((&receipt["version"], &receipt["epoch"]), (&8.into(), &2.into()));
    assert!(boot.says("trust epoch 2 from http://10.0.2.2:"), "it was not said");
    assert!(boot.says("refused: signed by key"), "the stolen key's release was not refused");
    assert!(boot.says("phase-test: acknowledged release 8 of e2e"), "it did not acknowledge: {receipt}");
    assert!(!stolen.access_log().iter().any(|line| line.contains("/blobs/")), "its blobs were asked for");
}

#[test]
fn on_its_disk() {
    let disk = PhaseData::ext4();
    let machine = Lab::ready().disk_machine(&disk);
    follows(&machine);
    let server = stolen();
    let mut boot = Boot::start(&machine.append(&server.origin()));
    boot.is_refused("verify", "unknown-key", &["trust epoch 2 from the store"]);
    boot.powers_off();
}

#[test]
fn as_a_floor_in_its_tpm() {
    let tpm = Tpm::new();
    follows(&Lab::ready().tpm_machine(&tpm.powered()));
    let (server, tpm) = (stolen(), tpm.powered());
    let mut boot = Boot::start(&Lab::ready().tpm_machine(&tpm).append(&server.origin()));
    boot.is_refused("verify", "withheld", &["epoch 1", "2"]);
    boot.powers_off();
}

#[test]
fn and_a_machine_that_never_heard_of_it_shows_what_was_prevented() {
    let server = stolen();
    let mut boot = Boot::start(&Lab::ready().machine().append(&server.origin()));
    let receipt = boot.reaches_the_release("direct");
    assert_eq!((&receipt["version"], &receipt["epoch"]), (&9.into(), &1.into()));
}
