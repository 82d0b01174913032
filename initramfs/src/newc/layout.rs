//! Where the parts of a composed initramfs stand (docs/formats.md, "Composed initramfs").
//!
//! Guarantees: known from the two signed sizes alone, so that the arena is laid out before the first byte arrives; the
//! squashfs starts on a multiple of [`ROOTFS_ALIGNMENT`] of the whole file; the parts lie side by side without a gap.

use super::{Limits, Member, NewcError, padding, trailer};

/// The directory that is appended to the release's initramfs.
const DIRECTORY: Member<'static> = Member::directory("phase", 0o755).with_ino(1);
const ROOTFS: &str = "phase/rootfs.squashfs";
const HANDOFF: &str = "phase/handoff.json";
/// Alignment of the squashfs in bytes: a page, so that a loop device over it could use the pages as they are.
const ROOTFS_ALIGNMENT: u64 = 4096;

/// The places of: the release's initramfs, zero padding, directory and squashfs headers, the squashfs, the hand-off and
/// the trailer. All offsets are in bytes from the start of the composed initramfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentLayout {
    initramfs_size: u64,
    rootfs_offset: u64,
    rootfs_size: u64,
    /// Headers of directory and squashfs, which end where the squashfs starts.
    headers: Vec<u8>,
}

impl SegmentLayout {
    /// Lays out an initramfs of `initramfs_size` bytes and a squashfs of `rootfs_size` bytes; the latter has to fit a
    /// newc member.
    pub fn new(initramfs_size: u64, rootfs_size: u64) -> Result<Self, NewcError> {
        let mut headers = DIRECTORY.encode()?;
        headers.extend(Member::file(ROOTFS, 0o400, rootfs_size).with_ino(2).encode()?);
        let overflow = NewcError::Overflow { initramfs: initramfs_size, rootfs: rootfs_size };
        let rootfs_offset = initramfs_size
            .checked_add(headers.len() as u64)
            .and_then(|end| end.checked_next_multiple_of(ROOTFS_ALIGNMENT))
            // Room for the largest tail, so that nothing below can overflow.
            .filter(|offset| offset.checked_add(rootfs_size + 2 * Limits::DEFAULT.member).is_some())
            .ok_or(overflow)?;
        Ok(Self { initramfs_size, rootfs_offset, rootfs_size, headers })
    }

    /// Where the squashfs's first byte stands: a multiple of 4096.
    pub const fn rootfs_offset(&self) -> u64 {
        self.rootfs_offset
    }

    /// Offset and bytes of what stands between the release's initramfs and the squashfs: zeros, which the kernel skips
    /// between segments, and the two headers.
    pub fn head(&self) -> (u64, Vec<u8>) {
        #[expect(clippy::cast_possible_truncation, reason = "less than a page and two headers")]
        let len = (self.rootfs_offset - self.initramfs_size) as usize;
        let mut bytes = vec![0; len - self.headers.len()];
        bytes.extend_from_slice(&self.headers);
        (self.initramfs_size, bytes)
    }

    /// Offset and bytes of what follows the squashfs: its padding, the hand-off and the trailer.
    pub fn tail(&self, handoff_json: &[u8]) -> Result<(u64, Vec<u8>), NewcError> {
        let mut bytes = vec![0; padding(self.rootfs_size)];
        bytes.extend(Member::file(HANDOFF, 0o400, handoff_json.len() as u64).with_ino(3).encode()?);
        bytes.extend_from_slice(handoff_json);
        bytes.resize(bytes.len() + padding(handoff_json.len() as u64), 0);
        bytes.extend(trailer());
        Ok((self.rootfs_offset + self.rootfs_size, bytes))
    }

    /// Size of the whole with a hand-off of `handoff_len` bytes; never smaller for a longer one, so that a limit on the
    /// hand-off gives an upper bound.
    pub fn total(&self, handoff_len: u32) -> Result<u64, NewcError> {
        let header = Member::file(HANDOFF, 0o400, handoff_len.into()).encode()?.len() as u64;
        let handoff = header + u64::from(handoff_len) + padding(handoff_len.into()) as u64;
        let rootfs_end = self.rootfs_offset + self.rootfs_size + padding(self.rootfs_size) as u64;
        Ok(rootfs_end + handoff + trailer().len() as u64)
    }
}
