//! What the tests of several modules sign with and look at.

use ed25519_dalek::{Signer, SigningKey};

use crate::clock::Now;
use crate::dsse::{Envelope, MANIFEST_TYPE};
use crate::names::{KeyId, Sha256Digest};
use crate::time::Timestamp;
use crate::trust::{PublicKey, Role, Trust};

/// A moment at which [`MANIFEST`] is valid.
pub(crate) const NOW: Now = Now { time: Timestamp::from_unix(1_800_000_000), trusted: true };

/// The manifest of docs/formats.md, with digests.
pub(crate) const MANIFEST: &str = r#"{
  "schema": "phase.boot/1",
  "channel": "demo",
  "arch": "x86_64",
  "version": 7,
  "min_epoch": 1,
  "issued": "2026-11-20T12:00:00Z",
  "expires": "2027-11-20T12:00:00Z",
  "cmdline": "console=ttyS0 quiet",
  "init": "/sbin/init",
  "handoff": [
    "kexec",
    "direct"
  ],
  "kernel": {
    "name": "vmlinuz",
    "size": 8000000,
    "sha256": "1111111111111111111111111111111111111111111111111111111111111111",
    "init_size": 45000000
  },
  "initramfs": {
    "name": "initramfs.zst",
    "size": 900000,
    "sha256": "2222222222222222222222222222222222222222222222222222222222222222",
    "unpacked_size": 2500000
  },
  "rootfs": {
    "name": "rootfs.squashfs",
    "size": 60000000,
    "sha256": "3333333333333333333333333333333333333333333333333333333333333333"
  }
}
"#;

/// A trust file; `RELEASE` stands for the keys of the release role, `THRESHOLD` for its threshold.
const TRUST: &str = r#"{
  "schema": "phase.trust/1",
  "channel": "demo",
  "epoch": 1,
  "built": "2026-11-20T12:00:00Z",
  "minimum_version": 3,
  "roles": {
    "root": {
      "threshold": 1,
      "keys": [
        {
          "public": "ROOT",
          "name": "offline root"
        }
      ]
    },
    "release": {
      "threshold": 1,
      "keys": [
        {
          "public": "RELEASE",
          "name": "release 2026"
        }
      ]
    }
  },
  "policy": {
    "expiry": "refuse",
    "rescue_prompt": true,
    "max_validity_days": 400
  }
}
"#;

/// The private key with number `n`.
pub(crate) fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

/// The public half of [`key`].
pub(crate) fn public(n: u8) -> PublicKey {
    PublicKey::new(key(n).verifying_key().as_bytes(), &format!("key {n}")).unwrap()
}

/// The id of [`key`].
pub(crate) fn id(n: u8) -> KeyId {
    public(n).id()
}

/// The trust file's text: key 9 is the root key, key 1 the release key.
pub(crate) fn trust_text() -> String {
    let hex = |n| data_encoding::HEXLOWER.encode(key(n).verifying_key().as_bytes());
    TRUST.replace("ROOT", &hex(9)).replace("RELEASE", &hex(1))
}

/// [`trust_text`], parsed.
pub(crate) fn trust() -> Trust {
    Trust::parse(trust_text().as_bytes()).unwrap()
}

/// The same with other release keys.
pub(crate) fn trust_of(threshold: usize, keys: &[u8]) -> Trust {
    let mut trust = trust();
    trust.roles.release = Role::new(threshold, keys.iter().map(|&n| public(n)).collect()).unwrap();
    trust
}

/// `payload` signed by `keys`.
pub(crate) fn signed(payload: &str, keys: &[u8]) -> Envelope {
    let mut envelope = Envelope::new(MANIFEST_TYPE, payload.as_bytes().to_vec());
    for &n in keys {
        let sig = key(n).sign(&envelope.pae()).to_bytes();
        envelope.add_signature(id(n), sig);
    }
    envelope
}

/// An envelope as it is served.
pub(crate) fn bytes(envelope: &Envelope) -> Vec<u8> {
    envelope.to_json().unwrap().into_bytes()
}

/// [`MANIFEST`] with `from` replaced by `to`.
pub(crate) fn altered(from: &str, to: &str) -> String {
    replaced(MANIFEST, from, to)
}

/// `text` with the first `from` replaced by `to`; a test that replaces nothing tests nothing.
pub(crate) fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replacen(from, to, 1)
}

/// The digest that [`MANIFEST`] has.
pub(crate) fn manifest_digest() -> Sha256Digest {
    Sha256Digest::of(MANIFEST.as_bytes())
}
