//! What a machine remembers from one boot to the next (docs/formats.md, "State").
//!
//! Nothing signs a state: who can write it can also remove it. So it may only ever demand more of a release, and what it
//! demands must not outlive the trust of the keys that raised it, or one release signed with a stolen key, of version
//! 2^53-1 or issued in 2099, would lock a fleet out for good. A trust file's `floor_epoch` is the way back, and it holds
//! in both places where it has to: in [`decide`], when a release is judged, and in [`State::acknowledge`], when
//! the next state is made.

use serde::Serialize;

use crate::json::{Fields, FormatError};
use crate::limits::LIMITS;
use crate::names::Channel;
use crate::time::Timestamp;
use crate::trust::{Reaction, Trust};

/// The releases that a machine acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "schema", rename = "phase.state/1")]
pub struct State {
    /// Their channel.
    pub channel: Channel,
    /// The highest epoch of a trust file that was in force when one was acknowledged; at least 1.
    pub epoch: u64,
    /// The highest version.
    pub version: u64,
    /// The latest time at which one was issued.
    pub issued: Timestamp,
}

/// Why bytes are no state, or one that was never acknowledged: it is damaged, and the trust file's policy decides.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Not what docs/formats.md says.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// An NV index of the TPM that is larger than a state may be: it is another program's.
    #[error("the NV index has {seen} bytes, wanted {wanted}")]
    NvSize {
        /// Its bytes.
        seen: usize,
        /// Those of ours.
        wanted: usize,
    },
    /// A time that no acknowledged release can have had.
    #[error("it says that a release was issued at {issued}, wanted {latest} or earlier")]
    Distant {
        /// The state's.
        issued: Timestamp,
        /// The latest that is possible.
        latest: Timestamp,
    },
    /// An epoch that no trust file of this channel can have.
    #[error("it is of epoch {seen}, wanted at most {limit} more than {in_force}, which is in force")]
    Leap {
        /// The state's.
        seen: u64,
        /// That of the trust file in force.
        in_force: u64,
        /// How far apart they may be.
        limit: u64,
    },
}

/// What a machine's memory demands of a release. The default demands nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Floors {
    /// The highest version that was acknowledged.
    pub version: u64,
    /// The highest epoch of a trust file under which one was.
    pub epoch: u64,
    /// The latest `issued` of those: a moment that has certainly passed.
    pub issued: Option<Timestamp>,
}

/// Why a sound state demands nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// The machine booted something else before.
    #[error("it is of channel {seen}, and this is {wanted}")]
    Channel {
        /// The state's.
        seen: Channel,
        /// The trust file's.
        wanted: Channel,
    },
    /// The holders of the root keys took back what was acknowledged before.
    #[error("it is of epoch {epoch}, and the trust file counts only what was acknowledged since epoch {floor_epoch}")]
    TakenBack {
        /// The state's.
        epoch: u64,
        /// The trust file's.
        floor_epoch: u64,
    },
}

impl State {
    /// Reads the JSON form.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::parse("state", bytes, LIMITS.state_bytes)?;
        fields.schema("phase.state/1")?;
        let state = Self {
            channel: fields.parsed("channel")?,
            epoch: fields.integer("epoch", 1..=LIMITS.integer)?,
            version: fields.integer("version", 0..=LIMITS.integer)?,
            issued: fields.parsed("issued")?,
        };
        fields.finish()?;
        Ok(state)
    }

    /// The JSON form, on one line, with a final newline.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok(serde_json::to_string(self)? + "\n")
    }

    /// Reads what a TPM's NV index holds: the JSON form and zero bytes up to its size. Nothing but zero bytes is an index
    /// that was made and not written yet.
    pub fn from_nv(bytes: &[u8]) -> Result<Option<Self>, StateError> {
        if bytes.len() != LIMITS.state_bytes {
            return Err(StateError::NvSize { seen: bytes.len(), wanted: LIMITS.state_bytes });
        }
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        if end == 0 { Ok(None) } else { Ok(Some(Self::parse(&bytes[..end])?)) }
    }

    /// What a TPM's NV index gets, [`LIMITS`]`.state_bytes` long. The longest state has less than half of that.
    pub fn to_nv(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = self.to_json()?.into_bytes();
        bytes.resize(LIMITS.state_bytes, 0);
        Ok(bytes)
    }

    /// The state after `release` has said that it is healthy: the higher of both in each field.
    ///
    /// `floor_epoch` is that of the trust file under which `release` was booted. What `previous` holds from before it was
    /// taken back, so it is dropped here as well: kept, it would come back into force under the new epoch. So is all that
    /// [`decide`] takes for damaged: kept, it would be so at every boot from now on.
    #[must_use]
    pub fn acknowledge(previous: Option<&Self>, release: &Self, floor_epoch: u64) -> Self {
        let counts = |previous: &&Self| {
            previous.channel == release.channel
                && previous.epoch >= floor_epoch
                && previous.sound(release.epoch, release.issued, 1).is_ok()
        };
        previous.filter(counts).map_or_else(
            || release.clone(),
            |previous| Self {
                channel: release.channel.clone(),
                epoch: previous.epoch.max(release.epoch),
                version: previous.version.max(release.version),
                issued: previous.issued.max(release.issued),
            },
        )
    }

    /// Why a sound state demands nothing of releases under `trust`.
    fn ignored(&self, trust: &Trust) -> Option<Ignored> {
        if self.channel != trust.channel {
            return Some(Ignored::Channel { seen: self.channel.clone(), wanted: trust.channel.clone() });
        }
        (self.epoch < trust.floor_epoch)
            .then_some(Ignored::TakenBack { epoch: self.epoch, floor_epoch: trust.floor_epoch })
    }

    /// Whether acknowledgements can have left this where the trust file of epoch `in_force` is in force: none that is so
    /// far ahead, and nothing issued more than `spans` times 15 years after `since`.
    ///
    /// A release is accepted up to 15 years (one span) after its trust file was made. So 15 years after a release's `issued`
    /// are never more than 30 after `built`, and an acknowledgement drops, by the one, all that a boot calls damaged, by
    /// the other, although it does not know `built`.
    fn sound(&self, in_force: u64, since: Timestamp, spans: u64) -> Result<(), StateError> {
        if self.epoch > in_force.saturating_add(LIMITS.epochs_ahead) {
            return Err(StateError::Leap { seen: self.epoch, in_force, limit: LIMITS.epochs_ahead });
        }
        // A state that is ahead knows of a later trust file, and so of later times; that it is ahead has to be noticed.
        let latest = Timestamp::from_unix(since.unix().saturating_add(spans * LIMITS.clock_seconds));
        if self.epoch <= in_force && self.issued > latest {
            return Err(StateError::Distant { issued: self.issued, latest });
        }
        Ok(())
    }
}

/// What the boot goes by, and what should be said about the memory. `E` is why it could not be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision<E> {
    /// The floors.
    pub floors: Floors,
    /// Why they are none although there should be some.
    pub remark: Option<Remark<E>>,
}

/// What should be said about the memory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Remark<E> {
    /// It could not be read or is damaged, which the policy only warns about.
    #[error("what this machine remembers cannot be used, so any release that is not expired is new enough: {0}")]
    Unreadable(E),
    /// It is sound, and demands nothing.
    #[error("what this machine remembers is not used: {0}")]
    Ignored(Ignored),
}

/// What follows from reading the memory: floors, or the error itself if it cannot be read or is damaged and the policy
/// refuses to boot without it. No state in a store that is there is a machine that never acknowledged a release.
pub fn decide<E: From<StateError>>(read: Result<Option<State>, E>, trust: &Trust) -> Result<Decision<E>, E> {
    let without = |remark| Decision { floors: Floors::default(), remark };
    let error = match read {
        Ok(None) => return Ok(without(None)),
        Ok(Some(state)) => match (state.ignored(trust), state.sound(trust.epoch, trust.built, 2)) {
            (Some(ignored), _) => return Ok(without(Some(Remark::Ignored(ignored)))),
            (None, Ok(())) => {
                let State { version, epoch, issued, .. } = state;
                return Ok(Decision { floors: Floors { version, epoch, issued: Some(issued) }, remark: None });
            }
            (None, Err(damage)) => damage.into(),
        },
        Err(error) => error,
    };
    match trust.policy.state {
        Reaction::Refuse => Err(error),
        Reaction::Warn => Ok(without(Some(Remark::Unreadable(error)))),
    }
}

#[cfg(test)]
mod tests;
