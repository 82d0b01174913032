//! The digests of an artifact's pieces, from the manifest or from a blob that it names.

use super::ArtifactError;
use crate::manifest::{Artifact, Chunks};
use crate::names::Sha256Digest;
use crate::verified::Signed;

/// The digests of an artifact's pieces: the signed ones, and as many as it has. Only [`PieceList::load`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceList {
    name: String,
    size: u64,
    sha256: Sha256Digest,
    piece: u64,
    digests: Vec<Sha256Digest>,
}

impl PieceList {
    /// The list of `artifact`. An artifact without pieces is one piece. If the digests stand in a blob of their own
    /// ([`Signed::list_blob`]), `fetch` is asked for its bytes, which are believed only after they were hashed here.
    pub fn load<E: From<ArtifactError>>(
        artifact: &Signed<Artifact>,
        fetch: impl FnOnce(&Signed<Artifact>) -> Result<Vec<u8>, E>,
    ) -> Result<Self, E> {
        let (piece, digests) = match &artifact.pieces {
            None => (artifact.size, vec![artifact.sha256]),
            Some(pieces) => {
                let digests = match (pieces.chunks(), artifact.list_blob()) {
                    (Chunks::Inline(digests), _) => digests.clone(),
                    (Chunks::List { .. }, None) => Vec::new(),
                    (Chunks::List { .. }, Some(blob)) => read(&blob, &fetch(&blob)?)?,
                };
                (pieces.chunk_size(), digests)
            }
        };
        let (name, size, sha256) = (artifact.name.clone(), artifact.size, artifact.sha256);
        Ok(Self { name, size, sha256, piece, digests }.complete()?)
    }

    /// The artifact's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of the artifact.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The digest of the whole, which is the blob's name.
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }

    /// Bytes of every piece but the last, which has what is left.
    pub fn piece_size(&self) -> u64 {
        self.piece
    }

    /// The pieces' digests, in order.
    pub fn digests(&self) -> &[Sha256Digest] {
        &self.digests
    }

    /// Nothing and no pieces would be proved by no proof at all; no manifest has such an artifact.
    fn complete(self) -> Result<Self, ArtifactError> {
        let (seen, wanted) = (self.digests.len() as u64, self.size.div_ceil(self.piece.max(1)));
        if seen == wanted && seen > 0 { Ok(self) } else { Err(ArtifactError::Count { name: self.name, seen, wanted }) }
    }
}

/// The digests in `bytes`, if they are the blob.
fn read(blob: &Signed<Artifact>, bytes: &[u8]) -> Result<Vec<Sha256Digest>, ArtifactError> {
    let whole = PieceList::load(blob, |_| Ok::<_, ArtifactError>(Vec::new()))?;
    let bytes = super::check(&whole, bytes)?;
    let (digests, _) = bytes.as_chunks();
    Ok(digests.iter().copied().map(Sha256Digest).collect())
}
