//! The bytes of a release: received in place from many sources at once, hashed in the same pass, and believed only as a whole.
//!
//! An artifact has pieces, and whoever has it may give any of them: [`schedule`] decides who gives which, [`crew`] leads the
//! threads that fetch and hash them ([`worker`]). What these guarantee:
//!
//! - What was proved stays, and is never asked for again. A cut costs less than one piece.
//! - A source that lied about a piece is asked for nothing more of this boot ([`Pool::ban`]); one that is late loses its work
//!   as long as others are there; the last one has all the patience that there is.
//! - Every wait has an end: each request has a deadline by its size, and a request that is not needed any more is ended
//!   from outside, whatever it waits for.
//! - One source alone is one request for each artifact, from the first byte to the last.
//! - Nothing is copied and nothing is kept beside the arena: a piece is received, hashed and shared where it stays.
//!
//! An artifact without a list of pieces is one piece: one source at a time, and the next one begins anew.

mod crew;
mod error;
pub mod schedule;
mod worker;

use initramfs::newc::SegmentLayout;
use verify::pieces::Destination;
use verify::{Artifact, BootFiles, CheckedBytes, PieceList, Signed};

pub use self::error::{DownloadError, TryError};
use crate::arena::Arena;
use crate::console::Console;
use crate::pool::Pool;
use crate::record::LARGEST_HANDOFF;
use crate::share::shelf::{Board, Shelf};
use crate::sys::memory::{Reader, SealedFile};

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
    /// Where neighbours see what is there by now.
    pub shelf: &'a Shelf,
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
    let (reader, at) = (arena.reader(), layout.rootfs_offset());
    arena.prove(0, initramfs.size, |memory| receive(&initramfs, memory, (reader.clone(), 0), carrier))?;
    arena.prove(at, rootfs.size, |memory| receive(rootfs, memory, (reader, at), carrier))?;
    Ok(Downloaded { kernel, arena, layout })
}

/// Downloads one artifact into a file of its own.
pub fn sealed(artifact: &Signed<Artifact>, carrier: &Carrier<'_>) -> Result<SealedFile, DownloadError> {
    let mut arena = reserve(&artifact.name, artifact.size)?;
    let reader = arena.reader();
    arena.prove(0, artifact.size, |memory| receive(artifact, memory, (reader, 0), carrier))?;
    Ok(arena.seal(artifact.size)?)
}

fn reserve(name: &str, size: u64) -> Result<Arena, DownloadError> {
    Arena::reserve(name, index(size)).map_err(|errno| DownloadError::Memory { name: name.to_owned(), size, errno })
}

/// Sizes are below 2^53 (docs/formats.md), and this program is 64-bit only.
fn index(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// Receives one artifact into `memory`, where neighbours can read it from byte `at` of `reader` on.
fn receive<'m>(
    artifact: &Signed<Artifact>,
    memory: &'m mut [u8],
    (reader, at): (Reader, u64),
    carrier: &Carrier<'_>,
) -> Result<CheckedBytes<'m>, DownloadError> {
    let list = PieceList::load(artifact, |blob| {
        let mut bytes = vec![0; index(blob.size)];
        let digests = PieceList::load::<DownloadError>(blob, |_| Ok(Vec::new()))?;
        carrier.shelf.keep(&fill(&digests, &mut bytes, &Board::default(), carrier)?);
        Ok::<_, DownloadError>(bytes)
    })?;
    let board = carrier.shelf.put_up(list.sha256(), list.size(), list.piece_size(), reader, at);
    fill(&list, memory, &board, carrier)
}

/// Fills `memory` with the artifact of this list.
fn fill<'m>(
    list: &PieceList,
    memory: &'m mut [u8],
    board: &Board,
    carrier: &Carrier<'_>,
) -> Result<CheckedBytes<'m>, DownloadError> {
    let mut destination = Destination::new(list, memory)?;
    let mut tries = destination.lend(|pieces| crew::fetch(pieces, list, board, carrier));
    destination.finish().map_err(|_| {
        let name = list.name().to_owned();
        for liar in carrier.sources.liars() {
            if tries.iter().all(|(source, _)| *source != liar) {
                tries.push((liar, TryError::Banned));
            }
        }
        DownloadError::NoSource { name, tries }
    })
}
