//! The next initramfs: what stands around the downloaded bytes is written, and the arena is sealed.

use crate::arena::ArenaError;
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
    /// Not every byte of it is proved or ours, or the kernel did not seal it.
    #[error("the next initramfs cannot be completed: {0}")]
    Arena(#[from] ArenaError),
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
    let ((head_at, head), (tail_at, tail)) = (layout.head(), layout.tail(&handoff.to_json()?)?);
    arena.write(head_at, &head)?;
    arena.write(tail_at, &tail)?;
    let initramfs = arena.seal(tail_at + tail.len() as u64)?;
    Ok(Next { kernel, initramfs, rootfs_offset })
}
