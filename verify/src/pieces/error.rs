//! Why bytes are not an artifact.

use crate::names::Sha256Digest;

/// Why bytes are not an artifact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// The buffer, or the file, has another size than the artifact.
    #[error("{name}: {seen} bytes, wanted {wanted}")]
    Size {
        /// The artifact.
        name: String,
        /// Bytes that are there, or have room.
        seen: u64,
        /// The signed size in bytes.
        wanted: u64,
    },
    /// The artifact was not cut into as many pieces as it has. A manifest that was read has no such artifact.
    #[error("{name}: {seen} digests of pieces, wanted {wanted}")]
    Count {
        /// The artifact.
        name: String,
        /// Digests that are listed.
        seen: u64,
        /// Pieces of an artifact of this size.
        wanted: u64,
    },
    /// The bytes stopped coming.
    #[error("{name}: the bytes ended at {seen} of {wanted}")]
    Short {
        /// The artifact.
        name: String,
        /// Where in the artifact the next byte would have been.
        seen: u64,
        /// The signed size in bytes.
        wanted: u64,
    },
    /// Not every piece was proved.
    #[error("{name}: {missing} of {pieces} pieces are missing")]
    Missing {
        /// The artifact.
        name: String,
        /// Pieces that are not proved.
        missing: usize,
        /// All pieces.
        pieces: usize,
    },
    /// The bytes are not the signed ones.
    #[error("{name}: the SHA-256 is {seen}, wanted {wanted}")]
    Digest {
        /// The artifact.
        name: String,
        /// Of the bytes that are there.
        seen: Sha256Digest,
        /// The signed one.
        wanted: Sha256Digest,
    },
    /// The bytes of one piece are not the signed ones.
    #[error("{name}: the SHA-256 of bytes {first} to {last} is {seen}, wanted {wanted}")]
    Piece {
        /// The artifact.
        name: String,
        /// The piece's first byte in it.
        first: u64,
        /// The piece's last byte in it.
        last: u64,
        /// Of the bytes that are there.
        seen: Sha256Digest,
        /// The signed one.
        wanted: Sha256Digest,
    },
    /// The hashing thread did not return.
    #[error("{name}: the hashing thread was lost")]
    Thread {
        /// The artifact.
        name: String,
    },
}

impl ArtifactError {
    /// A short word for markers and scripts, which never changes (docs/markers.md).
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Size { .. } | Self::Count { .. } => "size",
            Self::Short { .. } | Self::Missing { .. } => "short",
            Self::Digest { .. } | Self::Piece { .. } => "digest",
            Self::Thread { .. } => "thread",
        }
    }
}
