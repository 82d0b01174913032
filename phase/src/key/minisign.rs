//! Keys of minisign and of OpenBSD's signify: a line `untrusted comment: …`, then one of base64.
//!
//! Layouts from `minisign.h` of minisign 0.11 and `signify.c` of OpenBSD. Both encrypt by exclusive or with what the
//! passphrase gives, and keep seed and public key together: whether the two match says that it opened, so that the
//! checksums of the formats (`BLAKE2b`, SHA-512) are not needed.

use anyhow::{Context, bail, ensure};
use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use pkcs8::der::zeroize::Zeroizing;

use super::{PRIVATE_FORMS, PUBLIC_FORMS, keypair, passphrase};

/// How the base64 of a public key begins: `Ed`, and two bits of its number.
pub(super) const BASE64_START: &str = "RW";

/// The kind of key: Ed25519. `ED` (a signature over a digest) stands only in signatures.
const ED25519: &[u8] = b"Ed";

/// minisign: kind, `Sc` or zeros, `B2`, scrypt's salt and its limits, then number, key pair and checksum.
const MINISIGN: usize = 2 + 2 + 2 + 32 + 8 + 8 + 8 + 64 + 32;
/// signify: kind, `BK`, rounds, salt and checksum, then number and key pair.
const SIGNIFY: usize = 2 + 2 + 4 + 16 + 8 + 8 + 64;

/// log2 of the largest scrypt N that is computed: with r = 8, 2^20 takes the 1 GiB that minisign itself asks for.
const SCRYPT_LOG_N: u8 = 20;
const SCRYPT_R: u32 = 8;
/// The most rounds of `bcrypt_pbkdf` that are computed; signify writes 42.
const BCRYPT_ROUNDS: u32 = 4096;

/// The raw key in the base64 line of a public key: kind, number, key.
pub(super) fn public(line: &str) -> anyhow::Result<[u8; 32]> {
    let bytes = decode(line)?;
    match bytes.strip_prefix(ED25519).map(|rest| rest.split_at_checked(8)) {
        Some(Some((_, key))) if key.len() == 32 => key.try_into().context("a key of 32 bytes"),
        _ if [MINISIGN, SIGNIFY].contains(&bytes.len()) => bail!("this is a private key; {PUBLIC_FORMS}"),
        _ => bail!("this is no public key of minisign or signify (a signature?); {PUBLIC_FORMS}"),
    }
}

/// The key of a private key file.
pub(super) fn private(text: &str, passphrase: &passphrase::Ask<'_>) -> anyhow::Result<SigningKey> {
    let bytes = decode(text.lines().nth(1).unwrap_or_default())?;
    match (bytes.len(), bytes.get(..4)) {
        (MINISIGN, Some(b"Ed\0\0")) => keypair(&bytes[62..126]),
        (MINISIGN, Some(b"EdSc")) => minisign(&bytes, &passphrase()?),
        (SIGNIFY, Some(b"EdBK")) if bytes[4..8] == [0; 4] => keypair(&bytes[40..]),
        (SIGNIFY, Some(b"EdBK")) => signify(&bytes, &passphrase()?),
        (42, Some([b'E', b'd', ..])) => bail!("this is a public key of minisign or signify; {PRIVATE_FORMS}"),
        _ => bail!("this is no private key of minisign or signify that is known here; {PRIVATE_FORMS}"),
    }
}

fn minisign(bytes: &[u8], passphrase: &str) -> anyhow::Result<SigningKey> {
    let limit = |at: usize| -> anyhow::Result<u64> { Ok(u64::from_le_bytes(bytes[at..at + 8].try_into()?)) };
    let (log_n, p) = scrypt_cost(limit(38)?, limit(46)?);
    ensure!(
        log_n <= SCRYPT_LOG_N && (1..=16).contains(&p),
        "its passphrase needs scrypt with N = 2^{log_n} and p = {p}; at most 2^{SCRYPT_LOG_N} and 16 are computed"
    );
    let cost = scrypt::Params::new(log_n, SCRYPT_R, p).context("scrypt's parameters")?;
    let mut stream = Zeroizing::new([0; 8 + 64 + 32]);
    scrypt::scrypt(passphrase.as_bytes(), &bytes[6..38], &cost, stream.as_mut_slice()).context("scrypt")?;
    decrypt(&bytes[62..126], &stream[8..72])
}

/// scrypt's log2(N) and p from libsodium's limits of operations and bytes (`pickparams` of its
/// `crypto_pwhash_scryptsalsa208sha256.c`), for r = 8.
fn scrypt_cost(operations: u64, bytes: u64) -> (u8, u32) {
    let operations = operations.max(32768);
    let r = u64::from(SCRYPT_R);
    let by_memory = operations >= bytes / 32;
    let most = if by_memory { bytes / (r * 128) } else { operations / (r * 4) };
    let log_n = (1..63).find(|log_n| 1_u64 << log_n > most / 2).unwrap_or(63);
    let rounds = (operations / 4 / (1 << log_n)).min(0x3fff_ffff) / r;
    (log_n, if by_memory { u32::try_from(rounds).unwrap_or(u32::MAX) } else { 1 })
}

fn signify(bytes: &[u8], passphrase: &str) -> anyhow::Result<SigningKey> {
    let rounds = u32::from_be_bytes(bytes[4..8].try_into()?);
    ensure!(
        rounds <= BCRYPT_ROUNDS,
        "its passphrase needs {rounds} rounds of bcrypt; at most {BCRYPT_ROUNDS} are computed"
    );
    let mut stream = Zeroizing::new([0; 64]);
    bcrypt_pbkdf::bcrypt_pbkdf(passphrase.as_bytes(), &bytes[8..24], rounds, stream.as_mut_slice())
        .map_err(|error| anyhow::anyhow!("bcrypt_pbkdf: {error}"))?;
    decrypt(&bytes[40..], &stream[..])
}

fn decrypt(encrypted: &[u8], stream: &[u8]) -> anyhow::Result<SigningKey> {
    let plain: Zeroizing<Vec<u8>> = Zeroizing::new(encrypted.iter().zip(stream).map(|(a, b)| a ^ b).collect());
    keypair(&plain).map_err(|_| passphrase::wrong())
}

fn decode(line: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    match BASE64.decode(line.trim_end().as_bytes()) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(_) => bail!("its second line is not base64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrypt_costs_are_libsodiums() {
        // The two settings that libsodium names: INTERACTIVE (2^19, 2^24) and SENSITIVE (2^25, 2^30).
        assert_eq!(scrypt_cost(1 << 19, 1 << 24), (14, 1));
        assert_eq!(scrypt_cost(1 << 25, 1 << 30), (20, 1));
        // Few operations decide N; much memory does not raise it.
        assert_eq!(scrypt_cost(0, 1 << 40), (10, 1));
        assert_eq!(scrypt_cost(1 << 25, 1 << 24).1, 64);
        // Nothing that a file can say overflows.
        assert_eq!(scrypt_cost(u64::MAX, u64::MAX).0, 53);
        scrypt_cost(u64::MAX, 0);
    }
}
