//! Keys in PEM: PKCS#8 (RFC 5958), encrypted with PBES2 or not, and SPKI; for Ed25519 after RFC 8410.
//!
//! What is written is encrypted with scrypt (RFC 7914) and AES-256-CBC; what is read may have any PBES2 that OpenSSL
//! writes by default.

use anyhow::{Context, ensure};
use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes, ObjectIdentifier,
        SecretDocument,
        spki::SubjectPublicKeyInfoRef,
        spki::der::{Document, pem::LineEnding, pem::PemLabel},
    },
};
use pkcs8::{
    EncryptedPrivateKeyInfoOwned, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef,
    der::{asn1::OctetString, zeroize::Zeroizing},
    pkcs5::{EncryptionScheme, pbes2, scrypt},
};

use verify::names::quoted;

use super::{PRIVATE_FORMS, PUBLIC_FORMS, passphrase, refuse_kind};

/// scrypt's cost: 2^14 × 8 × 5, one of OWASP's equal settings (2024). It takes 16 MiB: OpenSSL refuses to read keys
/// that need more than 32 MiB.
const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 5;

/// Other kinds of keys by their object identifier.
const KINDS: [(&str, &str); 6] = [
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.2.840.10045.2.1", "ECDSA"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.113", "Ed448"),
];

/// Ed25519's own (RFC 8410).
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// The key of a private key file.
pub(super) fn private(text: &str, passphrase: &passphrase::Ask<'_>) -> anyhow::Result<SigningKey> {
    let labels = [PrivateKeyInfoRef::PEM_LABEL, EncryptedPrivateKeyInfoRef::PEM_LABEL];
    let label = label(text);
    ensure!(labels.contains(&label), "this holds {}; {PRIVATE_FORMS}", quoted(label));
    let (_, document) = SecretDocument::from_pem(text)
        .map_err(|error| anyhow::anyhow!("not a PEM file with a private key: {error}"))?;
    if label == PrivateKeyInfoRef::PEM_LABEL {
        return plain(document.as_bytes());
    }
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| anyhow::anyhow!("not an encrypted private key: {error}"))?;
    let document = encrypted.decrypt(passphrase()?.as_bytes()).map_err(|_| passphrase::wrong())?;
    plain(document.as_bytes())
}

/// The key of a public key file.
pub(super) fn public(text: &str) -> anyhow::Result<VerifyingKey> {
    let label = label(text);
    ensure!(label == SubjectPublicKeyInfoRef::PEM_LABEL, "this holds {}; {PUBLIC_FORMS}", quoted(label));
    let (_, document) =
        Document::from_pem(text).map_err(|error| anyhow::anyhow!("not a PEM file with a public key: {error}"))?;
    if let Ok(info) = SubjectPublicKeyInfoRef::try_from(document.as_bytes()) {
        refuse_other(info.algorithm.oid)?;
    }
    VerifyingKey::from_public_key_der(document.as_bytes())
        .map_err(|error| anyhow::anyhow!("not an Ed25519 public key: {error}"))
}

/// The private key file's text, encrypted if a passphrase is given.
pub(super) fn write_private(key: &SigningKey, passphrase: Option<&str>) -> anyhow::Result<Zeroizing<String>> {
    // Without the public key, which makes it version 1: OpenSSL before 3.5 does not read version 2.
    let plain = KeypairBytes { secret_key: key.to_bytes(), public_key: None }
        .to_pkcs8_der()
        .map_err(|error| anyhow::anyhow!("cannot encode the private key: {error}"))?;
    let (label, document) = match passphrase {
        None => (PrivateKeyInfoRef::PEM_LABEL, plain),
        Some(passphrase) => (EncryptedPrivateKeyInfoRef::PEM_LABEL, encrypt(&plain, passphrase)?),
    };
    document.to_pem(label, LineEnding::LF).map_err(|error| anyhow::anyhow!("cannot encode the private key: {error}"))
}

/// The public key file's text.
pub(super) fn write_public(key: &VerifyingKey) -> anyhow::Result<String> {
    key.to_public_key_pem(LineEnding::LF).map_err(|error| anyhow::anyhow!("cannot encode the public key: {error}"))
}

/// What the first line says that there is. Before the rest is decoded, since a file may hold several things (OpenSSL puts
/// `EC PARAMETERS` before an `EC PRIVATE KEY`).
fn label(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default().trim_end();
    line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")).unwrap_or(line)
}

fn plain(der: &[u8]) -> anyhow::Result<SigningKey> {
    if let Ok(info) = PrivateKeyInfoRef::try_from(der) {
        refuse_other(info.algorithm.oid)?;
    }
    SigningKey::from_pkcs8_der(der).map_err(|error| anyhow::anyhow!("not an Ed25519 private key: {error}"))
}

fn refuse_other(kind: ObjectIdentifier) -> anyhow::Result<()> {
    if kind == ED25519 {
        return Ok(());
    }
    let kind = kind.to_string();
    let name = KINDS.iter().find(|(identifier, _)| *identifier == kind).map_or(kind.as_str(), |(_, name)| name);
    Err(refuse_kind(name))
}

fn encrypt(plain: &SecretDocument, passphrase: &str) -> anyhow::Result<SecretDocument> {
    let mut salt = [0; 16];
    let mut iv = [0; 16];
    getrandom::fill(&mut salt).context("the kernel gave no random numbers")?;
    getrandom::fill(&mut iv).context("the kernel gave no random numbers")?;
    let cost = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P)
        .map_err(|error| anyhow::anyhow!("scrypt refuses its parameters: {error}"))?;
    let cannot = "cannot encrypt the private key";
    let scheme = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv)
        .map_err(|error| anyhow::anyhow!("{cannot}: {error}"))?;
    let encrypted =
        scheme.encrypt(passphrase, plain.as_bytes()).map_err(|error| anyhow::anyhow!("{cannot}: {error}"))?;
    let info = EncryptedPrivateKeyInfoOwned {
        encryption_algorithm: EncryptionScheme::Pbes2(scheme),
        encrypted_data: OctetString::new(encrypted).map_err(|error| anyhow::anyhow!("{cannot}: {error}"))?,
    };
    SecretDocument::encode_msg(&info).map_err(|error| anyhow::anyhow!("{cannot}: {error}"))
}
