//! Keys, trust files and releases for tests, made from nothing but the formats.

#![allow(dead_code, reason = "every test takes what it needs")]
#![allow(clippy::unwrap_used, reason = "tests and benches stop where they cannot go on")]

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use verify::{Arch, Artifact, Floors, Now, Rules, Signed, Timestamp, Trust, verified};

/// A time (seconds since 1970) at which [`manifest`] is valid.
pub(crate) const NOW: u64 = 1_800_000_000;
/// The payload type of a manifest.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.phase.boot.manifest.v1+json";

/// The private key with number `n`: 1 signs releases, 9 trust files.
pub(crate) fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

/// The raw public half of [`key`] in hex.
pub(crate) fn public(n: u8) -> String {
    HEXLOWER.encode(key(n).verifying_key().as_bytes())
}

/// The id of [`key`].
pub(crate) fn id(n: u8) -> String {
    HEXLOWER.encode(&Sha256::digest(key(n).verifying_key().as_bytes()))
}

/// A trust file: channel `demo`, epoch 1, versions from 3 on.
pub(crate) fn trust() -> Value {
    json!({
        "schema": "phase.trust/1", "channel": "demo", "epoch": 1, "built": "2026-11-20T12:00:00Z", "minimum_version": 3,
        "roles": {
            "root": {"threshold": 1, "keys": [{"public": public(9), "name": "offline root"}]},
            "release": {"threshold": 1, "keys": [{"public": public(1), "name": "release 2026"}]},
        },
        "policy": {"expiry": "refuse", "rescue_prompt": true, "max_validity_days": 400},
    })
}

/// The manifest of docs/formats.md.
pub(crate) fn manifest() -> Value {
    json!({
        "schema": "phase.boot/1", "channel": "demo", "arch": "x86_64", "version": 7, "min_epoch": 1,
        "issued": "2026-11-20T12:00:00Z", "expires": "2027-11-20T12:00:00Z",
        "cmdline": "console=ttyS0 quiet", "init": "/sbin/init", "handoff": ["kexec", "direct"],
        "kernel": {"name": "vmlinuz", "size": 8_000_000, "sha256": "11".repeat(32), "init_size": 45_000_000},
        "initramfs": {"name": "initramfs.zst", "size": 900_000, "sha256": "22".repeat(32), "unpacked_size": 2_500_000},
        "rootfs": {
            "name": "rootfs.squashfs", "size": 60_000_000, "sha256": "33".repeat(32),
            "chunk_size": 1_048_576, "chunks": {"list_sha256": "44".repeat(32)},
        },
    })
}

/// The root of a verified release that has nothing else: `artifact`.
pub(crate) fn signed(artifact: &Artifact) -> Signed<Artifact> {
    let mut manifest = manifest();
    let fields = manifest.as_object_mut().unwrap();
    fields.retain(|name, _| !["kernel", "initramfs"].contains(&name.as_str()));
    fields.insert("handoff".to_owned(), json!(["direct"]));
    fields.insert("rootfs".to_owned(), serde_json::to_value(artifact).unwrap());
    let envelope = envelope(MANIFEST_TYPE, manifest.to_string().as_bytes(), &[1]);
    let trust = Trust::parse(trust().to_string().as_bytes()).unwrap();
    let now = Now { time: Timestamp::from_unix(NOW), trusted: true };
    let rules = Rules { trust: &trust, arch: Arch::X86_64, now, floors: Floors::default() };
    verified::manifest(&envelope.into(), &rules).unwrap().rootfs().unwrap()
}

/// `payload` in an envelope, signed by `keys`.
pub(crate) fn envelope(payload_type: &str, payload: &[u8], keys: &[u8]) -> Vec<u8> {
    let encoding =
        [format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).as_bytes(), payload].concat();
    let signatures: Vec<Value> = keys
        .iter()
        .map(|&n| json!({"keyid": id(n), "sig": BASE64.encode(&key(n).sign(&encoding).to_bytes())}))
        .collect();
    json!({"payload": BASE64.encode(payload), "payloadType": payload_type, "signatures": signatures})
        .to_string()
        .into_bytes()
}
