//! The way that the compiler leaves open: what the refused programs do, done right.

use verify::pieces::{self, Destination, PieceList};
use verify::{Artifact, ArtifactError, Chunks, Pieces, Sha256Digest, Signed};

#[path = "../support/release.rs"]
mod release;

/// Memory that is the root of a verified release, from two sources, of which the first lies about the second piece.
fn root<'a>(
    artifact: &Signed<Artifact>,
    memory: &'a mut [u8],
    sources: [&[u8]; 2],
) -> Result<pieces::CheckedBytes<'a>, ArtifactError> {
    let list = PieceList::load::<ArtifactError>(artifact, |_| unreachable!("the digests are in the manifest"))?;
    let mut destination = Destination::new(&list, memory)?;
    for source in sources {
        destination.lend(|pieces| {
            let mut checked = Vec::new();
            for mut piece in pieces {
                let (start, end) = (piece.range().start as usize, piece.range().end as usize);
                piece.bytes().copy_from_slice(&source[start..end]);
                checked.extend(piece.check().ok());
            }
            (checked, ())
        });
    }
    destination.finish()
}

fn main() {
    let good = vec![7; 100_000];
    let mut evil = good.clone();
    evil[70_000] ^= 1;
    let digests = good.chunks(65536).map(Sha256Digest::of).collect();
    let pieces = Pieces::new(100_000, 65536, Chunks::Inline(digests)).unwrap();
    let sha256 = Sha256Digest::of(&good);
    let artifact = Artifact { name: "root".to_owned(), size: 100_000, sha256, pieces: Some(pieces) };
    let artifact = release::signed(&artifact);
    let mut memory = vec![0; 100_000];
    assert!(root(&artifact, &mut memory, [&evil, &evil]).is_err());
    assert_eq!(*root(&artifact, &mut memory, [&evil, &good]).unwrap(), *good);
}
