//! A transparency log for releases: the one of verify's tests, its witnesses, and who submits to it.

use std::fs;

use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use serde_json::Value;

use super::Tree;

#[path = "../../../../verify/tests/support/log.rs"]
mod log;

/// Who submits releases to the log.
fn submitter() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

/// The log, without a leaf; two of its three witnesses have to cosign.
fn log() -> log::Log {
    log::Log::new(50, 3)
}

/// The Sigsum policy of machines that ask for a proof.
pub(super) fn policy() -> String {
    log().policy(2)
}

/// The submitter's public key file: RFC 8410 in PEM.
pub(super) fn submitter_file() -> String {
    let prefix = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let der = [&prefix[..], submitter().verifying_key().as_bytes()].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64.encode(&der))
}

impl Tree {
    /// Logs the release, and puts its proof, cosigned by so many witnesses, beside it.
    pub(crate) fn logged(self, cosigners: usize) -> Self {
        let directory = self.path().join("e2e/x86_64");
        let envelope: Value = serde_json::from_slice(&fs::read(directory.join("manifest.dsse.json")).unwrap()).unwrap();
        let manifest = BASE64.decode(envelope["payload"].as_str().unwrap().as_bytes()).unwrap();
        let mut log = log();
        log.submit(&submitter(), b"somebody else's");
        let index = log.submit(&submitter(), &manifest);
        fs::write(directory.join("manifest.sigsum-proof"), log.proof(index, cosigners)).unwrap();
        self
    }
}
