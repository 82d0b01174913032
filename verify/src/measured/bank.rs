//! The banks of a TPM's registers: one set of registers for each hash algorithm.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::names::ValueError;

/// A hash algorithm that registers are kept in. A TPM extends those banks that its firmware has switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bank {
    /// SHA-1: broken for anything else, and still switched on in many machines. What stays at zero there could be forged by a
    /// release, so it is extended like the others.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Bank {
    /// All that are known here.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// `TPM_ALG_ID` (TCG, "Algorithm Registry").
    pub const fn algorithm(self) -> u16 {
        match self {
            Self::Sha1 => 0x0004,
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
            Self::Sha512 => 0x000d,
        }
    }

    /// The bank of a `TPM_ALG_ID`.
    pub fn of(algorithm: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|bank| bank.algorithm() == algorithm)
    }

    /// Bytes of a register.
    pub const fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The name as text: that of `tpm2_pcrread`, and of the kernel's `/sys/class/tpm/tpm0/pcr-<name>/`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => sha1_smol::Sha1::from(bytes).digest().bytes().to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha384 => Sha384::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// What a register holds after `TPM2_PCR_Extend`: the digest of what it held and of what came.
    pub fn extended(self, register: &[u8], digest: &[u8]) -> Vec<u8> {
        self.digest(&[register, digest].concat())
    }
}

impl fmt::Display for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Bank {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let named = Self::ALL.into_iter().find(|bank| bank.as_str() == text);
        named.ok_or_else(|| ValueError::new(text, "sha1, sha256, sha384 or sha512"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bank_has_its_own_digest_and_name() {
        // FIPS 180-4's example "abc", first four bytes each.
        let abc =
            [[0xa9, 0x99, 0x3e, 0x36], [0xba, 0x78, 0x16, 0xbf], [0xcb, 0x00, 0x75, 0x3f], [0xdd, 0xaf, 0x35, 0xa1]];
        for (bank, wanted) in Bank::ALL.into_iter().zip(abc) {
            let digest = bank.digest(b"abc");
            assert_eq!((digest.len(), &digest[..4]), (bank.size(), &wanted[..]));
            assert_eq!((bank.as_str().parse(), Bank::of(bank.algorithm())), (Ok(bank), Some(bank)));
        }
        assert_eq!(Bank::of(0x0012), None, "SM3-256 is not known");
        assert!("sha3".parse::<Bank>().unwrap_err().to_string().contains("sha1, sha256, sha384 or sha512"));
    }
}
