//! Releases, proofs and trust files that are not believed.

use std::fs;

use serde_json::{Value, json};

use crate::log::Log;
use crate::release::{MANIFEST_TYPE, envelope, id, key, public, trust};
use crate::tree::{NOW, TRUST_TYPE, Tree, filled};

/// The first release's problem.
fn kind(report: &Value) -> &str {
    report["releases"][0]["problem"]["kind"].as_str().unwrap_or("none")
}

#[test]
fn a_release_that_no_machine_would_take_is_refused_with_advice_and_its_files_are_not_looked_at() {
    let mut expired = filled("x86_64");
    expired["expires"] = "2026-12-01T00:00:00Z".into();
    let mut other = filled("x86_64");
    other["channel"] = "beta".into();
    for (manifest, keys, wanted, says) in [
        (filled("x86_64"), &[2][..], "unknown-key", format!("signed by key {}, wanted 1 of {}", id(2), id(1))),
        (
            expired,
            &[1],
            "expired",
            "the release expired at 2026-12-01T00:00:00Z, and it is at least 2027-01-15".to_owned(),
        ),
        (other, &[1], "channel", "the release is of channel beta, wanted demo".to_owned()),
        (filled("aarch64"), &[1], "arch", "the release is for aarch64, wanted x86_64".to_owned()),
    ] {
        let tree = Tree::new();
        tree.publish("x86_64", &manifest, keys);
        tree.audit()
            .says(1, &[&format!("  REFUSED    {says}"), "  advice     ", "result       REFUSED: 1 document, 0 files"]);
        let report = tree.report();
        assert_eq!(kind(&report), wanted);
        assert_eq!((&report["releases"][0]["blobs"], &report["releases"][1]["problem"]), (&Value::Null, &Value::Null));
    }
}

#[test]
fn a_flipped_bit_of_the_envelope_is_found() {
    let tree = Tree::new();
    let path = tree.path("tree/demo/x86_64/manifest.dsse.json");
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, bytes).unwrap();
    tree.audit().says(1, &["  REFUSED    the signature of key ", "(signature)"]);
}

#[test]
fn a_directory_without_its_envelope_and_a_tree_without_releases_are_refused() {
    let tree = Tree::new();
    fs::remove_file(tree.path("tree/demo/aarch64/manifest.dsse.json")).unwrap();
    tree.audit()
        .says(1, &["aarch64/manifest.dsse.json\n  REFUSED    it is not there, or not a regular file (absent)\n"]);
    fs::remove_dir_all(tree.path("tree/demo")).unwrap();
    tree.audit().says(1, &["result       REFUSED: no release of channel demo was found\n"]);
    assert_eq!(tree.report()["releases"], json!([]));
}

#[test]
fn one_envelope_is_checked_with_or_without_its_files() {
    let tree = Tree::new();
    let file = "tree/demo/aarch64/manifest.dsse.json";
    let run = |more: &[&str]| tree.run(&[&["--trust", "trust.json", file, "--now", NOW], more].concat());
    run(&[]).says(0, &["  good       demo aarch64 version 7\n", "  files      not looked at; --blobs DIR does\n"]);
    run(&["--blobs", "tree/blobs/sha256"]).says(0, &["result       GOOD: 1 release, 4 files\n"]);
    run(&["--arch", "x86_64"]).says(1, &["the release is for aarch64, wanted x86_64 (arch)"]);
    run(&["--floor-version", "8"]).says(1, &["the release has version 7, wanted at least 8 (rollback)"]);
    run(&["--floor-version", "7"]).says(0, &[]);
    let early = tree.run(&["--trust", "trust.json", file, "--now", "2026-11-19T11:00:00Z"]);
    early.says(1, &["the release was issued at 2026-11-20T12:00:00Z, but it is 2026-11-19T11:00:00Z (future)"]);
}

/// A trust file of epoch 2, in which key 2 signs releases.
fn second() -> Value {
    let mut file = trust();
    file["epoch"] = 2.into();
    file["roles"]["release"]["keys"][0] = json!({"public": public(2), "name": "release 2027"});
    file
}

#[test]
fn the_chain_of_a_tree_is_followed() {
    let tree = Tree::new();
    tree.rotate(&second(), &[9]);
    // The key that is gone signs nothing any more.
    tree.audit().says(1, &["rotation     tree/trust/2.dsse.json: epoch 2 is in force\n", "(unknown-key)"]);
    for arch in ["x86_64", "aarch64"] {
        tree.publish(arch, &filled(arch), &[2]);
    }
    tree.audit().says(0, &["  signed by  release 2027 "]);
    let report = tree.report();
    assert_eq!(report["trust"], json!({"path": "trust.json", "channel": "demo", "given_epoch": 1, "epoch": 2}));
    assert_eq!(report["chain"], json!([{"path": "tree/trust/2.dsse.json", "epoch": 2, "old": false}]));
    // Who has the second trust file does not need the step to it.
    fs::write(tree.path("trust.json"), second().to_string()).unwrap();
    tree.audit().says(0, &["rotation     tree/trust/2.dsse.json: not needed, the trust file is as new\n"]);
}

#[test]
fn a_trust_file_counts_under_the_one_name_that_machines_ask_for() {
    let tree = Tree::new();
    let rotation = envelope(TRUST_TYPE, second().to_string().as_bytes(), &[9]);
    for name in ["+2", "002", "2 ", "0x2"] {
        tree.write(&format!("trust/{name}.dsse.json"), &rotation);
    }
    let report = tree.report();
    assert_eq!((&report["chain"], &report["trust"]["epoch"]), (&json!([]), &json!(1)));
}

#[test]
fn a_chain_that_does_not_hold_is_refused() {
    let tree = Tree::new();
    tree.rotate(&second(), &[1]);
    tree.audit().says(1, &["rotation     tree/trust/2.dsse.json\n  REFUSED    not enough root keys of the trust file in force (epoch 1)"]);

    let tree = Tree::new();
    let mut third = second();
    third["epoch"] = 3.into();
    tree.rotate(&third, &[9]);
    tree.audit().says(1, &["  REFUSED    the trust file has epoch 3, wanted 2: those in between are missing (gap)\n"]);
}

#[test]
fn a_chain_may_be_given_file_by_file_in_any_order() {
    let tree = Tree::new();
    let mut third = second();
    third["epoch"] = 3.into();
    for (name, file) in [("b.json", &second()), ("a.json", &third)] {
        fs::write(tree.path(name), envelope(TRUST_TYPE, file.to_string().as_bytes(), &[9])).unwrap();
    }
    tree.publish("x86_64", &filled("x86_64"), &[2]);
    let file = "tree/demo/x86_64/manifest.dsse.json";
    let outcome = tree.run(&["--trust", "trust.json", file, "--now", NOW, "--chain", "a.json", "--chain", "b.json"]);
    outcome.says(0, &["rotation     a.json: epoch 3 is in force\nrotation     b.json: epoch 2 is in force\n"]);
}

#[test]
fn with_a_transparency_policy_the_proof_counts() {
    let mut log = Log::new(50, 3);
    let tree = Tree::new();
    let mut file = trust();
    file["policy"]["transparency"] = json!({"sigsum_policy": log.policy(2), "submitters": [public(5)]});
    fs::write(tree.path("trust.json"), file.to_string()).unwrap();
    let manifests = ["x86_64", "aarch64"].map(|arch| (arch, filled(arch).to_string()));
    let places: Vec<usize> = manifests.iter().map(|(_, payload)| log.submit(&key(5), payload.as_bytes())).collect();
    assert_eq!(kind(&tree.report()), "transparency");
    tree.audit().says(1, &["  REFUSED    no proof that it was logged came with the release"]);

    for ((arch, _), place) in manifests.iter().zip(&places) {
        tree.write(&format!("demo/{arch}/manifest.sigsum-proof"), log.proof(*place, 2).as_bytes());
    }
    tree.audit().says(0, &["  logged     the proof holds\n"]);
    assert_eq!(tree.report()["releases"][0]["logged"], json!(true));

    let [envelope, proof] =
        ["manifest.dsse.json", "manifest.sigsum-proof"].map(|name| format!("tree/demo/x86_64/{name}"));
    let run = |proof: &str| tree.run(&["--trust", "trust.json", &envelope, "--proof", proof, "--now", NOW]);
    run(&proof).says(0, &["  logged     the proof holds\n"]);
    run(&proof.replace("x86_64", "aarch64")).says(1, &["  REFUSED    the proof is of other bytes: "]);
    tree.write("demo/x86_64/manifest.sigsum-proof", log.proof(places[0], 1).as_bytes());
    run(&proof).says(1, &["does not hold: not enough valid cosignatures (transparency)"]);
}

#[test]
fn warnings_do_not_refuse() {
    let tree = Tree::new();
    let bytes = envelope(MANIFEST_TYPE, filled("x86_64").to_string().as_bytes(), &[1, 2]);
    tree.write("demo/x86_64/manifest.dsse.json", &bytes);
    let says = format!("  warning    a signature of key {}, which is not trusted with this, was ignored\n", id(2));
    tree.audit().says(0, &[&says]);
}
