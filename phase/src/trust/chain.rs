//! Rotations as files: reading them, following them as a machine does, and counting whose signatures are missing.

use std::path::{Path, PathBuf};

use anyhow::bail;
use serde::Serialize;
use verify::{Envelope, Followed, KeyId, LIMITS, PublicKey, Trust, rotation};

use crate::{output, publish::live};

/// Follows `envelopes` from the trust file `from` on, as a machine that has this file would; in any order.
///
/// # Errors
/// A file cannot be read, or one of them is no step of the chain: for a person's command all of them have to count.
pub(super) fn follow(from: &Path, envelopes: &[PathBuf]) -> anyhow::Result<Followed<PathBuf>> {
    let followed = look(from, envelopes)?;
    match followed.refused().first() {
        Some((path, refusal)) => bail!("{}: {refusal} ({})", path.display(), refusal.advice()),
        None => Ok(followed),
    }
}

/// The same, where what is no step is not an error but part of the answer.
pub(super) fn look(from: &Path, envelopes: &[PathBuf]) -> anyhow::Result<Followed<PathBuf>> {
    let start = live::read_trust(from)?;
    let read = |path: &PathBuf| Ok((path.clone(), output::read_limited(path, LIMITS.envelope_bytes as u64)?));
    let found = envelopes.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(rotation::follow(start, found))
}

/// A key as people know it.
#[derive(Debug, Serialize)]
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) name: String,
}

impl From<&PublicKey> for Key {
    fn from(key: &PublicKey) -> Self {
        Self { id: key.id(), name: key.name().to_owned() }
    }
}

/// A root role that has not signed enough.
#[derive(Debug, Serialize)]
pub(super) struct Missing {
    /// The epoch of the trust file whose role it is.
    pub(super) epoch: u64,
    /// How many of its keys have signed.
    pub(super) signed: usize,
    /// How many have to.
    pub(super) wanted: usize,
    /// The keys that have not.
    pub(super) keys: Vec<Key>,
}

impl Missing {
    /// What the root role of `trust` still owes to `envelope`, if it does.
    pub(super) fn from(trust: &Trust, envelope: &Envelope) -> Option<Self> {
        let root = &trust.roles.root;
        let signed = root.signers(envelope).valid;
        let keys = root.keys().iter().filter(|key| !signed.contains(&key.id())).map(Key::from).collect();
        let (signed, wanted) = (signed.len(), root.threshold());
        (signed < wanted).then_some(Self { epoch: trust.epoch, signed, wanted, keys })
    }

    /// Prints what is missing, and how to add it to the envelope at `path`.
    pub(super) fn print(missing: &[Self], path: &Path) {
        for Self { epoch, signed, wanted, keys } in missing {
            println!(
                "missing      {} signatures of root keys of epoch {epoch} ({signed} of {wanted}):",
                wanted - signed
            );
            for Key { id, name } in keys {
                println!("             {id} {name}");
            }
        }
        if !missing.is_empty() {
            println!("             no machine accepts it yet; each holder adds a signature with");
            println!("             phase sign --key KEY --add {}", path.display());
        }
    }
}
