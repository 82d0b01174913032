use proptest::prelude::*;

use super::*;
use crate::json::FormatError;
use crate::refusal::TooFewSigners;
use crate::testing::{MANIFEST, NOW, altered, bytes, id, manifest_digest, signed, trust, trust_of};
use crate::time::Timestamp;

const TOO_LATE: Now = Now { time: Timestamp::from_unix(1_900_000_000), trusted: false };

/// The rules of a PC that remembers nothing.
fn rules(trust: &Trust) -> Rules<'_> {
    Rules { trust, arch: Arch::X86_64, now: NOW, floors: Floors::default() }
}

/// Checks `payload`, signed by key 1.
fn checked(payload: &str, trust: &Trust, now: Now, floor: u64) -> Result<Verified<Manifest>, Refusal> {
    let floors = Floors { version: floor, ..Floors::default() };
    manifest(&bytes(&signed(payload, &[1])).into(), &Rules { now, floors, ..rules(trust) })
}

/// The kind and the message of the refusal of `payload` under the ordinary rules.
fn refused(payload: &str) -> (&'static str, String) {
    kind_and_message(checked(payload, &trust(), NOW, 0))
}

fn kind_and_message(result: Result<Verified<Manifest>, Refusal>) -> (&'static str, String) {
    let refusal = result.map(|release| release.version).expect_err("accepted");
    assert!(!refusal.advice().is_empty());
    (refusal.kind(), refusal.to_string())
}

#[test]
fn a_good_release_says_who_signed_what() {
    let release = checked(MANIFEST, &trust(), NOW, 7).unwrap();
    assert_eq!(release.version, 7);
    assert_eq!(release.digest(), manifest_digest());
    assert_eq!(release.key_ids(), [id(1)]);
    assert_eq!(release.warnings(), []);
}

#[test]
fn a_changed_payload_or_signature_is_refused_as_signature() {
    let mut envelope = signed(MANIFEST, &[1]);
    envelope.payload[100] ^= 1;
    let changed = manifest(&bytes(&envelope).into(), &rules(&trust()));
    let wanted = format!("the signature of key {} does not match the signed bytes: 0 good signatures, wanted 1", id(1));
    assert_eq!(kind_and_message(changed), ("signature", wanted));
}

#[test]
fn the_payload_type_is_signed_and_checked() {
    let mut envelope = Envelope::new("application/vnd.phase.boot.trust.v1+json", MANIFEST.into());
    envelope.add_signature(id(1), [0; 64]);
    let (kind, message) = kind_and_message(manifest(&bytes(&envelope).into(), &rules(&trust())));
    assert_eq!(kind, "payload-type");
    assert!(message.starts_with("the payload type is \"application/vnd.phase.boot.trust.v1+json\", wanted"));

    // A signature over the same bytes under another type is not one of a manifest.
    let sig = ed25519_dalek::Signer::sign(&crate::testing::key(1), &envelope.pae()).to_bytes();
    let mut envelope = Envelope::new(MANIFEST_TYPE, MANIFEST.into());
    envelope.add_signature(id(1), sig);
    assert_eq!(kind_and_message(manifest(&bytes(&envelope).into(), &rules(&trust()))).0, "signature");
}

#[test]
fn a_stranger_is_refused_by_name() {
    let result = manifest(&bytes(&signed(MANIFEST, &[2])).into(), &rules(&trust()));
    let wanted = format!("signed by key {}, wanted 1 of {}", id(2), id(1));
    assert_eq!(kind_and_message(result), ("unknown-key", wanted));
}

#[test]
fn a_root_key_does_not_sign_releases() {
    let result = manifest(&bytes(&signed(MANIFEST, &[9])).into(), &rules(&trust()));
    assert_eq!(kind_and_message(result).0, "unknown-key");
}

#[test]
fn the_threshold_counts_keys_not_signatures() {
    let trust = trust_of(2, &[1, 2, 3]);
    let check = |envelope: &Envelope| manifest(&bytes(envelope).into(), &rules(&trust));
    let mut envelope = signed(MANIFEST, &[1]);
    let again = envelope.signatures[0].clone();
    envelope.signatures.push(again);
    let wanted = "signed by 1 trusted keys, wanted 2".to_owned();
    assert_eq!(kind_and_message(check(&envelope)), ("threshold", wanted.clone()));
    assert_eq!(kind_and_message(check(&signed(MANIFEST, &[1, 4]))), ("threshold", wanted));
    assert_eq!(check(&signed(MANIFEST, &[3, 1])).unwrap().key_ids(), [id(3), id(1)]);
}

#[test]
fn signatures_that_do_not_count_are_warned_about() {
    let mut envelope = signed(MANIFEST, &[1, 2, 4]);
    envelope.signatures[1].sig[3] ^= 8;
    let release = manifest(&bytes(&envelope).into(), &rules(&trust_of(1, &[1, 2]))).unwrap();
    assert_eq!(release.warnings(), [Warning::UnknownKey(id(4)), Warning::BadSignature(id(2))]);
    assert_eq!(release.key_ids(), [id(1)]);
}

#[test]
fn nothing_in_the_payload_is_looked_at_before_the_signatures() {
    let result = manifest(&bytes(&signed("not JSON", &[2])).into(), &rules(&trust()));
    assert_eq!(kind_and_message(result).0, "unknown-key");
    assert_eq!(refused("not JSON").0, "format");
}

#[test]
fn envelopes_that_are_none_are_refused_as_format_or_size() {
    let check = |bytes: &[u8]| kind_and_message(manifest(&bytes.to_vec().into(), &rules(&trust())));
    assert_eq!(check(b"<html>404</html>").0, "format");
    let (kind, message) = check(&vec![b' '; LIMITS.envelope_bytes + 1]);
    assert_eq!((kind, message.as_str()), ("too-large", "envelope has 131073 bytes, wanted at most 131072"));
}

#[test]
fn releases_for_others_are_refused() {
    for (from, to, kind, message) in [
        ("\"demo\"", "\"beta\"", "channel", "the release is of channel beta, wanted demo"),
        ("x86_64", "aarch64", "arch", "the release is for aarch64, wanted x86_64"),
        (
            "\"min_epoch\": 1",
            "\"min_epoch\": 2",
            "epoch",
            "the release wants trust epoch 2 or newer, this machine has 1",
        ),
    ] {
        assert_eq!(refused(&altered(from, to)), (kind, message.to_owned()));
    }
}

#[test]
fn old_versions_are_refused_by_either_floor() {
    let old = altered("\"version\": 7", "\"version\": 2");
    assert_eq!(refused(&old), ("rollback", "the release has version 2, wanted at least 3".to_owned()));
    let (kind, message) = kind_and_message(checked(MANIFEST, &trust(), NOW, 8));
    assert_eq!((kind, message.as_str()), ("rollback", "the release has version 7, wanted at least 8"));
}

#[test]
fn an_expired_release_is_refused_or_warned_about_by_policy() {
    let mut trust = trust();
    let (kind, message) = kind_and_message(checked(MANIFEST, &trust, TOO_LATE, 0));
    assert_eq!(kind, "expired");
    assert_eq!(message, "the release expired at 2027-11-20T12:00:00Z, and it is at least 2030-03-17T17:46:40Z");
    trust.policy.expiry = Reaction::Warn;
    let release = checked(MANIFEST, &trust, TOO_LATE, 0).unwrap();
    let expired = Warning::Expired { expires: release.expires, now: TOO_LATE.time };
    assert_eq!(release.warnings(), [expired]);
}

#[test]
fn a_release_expires_at_the_second_that_it_names() {
    let expires = Manifest::parse(MANIFEST.as_bytes()).unwrap().expires;
    let at = |seconds| Now { time: Timestamp::from_unix(seconds), trusted: true };
    assert!(checked(MANIFEST, &trust(), at(expires.unix() - 1), 0).is_ok());
    assert_eq!(kind_and_message(checked(MANIFEST, &trust(), at(expires.unix()), 0)).0, "expired");
}

#[test]
fn the_future_counts_only_if_the_clock_is_trusted() {
    let issued = Manifest::parse(MANIFEST.as_bytes()).unwrap().issued.unix();
    let at = |early, trusted| Now { time: Timestamp::from_unix(issued - early), trusted };
    assert!(checked(MANIFEST, &trust(), at(LIMITS.future_seconds, true), 0).is_ok());
    let (kind, message) = kind_and_message(checked(MANIFEST, &trust(), at(LIMITS.future_seconds + 1, true), 0));
    assert_eq!(kind, "future");
    assert_eq!(message, "the release was issued at 2026-11-20T12:00:00Z, but it is 2026-11-19T11:59:59Z");
    assert!(checked(MANIFEST, &trust(), at(1_000_000_000, false), 0).is_ok());
}

/// `issued` becomes a machine's time once it is acknowledged; this is how far it may ever be moved.
#[test]
fn no_release_is_from_more_than_15_years_after_the_trust_file() {
    let trust = trust();
    let latest = Timestamp::from_unix(trust.built.unix() + LIMITS.clock_seconds);
    let release = |issued: Timestamp| {
        let text = altered("2026-11-20T12:00:00Z", &issued.to_string());
        text.replace("2027-11-20T12:00:00Z", &issued.plus_days(30).to_string())
    };
    let no_clock = Now { time: trust.built, trusted: false };
    assert!(checked(&release(latest), &trust, no_clock, 0).is_ok());
    let (kind, message) = kind_and_message(checked(&release(latest.plus_days(1)), &trust, no_clock, 0));
    assert_eq!(kind, "future");
    let wanted = "the release was issued at 2041-11-17T12:00:00Z, wanted at most 15 years after 2026-11-20T12:00:00Z, \
                  when the trust file was made";
    assert_eq!(message, wanted);
    // Not even a clock that says the same makes it right.
    let agrees = Now { time: latest.plus_days(1), trusted: true };
    assert_eq!(kind_and_message(checked(&release(latest.plus_days(1)), &trust, agrees, 0)).0, "future");
}

#[test]
fn nothing_is_accepted_under_a_trust_file_that_the_machine_left_behind() {
    let floors = Floors { epoch: 2, ..Floors::default() };
    let result = manifest(&bytes(&signed(MANIFEST, &[1])).into(), &Rules { floors, ..rules(&trust()) });
    let wanted = "the trust file in force has epoch 1, but this machine acknowledged a release under epoch 2: the trust \
                  files after it are withheld";
    assert_eq!(kind_and_message(result), ("withheld", wanted.to_owned()));
    let floors = Floors { epoch: 1, ..Floors::default() };
    assert!(manifest(&bytes(&signed(MANIFEST, &[1])).into(), &Rules { floors, ..rules(&trust()) }).is_ok());
}

#[test]
fn validity_is_bounded_by_policy() {
    let mut trust = trust();
    trust.policy.max_validity_days = 365;
    assert!(checked(MANIFEST, &trust, NOW, 0).is_ok());
    trust.policy.max_validity_days = 364;
    let (kind, message) = kind_and_message(checked(MANIFEST, &trust, NOW, 0));
    assert_eq!(kind, "validity");
    let wanted = "the release is valid from 2026-11-20T12:00:00Z to 2027-11-20T12:00:00Z, wanted at most 364 days";
    assert_eq!(message, wanted);
}

fn candidate(version: u64, keys: &[u8]) -> Candidate {
    bytes(&signed(&altered("\"version\": 7", &format!("\"version\": {version}")), keys)).into()
}

#[test]
fn the_highest_verified_version_wins() {
    let found = [
        ("old", candidate(7, &[1])),
        ("forged", candidate(99, &[2])),
        ("new", candidate(9, &[1])),
        ("mirror", candidate(9, &[1])),
        ("junk", b"junk".to_vec().into()),
    ];
    let newest = newest(found, &rules(&trust())).unwrap();
    assert_eq!((newest.source, newest.release.version), ("new", 9));
    let others: Vec<_> = newest.others.iter().map(|(source, other)| (*source, other.version)).collect();
    assert_eq!(others, [("mirror", 9), ("old", 7)]);
    let refused: Vec<_> = newest.refused.iter().map(|(source, refusal)| (*source, refusal.kind())).collect();
    assert_eq!(refused, [("forged", "unknown-key"), ("junk", "format")]);
    assert_eq!(newest.conflicts().count(), 0);
}

#[test]
fn one_version_signed_twice_is_reported_and_the_first_source_preferred() {
    let twin = bytes(&signed(&altered("quiet", "debug"), &[1])).into();
    let found = [("first", candidate(7, &[1])), ("twin", twin), ("older", candidate(6, &[1]))];
    let newest = newest(found, &rules(&trust())).unwrap();
    assert_eq!(newest.source, "first");
    assert_eq!(newest.conflicts().map(|(source, _)| *source).collect::<Vec<_>>(), ["twin"]);
}

#[test]
fn without_a_release_every_candidate_says_why() {
    let found = [("a", candidate(2, &[1])), ("b", candidate(9, &[3]))];
    let none = newest(found, &rules(&trust())).unwrap_err();
    assert_eq!(none.to_string(), "none of 2 releases found is acceptable");
    let kinds: Vec<_> = none.refused.iter().map(|(source, refusal)| (*source, refusal.kind())).collect();
    assert_eq!(kinds, [("a", "rollback"), ("b", "unknown-key")]);
    assert!(newest(Vec::<((), _)>::new(), &rules(&trust())).unwrap_err().refused.is_empty());
}

#[test]
fn only_so_many_candidates_are_looked_at() {
    let found = (0..=LIMITS.candidates)
        .map(|n| (n, if n < LIMITS.candidates { Vec::new().into() } else { candidate(9, &[1]) }));
    let none = newest(found, &rules(&trust())).unwrap_err();
    let (source, refusal) = none.refused.last().unwrap();
    assert_eq!((*source, refusal), (64, &Refusal::TooMany { limit: 64 }));
}

#[test]
fn every_flipped_bit_of_the_signature_is_refused() {
    for bit in 0..512 {
        let mut envelope = signed(MANIFEST, &[1]);
        envelope.signatures[0].sig[bit / 8] ^= 1 << (bit % 8);
        let result = manifest(&bytes(&envelope).into(), &rules(&trust()));
        assert_eq!(kind_and_message(result).0, "signature", "bit {bit}");
    }
}

proptest! {
    #[test]
    fn a_flipped_bit_of_the_payload_is_refused(at in 0..MANIFEST.len(), bit in 0..8) {
        let mut envelope = signed(MANIFEST, &[1]);
        envelope.payload[at] ^= 1_u8 << bit;
        let result = manifest(&bytes(&envelope).into(), &rules(&trust()));
        let is_signature = matches!(result, Err(Refusal::Signers(TooFewSigners::Signature { .. })));
        prop_assert!(is_signature);
    }

    #[test]
    fn a_flipped_bit_anywhere_in_the_served_bytes_is_refused(at: prop::sample::Index, bit in 0..8) {
        let mut served = bytes(&signed(MANIFEST, &[1]));
        let at = at.index(served.len());
        served[at] ^= 1_u8 << bit;
        prop_assert!(manifest(&served.into(), &rules(&trust())).is_err());
    }

    #[test]
    fn cut_bytes_are_refused(length: prop::sample::Index) {
        let served = bytes(&signed(MANIFEST, &[1]));
        let cut = served[..length.index(served.len())].to_vec();
        let is_format = matches!(
            manifest(&cut.into(), &rules(&trust())),
            Err(Refusal::Format(FormatError::Syntax { .. }))
        );
        prop_assert!(is_format);
    }
}
