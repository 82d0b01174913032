//! Memory in which every byte is accounted for: proved to be a signed artifact's, or written by this program. Nothing else
//! can be sealed, and only what is sealed is mounted or loaded.

use std::ops::Range;

use rustix::io::Errno;
use verify::CheckedBytes;

use crate::sys::memory::{Reader, SealedFile, SharedBuffer};

/// A file in memory while it is put together.
#[derive(Debug)]
pub struct Arena {
    buffer: SharedBuffer,
    /// What is accounted for, in order and without overlaps.
    known: Vec<Range<usize>>,
}

/// Bytes that the arena does not take or give out.
#[derive(Debug, thiserror::Error)]
pub enum ArenaError {
    /// They do not fit, or are there already.
    #[error("bytes {start} to {end} of {size} are not free")]
    Taken {
        /// First byte.
        start: u64,
        /// Byte after the last.
        end: u64,
        /// Bytes that were reserved.
        size: usize,
    },
    /// The proof is of other memory.
    #[error("what was proved is not what stands at bytes {start} to {end}")]
    Elsewhere {
        /// First byte.
        start: u64,
        /// Byte after the last.
        end: u64,
    },
    /// Nobody proved or wrote them.
    #[error("byte {at} of {length} was neither proved nor written")]
    Gap {
        /// The first of them.
        at: usize,
        /// Bytes that were to be sealed.
        length: u64,
    },
    /// The kernel did not seal it.
    #[error("it could not be sealed: {0}")]
    Seal(Errno),
}

impl Arena {
    /// Makes room for `size` bytes; see [`SharedBuffer::reserve`].
    pub fn reserve(name: &str, size: usize) -> rustix::io::Result<Self> {
        Ok(Self { buffer: SharedBuffer::reserve(name, size)?, known: Vec::new() })
    }

    /// A way for others to read it.
    pub fn reader(&self) -> Reader {
        self.buffer.reader()
    }

    /// Lends `size` bytes from `at` on, and keeps them for good if they come back proved.
    pub fn prove<E: From<ArenaError>>(
        &mut self,
        at: u64,
        size: u64,
        receive: impl for<'m> FnOnce(&'m mut [u8]) -> Result<CheckedBytes<'m>, E>,
    ) -> Result<(), E> {
        let range = self.free(at, size)?;
        let memory = &mut self.buffer.bytes()[range.clone()];
        let place = memory.as_ptr_range();
        if receive(memory)?.as_ptr_range() != place {
            return Err(ArenaError::Elsewhere { start: at, end: at.saturating_add(size) }.into());
        }
        self.take(range);
        Ok(())
    }

    /// Writes what is this program's own from byte `at` on.
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), ArenaError> {
        let range = self.free(at, bytes.len() as u64)?;
        self.buffer.bytes()[range.clone()].copy_from_slice(bytes);
        self.take(range);
        Ok(())
    }

    /// The first `length` bytes as a file that nobody can change, if all of them are accounted for.
    pub fn seal(self, length: u64) -> Result<SealedFile, ArenaError> {
        // In order and without overlaps, so what begins here is what goes on.
        let at = self.known.iter().fold(0, |at, range| if range.start == at { range.end } else { at });
        match usize::try_from(length) {
            Ok(whole) if whole <= at => self.buffer.seal(whole).map_err(ArenaError::Seal),
            _ => Err(ArenaError::Gap { at, length }),
        }
    }

    /// The range, if nothing of it is accounted for.
    fn free(&mut self, at: u64, size: u64) -> Result<Range<usize>, ArenaError> {
        let end = at.saturating_add(size);
        let have = self.buffer.bytes().len();
        let taken = ArenaError::Taken { start: at, end, size: have };
        let (Ok(start), Ok(end)) = (usize::try_from(at), usize::try_from(end)) else { return Err(taken) };
        if end > have || self.known.iter().any(|known| known.start < end && start < known.end) {
            return Err(taken);
        }
        Ok(start..end)
    }

    fn take(&mut self, range: Range<usize>) {
        self.known.push(range);
        self.known.sort_by_key(|range| range.start);
    }
}

#[cfg(test)]
pub(crate) mod tests;
