//! Why bytes did not come, and from whom.

use initramfs::newc::NewcError;
use rustix::io::Errno;
use verify::ArtifactError;

use super::schedule::Late;
use crate::arena::ArenaError;
use crate::progress::Mib;
use crate::source::SourceError;
use crate::timeline::Kind;

/// A release that could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The kernel had no room, though the sizes fit.
    #[error("cannot reserve {} for {name}: {errno}", Mib(*.size))]
    Memory {
        /// What it is for.
        name: String,
        /// Bytes.
        size: u64,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The sizes cannot stand in one initramfs.
    #[error("the release cannot be laid out: {0}")]
    Layout(#[from] NewcError),
    /// The bytes and their places in memory do not go together.
    #[error("the release cannot be put together in memory: {0}")]
    Arena(#[from] ArenaError),
    /// There is no place for the artifact, or no proof of it.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// No source had the artifact, or what others left of it.
    #[error("{name} came from no source: {}", listed(.tries))]
    NoSource {
        /// The artifact.
        name: String,
        /// Every source and why it lost.
        tries: Vec<(String, TryError)>,
    },
}

impl Kind for DownloadError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Memory { .. } => "memory",
            Self::Layout(_) | Self::Arena(_) => "layout",
            Self::Artifact(error) => error.kind(),
            // The last reason is that of the last hope.
            Self::NoSource { tries, .. } => tries.last().map_or("no-source", |(_, error)| error.kind()),
        }
    }
}

/// Why one source lost.
#[derive(Debug, thiserror::Error)]
pub enum TryError {
    /// The bytes did not come.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The bytes are not the artifact.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The bytes came too slowly.
    #[error(transparent)]
    Late(#[from] Late),
    /// It was not asked any more.
    #[error("it gave wrong bytes before, and is asked for nothing more")]
    Banned,
}

impl Kind for TryError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Source(error) => error.kind(),
            Self::Artifact(error) => error.kind(),
            Self::Late(_) => "slow",
            Self::Banned => "digest",
        }
    }
}

fn listed(tries: &[(String, TryError)]) -> String {
    if tries.is_empty() {
        return "there is none".to_owned();
    }
    tries.iter().map(|(source, error)| format!("{source}: {error}")).collect::<Vec<_>>().join("; ")
}
