//! Digests of pieces are those of a manifest, or of a blob that hashes to the manifest's digest.

use verify::{PieceList, Sha256Digest};

fn main() {
    let evil = vec![Sha256Digest::of(b"evil")];
    let _ = PieceList { name: String::new(), size: 4, sha256: evil[0], piece: 4, digests: evil };
}
