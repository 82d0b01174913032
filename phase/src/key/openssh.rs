//! Keys of OpenSSH (PROTOCOL.key): `-----BEGIN OPENSSH PRIVATE KEY-----`, with or without a passphrase, and the
//! `ssh-ed25519 AAAA… comment` line of a `.pub` file. Keys of agents and FIDO tokens (`sk-`) have no private bytes, and
//! a token signs more than it is given: they cannot sign releases.

use anyhow::Context;
use ed25519_dalek::SigningKey;
use pkcs8::der::zeroize::Zeroizing;
use ssh_key::{Error, PrivateKey, PublicKey};
use verify::names::quoted;

use super::{keypair, passphrase, refuse_kind};

/// What the first word of a public key line may begin with, whatever kind of key it is.
const KINDS: [&str; 5] = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-", "rsa-"];

/// Whether a text is the line of a public key.
pub(super) fn is_public(text: &str) -> bool {
    KINDS.iter().any(|kind| text.starts_with(kind)) && text.contains(' ')
}

/// The key of a private key file.
pub(super) fn private(text: &str, passphrase: &passphrase::Ask<'_>) -> anyhow::Result<SigningKey> {
    let key = PrivateKey::from_openssh(text).map_err(unreadable)?;
    // The kind stands outside of what is encrypted: nobody types a passphrase for a key that cannot be used.
    if key.public_key().key_data().ed25519().is_none() {
        return Err(refuse_kind(key.algorithm()));
    }
    let key = if key.is_encrypted() {
        key.decrypt(passphrase()?.as_bytes()).map_err(|error| match error {
            Error::Crypto => passphrase::wrong(),
            other => unreadable(other),
        })?
    } else {
        key
    };
    let pair = key.key_data().ed25519().with_context(|| refuse_kind(key.algorithm()).to_string())?;
    keypair(&Zeroizing::new(pair.to_bytes())[..])
}

/// The raw key of a public key line.
pub(super) fn public(line: &str) -> anyhow::Result<[u8; 32]> {
    let kind = line.split_whitespace().next().unwrap_or_default();
    if kind != "ssh-ed25519" {
        return Err(refuse_kind(quoted(kind)));
    }
    let key = PublicKey::from_openssh(line).map_err(unreadable)?;
    key.key_data().ed25519().map(|key| key.0).ok_or_else(|| refuse_kind(key.algorithm()))
}

fn unreadable(error: Error) -> anyhow::Error {
    anyhow::Error::new(error).context("not a key as OpenSSH writes it")
}
