//! What this machine knows beyond its initramfs: which trust file is in force by now, and what it remembers.
//!
//! Both come from places that anybody may have written, so both count only through `verify`: a trust file as the signed
//! successor of the one before it, a state as a demand for more. A machine without a store goes through none of it but the
//! trust files that its origins have.

use std::path::Path;
use std::time::Duration;

use discover::Gathered;
use verify::state::Decision;
use verify::{
    Arch, Envelope, Floors, Followed, Now, Reaction, Rules, Sha256Digest, State, Store, Trust, rotation, state,
    verified,
};

use super::{BootError, StageOne, field};
use crate::config::Config;
use crate::modules;
use crate::store::{Access, Chain, Opened, Opening, StoreError};

/// How long a store's device is waited for: a slow USB stick takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where kept trust files are said to come from.
const KEPT: &str = "the store";

/// What the store gave, before anybody was asked.
pub(super) struct Memory {
    store: Option<Opened>,
    state: Result<Option<State>, StoreError>,
    /// Why not all of the trust files that were kept are followed. It takes nothing away from the state.
    broken: Option<StoreError>,
    followed: Followed<String>,
    /// SHA-256 of the trust file that is followed from.
    first: Sha256Digest,
}

impl Memory {
    /// The trust file that the machine knows of: later ones are asked for.
    pub(super) fn epoch(&self) -> u64 {
        self.followed.trust().epoch
    }

    /// Which time it is, by what the machine knows before it asks anybody: what it cannot read of its memory says nothing.
    pub(super) fn now(&self, clock: Option<u64>) -> Now {
        let trust = self.followed.trust();
        Now::decide(clock, trust.built, self.floors(trust).issued)
    }

    /// Whether there is a release in what was found, as far as it can be told before the search ends: the proofs that releases
    /// were logged are asked for later.
    pub(super) fn accepts(&self, gathered: &Gathered, now: Now) -> bool {
        let mut trust =
            rotation::follow(self.followed.trust().clone(), gathered.rotations.iter().cloned()).into_parts().0;
        trust.policy.transparency = None;
        let rules = Rules { trust: &trust, arch: Arch::COMPILED, now, floors: self.floors(&trust) };
        gathered.candidates.iter().any(|found| verified::manifest(&found.envelope.clone().into(), &rules).is_ok())
    }

    /// The floors, as far as the memory can be read.
    fn floors(&self, trust: &Trust) -> Floors {
        let state = self.state.as_ref().ok().cloned().flatten();
        let decision = state::decide(Ok::<_, StoreError>(state), trust);
        decision.map_or_else(|_| Floors::default(), |decision| decision.floors)
    }
}

/// What a release is judged by.
pub(super) struct Believed {
    /// The trust file in force.
    pub(super) trust: Trust,
    /// SHA-256 of it, byte by byte.
    pub(super) trust_digest: Sha256Digest,
    /// What the machine remembers.
    pub(super) floors: Floors,
}

impl Believed {
    /// Which time it is, by the trust file in force.
    pub(super) fn now(&self, clock: Option<u64>) -> Now {
        Now::decide(clock, self.trust.built, self.floors.issued)
    }
}

impl StageOne<'_> {
    /// Reads what the machine remembers. A store that is not there stops nothing yet: whether it may be missing, the trust
    /// file in force says, and which one that is, the origins may know.
    pub(super) fn remember(&self, config: &Config, access: Access) -> Memory {
        let (first, digest) = (config.trust.clone(), config.trust_digest);
        if config.store == Store::None {
            let followed = rotation::follow(first, []);
            return Memory { store: None, state: Ok(None), broken: None, followed, first: digest };
        }
        let reading = self.timeline.begin("state");
        let load = |module: &str| _ = modules::load(Path::new("/"), &config.command_line, &[module]);
        let opening = Opening { root: Path::new("/"), access, patience: PATIENCE, load: &load };
        let (store, state, Chain { envelopes, broken }) = read(&opening, &config.store, first.epoch + 1);
        match (&state, &broken) {
            (Ok(state), None) => {
                let version = state.as_ref().map_or_else(|| "none".to_owned(), |state| state.version.to_string());
                reading.end(&[("store", config.store.to_string()), ("acknowledged", version)]);
            }
            (Err(error), _) | (Ok(_), Some(error)) => reading.fail(error),
        }
        let followed = rotation::follow(first, envelopes.into_iter().map(|envelope| (KEPT.to_owned(), envelope)));
        Memory { store, state, broken, followed, first: digest }
    }

    /// Follows the trust files that the origins have, keeps them, and decides by the last one what the memory demands.
    pub(super) fn believe(&self, memory: Memory, gathered: &Gathered, access: Access) -> Result<Believed, BootError> {
        let Memory { store, state, broken, followed, first } = memory;
        let known = followed.trust().epoch;
        let rotations = || gathered.rotations.iter().cloned();
        let decide = || {
            let followed = followed.further(rotations());
            for (source, refusal) in followed.refused() {
                self.console.warn(format_args!("{source}: trust file refused: {refusal}; {}", refusal.advice()));
            }
            for (epoch, envelope) in followed.accepted() {
                let source =
                    rotations().find(|(_, sent)| sent == envelope).map_or(KEPT.to_owned(), |(source, _)| source);
                self.console.info(format_args!("trust epoch {epoch} from {source}"));
            }
            let (trust, accepted) = followed.into_parts();
            let last = accepted.last().and_then(|(_, envelope)| Envelope::parse(envelope).ok());
            let trust_digest = last.map_or(first, |envelope| Sha256Digest::of(&envelope.payload));
            let new: Vec<(u64, Vec<u8>)> = accepted.into_iter().filter(|(epoch, _)| *epoch > known).collect();
            if let (Some(store), Access::ReadWrite, false) = (&store, access, new.is_empty()) {
                self.keep(store, &new);
            }
            let (floors, remarks) = weigh(state, broken, &trust).map_err(BootError::State)?;
            for remark in remarks {
                self.console.warn(format_args!("{remark}"));
            }
            Ok(Believed { trust, trust_digest, floors })
        };
        self.timeline.stage("trust", decide, |believed| field("epoch", &believed.trust.epoch))
    }

    /// Keeps trust files for boots at which nobody has them. Without that they are followed again, or missed.
    fn keep(&self, store: &Opened, trust_files: &[(u64, Vec<u8>)]) {
        match store.keep(trust_files) {
            Ok(true) => self.console.info(format_args!("kept in the store: {} trust file(s)", trust_files.len())),
            Ok(false) => {}
            Err(error) => self.console.warn(format_args!("the new trust file could not be kept: {error}")),
        }
    }
}

/// Reads the state, and the trust files from `epoch` on. Neither hides the other when it is damaged.
fn read(
    opening: &Opening<'_>,
    store: &Store,
    epoch: u64,
) -> (Option<Opened>, Result<Option<State>, StoreError>, Chain) {
    match opening.open(store) {
        Ok(Some(opened)) => {
            let (state, chain) = (opened.state(), opened.chain(epoch));
            (Some(opened), state, chain)
        }
        Ok(None) => (None, Ok(None), Chain::default()),
        Err(error) => (None, Err(error), Chain::default()),
    }
}

/// The floors, and what has to be said about the memory. The floors hold whatever became of the trust files that were kept:
/// without them, they are all that keeps an older release out.
fn weigh(
    state: Result<Option<State>, StoreError>,
    broken: Option<StoreError>,
    trust: &Trust,
) -> Result<(Floors, Vec<String>), StoreError> {
    let Decision { floors, remark } = state::decide(state, trust)?;
    let mut remarks: Vec<String> = remark.map(|remark| remark.to_string()).into_iter().collect();
    match (broken, trust.policy.state) {
        (Some(error), Reaction::Refuse) => return Err(error),
        (Some(error), Reaction::Warn) => remarks.push(format!(
            "not all trust files that this machine kept can be read, so a later one than epoch {} may be missed: {error}",
            trust.epoch
        )),
        (None, _) => {}
    }
    Ok((floors, remarks))
}

#[cfg(test)]
mod tests;
