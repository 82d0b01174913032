//! A machine with a TPM: its register 14 holds what was booted, the log that the release finds leads there, and what is predicted
//! of a release is what it gives. A log that was changed does not.

use serde_json::Value;

use crate::support::{Boot, Lab, Measured, Release, Serve, Tpm, held};

#[test]
fn and_the_log_leads_to_the_registers_after_kexec() {
    let tree = Release { version: 7, ..Release::default() }.publish();
    let copy = tree.copy();
    let (tpm, server) = (Tpm::new(), Serve::tree(tree));
    let powered = tpm.powered();
    let mut boot = Boot::start(&Lab::ready().tpm_machine(&powered).append(&server.origin()));
    let receipt = boot.reaches_the_release("kexec");

    let measured = Measured::by(&boot);
    let (good, replayed) = measured.replay(&measured.log());
    assert!(good && replayed["agrees"] == true && replayed["whole"] == true, "{replayed}");
    let banks = replayed["banks"].as_array().unwrap();
    assert!(banks.len() > 1 && banks.iter().all(|bank| bank["register"] == bank["value"]), "{replayed}");
    says_the_same(&receipt, &replayed);
    assert_eq!(measured.expected(&copy, "kexec"), held(&replayed));
    let next = Release { version: 8, ..Release::default() }.publish();
    assert_ne!(measured.expected(&next, "kexec"), held(&replayed));

    // The last event's words end the file: "phase.measured/1 handoff kexec". Before them stand their length and the last digest.
    let words = measured.altered(|bytes| *bytes.last_mut().unwrap() ^= 1);
    let (good, replayed) = measured.replay(&words);
    assert!(!good && replayed["whole"] == false && replayed["agrees"] == true, "{replayed}");
    let digest = measured.altered(|bytes| {
        let at = bytes.len() - 60;
        bytes[at] ^= 1;
    });
    let (good, replayed) = measured.replay(&digest);
    assert!(!good && replayed["agrees"] == false, "{replayed}");
}

/// The receipt and the log are of one boot.
#[track_caller]
fn says_the_same(receipt: &Value, replayed: &Value) {
    let measured = &receipt["x-measured"];
    assert_eq!((&measured["pcr"], &measured["complete"]), (&14.into(), &true.into()));
    let banks = replayed["banks"].as_array().unwrap().iter().map(|bank| &bank["bank"]);
    assert!(measured["banks"].as_array().unwrap().iter().eq(banks), "{measured}");
    assert_eq!(measured["file"], "/run/phase/measured.log");
    assert_eq!(replayed["events"].as_array().unwrap().len(), 7);
    let manifest = format!("version=7 sha256={}", receipt["manifest_sha256"].as_str().unwrap());
    assert!(replayed["events"][2]["words"].as_str().unwrap().ends_with(&manifest), "{replayed}");
}
