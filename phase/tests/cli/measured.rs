//! `phase measured`: logs and registers as files, with known values that were computed by other programs; releases that are signed
//! and published as they are in life.

use std::{fs, path::Path};

use sha2::{Digest, Sha256};

use crate::common::{directory, fails, json, key, keys_and_trust, phase, publish, release_files, succeeds};

/// What the log `a-kexec` of the fuzz corpus, which a Python program wrote, leads to: by `tpm2_eventlog`.
const SHA256: &str = "0e3fe5417857563630ff7684f7f41ee9c5f8e0dbcec1ca39a3bcf70783a18283";
const SHA1: &str = "ce0880f5a982c9245d1a278d0de5df95f4b36255";

fn log(home: &Path, name: &str) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/measured_log");
    fs::copy(corpus.join(name), home.join("log")).unwrap();
}

#[test]
fn a_log_that_leads_to_the_registers_is_told_from_one_that_does_not() {
    let home = directory();
    log(home.path(), "a-kexec");
    let registers = |text: &str| fs::write(home.path().join("registers"), text).unwrap();
    let replay = ["measured", "replay", "log", "--pcrs", "registers"];
    registers(&format!("  sha256:\n    14: 0x{}\n", SHA256.to_uppercase()));
    let said = succeeds(home.path(), &replay);
    assert!(said.contains("release 7 of e2e for x86_64: its manifest") && said.contains("entered by kexec"), "{said}");
    assert!(said.contains(&format!("sha256      {SHA256}   the register agrees")), "{said}");
    assert!(said.ends_with("The log leads to what the TPM holds.\n"), "{said}");

    registers(&format!(
        "/sys/class/tpm/tpm0/pcr-sha1/14:{SHA1}\n/sys/class/tpm/tpm0/pcr-sha256/14:{}\n",
        "0".repeat(64)
    ));
    let output = phase(home.path(), &replay);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(&format!("the register holds {}", "0".repeat(64))), "{said}");
    assert!(said.contains("The log does NOT lead to what the TPM holds"), "{said}");

    log(home.path(), "words-changed");
    registers(&format!("  sha256:\n    14: 0x{SHA256}\n"));
    let output = phase(home.path(), &[&replay[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["whole"], &said["agrees"]), (&false.into(), &true.into()));
    assert_eq!(said["events"][6], serde_json::json!({"words": "phase.measured/1 handoff kexeK", "whole": false}));
}

#[test]
fn what_cannot_be_compared_is_refused_with_what_was_wanted() {
    let home = directory();
    log(home.path(), "a-kexec");
    fs::write(home.path().join("registers"), "  sha256:\n    7 : 0x00\n").unwrap();
    let said = fails(home.path(), &["measured", "replay", "log", "--pcrs", "registers"], 1);
    assert!(said.contains("registers has no register 14; wanted what `tpm2_pcrread sha256:14`"), "{said}");
    let said = fails(home.path(), &["measured", "replay", "registers"], 1);
    assert!(said.contains("byte 0 of the log: register 0 of the first event is wanted there"), "{said}");
    fails(home.path(), &["measured", "replay", "log", "--pcrs", "registers", "--local"], 2);
    assert!(succeeds(home.path(), &["measured", "replay", "log"]).contains("its registers tell: --local or --pcrs"));
    log(home.path(), "sha256-after-shim");
    assert!(
        succeeds(home.path(), &["measured", "replay", "log"]).contains("before, and of that this log says nothing")
    );
}

#[test]
fn what_is_expected_is_what_extending_by_hand_gives() {
    let home = directory();
    keys_and_trust(home.path());
    release_files(home.path());
    succeeds(home.path(), &publish("7", &[]));
    let envelope = "tree/demo/x86_64/manifest.dsse.json";
    let expect = ["measured", "expect", "--trust", "trust.json", "--bank", "sha256", envelope];
    let expected = &json(home.path(), &[&expect[..], &["--json"]].concat())[0];
    let events: Vec<&str> =
        expected["events"].as_array().unwrap().iter().map(|words| words.as_str().unwrap()).collect();
    let digest =
        |name: &str| data_encoding::HEXLOWER.encode(&Sha256::digest(fs::read(home.path().join(name)).unwrap()));
    assert_eq!(events[0], format!("phase.measured/1 trust epoch=1 sha256={}", digest("trust.json")));
    assert_eq!(events[1], format!("phase.measured/1 envelope sha256={}", digest(envelope)));
    let by_hand = events
        .iter()
        .fold(vec![0; 32], |register, words| Sha256::digest([&register[..], &Sha256::digest(words)].concat()).to_vec());
    assert_eq!(expected["registers"][0]["value"], data_encoding::HEXLOWER.encode(&by_hand));

    let way = expected["handoff"].as_str().unwrap();
    let written = [&expect[..], &["--handoff", way, "--out", "value"]].concat();
    succeeds(home.path(), &written);
    assert_eq!(fs::read(home.path().join("value")).unwrap(), by_hand);
    assert!(fails(home.path(), &written, 1).contains("value exists already and is not overwritten"));
    succeeds(home.path(), &[&written[..], &["--force"]].concat());
}

#[test]
fn only_a_release_that_machines_would_boot_is_predicted() {
    let home = directory();
    keys_and_trust(home.path());
    release_files(home.path());
    succeeds(home.path(), &publish("7", &[]));
    let envelope = "tree/demo/x86_64/manifest.dsse.json";
    key(home.path(), "other");
    let keys = ["--root-key", "root.pub", "--release-key", "other.pub"];
    let init = ["trust", "init", "--channel", "demo", "--out", "other.json"];
    succeeds(home.path(), &[&init[..], &keys].concat());
    let said = fails(home.path(), &["measured", "expect", "--trust", "other.json", envelope], 1);
    assert!(said.contains("manifest.dsse.json: no machine boots it: "), "{said}");
    let said =
        fails(home.path(), &["measured", "expect", "--trust", "trust.json", "--handoff", "foreign", envelope], 1);
    assert!(said.contains("its hand-offs are "), "{said}");
    let said = fails(home.path(), &["measured", "expect", "--trust", "trust.json", "trust.json"], 1);
    assert!(said.contains("trust.json"), "{said}");
}
