//! Pieces from one source, front to back, hashed on another thread while the next bytes arrive.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, ScopedJoinHandle};
use std::vec::IntoIter;

use sha2::{Digest, Sha256};

use super::{ArtifactError, CheckedPiece, Piece, Place};
use crate::names::Sha256Digest;

/// Bytes that are handed to the hash at once: small enough to be in a cache that both threads share when they are
/// hashed, large enough that handing them over costs nothing. Over loopback 64 KiB to 512 KiB did the same (about the
/// time of the hash alone), and 1 MiB was slower on a busy machine.
const PART: usize = 256 << 10;

/// Lets `fill` write the bytes of `pieces`, and proves each piece beside it; for [`super::Destination::lend`].
///
/// Gives what was proved, whatever became of the rest, and how it ended: with the first piece that is wrong, after which
/// nothing more is taken from this source; with the error of `fill`; with [`ArtifactError::Short`] if `fill` ended too
/// early; or well, and then every one of `pieces` is proved.
pub fn stream<'r, E: From<ArtifactError>>(
    pieces: Vec<Piece<'r>>,
    fill: impl FnOnce(&mut Filling<'r>) -> Result<(), E>,
) -> (Vec<CheckedPiece<'r>>, Result<(), E>) {
    // Without pieces there is nothing to name in an error, and nothing to do.
    let Some(name) = pieces.first().map(|piece| piece.place.list.name().to_owned()) else {
        return (Vec::new(), Ok(()));
    };
    std::thread::scope(|scope| {
        let stop = Arc::<AtomicBool>::default();
        let (prover, (steps, queue)) = (Prover::new(&stop), channel());
        let thread = Builder::new().name("sha256".to_owned()).spawn_scoped(scope, || prover.run(queue));
        let hashing = if thread.is_ok() { Hashing::There(steps) } else { Hashing::Here(Box::new(Prover::new(&stop))) };

        let mut filling = Filling::new(pieces, stop, hashing);
        let filled = fill(&mut filling);
        let short = filling.short();
        let Some(Prover { checked, wrong, .. }) = filling.hashing.end(thread.ok()) else {
            return (Vec::new(), Err(ArtifactError::Thread { name }.into()));
        };
        let outcome = match (wrong, filled, short) {
            (Some(wrong), _, _) => Err(wrong.into()),
            (None, Ok(()), Some(short)) => Err(short.into()),
            (None, filled, _) => filled,
        };
        (checked, outcome)
    })
}

/// Pieces while they fill, front to back.
#[derive(Debug)]
pub struct Filling<'r> {
    /// The piece that is being filled: its next bytes, of which `filled` are there, and what comes after them.
    place: Option<Place<'r>>,
    part: &'r mut [u8],
    filled: usize,
    rest: &'r mut [u8],
    /// Where in the artifact the next byte belongs.
    position: u64,
    waiting: IntoIter<Piece<'r>>,
    /// Set when a piece is found to be wrong.
    stop: Arc<AtomicBool>,
    hashing: Hashing<'r>,
}

impl<'r> Filling<'r> {
    /// Where the next bytes go; empty when no more are wanted.
    pub fn space(&mut self) -> &mut [u8] {
        if self.stop.load(Ordering::Relaxed) { &mut [] } else { &mut self.part[self.filled..] }
    }

    /// Says that `count` bytes at the front of [`Self::space`] were written; more than there is room count as all.
    pub fn filled(&mut self, count: usize) {
        let count = count.min(self.part.len() - self.filled);
        self.filled += count;
        self.position += count as u64;
        if self.filled == self.part.len() {
            self.next_part();
        }
    }

    /// Where in the artifact the next bytes belong, up to the first piece that is not wanted. Nothing is wanted any
    /// more when every piece is there or one of them is wrong.
    pub fn wanted(&self) -> Option<Range<u64>> {
        let place = self.place.as_ref().filter(|_| !self.stop.load(Ordering::Relaxed))?;
        let adjacent = |end: u64, piece: &Piece<'_>| match piece.range() {
            range if range.start == end => Ok(range.end),
            _ => Err(end),
        };
        let (Ok(end) | Err(end)) = self.waiting.as_slice().iter().try_fold(place.range().end, adjacent);
        Some(self.position..end)
    }

    /// Where in the artifact the next byte belongs.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn new(pieces: Vec<Piece<'r>>, stop: Arc<AtomicBool>, hashing: Hashing<'r>) -> Self {
        let waiting = pieces.into_iter();
        let mut filling =
            Self { place: None, part: &mut [], filled: 0, rest: &mut [], position: 0, waiting, stop, hashing };
        filling.next_part();
        filling
    }

    /// Hands over what is full and begins what is next.
    fn next_part(&mut self) {
        let bytes = std::mem::take(&mut self.part);
        let ends = if self.rest.is_empty() { self.place.take() } else { None };
        self.hashing.step(Step { bytes, ends });
        if self.place.is_none()
            && let Some(Piece { place, bytes }) = self.waiting.next()
        {
            self.position = place.range().start;
            (self.place, self.rest) = (Some(place), bytes);
        }
        let rest = std::mem::take(&mut self.rest);
        (self.part, self.rest) = rest.split_at_mut(PART.min(rest.len()));
        self.filled = 0;
    }

    /// What is wrong if no more bytes come.
    fn short(&self) -> Option<ArtifactError> {
        let list = self.place.as_ref()?.list;
        Some(ArtifactError::Short { name: list.name().to_owned(), seen: self.position, wanted: list.size() })
    }
}

/// Bytes that can be hashed, and the piece that they are the last of, if they are.
#[derive(Debug)]
struct Step<'r> {
    bytes: &'r [u8],
    ends: Option<Place<'r>>,
}

/// Where full parts go.
#[derive(Debug)]
enum Hashing<'r> {
    /// To a thread.
    There(Sender<Step<'r>>),
    /// Threads can be refused (memory, limits); the boot is only slower then.
    Here(Box<Prover<'r>>),
}

impl<'r> Hashing<'r> {
    fn step(&mut self, step: Step<'r>) {
        match self {
            // The thread only ends before the channel does if it died, which `end` finds out.
            Self::There(steps) => drop(steps.send(step)),
            Self::Here(prover) => prover.take(step),
        }
    }

    /// What was found, unless the thread was lost.
    fn end(self, thread: Option<ScopedJoinHandle<'_, Prover<'r>>>) -> Option<Prover<'r>> {
        match self {
            Self::There(steps) => {
                drop(steps);
                thread?.join().ok()
            }
            Self::Here(prover) => Some(*prover),
        }
    }
}

/// Hashes pieces one after the other, and judges each at its end.
#[derive(Debug)]
struct Prover<'r> {
    hash: Sha256,
    checked: Vec<CheckedPiece<'r>>,
    /// The first piece that was wrong.
    wrong: Option<ArtifactError>,
    stop: Arc<AtomicBool>,
}

impl<'r> Prover<'r> {
    fn new(stop: &Arc<AtomicBool>) -> Self {
        Self { hash: Sha256::new(), checked: Vec::new(), wrong: None, stop: Arc::clone(stop) }
    }

    fn run(mut self, steps: Receiver<Step<'r>>) -> Self {
        for step in steps {
            self.take(step);
        }
        self
    }

    fn take(&mut self, Step { bytes, ends }: Step<'r>) {
        self.hash.update(bytes);
        let Some(place) = ends else { return };
        let seen = Sha256Digest(self.hash.finalize_reset().into());
        match place.prove(seen) {
            Ok(piece) => self.checked.push(piece),
            Err(place) => {
                self.stop.store(true, Ordering::Relaxed);
                self.wrong.get_or_insert_with(|| place.refusal(seen));
            }
        }
    }
}

#[cfg(test)]
mod tests;
