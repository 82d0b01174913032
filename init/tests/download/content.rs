//! What is downloaded.

use verify::{Artifact, Chunks, Pieces, Sha256Digest};

/// Bytes of a piece.
pub(crate) const PIECE: usize = 1 << 20;

/// Bytes that differ from piece to piece; the last piece is short.
pub(crate) fn content() -> Vec<u8> {
    (0..12 * PIECE + 77).map(|n| (n ^ (n >> 8) ^ (n >> 16)).to_le_bytes()[0]).collect()
}

/// The same with one wrong bit, in this piece.
pub(crate) fn wrong(content: &[u8], piece: usize) -> Vec<u8> {
    let mut wrong = content.to_owned();
    wrong[piece * PIECE + 45] ^= 0x20;
    wrong
}

/// The artifact with the digests of its pieces, and those digests one after the other.
pub(crate) fn in_pieces(content: &[u8]) -> (Artifact, Vec<u8>) {
    let digests: Vec<_> = content.chunks(PIECE).map(Sha256Digest::of).collect();
    let list = digests.iter().flat_map(|digest| digest.0).collect();
    (artifact(content, Chunks::Inline(digests)), list)
}

/// The artifact with its list in a blob, and that blob.
pub(crate) fn listed(content: &[u8]) -> (Artifact, Vec<u8>) {
    let (_, list) = in_pieces(content);
    (artifact(content, Chunks::List { list_sha256: Sha256Digest::of(&list) }), list)
}

fn artifact(content: &[u8], chunks: Chunks) -> Artifact {
    let size = content.len() as u64;
    let pieces = Some(Pieces::new(size, PIECE as u64, chunks).unwrap());
    Artifact { name: "root".to_owned(), size, sha256: Sha256Digest::of(content), pieces }
}

/// What came is what was wanted.
#[track_caller]
pub(crate) fn right(came: Result<Vec<u8>, String>, wanted: &[u8]) {
    let came = came.unwrap_or_else(|reason| panic!("nothing came: {reason}"));
    assert!(came == wanted, "other bytes came");
}
