//! `verify` against the reference that was written from docs/formats.md alone: the same verdict on valid, altered and
//! random documents, and the same facts about the accepted ones.

// clippy.toml lets #[test] functions unwrap; these helpers are tests as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod reference;
#[path = "support/release.rs"]
mod release;

use proptest::prelude::*;
use proptest::sample::select;
use reference::agree::{self, Circumstances};
use release::{MANIFEST_TYPE, NOW, envelope, manifest, public, trust};
use serde_json::{Value, json};

const USUAL: Circumstances = Circumstances { now: NOW, now_is_believed: true, floor_version: 0, floor_epoch: 0 };

/// A trust file with thresholds: two of the release keys 1, 2 and 3.
fn two_of_three() -> Value {
    let mut file = trust();
    let keys: Vec<Value> = (1..=3).map(|n| json!({"public": public(n), "name": format!("key {n}")})).collect();
    file["roles"]["release"] = json!({"threshold": 2, "keys": keys});
    file
}

fn state() -> Value {
    json!({"schema": "phase.state/1", "channel": "demo", "epoch": 1, "version": 7, "issued": "2026-11-20T12:00:00Z"})
}

#[test]
fn both_accept_what_is_valid() {
    // Otherwise the tests below could agree on refusing everything.
    let payload = manifest().to_string();
    assert!(agree::on_manifest(payload.as_bytes()));
    assert!(agree::on_state(state().to_string().as_bytes()));
    for (trust, keys, accepted) in
        [(trust(), &[1][..], true), (two_of_three(), &[1], false), (two_of_three(), &[3, 1], true)]
    {
        assert!(agree::on_trust(trust.to_string().as_bytes()));
        let envelope = envelope(MANIFEST_TYPE, payload.as_bytes(), keys);
        assert_eq!(agree::on_release(&envelope, trust.to_string().as_bytes(), USUAL), accepted, "{keys:?}");
    }
}

#[test]
fn both_know_what_keeping_changes_wants() {
    for (upper, root, accepted) in [
        (json!("persistent"), true, true),
        (json!("persistent"), false, false),
        (json!("tmpfs"), true, false),
        (json!(["persistent"]), true, false),
        (json!(true), true, false),
    ] {
        let mut manifest = manifest();
        manifest["upper"] = upper.clone();
        if !root {
            manifest.as_object_mut().unwrap().remove("rootfs").expect("the manifest has a root");
            manifest["handoff"] = json!(["foreign"]);
        }
        assert_eq!(agree::on_manifest(manifest.to_string().as_bytes()), accepted, "{upper}, root: {root}");
        manifest.as_object_mut().unwrap().remove("upper");
        assert!(agree::on_manifest(manifest.to_string().as_bytes()), "without it: {manifest}");
    }
}

#[test]
fn both_know_the_same_edges() {
    // 400 days of validity; 15 years of 365 days after the trust file; the second of expiry; a day ahead of the clock.
    for (issued, expires, now, accepted) in [
        ("2026-11-20T12:00:00Z", "2027-12-25T12:00:00Z", NOW, true),
        ("2026-11-20T12:00:00Z", "2027-12-25T12:00:01Z", NOW, false),
        ("2041-11-16T12:00:00Z", "2042-01-01T00:00:00Z", 2_268_900_000, true),
        ("2041-11-16T12:00:01Z", "2042-01-01T00:00:00Z", 2_268_900_000, false),
        ("2026-11-20T12:00:00Z", "2027-11-20T12:00:00Z", 1_826_711_999, true),
        ("2026-11-20T12:00:00Z", "2027-11-20T12:00:00Z", 1_826_712_000, false),
        ("2026-11-20T12:00:00Z", "2027-11-20T12:00:00Z", 1_795_089_600, true),
        ("2026-11-20T12:00:00Z", "2027-11-20T12:00:00Z", 1_795_089_599, false),
    ] {
        let mut manifest = manifest();
        (manifest["issued"], manifest["expires"]) = (issued.into(), expires.into());
        let envelope = envelope(MANIFEST_TYPE, manifest.to_string().as_bytes(), &[1]);
        let seen = agree::on_release(&envelope, trust().to_string().as_bytes(), Circumstances { now, ..USUAL });
        assert_eq!(seen, accepted, "{issued} {expires} at {now}");
    }
}

/// Values that are at, or just beyond, some limit of some field.
fn value() -> impl Strategy<Value = Value> {
    let texts = select(vec![
        "",
        ".",
        "..",
        "../x",
        "/",
        "/sbin/../x",
        "a b",
        "demo",
        "x86_64",
        "aarch64",
        "kexec",
        "refuse",
        "warn",
        "persistent",
        "é",
        "\u{7f}",
        "2026-11-20T12:00:00Z",
        "2026-11-21T12:00:00Z",
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2028-02-29T00:00:00Z",
        "2027-02-29T00:00:00Z",
        "2041-11-16T12:00:00Z",
        "2041-11-16T12:00:01Z",
        "phase.boot/1",
        "phase.trust/1",
        "AA==",
        "AB==",
        "A===",
    ]);
    let numbers = select(vec![
        0,
        1,
        2,
        3,
        4,
        7,
        16,
        17,
        64,
        400,
        3660,
        3661,
        65535,
        65536,
        65537,
        1 << 20,
        1 << 24,
        1 << 25,
        (1 << 31) - 1,
        1 << 31,
        (1 << 32) - 1,
        1 << 32,
        (1 << 53) - 1,
        1 << 53,
        1 << 63,
        u64::MAX,
    ]);
    let digests = (0..70_usize).prop_map(|count| json!(vec!["44".repeat(32); count]));
    prop_oneof![
        4 => texts.prop_map(Value::from),
        4 => numbers.prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => select(vec![json!(null), json!(-1), json!(1.5), json!([]), json!({}), json!(["kexec"]), json!(["foreign", "direct"])]),
        2 => (1_u8..12).prop_map(|n| public(n).into()),
        2 => digests,
        1 => (0..1600_usize).prop_map(|length| "x".repeat(length).into()),
        1 => Just(json!({"list_sha256": "44".repeat(32)})),
    ]
}

/// What is done to a document: a member somewhere gets another value, goes, or comes.
#[derive(Debug, Clone)]
enum Edit {
    Set(usize, Value),
    Remove(usize),
    Add(usize, String, Value),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let name = select(vec![
        "x-note",
        "X-note",
        "note",
        "floor_epoch",
        "state",
        "chunk_size",
        "chunks",
        "max_validity_days",
        "rootfs",
        "upper",
    ]);
    let edit = prop_oneof![
        6 => (any::<usize>(), value()).prop_map(|(at, value)| Edit::Set(at, value)),
        1 => any::<usize>().prop_map(Edit::Remove),
        2 => (any::<usize>(), name, value()).prop_map(|(at, name, value)| Edit::Add(at, name.to_owned(), value)),
    ];
    proptest::collection::vec(edit, 1..4)
}

/// The places of all members, as JSON pointers.
fn places(document: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match document {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(elements) => elements.iter().enumerate().map(|(n, value)| (n.to_string(), value)).collect(),
        _ => return,
    };
    for (name, value) in children {
        let place = format!("{at}/{name}");
        places(value, &place, found);
        found.push(place);
    }
}

fn edited(mut document: Value, edits: &[Edit]) -> String {
    for edit in edits {
        let mut found = Vec::new();
        places(&document, "", &mut found);
        let (Edit::Set(at, _) | Edit::Remove(at) | Edit::Add(at, ..)) = edit;
        let Some(place) = found.get(at % found.len().max(1)) else { continue };
        let (parent, name) = place.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap();
        match (edit, parent) {
            (Edit::Set(_, value), parent) => *parent.pointer_mut(&format!("/{name}")).unwrap() = value.clone(),
            (Edit::Remove(_), Value::Object(members)) => drop(members.remove(name)),
            (Edit::Add(_, new, value), Value::Object(members)) => drop(members.insert(new.clone(), value.clone())),
            _ => {}
        }
    }
    document.to_string()
}

/// What is done to a text: bytes are replaced, so that it may be no JSON any more.
fn scarred(mut text: Vec<u8>, scars: &[(usize, Vec<u8>)]) -> Vec<u8> {
    for (at, bytes) in scars {
        let at = at % (text.len() + 1);
        let end = (at + bytes.len()).min(text.len());
        text.splice(at..end, bytes.iter().copied());
    }
    text
}

fn scars() -> impl Strategy<Value = Vec<(usize, Vec<u8>)>> {
    let tokens: Vec<&[u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b",",
        b":",
        b"\\u0000",
        b"\\ud83d\\ude00",
        b"\\ud800",
        b"\\udc00",
        b"\\",
        b"null",
        b"true",
        b"-1",
        b"1.5",
        b"1e3",
        b"01",
        b"\0",
        b"\xff",
        b"\xc3\xa9",
        b" ",
        b"\n",
        b"\x0c",
        b"[[[[[[[[[",
        b"9007199254740991",
        b"9007199254740992",
        b"=",
    ];
    let bytes = prop_oneof![4 => select(tokens).prop_map(<[u8]>::to_vec), 1 => any::<u8>().prop_map(|byte| vec![byte])];
    proptest::collection::vec((any::<usize>(), bytes), 0..3)
}

fn circumstances() -> impl Strategy<Value = Circumstances> {
    let time = select(vec![
        0,
        1_795_089_599,
        1_795_089_600,
        1_795_176_000,
        NOW,
        1_826_711_999,
        1_826_712_000,
        253_402_300_799,
    ]);
    (time, any::<bool>(), select(vec![0, 7, 8]), select(vec![0, 1, 2])).prop_map(
        |(now, now_is_believed, floor_version, floor_epoch)| Circumstances {
            now,
            now_is_believed,
            floor_version,
            floor_epoch,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn on_altered_trust_files(edits in edits(), scars in scars(), thresholds: bool) {
        let file = if thresholds { two_of_three() } else { trust() };
        agree::on_trust(&scarred(edited(file, &edits).into_bytes(), &scars));
    }

    #[test]
    fn on_altered_states(edits in edits(), scars in scars()) {
        agree::on_state(&scarred(edited(state(), &edits).into_bytes(), &scars));
    }

    #[test]
    fn on_altered_manifests(edits in edits(), scars in scars()) {
        agree::on_manifest(&scarred(edited(manifest(), &edits).into_bytes(), &scars));
    }

    #[test]
    fn on_signed_releases(
        edits in edits(),
        valid: bool,
        scars in scars(),
        whole: bool,
        keys in proptest::collection::vec(1_u8..6, 0..4),
        thresholds: bool,
        circumstances in circumstances(),
    ) {
        let payload = if valid { manifest().to_string() } else { edited(manifest(), &edits) };
        let envelope = envelope(MANIFEST_TYPE, payload.as_bytes(), &keys);
        let envelope = if whole { envelope } else { scarred(envelope, &scars) };
        let trust = if thresholds { two_of_three() } else { trust() };
        agree::on_release(&envelope, trust.to_string().as_bytes(), circumstances);
    }

    #[test]
    fn on_random_bytes(bytes: Vec<u8>) {
        prop_assert!(!agree::on_trust(&bytes) && !agree::on_state(&bytes) && !agree::on_manifest(&bytes));
        prop_assert!(!agree::on_release(&bytes, trust().to_string().as_bytes(), USUAL));
    }
}
