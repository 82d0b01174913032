use data_encoding::HEXLOWER;
use ed25519_dalek::Signer;

use super::*;
use crate::testing::{id, key, public, replaced, signed, trust, trust_of, trust_text};

fn refused(from: &str, to: &str) -> String {
    Trust::parse(replaced(&trust_text(), from, to).as_bytes()).unwrap_err().to_string()
}

#[test]
fn the_documented_file_is_read_and_written_byte_for_byte() {
    let trust = trust();
    assert_eq!(trust.to_json().unwrap(), trust_text());
    assert_eq!((trust.epoch, trust.minimum_version, trust.policy.max_validity_days), (1, 3, 400));
    assert_eq!(trust.roles.release.keys()[0].name(), "release 2026");
    assert_eq!(trust.roles.release.keys()[0].id(), id(1));
}

#[test]
fn validity_is_400_days_if_the_file_does_not_say() {
    let text = replaced(&trust_text(), ",\n    \"max_validity_days\": 400", "");
    assert_eq!(Trust::parse(text.as_bytes()).unwrap(), trust());
}

#[test]
fn what_newer_files_say_is_left_out_of_those_that_do_not() {
    assert_eq!((trust().floor_epoch, trust().policy.state), (0, Reaction::Warn));
    let text = replaced(&trust_text(), "\"epoch\": 1", "\"epoch\": 2");
    let text = replaced(&text, "\"minimum_version\": 3,", "\"minimum_version\": 3,\n  \"floor_epoch\": 2,");
    let text = replaced(&text, ": 400", ": 400,\n    \"state\": \"refuse\"");
    let trust = Trust::parse(text.as_bytes()).unwrap();
    assert_eq!((trust.floor_epoch, trust.policy.state), (2, Reaction::Refuse));
    assert_eq!(trust.to_json().unwrap(), text);
}

#[test]
fn what_is_not_documented_is_refused() {
    for (from, to, wanted) in [
        ("\"epoch\": 1", "\"epoch\": 0", "trust.epoch is 0, wanted an integer from 1 to 9007199254740991"),
        ("\"epoch\": 1", "\"epoch\": 1, \"floor_epoch\": 2", "trust.floor_epoch is 2, wanted an integer from 0 to 1"),
        ("400", "400, \"state\": \"ask\"", r#"trust.policy.state is "ask", wanted refuse or warn"#),
        ("phase.trust/1", "phase.trust/2", r#"trust.schema is "phase.trust/2", wanted "phase.trust/1""#),
        ("\"epoch\": 1", "\"epoch\": -1", "trust is not strict JSON: invalid type: integer `-1`"),
        ("\"refuse\"", "\"ignore\"", r#"trust.policy.expiry is "ignore", wanted refuse or warn"#),
        ("400", "0", "trust.policy.max_validity_days is 0, wanted an integer from 1 to 3660"),
        ("400", "3661", "trust.policy.max_validity_days is 3661, wanted an integer from 1 to 3660"),
        ("true", "1", "trust.policy.rescue_prompt is 1, wanted true or false"),
        ("\"root\":", "\"roots\":", "trust.roles.root is missing"),
        ("\"roles\": {", "\"roles\": {\"admin\": 1,", r#"trust.roles."admin" is not a field"#),
        ("\"policy\": {", "\"policy\": {\"any\": 1,", r#"trust.policy."any" is not a field"#),
        ("\"epoch\"", "\"more\": 1, \"epoch\"", r#"trust."more" is not a field"#),
        ("\"threshold\": 1", "\"threshold\": 0", "trust.roles.root.threshold is 0, wanted an integer from 1 to 16"),
        ("\"threshold\": 1", "\"threshold\": 2", "trust.roles.root is a threshold of 2 for 1 keys, wanted at least 1"),
        ("\"offline root\"", "\"\"", "trust.roles.root.keys[0].name is \"\", wanted 1 to 64 printable"),
        (
            "\"keys\": [",
            "\"keys\": [], \"x-keys\": [",
            "trust.roles.root.keys is an array of 0, wanted an array of 1 to 16",
        ),
    ] {
        let message = refused(from, to);
        assert!(message.starts_with(wanted), "{to:?} gave {message}");
    }
}

#[test]
fn a_key_stands_in_a_role_once() {
    let twice = Role::new(1, vec![public(1), public(2), public(1)]).unwrap_err();
    assert_eq!(twice.to_string(), format!("the key {} twice, wanted distinct keys", id(1)));
    let many = Role::new(1, (1..=17).map(public).collect()).unwrap_err();
    assert_eq!(many.to_string(), "a role of 17 keys, wanted 1 to 16 keys");
    assert!(Role::new(0, vec![public(1)]).is_err());
    assert!(Role::new(16, (1..=16).map(public).collect()).is_ok());
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
}

#[test]
fn signatures_of_rfc_8032_verify() {
    // RFC 8032, section 7.1, tests 1 and 2.
    for (public, message, sig) in [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &b""[..],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &b"\x72"[..],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ] {
        let key = PublicKey::new(&hex(public), "rfc").unwrap();
        assert!(key.verifies(message, &hex(sig)));
        assert!(!key.verifies(b"other", &hex(sig)));
    }
}

#[test]
fn the_second_form_of_a_signature_is_refused() {
    // S + L verifies where S is not compared with the group order (RFC 8032, section 5.1.7, step 1).
    const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let mut sig = key(1).sign(b"message").to_bytes();
    assert!(public(1).verifies(b"message", &sig));
    let mut carry = 0;
    for (byte, order) in sig[32..].iter_mut().zip(hex::<32>(ORDER)) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    assert_eq!(carry, 0);
    assert!(!public(1).verifies(b"message", &sig));
}

#[test]
fn a_signature_with_a_point_of_small_order_is_refused() {
    // Made by key 1 over "message" with R the neutral element and S = H(R, A, M) * a: the equation of RFC 8032 holds,
    // so only a strict verification refuses it.
    let sig = hex(
        "010000000000000000000000000000000000000000000000000000000000000095c0fdcc54fccad1f2b8bc9b96aa6837c82f86349e6576ad29ca3ece7b7ea905",
    );
    let lenient = ed25519_dalek::Verifier::verify(
        &key(1).verifying_key(),
        b"message",
        &ed25519_dalek::Signature::from_bytes(&sig),
    );
    assert!(lenient.is_ok(), "tests nothing");
    assert!(!public(1).verifies(b"message", &sig));
}

#[test]
fn keys_of_small_order_are_refused() {
    for point in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    ] {
        assert!(VerifyingKey::from_bytes(&hex(point)).unwrap().is_weak(), "{point} tests nothing");
        let message = PublicKey::new(&hex(point), "weak").unwrap_err().to_string();
        assert_eq!(
            message,
            format!("{point}, wanted the canonical form of an Ed25519 public key that is not of small order")
        );
    }
}

#[test]
fn a_second_encoding_of_a_key_is_refused() {
    // y and y + p are the same coordinate; p + y fits into 255 bits for y below 19.
    let mut tested = 0;
    for y in 0..19_u8 {
        let mut encoding = hex::<32>("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        encoding[0] += y;
        if VerifyingKey::from_bytes(&encoding).is_ok_and(|key| !key.is_weak()) {
            assert!(PublicKey::new(&encoding, "second form").is_err(), "y = {y}");
            tested += 1;
        }
    }
    assert!(tested > 0, "no such encoding is decoded, so nothing was tested");
}

#[test]
fn what_is_no_point_is_refused() {
    let message = refused(&HEXLOWER.encode(key(9).verifying_key().as_bytes()), &"02".repeat(32));
    assert!(message.starts_with("trust.roles.root.keys[0].public is 0202"), "{message}");
    let message = refused(&HEXLOWER.encode(key(9).verifying_key().as_bytes()), "ab");
    assert_eq!(message, r#"trust.roles.root.keys[0].public is "ab", wanted 64 lower-case hex digits"#);
}

#[test]
fn each_signer_is_counted_once_and_in_one_list() {
    let role = trust_of(2, &[1, 2, 3]).roles.release;
    let mut envelope = signed("payload", &[1, 2, 4]);
    let again = envelope.signatures.clone();
    envelope.signatures.extend(again);
    let mut wrong = envelope.signatures[1].clone();
    wrong.sig[0] ^= 1;
    envelope.signatures.insert(0, wrong.clone()); // key 2: one bad before a good one
    wrong.keyid = id(3);
    envelope.signatures.push(wrong); // key 3: only a bad one
    let signers = role.signers(&envelope);
    assert_eq!(signers, Signers { valid: vec![id(1), id(2)], bad: vec![id(3)], unknown: vec![id(4)] });
}
