//! The bytes of a release: received in place, hashed on another thread in the same pass, and believed only as a whole.
//!
//! What one source gave and was proved stays. A source that lied about a piece, or does not go on, is asked for nothing
//! more of that artifact, and the next one only for what is missing.

use std::time::{Duration, Instant};

use discover::Sink;
use initramfs::newc::{NewcError, SegmentLayout};
use rustix::io::Errno;
use verify::pieces::{self, Destination, Filling};
use verify::{Artifact, ArtifactError, BootFiles, CheckedBytes, PieceList, Signed};

use crate::arena::{Arena, ArenaError};
use crate::console::Console;
use crate::pool::Pool;
use crate::progress::{Bar, Mib};
use crate::record::LARGEST_HANDOFF;
use crate::source::{Source, SourceError};
use crate::sys::memory::SealedFile;
use crate::timeline::Kind;

/// How often one source may go on after the connection was cut, as long as more bytes came each time.
const RESUMES: u32 = 5;
/// A source that is slower than this on average (bytes per second) is given up if there is another to ask.
const SLOW: u64 = 256 << 10;
/// The last one is given up if it is slower than this.
const SLOWEST: u64 = 16 << 10;
/// What every transfer has beside the time that its size allows.
const GRACE: Duration = Duration::from_mins(1);
/// Time between two redraws of the bar.
const REDRAW: Duration = Duration::from_millis(250);

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
}

impl Kind for TryError {
    fn kind(&self) -> &'static str {
        match self {
            Self::Source(error) => error.kind(),
            Self::Artifact(error) => error.kind(),
        }
    }
}

fn listed(tries: &[(String, TryError)]) -> String {
    tries.iter().map(|(source, error)| format!("{source}: {error}")).collect::<Vec<_>>().join("; ")
}

/// All that a kexec needs, every byte of it proved. Only [`for_kexec`] makes one.
#[derive(Debug)]
pub struct Downloaded {
    /// The kernel.
    pub kernel: SealedFile,
    /// The arena with the release's initramfs and the squashfs in their places.
    pub(crate) arena: Arena,
    /// The places.
    pub(crate) layout: SegmentLayout,
}

/// What carries the bytes and shows how far they are.
#[derive(Debug)]
pub struct Carrier<'a> {
    /// Places that may have the release.
    pub sources: &'a Pool,
    /// Where progress is shown.
    pub console: &'a Console,
    /// Called when bytes came, so that somebody who waits knows that this goes on.
    pub pulse: &'a dyn Pulse,
}

/// A sign of life.
pub trait Pulse: std::fmt::Debug {
    /// Work goes on.
    fn beat(&self);
}

/// Bytes that the composed initramfs may take, the largest hand-off included.
pub fn room(boot: &BootFiles, rootfs: &Artifact) -> Result<u64, DownloadError> {
    Ok(SegmentLayout::new(boot.initramfs.artifact.size, rootfs.size)?.total(LARGEST_HANDOFF)?)
}

/// Downloads kernel, initramfs and squashfs; the latter two to where the next kernel will find them.
pub fn for_kexec(
    boot: &Signed<BootFiles>,
    rootfs: &Signed<Artifact>,
    carrier: &Carrier<'_>,
) -> Result<Downloaded, DownloadError> {
    let initramfs = boot.initramfs();
    let layout = SegmentLayout::new(initramfs.size, rootfs.size)?;
    let mut arena = reserve("initramfs", layout.total(LARGEST_HANDOFF)?)?;
    let kernel = sealed(&boot.kernel(), carrier)?;
    arena.prove(0, initramfs.size, |memory| receive(&initramfs, memory, carrier))?;
    arena.prove(layout.rootfs_offset(), rootfs.size, |memory| receive(rootfs, memory, carrier))?;
    Ok(Downloaded { kernel, arena, layout })
}

/// Downloads one artifact into a file of its own.
pub fn sealed(artifact: &Signed<Artifact>, carrier: &Carrier<'_>) -> Result<SealedFile, DownloadError> {
    let mut arena = reserve(&artifact.name, artifact.size)?;
    arena.prove(0, artifact.size, |memory| receive(artifact, memory, carrier))?;
    Ok(arena.seal(artifact.size)?)
}

fn reserve(name: &str, size: u64) -> Result<Arena, DownloadError> {
    Arena::reserve(name, index(size)).map_err(|errno| DownloadError::Memory { name: name.to_owned(), size, errno })
}

/// Sizes are below 2^53 (docs/formats.md), and this program is 64-bit only.
fn index(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Receives one artifact: all of it from the first source that has it whole and right, or each source's good pieces.
fn receive<'m>(
    artifact: &Signed<Artifact>,
    memory: &'m mut [u8],
    carrier: &Carrier<'_>,
) -> Result<CheckedBytes<'m>, DownloadError> {
    let list = PieceList::load(artifact, |blob| {
        let mut bytes = vec![0; index(blob.size)];
        receive(blob, &mut bytes, carrier)?;
        Ok::<_, DownloadError>(bytes)
    })?;
    let mut destination = Destination::new(&list, memory)?;
    let mut tries = Vec::new();
    let sources = carrier.sources.sources();
    for (number, source) in sources.iter().enumerate() {
        let slowest = if number + 1 < sources.len() { SLOW } else { SLOWEST };
        let deadline = Instant::now() + GRACE + Duration::from_secs(list.size() / slowest);
        let outcome = destination.lend(|missing| {
            pieces::stream(missing, |filling| fetch(source, &list, deadline, filling, carrier).map_err(TryError::from))
        });
        carrier.console.progress_done();
        let Err(error) = outcome else { break };
        carrier.console.warn(format_args!("{}: {}: {error}", source.name(), artifact.name));
        tries.push((source.name().to_owned(), error));
    }
    destination.finish().map_err(|_| DownloadError::NoSource { name: artifact.name.clone(), tries })
}

/// Fetches what is wanted from one source, going on after a cut.
fn fetch(
    source: &Source,
    list: &PieceList,
    deadline: Instant,
    filling: &mut Filling<'_>,
    carrier: &Carrier<'_>,
) -> Result<(), SourceError> {
    let begun = Instant::now();
    let mut drawn = begun;
    let mut show = |done: u64| {
        if drawn.elapsed() >= REDRAW {
            drawn = Instant::now();
            carrier.pulse.beat();
            let bar = Bar { name: list.name().to_owned(), done, total: list.size(), elapsed: begun.elapsed() };
            carrier.console.progress(bar);
        }
    };
    let (hex, mut resumes) = (list.sha256().to_string(), 0);
    while let Some(part) = filling.wanted() {
        let mut sink = InPlace(filling);
        match source.blob(&hex, list.size(), part.end, &mut sink, deadline, &mut show) {
            Ok(()) => {}
            Err(error) if error.may_resume() && resumes < RESUMES && filling.position() > part.start => resumes += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The seam between the two crates that do not know each other: where untrusted bytes go in to be proved.
struct InPlace<'a, 'r>(&'a mut Filling<'r>);

impl Sink for InPlace<'_, '_> {
    fn space(&mut self) -> &mut [u8] {
        self.0.space()
    }
    fn filled(&mut self, count: usize) {
        self.0.filled(count);
    }
    fn position(&self) -> u64 {
        self.0.position()
    }
}
