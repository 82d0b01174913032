//! A place that has a release: whatever kind it is, [`crate::download`] gets bytes from it in the same way, and believes none.

use std::time::Instant;

use discover::{FetchError, Hangup, Origin, Sink};

use crate::media::{Medium, MediumError};
use crate::share::neighbour::Neighbour;
use crate::share::shelf::PieceState;
use crate::timeline::Kind;

/// A place.
#[derive(Debug)]
pub enum Source {
    /// A web server.
    Origin(Box<Origin>),
    /// A machine of the link that shares what it has proved so far.
    Neighbour(Neighbour),
    /// A disk, a stick, or the initramfs itself.
    Medium(Medium),
}

impl From<Origin> for Source {
    fn from(origin: Origin) -> Self {
        Self::Origin(Box::new(origin))
    }
}

/// What a place says that it has of a blob. A claim: what it gives is proved like all else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// The whole, if it has it at all.
    All,
    /// These pieces, in order. That one is being fetched is worth a wait with an end: it need never come.
    Some(Vec<PieceState>),
}

/// What is wanted of a blob.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its name: its SHA-256.
    pub hex: &'a str,
    /// Bytes that it has.
    pub size: u64,
    /// The byte before which the part ends that is wanted.
    pub end: u64,
    /// When nobody waits any more.
    pub deadline: Instant,
    /// Who hangs up ends what a network is waited for; a disk is not.
    pub hangup: &'a Hangup,
}

/// The bytes did not come.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// From a web server.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// From a medium.
    #[error(transparent)]
    Medium(#[from] MediumError),
}

impl Kind for SourceError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.kind(),
            Self::Medium(error) => error.kind(),
        }
    }
}

impl SourceError {
    /// Whether the same question may go on where it ended. A disk that cannot read does not get better by being asked again.
    pub fn may_resume(&self) -> bool {
        match self {
            Self::Fetch(error) => error.may_resume(),
            Self::Medium(_) => false,
        }
    }
}

impl Source {
    /// What people call it, and what a candidate from there has as its source.
    pub fn name(&self) -> &str {
        match self {
            Self::Origin(origin) => origin.base(),
            Self::Neighbour(neighbour) => neighbour.origin().base(),
            Self::Medium(medium) => medium.name(),
        }
    }

    /// The web server, if it is one.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Origin(origin) => Some(origin),
            Self::Neighbour(neighbour) => Some(neighbour.origin()),
            Self::Medium(_) => None,
        }
    }

    /// Whether it is a machine like this one, which may have only some pieces of a blob.
    pub fn is_neighbour(&self) -> bool {
        matches!(self, Self::Neighbour(_))
    }

    /// What it has by now of the blob named `hex` in `pieces` pieces. Only a neighbour is asked, with a short deadline; the
    /// error is that of a neighbour that is not there any more, or is none. Who hangs up ends the question.
    pub fn holds(&self, hex: &str, pieces: usize, hangup: &Hangup) -> Result<Holds, SourceError> {
        match self {
            Self::Origin(_) | Self::Medium(_) => Ok(Holds::All),
            Self::Neighbour(neighbour) => Ok(Holds::Some(neighbour.holds(hex, pieces, hangup)?)),
        }
    }

    /// Puts what is wanted of a blob into `sink`: from [`Sink::position`] on, or to where the sink wants no more.
    /// `on_progress` gets the sink's position, after every read.
    pub fn blob(
        &self,
        wanted: &Wanted<'_>,
        sink: &mut dyn Sink,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<(), SourceError> {
        let Wanted { hex, size, end, deadline, hangup } = *wanted;
        let origin = match self {
            Self::Origin(origin) => origin,
            Self::Neighbour(neighbour) => neighbour.origin(),
            Self::Medium(medium) => return Ok(medium.blob(hex, size, end, sink, on_progress)?),
        };
        Ok(Origin::clone(origin).with_hangup(hangup).blob(hex, size, end, sink, deadline, on_progress)?)
    }
}
