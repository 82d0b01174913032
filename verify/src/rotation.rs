//! Rotation: from the trust file in the initramfs to the one that is in force by now (docs/formats.md, "Rotation").
//!
//! A trust file that came over a network is believed only as the successor of the one before it
//! ([`crate::verified::successor`]): signed by enough root keys of both. So a stolen release key can neither add itself
//! nor stay, and a stolen root key below the threshold can do nothing; what anybody can do is keep a rotation from a
//! machine, which `min_epoch` of a newer release and the machine's own [`crate::State`] make visible.

use std::fmt;

use crate::json::FormatError;
use crate::limits::LIMITS;
use crate::names::{Channel, Sha256Digest};
use crate::refusal::TooFewSigners;
use crate::time::Timestamp;
use crate::trust::Trust;
use crate::verified::{Verified, successor};

/// How far a trust file leads; made by [`follow`] alone. `S` is where an envelope came from.
#[derive(Debug)]
pub struct Followed<S> {
    trust: Trust,
    accepted: Vec<(u64, Vec<u8>)>,
    refused: Vec<(S, RotationRefusal)>,
}

/// Follows the rotations that lead from `trust` on. Whatever else is among `envelopes` stops none of them, and in which
/// order they came counts only where two different ones are valid for one epoch: then the first is taken.
pub fn follow<S>(trust: Trust, envelopes: impl IntoIterator<Item = (S, Vec<u8>)>) -> Followed<S> {
    Followed { trust, accepted: Vec::new(), refused: Vec::new() }.further(envelopes)
}

impl<S> Followed<S> {
    /// The trust file that is in force.
    pub const fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Epoch and envelope of every step, in order: what is worth keeping.
    pub fn accepted(&self) -> &[(u64, Vec<u8>)] {
        &self.accepted
    }

    /// The others and where they came from, but for those that repeat an accepted one.
    pub fn refused(&self) -> &[(S, RotationRefusal)] {
        &self.refused
    }

    /// The trust file that is in force, and the steps that led to it.
    pub fn into_parts(self) -> (Trust, Vec<(u64, Vec<u8>)>) {
        (self.trust, self.accepted)
    }

    /// Follows more envelopes from where this stands, say those that a network has for the next epoch. The limit on
    /// steps is one for all calls.
    #[must_use]
    pub fn further(mut self, envelopes: impl IntoIterator<Item = (S, Vec<u8>)>) -> Self {
        let mut waiting: Vec<Waiting<S>> = Vec::new();
        for (source, envelope) in envelopes {
            let digest = Sha256Digest::of(&envelope);
            if let Some(same) = waiting.iter_mut().find(|other| other.digest == digest) {
                same.sources.push(source);
            } else if waiting.len() < LIMITS.rotation_candidates {
                waiting.push(Waiting { sources: vec![source], digest, envelope });
            } else {
                self.refused.push((source, RotationRefusal::TooMany { limit: LIMITS.rotation_candidates }));
            }
        }
        // What is no successor yet may be one after the next step.
        while let Some(left) = self.step(waiting) {
            waiting = left;
        }
        self
    }

    /// Takes the first successor among `waiting` and returns what is left to look at; nothing if there is none.
    fn step(&mut self, waiting: Vec<Waiting<S>>) -> Option<Vec<Waiting<S>>> {
        let mut next: Option<(Verified<Trust>, Vec<u8>)> = None;
        let mut left = Vec::new();
        for one in waiting {
            match (successor(&self.trust, &one.envelope), &next) {
                (Ok(_), None) if self.accepted.len() >= LIMITS.rotations => {
                    self.refuse(one, &RotationRefusal::TooFar { limit: LIMITS.rotations });
                }
                (Ok(trust), None) => next = Some((trust, one.envelope)),
                (Ok(other), Some((taken, _))) if other.digest() == taken.digest() => {}
                (Ok(other), Some((taken, _))) => {
                    let twice = RotationRefusal::Twice { epoch: other.epoch, taken: taken.digest() };
                    self.refuse(one, &twice);
                }
                (Err(refusal), _) => left.push((one, refusal)),
            }
        }
        let Some((trust, envelope)) = next else {
            for (one, refusal) in left {
                self.refuse(one, &refusal);
            }
            return None;
        };
        self.accepted.push((trust.epoch, envelope));
        self.trust = trust.into_value();
        Some(left.into_iter().map(|(one, _)| one).collect())
    }

    fn refuse(&mut self, one: Waiting<S>, refusal: &RotationRefusal) {
        self.refused.extend(one.sources.into_iter().map(|source| (source, refusal.clone())));
    }
}

/// An envelope that is to be looked at, once for all who sent it.
struct Waiting<S> {
    sources: Vec<S>,
    digest: Sha256Digest,
    envelope: Vec<u8>,
}

/// Whether `trust` may come after the one `in_force`, but for who signed it: the next one of the same channel, made no
/// earlier.
pub fn continues(in_force: &Trust, trust: &Trust) -> Result<(), RotationRefusal> {
    if trust.channel != in_force.channel {
        return Err(RotationRefusal::Channel { seen: trust.channel.clone(), wanted: in_force.channel.clone() });
    }
    if trust.epoch <= in_force.epoch {
        return Err(RotationRefusal::Old { seen: trust.epoch, in_force: in_force.epoch });
    }
    if trust.epoch > in_force.epoch + 1 {
        return Err(RotationRefusal::Gap { seen: trust.epoch, wanted: in_force.epoch + 1 });
    }
    if trust.built < in_force.built {
        return Err(RotationRefusal::Built { seen: trust.built, wanted: in_force.built });
    }
    Ok(())
}

/// Whose root role a signature is missing from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// Of the trust file that is in force.
    InForce,
    /// Of the new one.
    Own,
}

impl fmt::Display for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InForce => "the trust file in force",
            Self::Own => "the new trust file itself",
        })
    }
}

/// Why a trust file does not take the place of the one in force: what was seen and what was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationRefusal {
    /// Not looked at, because there were too many before it.
    #[error("the trust file was not looked at: {limit} others came before it")]
    TooMany {
        /// How many are looked at.
        limit: usize,
    },
    /// A good one, but there were too many steps before it.
    #[error("the trust file was not followed: {limit} others were, which is as many as one boot follows")]
    TooFar {
        /// How many are followed.
        limit: usize,
    },
    /// The envelope or, after enough keys in force have signed, the trust file is not what docs/formats.md says.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Another kind of document.
    #[error("the payload type is {seen}, wanted {wanted}")]
    PayloadType {
        /// The envelope's, safe to print.
        seen: String,
        /// The one of trust files.
        wanted: &'static str,
    },
    /// Not enough root keys of one of the two files signed.
    #[error("not enough root keys of {role} (epoch {epoch}) have signed: {problem}")]
    Signers {
        /// Whose keys.
        role: Signing,
        /// The epoch of that file.
        epoch: u64,
        /// How many did and had to.
        problem: TooFewSigners,
    },
    /// Of another channel.
    #[error("the trust file is of channel {seen}, wanted {wanted}")]
    Channel {
        /// The file's.
        seen: Channel,
        /// The one in force.
        wanted: Channel,
    },
    /// Not newer than the one in force.
    #[error("the trust file has epoch {seen}, but {in_force} is in force already")]
    Old {
        /// The file's.
        seen: u64,
        /// The one in force.
        in_force: u64,
    },
    /// Newer, but something is missing before it.
    #[error("the trust file has epoch {seen}, wanted {wanted}: those in between are missing")]
    Gap {
        /// The file's.
        seen: u64,
        /// The next one.
        wanted: u64,
    },
    /// Made before the one in force, so that time would go back.
    #[error("the trust file was made at {seen}, wanted {wanted} or later, when the one in force was made")]
    Built {
        /// The file's.
        seen: Timestamp,
        /// The one in force.
        wanted: Timestamp,
    },
    /// The holders of the root keys signed two different files of one epoch.
    #[error("it is a second trust file of epoch {epoch}; the one with SHA-256 {taken} was taken")]
    Twice {
        /// The epoch of both.
        epoch: u64,
        /// Digest of the one that came first.
        taken: Sha256Digest,
    },
}

impl RotationRefusal {
    /// A short word for markers and scripts, which never changes (docs/markers.md).
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => "too-many",
            Self::TooFar { .. } => "too-far",
            Self::Format(FormatError::TooLarge { .. }) => "too-large",
            Self::Format(_) => "format",
            Self::PayloadType { .. } => "payload-type",
            Self::Signers { problem, .. } => problem.kind(),
            Self::Channel { .. } => "channel",
            Self::Old { .. } => "old",
            Self::Gap { .. } => "gap",
            Self::Built { .. } => "built",
            Self::Twice { .. } => "twice",
        }
    }

    /// What the person at the machine can do about it.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => "configure fewer origins",
            Self::TooFar { .. } => "make a new boot medium from the current trust file",
            Self::Format(_) | Self::PayloadType { .. } => {
                "check that the origin serves what `phase trust rotate` wrote, of a version that this boot medium knows"
            }
            Self::Signers { problem: TooFewSigners::Signature { .. }, .. } => {
                "publish the trust file again, or use another origin: its bytes were changed"
            }
            Self::Signers { role: Signing::InForce, .. } => "have more holders of the root keys in force sign it",
            Self::Signers { role: Signing::Own, .. } => "have more holders of the new root keys sign it, too",
            Self::Channel { .. } => "use an origin that serves this machine's channel",
            Self::Old { .. } => "nothing: this machine has a newer one",
            Self::Gap { .. } => "use an origin that has every trust/<epoch>.dsse.json",
            Self::Built { .. } => "make the trust file again, on a machine whose clock is right",
            Self::Twice { .. } => "ask the holders of the root keys which one they meant; publish one per epoch",
        }
    }
}
