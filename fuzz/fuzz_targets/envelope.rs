//! What anybody may serve: an envelope is read and written alike, its refusal can be printed on a console, and nothing
//! is accepted but the one payload that was ever signed.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use verify::{
    Arch, Envelope, Floors, Manifest, Now, Refusal, Rules, Sha256Digest, Timestamp, Trust, Verified, verified,
};

/// Trusts the key that signed [`SIGNED`].
static TRUST: LazyLock<Trust> = LazyLock::new(|| {
    Trust::parse(include_bytes!("../corpus/trust/documented.json")).expect("the seed is a trust file")
});

/// The only payload with a signature. That it is accepted is checked, for otherwise this target would test nothing.
static SIGNED: LazyLock<Sha256Digest> = LazyLock::new(|| {
    accepted(include_bytes!("../corpus/envelope/signed.json")).expect("the seed is accepted").digest()
});

fn accepted(bytes: &[u8]) -> Result<Verified<Manifest>, Refusal> {
    let now = Now { time: Timestamp::from_unix(1_800_000_000), trusted: true };
    verified::manifest(
        &bytes.to_vec().into(),
        &Rules { trust: &TRUST, arch: Arch::X86_64, now, floors: Floors::default() },
    )
}

fuzz_target!(|bytes: &[u8]| {
    let signed = *SIGNED;
    match Envelope::parse(bytes) {
        Ok(envelope) => {
            let written = envelope.to_json().expect("an envelope can be written");
            assert_eq!(Envelope::parse(written.as_bytes()), Ok(envelope));
        }
        Err(error) => assert_eq!(accepted(bytes).unwrap_err(), Refusal::Format(error)),
    }
    match accepted(bytes) {
        Ok(release) => assert_eq!(release.digest(), signed, "a payload was accepted that nobody signed"),
        Err(refusal) => assert!(!refusal.to_string().contains(char::is_control), "{refusal:?}"),
    }
});
