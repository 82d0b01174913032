//! The worked example of docs/formats.md, computed again from the page itself: every value in its table and every
//! document follows from the private key and the artifact, by this crate and by the plain primitives.

#![allow(clippy::unwrap_used, clippy::expect_used)] // the helpers are tests as well

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};
use verify::{Arch, Envelope, Floors, KeyId, Manifest, Now, Rules, State, StateError, Trust, dsse, verified};

const PAGE: &str = include_str!("../../docs/formats.md");

/// The example alone.
fn example() -> &'static str {
    PAGE.split_once("## A worked example").unwrap().1
}

/// The value of a table row.
fn row(what: &str) -> &'static str {
    let line = example().lines().find(|line| line.starts_with(&format!("| {what}"))).expect(what);
    line.rsplit('`').nth(1).unwrap()
}

/// The one line of the fenced block with this name.
fn block(name: &str) -> &'static str {
    let (_, after) = example().split_once(&format!("```json {name}\n")).expect(name);
    after.split_once("\n```").unwrap().0
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn private_key() -> SigningKey {
    SigningKey::from_bytes(&HEXLOWER.decode(row("private key").as_bytes()).unwrap().try_into().unwrap())
}

/// The moment that the manifest was issued.
fn rules(trust: &Trust) -> Rules<'_> {
    Rules { trust, arch: Arch::X86_64, now: Now { time: trust.built, trusted: true }, floors: Floors::default() }
}

#[test]
fn keys_and_digests_follow_from_the_seed_and_the_artifact() {
    let public = private_key().verifying_key().to_bytes();
    assert_eq!(HEXLOWER.encode(&public), row("public key"));
    assert_eq!(sha256(&public), row("key id"));
    assert_eq!(KeyId::of(&public).to_string(), row("key id"));

    let artifact = vec![0; 100_000];
    assert_eq!(sha256(&artifact), row("SHA-256 of the artifact"));
    let pieces: Vec<_> = artifact.chunks(65536).map(Sha256::digest).collect();
    assert_eq!(HEXLOWER.encode(&pieces[0]), row("SHA-256 of piece 0"));
    assert_eq!(HEXLOWER.encode(&pieces[1]), row("SHA-256 of piece 1"));
    assert_eq!(sha256(&pieces.concat()), row("SHA-256 of the 64 bytes"));
}

#[test]
fn what_is_signed_is_the_pre_authentication_encoding() {
    let manifest = block("manifest").as_bytes();
    assert_eq!(sha256(manifest), row("SHA-256 of the manifest"));
    assert_eq!(manifest.len().to_string(), row("bytes of the manifest"));

    let kind = dsse::MANIFEST_TYPE;
    let mut by_hand = format!("DSSEv1 {} {kind} {} ", kind.len(), manifest.len()).into_bytes();
    by_hand.extend_from_slice(manifest);
    assert_eq!(dsse::pae(kind, manifest), by_hand);
    assert!(by_hand.starts_with(row("first bytes").as_bytes()));
    assert_eq!(sha256(&by_hand), row("SHA-256 of what is signed"));
    assert_eq!(BASE64.encode(&private_key().sign(&by_hand).to_bytes()), row("signature"));
}

#[test]
fn the_envelope_is_what_signing_writes_and_is_accepted() {
    let key = private_key();
    let mut envelope = Envelope::new(dsse::MANIFEST_TYPE, block("manifest").into());
    let signature = key.sign(&envelope.pae()).to_bytes();
    envelope.add_signature(KeyId::of(key.verifying_key().as_bytes()), signature);
    assert_eq!(envelope.to_json().unwrap(), block("envelope"));

    let trust = Trust::parse(block("trust").as_bytes()).unwrap();
    let release = verified::manifest(&block("envelope").as_bytes().to_vec().into(), &rules(&trust)).unwrap();
    assert_eq!(release.digest().to_string(), row("SHA-256 of the manifest"));
    assert_eq!(release.key_ids().iter().map(ToString::to_string).collect::<Vec<_>>(), [row("key id")]);
    assert_eq!(*release, Manifest::parse(block("manifest").as_bytes()).unwrap());
}

#[test]
fn the_example_with_one_character_changed_is_refused() {
    let trust = Trust::parse(block("trust").as_bytes()).unwrap();
    let changed = block("envelope").replace(&row("signature")[..8], "AAAAAAAA");
    assert_ne!(changed, block("envelope"));
    let refusal = verified::manifest(&changed.into_bytes().into(), &rules(&trust)).unwrap_err();
    assert_eq!(refusal.kind(), "signature");
}

#[test]
fn the_acknowledged_release_is_the_floor() {
    let trust = Trust::parse(block("trust").as_bytes()).unwrap();
    let manifest = Manifest::parse(block("manifest").as_bytes()).unwrap();
    let release =
        State { channel: manifest.channel, epoch: trust.epoch, version: manifest.version, issued: manifest.issued };
    let state = State::acknowledge(None, &release, trust.floor_epoch);
    assert_eq!(state.to_json().unwrap().trim_end(), block("state"));
    assert_eq!(State::parse(block("state").as_bytes()).unwrap(), state);
    assert_eq!(verify::state::decide::<StateError>(Ok(Some(state)), &trust).unwrap().floors.version, 7);
}
