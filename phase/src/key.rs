//! Key files: Ed25519 private keys as PKCS#8 PEM (RFC 5958, RFC 8410), public keys as SPKI PEM, both readable by OpenSSL.
//!
//! A private key with a passphrase is encrypted with PBES2: scrypt (RFC 7914) and AES-256-CBC. Secrets are wiped from
//! memory when dropped.

use std::{env, io::IsTerminal, path::Path};

use anyhow::{Context, bail};
use data_encoding::HEXLOWER;
use ed25519_dalek::{
    Signer, SigningKey, VerifyingKey,
    pkcs8::{
        DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes, SecretDocument,
        spki::der::{pem::LineEnding, pem::PemLabel},
    },
};
use pkcs8::{
    EncryptedPrivateKeyInfoOwned, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef,
    der::{asn1::OctetString, zeroize::Zeroizing},
    pkcs5::{EncryptionScheme, pbes2, scrypt},
};
use verify::KeyId;

use crate::output;

/// Where scripts put a passphrase; a person is asked on the terminal.
pub const PASSPHRASE_VARIABLE: &str = "PHASE_PASSPHRASE";

/// A key file is a few hundred bytes; anything far larger is another kind of file.
const KEY_FILE_LIMIT: u64 = 16 << 10;

/// scrypt's cost: 2^14 × 8 × 5, one of OWASP's equal settings (2024). It takes 16 MiB: OpenSSL refuses to read keys
/// that need more than 32 MiB.
const SCRYPT_LOG_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 5;

/// A private key, ready to sign.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// A new key from the kernel's random numbers.
    pub fn generate() -> anyhow::Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).context("the kernel gave no random numbers")?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Reads a key file, asking for the passphrase only if the key has one.
    ///
    /// # Errors
    /// The file is not a PKCS#8 PEM of an Ed25519 key, or the passphrase is missing or wrong.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let bytes = Zeroizing::new(output::read_limited(path, KEY_FILE_LIMIT)?);
        let text = str::from_utf8(&bytes).with_context(|| format!("{name} is not a PEM file"))?;
        let (label, document) = SecretDocument::from_pem(text)
            .map_err(|error| anyhow::anyhow!("{name} is not a PEM file with a private key: {error}"))?;
        if label == PrivateKeyInfoRef::PEM_LABEL {
            return parse(document.as_bytes()).with_context(|| format!("{name} is not an Ed25519 private key"));
        }
        if label != EncryptedPrivateKeyInfoRef::PEM_LABEL {
            bail!("{name} holds a \"{label}\"; wanted a \"PRIVATE KEY\" or an \"ENCRYPTED PRIVATE KEY\" (PKCS#8)");
        }
        let passphrase = passphrase(&format!("Passphrase of {name}: "))?;
        let plain = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
            .and_then(|encrypted| encrypted.decrypt(passphrase.as_bytes()))
            .map_err(|_| anyhow::anyhow!("{name} does not open with this passphrase"))?;
        parse(plain.as_bytes()).with_context(|| format!("{name} is not an Ed25519 private key"))
    }

    /// The key file's text, encrypted if a passphrase is given.
    pub fn to_pem(&self, passphrase: Option<&str>) -> anyhow::Result<Zeroizing<String>> {
        // Without the public key, which makes it version 1: OpenSSL before 3.5 does not read version 2.
        let plain = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None }
            .to_pkcs8_der()
            .map_err(|error| anyhow::anyhow!("cannot encode the private key: {error}"))?;
        let (label, document) = match passphrase {
            None => (PrivateKeyInfoRef::PEM_LABEL, plain),
            Some(passphrase) => (EncryptedPrivateKeyInfoRef::PEM_LABEL, encrypt(&plain, passphrase)?),
        };
        document
            .to_pem(label, LineEnding::LF)
            .map_err(|error| anyhow::anyhow!("cannot encode the private key: {error}"))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The Ed25519 signature (RFC 8032, 64 bytes) over `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a `.pub` file (SPKI PEM).
    ///
    /// # Errors
    /// The file is not the SPKI PEM of an Ed25519 key.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = output::read_limited(path, KEY_FILE_LIMIT)?;
        let text = str::from_utf8(&bytes).with_context(|| format!("{} is not a PEM file", path.display()))?;
        let key = VerifyingKey::from_public_key_pem(text).map_err(|error| {
            anyhow::anyhow!("{} is not an Ed25519 public key in PEM (a .pub file of keygen): {error}", path.display())
        })?;
        Ok(Self(key))
    }

    /// The public key file's text.
    pub fn to_pem(&self) -> anyhow::Result<String> {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .map_err(|error| anyhow::anyhow!("cannot encode the public key: {error}"))
    }

    /// The 32 raw bytes in hex, as the trust file has them.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(self.0.as_bytes())
    }

    /// This key under a name, as trust files hold it.
    ///
    /// # Errors
    /// The key is weak, or the name is not one.
    pub fn named(&self, name: &str) -> Result<verify::PublicKey, verify::ValueError> {
        verify::PublicKey::new(self.0.as_bytes(), name)
    }

    /// The key id of docs/formats.md: SHA-256 of the raw bytes, in hex.
    pub fn id(&self) -> KeyId {
        KeyId::of(self.0.as_bytes())
    }
}

/// The passphrase of an existing key: from the environment, else asked once on the terminal.
fn passphrase(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    match from_environment()? {
        Some(passphrase) => Ok(passphrase),
        None => ask(prompt),
    }
}

/// The passphrase of a new key: from the environment, else asked twice on the terminal.
///
/// # Errors
/// No terminal, an empty passphrase, or two that differ.
pub fn new_passphrase(name: &Path) -> anyhow::Result<Zeroizing<String>> {
    if let Some(passphrase) = from_environment()? {
        return Ok(passphrase);
    }
    let first = ask(&format!("New passphrase for {}: ", name.display()))?;
    anyhow::ensure!(!first.is_empty(), "the passphrase is empty; for a key without one say --no-passphrase");
    let second = ask("The same again: ")?;
    anyhow::ensure!(first == second, "the two passphrases differ; nothing was written");
    Ok(first)
}

fn from_environment() -> anyhow::Result<Option<Zeroizing<String>>> {
    match env::var(PASSPHRASE_VARIABLE) {
        Ok(value) if value.is_empty() => bail!("{PASSPHRASE_VARIABLE} is set but empty"),
        Ok(value) => Ok(Some(Zeroizing::new(value))),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).context(PASSPHRASE_VARIABLE),
    }
}

fn ask(prompt: &str) -> anyhow::Result<Zeroizing<String>> {
    if !std::io::stdin().is_terminal() {
        bail!("a passphrase is needed and there is no terminal to ask on; set {PASSPHRASE_VARIABLE}");
    }
    rpassword::prompt_password(prompt).map(Zeroizing::new).context("cannot read the passphrase from the terminal")
}

fn parse(der: &[u8]) -> anyhow::Result<PrivateKey> {
    SigningKey::from_pkcs8_der(der).map(PrivateKey).map_err(|error| anyhow::anyhow!("{error}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_is_the_digest_of_the_raw_key() {
        // RFC 8032, 7.1, TEST 1; the digest is `xxd -r -p | sha256sum` of the public key.
        let secret = HEXLOWER.decode(b"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = PrivateKey(SigningKey::from_bytes(&secret.try_into().unwrap()));
        assert_eq!(key.public().hex(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(key.public().id().to_string(), "21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9");
    }

    #[test]
    fn another_kind_of_key_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), PrivateKey::generate().unwrap().public().to_pem().unwrap()).unwrap();
        let message = format!("{:#}", PrivateKey::read(file.path()).err().unwrap());
        assert!(message.contains("PUBLIC KEY"), "{message}");
    }
}
