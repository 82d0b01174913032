//! Why an envelope is not believed, and what may be worth saying about one that is.

use std::fmt;

use crate::json::FormatError;
use crate::names::{Arch, Channel, KeyId};
use crate::time::Timestamp;
use crate::transparency::ProofRefusal;

/// Why an envelope is not believed: what was seen and what was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not looked at, because there were too many before it.
    #[error("the release was not looked at: {limit} others came before it")]
    TooMany {
        /// How many are looked at.
        limit: usize,
    },
    /// The envelope or, after its signatures verified, the manifest is not what docs/formats.md says.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Another kind of document.
    #[error("the payload type is {seen}, wanted {wanted}")]
    PayloadType {
        /// The envelope's, safe to print.
        seen: String,
        /// The one of manifests.
        wanted: &'static str,
    },
    /// Not enough keys of the release role signed.
    #[error(transparent)]
    Signers(#[from] TooFewSigners),
    /// This machine was further already: somebody keeps the trust files in between from it.
    #[error(
        "the trust file in force has epoch {seen}, but this machine acknowledged a release under epoch {wanted}: \
         the trust files after it are withheld"
    )]
    Withheld {
        /// The epoch that is in force.
        seen: u64,
        /// The state's.
        wanted: u64,
    },
    /// A release of another channel.
    #[error("the release is of channel {seen}, wanted {wanted}")]
    Channel {
        /// The manifest's.
        seen: Channel,
        /// The trust file's.
        wanted: Channel,
    },
    /// A release for another kind of machine.
    #[error("the release is for {seen}, wanted {wanted}")]
    Arch {
        /// The manifest's.
        seen: Arch,
        /// This machine's.
        wanted: Arch,
    },
    /// The release knows of newer keys than this machine.
    #[error("the release wants trust epoch {seen} or newer, this machine has {has}")]
    Epoch {
        /// The manifest's `min_epoch`.
        seen: u64,
        /// The trust file's epoch.
        has: u64,
    },
    /// Older than what is accepted.
    #[error("the release has version {seen}, wanted at least {wanted}")]
    Rollback {
        /// The manifest's version.
        seen: u64,
        /// The floor.
        wanted: u64,
    },
    /// Issued after the machine's clock, which is believed.
    #[error("the release was issued at {issued}, but it is {now}")]
    Future {
        /// The manifest's.
        issued: Timestamp,
        /// The machine's time.
        now: Timestamp,
    },
    /// Issued so long after the trust file was made that no clock is asked.
    #[error("the release was issued at {issued}, wanted at most 15 years after {built}, when the trust file was made")]
    Distant {
        /// The manifest's.
        issued: Timestamp,
        /// The trust file's.
        built: Timestamp,
    },
    /// Valid for longer than the policy allows.
    #[error("the release is valid from {issued} to {expires}, wanted at most {days} days")]
    Validity {
        /// The manifest's.
        issued: Timestamp,
        /// The manifest's.
        expires: Timestamp,
        /// The policy's.
        days: u64,
    },
    /// Out of date.
    #[error("the release expired at {expires}, and it is at least {now}")]
    Expired {
        /// The manifest's.
        expires: Timestamp,
        /// The machine's time.
        now: Timestamp,
    },
    /// Not proved to be logged where everybody can see it, which the policy wants.
    #[error(transparent)]
    Transparency(#[from] ProofRefusal),
}

/// Why the signatures of an envelope do not suffice for a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooFewSigners {
    /// A trusted key is named, but its signature is not one of these bytes: they were changed, or it was forged.
    #[error(
        "the signature of key {} does not match the signed bytes: {valid} good signatures, wanted {wanted}",
        List(bad)
    )]
    Signature {
        /// The trusted keys with a signature that does not verify.
        bad: Vec<KeyId>,
        /// How many trusted keys signed.
        valid: usize,
        /// How many have to.
        wanted: usize,
    },
    /// Nobody who is trusted signed.
    #[error("signed by key {}, wanted {wanted} of {}", List(seen), List(trusted))]
    UnknownKey {
        /// Who is said to have signed.
        seen: Vec<KeyId>,
        /// How many trusted keys have to sign.
        wanted: usize,
        /// The trusted keys.
        trusted: Vec<KeyId>,
    },
    /// Trusted keys signed, but too few of them.
    #[error("signed by {seen} trusted keys, wanted {wanted}")]
    Threshold {
        /// How many trusted keys signed.
        seen: usize,
        /// How many have to.
        wanted: usize,
    },
}

impl TooFewSigners {
    /// As [`Refusal::kind`].
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Signature { .. } => "signature",
            Self::UnknownKey { .. } => "unknown-key",
            Self::Threshold { .. } => "threshold",
        }
    }
}

impl Refusal {
    /// A short word for markers and scripts, which never changes (docs/markers.md).
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => "too-many",
            Self::Format(FormatError::TooLarge { .. }) => "too-large",
            Self::Format(_) => "format",
            Self::PayloadType { .. } => "payload-type",
            Self::Signers(problem) => problem.kind(),
            Self::Withheld { .. } => "withheld",
            Self::Channel { .. } => "channel",
            Self::Arch { .. } => "arch",
            Self::Epoch { .. } => "epoch",
            Self::Rollback { .. } => "rollback",
            Self::Future { .. } | Self::Distant { .. } => "future",
            Self::Validity { .. } => "validity",
            Self::Expired { .. } => "expired",
            Self::Transparency(_) => "transparency",
        }
    }

    /// What the person at the machine can do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => "configure fewer origins",
            Self::Format(_) | Self::PayloadType { .. } => {
                "check that the origin serves what `phase publish` wrote, of a version that this boot medium knows"
            }
            Self::Signers(TooFewSigners::Signature { .. }) => {
                "publish the release again, or use another origin: its bytes were changed"
            }
            Self::Signers(TooFewSigners::UnknownKey { .. }) => {
                "sign with a key of the trust file, or make a boot medium that trusts this key"
            }
            Self::Signers(TooFewSigners::Threshold { .. }) => "have more holders of release keys sign it",
            Self::Withheld { .. } => {
                "use an origin that has every trust/<epoch>.dsse.json, or make a new boot medium from the current trust \
                 file; if the state was written by an intruder, remove it (docs/rotation.md)"
            }
            Self::Channel { .. } | Self::Arch { .. } => "use an origin that serves this machine's channel and arch",
            Self::Epoch { .. } => "make a new boot medium from the current trust file",
            Self::Rollback { .. } => "publish a release with a higher version",
            Self::Future { .. } => "set the machine's clock, or the clock of the machine that signs",
            Self::Distant { .. } => "set the clock of the machine that signs, or rotate to a trust file of today",
            Self::Validity { .. } => "sign the release again with a shorter validity",
            Self::Transparency(problem) => problem.advice(),
            Self::Expired { .. } => "publish a fresh release, or set the machine's clock if it runs ahead",
        }
    }
}

/// What is worth saying about a release that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Out of date, which the policy only warns about.
    #[error("the release expired at {expires}, and it is at least {now}")]
    Expired {
        /// The manifest's.
        expires: Timestamp,
        /// The machine's time.
        now: Timestamp,
    },
    /// A signature was ignored, because the trust file does not list its key for this.
    #[error("a signature of key {0}, which is not trusted with this, was ignored")]
    UnknownKey(KeyId),
    /// A signature was ignored, because it does not verify; enough others do.
    #[error("a signature of key {0} does not match the signed bytes and was ignored")]
    BadSignature(KeyId),
}

/// Writes key ids with commas.
pub(crate) struct List<'a>(pub(crate) &'a [KeyId]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, id) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{id}")?;
        }
        Ok(())
    }
}
