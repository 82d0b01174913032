//! Proof of an artifact's bytes, in place, piece by piece, in any order and from any source.
//!
//! Memory becomes an artifact in four steps, each of a type that only the step before it makes:
//!
//! 1. [`PieceList::load`]: the signed digests of the pieces;
//! 2. [`Destination::lend`]: each [`Piece`] of the memory that is not proved yet, as a value of its own that may go to
//!    another thread or from one source to the next;
//! 3. [`Piece::check`]: gives the piece up for a [`CheckedPiece`] if its bytes hash to the signed digest, and gives it
//!    back if not;
//! 4. [`Destination::finish`]: the whole, once every piece is checked, as [`CheckedBytes`].
//!
//! What is proved cannot be changed any more: its `&mut` is gone, and it is never lent again. Nor can a proof be used
//! for anything else: the lifetime `'r` of [`Destination::lend`] is invariant and made for one call, so that the compiler
//! keeps the pieces of two calls apart; and since a piece is there once and neither it nor its proof can be copied, their
//! number says whether all are proved. Each byte that arrives is hashed once.
//!
//! [`stream()`] fills a piece and does step 3 with it, hashing on a second thread while the first one receives.

mod error;
mod list;
mod stream;

use std::marker::PhantomData;
use std::ops::{Deref, Range};

pub use self::error::ArtifactError;
pub use self::list::PieceList;
pub use self::stream::{Filling, stream};
use crate::names::Sha256Digest;

/// Bytes that are an artifact of a manifest. Only [`check`] and [`Destination::finish`] make them.
#[derive(Debug)]
pub struct CheckedBytes<'a> {
    name: String,
    digest: Sha256Digest,
    bytes: &'a [u8],
}

impl CheckedBytes<'_> {
    /// The artifact's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The artifact's digest, as its manifest has it.
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }
}

impl Deref for CheckedBytes<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

/// Proves bytes that are all there.
pub fn check<'a>(list: &PieceList, bytes: &'a [u8]) -> Result<CheckedBytes<'a>, ArtifactError> {
    right_size(list.name(), bytes.len(), list.size())?;
    for (index, piece) in bytes.chunks(length(list)).enumerate() {
        let (place, seen) = (Place { list, index, brand: PhantomData }, Sha256Digest::of(piece));
        place.prove(seen).map_err(|place| place.refusal(seen))?;
    }
    Ok(CheckedBytes { name: list.name().to_owned(), digest: list.sha256(), bytes })
}

/// Memory that becomes an artifact.
///
/// ```
/// # use verify::{Artifact, ArtifactError, CheckedBytes, Manifest, Signed, Verified, pieces::{Destination, PieceList}};
/// fn root<'a>(
///     release: &Verified<Manifest>,
///     fetch: impl FnOnce(&Signed<Artifact>) -> Result<Vec<u8>, ArtifactError>,
///     sources: &[&[u8]],
///     memory: &'a mut [u8],
/// ) -> Result<Option<CheckedBytes<'a>>, ArtifactError> {
///     let Some(rootfs) = release.rootfs() else { return Ok(None) };
///     let list = PieceList::load(&rootfs, fetch)?;
///     let mut destination = Destination::new(&list, memory)?;
///     for source in sources {
///         destination.lend(|pieces| {
///             let mut checked = Vec::new();
///             for mut piece in pieces {
///                 let range = piece.range().start as usize..piece.range().end as usize;
///                 piece.bytes().copy_from_slice(&source[range]);
///                 match piece.check() {
///                     Ok(piece) => checked.push(piece),
///                     Err(bad) => eprintln!("{}", bad.error()),
///                 }
///             }
///             (checked, ())
///         });
///     }
///     destination.finish().map(Some)
/// }
/// ```
#[derive(Debug)]
pub struct Destination<'l, 'a> {
    list: &'l PieceList,
    bytes: &'a mut [u8],
    proved: Vec<bool>,
}

impl<'l, 'a> Destination<'l, 'a> {
    /// Makes `bytes`, which must have the artifact's size, the place for it. What stands there proves nothing yet.
    pub fn new(list: &'l PieceList, bytes: &'a mut [u8]) -> Result<Self, ArtifactError> {
        right_size(list.name(), bytes.len(), list.size())?;
        Ok(Self { list, bytes, proved: vec![false; list.digests().len()] })
    }

    /// Lends out the pieces that are not proved yet, in order, and takes back those that now are. The others are lent
    /// again by the next call, whatever `work` did with them.
    pub fn lend<T>(&mut self, work: impl for<'r> FnOnce(Vec<Piece<'r>>) -> (Vec<CheckedPiece<'r>>, T)) -> T {
        let Self { list, bytes, proved } = self;
        let pieces = bytes.chunks_mut(length(list)).enumerate().filter(|(index, _)| !proved[*index]);
        let place = |index| Place { list, index, brand: PhantomData };
        let (checked, outcome) = work(pieces.map(|(index, bytes)| Piece { place: place(index), bytes }).collect());
        for CheckedPiece(place) in checked {
            proved[place.index] = true;
        }
        outcome
    }

    /// Whether every piece is proved.
    pub fn is_complete(&self) -> bool {
        self.proved.iter().all(|proved| *proved)
    }

    /// The proof of the whole.
    pub fn finish(self) -> Result<CheckedBytes<'a>, ArtifactError> {
        let name = self.list.name().to_owned();
        match self.proved.iter().filter(|proved| !**proved).count() {
            0 => Ok(CheckedBytes { name, digest: self.list.sha256(), bytes: self.bytes }),
            missing => Err(ArtifactError::Missing { name, missing, pieces: self.proved.len() }),
        }
    }
}

/// A piece of a [`Destination`] that is not proved. There is one of each.
#[derive(Debug)]
pub struct Piece<'r> {
    place: Place<'r>,
    bytes: &'r mut [u8],
}

impl<'r> Piece<'r> {
    /// Where in the artifact its bytes are.
    pub fn range(&self) -> Range<u64> {
        self.place.range()
    }

    /// The place for its bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.bytes
    }

    /// Hashes the bytes. They cannot be changed any more if they are right, and may be received again if not.
    pub fn check(self) -> Result<CheckedPiece<'r>, BadPiece<'r>> {
        let Self { place, bytes } = self;
        let seen = Sha256Digest::of(bytes);
        place.prove(seen).map_err(|place| BadPiece { piece: Self { place, bytes }, seen })
    }
}

/// A piece whose bytes are the signed ones, until the end of the [`Destination::lend`] that lent it. Only
/// [`Piece::check`] and [`stream()`] make one.
#[derive(Debug)]
pub struct CheckedPiece<'r>(Place<'r>);

impl CheckedPiece<'_> {
    /// Where in the artifact its bytes are.
    pub fn range(&self) -> Range<u64> {
        self.0.range()
    }
}

/// A piece whose bytes are not the signed ones.
#[derive(Debug)]
pub struct BadPiece<'r> {
    /// The piece, for another source.
    pub piece: Piece<'r>,
    seen: Sha256Digest,
}

impl BadPiece<'_> {
    /// What was seen and wanted.
    pub fn error(&self) -> ArtifactError {
        self.piece.place.refusal(self.seen)
    }
}

/// Which piece of which destination. Not `Copy`, and invariant in `'r`: who has one has the only one.
#[derive(Debug)]
struct Place<'r> {
    list: &'r PieceList,
    index: usize,
    brand: PhantomData<fn(&'r ()) -> &'r ()>,
}

impl<'r> Place<'r> {
    fn range(&self) -> Range<u64> {
        let first = self.index as u64 * self.list.piece_size();
        first..(first + self.list.piece_size()).min(self.list.size())
    }

    /// The only maker of a [`CheckedPiece`]: `seen` is the digest of the bytes here.
    fn prove(self, seen: Sha256Digest) -> Result<CheckedPiece<'r>, Self> {
        if seen == self.wanted() { Ok(CheckedPiece(self)) } else { Err(self) }
    }

    fn wanted(&self) -> Sha256Digest {
        self.list.digests()[self.index]
    }

    /// Why bytes with the digest `seen` are not this piece.
    fn refusal(&self, seen: Sha256Digest) -> ArtifactError {
        let (name, wanted, Range { start: first, end }) = (self.list.name().to_owned(), self.wanted(), self.range());
        if end - first == self.list.size() {
            ArtifactError::Digest { name, seen, wanted }
        } else {
            ArtifactError::Piece { name, first, last: end - 1, seen, wanted }
        }
    }
}

fn right_size(name: &str, seen: usize, wanted: u64) -> Result<(), ArtifactError> {
    let seen = seen as u64;
    if seen == wanted { Ok(()) } else { Err(ArtifactError::Size { name: name.to_owned(), seen, wanted }) }
}

/// Bytes of a piece, as an index. No memory is longer than an index can say.
fn length(list: &PieceList) -> usize {
    usize::try_from(list.piece_size()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
