//! Key files: Ed25519 keys in the forms that people already have them in, told apart by what is in the file.
//!
//! Private: PKCS#8 PEM (RFC 5958, RFC 8410; what `phase keygen` writes and OpenSSL reads), OpenSSH, minisign, signify,
//! or the raw 32-byte seed. Public: SPKI PEM, an `ssh-ed25519` line, minisign, signify, 32 raw bytes, or 64 hex digits.
//! A key of another kind is refused by its name. Secrets are wiped from memory when dropped.

mod minisign;
mod openssh;
pub mod passphrase;
mod pem;

use std::{fmt, fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, bail};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use pkcs8::der::zeroize::Zeroizing;
use verify::KeyId;

use crate::output;

/// A key file is a few hundred bytes (RSA's, to be refused by name, a few thousand); anything far larger is another kind
/// of file.
const KEY_FILE_LIMIT: u64 = 16 << 10;

/// What a private key file may be, for whoever brought something else.
const PRIVATE_FORMS: &str = "wanted an Ed25519 private key: PKCS#8 PEM (phase keygen, openssl genpkey -algorithm ed25519), \
    OpenSSH (ssh-keygen -t ed25519), minisign, signify, or its 32 raw bytes";

/// What a public key file may be.
const PUBLIC_FORMS: &str = "wanted an Ed25519 public key: PEM (phase keygen, openssl pkey -pubout), an ssh-ed25519 line, \
    minisign, signify, 32 raw bytes, or 64 hex digits";

/// A private key, ready to sign.
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// A new key from the kernel's random numbers.
    pub fn generate() -> anyhow::Result<Self> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).context("the kernel gave no random numbers")?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Reads a key file, asking for the passphrase only if the key has one. A file that others can read is warned about on
    /// standard error.
    ///
    /// # Errors
    /// The file is no Ed25519 private key in a form that we read, or the passphrase is missing or wrong.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = Zeroizing::new(output::read_limited(path, KEY_FILE_LIMIT)?);
        let ask = || passphrase::existing(&format!("Passphrase of {}: ", path.display()));
        let key = Self::parse(&bytes, &ask).with_context(|| path.display().to_string())?;
        warn_if_others_can_read(path)?;
        Ok(key)
    }

    /// Reads what a key file holds. `passphrase` is called at most once, and only for a key that is encrypted.
    ///
    /// # Errors
    /// As those of [`Self::read`].
    pub fn parse(bytes: &[u8], passphrase: &passphrase::Ask<'_>) -> anyhow::Result<Self> {
        let key = match Form::of(bytes) {
            Form::OpenSsh(text) => openssh::private(text, passphrase),
            Form::Pem(text) => pem::private(text, passphrase),
            Form::Commented(text) => minisign::private(text, passphrase),
            Form::Text(text) => bail!("this is {}; {PRIVATE_FORMS}", describe(text)),
            Form::Raw => match bytes.len() {
                32 => <[u8; 32]>::try_from(bytes)
                    .map(|seed| SigningKey::from_bytes(&Zeroizing::new(seed)))
                    .map_err(Into::into),
                64 => keypair(bytes).context("64 raw bytes, which are not a seed and its public key"),
                length => bail!("{length} bytes that are no text; {PRIVATE_FORMS}"),
            },
        };
        key.map(Self)
    }

    /// The key file's text (PKCS#8 PEM), encrypted if a passphrase is given.
    pub fn to_pem(&self, passphrase: Option<&str>) -> anyhow::Result<Zeroizing<String>> {
        pem::write_private(&self.0, passphrase)
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
    /// Reads a public key file.
    ///
    /// # Errors
    /// The file is no Ed25519 public key in a form that we read.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = Zeroizing::new(output::read_limited(path, KEY_FILE_LIMIT)?);
        Self::parse(&bytes).with_context(|| path.display().to_string())
    }

    /// Reads what a public key file holds.
    ///
    /// # Errors
    /// As those of [`Self::read`].
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let raw = match Form::of(bytes) {
            Form::OpenSsh(_) => bail!("this is a private key; {PUBLIC_FORMS}"),
            Form::Pem(text) => return pem::public(text).map(Self),
            Form::Commented(text) => minisign::public(text.lines().nth(1).unwrap_or_default())?,
            Form::Text(text) => public_of_text(text.trim())?,
            Form::Raw => match bytes.try_into() {
                Ok(raw) => raw,
                Err(_) => bail!("{} bytes that are no text; {PUBLIC_FORMS}", bytes.len()),
            },
        };
        let key = VerifyingKey::from_bytes(&raw);
        Ok(Self(
            key.map_err(|_| anyhow::anyhow!("{} is no point of the curve; {PUBLIC_FORMS}", HEXLOWER.encode(&raw)))?,
        ))
    }

    /// The public key file's text (SPKI PEM).
    pub fn to_pem(&self) -> anyhow::Result<String> {
        pem::write_public(&self.0)
    }

    /// The 32 raw bytes.
    pub fn raw(&self) -> [u8; 32] {
        self.0.to_bytes()
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

    /// Whether `sig` is this key's signature of `message`, by the rule that machines use.
    pub fn verifies(&self, message: &[u8], sig: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &ed25519_dalek::Signature::from_bytes(sig)).is_ok()
    }
}

/// What a key file looks like from outside.
enum Form<'a> {
    /// Between `-----BEGIN OPENSSH PRIVATE KEY-----` and its end.
    OpenSsh(&'a str),
    /// Between other `-----BEGIN …-----` and `-----END …-----`.
    Pem(&'a str),
    /// A line of `untrusted comment:` and one of base64: minisign and signify.
    Commented(&'a str),
    /// Another text.
    Text(&'a str),
    /// No text, or 32 bytes, which no form in text has.
    Raw,
}

impl<'a> Form<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) if text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") => Self::OpenSsh(text),
            Ok(text) if text.starts_with("-----BEGIN ") => Self::Pem(text),
            Ok(text) if text.starts_with("untrusted comment:") => Self::Commented(text),
            Ok(text) if bytes.len() != 32 && !text.contains('\0') => Self::Text(text),
            _ => Self::Raw,
        }
    }
}

/// A key pair as libsodium, minisign and signify keep it: the seed, then the public key, which has to be the seed's.
fn keypair(bytes: &[u8]) -> anyhow::Result<SigningKey> {
    let bytes = Zeroizing::new(<[u8; 64]>::try_from(bytes)?);
    SigningKey::from_keypair_bytes(&bytes)
        .map_err(|_| anyhow::anyhow!("the public half is not that of the private half"))
}

/// The public key of a text on one line.
fn public_of_text(text: &str) -> anyhow::Result<[u8; 32]> {
    if openssh::is_public(text) {
        openssh::public(text)
    } else if let Some(raw) = hex32(text) {
        Ok(raw)
    } else if text.starts_with(minisign::BASE64_START) {
        minisign::public(text)
    } else {
        bail!("this is {}; {PUBLIC_FORMS}", describe(text))
    }
}

fn hex32(text: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// What to call a text that is not the key that was wanted. Its bytes are not shown: it may be a secret.
fn describe(text: &str) -> String {
    let text = text.trim();
    let first = text.split_whitespace().next().unwrap_or_default();
    match first {
        "" => "an empty file".to_owned(),
        _ if openssh::is_public(text) => format!("an OpenSSH public key ({})", verify::names::quoted(first)),
        _ if hex32(text).is_some() => "64 hex digits".to_owned(),
        _ => "a text of another kind".to_owned(),
    }
}

/// Another kind of key, by its name.
fn refuse_kind(kind: impl fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("this is a key of kind {kind}; releases are signed with Ed25519")
}

fn warn_if_others_can_read(path: &Path) -> anyhow::Result<()> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 {
        let name = path.display();
        eprintln!(
            "phase: warning: the private key {name} is open to others (mode {mode:04o}); chmod 600 {name} closes it"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
