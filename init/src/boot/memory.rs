//! What this machine knows beyond its initramfs: which trust file is in force by now, and what it remembers.
//!
//! Both come from places that anybody may have written, so both count only through `verify`: a trust file as the signed
//! successor of the one before it, a state as a demand for more. A machine without a store goes through none of it but the
//! trust files that its origins have.

use std::path::Path;
use std::time::Duration;

use discover::Gathered;
use verify::{Floors, Followed, State, Store, Trust, rotation, state};

use super::{BootError, StageOne, field};
use crate::config::Config;
use crate::modules;
use crate::store::{Access, Opened, Opening, StoreError};

/// How long a store's device is waited for: a slow USB stick takes seconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where kept trust files are said to come from.
const KEPT: &str = "the store";

/// What the store gave, before anybody was asked.
pub(super) struct Memory {
    store: Option<Opened>,
    state: Result<Option<State>, StoreError>,
    followed: Followed<String>,
}

impl Memory {
    /// The trust file that the machine knows of: later ones are asked for.
    pub(super) fn epoch(&self) -> u64 {
        self.followed.trust.epoch
    }
}

/// What a release is judged by.
pub(super) struct Believed {
    /// The trust file in force.
    pub(super) trust: Trust,
    /// What the machine remembers.
    pub(super) floors: Floors,
}

impl StageOne<'_> {
    /// Reads what the machine remembers. A store that is not there stops nothing yet: whether it may be missing, the trust
    /// file in force says, and which one that is, the origins may know.
    pub(super) fn remember(&self, config: &Config, access: Access) -> Memory {
        let first = config.trust.clone();
        if config.store == Store::None {
            return Memory { store: None, state: Ok(None), followed: rotation::follow(first, []) };
        }
        let reading = self.timeline.begin("state");
        let load = |module: &str| _ = modules::load(Path::new("/"), &config.command_line, &[module]);
        let opening = Opening { root: Path::new("/"), access, patience: PATIENCE, load: &load };
        let (store, Contents { state, chain }) = read(&opening, &config.store, first.epoch + 1);
        match &state {
            Ok(state) => {
                let version = state.as_ref().map_or_else(|| "none".to_owned(), |state| state.version.to_string());
                reading.end(&[("store", config.store.to_string()), ("acknowledged", version)]);
            }
            Err(error) => reading.fail(error),
        }
        let followed = rotation::follow(first, chain.into_iter().map(|envelope| (KEPT.to_owned(), envelope)));
        Memory { store, state, followed }
    }

    /// Follows the trust files that the origins have, keeps them, and decides by the last one what the memory demands.
    pub(super) fn believe(&self, memory: Memory, gathered: &Gathered, access: Access) -> Result<Believed, BootError> {
        let Memory { store, state, followed } = memory;
        let known = followed.trust.epoch;
        let rotations = || gathered.rotations.iter().cloned();
        let decide = || {
            let followed = followed.further(rotations());
            for (source, refusal) in &followed.refused {
                self.console.warn(format_args!("{source}: trust file refused: {refusal}; {}", refusal.advice()));
            }
            for (epoch, envelope) in &followed.accepted {
                let source =
                    rotations().find(|(_, sent)| sent == envelope).map_or(KEPT.to_owned(), |(source, _)| source);
                self.console.info(format_args!("trust epoch {epoch} from {source}"));
            }
            let new: Vec<(u64, Vec<u8>)> = followed.accepted.into_iter().filter(|(epoch, _)| *epoch > known).collect();
            if let (Some(store), Access::ReadWrite, false) = (&store, access, new.is_empty()) {
                self.keep(store, &new);
            }
            let decision = state::decide(state, &followed.trust).map_err(BootError::State)?;
            if let Some(remark) = decision.remark {
                self.console.warn(format_args!("{remark}"));
            }
            Ok(Believed { trust: followed.trust, floors: decision.floors })
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

/// What a store gives. A state that is damaged does not hide the trust files.
struct Contents {
    state: Result<Option<State>, StoreError>,
    chain: Vec<Vec<u8>>,
}

/// Reads the state, and the trust files from `epoch` on.
fn read(opening: &Opening<'_>, store: &Store, epoch: u64) -> (Option<Opened>, Contents) {
    let opened = match opening.open(store) {
        Ok(Some(opened)) => opened,
        Ok(None) => return (None, Contents { state: Ok(None), chain: Vec::new() }),
        Err(error) => return (None, Contents { state: Err(error), chain: Vec::new() }),
    };
    let state = opened.state();
    let contents = match opened.chain(epoch) {
        Ok(chain) => Contents { state, chain },
        Err(error) => Contents { state: state.and(Err(error)), chain: Vec::new() },
    };
    (Some(opened), contents)
}
