//! Transparency: with `policy.transparency`, a release counts only if it was logged, and each way in which it was not is
//! refused by name.

// clippy.toml lets #[test] functions unwrap; these helpers are tests as well.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/log.rs"]
mod log;
#[path = "support/release.rs"]
mod release;

use log::Log;
use release::{MANIFEST_TYPE, NOW, envelope, key, manifest, public, trust};
use serde_json::{Value, json};
use sigsum::SigsumSignature;
use verify::{Arch, Candidate, Floors, Now, Refusal, Rules, Timestamp, Transparency, Trust, Verified, verified};

/// Who submits to the log.
const SUBMITTER: u8 = 5;

/// Rules of a trust file: `log` with `quorum`, and the submitter.
fn rules(log: &Log, quorum: usize) -> Transparency {
    Transparency::new(&log.policy(quorum), &[*key(SUBMITTER).verifying_key().as_bytes()]).unwrap()
}

/// The message of a refusal; each has its advice.
fn refused(rules: &Transparency, payload: &[u8], proof: &str) -> String {
    let refusal = rules.check(payload, Some(proof.as_bytes())).expect_err("accepted");
    assert!(!refusal.advice().is_empty());
    refusal.to_string()
}

#[test]
fn a_proof_of_the_world_is_accepted_and_of_its_own_bytes_only() {
    // As `sigsum-submit` wrote it; see vectors/README.md.
    let proof = include_bytes!("vectors/sigsum-hello.proof");
    let policy = include_str!("vectors/sigsum-test-2025-3.policy");
    let hex = b"99ed58583e8750b20548e69df4a4e1a592379a9a66c51cd32e42fbe4e1bde78a";
    let submitter = data_encoding::HEXLOWER.decode(hex).unwrap().try_into().unwrap();
    let rules = Transparency::new(policy, &[submitter]).unwrap();
    assert_eq!(rules.check(b"Hello, Sigsum!\n", Some(proof)), Ok(()));
    let refused = rules.check(b"Hello, Sigsum?\n", Some(proof)).unwrap_err().to_string();
    assert!(refused.starts_with("the proof is of other bytes: "), "{refused}");
}

#[test]
fn every_place_in_trees_of_every_shape_is_proved() {
    let submitter = key(SUBMITTER);
    let mut log = Log::new(50, 3);
    for size in 1..=18_u8 {
        log.submit(&submitter, &[size]);
        for index in 0..size {
            let proof = log.proof(index.into(), 2);
            assert_eq!(rules(&log, 2).check(&[index + 1], Some(proof.as_bytes())), Ok(()), "{index} of {size}");
        }
    }
}

/// A log with `bytes` among others, and its proof with two of three cosignatures.
fn logged(bytes: &[u8]) -> (Log, String) {
    let mut log = Log::new(50, 3);
    for other in 0..4 {
        log.submit(&key(SUBMITTER), &[other]);
    }
    let index = log.submit(&key(SUBMITTER), bytes);
    log.submit(&key(SUBMITTER), b"one more");
    let proof = log.proof(index, 2);
    (log, proof)
}

#[test]
fn what_is_wrong_with_a_proof_is_said() {
    let (log, proof) = logged(b"payload");
    let good = rules(&log, 2);
    assert_eq!(good.check(b"payload", Some(proof.as_bytes())), Ok(()));

    let missing = good.check(b"payload", None).unwrap_err().to_string();
    assert_eq!(missing, "no proof that it was logged came with the release, and the trust file wants one");
    assert_eq!(
        refused(&good, b"payload", &" ".repeat(16385)),
        "the proof that the release was logged has 16385 bytes, wanted at most 16384"
    );
    let not_one = "the proof that the release was logged is not a Sigsum proof of version 2: ";
    for (text, problem) in [
        ("", "\"expected 3 parts, got 1\""),
        ("<html>404</html>", "\"expected 3 parts, got 1\""),
        (&proof.replace("version=2", "version=1"), "\"version 1 not supported\""),
        (
            &proof.replace("leaf_index=4", "leaf_index=18446744073709551616"),
            "\"number too large to fit in target type\"",
        ),
        (&proof.replace("leaf_index=4", "leaf_index=-1"), "\"invalid digit found in string\""),
        (&proof.replace("log=", "log=\u{1b}"), "\"invalid hex length\""),
    ] {
        assert_eq!(refused(&good, b"payload", text), format!("{not_one}{problem}"));
    }
    let refusal = good.check(b"payload", Some(b"version=2\xff")).unwrap_err().to_string();
    assert_eq!(refusal, format!("{not_one}invalid utf-8 sequence of 1 bytes from index 9"));
    let message = refused(&good, b"Payload", &proof);
    assert!(message.starts_with("the proof is of other bytes: "), "{message}");
}

#[test]
fn who_logged_it_where_and_who_saw_it_counts() {
    let (mut log, proof) = logged(b"payload");
    let other_log = rules(&Log::new(90, 3), 2);
    let message = refused(&other_log, b"payload", &proof);
    assert!(message.starts_with("the release was logged by ") && message.contains(", wanted "), "{message}");

    let theirs = log.submit(&key(6), b"payload");
    let message = refused(&rules(&log, 2), b"payload", &log.proof(theirs, 3));
    let ids = (release::id(6), release::id(SUBMITTER));
    assert_eq!(message, format!("the release was logged for {}, wanted {}", ids.0, ids.1));

    let unproved = "the proof that the release was logged does not hold: ";
    let message = refused(&rules(&log, 3), b"payload", &proof);
    assert_eq!(message, format!("{unproved}not enough valid cosignatures"));
    // A witness counts once.
    let twice = proof.lines().find(|line| line.starts_with("cosignature=")).unwrap();
    let message = refused(&rules(&log, 3), b"payload", &proof.replace(twice, &format!("{twice}\n{twice}")));
    assert_eq!(message, format!("{unproved}not enough valid cosignatures"));
    // A log that shows different trees to different people signs neither in the other's place.
    let root = proof.lines().find(|line| line.starts_with("root_hash=")).unwrap();
    let other_root = format!("root_hash={}", "ab".repeat(32));
    assert_eq!(
        refused(&rules(&log, 2), b"payload", &proof.replace(root, &other_root)),
        format!("{unproved}bad log signature")
    );
    let elsewhere = proof.replace("leaf_index=4", "leaf_index=3");
    assert_eq!(refused(&rules(&log, 2), b"payload", &elsewhere), format!("{unproved}bad inclusion proof"));
}

#[test]
fn no_flipped_bit_of_a_proof_changes_what_it_says() {
    // With a quorum of all who signed, every byte counts. What is still accepted says the same in another way.
    let mut log = Log::new(50, 2);
    log.submit(&key(SUBMITTER), b"other");
    let index = log.submit(&key(SUBMITTER), b"payload");
    let (rules, proof) = (rules(&log, 2), log.proof(index, 2));
    let same = SigsumSignature::from_ascii(&proof).unwrap();
    let mut accepted = 0;
    for bit in 0..proof.len() * 8 {
        let mut flipped = proof.clone().into_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if rules.check(b"payload", Some(&flipped)).is_ok() {
            let text = String::from_utf8(flipped).unwrap();
            assert_eq!(SigsumSignature::from_ascii(&text).unwrap(), same, "bit {bit}");
            accepted += 1;
        }
    }
    // Upper case for the hex digits a to f, about 3 of 8 digits.
    assert!(accepted < proof.len() / 2, "{accepted}");
}

/// The trust file's text with this `policy.transparency`.
fn trust_with(transparency: Value) -> Vec<u8> {
    let mut file = trust();
    file["policy"]["transparency"] = transparency;
    file.to_string().into_bytes()
}

#[test]
fn a_trust_file_with_a_policy_that_proves_nothing_is_refused() {
    let (log, weak, other) = (public(50), format!("01{}", "00".repeat(31)), public(51));
    let wanted = "a Sigsum policy of at most 8192 bytes with at least one log and keys that are no weak ones";
    let groups: Vec<String> = (1..=30).map(|n| format!("group g{n} 1 g{} w\n", n - 1)).collect();
    let doubling: Vec<String> = (2..=30).map(|n| format!("group g{n} 1 g{} g{}\n", n - 1, n - 2)).collect();
    let (groups, doubling) = (groups.concat(), doubling.concat());
    let policy = |text: &str| json!({"sigsum_policy": text, "submitters": [public(SUBMITTER)]});
    assert!(
        Trust::parse(&trust_with(policy(&format!(
            "log {log}\nwitness g0 {other}\nwitness w {}\n{groups}quorum g30\n",
            public(52)
        ))))
        .is_ok()
    );
    for (text, seen) in [
        (format!("log {log}\n"), "\"line 1: no quorum set\""),
        (format!("log {log}\nqorum none\n"), "\"line 2: unknown keyword `qorum`\""),
        (format!("log {}\nquorum none\n", &log[2..]), "\"line 1: invalid public key: wrong length\""),
        ("quorum none\n".to_owned(), "a policy without a log"),
        (format!("log {log}\nquorum none\n{}", "#".repeat(8192)), "8273 bytes"),
        (format!("log {log}\nwitness w {other}\ngroup g 2 w w\nquorum g\n"), "a group with \"w\" twice"),
        (
            format!("log {log}\nwitness g0 {other}\nwitness g1 {}\n{doubling}quorum g30\n", public(52)),
            "a group with 1219 members and members of members",
        ),
    ] {
        let error = Trust::parse(&trust_with(policy(&text))).unwrap_err().to_string();
        assert_eq!(error, format!("trust.policy.transparency.sigsum_policy is {seen}, wanted {wanted}"));
    }
    for text in [format!("log {weak}\nquorum none\n"), format!("log {log}\nwitness w {weak}\nquorum w\n")] {
        let error = Trust::parse(&trust_with(policy(&text))).unwrap_err().to_string();
        assert!(error.ends_with("of an Ed25519 public key that is not of small order"), "{error}");
    }
}

#[test]
fn submitters_are_one_to_sixteen_distinct_keys() {
    let policy = Log::new(50, 1).policy(1);
    let parsed = |submitters: Value| {
        let file = trust_with(json!({"sigsum_policy": policy, "submitters": submitters}));
        Trust::parse(&file)
            .map(|trust| trust.policy.transparency.unwrap().submitters().len())
            .map_err(|e| e.to_string())
    };
    let many: Vec<String> = (1..=17).map(public).collect();
    assert_eq!(parsed(json!(many[..16])), Ok(16));
    let path = "trust.policy.transparency.submitters";
    assert_eq!(parsed(json!(many)), Err(format!("{path} is an array of 17, wanted an array of 1 to 16")));
    assert_eq!(parsed(json!([])), Err(format!("{path} is an array of 0, wanted an array of 1 to 16")));
    assert_eq!(parsed(json!(["me"])), Err(format!("{path}[0] is \"me\", wanted 64 lower-case hex digits")));
    let twice = parsed(json!([many[0], many[0]]));
    assert_eq!(twice, Err(format!("{path} is {} twice, wanted distinct submitters", many[0])));
    assert!(parsed(json!(["00".repeat(32)])).unwrap_err().ends_with("not of small order"));
}

/// A signed release with this version, and its payload.
fn release_of(version: u64) -> (Vec<u8>, Vec<u8>) {
    let mut manifest = manifest();
    manifest["version"] = version.into();
    let payload = manifest.to_string().into_bytes();
    (envelope(MANIFEST_TYPE, &payload, &[1]), payload)
}

/// A trust file that wants two of the log's witnesses.
fn trust_that_wants(log: &Log) -> Trust {
    let transparency = json!({"sigsum_policy": log.policy(2), "submitters": [public(SUBMITTER)]});
    let trust = Trust::parse(&trust_with(transparency)).unwrap();
    // What is written is read.
    assert_eq!(Trust::parse(trust.to_json().unwrap().as_bytes()), Ok(trust.clone()));
    trust
}

fn rules_of(trust: &Trust) -> Rules<'_> {
    let now = Now { time: Timestamp::from_unix(NOW), trusted: true };
    Rules { trust, arch: Arch::X86_64, now, floors: Floors::default() }
}

#[test]
fn a_release_without_its_proof_is_refused_although_it_is_signed() {
    let (envelope, payload) = release_of(7);
    let (log, proof) = logged(&payload);
    let trust = trust_that_wants(&log);
    let check = |proof: Option<&str>| -> Result<Verified<verify::Manifest>, Refusal> {
        let candidate = Candidate { envelope: envelope.clone(), proof: proof.map(|text| text.as_bytes().to_vec()) };
        verified::manifest(&candidate, &rules_of(&trust))
    };
    assert_eq!(check(Some(&proof)).unwrap().version, 7);
    let refusal = check(None).unwrap_err();
    assert_eq!(
        (refusal.kind(), refusal.to_string()),
        ("transparency", "no proof that it was logged came with the release, and the trust file wants one".to_owned())
    );
    assert_eq!(refusal.advice(), "log the release and publish it with its proof (`phase put-live --proof`)");
    let (_, of_another) = logged(&release_of(8).1);
    assert_eq!(check(Some(&of_another)).unwrap_err().kind(), "transparency");
}

#[test]
fn a_proof_is_no_signature() {
    // Logged, by the right submitter, and signed by a stranger: the signatures come first.
    let (_, payload) = release_of(7);
    let (log, proof) = logged(&payload);
    let candidate = Candidate { envelope: envelope(MANIFEST_TYPE, &payload, &[2]), proof: Some(proof.into_bytes()) };
    let refusal = verified::manifest(&candidate, &rules_of(&trust_that_wants(&log))).unwrap_err();
    assert_eq!(refusal.kind(), "unknown-key");
}

#[test]
fn the_newest_release_that_was_logged_wins() {
    let ((old, old_payload), (new, _)) = (release_of(7), release_of(8));
    let (log, proof) = logged(&old_payload);
    let found = [
        ("secret", Candidate { envelope: new, proof: Some(proof.clone().into_bytes()) }),
        ("public", Candidate { envelope: old, proof: Some(proof.into_bytes()) }),
    ];
    let trust = trust_that_wants(&log);
    let newest = verified::newest(found, &rules_of(&trust)).unwrap();
    assert_eq!((newest.source, newest.release.version), ("public", 7));
    assert_eq!(newest.refused[0].1.kind(), "transparency");
}

#[test]
fn without_the_policy_a_proof_is_not_looked_at() {
    let trust = Trust::parse(trust().to_string().as_bytes()).unwrap();
    let candidate = Candidate { envelope: release_of(7).0, proof: Some(b"junk".to_vec()) };
    assert!(verified::manifest(&candidate, &rules_of(&trust)).is_ok());
}
