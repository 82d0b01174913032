//! The next initramfs: what stands around the downloaded bytes is written, and the arena is sealed.

use rustix::io::Errno;

use crate::download::Downloaded;
use crate::record::{Handoff, RecordError};
use crate::sys::memory::SealedFile;
use crate::timeline::Kind;

/// Kernel and initramfs, proved, complete and beyond change.
#[derive(Debug)]
pub struct Next {
    /// The release's kernel.
    pub kernel: SealedFile,
    /// The release's initramfs with the squashfs and the hand-off behind it.
    pub initramfs: SealedFile,
    /// Where the squashfs's first byte stands in it.
    pub rootfs_offset: u64,
}

/// An initramfs that could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The hand-off does not fit.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A header cannot be written.
    #[error("the next initramfs cannot be composed: {0}")]
    Layout(#[from] initramfs::newc::NewcError),
    /// The arena is smaller than what was laid out.
    #[error("the next initramfs needs bytes {offset} to {end}, but {size} were reserved")]
    Room {
        /// First byte.
        offset: u64,
        /// Byte after the last.
        end: u64,
        /// Bytes reserved.
        size: u64,
    },
    /// The kernel did not seal it.
    #[error("the next initramfs could not be sealed: {0}")]
    Seal(Errno),
}

impl Kind for ComposeError {
    fn kind(&self) -> &'static str {
        "compose"
    }
}

/// Completes what was downloaded. No byte of it moves.
pub fn initramfs(downloaded: Downloaded, handoff: &Handoff) -> Result<Next, ComposeError> {
    let Downloaded { kernel, mut arena, layout } = downloaded;
    let rootfs_offset = layout.rootfs_offset();
    let mut length = 0;
    for (offset, bytes) in [layout.head(), layout.tail(&handoff.to_json()?)?] {
        let end = offset + bytes.len() as u64;
        let room = arena.bytes();
        let size = room.len() as u64;
        let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
        let Some(place) = range.and_then(|(start, end)| room.get_mut(start..end)) else {
            return Err(ComposeError::Room { offset, end, size });
        };
        place.copy_from_slice(&bytes);
        length = end;
    }
    let initramfs = arena.seal(usize::try_from(length).unwrap_or(usize::MAX)).map_err(ComposeError::Seal)?;
    Ok(Next { kernel, initramfs, rootfs_offset })
}
