//! A TPM that fails in the middle of a boot, or is missing where one is demanded; and private mode that is asked to measure.

use std::{thread, time::Duration};

use qemu::Event;

use crate::support::{Boot, Lab, Measured, Medium, Release, Serve, Tpm, held, registers, untouched};

/// A release that needs no kernel of its own, so that each test takes one.
fn release() -> Release {
    Release { version: 7, handoff: "direct", ..Release::default() }
}

#[test]
#[ignore = "one row of `make test-media`"]
fn a_tpm_that_dies_stops_no_boot() {
    let (tpm, server) = (Tpm::new(), Serve::tree(Release { version: 7, ..Release::default() }.publish()));
    let mut powered = tpm.powered();
    let mut boot = Boot::start(&Lab::ready().tpm_machine(&powered).append(&server.origin()));
    boot.reaches("mode", Event::End);
    powered.dies();
    let fail = boot.reaches("measure", Event::Fail);
    assert_eq!(fail.field("error"), Some("measure"));
    let receipt = boot.reaches_the_release("kexec");
    assert!(boot.says("the release is not measured, or not all of it: "));
    assert!(receipt.get("x-measured").is_none(), "{receipt}");
}

#[test]
#[ignore = "one row of `make test-media`"]
fn a_tpm_that_hangs_stops_no_boot() {
    let (tpm, server) = (Tpm::new(), Serve::tree(release().publish()));
    let powered = tpm.powered();
    let mut boot = Boot::start(&Lab::ready().machine().tpm(powered.socket()).append(&server.origin()));
    boot.reaches("mode", Event::End);
    powered.hangs();
    boot.reaches("measure", Event::Begin);
    // The guest's driver gives up after 750 ms and cancels the command, for which QEMU waits for the TPM, too, and with it the
    // whole machine. (A TPM that is silent for ever meets init's own deadline: init/src/measure/tests.rs.)
    thread::sleep(Duration::from_secs(6));
    powered.goes_on();
    let fail = boot.reaches("measure", Event::Fail);
    assert_eq!(fail.field("error"), Some("measure"));
    let receipt = boot.reaches_the_release("direct");
    assert!(boot.says("the TPM cannot be talked to: Device timeout"));
    assert!(receipt.get("x-measured").is_none(), "{receipt}");
    assert!(registers(&boot).iter().all(|register| untouched(register)));
}

#[test]
#[ignore = "one row of `make test-media`"]
fn without_a_tpm_nothing_boots_if_the_configuration_demands_one() {
    let directory = tempfile::tempdir().unwrap();
    let machine = Lab::ready().machine_of(&directory.path().join("initrd"), &["--measure", "required"]);
    let server = Serve::tree(release().publish());
    let mut boot = Boot::start(&machine.append(&server.origin()));
    let words = [
        "config.json (measure: required) lets nothing boot that was not measured",
        "there is no TPM 2.0: /dev/tpmrm0: ",
    ];
    boot.is_refused("measure", "measure", &words);
    boot.powers_off();
}

#[test]
#[ignore = "one row of `make test-media`"]
fn private_mode_measures_if_it_is_asked_to() {
    let tree = release().publish();
    let medium = Medium::ext4("PHASE", Some(&tree));
    let tpm = Tpm::new();
    let powered = tpm.powered();
    let machine = Lab::ready().asking_tpm_machine(&powered).disk(&medium.path());
    let mut boot = Boot::start(&machine.append("phase.mode=private phase.measure=1"));
    assert_eq!(boot.reaches_the_release("direct")["mode"], "private");
    let measured = Measured::by(&boot);
    let (good, replayed) = measured.replay(&measured.log());
    assert!(good && replayed["agrees"] == true, "{replayed}");
    assert_eq!(measured.expected(&tree, "direct"), held(&replayed));
    assert!(registers(&boot).iter().all(|register| !untouched(register)));
}
