//! A piece that is hashed on another thread while its next bytes arrive. For a piece that is a whole artifact: the hash of
//! one of the usual size is done before the next has arrived ([`Piece::check`]).

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, ScopedJoinHandle};

use sha2::{Digest, Sha256};

use super::{ArtifactError, CheckedPiece, Piece};
use crate::names::Sha256Digest;

/// Bytes that are handed to the hash at once: small enough to be in a cache that both threads share when they are
/// hashed, large enough that handing them over costs nothing. Over loopback 64 KiB to 512 KiB did the same (about the
/// time of the hash alone), and 1 MiB was slower on a busy machine.
const PART: usize = 256 << 10;

/// Lets `fill` write the bytes of `piece`, and hashes them beside it.
///
/// If all bytes came, their digest alone decides. Else the piece is given back for another source, with the error of `fill`,
/// or with [`ArtifactError::Short`] if `fill` ended well and too early.
pub fn stream<E: From<ArtifactError>>(
    piece: Piece<'_>,
    fill: impl FnOnce(&mut Filling<'_>) -> Result<(), E>,
) -> Result<CheckedPiece<'_>, (Piece<'_>, E)> {
    let Piece { place, bytes } = piece;
    let (filled, position, seen) = std::thread::scope(|scope| {
        let (parts, queue) = channel();
        let thread = Builder::new().name("sha256".to_owned()).spawn_scoped(scope, || hash(queue));
        // Threads can be refused (memory, limits); the boot is only slower then.
        let hashing = if thread.is_ok() { Hashing::There(parts) } else { Hashing::Here(Box::default()) };
        let mut filling = Filling::new(bytes, place.range().start, hashing);
        let filled = fill(&mut filling);
        let (position, seen) = filling.end(thread.ok());
        (filled, position, seen)
    });
    let name = || place.list.name().to_owned();
    let error = match (filled, seen) {
        (filled, _) if position < place.range().end => {
            let short = ArtifactError::Short { name: name(), seen: position, wanted: place.list.size() };
            filled.err().unwrap_or_else(|| short.into())
        }
        (_, None) => ArtifactError::Thread { name: name() }.into(),
        (_, Some(seen)) => match place.prove(seen) {
            Ok(checked) => return Ok(checked),
            Err(place) => {
                let error = place.refusal(seen);
                return Err((Piece { place, bytes }, error.into()));
            }
        },
    };
    Err((Piece { place, bytes }, error))
}

/// A piece while it fills, front to back.
#[derive(Debug)]
pub struct Filling<'p> {
    /// The next bytes, of which `filled` are there, and what comes after them.
    part: &'p mut [u8],
    filled: usize,
    rest: &'p mut [u8],
    /// Where in the artifact the next byte belongs.
    position: u64,
    hashing: Hashing<'p>,
}

impl<'p> Filling<'p> {
    /// Where the next bytes go; empty when all are there.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.part[self.filled..]
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

    /// Where in the artifact the next byte belongs.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn new(bytes: &'p mut [u8], position: u64, hashing: Hashing<'p>) -> Self {
        let mut filling = Self { part: &mut [], filled: 0, rest: bytes, position, hashing };
        filling.next_part();
        filling
    }

    /// Hands over what is full and begins what is next.
    fn next_part(&mut self) {
        let part = std::mem::take(&mut self.part);
        self.hashing.take(part);
        let rest = std::mem::take(&mut self.rest);
        (self.part, self.rest) = rest.split_at_mut(PART.min(rest.len()));
        self.filled = 0;
    }

    /// How far it came, and the digest of all that was handed over, unless the thread was lost.
    fn end(self, thread: Option<ScopedJoinHandle<'_, Sha256>>) -> (u64, Option<Sha256Digest>) {
        let hash = match self.hashing {
            Hashing::There(parts) => {
                drop(parts);
                thread.and_then(|thread| thread.join().ok())
            }
            Hashing::Here(hash) => Some(*hash),
        };
        (self.position, hash.map(|hash| Sha256Digest(hash.finalize().into())))
    }
}

/// Where full parts go.
#[derive(Debug)]
enum Hashing<'p> {
    /// To a thread.
    There(Sender<&'p [u8]>),
    /// Into the hash.
    Here(Box<Sha256>),
}

impl<'p> Hashing<'p> {
    fn take(&mut self, part: &'p [u8]) {
        match self {
            // The thread only ends before the channel does if it died, which `end` finds out.
            Self::There(parts) => drop(parts.send(part)),
            Self::Here(hash) => hash.update(part),
        }
    }
}

fn hash(parts: Receiver<&[u8]>) -> Sha256 {
    parts.into_iter().fold(Sha256::new(), Digest::chain_update)
}

#[cfg(test)]
mod tests;
