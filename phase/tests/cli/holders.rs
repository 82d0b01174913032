//! Several holders of keys, each on a machine of their own: the envelope is all that goes from one to the next.

#[path = "../../../verify/tests/support/log.rs"]
mod log;

use std::{fs, path::Path};

use ed25519_dalek::SigningKey;

use crate::common::{directory, envelope, fails, json, key, program, publish, release_files, succeeds};
use verify::{Envelope, Sha256Digest};

/// Keys `ada`, `bo` and `cy`, of which two have to sign, and the files of a release.
fn home() -> tempfile::TempDir {
    let home = directory();
    for name in ["root", "ada", "bo", "cy", "eve"] {
        key(home.path(), name);
    }
    let trust = ["trust", "init", "--channel", "demo", "--root-key", "root.pub", "--out", "trust.json"];
    let release = ["--release-key", "ada.pub", "bo.pub", "cy.pub", "--release-threshold", "2"];
    succeeds(home.path(), &[&trust[..], &release].concat());
    release_files(home.path());
    home
}

/// `phase publish --unsigned manifest.json`, of another version each time.
fn store(home: &Path, version: &str) {
    let _ = fs::remove_file(home.join("manifest.json"));
    let arguments = publish(version, &["--unsigned", "manifest.json"]);
    let own = arguments.iter().position(|argument| *argument == "--key").unwrap();
    succeeds(home, &[&arguments[..own], &arguments[own + 2..]].concat());
}

/// `NAME` signs alone.
fn sign(home: &Path, name: &str, out: &str) {
    succeeds(home, &["sign", "--key", name, "manifest.json", "--out", out, "--force"]);
}

const PUT_LIVE: [&str; 6] = ["put-live", "--tree", "tree", "--trust", "trust.json", "e.json"];

#[test]
fn a_release_goes_live_when_enough_of_them_have_signed() {
    let home = home();
    store(home.path(), "7");
    assert!(!envelope(home.path()).exists(), "an unsigned release is live");
    sign(home.path(), "ada", "e.json");
    let error = fails(home.path(), &PUT_LIVE, 1);
    assert!(error.contains("the trust file refuses it") && error.contains("wanted 2"), "{error}");
    succeeds(home.path(), &["sign", "--key", "eve", "--add", "e.json"]);
    fails(home.path(), &PUT_LIVE, 1);
    assert!(!envelope(home.path()).exists());
    succeeds(home.path(), &["sign", "--key", "bo", "--add", "e.json"]);
    let report = json(home.path(), &[&PUT_LIVE[..], &["--json"]].concat());
    let manifest = fs::read(home.path().join("manifest.json")).unwrap();
    assert_eq!(report["manifest_sha256"], Sha256Digest::of(&manifest).to_string());
    assert_eq!(report["key_ids"].as_array().unwrap().len(), 2, "eve's does not count");
    let live = Envelope::parse(&fs::read(envelope(home.path())).unwrap()).unwrap();
    assert_eq!(live.payload, manifest);
}

#[test]
fn signatures_made_on_copies_are_merged() {
    let home = home();
    store(home.path(), "7");
    for name in ["ada", "bo", "cy"] {
        sign(home.path(), name, &format!("{name}.json"));
    }
    let merge = ["sign", "--add", "ada.json", "--merge", "bo.json", "--merge", "cy.json", "--out", "e.json"];
    succeeds(home.path(), &merge);
    let merged = Envelope::parse(&fs::read(home.path().join("e.json")).unwrap()).unwrap();
    assert_eq!(merged.signatures.len(), 3);
    succeeds(home.path(), &PUT_LIVE);

    // Of another document, or with another signature of one key: nothing is written.
    let before = fs::read(home.path().join("ada.json")).unwrap();
    store(home.path(), "8");
    sign(home.path(), "bo", "other.json");
    let error = fails(home.path(), &["sign", "--add", "ada.json", "--merge", "other.json"], 1);
    assert!(error.contains("other.json holds another document"), "{error}");
    let mut bad = merged.clone();
    bad.signatures[0].sig[0] ^= 1;
    fs::write(home.path().join("bad.json"), bad.to_json().unwrap()).unwrap();
    let error = fails(home.path(), &["sign", "--add", "ada.json", "--merge", "bad.json"], 1);
    assert!(error.contains("another signature of key") && error.contains("nothing was written"), "{error}");
    assert_eq!(fs::read(home.path().join("ada.json")).unwrap(), before);
}

#[test]
fn what_is_not_in_the_tree_does_not_go_live() {
    let home = home();
    store(home.path(), "7");
    sign(home.path(), "ada", "e.json");
    succeeds(home.path(), &["sign", "--key", "bo", "--add", "e.json"]);
    let root = fs::read(home.path().join("root.squashfs")).unwrap();
    let blob = home.path().join("tree/blobs/sha256").join(Sha256Digest::of(&root).to_string());
    let mut damaged = root.clone();
    damaged[5000] ^= 1;
    fs::write(&blob, &damaged).unwrap();
    let error = fails(home.path(), &PUT_LIVE, 1);
    assert!(error.contains("(root.squashfs)") && error.contains("missing") && error.contains("--unsigned"), "{error}");
    fs::remove_file(&blob).unwrap();
    fails(home.path(), &PUT_LIVE, 1);
    assert!(!envelope(home.path()).exists());
    fs::write(&blob, &root).unwrap();
    succeeds(home.path(), &PUT_LIVE);

    // A directory that is no tree is not made one.
    let error = fails(home.path(), &["put-live", "--tree", "tre", "--trust", "trust.json", "e.json"], 1);
    assert!(error.contains("tre is no published tree"), "{error}");
    assert!(!home.path().join("tre").exists());
}

#[test]
fn an_older_release_stays_out_unless_told() {
    let home = home();
    for version in ["7", "6"] {
        // 6 is stored while 7 is not live yet.
        store(home.path(), version);
        sign(home.path(), "ada", "e.json");
        succeeds(home.path(), &["sign", "--key", "bo", "--add", "e.json"]);
        fs::rename(home.path().join("e.json"), home.path().join(version)).unwrap();
    }
    let put = |version| ["put-live", "--tree", "tree", "--trust", "trust.json", version];
    succeeds(home.path(), &put("7"));
    let error = fails(home.path(), &put("6"), 1);
    assert!(error.contains("version 6 is not above 7"), "{error}");
    succeeds(home.path(), &[&put("6")[..], &["--allow-older", "--prune"]].concat());
    // Stored files are checked against the published version, too.
    let arguments = publish("5", &["--unsigned", "five.json"]);
    let own = arguments.iter().position(|argument| *argument == "--key").unwrap();
    let error = fails(home.path(), &[&arguments[..own], &arguments[own + 2..]].concat(), 1);
    assert!(error.contains("version 5 is not above 6"), "{error}");
    assert!(!home.path().join("five.json").exists());
}

#[test]
fn a_trust_file_is_signed_in_the_same_way() {
    let home = home();
    let trust = fs::read(home.path().join("trust.json")).unwrap();
    let mut rotation = Envelope::new(verify::dsse::TRUST_TYPE, trust);
    rotation.add_signature(verify::KeyId::of(&[1; 32]), [1; 64]);
    fs::write(home.path().join("2.dsse.json"), rotation.to_json().unwrap()).unwrap();
    let said = succeeds(home.path(), &["sign", "--key", "root", "--add", "2.dsse.json"]);
    assert!(said.contains("trust file   demo epoch 1"), "{said}");
    let signed = Envelope::parse(&fs::read(home.path().join("2.dsse.json")).unwrap()).unwrap();
    assert_eq!(signed.signatures.len(), 2);
    // What is neither is not signed.
    let text = signed.to_json().unwrap().replace("phase.boot.trust", "phase.boot.other");
    fs::write(home.path().join("other.json"), text).unwrap();
    let error = fails(home.path(), &["sign", "--key", "root", "--add", "other.json"], 1);
    assert!(error.contains("not signed") && error.contains("phase.boot.other"), "{error}");
}

#[test]
fn what_is_to_be_signed_is_shown_before_a_key_is_opened() {
    let home = home();
    let home = home.path();
    store(home, "7");
    let ids = |names: &[&str]| names.iter().map(|name| key_id(home, name)).collect::<Vec<_>>();
    fs::write(home.join("locked"), "not a key").unwrap();
    let shown = |document: &[&str]| {
        let error = fails(home, &[&["sign", "--key", "locked"], document].concat(), 1);
        let (before, after) = error.split_once("phase: ").unwrap_or_else(|| panic!("{error}"));
        assert!(after.contains("locked"), "{error}");
        before.to_owned()
    };
    let root = fs::read(home.join("root.squashfs")).unwrap();
    let said = shown(&["manifest.json", "--out", "e.json"]);
    for wanted in ["demo x86_64 version 7", "issued: 20", "expires: 20", "cmdline: console=ttyS0 quiet"] {
        assert!(said.contains(wanted), "{wanted:?} is not in {said}");
    }
    assert!(said.contains(&format!("rootfs.sha256: {}", Sha256Digest::of(&root))), "{said}");

    let trust = fs::read(home.join("trust.json")).unwrap();
    let mut rotation = Envelope::new(verify::dsse::TRUST_TYPE, trust.clone());
    rotation.add_signature(verify::KeyId::of(&[1; 32]), [1; 64]);
    fs::write(home.join("2.dsse.json"), rotation.to_json().unwrap()).unwrap();
    let said = shown(&["--add", "2.dsse.json"]);
    let digest = Sha256Digest::of(&trust).to_string();
    let roles =
        ["root         1 of 1 have to sign", "release      2 of 3 have to sign", "policy.expiry: refuse", &digest];
    for wanted in roles.iter().copied().chain(ids(&["root", "ada", "bo", "cy"]).iter().map(String::as_str)) {
        assert!(said.contains(wanted), "{wanted:?} is not in {said}");
    }
}

/// The id of the key `NAME.pub`, as OpenSSL's reading of it gives.
fn key_id(home: &Path, name: &str) -> String {
    let der = program(home, "openssl", &["pkey", "-pubin", "-in", &format!("{name}.pub"), "-outform", "DER"]);
    verify::KeyId::of(der.last_chunk().unwrap()).to_string()
}

#[test]
fn a_release_that_has_to_be_logged_goes_live_with_its_proof() {
    let home = home();
    let submitter = SigningKey::from_bytes(&[5; 32]);
    let mut log = log::Log::new(50, 2);
    let mut trust: serde_json::Value =
        serde_json::from_slice(&fs::read(home.path().join("trust.json")).unwrap()).unwrap();
    let submitters = [data_encoding::HEXLOWER.encode(submitter.verifying_key().as_bytes())];
    trust["policy"]["transparency"] = serde_json::json!({"sigsum_policy": log.policy(2), "submitters": submitters});
    fs::write(home.path().join("trust.json"), trust.to_string()).unwrap();

    let proof = envelope(home.path()).with_file_name("manifest.sigsum-proof");
    let with_proof = [&PUT_LIVE[..], &["--proof", "proof"]].concat();
    for version in ["7", "8"] {
        store(home.path(), version);
        sign(home.path(), "ada", "e.json");
        succeeds(home.path(), &["sign", "--key", "bo", "--add", "e.json"]);
        let error = fails(home.path(), &PUT_LIVE, 1);
        assert!(error.contains("no proof that it was logged"), "{error}");
        if version == "8" {
            let error = fails(home.path(), &with_proof, 1);
            assert!(error.contains("the proof is of other bytes"), "{error}");
        }
        let index = log.submit(&submitter, &fs::read(home.path().join("manifest.json")).unwrap());
        fs::write(home.path().join("proof"), log.proof(index, 2)).unwrap();
        succeeds(home.path(), &with_proof);
        assert_eq!(fs::read(&proof).unwrap(), fs::read(home.path().join("proof")).unwrap());
    }
    // The proof of one release is not left for the next.
    succeeds(
        home.path(),
        &[
            "publish",
            "--tree",
            "tree",
            "--channel",
            "demo",
            "--arch",
            "x86_64",
            "--version",
            "9",
            "--key",
            "ada",
            "--handoff",
            "direct",
            "--rootfs",
            "root.squashfs",
        ],
    );
    assert!(!proof.exists());
}
