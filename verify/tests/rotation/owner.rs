//! The owner's side: keys by number, trust files and releases.

use ed25519_dalek::{Signer, SigningKey};
use verify::dsse::{self, Envelope};
use verify::{KeyId, PublicKey, Role, Trust};

/// The release key that is stolen.
pub(crate) const STOLEN: u8 = 11;

/// The first trust file: two of the root keys 1, 2 and 3, and one release key, which will be stolen.
pub(crate) fn first() -> Trust {
    let text = r#"{
      "schema": "phase.trust/1", "channel": "demo", "epoch": 1, "built": "2026-11-20T12:00:00Z", "minimum_version": 0,
      "roles": {"root": ROLE, "release": ROLE},
      "policy": {"expiry": "refuse", "rescue_prompt": false}
    }"#;
    let any = r#"{"threshold": 1, "keys": [{"public": "KEY", "name": "any"}]}"#
        .replace("KEY", &data_encoding::HEXLOWER.encode(private(99).verifying_key().as_bytes()));
    let mut trust = Trust::parse(text.replace("ROLE", &any).as_bytes()).unwrap();
    trust.roles.root = role(2, &[1, 2, 3]);
    trust.roles.release = role(1, &[STOLEN]);
    trust
}

/// The trust file after `trust`, made a day later, with what `change` does to it.
pub(crate) fn next(trust: &Trust, change: impl FnOnce(&mut Trust)) -> Trust {
    let mut next = trust.clone();
    next.epoch += 1;
    next.built = next.built.plus_days(1);
    change(&mut next);
    next
}

/// The three rotations, each with the keys that sign it: a release key comes; the stolen one goes; the root keys and both
/// thresholds change.
pub(crate) fn rotations() -> [(Trust, &'static [u8]); 3] {
    let second = next(&first(), |trust| trust.roles.release = role(1, &[STOLEN, 12]));
    let third = next(&second, |trust| trust.roles.release = role(1, &[12, 13]));
    let fourth = next(&third, |trust| {
        trust.roles.root = role(3, &[4, 5, 6, 7]);
        trust.roles.release = role(2, &[12, 13]);
    });
    [(second, &[1, 2]), (third, &[3, 2]), (fourth, &[1, 2, 4, 5, 6])]
}

/// The same as they are served.
pub(crate) fn served_rotations() -> [Vec<u8>; 3] {
    rotations().map(|(trust, keys)| rotation(&trust, keys))
}

/// The private key with number `n`.
pub(crate) fn private(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

/// The id of that key.
pub(crate) fn id(n: u8) -> KeyId {
    KeyId::of(private(n).verifying_key().as_bytes())
}

/// A role of these keys.
pub(crate) fn role(threshold: usize, keys: &[u8]) -> Role {
    let public = |&n: &u8| PublicKey::new(private(n).verifying_key().as_bytes(), &format!("key {n}")).unwrap();
    Role::new(threshold, keys.iter().map(public).collect()).unwrap()
}

/// `payload` as it is served, signed by `keys`.
pub(crate) fn signed(payload_type: &str, payload: &str, keys: &[u8]) -> Vec<u8> {
    let mut envelope = Envelope::new(payload_type, payload.as_bytes().to_vec());
    for &n in keys {
        let sig = private(n).sign(&envelope.pae()).to_bytes();
        envelope.add_signature(id(n), sig);
    }
    envelope.to_json().unwrap().into_bytes()
}

/// A trust file as it is served.
pub(crate) fn rotation(trust: &Trust, keys: &[u8]) -> Vec<u8> {
    signed(dsse::TRUST_TYPE, &trust.to_json().unwrap(), keys)
}

/// A manifest.
pub(crate) fn manifest(version: u64, issued: &str, expires: &str, min_epoch: u64) -> String {
    format!(
        r#"{{"schema": "phase.boot/1", "channel": "demo", "arch": "x86_64", "version": {version}, "min_epoch": {min_epoch},
        "issued": "{issued}", "expires": "{expires}", "cmdline": "", "init": "/sbin/init", "handoff": ["direct"],
        "rootfs": {{"name": "root.squashfs", "size": 1, "sha256": "{}"}}}}"#,
        "11".repeat(32)
    )
}

/// A release of late 2026 as it is served.
pub(crate) fn release(version: u64, keys: &[u8]) -> Vec<u8> {
    let manifest = manifest(version, "2026-12-01T00:00:00Z", "2027-12-01T00:00:00Z", 1);
    signed(dsse::MANIFEST_TYPE, &manifest, keys)
}
