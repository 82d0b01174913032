//! How much memory an initramfs takes once it is unpacked: `unpacked_size` of docs/formats.md.
//!
//! Guarantees: never less than Linux needs for it, for any initramfs that Linux unpacks: concatenated archives, plain or
//! compressed with zstd, gzip or xz, with zeros between them (Debian's, Alpine's, ours).

use super::compress::{DecompressError, Format};
use crate::newc::{Archive, NewcError};

/// A page of every architecture that we boot.
const PAGE: u64 = 4096;

/// What an initramfs may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes that come out of all compressed segments.
    pub unpacked: u64,
    /// Most segments, archives inside compressed ones included.
    pub segments: usize,
}

impl Limits {
    /// 4 GiB: more than `kexec_file_load` takes even when nothing is compressed.
    pub const DEFAULT: Self = Self { unpacked: 4 << 30, segments: 1024 };
}

/// Why bytes are not an initramfs that can be sized.
#[derive(Debug, thiserror::Error)]
pub enum SizeError {
    /// A compressed segment cannot be read.
    #[error("the segment at byte {offset} of the initramfs cannot be decompressed")]
    Decompress {
        /// Where it starts, in bytes.
        offset: usize,
        /// Why.
        source: DecompressError,
    },
    /// An archive cannot be read.
    #[error("the archive at byte {offset} of the {place} cannot be read")]
    Archive {
        /// Where it starts, in bytes.
        offset: usize,
        /// `initramfs` or `decompressed segment`.
        place: &'static str,
        /// Why.
        source: NewcError,
    },
    /// Something else than archives is in a compressed segment; Linux does not decompress twice.
    #[error("the segment at byte {offset} of the initramfs holds something else than archives, at its byte {inner}")]
    NoArchiveInside {
        /// Where the segment starts, in bytes.
        offset: usize,
        /// Where in its decompressed bytes the something starts.
        inner: usize,
    },
    /// An archive starts where Linux does not look for one.
    #[error(
        "the archive at byte {offset} of the {place} does not stand on a multiple of 4, so Linux does not unpack it"
    )]
    Misaligned {
        /// Where it starts, in bytes.
        offset: usize,
        /// `initramfs` or `decompressed segment`.
        place: &'static str,
    },
    /// There is no archive at all.
    #[error("the initramfs of {seen} bytes holds no archive")]
    Empty {
        /// Its size in bytes.
        seen: usize,
    },
    /// Too many segments.
    #[error("the initramfs has more than {limit} segments")]
    TooManySegments {
        /// The limit.
        limit: usize,
    },
}

/// Bytes that an initramfs takes in the rootfs tmpfs: of every member its data, rounded up to whole pages of 4096, and
/// one page for the member itself (inode and name). Members that occur twice count twice.
pub fn unpacked_size(bytes: &[u8]) -> Result<u64, SizeError> {
    unpacked_size_within(bytes, Limits::DEFAULT)
}

/// [`unpacked_size`] with other limits.
pub fn unpacked_size_within(bytes: &[u8], limits: Limits) -> Result<u64, SizeError> {
    let mut sizer = Sizer { limits, left: limits.unpacked, segments: 0, size: 0 };
    sizer.initramfs(bytes)?;
    if sizer.segments == 0 {
        return Err(SizeError::Empty { seen: bytes.len() });
    }
    Ok(sizer.size)
}

struct Sizer {
    limits: Limits,
    /// Bytes that may still come out of compressed segments.
    left: u64,
    segments: usize,
    size: u64,
}

impl Sizer {
    /// Plain archives and compressed segments in any order, as `unpack_to_rootfs` of Linux reads them.
    fn initramfs(&mut self, bytes: &[u8]) -> Result<(), SizeError> {
        let mut offset = 0;
        while let Some(start) = self.archives(bytes, offset, "initramfs")? {
            self.count_segment()?;
            let broken = |source| SizeError::Decompress { offset: start, source };
            let mut rest = &bytes[start..];
            let format = Format::of(rest).map_err(broken)?;
            let segment = format.decompress(&mut rest, self.left).map_err(broken)?;
            self.left -= segment.len() as u64;
            offset = bytes.len() - rest.len();
            if let Some(inner) = self.archives(&segment, 0, "decompressed segment")? {
                return Err(SizeError::NoArchiveInside { offset: start, inner });
            }
        }
        Ok(())
    }

    /// Counts plain archives and skips zeros from `offset` on; answers where something else begins, if not at the end.
    fn archives(&mut self, bytes: &[u8], mut offset: usize, place: &'static str) -> Result<Option<usize>, SizeError> {
        while let Some(&byte) = bytes.get(offset) {
            match byte {
                0 => offset += 1,
                b'0' if !offset.is_multiple_of(4) => return Err(SizeError::Misaligned { offset, place }),
                b'0' => offset += self.archive(&bytes[offset..], offset, place)?,
                _ => return Ok(Some(offset)),
            }
        }
        Ok(None)
    }

    /// Counts one archive; answers its length.
    fn archive(&mut self, bytes: &[u8], offset: usize, place: &'static str) -> Result<usize, SizeError> {
        self.count_segment()?;
        let mut archive = Archive::new(bytes);
        for entry in archive.by_ref() {
            let entry = entry.map_err(|source| SizeError::Archive { offset, place, source })?;
            self.size += (entry.data.len() as u64).next_multiple_of(PAGE) + PAGE;
        }
        Ok(archive.offset())
    }

    fn count_segment(&mut self) -> Result<(), SizeError> {
        self.segments += 1;
        if self.segments > self.limits.segments {
            return Err(SizeError::TooManySegments { limit: self.limits.segments });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
