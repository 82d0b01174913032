//! The small values that documents name things by. Each is valid once it exists: the only ways in are the checked
//! constructors and `FromStr`.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// A text that is not the value it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{seen}, wanted {wanted}")]
pub struct ValueError {
    /// What was there: quoted, escaped and cut, since it may come from anybody and go to a console.
    pub seen: String,
    /// What would have been accepted.
    pub wanted: &'static str,
}

impl ValueError {
    /// An error about `text`, which is quoted and cut.
    pub fn new(text: &str, wanted: &'static str) -> Self {
        Self { seen: quoted(text), wanted }
    }
}

/// `text` in quotes, with escapes for everything but printable ASCII, and cut after 64 characters: safe on a console.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    let cut: String = text.chars().take(SHOWN).collect();
    let more = if cut.len() < text.len() { "..." } else { "" };
    format!("\"{}\"{more}", cut.escape_default())
}

/// Implements serde's traits over `Display` and `FromStr`, so that a value that is read is a checked one.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;

/// A line of releases: `[a-z0-9.-]{1,32}`, and not `.` or `..`, since it is a directory of the published tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(String);

impl Channel {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Channel {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
        if (1..=32).contains(&text.len()) && text.bytes().all(allowed) && text != "." && text != ".." {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError::new(text, "1 to 32 of a-z, 0-9, '.' and '-', not '.' or '..'"))
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

serde_as_text!(Channel);

/// A machine architecture, under the kernel's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Arch {
    /// The architecture that this program was compiled for.
    #[cfg(target_arch = "x86_64")]
    pub const COMPILED: Self = Self::X86_64;
    /// The architecture that this program was compiled for.
    #[cfg(target_arch = "aarch64")]
    pub const COMPILED: Self = Self::Aarch64;

    /// The name as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

impl FromStr for Arch {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        [Self::X86_64, Self::Aarch64]
            .into_iter()
            .find(|arch| arch.as_str() == text)
            .ok_or_else(|| ValueError::new(text, "x86_64 or aarch64"))
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

serde_as_text!(Arch);

/// A SHA-256 digest; as text 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest(pub [u8; 32]);

impl Sha256Digest {
    /// Bytes of a digest.
    pub const BYTES: u64 = 32;

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl FromStr for Sha256Digest {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        hex32(text).map(Self).ok_or_else(|| ValueError::new(text, "64 lower-case hex digits"))
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Digest({self})")
    }
}

serde_as_text!(Sha256Digest);

/// The name of a key: the SHA-256 of its 32 raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Sha256Digest);

impl KeyId {
    /// The id of the raw Ed25519 public key `public`.
    pub fn of(public: &[u8; 32]) -> Self {
        Self(Sha256Digest::of(public))
    }
}

impl FromStr for KeyId {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

serde_as_text!(KeyId);

/// 32 bytes from exactly 64 lower-case hex digits.
pub(crate) fn hex32(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_directory_names() {
        for good in ["demo", "a", "stable-12.1", "...", "-", &"a".repeat(32)] {
            assert_eq!(good.parse::<Channel>().map(|c| c.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", "../x", "a/b", "Demo", "a b", "a\0", "é", &"a".repeat(33)] {
            assert!(bad.parse::<Channel>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn arches_are_exact() {
        assert_eq!("x86_64".parse(), Ok(Arch::X86_64));
        assert_eq!("aarch64".parse(), Ok(Arch::Aarch64));
        let refused = "X86_64".parse::<Arch>().unwrap_err();
        assert_eq!(refused.to_string(), "\"X86_64\", wanted x86_64 or aarch64");
    }

    #[test]
    fn digests_are_64_lower_case_hex_digits() {
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256Digest::of(b"abc").to_string(), text);
        assert_eq!(text.parse(), Ok(Sha256Digest::of(b"abc")));
        for bad in [&text[1..], &text.to_uppercase(), &format!("{text}0"), &text.replace('b', "g"), ""] {
            assert!(bad.parse::<Sha256Digest>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn quoting_hides_escapes_and_length() {
        assert_eq!(quoted("\x1b[2J\n"), "\"\\u{1b}[2J\\n\"");
        assert_eq!(quoted(&"é".repeat(65)), format!("\"{}\"...", "\\u{e9}".repeat(64)));
    }

    #[test]
    fn serde_reads_only_what_from_str_accepts() {
        let channel: Channel = serde_json::from_str("\"demo\"").unwrap();
        assert_eq!(serde_json::to_string(&channel).unwrap(), "\"demo\"");
        assert!(serde_json::from_str::<Channel>("\"..\"").is_err());
        assert!(serde_json::from_str::<Sha256Digest>("\"00\"").is_err());
    }
}
