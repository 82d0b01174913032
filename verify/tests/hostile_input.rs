//! Hostile input: nothing that was changed after it was signed is accepted, and what no document may say is refused with
//! a message that says which, in a manifest, a trust file, an envelope and a state alike.

// clippy.toml lets #[test] functions unwrap; these helpers are tests as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/release.rs"]
mod release;

use data_encoding::BASE64;
use release::{MANIFEST_TYPE, NOW, envelope, manifest, trust};
use serde_json::{Value, json};
use verify::{Arch, Envelope, Floors, Manifest, Now, Rules, State, Timestamp, Trust, verified};

/// What a machine says about an envelope: nothing if it boots it.
fn refusal(envelope: Vec<u8>, trust: &Trust) -> Option<verify::Refusal> {
    let now = Now { time: Timestamp::from_unix(NOW), trusted: true };
    verified::manifest(&envelope.into(), &Rules { trust, arch: Arch::X86_64, now, floors: Floors::default() }).err()
}

/// A signed release, as it is served, and the trust file that it was made for.
fn served() -> (Vec<u8>, Trust) {
    let envelope = envelope(MANIFEST_TYPE, manifest().to_string().as_bytes(), &[1]);
    let trust = Trust::parse(trust().to_string().as_bytes()).unwrap();
    assert_eq!(refusal(envelope.clone(), &trust), None, "else no bit flip tests anything");
    (envelope, trust)
}

fn flipped(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..bytes.len() * 8).map(|bit| {
        let mut bytes = bytes.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        (bit, bytes)
    })
}

#[test]
fn every_flipped_bit_of_a_signed_manifest_is_refused_as_a_bad_signature() {
    let (served, trust) = served();
    let envelope = Envelope::parse(&served).unwrap();
    let mut flips = 0;
    for (bit, payload) in flipped(&envelope.payload) {
        let changed = Envelope { payload, ..envelope.clone() };
        let refusal = refusal(changed.to_json().unwrap().into_bytes(), &trust);
        assert_eq!(refusal.map(|refusal| refusal.kind()), Some("signature"), "bit {bit}");
        flips += 1;
    }
    assert!(flips > 4000, "{flips}");
}

#[test]
fn every_flipped_bit_of_a_served_envelope_is_refused() {
    let (served, trust) = served();
    for (bit, changed) in flipped(&served) {
        let refusal = refusal(changed, &trust).unwrap_or_else(|| panic!("bit {bit} was not missed"));
        assert!(
            ["format", "payload-type", "signature", "unknown-key"].contains(&refusal.kind()),
            "bit {bit}: {refusal}"
        );
        assert!(!refusal.to_string().contains(char::is_control), "bit {bit}: {refusal:?}");
    }
}

#[test]
fn every_cut_of_a_served_envelope_is_refused() {
    let (served, trust) = served();
    for length in 0..served.len() {
        assert_eq!(refusal(served[..length].to_vec(), &trust).map(|refusal| refusal.kind()), Some("format"));
    }
}

/// A kind of document: its name in messages, its reader, and one that is valid.
struct Document {
    name: &'static str,
    limit: usize,
    read: fn(&[u8]) -> Result<(), String>,
    valid: Value,
}

impl Document {
    fn refused(&self, bytes: &[u8]) -> String {
        match (self.read)(bytes) {
            Ok(()) => panic!("{}: accepted: {}", self.name, String::from_utf8_lossy(bytes)),
            Err(message) => message,
        }
    }

    /// The valid document with `member` (`"name": value`) put at its end.
    fn with(&self, member: &str) -> Vec<u8> {
        let text = self.valid.to_string();
        format!("{},{member}}}", text.strip_suffix('}').unwrap()).into_bytes()
    }
}

fn documents() -> [Document; 4] {
    fn text<T, E: ToString>(result: Result<T, E>) -> Result<(), String> {
        result.map(drop).map_err(|error| error.to_string())
    }
    let state = json!({"schema": "phase.state/1", "channel": "demo", "epoch": 1, "version": 7, "issued": "2026-11-20T12:00:00Z"});
    let documents = [
        Document { name: "manifest", limit: 65536, read: |bytes| text(Manifest::parse(bytes)), valid: manifest() },
        Document { name: "trust", limit: 65536, read: |bytes| text(Trust::parse(bytes)), valid: trust() },
        Document {
            name: "envelope",
            limit: 131_072,
            read: |bytes| text(Envelope::parse(bytes)),
            valid: serde_json::from_slice(&served().0).unwrap(),
        },
        Document { name: "state", limit: 512, read: |bytes| text(State::parse(bytes)), valid: state },
    ];
    for document in &documents {
        assert_eq!((document.read)(document.valid.to_string().as_bytes()), Ok(()), "{}", document.name);
        assert_eq!((document.read)(&document.with("\"x-note\": 1")), Ok(()), "{}", document.name);
    }
    documents
}

#[test]
fn a_member_that_no_document_may_have_is_refused_by_what_is_wrong_with_it() {
    let deep = format!("\"x-n\": {}{}", "[".repeat(8), "]".repeat(8));
    let bottomless = format!("\"x-n\": {}", "[".repeat(200));
    for document in documents() {
        for (member, says) in [
            ("\"x-a\": 1, \"x-a\": 1", "duplicate field \"x-a\""),
            ("\"x-a\": {\"b\": 1, \"b\": 2}", "duplicate field \"b\""),
            ("\"x-a\": 1, \"x-\\u0061\": 1", "duplicate field \"x-a\""),
            ("\"x-n\": 9007199254740992", "integer 9007199254740992, wanted at most 9007199254740991"),
            ("\"x-n\": 9223372036854775808", "integer 9223372036854775808, wanted at most 9007199254740991"),
            ("\"x-n\": 18446744073709551615", "integer 18446744073709551615, wanted at most"),
            ("\"x-n\": 18446744073709551616", "invalid type: floating point"),
            ("\"x-n\": 1e400", "number out of range"),
            ("\"x-n\": 1.5", "invalid type: floating point `1.5`"),
            ("\"x-n\": 1e3", "invalid type: floating point `1000.0`"),
            ("\"x-n\": -1", "invalid type: integer `-1`"),
            ("\"x-n\": -0", "invalid type: floating point `-0.0`"),
            ("\"x-n\": 007", "invalid number"),
            ("\"x-n\": null", "invalid type: null"),
            ("\"x-n\": NaN", "expected value"),
            (&deep, "nested deeper than 8"),
            (&bottomless, "nested deeper than 8"),
            ("\"x-n\": \"\\u0000\"", "NUL in \"\\u{0}\""),
            ("\"x-\\u0000\": 1", "NUL in \"x-\\u{0}\""),
            ("\"x-n\": \"a\0b\"", "control character (\\u0000-\\u001F) found while parsing a string"),
            ("\"x-n\": \"\\ud800\"", "unexpected end of hex escape"),
            ("\"x-n\": \"\\udc00\"", "lone leading surrogate in hex escape"),
            ("\"x-n\": \"\\x41\"", "invalid escape"),
            ("\"x-n\": 'a'", "expected value"),
            ("\"x-n\": 1,", "trailing comma"),
        ] {
            let message = document.refused(&document.with(member));
            let begins = format!("{} is not strict JSON: {says}", document.name);
            assert!(message.starts_with(&begins), "{}: {member}: {message}", document.name);
            assert!(!message.contains(char::is_control), "{message:?}");
        }
        let unknown = document.refused(&document.with("\"note\": 1"));
        let wanted = "is not a field of this version, and its name does not start with x-";
        assert_eq!(unknown, format!("{}.\"note\" {wanted}", document.name));
    }
}

#[test]
fn no_field_may_stand_twice_or_be_absent() {
    for document in documents() {
        for name in document.valid.as_object().unwrap().keys() {
            let message = document.refused(&document.with(&format!("\"{name}\": 0")));
            let says = format!("{} is not strict JSON: duplicate field \"{name}\"", document.name);
            assert!(message.starts_with(&says), "{message}");

            let mut without = document.valid.clone();
            without.as_object_mut().unwrap().remove(name);
            let message = document.refused(without.to_string().as_bytes());
            // `kernel`, `initramfs` and `rootfs` may be absent, but not under hand-offs that need them.
            let says =
                [format!("{}.{name} is missing", document.name), format!("{}.{name} is absent, wanted", document.name)];
            assert!(says.iter().any(|says| message.starts_with(says)), "{name}: {message}");
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    for document in documents() {
        let valid = document.valid.to_string().into_bytes();
        let not_json = format!("{} is not strict JSON: ", document.name);
        // No UTF-8 has this byte.
        let with_ff = |member: &str| document.with(member).iter().map(|b| if *b == b'?' { 0xff } else { *b }).collect();
        for (bytes, says) in [
            (Vec::new(), "EOF while parsing a value"),
            (b"\xff".to_vec(), "expected value"),
            ([b"\xef\xbb\xbf", valid.as_slice()].concat(), "expected value"),
            ([valid.as_slice(), b"\0"].concat(), "trailing characters"),
            ([valid.as_slice(), b"{}"].concat(), "trailing characters"),
            (with_ff("\"x-n\": \"?\""), "invalid unicode code point"),
            (with_ff("\"x-?\": 1"), "invalid unicode code point"),
        ] {
            let message = document.refused(&bytes);
            assert!(message.starts_with(&format!("{not_json}{says}")), "{}: {message}", document.name);
        }
        for (bytes, says) in [(&b"[]"[..], "an array"), (b"\"text\"", "\"text\""), (b"7", "7"), (b"true", "true")] {
            assert_eq!(document.refused(bytes), format!("{} is {says}, wanted an object", document.name));
        }
        let large = vec![b' '; document.limit + 1];
        let says = format!("{} has {} bytes, wanted at most {}", document.name, large.len(), document.limit);
        assert_eq!(document.refused(&large), says);
    }
}

#[test]
fn too_many_members_are_refused() {
    for document in documents().into_iter().filter(|document| document.limit > 512) {
        let members: Vec<String> = (0..1025).map(|n| format!("\"{n}\":1")).collect();
        for member in
            [format!("\"x-n\": {{{}}}", members.join(",")), format!("\"x-n\": [{}]", vec!["1"; 1025].join(","))]
        {
            let message = document.refused(&document.with(&member));
            assert!(
                message.starts_with(&format!("{} is not strict JSON: more than 1024 members", document.name)),
                "{message}"
            );
        }
    }
}

/// The message about `document` with `value` at `place`, without the place itself.
fn refused_at(document: &Document, place: &str, value: &Value) -> String {
    let mut changed = document.valid.clone();
    *changed.pointer_mut(place).unwrap_or_else(|| panic!("{} has no {place}", document.name)) = value.clone();
    let message = document.refused(changed.to_string().as_bytes());
    let path = place.split('/').skip(1).fold(document.name.to_owned(), |path, part| match part.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) => format!("{path}.{part}"),
    });
    let begins = format!("{path} is ");
    message.strip_prefix(&begins).unwrap_or_else(|| panic!("{message:?} does not begin with {begins:?}")).to_owned()
}

#[test]
fn path_tricks_in_names_are_refused() {
    let [manifest, trust, envelope, state] = documents();
    let wanted = "1 to 64 of A-Z, a-z, 0-9, '.', '_' and '-', not starting with '.'";
    for name in
        ["", ".", "..", "../x", "a/..", "/etc/passwd", "a/", "a/b", "a\\b", ".x", "a b", "é", "a\n", &"a".repeat(65)]
    {
        for file in ["kernel", "initramfs", "rootfs"] {
            let message = refused_at(&manifest, &format!("/{file}/name"), &json!(name));
            assert_eq!(message, format!("{}, wanted {wanted}", verify::names::quoted(name)));
        }
    }
    let wanted = "an absolute path without '..', at most 255 bytes of printable ASCII without space";
    for path in [
        "",
        "/",
        "sbin/init",
        "../init",
        "/sbin/../../init",
        "/..",
        "/sbin/init/",
        "/sbin/in it",
        "/\u{1b}[2J",
        &format!("/{}", "a".repeat(255)),
    ] {
        let message = refused_at(&manifest, "/init", &json!(path));
        assert_eq!(message, format!("{}, wanted {wanted}", verify::names::quoted(path)));
    }
    let wanted = "1 to 32 of a-z, 0-9, '.' and '-', not '.' or '..'";
    for channel in ["", ".", "..", "../x", "/x", "x/", "a/b", "A", "a b", &"a".repeat(33)] {
        for document in [&manifest, &trust, &state] {
            let message = refused_at(document, "/channel", &json!(channel));
            assert_eq!(message, format!("{}, wanted {wanted}", verify::names::quoted(channel)));
        }
    }
    for digest in ["", "../x", &"A".repeat(64), &"a".repeat(63), &"a".repeat(65)] {
        let message = format!("{}, wanted 64 lower-case hex digits", verify::names::quoted(digest));
        for (document, place) in [
            (&manifest, "/rootfs/sha256"),
            (&manifest, "/rootfs/chunks/list_sha256"),
            (&trust, "/roles/release/keys/0/public"),
            (&envelope, "/signatures/0/keyid"),
        ] {
            assert_eq!(refused_at(document, place, &json!(digest)), message);
        }
    }
}

#[test]
fn sizes_of_zero_and_beyond_are_refused() {
    const GIB: u64 = 1 << 30;
    let [manifest, trust, _, state] = documents();
    for (file, largest) in [("kernel", 2 * GIB - 1), ("initramfs", 2 * GIB - 1), ("rootfs", 4 * GIB - 1)] {
        for size in [0, largest + 1, (1 << 53) - 1] {
            let message = refused_at(&manifest, &format!("/{file}/size"), &json!(size));
            assert_eq!(message, format!("{size}, wanted an integer from 1 to {largest}"));
        }
    }
    let most = (1_u64 << 53) - 1;
    for (document, place, least, most) in [
        (&manifest, "/kernel/init_size", 1, most),
        (&manifest, "/initramfs/unpacked_size", 1, most),
        (&trust, "/epoch", 1, most),
        (&trust, "/roles/release/threshold", 1, 16),
        (&trust, "/policy/max_validity_days", 1, 3660),
        (&state, "/epoch", 1, most),
    ] {
        assert_eq!(refused_at(document, place, &json!(0)), format!("0, wanted an integer from {least} to {most}"));
    }
    // 2^63 is no integer of ours anywhere: the gate refuses it before a field is looked at.
    for (document, place) in [
        (&manifest, "/kernel/size"),
        (&manifest, "/rootfs/size"),
        (&manifest, "/rootfs/chunk_size"),
        (&manifest, "/version"),
        (&trust, "/minimum_version"),
        (&state, "/version"),
    ] {
        let mut changed = document.valid.clone();
        *changed.pointer_mut(place).unwrap() = json!(1_u64 << 63);
        let message = document.refused(changed.to_string().as_bytes());
        let says = "is not strict JSON: integer 9223372036854775808, wanted at most 9007199254740991";
        assert!(message.starts_with(&format!("{} {says}", document.name)), "{place}: {message}");
    }
}

#[test]
fn payloads_and_signatures_of_an_envelope_have_one_form() {
    let [_, _, envelope, _] = documents();
    let payload = envelope.valid["payload"].as_str().unwrap().to_owned();
    let wanted = "standard base64 with padding";
    for other in ["=", "A", "AB", "AB=", "AB==", "AA==\n", "AA==AA==", "_A==", "A\u{301}=="] {
        let message = refused_at(&envelope, "/payload", &json!(other));
        assert_eq!(message, format!("{}, wanted {wanted}", verify::names::quoted(other)));
    }
    let message = refused_at(&envelope, "/payload", &json!(format!("{payload} ")));
    assert!(message.ends_with(wanted), "{message}");
    for length in [0, 63, 65, 64 * 1024] {
        let message = refused_at(&envelope, "/signatures/0/sig", &json!(BASE64.encode(&vec![0; length])));
        assert_eq!(message, format!("{length} bytes, wanted 64 bytes"));
    }
    let signature = envelope.valid["signatures"][0].clone();
    for count in [0, 33] {
        let message = refused_at(&envelope, "/signatures", &json!(vec![signature.clone(); count]));
        assert_eq!(message, format!("an array of {count}, wanted an array of 1 to 32"));
    }
}
