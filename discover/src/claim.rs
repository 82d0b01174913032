//! What an envelope says of itself, for people who look around. Nothing of it has been verified, and nothing may follow from it.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// The claims of an envelope's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// The version that it says it is.
    pub version: u64,
    /// When it says that it was made, printable.
    pub issued: String,
}

/// An envelope (DSSE), as far as it is looked at here.
#[derive(Deserialize)]
struct Envelope {
    payload: String,
}

/// A manifest, as far as it is looked at here.
#[derive(Deserialize)]
struct Manifest {
    version: u64,
    issued: String,
}

impl Claim {
    /// Reads the claims; `None` if the bytes are no envelope with a manifest.
    pub fn of(envelope: &[u8]) -> Option<Self> {
        let Envelope { payload } = serde_json::from_slice(envelope).ok()?;
        let Manifest { version, issued } = serde_json::from_slice(&BASE64.decode(payload.as_bytes()).ok()?).ok()?;
        let issued = issued.chars().filter(char::is_ascii_graphic).take(32).collect();
        Some(Self { version, issued })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(manifest: &str) -> Vec<u8> {
        format!(r#"{{"payload":"{}","payloadType":"x","signatures":[]}}"#, BASE64.encode(manifest.as_bytes()))
            .into_bytes()
    }

    #[test]
    fn claims_are_read_without_belief() {
        let claim = Claim::of(&envelope(r#"{"version":7,"issued":"2026-11-20T12:00:00Z","x-y":1}"#)).unwrap();
        assert_eq!(claim, Claim { version: 7, issued: "2026-11-20T12:00:00Z".to_owned() });
    }

    #[test]
    fn what_is_no_manifest_claims_nothing() {
        for bytes in [
            &b""[..],
            b"{}",
            b"<html>",
            &envelope("[]"),
            &envelope(r#"{"version":-1,"issued":""}"#),
            &vec![b'['; 100_000],
        ] {
            assert_eq!(Claim::of(bytes), None);
        }
        let claim = Claim::of(&envelope("{\"version\":1,\"issued\":\"\\u001b[2J\"}")).unwrap();
        assert_eq!(claim.issued, "[2J");
    }
}
