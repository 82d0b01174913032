//! The only way from an envelope to a manifest or a trust file that is believed.

mod signed;
mod successor;

use std::ops::Deref;

use crate::clock::Now;
use crate::dsse::{Envelope, MANIFEST_TYPE};
use crate::limits::LIMITS;
use crate::manifest::Manifest;
use crate::names::{Arch, KeyId, Sha256Digest, quoted};
use crate::refusal::{Refusal, Warning};
use crate::state::Floors;
use crate::trust::{Reaction, Trust};

pub use signed::Signed;
pub use successor::successor;

/// A value from a payload that enough trusted keys signed and that passed every check. Only this module makes one: of
/// manifests by [`manifest`], of trust files by [`successor`].
#[derive(Debug, Clone)]
pub struct Verified<T> {
    value: T,
    digest: Sha256Digest,
    key_ids: Vec<KeyId>,
    warnings: Vec<Warning>,
}

impl<T> Verified<T> {
    /// The SHA-256 of the signed bytes: what the hand-off and the receipt call the manifest's digest.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// The trusted keys that signed, each once.
    pub fn key_ids(&self) -> &[KeyId] {
        &self.key_ids
    }

    /// What should be said although it was accepted.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The value alone.
    pub fn into_value(self) -> T {
        self.value
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// What somebody says is a release. Untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The envelope, as it came.
    pub envelope: Vec<u8>,
    /// The proof that it was logged, if one came with it.
    pub proof: Option<Vec<u8>>,
}

impl From<Vec<u8>> for Candidate {
    /// An envelope without a proof.
    fn from(envelope: Vec<u8>) -> Self {
        Self { envelope, proof: None }
    }
}

/// What a release has to meet: the machine's trust, its kind, its time and its memory.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Which keys count, and what the owner decided.
    pub trust: &'a Trust,
    /// The machine's architecture.
    pub arch: Arch,
    /// The time to go by.
    pub now: Now,
    /// What the machine remembers.
    pub floors: Floors,
}

/// Checks one candidate: first its signatures, then, and only then, the manifest in it. Under a trust file that this
/// machine has left behind, nothing is accepted.
pub fn manifest(candidate: &Candidate, rules: &Rules<'_>) -> Result<Verified<Manifest>, Refusal> {
    let Rules { trust, arch, now, floors } = *rules;
    if trust.epoch < floors.epoch {
        return Err(Refusal::Withheld { seen: trust.epoch, wanted: floors.epoch });
    }
    let envelope = Envelope::parse(&candidate.envelope)?;
    if envelope.payload_type != MANIFEST_TYPE {
        return Err(Refusal::PayloadType { seen: quoted(&envelope.payload_type), wanted: MANIFEST_TYPE });
    }
    let signers = trust.roles.release.enough_signers(&envelope)?;

    // From here on the payload is what the holders of the keys signed.
    let manifest = Manifest::parse(&envelope.payload)?;
    belongs_here(&manifest, trust, arch)?;
    not_older(&manifest, trust.minimum_version.max(floors.version))?;
    let expired = fresh(&manifest, trust, now)?;
    if let Some(transparency) = &trust.policy.transparency {
        transparency.check(&envelope.payload, candidate.proof.as_deref())?;
    }

    let unknown = signers.unknown.into_iter().map(Warning::UnknownKey);
    let bad = signers.bad.into_iter().map(Warning::BadSignature);
    Ok(Verified {
        value: manifest,
        digest: Sha256Digest::of(&envelope.payload),
        key_ids: signers.valid,
        warnings: expired.into_iter().chain(unknown).chain(bad).collect(),
    })
}

fn belongs_here(manifest: &Manifest, trust: &Trust, arch: Arch) -> Result<(), Refusal> {
    if manifest.channel != trust.channel {
        return Err(Refusal::Channel { seen: manifest.channel.clone(), wanted: trust.channel.clone() });
    }
    if manifest.arch != arch {
        return Err(Refusal::Arch { seen: manifest.arch, wanted: arch });
    }
    if manifest.min_epoch > trust.epoch {
        return Err(Refusal::Epoch { seen: manifest.min_epoch, has: trust.epoch });
    }
    Ok(())
}

fn not_older(manifest: &Manifest, floor: u64) -> Result<(), Refusal> {
    if manifest.version < floor { Err(Refusal::Rollback { seen: manifest.version, wanted: floor }) } else { Ok(()) }
}

/// The dates. Expiry is checked against a clock that is not trusted, too: its time has certainly passed. Whether
/// `issued` lies ahead only a trusted clock can tell; but `issued` becomes the machine's time once it is acknowledged,
/// so how far ahead that may be has a limit that asks no clock.
fn fresh(manifest: &Manifest, trust: &Trust, now: Now) -> Result<Option<Warning>, Refusal> {
    let (issued, expires, now_is) = (manifest.issued, manifest.expires, now.time);
    let days = trust.policy.max_validity_days;
    if expires > issued.plus_days(days) {
        return Err(Refusal::Validity { issued, expires, days });
    }
    if issued.unix() > trust.built.unix().saturating_add(LIMITS.clock_seconds) {
        return Err(Refusal::Distant { issued, built: trust.built });
    }
    if now.trusted && issued.unix() > now_is.unix().saturating_add(LIMITS.future_seconds) {
        return Err(Refusal::Future { issued, now: now_is });
    }
    match trust.policy.expiry {
        _ if now_is < expires => Ok(None),
        Reaction::Refuse => Err(Refusal::Expired { expires, now: now_is }),
        Reaction::Warn => Ok(Some(Warning::Expired { expires, now: now_is })),
    }
}

/// The newest release of those that were found, and what became of the others. `S` is where an envelope came from.
#[derive(Debug)]
pub struct Newest<S> {
    /// Where the release was found first.
    pub source: S,
    /// The release.
    pub release: Verified<Manifest>,
    /// The other verified ones, newest first: further sources of the release, and older ones to fall back to.
    pub others: Vec<(S, Verified<Manifest>)>,
    /// The refused ones.
    pub refused: Vec<(S, Refusal)>,
}

impl<S> Newest<S> {
    /// Verified releases of the same version that are not the same: somebody signed one version twice.
    pub fn conflicts(&self) -> impl Iterator<Item = &(S, Verified<Manifest>)> {
        self.others
            .iter()
            .filter(|(_, other)| other.version == self.release.version && other.digest() != self.release.digest())
    }
}

/// Nothing that was found is believed.
#[derive(Debug, thiserror::Error)]
#[error("none of {} releases found is acceptable", refused.len())]
pub struct NoRelease<S> {
    /// Every candidate and why it lost; empty if nothing was found.
    pub refused: Vec<(S, Refusal)>,
}

/// Verifies every candidate and takes the highest *verified* version; of equals the one that came first.
pub fn newest<S>(
    candidates: impl IntoIterator<Item = (S, Candidate)>,
    rules: &Rules<'_>,
) -> Result<Newest<S>, NoRelease<S>> {
    let mut verified = Vec::new();
    let mut refused = Vec::new();
    for (index, (source, candidate)) in candidates.into_iter().enumerate() {
        if index >= LIMITS.candidates {
            refused.push((source, Refusal::TooMany { limit: LIMITS.candidates }));
            continue;
        }
        match manifest(&candidate, rules) {
            Ok(release) => verified.push((source, release)),
            Err(refusal) => refused.push((source, refusal)),
        }
    }
    // Stable: the order of sources decides between equal versions.
    verified.sort_by_key(|(_, release)| std::cmp::Reverse(release.version));
    let mut verified = verified.into_iter();
    match verified.next() {
        Some((source, release)) => Ok(Newest { source, release, others: verified.collect(), refused }),
        None => Err(NoRelease { refused }),
    }
}

#[cfg(test)]
mod tests;
