//! What this machine knows beyond its initramfs: which trust file is in force by now, and what it remembers.
//!
//! Both come from places that anybody may have written, so both count only through `verify`: a trust file as the signed
//! successor of the one before it, a state as a demand for more. A machine without a store goes through none of it but the
//! trust files that its origins have.

use std::path::Path;
use std::time::Duration;

use discover::Gathered;
use verify::state::Decision;
use verify::{Floors, Followed, Now, Reaction, State, Store, Trust, rotation, state};

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
}

impl Memory {
    /// The trust file that the machine knows of: later ones are asked for.
    pub(super) fn epoch(&self) -> u64 {
        self.followed.trust().epoch
    }

    /// Which time it is, by what the machine knows before it asks anybody: what it cannot read of its memory says nothing.
    pub(super) fn now(&self, clock: Option<u64>) -> Now {
        let trust = self.followed.trust();
        let state = self.state.as_ref().ok().cloned().flatten();
        let floors = state::decide(Ok::<_, StoreError>(state), trust).map(|decision| decision.floors);
        Now::decide(clock, trust.built, floors.unwrap_or_default().issued)
    }
}

/// What a release is judged by.
pub(super) struct Believed {
    /// The trust file in force.
    pub(super) trust: Trust,
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
        let first = config.trust.clone();
        if config.store == Store::None {
            return Memory { store: None, state: Ok(None), broken: None, followed: rotation::follow(first, []) };
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
        Memory { store, state, broken, followed }
    }

    /// Follows the trust files that the origins have, keeps them, and decides by the last one what the memory demands.
    pub(super) fn believe(&self, memory: Memory, gathered: &Gathered, access: Access) -> Result<Believed, BootError> {
        let Memory { store, state, broken, followed } = memory;
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
            let new: Vec<(u64, Vec<u8>)> = accepted.into_iter().filter(|(epoch, _)| *epoch > known).collect();
            if let (Some(store), Access::ReadWrite, false) = (&store, access, new.is_empty()) {
                self.keep(store, &new);
            }
            let (floors, remarks) = weigh(state, broken, &trust).map_err(BootError::State)?;
            for remark in remarks {
                self.console.warn(format_args!("{remark}"));
            }
            Ok(Believed { trust, floors })
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
mod tests {
    use super::*;
    use rustix::io::Errno;

    /// The one of docs/formats.md, "Test vectors".
    const TRUST: &str = r#"{"schema":"phase.trust/1","channel":"demo","epoch":1,"built":"2026-11-20T12:00:00Z","minimum_version":0,"roles":{"root":{"threshold":1,"keys":[{"public":"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c","name":"TEST 2"}]},"release":{"threshold":1,"keys":[{"public":"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a","name":"TEST 1"}]}},"policy":{"expiry":"refuse","rescue_prompt":false,"state":"warn"}}"#;

    fn unreadable(name: &str) -> StoreError {
        StoreError::File { what: "read", name: name.to_owned(), device: "/dev/sda2".into(), errno: Errno::INVAL }
    }

    fn remembered() -> State {
        State {
            channel: "demo".parse().unwrap(),
            epoch: 1,
            version: 7,
            issued: "2026-11-20T12:00:00Z".parse().unwrap(),
        }
    }

    /// The crates know nothing of each other: what one sends is what the other looks at.
    #[test]
    fn what_is_gathered_is_what_is_looked_at() {
        let (asked, looked_at) = (discover::Limits::default(), verify::LIMITS);
        assert_eq!(asked.envelope_bytes, looked_at.envelope_bytes as u64);
        assert_eq!(asked.proof_bytes, looked_at.proof_bytes as u64);
        assert_eq!(asked.rotations, looked_at.rotations);
        // As many of each way (`discover::search::Way`), of which there are at most three in a mode: Local has those that
        // were given, of DHCP, and on the link.
        assert_eq!(3 * asked.origins * asked.rotations, looked_at.rotation_candidates);
        assert!(asked.rotation_bytes >= looked_at.envelope_bytes);
    }

    #[test]
    fn what_time_it_is_is_known_before_anybody_is_asked() {
        let trust = Trust::parse(TRUST.as_bytes()).unwrap();
        let now = |state, clock: &str| {
            let followed = rotation::follow(trust.clone(), []);
            let clock = clock.parse::<verify::Timestamp>().unwrap().unix();
            let now = Memory { store: None, state, broken: None, followed }.now(Some(clock));
            (now.time.to_string(), now.trusted)
        };
        let later = State { issued: "2027-06-01T00:00:00Z".parse().unwrap(), ..remembered() };
        let (built, issued) = ("2026-11-20T12:00:00Z".to_owned(), "2027-06-01T00:00:00Z".to_owned());
        let (early, winter) = ("1970-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
        assert_eq!(now(Ok(None), early), (built.clone(), false));
        assert_eq!(now(Ok(None), winter), (winter.to_owned(), true));
        assert_eq!(now(Ok(Some(later.clone())), winter), (issued, false), "what was acknowledged has passed");
        assert_eq!(now(Err(unreadable("state.json")), winter), (winter.to_owned(), true));
        let other = State { channel: "other".parse().unwrap(), ..later };
        assert_eq!(now(Ok(Some(other)), early), (built, false));
    }

    #[test]
    fn floors_hold_when_a_kept_trust_file_cannot_be_read() {
        let trust = Trust::parse(TRUST.as_bytes()).unwrap();
        let (floors, remarks) = weigh(Ok(Some(remembered())), Some(unreadable("trust/2.dsse.json")), &trust).unwrap();
        assert_eq!(floors.version, 7);
        assert_eq!(remarks.len(), 1, "{remarks:?}");
        assert!(
            remarks[0].contains("trust/2.dsse.json") && remarks[0].contains("later one than epoch 1"),
            "{remarks:?}"
        );
    }

    #[test]
    fn both_errors_are_said_and_either_is_enough_to_refuse() {
        let trust = Trust::parse(TRUST.as_bytes()).unwrap();
        let both = |trust| weigh(Err(unreadable("state.json")), Some(unreadable("trust/2.dsse.json")), trust);
        let (floors, remarks) = both(&trust).unwrap();
        assert_eq!(floors, Floors::default());
        assert!(remarks[0].contains("state.json") && remarks[1].contains("trust/2.dsse.json"), "{remarks:?}");

        let strict = TRUST.replace(r#""state":"warn""#, r#""state":"refuse""#);
        let strict = Trust::parse(strict.as_bytes()).unwrap();
        assert!(both(&strict).unwrap_err().to_string().contains("state.json"));
        let broken = weigh(Ok(Some(remembered())), Some(unreadable("trust/2.dsse.json")), &strict).unwrap_err();
        assert!(broken.to_string().contains("trust/2.dsse.json"), "{broken}");
        assert_eq!(weigh(Ok(Some(remembered())), None, &strict).unwrap().0.version, 7);
    }
}
