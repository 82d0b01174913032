//! Trust files and their rotations, as the holders of the root keys meet them.

use std::{fs, path::Path};

use crate::common::{directory, fails, json, key, phase, publish, release_files, succeeds, text};
use verify::{Envelope, Trust, rotation};

/// Keys of five people and a CI, and a first trust file: two of the root keys `ada`, `bo` and `cy`, and the release key `ci`.
fn owners(home: &Path) {
    for name in ["ada", "bo", "cy", "dan", "ci", "ci2"] {
        key(home, name);
    }
    let init = ["trust", "init", "--channel", "demo", "--release-key", "ci.pub", "--out", "trust.json"];
    let root = ["--root-key", "ada.pub", "bo.pub", "cy.pub", "--root-threshold", "2"];
    succeeds(home, &[&init[..], &root].concat());
}

/// `phase trust rotate` from the first trust file to `2.dsse.json`, signed by `keys`, and what else is said.
fn rotate<'a>(keys: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["trust", "rotate", "--from", "trust.json", "--out", "2.dsse.json"];
    arguments.extend(keys.iter().flat_map(|key| ["--key", *key]));
    arguments.extend(more);
    arguments
}

const OUT: [&str; 4] = ["--remove-release", "ci", "--add-release", "ci2.pub"];

fn trust(path: &Path) -> Trust {
    Trust::parse(&fs::read(path).unwrap()).unwrap()
}

fn id(home: &Path, name: &str) -> String {
    let report = json(home, &["trust", "show", "trust.json", "--json"]);
    let roles = &report[0]["trust"]["roles"];
    let keys = roles["root"]["keys"].as_array().unwrap().iter().chain(roles["release"]["keys"].as_array().unwrap());
    let key = keys.into_iter().find(|key| key["name"] == name).unwrap();
    let public = data_encoding::HEXLOWER.decode(key["public"].as_str().unwrap().as_bytes()).unwrap();
    verify::KeyId::of(&public.try_into().unwrap()).to_string()
}

#[test]
fn a_rotation_is_what_a_machine_follows() {
    let home = directory();
    let home = home.path();
    owners(home);
    let more = ["--reset-floors", "--minimum-version", "7", "--state", "refuse", "--rescue-prompt", "true", "--json"];
    let report = json(
        home,
        &rotate(&["ada", "cy"], &[&OUT[..], &more, &["--expiry", "warn", "--max-validity-days", "30"]].concat()),
    );
    assert_eq!((&report["complete"], &report["epoch"]), (&true.into(), &2.into()));
    let changes: Vec<_> = report["changes"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    for wanted in [
        "epoch: 1 -> 2",
        "minimum_version: 0 -> 7",
        "floor_epoch: not set -> 2",
        "policy.state: not set -> refuse",
        "policy.rescue_prompt: false -> true",
        "policy.expiry: refuse -> warn",
        "policy.max_validity_days: 400 -> 30",
        &format!("release key removed: ci ({})", id(home, "ci")),
    ] {
        assert!(changes.contains(&wanted), "{wanted} is not in {changes:?}");
    }
    assert!(changes.iter().any(|line| line.starts_with("release key added: ci2 (")), "{changes:?}");

    let followed =
        rotation::follow(trust(&home.join("trust.json")), [((), fs::read(home.join("2.dsse.json")).unwrap())]);
    assert_eq!((followed.trust().epoch, followed.trust().floor_epoch, followed.trust().minimum_version), (2, 2, 7));
    assert_eq!(followed.trust().roles.release.keys()[0].name(), "ci2");
    assert_eq!(report["trust_sha256"], verify::Sha256Digest::of(&followed_payload(home)).to_string());
}

fn followed_payload(home: &Path) -> Vec<u8> {
    Envelope::parse(&fs::read(home.join("2.dsse.json")).unwrap()).unwrap().payload
}

#[test]
fn what_lacks_signatures_says_whose_and_is_completed_by_phase_sign() {
    let home = directory();
    let home = home.path();
    owners(home);
    // Dan comes: the new file needs two of four, the old one two of three.
    let said = succeeds(home, &rotate(&["dan"], &["--add-root", "dan.pub", "--remove-root", &id(home, "cy")]));
    for wanted in [
        "missing      2 signatures of root keys of epoch 1 (0 of 2):",
        "missing      1 signatures of root keys of epoch 2 (1 of 2):",
        &format!("             {} ada\n", id(home, "ada")),
        "phase sign --key KEY --add 2.dsse.json",
    ] {
        assert!(said.contains(wanted), "{wanted} is not in {said}");
    }
    for arguments in [
        &["trust", "publish", "--tree", "tree", "--from", "trust.json", "2.dsse.json"][..],
        &["trust", "follow", "--from", "trust.json", "2.dsse.json", "--out", "now.json"],
        &["trust", "rotate", "--from", "trust.json", "--chain", "2.dsse.json", "--key", "ada", "--out", "3.dsse.json"],
    ] {
        let error = fails(home, arguments, 1);
        assert!(error.contains("not enough root keys of the trust file in force (epoch 1) have signed"), "{error}");
        assert!(error.contains("have more holders of the root keys in force sign it"), "{error}");
    }
    for absent in ["tree", "now.json", "3.dsse.json"] {
        assert!(!home.join(absent).exists(), "{absent}");
    }
    succeeds(home, &["sign", "--key", "ada", "--add", "2.dsse.json"]);
    let error = fails(home, &["trust", "publish", "--tree", "tree", "--from", "trust.json", "2.dsse.json"], 1);
    assert!(error.contains("signed by 1 trusted keys, wanted 2"), "{error}");
    // Cy leaves, but may still sign the step that removes the key.
    succeeds(home, &["sign", "--key", "cy", "--add", "2.dsse.json"]);
    succeeds(home, &["trust", "publish", "--tree", "tree", "--from", "trust.json", "2.dsse.json"]);
}

#[test]
fn show_verifies_only_from_a_trust_file_on() {
    let home = directory();
    let home = home.path();
    owners(home);
    succeeds(home, &rotate(&["ada"], &OUT));
    let said = succeeds(home, &["trust", "show", "2.dsse.json"]);
    assert!(
        said.contains("channel demo, epoch 2") && said.contains(&format!("says signed  {} ada", id(home, "ada"))),
        "{said}"
    );
    assert!(!said.contains("verified"), "{said}");

    let review = ["trust", "show", "2.dsse.json", "--from", "trust.json"];
    let output = phase(home, &review);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for wanted in [
        "change       release key removed: ci (",
        "missing      1 signatures of root keys of epoch 2 (1 of 2)",
        "refused      not enough root keys",
    ] {
        assert!(said.contains(wanted), "{wanted} is not in {said}");
    }
    succeeds(home, &["sign", "--key", "bo", "--add", "2.dsse.json"]);
    let said = succeeds(home, &review);
    assert!(said.contains("verified     it follows") && !said.contains("missing"), "{said}");
    let report = json(home, &[&review[..], &["--json"]].concat());
    assert_eq!((&report[0]["step"]["accepted"], &report[0]["trust"]["epoch"]), (&true.into(), &2.into()));

    // A file that other people's keys signed says the same of itself, and is told apart.
    for name in ["ada", "bo", "cy"] {
        fs::remove_file(home.join(name)).unwrap();
        fs::remove_file(home.join(format!("{name}.pub"))).unwrap();
        key(home, name);
    }
    let init = [
        "trust",
        "init",
        "--channel",
        "demo",
        "--release-key",
        "ci.pub",
        "--root-key",
        "ada.pub",
        "--out",
        "evil.json",
    ];
    succeeds(home, &init);
    let rotate = ["trust", "rotate", "--from", "evil.json", "--key", "ada", "--out", "evil.dsse.json"];
    succeeds(home, &rotate);
    let output = phase(home, &["trust", "show", "evil.dsse.json", "--from", "trust.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("refused      not enough root keys of the trust file in force (epoch 1)"));
}

#[test]
fn a_chain_becomes_a_plain_trust_file_and_part_of_a_tree() {
    let home = directory();
    let home = home.path();
    owners(home);
    succeeds(home, &rotate(&["ada", "bo"], &OUT));
    let third = ["trust", "rotate", "--from", "trust.json", "--chain", "2.dsse.json", "--out", "3.dsse.json"];
    let keys = ["--key", "ada", "--key", "cy", "--root-threshold", "1"];
    succeeds(home, &[&third[..], &keys].concat());

    // In any order; the tree has them under their epochs.
    let chain = ["3.dsse.json", "2.dsse.json"];
    let report =
        json(home, &[&["trust", "publish", "--tree", "tree", "--from", "trust.json", "--json"][..], &chain].concat());
    assert_eq!(report["envelopes"], serde_json::json!(["tree/trust/2.dsse.json", "tree/trust/3.dsse.json"]));
    for name in chain {
        assert_eq!(fs::read(home.join(name)).unwrap(), fs::read(home.join("tree/trust").join(name)).unwrap());
    }
    let follow = [
        "trust",
        "follow",
        "--from",
        "trust.json",
        "tree/trust/2.dsse.json",
        "tree/trust/3.dsse.json",
        "--out",
        "now.json",
    ];
    succeeds(home, &follow);
    let now = trust(&home.join("now.json"));
    assert_eq!((now.epoch, now.roles.root.threshold()), (3, 1));
    let payload = Envelope::parse(&fs::read(home.join("3.dsse.json")).unwrap()).unwrap().payload;
    assert_eq!(fs::read(home.join("now.json")).unwrap(), payload, "the signed bytes themselves");
    let error = fails(home, &follow, 1);
    assert!(error.contains("now.json exists already"), "{error}");

    // Without the step in between there is no chain.
    let error = fails(home, &["trust", "follow", "--from", "trust.json", "3.dsse.json", "--out", "x"], 1);
    assert!(error.contains("epoch 3, wanted 2: those in between are missing"), "{error}");
}

#[test]
fn a_published_epoch_is_not_replaced_by_another() {
    let home = directory();
    let home = home.path();
    owners(home);
    let publish = ["trust", "publish", "--tree", "tree", "--from", "trust.json", "2.dsse.json"];
    succeeds(home, &rotate(&["ada", "bo"], &OUT));
    succeeds(home, &publish);
    let published = fs::read(home.join("tree/trust/2.dsse.json")).unwrap();
    // The same with one more signature is welcome.
    succeeds(home, &["sign", "--key", "cy", "--add", "2.dsse.json"]);
    succeeds(home, &publish);
    assert_ne!(fs::read(home.join("tree/trust/2.dsse.json")).unwrap(), published);
    let published = fs::read(home.join("tree/trust/2.dsse.json")).unwrap();

    succeeds(home, &rotate(&["ada", "bo"], &["--force", "--minimum-version", "9"]));
    let error = fails(home, &publish, 1);
    assert!(error.contains("tree/trust/2.dsse.json is another trust file of epoch 2"), "{error}");
    assert_eq!(fs::read(home.join("tree/trust/2.dsse.json")).unwrap(), published);
    succeeds(home, &[&publish[..], &["--force"]].concat());
}

#[test]
fn rotations_and_releases_share_a_tree() {
    let home = directory();
    let home = home.path();
    owners(home);
    release_files(home);
    succeeds(home, &rotate(&["ada", "bo"], &OUT));
    succeeds(home, &["trust", "publish", "--tree", "tree", "--from", "trust.json", "2.dsse.json"]);
    succeeds(home, &["trust", "follow", "--from", "trust.json", "2.dsse.json", "--out", "now.json"]);
    fs::rename(home.join("ci2"), home.join("release")).unwrap();
    succeeds(home, &publish("1", &["--trust", "now.json", "--min-epoch", "2", "--prune"]));
    assert!(home.join("tree/trust/2.dsse.json").exists());
    // The key that was removed publishes nothing more.
    fs::rename(home.join("ci"), home.join("release")).unwrap();
    let error = fails(home, &publish("2", &["--trust", "now.json"]), 1);
    assert!(error.contains("signed by key"), "{error}");
}

#[test]
fn what_no_machine_would_accept_is_not_written() {
    let home = directory();
    let home = home.path();
    owners(home);
    let long_ago = ["--built", "2001-01-01T00:00:00Z"];
    let too_late = ["--built", "2099-01-01T00:00:00Z"];
    for (keys, more, status, wanted) in [
        (&["ci"][..], &OUT[..], 1, "is no root key of epoch 1 or 2; nothing was written"),
        (&["ada", "dan"], &OUT, 1, "is no root key of epoch 1 or 2"),
        (&["ada"], &long_ago, 1, "the trust file was made at 2001-01-01T00:00:00Z, wanted"),
        (&["ada"], &too_late, 2, "more than 15 years after the last one"),
        (&["ada"], &["--remove-release", "ci"], 2, "role release: a role of 0 keys"),
        (&["ada"], &["--remove-release", "nobody"], 2, "role release: there is no key \"nobody\"; there are ci ("),
        (&["ada"], &["--remove-root", "ada", "bo"], 2, "role root: a threshold of 2 for 1 keys"),
        (&["ada"], &["--add-root", "ada.pub"], 2, "role root: the key"),
        (&["ada"], &["--release-threshold", "2"], 2, "role release: a threshold of 2 for 1 keys"),
        (&["ada"], &["--max-validity-days", "0"], 2, "trust.policy.max_validity_days is 0"),
        (&["ada"], &["--expiry", "ignore"], 2, "wanted refuse or warn"),
        (&[], &OUT, 2, "nobody signs"),
    ] {
        let error = fails(home, &rotate(keys, more), status);
        assert!(error.contains(wanted), "{wanted} is not in {error}");
        assert!(!home.join("2.dsse.json").exists(), "{wanted}");
    }
}

#[test]
fn of_two_keys_with_one_name_the_id_says_which() {
    let home = directory();
    let home = home.path();
    owners(home);
    fs::create_dir(home.join("new")).unwrap();
    key(home, "new/ci");
    succeeds(home, &rotate(&["ada", "bo"], &["--add-release", "new/ci.pub"]));
    let third =
        ["trust", "rotate", "--from", "trust.json", "--chain", "2.dsse.json", "--key", "ada", "--out", "3.dsse.json"];
    let error = fails(home, &[&third[..], &["--remove-release", "ci"]].concat(), 2);
    assert!(error.contains("two keys have the name \"ci\"; say which by its id"), "{error}");
    succeeds(home, &[&third[..], &["--remove-release", &id(home, "ci")]].concat());
}

#[test]
fn a_new_line_of_trust_files_takes_back_what_the_lost_one_left() {
    let home = directory();
    let home = home.path();
    owners(home);
    let init =
        ["trust", "init", "--channel", "demo", "--release-key", "ci.pub", "--root-key", "dan.pub", "--out", "new.json"];
    let report = json(home, &[&init[..], &["--epoch", "6", "--state", "refuse", "--json"]].concat());
    assert_eq!(report["epoch"], 6);
    let new = trust(&home.join("new.json"));
    assert_eq!((new.epoch, new.floor_epoch, new.policy.state), (6, 6, verify::Reaction::Refuse));
    let error = fails(home, &[&init[..], &["--force", "--epoch", "0"]].concat(), 2);
    assert!(error.contains("trust.epoch is 0"), "{error}");
    // The first one of all has none, and is written as it always was.
    assert!(!fs::read_to_string(home.join("trust.json")).unwrap().contains("floor_epoch"));
}

#[test]
fn every_trust_command_has_help_with_examples() {
    let home = directory();
    for command in ["init", "rotate", "show", "follow", "publish"] {
        let said = succeeds(home.path(), &["trust", command, "--help"]);
        assert!(said.contains("Examples:\n  phase trust"), "{command}: {said}");
    }
}

#[test]
fn a_trust_file_may_want_releases_to_be_logged() {
    let home = directory();
    let home = home.path();
    owners(home);
    let public = verify::PublicKey::new(&public_bytes(home, "dan"), "log").unwrap();
    let log = data_encoding::HEXLOWER.encode(public.as_bytes());
    fs::write(home.join("policy"), format!("log {log}\nquorum none\n")).unwrap();
    let init = ["trust", "init", "--channel", "demo", "--root-key", "ada.pub", "--release-key", "ci.pub", "--out"];
    let logged = ["--sigsum-policy", "policy", "--sigsum-submitter", "ci.pub", "cy.pub"];
    succeeds(home, &[&init[..], &["logged.json"], &logged].concat());
    let transparency = trust(&home.join("logged.json")).policy.transparency.unwrap();
    assert_eq!(transparency.sigsum_policy(), format!("log {log}\nquorum none\n"));
    let submitters: Vec<_> = transparency.submitters().iter().map(|key| *key.as_bytes()).collect();
    assert_eq!(submitters, [public_bytes(home, "ci"), public_bytes(home, "cy")]);

    let one = fails(home, &[&init[..], &["other.json", "--sigsum-policy", "policy"]].concat(), 2);
    assert!(one.contains("--sigsum-submitter"), "{one}");
    fs::write(home.join("policy"), "quorum none\n").unwrap();
    let none = fails(home, &[&init[..], &["other.json"], &logged].concat(), 2);
    assert!(none.contains("policy: a policy without a log, wanted a Sigsum policy"), "{none}");
    assert!(!home.join("other.json").exists());

    // A rotation keeps it, and takes it away if it is told to.
    let rotate = ["trust", "rotate", "--from", "logged.json", "--key", "ada", "--json", "--out"];
    let kept = json(home, &[&rotate[..], &["kept.json"]].concat());
    let gone = json(home, &[&rotate[..], &["gone.json", "--no-sigsum"]].concat());
    let changes = |report: &serde_json::Value| report["changes"].to_string();
    assert!(!changes(&kept).contains("sigsum") && changes(&gone).contains("policy.transparency.sigsum_policy: log "));
}

/// The raw bytes of a public key.
fn public_bytes(home: &Path, name: &str) -> [u8; 32] {
    let pem = fs::read_to_string(home.join(format!("{name}.pub"))).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = data_encoding::BASE64.decode(base64.as_bytes()).unwrap();
    der[der.len() - 32..].try_into().unwrap()
}

#[test]
fn a_key_is_not_in_both_roles_unless_a_lab_wants_it() {
    let home = directory();
    let home = home.path();
    owners(home);
    let both = ["trust", "init", "--channel", "demo", "--root-key", "dan.pub", "ci.pub", "--release-key", "ci.pub"];
    let init = [&both[..], &["--out", "lab.json"]].concat();
    let rotate = rotate(&["ada", "bo"], &["--add-release", "ada.pub"]);
    for (command, name, out) in [(&init, "ci", "lab.json"), (&rotate, "ada", "2.dsse.json")] {
        let error = fails(home, command, 2);
        let wanted =
            format!("the key {name} ({}) is in both roles; wanted root keys that are no release", id(home, name));
        assert!(error.contains(&wanted) && error.contains("--allow-shared-key"), "{error}");
        assert!(!home.join(out).exists());
        succeeds(home, &[command, &["--allow-shared-key"][..]].concat());
        assert!(home.join(out).exists());
    }
}
