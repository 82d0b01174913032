//! `verify` against the reference that the property tests use: the same verdict on every document. The first byte says
//! what the rest is: `t` a trust file, `s` a state, `m` a manifest, `e` an envelope, `p` a payload that this target signs
//! with the trusted key, so that what stands behind the signatures is reached, under circumstances that two bytes choose.

#![no_main]

#[path = "../../verify/tests/reference/mod.rs"]
mod reference;
#[path = "../../verify/tests/support/release.rs"]
mod release;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use reference::agree::{self, Circumstances};

static TRUST: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let trust = release::trust().to_string().into_bytes();
    let payload = release::manifest().to_string();
    let envelope = release::envelope(release::MANIFEST_TYPE, payload.as_bytes(), &[1]);
    // Otherwise this target would test nothing.
    assert!(agree::on_trust(&trust) && agree::on_release(&envelope, &trust, circumstances(0, 0)));
    trust
});

/// The edges of the manifest's dates, and floors around its version and the trust file's epoch.
fn circumstances(time: u8, floors: u8) -> Circumstances {
    const TIMES: [u64; 6] = [release::NOW, 0, 1_795_089_599, 1_795_176_000, 1_826_711_999, 1_826_712_000];
    Circumstances {
        now: TIMES[usize::from(time >> 1) % TIMES.len()],
        now_is_believed: time & 1 == 0,
        floor_version: [0, 7, 8][usize::from(floors & 0xf) % 3],
        floor_epoch: [0, 1, 2][usize::from(floors >> 4) % 3],
    }
}

fuzz_target!(|input: &[u8]| {
    match input {
        [b't', bytes @ ..] => drop(agree::on_trust(bytes)),
        [b's', bytes @ ..] => drop(agree::on_state(bytes)),
        [b'm', bytes @ ..] => drop(agree::on_manifest(bytes)),
        [b'e', time, floors, bytes @ ..] => drop(agree::on_release(bytes, &TRUST, circumstances(*time, *floors))),
        [b'p', time, floors, bytes @ ..] => {
            let envelope = release::envelope(release::MANIFEST_TYPE, bytes, &[1]);
            agree::on_release(&envelope, &TRUST, circumstances(*time, *floors));
        }
        _ => {}
    }
});
