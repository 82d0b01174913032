//! What a release acknowledged is the oldest that its machine accepts from then on; one that was only booted is not, so
//! that a bad release can be stepped back from.

use qemu::Machine;
use serde_json::Value;

use crate::support::{Boot, Lab, PhaseData, Release, Serve, Tpm};

/// A release that is entered without a kernel of its own, so that the drivers of the store are there.
fn release(version: u64, acknowledges: bool) -> Serve {
    Serve::tree(Release { version, acknowledges, handoff: "direct", ..Release::default() }.publish())
}

/// Returns the receipt of the boot.
#[track_caller]
fn acknowledges(machine: &Machine, store: &str) -> Value {
    let server = release(7, true);
    let mut boot = Boot::start(&machine.clone().append(&server.origin()));
    let receipt = boot.reaches_the_release("direct");
    assert_eq!((&receipt["state"]["store"], &receipt["state"]["access"]), (&store.into(), &"read-write".into()));
    assert!(boot.says("phase-test: acknowledged release 7 of e2e"), "it did not acknowledge: {receipt}");
    receipt
}

#[track_caller]
fn refuses_the_older_one(machine: &Machine) {
    let server = release(6, true);
    let mut boot = Boot::start(&machine.clone().append(&server.origin()));
    boot.is_refused("verify", "rollback", &["has version 6, wanted at least 7"]);
    boot.powers_off();
    assert!(!server.access_log().iter().any(|line| line.contains("/blobs/")), "its blobs were asked for");
}

#[test]
fn and_a_partition_remembers() {
    let disk = PhaseData::vfat();
    let machine = Lab::ready().disk_machine(&disk);
    let receipt = acknowledges(&machine, "disk");
    refuses_the_older_one(&machine);
    assert_eq!(disk.receipt(7), receipt, "what is kept is not the receipt");
}

#[test]
fn and_a_tpm_remembers() {
    let tpm = Tpm::new();
    acknowledges(&Lab::ready().tpm_machine(&tpm.powered()), "tpm");
    refuses_the_older_one(&Lab::ready().tpm_machine(&tpm.powered()));
}

#[test]
fn but_what_was_only_booted_can_be_stepped_back_from() {
    let disk = PhaseData::ext4();
    for version in [7, 6] {
        let server = release(version, false);
        let mut boot = Boot::start(&Lab::ready().disk_machine(&disk).append(&server.origin()));
        assert_eq!(boot.reaches_the_release("direct")["version"], version);
    }
}
