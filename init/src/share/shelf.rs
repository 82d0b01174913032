//! What this machine has of a release, piece by piece: the only thing that it serves from.
//!
//! Whoever receives an artifact puts up a [`Board`] for it and marks on it what becomes of each piece. A piece is given
//! out only after it was marked with its proof ([`Board::proved`] takes a [`CheckedPiece`], which nothing but the digest
//! makes), and it is read from the very memory that it was received into.
//!
//! On a closed shelf boards are empty, and marking them costs a comparison.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use verify::pieces::CheckedPiece;
use verify::{CheckedBytes, Sha256Digest};

use crate::sys::memory::{Reader, SharedBuffer};

/// Most boards at once: kernel, initramfs, root and the list of pieces of each.
const BOARDS: usize = 8;
/// Most pieces of a board (docs/formats.md, "Pieces").
const PIECES: u64 = 4096;

/// What is known about one piece somewhere. The numbers are those of docs/formats.md, "Sharing".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PieceState {
    /// It is not there.
    #[default]
    Missing,
    /// It is being fetched from a place that has everything.
    Fetching,
    /// It is there, and proved.
    Proved,
}

impl PieceState {
    /// The byte that says so: `0`, `1` or `2` in ASCII.
    pub fn byte(self) -> u8 {
        match self {
            Self::Missing => b'0',
            Self::Fetching => b'1',
            Self::Proved => b'2',
        }
    }

    /// What a byte says.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Missing, Self::Fetching, Self::Proved].into_iter().find(|state| state.byte() == byte)
    }
}

/// The boards of a release, if anything is shared.
#[derive(Debug, Default)]
pub struct Shelf {
    boards: Option<Mutex<Vec<Arc<Board>>>>,
}

impl Shelf {
    /// A shelf from which nothing is given out.
    pub fn closed() -> Self {
        Self::default()
    }

    /// A shelf for a server.
    pub fn open() -> Self {
        Self { boards: Some(Mutex::default()) }
    }

    /// Whether anything is shared.
    pub fn is_open(&self) -> bool {
        self.boards.is_some()
    }

    /// Puts up a board for an artifact of `size` bytes in pieces of `piece` bytes, which is received into `memory` from
    /// byte `offset` on. A board of the same name is replaced. If there are too many pieces or boards, it is one that says
    /// nothing to anybody.
    pub fn put_up(&self, sha256: Sha256Digest, size: u64, piece: u64, memory: Reader, offset: u64) -> Arc<Board> {
        let pieces = size.div_ceil(piece.max(1));
        let (Some(boards), true) = (&self.boards, pieces <= PIECES) else { return Arc::default() };
        let states = (0..pieces).map(|_| AtomicU8::new(PieceState::Missing.byte())).collect();
        let board = Arc::new(Board { name: sha256.to_string(), size, piece, offset, memory: Some(memory), states });
        let mut boards = boards.lock().unwrap_or_else(PoisonError::into_inner);
        boards.retain(|other| other.name != board.name);
        if boards.len() >= BOARDS {
            return Arc::default();
        }
        boards.push(Arc::clone(&board));
        board
    }

    /// Keeps a small blob that was received elsewhere, a list of pieces: it is copied. What cannot be copied is not shared.
    pub fn keep(&self, blob: &CheckedBytes<'_>) {
        let size = blob.len();
        let Some(mut copy) = self.boards.as_ref().and_then(|_| SharedBuffer::reserve(blob.name(), size).ok()) else {
            return;
        };
        copy.bytes().copy_from_slice(blob);
        let Ok(copy) = copy.seal(size) else { return };
        let board = self.put_up(blob.digest(), copy.size(), copy.size(), copy.reader(), 0);
        board.mark(0, PieceState::Proved);
    }

    /// The board of the artifact of this name (its SHA-256 in hex).
    pub fn board(&self, name: &str) -> Option<Arc<Board>> {
        let boards = self.boards.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        boards.iter().find(|board| board.name == name).map(Arc::clone)
    }

    /// Bytes of everything that there is a board for.
    pub fn size(&self) -> u64 {
        let Some(boards) = &self.boards else { return 0 };
        boards.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|board| board.size).sum()
    }
}

/// What is there of one artifact. Made by [`Shelf::put_up`]; an empty one takes marks and says nothing.
#[derive(Debug, Default)]
pub struct Board {
    name: String,
    size: u64,
    piece: u64,
    /// Where the artifact begins in `memory`.
    offset: u64,
    memory: Option<Reader>,
    states: Box<[AtomicU8]>,
}

impl Board {
    /// Piece `index` is being fetched from a place that has everything: others need not.
    pub fn fetching(&self, index: usize) {
        self.mark(index, PieceState::Fetching);
    }

    /// This piece is there. From now on it is given out.
    pub fn proved(&self, piece: &CheckedPiece<'_>) {
        if let Some(index) = piece.range().start.checked_div(self.piece) {
            self.mark(usize::try_from(index).unwrap_or(usize::MAX), PieceState::Proved);
        }
    }

    /// Piece `index` is not being fetched any more and did not come. What is proved stays.
    pub fn dropped(&self, index: usize) {
        self.mark(index, PieceState::Missing);
    }

    fn mark(&self, index: usize, state: PieceState) {
        let proved = PieceState::Proved.byte();
        if let Some(here) = self.states.get(index) {
            // Released after the bytes were written, acquired before they are read.
            _ = here.fetch_update(Ordering::AcqRel, Ordering::Acquire, |seen| (seen != proved).then(|| state.byte()));
        }
    }

    /// Whatever stands there.
    #[cfg(test)]
    pub(super) fn assume_proved(&self) {
        (0..self.states.len()).for_each(|index| self.mark(index, PieceState::Proved));
    }

    /// Bytes of the artifact.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// One byte for each piece, as `/share/<hex>` gives them.
    pub fn states(&self) -> Vec<u8> {
        self.states.iter().map(|state| state.load(Ordering::Acquire)).collect()
    }

    /// Where in which file bytes `range` of the artifact stand, if every piece that has one of them is proved.
    pub fn given(&self, range: &Range<u64>) -> Option<(Reader, Range<u64>)> {
        if range.is_empty() || range.end > self.size {
            return None;
        }
        let place = |byte: u64| usize::try_from(byte.checked_div(self.piece)?).ok();
        let pieces = self.states.get(place(range.start)?..=place(range.end - 1)?)?;
        let proved = pieces.iter().all(|state| state.load(Ordering::Acquire) == PieceState::Proved.byte());
        let memory = self.memory.as_ref().filter(|_| proved)?;
        Some((memory.clone(), self.offset + range.start..self.offset + range.end))
    }
}

#[cfg(test)]
pub(in crate::share) mod tests;
