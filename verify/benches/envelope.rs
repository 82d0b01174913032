//! `make bench`: what verifying a release costs beside the signatures.
//!
//! The release has a manifest of [`MANIFEST`] bytes and three of five signatures. In each round, one after the other:
//! [`verify::verified::manifest`] from the envelope's bytes to the checked release; and, as the least that anybody could
//! do, three bare `verify_strict` and one SHA-512 over what was signed. The promise is [`WANTED`] times that at most; exit
//! status 1 if it is not kept.

#[path = "../tests/support/release.rs"]
mod release;
mod support;

use std::hint::black_box;
use std::process::ExitCode;

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use serde_json::json;
use sha2::{Digest, Sha512};
use support::{Error, median, processor_seconds, stay_on_one_core, verdict};
use verify::{Arch, Candidate, Floors, LIMITS, Now, Rules, Timestamp, Trust, dsse, verified};

/// Bytes of the manifest: as large as one may be.
const MANIFEST: usize = LIMITS.manifest_bytes;
/// Times that each is done in a round.
const TIMES: u32 = 200;
/// Rounds; an odd number.
const ROUNDS: usize = 15;
/// Most that verifying may take, of the signatures and one hash alone.
const WANTED: f64 = 1.3;

fn main() -> Result<ExitCode, Error> {
    stay_on_one_core()?;
    let payload = manifest();
    let candidate = Candidate::from(release::envelope(release::MANIFEST_TYPE, &payload, &[1, 2, 3]));
    let trust = trust()?;
    let now = Now { time: Timestamp::from_unix(release::NOW), trusted: true };
    let rules = Rules { trust: &trust, arch: Arch::X86_64, now, floors: Floors::default() };
    assert_eq!(verified::manifest(&candidate, &rules)?.key_ids().len(), 3);

    let message = dsse::pae(release::MANIFEST_TYPE, &payload);
    let signed: Vec<(VerifyingKey, Signature)> =
        [1, 2, 3].map(|n| (release::key(n).verifying_key(), release::key(n).sign(&message))).into();
    let bare = || {
        let signatures =
            signed.iter().all(|(key, signature)| key.verify_strict(black_box(&message), signature).is_ok());
        assert!(signatures);
        black_box(Sha512::digest(black_box(&message)));
    };

    println!("{:>5} {:>10} {:>10} {:>7}", "round", "verify", "bare", "ratio");
    let (mut ours, mut least) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        ours.push(microseconds(|| drop(black_box(verified::manifest(black_box(&candidate), &rules)))));
        least.push(microseconds(bare));
        let (ours, least) = (ours[round - 1], least[round - 1]);
        println!("{round:>5} {ours:>7.1} µs {least:>7.1} µs {:>7.2}", ours / least);
    }
    let ratio = median(ours) / median(least);
    let what = format!(
        "a release with 3 of 5 signatures and a manifest of {MANIFEST} bytes, of the signatures and one SHA-512 (medians of {ROUNDS} rounds)"
    );
    Ok(verdict(&what, ratio, &format!("<= {WANTED:.2}"), ratio <= WANTED))
}

/// What `work` takes once.
fn microseconds(work: impl Fn()) -> f64 {
    let (seconds, ()) = processor_seconds(|| (0..TIMES).for_each(|_| work()));
    seconds * 1e6 / f64::from(TIMES)
}

/// The manifest of docs/formats.md with digests of pieces, filled up by fields of somebody's own.
fn manifest() -> Vec<u8> {
    let mut manifest = release::manifest();
    manifest["initramfs"]["chunk_size"] = 65536.into();
    manifest["initramfs"]["chunks"] = vec!["55".repeat(32); 14].into();
    let mut number = 0;
    loop {
        let size = manifest.to_string().len();
        // `,"x-note-00":"…"`
        let room = MANIFEST - size;
        if room == 0 {
            return manifest.to_string().into_bytes();
        }
        let overhead = 15;
        let text = if room >= 2 * 1024 { 1000 } else { room - overhead };
        manifest[format!("x-note-{number:02}")] = json!("n".repeat(text));
        number += 1;
    }
}

/// The trust file of the tests with five release keys, of which three have to sign.
fn trust() -> Result<Trust, Error> {
    let mut trust = release::trust();
    let keys = (1..=5).map(|n| json!({"public": release::public(n), "name": format!("release {n}")}));
    trust["roles"]["release"] = json!({"threshold": 3, "keys": keys.collect::<Vec<_>>()});
    Ok(Trust::parse(trust.to_string().as_bytes())?)
}
